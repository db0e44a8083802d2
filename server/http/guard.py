"""Between Hypercorn and the application: bodies are bounded and read before anybody is asked.

Hypercorn puts what it reads into a queue of ten, and waits when it is full; the end of a response
waits for a place in the same queue. An application that answers before it has read the body
therefore can lock its connection up for ever. Here the body is always read first, or, once the
request is refused, read on and thrown away.
"""

import json
from collections.abc import Awaitable, Callable
from functools import partial
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
from server.http.body_budget import BodyBudget, Full, Share
from server.support.malformed import ERROR_HEADERS

Application = Callable[[Any, Any, Any], Awaitable[None]]
"""An ASGI application; the types that Litestar and Hypercorn have for it do not fit together."""

BODY_SECONDS: Final = 10.0
"""The time for a whole body: 64 KiB in it is slower than any line that is meant to work."""

BODY_PIECES: Final = 1024
"""The most pieces in which a body may come: each takes some 15 µs, however short it is."""

RETRY_SECONDS: Final = 1
"""When to come again while too many bodies are in flight: they are answered in moments."""

LINGER_SECONDS: Final = 2.0
LINGER_BYTES: Final = 4 * MIB
"""The time for which, and the bytes up to which, the rest of a refused body is read.

A socket closed with unread bytes in it resets the connection, and the peer may never see the
answer (RFC 9112 section 9.6).
"""


class _Gone(Exception):
    """The peer has left in the middle of its request."""


class _Refused(Exception):
    """The body will not be read to its end."""

    def __init__(
        self, status: int, message: str, *, coming: bool = True, later: bool = False
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.coming = coming
        """Whether the rest of the body is on its way, and must be read before the end."""
        self.later = later
        """Whether the same request may be taken in a moment."""


class RequestGuard:
    """The application of one connection, as Hypercorn calls it; ``HEAD`` is served as ``GET``."""

    def __init__(
        self,
        application: Application,
        *,
        body_bytes: Callable[[HTTPScope], int],
        body_seconds: float,
        budget: BodyBudget,
        client: Callable[[HTTPScope], str],
        last: Callable[[], bool],
        abort: Callable[[], None],
    ) -> None:
        """Guard ``application``.

        Args:
            application: the application, which sees a request only when all of its body is here.
            body_bytes: says how many bytes a request's body may have at most; if it has more,
                the answer is 413.
            body_seconds: the time for a body; a request that takes longer is answered 408.
            budget: the bytes of all bodies in flight; above it the answer is 429 or 503.
            client: says whose request it is, in the form in which requests are counted.
            last: tells whether the connection must end with a request; called as each request
                comes and as it is answered.
            abort: ends the connection without further ado.
        """
        self._application = application
        self._body_bytes = body_bytes
        self._body_seconds = body_seconds
        self._budget = budget
        self._client = client
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
        with Share(self._budget, partial(self._client, scope)) as share:
            try:
                body = await self._read(scope, receive, share)
            except _Gone:
                return
            except _Refused as refused:
                refusal = refused.with_traceback(None)  # which would keep what has come
            else:
                if scope["method"] == "HEAD":
                    # RFC 9110 section 9.3.2: all but the content, which Hypercorn leaves out.
                    scope = scope.copy()
                    scope["method"] = "GET"
                replay, marking = _Replay(body, receive), _Marking(self._last, send)
                await self._application(scope, replay, marking)
                return
        # What had come is let go: reading on to the end of a refused body keeps nothing.
        await self._refuse(refusal, receive, send)

    async def _read(self, scope: HTTPScope, receive: ASGIReceiveCallable, share: Share) -> bytes:
        declared = next((v for k, v in scope["headers"] if k == b"content-length"), b"0")
        most = self._body_bytes(scope)
        if int(declared) > most:
            raise _too_large(most)
        body = bytearray()
        with trio.move_on_after(self._body_seconds):
            for _ in range(BODY_PIECES):
                event = await receive()
                if event["type"] != "http.request":
                    raise _Gone
                body += event["body"]
                if len(body) > most:
                    raise _too_large(most)
                if (full := share.take(len(event["body"]))) is not None:
                    raise _too_much(full, coming=event["more_body"])
                if not event["more_body"]:
                    return bytes(body)
            raise _Refused(413, f"a body may come in at most {BODY_PIECES} pieces")
        message = f"the body was not here within {self._body_seconds:g} s"
        raise _Refused(408, message, coming=False)

    async def _refuse(
        self, refused: _Refused, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        content = json.dumps({"error": refused.message}).encode()
        await send(
            {
                "type": "http.response.start",
                "status": refused.status,
                "headers": [
                    *ERROR_HEADERS,
                    (b"content-length", b"%d" % len(content)),
                    (b"connection", b"close"),
                    *([(b"retry-after", b"%d" % RETRY_SECONDS)] if refused.later else []),
                ],
            }
        )
        # With its length known the answer is whole, but the connection not yet free to end.
        await send({"type": "http.response.body", "body": content, "more_body": True})
        if refused.coming and not await _drained(receive):
            self._abort()
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _too_large(most: int) -> _Refused:
    return _Refused(413, f"a body may have at most {most // KIB} KiB")


def _too_much(full: Full, *, coming: bool) -> _Refused:
    if full is Full.CLIENT:
        message = "too much is being sent from your address at once, try again in a moment"
        return _Refused(429, message, coming=coming, later=True)
    message = "too much is being sent to the server at once, try again in a moment"
    return _Refused(503, message, coming=coming, later=True)


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
