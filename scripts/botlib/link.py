"""One WebSocket connection of a bot, with a second look at the bytes that the server sends."""

import ssl
from collections.abc import Sequence
from typing import Final
from urllib.parse import SplitResult

import trio
from trio_websocket import WebSocketConnection, wrap_client_stream

RECEIVE_BYTES: Final = 64 * 1024  # trio-websocket's 4 KiB cost several reads per burst of votes
_LARGEST_HEAD: Final = 64 * 1024  # of the handshake's answer, arbitrary
_CLOSE: Final = 0x8


class HandshakeCut(Exception):
    """The server ended the connection before it was a WebSocket."""


class FrameWatch:
    """Follows the frames of a server, only to see its close frame and what comes after it.

    trio-websocket does not tell a close frame with 1000 from its own side's default.
    """

    def __init__(self) -> None:
        """Begin before the answer to the handshake."""
        self.upgraded = False
        self.closes = 0
        self.bytes_after_close = 0
        self._buffer = bytearray()

    def feed(self, data: bytes | bytearray) -> None:
        """Take what was received next."""
        self._buffer += data
        if not self.upgraded:
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            if not found:
                del self._buffer[_LARGEST_HEAD:]
                return
            self.upgraded = head.startswith(b"HTTP/1.1 101")
            self._buffer = bytearray(rest) if self.upgraded else bytearray()
        position = 0
        while not self.closes:
            end = self._frame_end(position)
            if end is None:
                break
            self.closes += self._buffer[position] & 0x0F == _CLOSE
            position = end
        if self.closes:
            self.bytes_after_close += len(self._buffer) - position
            position = len(self._buffer)
        del self._buffer[:position]

    def _frame_end(self, start: int) -> int | None:
        if len(self._buffer) < start + 2:
            return None
        # A masked frame of a server is an error that trio-websocket reports; its length is wrong
        # by four here.
        size = self._buffer[start + 1] & 0x7F
        body = start + 2
        if size > 125:
            body += 2 if size == 126 else 8
            if len(self._buffer) < body:
                return None
            size = int.from_bytes(self._buffer[start + 2 : body], "big")
        return body + size if len(self._buffer) >= body + size else None


class Tap(trio.abc.Stream):
    """A stream that lets a :class:`FrameWatch` see what is received."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        """Own ``stream``: closing this closes it."""
        self.watch = FrameWatch()
        self.ended = trio.Event()
        """Set once the server has closed the connection, or it broke."""
        self._stream = stream

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Receive as the stream does; its end before the upgrade is an error.

        Raises:
            HandshakeCut: at that end. trio-websocket would wait for the upgrade for ever.
        """
        try:
            data = await self._stream.receive_some(max_bytes)
        except trio.BrokenResourceError:
            self.ended.set()
            if not self.watch.upgraded:
                raise HandshakeCut("the connection broke during the handshake") from None
            raise
        self.watch.feed(data)
        if not data:
            self.ended.set()
            if not self.watch.upgraded:
                raise HandshakeCut("the server closed the connection during the handshake")
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send as the stream does."""
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait as the stream does."""
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.aclose()


async def connect(
    nursery: trio.Nursery,
    url: SplitResult,
    resource: str,
    queue: int,
    headers: Sequence[tuple[str, str]] = (),
) -> tuple[WebSocketConnection, Tap]:
    """Open a WebSocket; the caller sets the deadline and closes it.

    Args:
        nursery: in which trio-websocket reads; an error of the handshake may come from there.
        url: where the server is; its path and query are not looked at.
        resource: path and query.
        queue: messages that may wait to be taken. While it is full, trio-websocket sees neither
            pings nor the close frame.
        headers: of the request, in addition.

    Raises:
        OSError: if the server cannot be reached.
        trio.BrokenResourceError: if TLS fails.
    """
    host = url.hostname or ""
    secure = url.scheme == "wss"
    tcp = await trio.open_tcp_stream(host, url.port or (443 if secure else 80))
    stream: trio.abc.Stream = tcp
    try:
        if secure:
            tls = trio.SSLStream(
                tcp, ssl.create_default_context(), server_hostname=host, https_compatible=True
            )
            await tls.do_handshake()
            stream = tls
        tap = Tap(stream)
        connection = await wrap_client_stream(
            nursery,
            tap,  # type: ignore[arg-type] # declared as a socket's; any stream will do
            url.netloc,
            resource,
            message_queue_size=queue,
            receive_buffer_size=RECEIVE_BYTES,
            extra_headers=[(name.encode(), value.encode()) for name, value in headers],
        )
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    return connection, tap
