"""What a round's votes say: average, spread, agreement, and what they suggest."""

from collections.abc import Iterable
from math import fsum, sqrt

from protocol.deck import DEFAULT_DECK, Deck
from protocol.suggestion import Suggestion, suggest
from protocol.value import value


@value
class Summary:
    """Figures over the estimates of one round.

    Estimates are the cards that have points; in a deck in which none has, all but ``?``, ∞ and
    coffee. Other cards count in none of the figures. Cards of equal points are the same.
    """

    count: int
    """Of the estimates."""
    mean: float | None
    """The sum of the points, divided by the count; ``None`` if there are none, as all figures in
    points."""
    median: float | None
    """The middle one of the points in order; of an even count, half-way between the middle two."""
    median_card: str | None
    """In decks without points: the middle one of the estimates in the order of the deck; of an
    even count the higher one of the middle two, since estimates err on the low side."""
    mode: float | None
    """The most frequent points; ``None`` where several are equally frequent."""
    modes: tuple[float, ...]
    """All of the most frequent points, ascending."""
    mode_cards: tuple[str, ...]
    """In decks without points: all of the most frequent estimates, in the order of the deck."""
    min: float | None
    """The lowest points."""
    max: float | None
    """The highest points."""
    spread: float | None
    """The highest less the lowest points."""
    standard_deviation: float | None
    """Of the population, with the count as the divisor: who votes is the whole team, and no sample
    of a larger one."""
    agreement: float | None
    """Which part of the estimates the most frequent one has: above 0, and 1 if all are the same."""
    consensus: bool
    """Everybody put down the same card, and it is an estimate."""
    suggestion: Suggestion | None
    """What the estimates suggest; ``None`` if there are none."""


def summarize(cards: Iterable[str], deck: Deck = DEFAULT_DECK) -> Summary:
    """Sum up the cards of one round, in whatever order."""
    put_down = tuple(cards)
    found = deck.scale(put_down)
    if not found:
        return _NOTHING
    count, least, most = len(found), found[0], found[-1]
    modes, highest = ((least,), count) if least == most else _modes(found)
    consensus = highest == len(put_down)
    agreement = highest / count
    middle = found[count // 2]
    if deck.ordinal:
        return Summary(
            count=count,
            mean=None,
            median=None,
            median_card=deck.at(middle),
            mode=None,
            modes=(),
            mode_cards=tuple(deck.at(place) for place in modes),
            min=None,
            max=None,
            spread=None,
            standard_deviation=None,
            agreement=agreement,
            consensus=consensus,
            suggestion=suggest(deck, count, modes[0], highest, middle),
        )
    if least == most:
        mean, deviation = least, 0.0
    else:
        mean = fsum(found) / count
        deviation = sqrt(fsum([(off := each - mean) * off for each in found]) / count)
    median = middle if count % 2 else (found[count // 2 - 1] + middle) / 2
    return Summary(
        count=count,
        mean=mean,
        median=median,
        median_card=None,
        mode=modes[0] if len(modes) == 1 else None,
        modes=modes,
        mode_cards=(),
        min=least,
        max=most,
        spread=most - least,
        standard_deviation=deviation,
        agreement=agreement,
        consensus=consensus,
        suggestion=suggest(deck, count, modes[0], highest, median),
    )


_NOTHING = Summary(
    count=0,
    mean=None,
    median=None,
    median_card=None,
    mode=None,
    modes=(),
    mode_cards=(),
    min=None,
    max=None,
    spread=None,
    standard_deviation=None,
    agreement=None,
    consensus=False,
    suggestion=None,
)


def _modes(found: list[float]) -> tuple[tuple[float, ...], int]:
    """Give the most frequent of ascending numbers, and how often each of them occurs."""
    modes: list[float] = []
    highest = run = 0
    last = None
    for each in found:
        run = run + 1 if each == last else 1
        last = each
        if run > highest:
            modes, highest = [each], run
        elif run == highest:
            modes.append(each)
    return tuple(modes), highest
