"""The opening handshake of a WebSocket (RFC 6455 section 4.2): judged and answered without I/O."""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final, NoReturn

import attrs
from wsproto.utilities import generate_accept_token

from server.support.errors import HttpRejection

LONGEST_HOST: Final = 255
"""Bytes of the header Host: a domain name (RFC 1035 section 2.3.4), a colon and a port fit."""

_VERSION: Final = b"13"
_KEY_BYTES: Final = 16
_KEY_LENGTH: Final = 24  # in base64
# RFC 3986 section 3.2.2, without percent-encoding and user names; IPv6 is not parsed, only bounded.
_HOST: Final = re.compile(
    rb"(?:\[[0-9A-Fa-f:.]{2,45}\]|(?=[^:]{1,253}(?::|$))[\w-]{1,63}(?:\.[\w-]{1,63})*\.?)"
    rb"(?::[0-9]{0,5})?",
    re.ASCII,
)
_SUBPROTOCOL: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SWITCHING: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: %s\r\n"
)

Headers = Mapping[bytes, Sequence[bytes]]
"""Values by name in lower case."""


@attrs.frozen
class Handshake:
    """A valid request to open a WebSocket."""

    key: bytes
    subprotocols: tuple[str, ...] = ()
    """Those that the client offers, the ones that it would rather speak first."""

    def answer(self, subprotocol: str | None = None) -> bytes:
        """Make the head that opens the WebSocket, with the subprotocol selected, if any."""
        head = _SWITCHING % generate_accept_token(self.key)
        if subprotocol is not None:
            head += b"Sec-WebSocket-Protocol: %s\r\n" % subprotocol.encode("ascii")
        return head + b"\r\n"


def asks_for_websocket(headers: Headers) -> bool:
    """Tell whether a request asks for an upgrade to WebSocket at all, be it a valid one or not."""
    return (
        b"upgrade" in headers
        and b"websocket" in _tokens(headers[b"upgrade"])
        and b"upgrade" in _tokens(headers.get(b"connection", ()))
    )


def judge_handshake(method: bytes, http_version: bytes, headers: Headers) -> Handshake:
    """Make sure that an upgrade request is a valid one (RFC 6455 section 4.2.1).

    Raises:
        HttpRejection: 400, 405 or 426, in words that name the header at fault.
    """
    if method != b"GET":
        raise HttpRejection(
            HTTPStatus.METHOD_NOT_ALLOWED, "a WebSocket is opened with GET", {"Allow": "GET"}
        )
    if http_version < b"1.1":
        refuse("a WebSocket needs HTTP/1.1")
    if b"content-length" in headers or b"transfer-encoding" in headers:
        refuse("a request for a WebSocket has no body")
    _judge_host(headers.get(b"host", ()))
    versions = headers.get(b"sec-websocket-version", ())
    if len(versions) != 1 or versions[0] != _VERSION:
        if not versions:
            refuse("the header Sec-WebSocket-Version is missing")
        raise HttpRejection(
            HTTPStatus.UPGRADE_REQUIRED,
            "Sec-WebSocket-Version must be 13",
            {"Sec-WebSocket-Version": "13", "Upgrade": "websocket"},
        )
    return Handshake(
        _judge_key(headers.get(b"sec-websocket-key", ())),
        _offered(headers.get(b"sec-websocket-protocol", ())),
    )


def refuse(message: str) -> NoReturn:
    """Answer 400 with these words."""
    raise HttpRejection(HTTPStatus.BAD_REQUEST, message)


def _judge_host(hosts: Sequence[bytes]) -> None:
    # By its bytes alone. The codec for international names takes time that grows with the square
    # of a label's length, and nobody here needs the name decoded.
    if len(hosts) != 1:
        refuse("there must be one header Host")
    host = hosts[0]
    if not host:
        refuse("the header Host is empty")
    if len(host) > LONGEST_HOST:
        refuse(f"the header Host has more than {LONGEST_HOST} bytes")
    if _HOST.fullmatch(host) is None:
        refuse("the header Host is no host name or address, with or without a port")


def _judge_key(keys: Sequence[bytes]) -> bytes:
    if len(keys) != 1:
        refuse("there must be one header Sec-WebSocket-Key")
    key = keys[0]
    try:
        size = len(base64.b64decode(key, validate=True)) if len(key) == _KEY_LENGTH else 0
    except binascii.Error:
        size = 0
    if size != _KEY_BYTES:
        refuse("Sec-WebSocket-Key must be 16 bytes in base64")
    return key


def _offered(values: Sequence[bytes]) -> tuple[str, ...]:
    """Read the names of subprotocols; what is no name of one cannot be selected anyhow."""
    if not values:
        return ()
    names = b",".join(values).decode("latin-1").split(",")
    return tuple(name for each in names if _SUBPROTOCOL.fullmatch(name := each.strip()))


def _tokens(values: Sequence[bytes]) -> set[bytes]:
    """Collect a comma-separated header's tokens, in lower case (RFC 9110 section 5.6.1)."""
    return {token.strip().lower() for value in values for token in value.split(b",")}
