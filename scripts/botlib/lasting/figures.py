"""What a round's figures must be, worked out from its votes in another way; no I/O."""

from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Final

from protocol.deck import Card
from protocol.picture import Shown
from protocol.suggestion import Suggestion

_CLEAR: Final = Fraction(60, 100)
"""Share of the estimates from which on the most frequent card is suggested."""
_CLOSE: Final = 1e-9


def judge_figures(shown: Shown, cards: tuple[Card, ...]) -> Iterator[tuple[str, str]]:
    """Compare the figures of a round with its votes; yields rule and detail."""
    told = shown.statistics
    for name, wanted in _figures([vote.card for vote in shown.votes], cards).items():
        got = getattr(told, name)
        if isinstance(got, Suggestion):
            got = got.card, got.rule
        if isinstance(wanted, Fraction):
            right = isinstance(got, float) and abs(got - wanted) <= _CLOSE * float(1 + wanted)
        else:
            right = got == wanted
        if not right:
            yield "figures", f"round {shown.number}: {name} is {got!r}, not {wanted!r}: {shown}"


def _figures(put_down: list[str], cards: tuple[Card, ...]) -> dict[str, Any]:
    """Work out figures, those that could be rounded as fractions."""
    ordinal = all(card.value is None for card in cards)
    places = {
        card.label: Fraction(at if card.value is None else card.value)
        for at, card in enumerate(cards)
        if card.kind == "estimate"
    }
    found = sorted(places[card] for card in put_down if card in places)
    if not found:
        return {"count": 0, "mean": None, "agreement": None, "suggestion": None}
    frequency = Counter(found)
    most = max(frequency.values())
    modes = sorted(place for place, times in frequency.items() if times == most)
    upper = found[len(found) // 2]
    median = upper if ordinal else (found[(len(found) - 1) // 2] + upper) / 2
    clear = Fraction(most, len(found)) >= _CLEAR
    wanted = modes[0] if clear else min(each for each in places.values() if each >= median)
    labels = {place: label for label, place in reversed(places.items())}
    figures: dict[str, Any] = {
        "count": len(found),
        "agreement": Fraction(most, len(found)),
        "consensus": len(frequency) == 1 and len(found) == len(put_down),
        "median_card": labels[median] if ordinal else None,
        "mode_cards": tuple(labels[place] for place in modes) if ordinal else (),
        "mean": None if ordinal else sum(found) / Fraction(len(found)),
        "median": None if ordinal else median,
        "spread": None if ordinal else found[-1] - found[0],
        "modes": () if ordinal else tuple(float(place) for place in modes),
    }
    return figures | {"suggestion": (labels[wanted], "mode" if clear else "median")}
