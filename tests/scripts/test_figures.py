"""The bots' own figures of a round: equal to the server's, and able to tell others apart."""

from typing import Any

import attrs
import pytest
from hypothesis import given

from protocol.deck import DECKS, Deck
from protocol.ids import MemberId
from protocol.picture import Shown, ShownVote
from protocol.statistics import summarize
from protocol.suggestion import Rule, Suggestion
from scripts.botlib.lasting.figures import judge_figures
from tests.protocol.drawn_decks import deck_and_cards


def shown(cards: list[str], deck: Deck, **wrong: Any) -> Shown:
    votes = tuple(ShownVote(MemberId(f"m{n}"), f"N{n}", card) for n, card in enumerate(cards))
    return Shown(3, "T", votes, attrs.evolve(summarize(cards, deck), **wrong), 1.0)


@given(deck_and_cards())
def test_two_ways_to_the_figures_come_to_the_same(drawn: tuple[Deck, list[str]]) -> None:
    deck, cards = drawn

    assert list(judge_figures(shown(cards, deck), deck.cards)) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("count", 4),
        ("mean", 3.5),
        ("mean", None),
        ("median", 5.0),
        ("median", None),
        ("median_card", "3"),
        ("modes", (8.0,)),
        ("mode_cards", ("3",)),
        ("spread", 4.0),
        ("agreement", 0.5),
        ("consensus", True),
        ("suggestion", None),
        ("suggestion", Suggestion("5", Rule.MEDIAN)),
        ("suggestion", Suggestion("3", Rule.MEDIAN)),
    ],
)
def test_a_wrong_figure_is_found(name: str, value: object) -> None:
    deck = DECKS["poker"]
    cards = ["3", "3", "8", "5", "?", "3"]
    assert summarize(cards, deck).count == 5

    [(rule, detail)] = judge_figures(shown(cards, deck, **{name: value}), deck.cards)

    assert rule == "figures"
    assert f"round 3: {name} is" in detail


def test_figures_without_an_estimate_are_found() -> None:
    found = judge_figures(shown(["?"], DECKS["poker"], count=1), DECKS["poker"].cards)

    assert [rule for rule, _ in found] == ["figures"]
