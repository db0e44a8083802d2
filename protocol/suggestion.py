"""Which card the estimates of a round suggest, and by which rule."""

from enum import StrEnum
from typing import Final

from protocol.deck import Deck
from protocol.value import value

SHARE_PERCENT: Final = 60
"""Of the estimates, from which on the most frequent one is suggested."""


class Rule(StrEnum):
    """Why a card is suggested."""

    MODE = "mode"
    """At least 60 % of the estimates are this card."""
    MEDIAN = "median"
    """The estimates are divided: it is their median, rounded up to a card."""


@value
class Suggestion:
    """What the team could agree on; nobody has to."""

    card: str
    """An estimate of the deck: never ``?``, ∞ or coffee."""
    rule: Rule


def suggest(deck: Deck, count: int, mode: float, frequency: int, median: float) -> Suggestion:
    """Suggest a card.

    Args:
        deck: the cards.
        count: of the estimates, one at least.
        mode: the most frequent one, on the scale of the deck; any of several.
        frequency: how often it occurs.
        median: on the same scale.
    """
    if 100 * frequency >= SHARE_PERCENT * count:  # exactly, where shares would be rounded
        return Suggestion(deck.at(mode), _MODE)
    return Suggestion(deck.at_least(median), _MEDIAN)


_MODE, _MEDIAN = Rule.MODE, Rule.MEDIAN  # looked up once
