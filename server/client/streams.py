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
