"""Requests that never come as far as the application: what is said of them, and how."""

from http import HTTPStatus
from typing import Final

import h11

ERROR_HEADERS: Final = (
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
)
"""What every error has that is answered before the application, as the application's own have."""

NO_CONNECT: Final = "this server is no proxy: there is no CONNECT"
ONLY_HTTP_1: Final = "only HTTP/1.0 and HTTP/1.1 are supported"

_ONLY_CHUNKED: Final = "of the transfer codings only chunked is supported"
_QUOTED: Final = ": bytearray("
"""How h11 goes on where it quotes the peer, which is not echoed."""


class Unsupported(h11.RemoteProtocolError):
    """A request that h11 accepts and we do not; its text is meant for the peer."""


def head_too_large(largest: int) -> str:
    """Say that the head of a request has more than ``largest`` bytes."""
    return f"the head of the request is too large: it may have {largest} bytes"


def why_malformed(error: h11.RemoteProtocolError, largest: int) -> str:
    """Say in plain words why a request is not acceptable HTTP/1.

    Args:
        error: the error of h11, whose words are for programmers and may quote the request.
        largest: the bytes that a head may have.
    """
    if isinstance(error, Unsupported):
        return str(error)
    if error.error_status_hint == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
        return head_too_large(largest)
    if error.error_status_hint == HTTPStatus.NOT_IMPLEMENTED:
        return _ONLY_CHUNKED
    why = str(error).partition(_QUOTED)[0]
    return f"the request is not valid HTTP: {why[0].lower()}{why[1:]}"
