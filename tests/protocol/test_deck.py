"""Cards and decks: what each card counts, and which decks there are."""

from fractions import Fraction
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.deck import (
    BREAK,
    CUSTOM,
    DECKS,
    DEFAULT_DECK,
    ESTIMATE,
    HALF,
    UNSURE,
    Card,
    Deck,
    card_value,
    deck_of,
)
from protocol.limits import CARD_LENGTH, MOST_CARDS
from tests.protocol.drawn_decks import decks


@pytest.mark.parametrize(
    ("card", "value"),
    [("0", 0.0), (HALF, 0.5), ("1/2", 0.5), ("0.5", 0.5), ("13", 13.0), ("007", 7.0)],
)
def test_a_number_is_worth_itself(card: str, value: float) -> None:
    assert card_value(card) == value


@pytest.mark.parametrize(
    "card",
    [
        *("", "?", "coffee", "1/0", "nan", "inf", "1e3", "1e999999999", "-1", "+1", " 1", "1 "),
        *("1_0", "1.", ".5", "1/", "1/2/3", "1,5", "٣", "¼", "9" * 5000),
    ],
)
def test_anything_else_has_no_points(card: str) -> None:
    assert card_value(card) is None


@given(st.integers(0, 10**9 - 1), st.integers(1, 10**9 - 1))
def test_a_fraction_is_worth_its_quotient(numerator: int, denominator: int) -> None:
    assert card_value(f"{numerator}/{denominator}") == float(Fraction(numerator, denominator))


@given(st.text())
def test_any_text_at_all_has_a_value_or_none(card: str) -> None:
    value = card_value(card)

    assert value is None or 0 <= value < 10**9


# --- decks with a name --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("classic", "0 ½ 1 2 3 5 8 13 20 21 34 40 55 100 ? coffee"),
        ("fibonacci", "0 1 2 3 5 8 13 21 34 55 89 ?"),
        ("modified", "0 ½ 1 2 3 5 8 13 20 40 100 ?"),
        ("poker", "0 ½ 1 2 3 5 8 13 20 40 100 ? ∞ coffee"),
        ("tshirt", "XXS XS S M L XL XXL ?"),
        ("powers", "0 1 2 4 8 16 32 64 ?"),
        ("hours", "0 ½ 1 2 3 4 6 8 12 16 24 40 ?"),
    ],
)
def test_each_name_stands_for_its_cards(name: str, labels: str) -> None:
    deck = DECKS[name]

    assert (deck.id, " ".join(deck.labels)) == (name, labels)
    points = [card.value for card in deck.cards if card.value is not None]
    assert points == sorted(points)
    assert [card.label for card in deck.cards if card.kind != ESTIMATE] == [
        label for label in deck.labels if label in {"?", "∞", "coffee"}
    ]


def test_there_are_no_other_names_and_the_first_is_the_default() -> None:
    assert len(DECKS) == 7
    assert next(iter(DECKS.values())) is DEFAULT_DECK


def test_the_published_client_has_all_its_cards_in_the_default_deck_and_in_fibonacci() -> None:
    own = {"1", "2", "3", "5", "8", "13", "21"}

    assert {name for name, deck in DECKS.items() if own <= set(deck.labels)} == {
        *("classic", "fibonacci"),
    }


def test_only_t_shirts_are_ordinal() -> None:
    assert [name for name, deck in DECKS.items() if deck.ordinal] == ["tshirt"]


# --- decks of one's own -------------------------------------------------------------------------


def test_a_deck_keeps_the_order_of_its_cards() -> None:
    assert Deck(["L", "S", "M"]).labels == ("L", "S", "M")


@pytest.mark.parametrize("cards", [[], ["1"], ["1", "1"], ["1", "2", "1"]])
def test_a_deck_has_two_different_cards_at_least_and_none_twice(cards: list[str]) -> None:
    with pytest.raises(ValueError, match="two different cards"):
        Deck(cards)


def test_in_a_deck_with_points_only_cards_that_have_some_are_estimates() -> None:
    deck = Deck(["1", "big", "huge", "?", "Coffee", "☕", "☕\ufe0f", "∞"], {"huge": 8.0})

    assert not deck.ordinal
    assert deck.cards == (
        Card("1", 1.0, ESTIMATE),
        Card("big", None, UNSURE),
        Card("huge", 8.0, ESTIMATE),
        Card("?", None, UNSURE),
        *(Card(label, None, BREAK) for label in ("Coffee", "☕", "☕\ufe0f")),
        Card("∞", None, UNSURE),
    )
    assert deck.scale(["huge", "big", "?", "1", "☕", "∞", "nothing"]) == [1.0, 8.0]


def test_in_a_deck_without_points_all_but_the_usual_exceptions_are_estimates_by_position() -> None:
    deck = Deck(["?", "S", "M", "coffee", "L"])

    assert deck.ordinal
    assert [card.kind for card in deck.cards] == [UNSURE, ESTIMATE, ESTIMATE, BREAK, ESTIMATE]
    assert [deck.at(place) for place in deck.scale(["L", "S", "?", "S"])] == ["S", "S", "L"]


def test_points_that_are_given_count_and_not_those_on_the_card() -> None:
    assert Deck(["1", "2"], {"2": 20.0}).scale(["2", "1"]) == [1.0, 20.0]


def test_a_place_between_two_cards_leads_to_the_higher_one_whatever_their_order() -> None:
    deck = Deck(["8", "1", "5", "0.5", "½"])

    assert [deck.at_least(place) for place in (0.0, 0.5, 0.75, 5.0, 5.1, 8.0)] == [
        *("0.5", "0.5", "1", "5", "8", "8"),
    ]
    assert deck.at(0.5) == "0.5"  # the first one


def test_just_the_cards_of_a_named_deck_are_that_deck() -> None:
    for name, deck in DECKS.items():
        assert deck_of(deck.labels) is deck
        assert Deck(deck.labels).id == name
    fibonacci = DECKS["fibonacci"].labels
    assert deck_of(fibonacci[::-1]).id == CUSTOM
    assert deck_of(fibonacci, {"89": 90.0}).id == CUSTOM
    assert deck_of(fibonacci, {"89": 89.0}) is DECKS["fibonacci"]


def test_decks_of_equal_cards_are_equal() -> None:
    deck = Deck(["S", "M"])

    assert (deck, hash(deck)) == (Deck(["S", "M"]), hash(Deck(["S", "M"])))
    assert deck not in (Deck(["M", "S"]), Deck(["S", "M"], {"S": 1.0}), "S M")
    assert repr(deck) == "<Deck custom: S M>"


def test_labels_with_blanks_are_told_apart_by_commas() -> None:
    assert Deck(["1", "too big"]).spelled == "1, too big"
    assert Deck(["1", "2"]).spelled == "1 2"


# --- kept as JSON -------------------------------------------------------------------------------


@given(decks)
def test_a_deck_is_read_back_as_it_was_written(deck: Deck) -> None:
    read = Deck.of_plain(orjson.loads(orjson.dumps(deck.plain())))

    assert read == deck
    assert read.id == deck.id


def test_what_was_kept_when_there_were_only_labels_is_read() -> None:
    assert Deck.of_plain(["1", "S", "?"]) == Deck(["1", "S", "?"])
    assert Deck(["1", "S"], {"S": 2.0, "1": 1.0}).plain() == ["1", ["S", 2.0]]


@pytest.mark.parametrize(
    "plain", [None, "12", {"1": 1}, [1, 2], [["S"], "M"], [["S", None], "M"], [["S", 1], "M"], []]
)
def test_anything_else_is_no_deck(plain: Any) -> None:
    with pytest.raises(ValueError, match="cards"):
        Deck.of_plain(plain)


@given(decks)
def test_drawn_decks_are_such_as_may_be_chosen(deck: Deck) -> None:
    assert 2 <= len(deck.labels) <= MOST_CARDS
    assert all(1 <= len(label) <= CARD_LENGTH for label in deck.labels)
