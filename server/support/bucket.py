"""The token bucket: how often something may be done for ever, and how often at once."""


class TokenBucket:
    """A bucket that is full at first; whoever keeps it says what time it is.

    Takes some 150 bytes.
    """

    __slots__ = ("_burst", "_filled", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        """Fill a bucket.

        Args:
            rate: the tokens that come back each second.
            burst: the tokens that a full bucket holds.
            now: the time in seconds, on a clock that never goes back.
        """
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._filled = now

    def owe(self, count: float, now: float) -> float:
        """Take ``count`` tokens in any case.

        Returns:
            The seconds until nothing is owed any more; 0 if there were so many tokens.
        """
        self._tokens = min(self._burst, self._tokens + (now - self._filled) * self._rate) - count
        self._filled = now
        return max(0.0, -self._tokens / self._rate)

    def take(self, count: float, now: float) -> bool:
        """Take ``count`` tokens if the bucket holds that many, and none otherwise."""
        tokens = self._tokens + (now - self._filled) * self._rate
        if tokens > self._burst:  # faster than min(), and done for each message
            tokens = self._burst
        self._filled = now
        if tokens < count:
            self._tokens = tokens
            return False
        self._tokens = tokens - count
        return True

    @property
    def whole(self) -> int:
        """The whole tokens that it held at the last :meth:`take`."""
        return int(self._tokens)

    def give_back(self, count: float) -> None:
        """Put back ``count`` tokens that were taken for something that shall not count."""
        self._tokens = min(self._burst, self._tokens + count)

    def wait(self, count: float) -> float:
        """Say in how many seconds, from the last :meth:`take` on, ``count`` tokens are there."""
        return max(0.0, (count - self._tokens) / self._rate)
