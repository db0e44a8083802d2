"""Pings every connection from time to time and reports those that have fallen silent."""

from collections import deque
from typing import Final, Protocol

import trio

_SLOTS: Final = 25  # pings of one interval are spread over so many ticks


class Pulse(Protocol):
    """What the heartbeat needs of a connection."""

    @property
    def heard(self) -> float:
        """When its peer last sent anything, in seconds on Trio's clock."""

    def ping(self) -> None:
        """Send a ping, without waiting."""

    def silent(self) -> None:
        """Be told that nothing has come since the last ping, which is ``timeout`` seconds ago."""


class Heartbeat:
    """One task for all connections, because most of what it does is to wait.

    A tick serves one slot in ``_SLOTS``; a connection stays in the slot in which it was added.
    """

    def __init__(self, interval: float, timeout: float) -> None:
        """Prepare; nobody is pinged before :meth:`run`.

        Args:
            interval: seconds between two pings of one connection.
            timeout: seconds after a ping; a connection from which nothing at all has come in
                them is reported as silent.
        """
        self._interval = interval
        self._timeout = timeout
        self._slots: list[set[Pulse]] = [set() for _ in range(_SLOTS)]
        self._next = 0  # slot to be pinged at the next tick
        self._slot_of: dict[Pulse, int] = {}
        self._asked: deque[tuple[float, set[Pulse]]] = deque()  # when pinged, and who

    def add(self, pulse: Pulse) -> None:
        """Ping this connection from now on, first after a whole interval."""
        slot = (self._next - 1) % _SLOTS
        self._slots[slot].add(pulse)
        self._slot_of[pulse] = slot

    def discard(self, pulse: Pulse) -> None:
        """Forget this connection, if it is known."""
        slot = self._slot_of.pop(pulse, None)
        if slot is not None:
            self._slots[slot].discard(pulse)
            for _, asked in self._asked:
                asked.discard(pulse)

    async def run(self) -> None:
        """Run until cancelled; owns nothing."""
        due = trio.current_time()
        while True:
            due += self._interval / _SLOTS
            await trio.sleep_until(due)
            now = trio.current_time()
            self._judge(now)
            self._ask(now)

    def _ask(self, now: float) -> None:
        asked = set(self._slots[self._next])
        self._next = (self._next + 1) % _SLOTS
        for pulse in asked:
            pulse.ping()
        if asked:
            self._asked.append((now, asked))

    def _judge(self, now: float) -> None:
        while self._asked and self._asked[0][0] + self._timeout <= now:
            pinged, asked = self._asked.popleft()
            for pulse in asked:
                if pulse.heard < pinged:
                    pulse.silent()
