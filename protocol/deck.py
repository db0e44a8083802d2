"""The cards that may be voted with, and what each is worth."""

import re
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Final

HALF: Final = "½"  # U+00BD, as printed on planning poker cards

_KINDS: Final = {"?": "unsure", "coffee": "break", "☕": "break"}

# Bounded, so that no card costs more to read than to print; 1e9 is no estimate.
_NUMBER = re.compile(r"[0-9]{1,9}(?:[./][0-9]{1,9})?")


def card_value(card: str) -> float | None:
    """Say what a card is worth in points.

    Whole numbers, decimals and fractions such as ``1/2`` count, without a sign.

    Returns:
        The points, or ``None`` for a card that is no estimate, such as ``?``.
    """
    if card == HALF:
        return 0.5
    if _NUMBER.fullmatch(card) is None:
        return None
    try:
        return float(Fraction(card))
    except ZeroDivisionError:
        return None


def card_kind(card: str) -> str:
    """Say what a card is for: ``estimate``, ``unsure`` or ``break``."""
    if card_value(card) is not None:
        return "estimate"
    return _KINDS.get(card.casefold(), "estimate")


class Deck:
    """An ordered set of cards; immutable."""

    __slots__ = ("_values",)

    def __init__(self, cards: Iterable[str]) -> None:
        """Make a deck of ``cards`` in this order.

        Raises:
            ValueError: if there are fewer than two cards, or one occurs twice.
        """
        listed = tuple(cards)
        values = {card: card_value(card) for card in listed}
        if len(values) < max(2, len(listed)):
            raise ValueError("a deck needs two different cards at least, and none twice")
        self._values: Mapping[str, float | None] = values

    def __contains__(self, card: str) -> bool:
        return card in self._values

    def value(self, card: str) -> float | None:
        """Say what one of its cards is worth; as :func:`card_value`, but without reading it."""
        return self._values[card]

    @property
    def cards(self) -> tuple[str, ...]:
        """All cards in order."""
        return tuple(self._values)


DEFAULT_DECK: Final = Deck(
    ("0", HALF, "1", "2", "3", "5", "8", "13", "20", "21", "34", "40", "55", "100", "?", "coffee")
)
"""A superset of the cards that the EstimateX client offers (1 2 3 5 8 13 21)."""
