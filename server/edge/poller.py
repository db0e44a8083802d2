"""The one reader of all fast lanes: a nested epoll, so that a burst costs one task switch."""

import select
from types import TracebackType
from typing import Final, Protocol, Self

import trio

from server.support.supervise import contain

_BATCH: Final = 512  # sockets read in one pass, then everybody else gets a turn


class Readable(Protocol):
    """What the poller needs of a connection."""

    def read(self, now: float) -> None:
        """Read once, without waiting; there are bytes, an end of file or an error."""

    def fail(self) -> None:
        """Reading raised something unforeseen: end this connection."""


class Poller:
    """Trio waits for the descriptor of an epoll that holds the sockets of all fast lanes.

    Level-triggered: a socket that is not read, is reported again. One that must not be read
    has to be removed, since errors and hang-ups are reported whatever is asked for.
    """

    def __init__(self) -> None:
        """Open the epoll.

        Raises:
            OSError: if the system has none, or no descriptor left.
        """
        self._epoll = select.epoll()
        self._readers: dict[int, Readable] = {}

    @staticmethod
    def available() -> bool:
        """Tell whether this system has epoll."""
        return hasattr(select, "epoll")

    def __enter__(self) -> Self:
        """Close the epoll at the end."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the epoll; the sockets in it stay open."""
        self._epoll.close()

    def add(self, descriptor: int, reader: Readable) -> None:
        """Call ``reader.read`` whenever there is something to read. Harmless if repeated."""
        if descriptor not in self._readers:
            self._readers[descriptor] = reader
            self._epoll.register(descriptor, select.EPOLLIN)

    def remove(self, descriptor: int) -> None:
        """Stop that; must come before the descriptor is closed. Harmless if repeated."""
        if self._readers.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    async def run(self) -> None:
        """Read for everybody until cancelled; owns nothing but the epoll."""
        while True:
            await trio.lowlevel.wait_readable(self._epoll.fileno())
            self._pass(trio.current_time())

    def _pass(self, now: float) -> None:
        """Read whatever is ready; a reader that fails spoils this pass, not the next one."""
        readers = self._readers
        reader: Readable | None = None
        with contain("connection") as reading:
            for descriptor, _ in self._epoll.poll(0, _BATCH):
                # It may have been removed by what an earlier one in this pass caused; no new
                # socket can have got its number meanwhile, since nothing is accepted here.
                reader = readers.get(descriptor)
                if reader is not None:
                    reader.read(now)
        if reading.failed and reader is not None:
            reader.fail()
