"""Errors that Hypercorn answers by itself, before any application: with JSON, like all others."""

from http import HTTPStatus
from typing import Any, Final

import h11
import orjson

_EMPTY: Final = (b"content-length", b"0")

_SENTENCES: Final = {
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "the head of the request is too large",
    HTTPStatus.NOT_IMPLEMENTED: "of the transfer codings only chunked is supported",
    HTTPStatus.HTTP_VERSION_NOT_SUPPORTED: "only HTTP/1.0 and HTTP/1.1 are supported",
}
_QUOTED: Final = ": bytearray("
"""How h11 goes on where it quotes the peer, which is not echoed."""


class ExplainingConnection(h11.Connection):
    """An HTTP/1 connection whose bare errors say what was wrong.

    Hypercorn answers what it cannot read with a status and an empty body.
    """

    _why: str | None = None

    def next_event(self) -> Any:
        """Read the next event; remember why if there is none.

        Raises:
            h11.RemoteProtocolError: if the peer breaks the protocol.
        """
        try:
            return super().next_event()
        except h11.RemoteProtocolError as error:
            self._why = str(error)
            raise

    def send(self, event: h11.Event) -> Any:
        """Make the bytes of an event, and with a bare error those of its body.

        Raises:
            h11.LocalProtocolError: if the event may not be sent now.
        """
        if (
            not isinstance(event, h11.Response)
            or event.status_code < HTTPStatus.BAD_REQUEST
            or _EMPTY not in list(event.headers)
        ):
            return super().send(event)
        body = orjson.dumps({"error": self._sentence(HTTPStatus(event.status_code))})
        headers = [
            *(each for each in event.headers if each != _EMPTY),
            (b"content-length", b"%d" % len(body)),
            (b"content-type", b"application/json"),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
        ]
        head = super().send(h11.Response(status_code=event.status_code, headers=headers))
        return (head or b"") + (super().send(h11.Data(data=body)) or b"")

    def _sentence(self, status: HTTPStatus) -> str:
        if status in _SENTENCES:
            return _SENTENCES[status]
        why = (self._why or status.phrase).partition(_QUOTED)[0]
        return f"the request is not valid HTTP: {why[0].lower()}{why[1:]}"
