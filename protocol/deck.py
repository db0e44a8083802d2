"""The cards that may be voted with, what each counts, and the decks that have a name."""

import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any, Final

from protocol.value import value

HALF: Final = "½"  # U+00BD, as printed on planning poker cards
CUSTOM: Final = "custom"
"""The id of every deck that is none of :data:`DECKS`."""

ESTIMATE: Final = "estimate"
UNSURE: Final = "unsure"
BREAK: Final = "break"

# Without an end is no size that could be averaged: who says so is sure of nothing but that.
_KINDS: Final = {"?": UNSURE, "∞": UNSURE, "coffee": BREAK, "☕": BREAK, "☕\ufe0f": BREAK}

# Bounded, so that no card costs more to read than to print; 1e9 is no estimate.
_NUMBER = re.compile(r"[0-9]{1,9}(?:[./][0-9]{1,9})?")


@value
class Card:
    """A card of the deck."""

    label: str
    value: float | None
    """Points; ``None`` if it has none."""
    kind: str
    """``estimate``, ``unsure`` or ``break``; only the first one counts."""


def card_value(label: str) -> float | None:
    """Say what a card is worth in points by what is on it.

    Whole numbers, decimals and fractions such as ``1/2`` count, without a sign.

    Returns:
        The points, or ``None`` for a card that is no number, such as ``?``.
    """
    if label == HALF:
        return 0.5
    if _NUMBER.fullmatch(label) is None:
        return None
    try:
        return float(Fraction(label))
    except ZeroDivisionError:
        return None


def is_estimate(label: str) -> bool:
    """Tell whether a card could be an estimate by what is on it; ``?``, ∞ and coffee never are."""
    return label.casefold() not in _KINDS


_IDS: Final[dict[tuple[Card, ...], str]] = {}


class Deck:
    """An ordered set of cards; immutable.

    If any card has points, those that have them are the estimates, and are judged by them. If none
    has, as with T-shirts, the deck is *ordinal*: its estimates are all but ``?``, ∞ and coffee,
    and are judged by their positions, the first one being the lowest.
    """

    __slots__ = ("_at", "_plain", "_scale", "_steps", "cards", "id", "labels", "ordinal")

    def __init__(self, labels: Iterable[str], points: Mapping[str, float] | None = None) -> None:
        """Make a deck of the cards with these labels, in this order.

        Args:
            labels: what is on the cards.
            points: what cards are worth that do not say so themselves, or are worth something else.

        Raises:
            ValueError: if there are fewer than two cards, or one occurs twice.
        """
        self.labels: Final = tuple(labels)
        if len(set(self.labels)) < max(2, len(self.labels)):
            raise ValueError("a deck needs two different cards at least, and none twice")
        worth = {label: card_value(label) for label in self.labels} | dict(points or {})
        self.ordinal: Final = all(each is None for each in worth.values())
        """Whether estimates are judged by their positions."""
        self.cards: Final = tuple(
            Card(label, worth[label], self._kind(label, worth[label])) for label in self.labels
        )
        self.id: Final = _IDS.get(self.cards, CUSTOM)
        """Of a deck in :data:`DECKS`, or :data:`CUSTOM`."""
        self._scale: Final[dict[str, float | None]] = {
            card.label: _place(card, at) for at, card in enumerate(self.cards)
        }
        self._at: Final[dict[float, str]] = {}
        for label, place in self._scale.items():
            if place is not None:
                self._at.setdefault(place, label)
        self._steps: Final = sorted(self._at)
        self._plain: Final[list[str | list[Any]]] = [
            card.label if card.value == card_value(card.label) else [card.label, card.value]
            for card in self.cards
        ]

    def _kind(self, label: str, points: float | None) -> str:
        if points is not None or (self.ordinal and is_estimate(label)):
            return ESTIMATE
        return _KINDS.get(label.casefold(), UNSURE)

    def __contains__(self, label: str) -> bool:
        return label in self._scale

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Deck) and self.cards == other.cards)

    def __hash__(self) -> int:
        return hash(self.cards)

    def __repr__(self) -> str:
        return f"<Deck {self.id}: {self.spelled}>"

    @property
    def spelled(self) -> str:
        """All labels, for people."""
        blanks = any(" " in label for label in self.labels)
        return (", " if blanks else " ").join(self.labels)

    def scale(self, labels: Iterable[str]) -> list[float]:
        """Give the points of the estimates among cards, ascending; in ordinal decks the positions.

        Whatever is no card of the deck counts nowhere.
        """
        found = map(self._scale.get, labels)
        return sorted([each for each in found if each is not None])

    def at(self, place: float) -> str:
        """Give the estimate at a place of the scale; of several, the first one."""
        return self._at[place]

    def at_least(self, place: float) -> str:
        """Give the lowest estimate that is not below a place, which is not above the highest."""
        return self._at[self._steps[bisect_left(self._steps, place)]]

    # --- as plain data ----------------------------------------------------------------------

    def plain(self) -> list[str | list[Any]]:
        """Give the deck as JSON can hold it: labels, and pairs where the points are others."""
        return list(self._plain)

    @classmethod
    def of_plain(cls, plain: Any) -> "Deck":
        """Read what :meth:`plain` gave.

        Raises:
            ValueError: if it is something else.
        """
        labels: list[str] = []
        points: dict[str, float] = {}
        for each in plain if type(plain) is list else [None]:
            match each:
                case str(label):
                    pass
                case [str(label), float(worth)]:
                    points[label] = worth
                case _:
                    raise ValueError("must be a list of cards")
            labels.append(label)
        return deck_of(labels, points)


def _place(card: Card, at: int) -> float | None:
    if card.kind != ESTIMATE:
        return None
    return float(at) if card.value is None else card.value


def deck_of(labels: Iterable[str], points: Mapping[str, float] | None = None) -> Deck:
    """Give the deck of these cards: one of :data:`DECKS`, if it has just these, or a new one.

    Raises:
        ValueError: as :class:`Deck`.
    """
    deck = Deck(labels, points)
    return DECKS.get(deck.id, deck)


def _named(id_: str, labels: str) -> Deck:
    nameless = Deck(labels.split())
    _IDS[nameless.cards] = id_
    return Deck(nameless.labels)


DEFAULT_DECK: Final = _named("classic", "0 ½ 1 2 3 5 8 13 20 21 34 40 55 100 ? coffee")
"""Has the cards that the EstimateX client offers (1 2 3 5 8 13 21), as ``fibonacci`` does."""

DECKS: Final[Mapping[str, Deck]] = {
    deck.id: deck
    for deck in (
        DEFAULT_DECK,
        _named("fibonacci", "0 1 2 3 5 8 13 21 34 55 89 ?"),
        _named("modified", "0 ½ 1 2 3 5 8 13 20 40 100 ?"),
        _named("poker", "0 ½ 1 2 3 5 8 13 20 40 100 ? ∞ coffee"),
        _named("tshirt", "XXS XS S M L XL XXL ?"),
        _named("powers", "0 1 2 4 8 16 32 64 ?"),
        _named("hours", "0 ½ 1 2 3 4 6 8 12 16 24 40 ?"),
    )
}
"""The decks that have a name, by their ids, the default first."""
