"""How often something may be done in one name: a token bucket for each name, few names kept."""

from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b
from typing import Final

import trio

from server.support.bucket import TokenBucket

KEPT: Final = 10_000
"""Buckets in one throttle, of some 400 bytes each; those unused for longest are forgotten first."""

_KEY_BYTES: Final = 16  # 128 bits: nobody finds two names of one digest


class Throttle:
    """Lets each key do something ``most`` times at once, and ``most`` times in ``seconds``.

    Kept of a key is a digest, so that a long key takes no more memory than a short one, and
    nobody reads addresses out of a dump of the process's memory. Worst case: 400 bytes for
    each of ``kept``.
    """

    def __init__(
        self,
        most: float,
        seconds: float,
        *,
        kept: int = KEPT,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        """Begin with all buckets full.

        Args:
            most: the times; 0 for no limit.
            seconds: the time in which an empty bucket is full again.
            kept: the most keys that are remembered.
            clock: gives seconds, and never goes back.
        """
        self._most = most
        self._rate = most / seconds
        self._kept = kept
        self._clock = clock
        self._buckets: OrderedDict[bytes, TokenBucket] = OrderedDict()

    def take(self, key: str, count: float = 1) -> float:
        """Count something done ``count`` times.

        Args:
            key: the name in which it is done; digesting it costs 1 µs for each KiB.
            count: the times; more than the bucket holds counts as all that it holds.

        Returns:
            0, or the seconds after which to come again: then nothing was counted.
        """
        if not self._most:
            return 0.0
        now, count = self._clock(), min(count, self._most)
        digest = _digest(key)
        bucket = self._buckets.get(digest)
        if bucket is None:
            bucket = self._buckets[digest] = TokenBucket(self._rate, self._most, now)
            if len(self._buckets) > self._kept:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(digest)
        return 0.0 if bucket.take(count, now) else bucket.wait(count)

    def wait(self, key: str) -> float:
        """Say after how many seconds :meth:`take` would count once more, 0 for now."""
        bucket = self._buckets.get(_digest(key)) if self._most else None
        if bucket is None:
            return 0.0
        bucket.take(0, self._clock())
        return bucket.wait(1)

    def left(self, key: str) -> int:
        """Say how many more times :meth:`take` would count now; of no meaning without a limit."""
        bucket = self._buckets.get(_digest(key))
        if bucket is None:
            return int(self._most)
        bucket.take(0, self._clock())
        return bucket.whole

    def give_back(self, key: str, count: float = 1) -> None:
        """Take back what was counted: it turned out to be nothing that shall be limited."""
        bucket = self._buckets.get(_digest(key))
        if bucket is not None:
            bucket.give_back(min(count, self._most))


def _digest(key: str) -> bytes:
    # Keys may be quoted from requests: half a surrogate pair must not fail here.
    return blake2b(key.encode(errors="surrogatepass"), digest_size=_KEY_BYTES).digest()
