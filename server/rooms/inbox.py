"""A room's inbox: the one way in, a memory channel that carries batches of commands."""

from collections.abc import Callable

import trio

from protocol.ids import MemberId
from protocol.messages import Command

Entry = tuple[MemberId, Command]


class Inbox:
    """Commands on their way into a room, in order of arrival.

    The channel holds one batch at the most: what arrives before the room has taken it joins
    it, so a burst costs the room one turn. *Policy*: never refuses and never drops. When
    ``limit`` commands wait it is :attr:`full`; whoever reads sockets must then stop reading
    those of this room until :meth:`on_space` calls back or :meth:`wait_for_space` returns.
    What one socket read gave is put in any case, so the bound is ``limit`` plus one read.
    """

    __slots__ = ("_batch", "_callbacks", "_limit", "_offered", "_receive", "_send", "_space")

    def __init__(self, limit: int) -> None:
        """Make an open inbox.

        Args:
            limit: the number of waiting commands with which it is full.
        """
        self._limit = limit
        self._send, self._receive = trio.open_memory_channel[list[Entry]](1)
        self._batch: list[Entry] = []
        self._offered = False
        self._callbacks: list[Callable[[], None]] = []
        self._space = trio.Event()

    @property
    def full(self) -> bool:
        """Whether reading for this room must pause."""
        return len(self._batch) >= self._limit

    def put(self, member: MemberId, command: Command) -> None:
        """Add a command to the batch; the room is woken by :meth:`settle`."""
        self._batch.append((member, command))

    def settle(self) -> None:
        """Offer what has been put since the last time to the room, without waiting."""
        if self._batch:
            self.wake()

    def wake(self) -> None:
        """Let the room have a turn, also if there is no command for it."""
        if not self._offered:
            try:
                self._send.send_nowait(self._batch)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                self._batch.clear()  # the room is gone; there is nobody to tell
            else:
                self._offered = True

    async def take(self, most: int | None = None) -> list[Entry]:
        """Wait for commands and take them; for none, if the room was only woken.

        Args:
            most: the number of commands to take at once; what is above it stays. If not given, all
                that there are.
        """
        batch = await self._receive.receive()
        was_full = len(batch) >= self._limit
        rest = [] if most is None else batch[most:]
        self._batch = rest
        self._offered = False
        if rest:
            del batch[most:]
            self.settle()
        if was_full and not self.full:
            self._make_space()
        return batch

    def on_space(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once, as soon as the inbox is not full, or is closed."""
        self._callbacks.append(callback)

    async def wait_for_space(self) -> None:
        """Return as soon as the inbox is not full, or is closed."""
        while self.full:
            await self._space.wait()

    def close(self) -> None:
        """Close both ends; what waits is dropped, what comes later is ignored."""
        self._send.close()
        self._receive.close()
        self._batch.clear()
        self._offered = False
        self._make_space()

    def statistics(self) -> trio.MemoryChannelStatistics:
        """See how many ends of the channel are open, for tests."""
        return self._receive.statistics()

    def _make_space(self) -> None:
        self._space.set()
        self._space = trio.Event()
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()
