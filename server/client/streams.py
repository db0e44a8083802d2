"""Where a server is, and a stream to it."""

import ssl
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import urlsplit

import attrs
import trio

_SECURE: Final = {"ws": False, "http": False, "wss": True, "https": True}
_PORTS: Final = {False: 80, True: 443}


@attrs.frozen(kw_only=True)
class Address:
    """Where a server is."""

    host: str
    port: int
    secure: bool
    authority: str
    """As ``Host`` names it."""
    path: str
    """Below which it lives; mostly empty."""


Dial = Callable[[Address], Awaitable[trio.abc.Stream]]
"""Opens a stream to a server; raises ``OSError`` if there is none."""


def parse_address(url: str) -> Address:
    """Read an address such as ``wss://parley.example``.

    Raises:
        ValueError: if it is none.
    """
    parts = urlsplit(url)
    secure = _SECURE.get(parts.scheme)
    if secure is None or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ValueError(f"url must be an address such as wss://parley.example, not {url!r}")
    return Address(
        host=parts.hostname,
        port=parts.port or _PORTS[secure],
        secure=secure,
        authority=parts.netloc,
        path=parts.path.rstrip("/"),
    )


async def dial(address: Address) -> trio.abc.Stream:
    """Open a stream over TCP, and TLS if the address says so."""
    stream = await trio.open_tcp_stream(address.host, address.port)
    if not address.secure:
        return stream
    # https_compatible: servers close TCP without closing TLS first.
    return trio.SSLStream(
        stream, ssl.create_default_context(), server_hostname=address.host, https_compatible=True
    )


class Handshaking(trio.abc.Stream):
    """A stream whose end during a handshake is an error: trio-websocket would go on waiting."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        """Own ``stream``: closing this closes it."""
        self.over = False
        """The handshake is; its end is an end as any other from then on."""
        self._stream = stream

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Receive as the stream does.

        Raises:
            ConnectionAbortedError: at an end during the handshake.
        """
        try:
            data = await self._stream.receive_some(max_bytes)
        except trio.BrokenResourceError:
            self._judge_end()
            raise
        if not data:
            self._judge_end()
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send as the stream does.

        Raises:
            ConnectionAbortedError: at an end during the handshake.
        """
        try:
            await self._stream.send_all(data)
        except trio.BrokenResourceError:
            self._judge_end()
            raise

    async def wait_send_all_might_not_block(self) -> None:
        """Wait as the stream does."""
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.aclose()

    def _judge_end(self) -> None:
        if not self.over:
            raise ConnectionAbortedError("the connection has ended during the handshake")
