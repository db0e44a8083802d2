"""What a round's votes say: mean, median, mode, spread and consensus."""

from collections.abc import Callable, Iterable
from math import fsum

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
    points = sorted([point for point in values if point is not None])
    count = len(points)
    if not count:
        return Summary(None, None, None, (), None, None, consensus=False)
    # By hand: a room waits for this at each reveal, and the general functions of the standard
    # library take five times as long for the votes of one team.
    middle = count // 2
    median = points[middle] if count % 2 else (points[middle - 1] + points[middle]) / 2
    modes = _modes(points)
    return Summary(
        fsum(points) / count,
        median,
        modes[0] if len(modes) == 1 else None,
        modes,
        points[0],
        points[-1],
        consensus=count == len(values) and points[0] == points[-1],
    )


def _modes(points: list[float]) -> tuple[float, ...]:
    """Give the most frequent of values that are in order."""
    modes: list[float] = []
    most = run = 0
    before = None
    for point in points:
        run = run + 1 if point == before else 1
        before = point
        if run > most:
            most = run
            modes = [point]
        elif run == most:
            modes.append(point)
    return tuple(modes)
