"""A token bucket: how fast something may go on, and how much of it may come at once."""


class TokenBucket:
    """Full at first; whoever keeps it says what time it is."""

    __slots__ = ("_burst", "_filled", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        """Allow ``rate`` a second for ever and ``burst`` at once, from ``now`` on."""
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

    def take(self, count: int, now: float) -> bool:
        """Take ``count`` tokens at once if there are so many, else none."""
        tokens = min(self._burst, self._tokens + (now - self._filled) * self._rate)
        self._filled = now
        if tokens < count:
            self._tokens = tokens
            return False
        self._tokens = tokens - count
        return True
