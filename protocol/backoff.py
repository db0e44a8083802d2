"""How long to wait before the next attempt: longer each time, and never in step with others."""

from collections.abc import Callable
from typing import Final

from protocol.limits import LONGEST_BACKOFF_SECONDS

FIRST_SECONDS: Final = 0.2
MOST_SECONDS: Final = LONGEST_BACKOFF_SECONDS


class Backoff:
    """Exponential backoff with full jitter.

    A delay is drawn from zero up to a bound that doubles, since clients that were cut off together
    would otherwise all come back together, time and again.
    """

    def __init__(
        self,
        random: Callable[[], float],
        *,
        first: float = FIRST_SECONDS,
        most: float = MOST_SECONDS,
    ) -> None:
        """Begin with the shortest delay.

        Args:
            random: gives numbers from 0 up to, but not including, 1.
            first: the bound of the first delay, in seconds.
            most: the bound that no delay exceeds, in seconds.
        """
        self._random = random
        self._first = first
        self._most = most
        self._bound = first

    def next(self) -> float:
        """Give the seconds to wait before the next attempt."""
        delay = self._random() * self._bound
        self._bound = min(2 * self._bound, self._most)
        return delay

    def reset(self) -> None:
        """An attempt was of use: the next failure is the first one again."""
        self._bound = self._first
