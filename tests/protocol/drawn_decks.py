"""Decks for property tests: those with a name, and others with any cards and points."""

from typing import Final

from hypothesis import strategies as st

from protocol.deck import DECKS, Deck, is_estimate
from protocol.limits import CARD_LENGTH, MOST_CARDS

_LABELS: Final = st.one_of(
    st.sampled_from(["0", "½", "0.5", "1", "2", "3/2", "100", "S", "M", "L", "?", "∞", "coffee"]),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=CARD_LENGTH),
)


@st.composite
def _own(draw: st.DrawFn) -> Deck:
    labels = draw(st.lists(_LABELS, min_size=2, max_size=MOST_CARDS, unique=True))
    worth = [label for label in labels if is_estimate(label) and draw(st.integers(0, 3)) == 0]
    numbers = st.integers(0, 100).map(float) | st.floats(0, 999_999_999)
    return Deck(labels, {label: draw(numbers) for label in worth})


decks: Final[st.SearchStrategy[Deck]] = st.one_of(st.sampled_from([*DECKS.values()]), _own())
"""Any that may be chosen."""


@st.composite
def deck_and_cards(draw: st.DrawFn) -> tuple[Deck, list[str]]:
    """Draw a deck and what was put down of it."""
    deck = draw(decks)
    return deck, draw(st.lists(st.sampled_from(deck.labels), max_size=30))
