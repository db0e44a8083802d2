"""Answers of any length: made slice by slice as the peer takes them, and few long ones at once.

An answer owns no more than :data:`WHOLE_BYTES` and one slice. Up to that size it is an ordinary
response; a longer one has no ``Content-Length``. When a slice cannot be made, it is broken off so
that the peer can tell: its last chunk never comes (RFC 9112 section 8).
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Protocol

import trio
from litestar import Request, Response
from litestar.connection import ASGIConnection
from litestar.response.base import ASGIResponse
from litestar.status_codes import HTTP_503_SERVICE_UNAVAILABLE
from litestar.types import Receive, Scope, Send

from protocol.limits import KIB
from server.auth.proxies import Proxies
from server.http.errors import RequestFailed, too_many
from server.support.errors import StoreUnavailable
from server.support.limits import Limits
from server.support.observe import get_logger

WHOLE_BYTES: Final = 64 * KIB
"""An answer that is longer is sent in slices, and counts as a long one."""

RETRY_SECONDS: Final = 10

_MAKERS: Final = 2


class Slices(Protocol):
    """What an answer is made of."""

    async def next(self) -> bytes | None:
        """Make the next slice, which may be empty; ``None`` after the last one.

        Raises:
            StoreUnavailable: if it cannot be made.
        """


class LongAnswers:
    """Sends answers of any length, a bounded number of long ones at once."""

    def __init__(self, limits: Limits, proxies: Proxies | None = None) -> None:
        """Allow as many as ``limits`` say; behind ``proxies`` are other addresses."""
        self._most = limits.long_answers
        self._most_per_address = limits.long_answers_per_address
        self._proxies = proxies or Proxies()
        self._sending: Counter[str] = Counter()
        # However many are being sent: the database and the processor are for others as well.
        self._making = trio.CapacityLimiter(_MAKERS)

    def address(self, connection: ASGIConnection[Any, Any, Any, Any]) -> str:
        """Say where a request comes from, in the form in which requests are counted."""
        client = connection.scope["client"]
        return self._proxies.client(client and client[0], connection.scope["headers"])

    async def answer(
        self,
        request: Request[Any, Any, Any],
        slices: Slices,
        *,
        headers: Mapping[str, str],
    ) -> Response[bytes]:
        """Make the response to a request; JSON, unless the headers say otherwise.

        Raises:
            StoreUnavailable: if one of the first slices cannot be made.
        """
        begun = bytearray()
        while len(begun) <= WHOLE_BYTES:
            piece = await slices.next()
            if piece is None:
                return Response(bytes(begun), headers=headers)
            begun += piece
        response = _LongResponse(bytes(begun), headers=headers)
        response.rest = _Rest(slices, self, self.address(request))
        return response

    async def next(self, slices: Slices) -> bytes | None:
        """Make the next slice of a long answer, when it is its turn: two are made at once.

        Raises:
            StoreUnavailable: if it cannot be made.
        """
        async with self._making:
            return await slices.next()

    @contextmanager
    def one_more(self, address: str) -> Iterator[None]:
        """Count a long answer while it is being sent.

        Raises:
            RequestFailed: 429 if too many are being sent to this address, 503 if in all.
        """
        if self._sending[address] >= self._most_per_address:
            raise too_many(RETRY_SECONDS)
        if self._sending.total() >= self._most:
            raise RequestFailed(
                HTTP_503_SERVICE_UNAVAILABLE,
                "too many long answers are being sent, try again in a moment",
                headers={"Retry-After": str(RETRY_SECONDS)},
            )
        self._sending[address] += 1
        try:
            yield
        finally:
            self._sending[address] -= 1
            if not self._sending[address]:
                del self._sending[address]


class _Rest:
    """What comes after the beginning of a long answer."""

    def __init__(self, slices: Slices, answers: LongAnswers, address: str) -> None:
        self.slices = slices
        self.answers = answers
        self.address = address


class _LongResponse(Response[bytes]):
    """As Litestar wants it from a handler."""

    rest: _Rest

    def to_asgi_response(self, *args: Any, **kwargs: Any) -> ASGIResponse:
        whole = super().to_asgi_response(*args, **kwargs)
        return _LongASGIResponse(
            self.rest,
            body=whole.body,
            headers=[
                (name.decode(), value.decode())
                for name, value in whole.encode_headers()
                if name.lower() != b"content-length"
            ],
            status_code=whole.status_code,
        )


class _LongASGIResponse(ASGIResponse):
    """Sends as much at a time as the peer takes."""

    _should_set_content_length = False

    def __init__(self, rest: _Rest, **options: Any) -> None:
        super().__init__(**options)
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Refused before anything is sent.
        with self._rest.answers.one_more(self._rest.address):
            await super().__call__(scope, receive, send)

    async def send_body(self, send: Send, receive: Receive) -> None:
        piece: bytes | None = self.body
        self.body = b""
        while piece is not None:
            if piece:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            try:
                piece = await self._rest.answers.next(self._rest.slices)
            except StoreUnavailable as reason:
                get_logger("http").warning("an answer is broken off", reason=str(reason))
                return
        await send({"type": "http.response.body", "body": b"", "more_body": False})
