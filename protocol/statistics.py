"""What a round's votes say: mean, median, mode, spread and consensus."""

import statistics as stdlib
from collections import Counter
from collections.abc import Callable, Iterable

from protocol.deck import card_value
from protocol.value import value as value_class


@value_class
class Summary:
    """Figures over the numeric cards of one round, in points.

    Cards that are no estimate (``?``, ``coffee``) count in none of the figures; if there is
    no numeric card at all, every figure is ``None``.
    """

    mean: float | None
    median: float | None
    mode: float | None
    """The most frequent value; ``None`` where several are equally frequent."""
    modes: tuple[float, ...]
    """All of the most frequent values, ascending."""
    min: float | None
    max: float | None
    consensus: bool
    """Everybody put down the same card, and it is an estimate."""


def summarize(cards: Iterable[str], value: Callable[[str], float | None] = card_value) -> Summary:
    """Sum up the cards of one round, by what each is worth."""
    values = [value(card) for card in cards]
    points = sorted(value for value in values if value is not None)
    if not points:
        return Summary(None, None, None, (), None, None, consensus=False)
    least, most = points[0], points[-1]
    modes = (least,) if least == most else _modes(points)
    return Summary(
        mean=stdlib.fmean(points),
        median=stdlib.median(points),
        mode=modes[0] if len(modes) == 1 else None,
        modes=modes,
        min=least,
        max=most,
        consensus=len(points) == len(values) and least == most,
    )


def _modes(points: list[float]) -> tuple[float, ...]:
    counts = Counter(points)  # in the order of the points, as :func:`statistics.multimode`
    highest = max(counts.values())
    return tuple(point for point, count in counts.items() if count == highest)
