"""One accepted connection, from the accept to the close of its socket."""

import socket
import struct
from collections.abc import Callable
from typing import Final

import trio

# SO_LINGER on with zero seconds: close() resets the connection and frees its buffers at once.
_RESET: Final = struct.pack("ii", 1, 0)


class AcceptedConnection:
    """A stream with an owner at any time, who closes it; closing it twice is harmless."""

    __slots__ = ("_release", "address", "sock", "stream")

    def __init__(
        self,
        stream: trio.abc.HalfCloseableStream,
        *,
        sock: socket.socket | None = None,
        address: str = "",
        release: Callable[[], None] | None = None,
    ) -> None:
        """Take over ``stream``.

        Args:
            stream: of the connection.
            sock: the non-blocking socket below it, if it is a plain TCP connection.
            address: of the other side, for logs.
            release: called once when the connection is closed.
        """
        self.stream = stream
        self.sock = sock
        self.address = address
        self._release = release

    async def aclose(self, *, reset: bool = False) -> None:
        """Close at once, also when cancelled: a socket is closed before any checkpoint.

        Args:
            reset: discard what the system has not delivered yet.
        """
        if self.sock is not None:
            if reset and self.sock.fileno() >= 0:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            if isinstance(self.stream, trio.SocketStream):
                self.stream.socket.close()  # wakes whoever waits for it
        if self._release is not None:
            release, self._release = self._release, None
            release()
        if self.sock is None:
            await trio.aclose_forcefully(self.stream)
