"""Errors that Hypercorn answers by itself, before any application: with JSON, like all others."""

from http import HTTPStatus
from typing import Any, Final

import h11
import orjson

from server.support.malformed import ERROR_HEADERS, why_malformed

_EMPTY: Final = (b"content-length", b"0")


class ExplainingConnection(h11.Connection):
    """The server's side of an HTTP/1 connection, whose bare errors say what was wrong.

    Hypercorn answers what it cannot read with a status and an empty body.
    """

    def __init__(self, head_bytes: int) -> None:
        """Refuse heads of more than ``head_bytes``."""
        super().__init__(h11.SERVER, max_incomplete_event_size=head_bytes)
        self._head_bytes = head_bytes
        self._why = ""
        self._bare = False  # answers have no content: the request is a HEAD

    def judge(self, request: h11.Request) -> h11.Request:
        """Give the request that Hypercorn is to see; for subclasses.

        Raises:
            Unsupported: if it is to be refused.
        """
        return request

    def next_event(self) -> Any:
        """Read the next event; remember why if there is none.

        Raises:
            h11.RemoteProtocolError: if the peer breaks the protocol.
        """
        try:
            event = super().next_event()
            if not isinstance(event, h11.Request):
                return event
            self._bare = event.method == b"HEAD"
            return self.judge(event)
        except h11.RemoteProtocolError as error:
            self._why = self._why or why_malformed(error, self._head_bytes)
            raise

    def start_next_cycle(self) -> None:
        """Be ready for the next request.

        Raises:
            h11.LocalProtocolError: if this one has not come to its end.
        """
        super().start_next_cycle()
        self._bare = False

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
        why = self._why or HTTPStatus(event.status_code).phrase.lower()
        body = orjson.dumps({"error": why})
        headers = [
            *(each for each in event.headers if each != _EMPTY),
            (b"content-length", b"%d" % len(body)),
            *ERROR_HEADERS,
        ]
        head = super().send(h11.Response(status_code=event.status_code, headers=headers)) or b""
        return head if self._bare else head + (super().send(h11.Data(data=body)) or b"")
