"""What may be chosen as a deck, and what is said of everything else."""

import re
from typing import Any

import pytest

from protocol.deck import CUSTOM, DECKS, Deck
from protocol.deck_choice import MOST_POINTS, named_deck, own_deck
from protocol.errors import Refused
from protocol.limits import CARD_LENGTH, MOST_CARDS


def test_a_deck_is_chosen_by_its_id() -> None:
    assert [named_deck(name) for name in DECKS] == [*DECKS.values()]


@pytest.mark.parametrize("name", ["", "tarot", "Fibonacci", CUSTOM])
def test_an_unknown_name_is_answered_by_those_that_there_are(name: str) -> None:
    with pytest.raises(Refused, match=r"deck must be classic, fibonacci, .* or a list") as raised:
        named_deck(name)

    assert raised.value.problem.field == "deck"


def test_cards_of_ones_own_are_trimmed_and_may_have_points() -> None:
    deck = own_deck([" S ", ("M", None), ("L", 5), ("½", 0.75), ("8", 0), "?"])

    assert deck == Deck(["S", "M", "L", "½", "8", "?"], {"L": 5.0, "½": 0.75, "8": 0.0})
    assert [type(card.value) for card in deck.cards[2:5]] == [float] * 3


def test_just_the_cards_of_a_named_deck_are_that_deck() -> None:
    assert own_deck(DECKS["hours"].labels) is DECKS["hours"]


def test_as_many_cards_of_any_length_as_are_allowed() -> None:
    labels = [f"{number:0{CARD_LENGTH}}" for number in range(MOST_CARDS)]

    assert own_deck(labels).labels == tuple(labels)
    assert own_deck([("S", MOST_POINTS), "M"]).cards[0].value == MOST_POINTS


@pytest.mark.parametrize(
    ("cards", "field", "complaint"),
    [
        ([], "deck", "must have 2 to 30 cards"),
        (["1"], "deck", "must have 2 to 30 cards"),
        ([str(number) for number in range(MOST_CARDS + 1)], "deck", "must have 2 to 30 cards"),
        (["1", "2", " 1"], "deck", "must not have a card twice"),
        (["1", ("1", 2.0)], "deck", "must not have a card twice"),
        (["1", ""], "deck[1]", "must not be empty"),
        (["1", "x" * (CARD_LENGTH + 1)], "deck[1]", "must be at most 8 characters long"),
        (["1", "a\nb"], "deck[1]", "must not contain control characters"),
        (["1", ("\u200b", 1.0)], "deck[1].label", "must contain a visible character"),
        (["1", ("2", -0.5)], "deck[1].value", "must be from 0 to 999999999"),
        (["1", ("2", MOST_POINTS + 1)], "deck[1].value", "must be from 0 to 999999999"),
        (["1", ("2", float("nan"))], "deck[1].value", "must be from 0 to 999999999"),
        ([("?", 1.0), "2"], "deck[0].value", "must not be given, as ? counts nowhere"),
        (["1", ("∞", 99)], "deck[1].value", "must not be given, as ∞ counts nowhere"),
        (["1", ("COFFEE", 0)], "deck[1].value", "must not be given, as COFFEE counts nowhere"),
    ],
)
def test_what_is_wrong_is_said_of_the_field(cards: list[Any], field: str, complaint: str) -> None:
    with pytest.raises(Refused, match=re.escape(f"{field} {complaint}")) as raised:
        own_deck(cards)

    assert raised.value.problem.field == field
