"""What somebody may choose to vote with: a deck that has a name, or cards of its own."""

from collections.abc import Sequence
from typing import Final, NoReturn

from protocol.deck import DECKS, Deck, deck_of, is_estimate
from protocol.errors import ErrorCode, Refused
from protocol.limits import CARD_LENGTH, MOST_CARDS
from protocol.text import clean_line

MOST_POINTS: Final = 999_999_999
"""Of a card: what fits on one."""

OwnCard = str | tuple[str, float | None]
"""A label, or one with its points; without these, the label says them."""


def named_deck(name: str, field: str = "deck") -> Deck:
    """Find a deck by its id.

    Raises:
        Refused: if there is none; the field is named.
    """
    deck = DECKS.get(name)
    if deck is None:
        _refuse(field, f"must be {', '.join(DECKS)} or a list of cards")
    return deck


def own_deck(cards: Sequence[OwnCard], field: str = "deck") -> Deck:
    """Make a deck of somebody's own cards; with just the cards of a named one, it is that one.

    Raises:
        Refused: naming the first field that is wrong, such as ``deck[3].value``.
    """
    if not 2 <= len(cards) <= MOST_CARDS:
        _refuse(field, f"must have 2 to {MOST_CARDS} cards")
    labels: list[str] = []
    points: dict[str, float] = {}
    for place, card in enumerate(cards):
        where = f"{field}[{place}]"
        if isinstance(card, str):
            labels.append(_label(card, where))
            continue
        given, worth = card
        label = _label(given, f"{where}.label")
        labels.append(label)
        if worth is None:
            continue
        if not 0 <= worth <= MOST_POINTS:
            _refuse(f"{where}.value", f"must be from 0 to {MOST_POINTS}")
        if not is_estimate(label):
            _refuse(f"{where}.value", f"must not be given, as {label} counts nowhere")
        points[label] = float(worth)
    if len(set(labels)) < len(labels):
        _refuse(field, "must not have a card twice")
    return deck_of(labels, points)


def _label(text: str, field: str) -> str:
    try:
        return clean_line(text, CARD_LENGTH)
    except ValueError as error:
        _refuse(field, str(error))


def _refuse(field: str, complaint: str) -> NoReturn:
    raise Refused(ErrorCode.MALFORMED, f"{field} {complaint}", field) from None
