"""A stream whose sends have a deadline, and which reports the end of what it receives."""

from collections.abc import Awaitable, Callable
from typing import Final

import trio

from protocol.limits import KIB

CHUNK_BYTES: Final = 64 * KIB


class BoundedStream(trio.abc.HalfCloseableStream):
    """A stream that passes everything on, but gives up on a peer that does not read.

    Hypercorn sends inside a shield and without a deadline: a peer that stops reading would hold
    its task for ever, whatever is cancelled. It also goes on waiting for its idle timer when the
    peer has left; ``on_end`` is there to stop it.
    """

    def __init__(
        self,
        stream: trio.abc.HalfCloseableStream,
        write_seconds: float,
        abort: Callable[[], None],
    ) -> None:
        """Put a deadline on sends.

        Args:
            stream: the stream below; it has the attribute ``socket`` of a ``SocketStream``.
            write_seconds: the time for each 64 KiB, in seconds.
            abort: called when a send has failed, so that nothing waits for the peer any more.
        """
        self.on_end: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint
        """Called when either side has ended the stream; may be called again."""
        self._stream = stream
        self._write_seconds = write_seconds
        self._abort = abort
        self.socket: trio.socket.SocketType = getattr(stream, "socket")  # noqa: B009

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send ``data`` in pieces of 64 KiB.

        Raises:
            trio.BrokenResourceError: if the peer is gone, or has not read a piece in time.
        """
        with memoryview(data) as view:
            for start in range(0, len(view), CHUNK_BYTES):
                try:
                    with trio.fail_after(self._write_seconds):
                        await self._stream.send_all(view[start : start + CHUNK_BYTES])
                except (trio.TooSlowError, trio.BrokenResourceError) as error:
                    self._abort()
                    raise trio.BrokenResourceError("the peer does not read") from error

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until the peer may read more."""
        await self._stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        """Tell the peer that nothing more will be sent."""
        await self._stream.send_eof()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Receive some bytes.

        Raises:
            trio.BrokenResourceError: if the peer has reset the connection.
            trio.ClosedResourceError: if the stream was closed on this side.
        """
        data: bytes | bytearray = b""
        failure = None
        try:
            data = await self._stream.receive_some(max_bytes)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            failure = error
        if not data:
            await self.on_end()
        if failure is not None:
            raise failure
        return data

    async def aclose(self) -> None:
        """Close the stream below."""
        await self._stream.aclose()
        await self.on_end()
