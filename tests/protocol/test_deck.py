"""Cards: what each is worth, and what makes a deck."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.deck import DEFAULT_DECK, HALF, Deck, card_value


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
def test_anything_else_is_no_estimate(card: str) -> None:
    assert card_value(card) is None


@given(st.integers(0, 10**9 - 1), st.integers(1, 10**9 - 1))
def test_a_fraction_is_worth_its_quotient(numerator: int, denominator: int) -> None:
    assert card_value(f"{numerator}/{denominator}") == float(Fraction(numerator, denominator))


@given(st.text())
def test_any_text_at_all_has_a_value_or_none(card: str) -> None:
    value = card_value(card)

    assert value is None or 0 <= value < 10**9


def test_the_default_deck_is_in_order_and_holds_the_cards_of_the_published_client() -> None:
    values = [value for card in DEFAULT_DECK.cards if (value := card_value(card)) is not None]

    assert values == sorted(values)
    assert all(card in DEFAULT_DECK for card in ("1", "2", "3", "5", "8", "13", "21"))
    assert "?" in DEFAULT_DECK
    assert "4" not in DEFAULT_DECK


def test_a_deck_keeps_the_order_of_its_cards() -> None:
    assert Deck(["L", "S", "M"]).cards == ("L", "S", "M")


@pytest.mark.parametrize("cards", [[], ["1"], ["1", "1"], ["1", "2", "1"]])
def test_a_deck_has_two_different_cards_at_least_and_none_twice(cards: list[str]) -> None:
    with pytest.raises(ValueError, match="two different cards"):
        Deck(cards)
