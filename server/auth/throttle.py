"""How often something may be done in somebody's name: token buckets, of which few are kept."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import trio

KEPT: Final = 10_000
"""Buckets, of some 200 bytes each; those unused for longest are forgotten first."""


class Throttle:
    """Lets each key do something ``most`` times at once, and so many times in ``seconds``."""

    def __init__(
        self,
        most: int,
        seconds: float,
        *,
        kept: int = KEPT,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        """Begin with all buckets full.

        Args:
            most: times; 0 for no limit.
            seconds: in which an empty bucket is full again.
            kept: keys that are remembered.
            clock: that never goes back.
        """
        self._most = most
        self._rate = most / seconds
        self._kept = kept
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> float:
        """Count one attempt.

        Returns:
            0, or in how many seconds to come again: then nothing was counted.
        """
        if not self._most:
            return 0.0
        now = self._clock()
        level, since = self._buckets.get(key, (float(self._most), now))
        level = min(float(self._most), level + (now - since) * self._rate)
        allowed = level >= 1.0
        self._buckets[key] = (level - 1.0 if allowed else level, now)
        self._buckets.move_to_end(key)
        if len(self._buckets) > self._kept:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (1.0 - level) / self._rate
