"""A stream whose first bytes were read already and are put back in front."""

import trio


class PrefixedStream(trio.abc.HalfCloseableStream):
    """``stream``, as if ``first`` had not been read from it yet."""

    def __init__(self, stream: trio.abc.HalfCloseableStream, first: bytes) -> None:
        """Put ``first`` back in front of ``stream``."""
        self._stream = stream
        self._first = first

    @property
    def socket(self) -> trio.socket.SocketType:
        """The socket below.

        Raises:
            AttributeError: if the stream has none.
        """
        if isinstance(self._stream, trio.SocketStream):
            return self._stream.socket
        raise AttributeError("the stream below has no socket")

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Give what was put back, then what the stream gives."""
        if not self._first:
            return bytes(await self._stream.receive_some(max_bytes))
        await trio.lowlevel.checkpoint()
        size = max_bytes or len(self._first)
        data, self._first = self._first[:size], self._first[size:]
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send on the stream below."""
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait for the stream below."""
        await self._stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        """Shut down the sending half of the stream below."""
        await self._stream.send_eof()

    async def aclose(self) -> None:
        """Close the stream below."""
        await self._stream.aclose()
