"""Between Hypercorn and the application: bodies are bounded and read before anybody is asked.

Hypercorn puts what it reads into a queue of ten, and waits when it is full; the end of a response
waits for a place in the same queue. An application that answers before it has read the body
therefore can lock its connection up for ever. Here the body is always read first, or, once the
request is refused, read on and thrown away.
"""

import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

import trio
from hypercorn.typing import (
    ASGIReceiveCallable,
    ASGIReceiveEvent,
    ASGISendCallable,
    ASGISendEvent,
    HTTPScope,
    Scope,
)

from protocol.limits import KIB, MIB

Application = Callable[[Any, Any, Any], Awaitable[None]]
"""As of ASGI. Litestar and Hypercorn have types of their own for it, which do not fit together."""

BODY_SECONDS: Final = 10.0
"""For a whole body: 64 KiB in this time is slower than any line that is meant to work."""

BODY_PIECES: Final = 1024
"""In which a body may come: each takes some 15 µs, however short it is."""

LINGER_SECONDS: Final = 2.0
LINGER_BYTES: Final = 4 * MIB
"""How long, and for how much, the rest of a refused body is read.

A socket closed with unread bytes in it resets the connection, and the peer may never see the
answer (RFC 9112 section 9.6).
"""


class _Gone(Exception):
    """The peer has left in the middle of its request."""


class _Refused(Exception):
    """The body will not be read to its end."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class RequestGuard:
    """The application of one connection, as Hypercorn calls it; ``HEAD`` is its ``GET``."""

    def __init__(
        self,
        application: Application,
        *,
        body_bytes: int,
        body_seconds: float,
        last: Callable[[], bool],
        abort: Callable[[], None],
    ) -> None:
        """Guard ``application``.

        Args:
            application: sees a request only when all of its body is here.
            body_bytes: above it a request is answered 413.
            body_seconds: in which a body must be here, or the request is answered 408.
            last: called as each request comes and as it is answered; tells whether the
                connection must end with it.
            abort: ends the connection without further ado.
        """
        self._application = application
        self._body_bytes = body_bytes
        self._body_seconds = body_seconds
        self._last = last
        self._abort = abort

    async def __call__(
        self,
        scope: Scope,
        receive: ASGIReceiveCallable,
        send: ASGISendCallable,
        _sync_spawn: Callable[..., Any],
        _call_soon: Callable[..., Any],
    ) -> None:
        """Answer one request."""
        if scope["type"] != "http":  # pragma: no cover - upgrades are not recognized here
            raise AssertionError("only HTTP is served here")
        self._last()
        try:
            body = await self._read(scope, receive)
        except _Gone:
            return
        except _Refused as refused:
            await self._refuse(refused, receive, send)
            return
        if scope["method"] == "HEAD":
            # RFC 9110 section 9.3.2: all but the content, which Hypercorn leaves out.
            scope = scope.copy()
            scope["method"] = "GET"
        await self._application(scope, _Replay(body, receive), _Marking(self._last, send))

    async def _read(self, scope: HTTPScope, receive: ASGIReceiveCallable) -> bytes:
        declared = next((v for k, v in scope["headers"] if k == b"content-length"), b"0")
        if int(declared) > self._body_bytes:
            raise self._too_large()
        body = bytearray()
        with trio.move_on_after(self._body_seconds):
            for _ in range(BODY_PIECES):
                event = await receive()
                if event["type"] != "http.request":
                    raise _Gone
                body += event["body"]
                if len(body) > self._body_bytes:
                    raise self._too_large()
                if not event["more_body"]:
                    return bytes(body)
            raise _Refused(413, f"a body comes in {BODY_PIECES} pieces at the most")
        raise _Refused(408, f"the body was not here within {self._body_seconds:g} s")

    def _too_large(self) -> _Refused:
        return _Refused(413, f"a body has {self._body_bytes // KIB} KiB at the most")

    async def _refuse(
        self, refused: _Refused, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        content = json.dumps({"error": refused.message}).encode()
        await send(
            {
                "type": "http.response.start",
                "status": refused.status,
                "headers": [
                    (b"content-type", b"application/json"),
                    (b"content-length", b"%d" % len(content)),
                    (b"x-content-type-options", b"nosniff"),
                    (b"connection", b"close"),
                ],
            }
        )
        # With its length known the answer is whole, but the connection not yet free to end.
        await send({"type": "http.response.body", "body": content, "more_body": True})
        if refused.status == 413 and not await _drained(receive):
            self._abort()
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _drained(receive: ASGIReceiveCallable) -> bool:
    """Throw away the rest of a body; tell whether it came to its end within the bounds."""
    left = LINGER_BYTES
    with trio.move_on_after(LINGER_SECONDS):
        while True:
            event = await receive()
            if event["type"] != "http.request" or not event["more_body"]:
                return True
            left -= max(len(event["body"]), LINGER_BYTES // BODY_PIECES)
            if left < 0:
                break
    return False


class _Replay:
    """Hands a body that was read already out once more, and then whatever follows it."""

    def __init__(self, body: bytes, receive: ASGIReceiveCallable) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> ASGIReceiveEvent:
        if self._body is None:
            return await self._receive()
        await trio.lowlevel.checkpoint()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


class _Marking:
    """Says in the answer that the connection ends with it, if it does."""

    def __init__(self, last: Callable[[], bool], send: ASGISendCallable) -> None:
        self._last = last
        self._send = send

    async def __call__(self, event: ASGISendEvent) -> None:
        if event["type"] == "http.response.start" and self._last():
            event["headers"] = [*event["headers"], (b"connection", b"close")]
        await self._send(event)
