"""One accepted connection, from the accept to the close of its socket."""

import socket
import struct
from collections.abc import Callable
from typing import Final

import trio

from server.auth.sources import Source

# SO_LINGER on with zero seconds: close() resets the connection and frees its buffers at once.
_RESET: Final = struct.pack("ii", 1, 0)


class AcceptedConnection:
    """A stream with an owner at any time, who closes it; closing it twice is harmless.

    Its stream is made when somebody first asks for it: most of a flood of connections never get
    that far.
    """

    __slots__ = (
        "_release",
        "_stream",
        "address",
        "displaced",
        "first",
        "give_way",
        "since",
        "sock",
        "source",
    )

    def __init__(
        self,
        stream: trio.abc.HalfCloseableStream | None = None,
        *,
        sock: socket.socket | None = None,
        address: str = "",
        source: Source | None = None,
        release: Callable[["AcceptedConnection"], None] | None = None,
    ) -> None:
        """Take over ``stream``, or ``sock`` with a stream yet to be made.

        Args:
            stream: the connection's stream; may be left out where there is a socket.
            sock: the non-blocking socket below it, if it is a plain TCP connection.
            address: the other side's address, for logs.
            source: whom the connection counts for; by itself, the address.
            release: called once with the connection when it is closed.
        """
        self._stream = stream
        self.sock = sock
        self.address = address
        self.source = source or Source(address)
        self.since = trio.current_time()
        """When it was accepted, on Trio's clock."""
        self.first = b""
        """What has been read from it and not yet been looked at."""
        self.displaced = False
        """It had to give way to another one: its owner will find it closed, if it does not yet."""
        self.give_way: Callable[[], None] | None = None
        """Ends the connection for the sake of another one, without waiting, in place of ``cut``."""
        self._release = release

    @property
    def stream(self) -> trio.abc.HalfCloseableStream:
        """The stream to read from and write to."""
        if self._stream is None:
            if self.sock is None:
                raise TypeError("a connection is over a stream or over a socket")
            self._stream = trio.SocketStream(trio.socket.from_stdlib_socket(self.sock))
        return self._stream

    @stream.setter
    def stream(self, stream: trio.abc.HalfCloseableStream) -> None:
        self._stream = stream

    async def receive(self, most: int) -> bytes:
        """Read what there is, ``most`` bytes of it; empty at the end of the stream.

        Where there is a socket and no stream yet, none is made, as it would take more memory than
        all the rest of an idle connection needs.

        Raises:
            BrokenResourceError: if the connection breaks.
            ClosedResourceError: if it had to give way.
        """
        if self._stream is not None or self.sock is None:
            return bytes(await self.stream.receive_some(most))
        await trio.lowlevel.checkpoint()
        while True:  # noqa: ASYNC913 - it returns or waits
            try:
                return self.sock.recv(most)
            except BlockingIOError:
                await trio.lowlevel.wait_readable(self.sock)
            except OSError as error:
                raise _as_trio_says(self.sock) from error

    async def send(self, data: bytes) -> None:
        """Send all of ``data``, without making a stream if the socket takes it at once.

        Raises:
            BrokenResourceError: if the connection breaks.
            ClosedResourceError: if it had to give way.
        """
        if self._stream is None and self.sock is not None:
            try:
                data = data[self.sock.send(data) :]
            except BlockingIOError:
                pass
            except OSError as error:
                raise _as_trio_says(self.sock) from error
        if data:
            await self.stream.send_all(data)
        else:
            await trio.lowlevel.checkpoint()

    def cut(self) -> None:
        """Close the socket, if there is one; whoever waits for it gets ``ClosedResourceError``."""
        if isinstance(self._stream, trio.SocketStream):
            self._stream.socket.close()
        elif self._stream is None and self.sock is not None:
            if self.sock.fileno() >= 0:
                trio.lowlevel.notify_closing(self.sock)
            self.sock.close()

    def displace(self) -> None:
        """End the connection for the sake of another one, without waiting."""
        self.displaced = True
        (self.give_way or self.cut)()

    def on_close(self, release: Callable[["AcceptedConnection"], None]) -> None:
        """Call ``release`` once with this connection, when it is closed."""
        self._release = release

    def close(self) -> None:
        """Close a connection over a socket; synchronous, and harmless if repeated."""
        self.cut()
        if self._release is not None:
            release, self._release = self._release, None
            release(self)

    async def aclose(self, *, reset: bool = False) -> None:
        """Close at once, also when cancelled: a socket is closed before any checkpoint.

        Args:
            reset: discard what the system has not delivered yet.
        """
        if reset and self.sock is not None and self.sock.fileno() >= 0:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.close()
        if self.sock is None and self._stream is not None:
            await trio.aclose_forcefully(self._stream)


def _as_trio_says(sock: socket.socket) -> Exception:
    """Make the error by which Trio's streams tell that a socket was closed, or has broken."""
    return trio.ClosedResourceError() if sock.fileno() < 0 else trio.BrokenResourceError()
