"""Keeps a bot within what a server lets each member send."""

import trio


class Pace:
    """A token bucket: what a server's limit per member lets through, and no more."""

    def __init__(self, rate: float, burst: int) -> None:
        """Allow ``burst`` messages at once, then ``rate`` a second; 0 for no bound."""
        self._rate = rate
        self._ahead = (burst - 1) / rate if rate else 0.0
        self._free_at = trio.current_time() - self._ahead

    async def wait(self) -> None:
        """Wait until one more message may go out."""
        now = trio.current_time()
        if self._rate:
            self._free_at = max(self._free_at, now - self._ahead)
            await trio.sleep_until(max(now, self._free_at))
            self._free_at += 1 / self._rate
        else:
            await trio.lowlevel.checkpoint()
