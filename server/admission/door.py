"""The first request of a connection: read under one deadline, then WebSocket or HTTP."""

import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Final, NoReturn, Protocol
from urllib.parse import urlsplit

import attrs
import h11
import orjson
import trio
from wsproto.utilities import generate_accept_token

from server.edge.accepted import AcceptedConnection
from server.edge.prefixed import PrefixedStream
from server.support.counters import Counters
from server.support.errors import HttpRejection
from server.support.limits import Limits
from server.support.observe import get_logger

_WEBSOCKET_VERSION: Final = b"13"  # RFC 6455 section 4.2.1
_KEY_BYTES: Final = 16
_SWITCHING: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: %s\r\n\r\n"
)


class HttpSide(Protocol):
    """What the door needs of the HTTP server."""

    async def serve_connection(self, stream: PrefixedStream) -> None:
        """Serve all requests of a connection, and close it."""


@attrs.frozen
class Upgrade:
    """A valid request for a WebSocket. Whoever gets it owns the peer from then on."""

    peer: AcceptedConnection
    path: str
    query: str
    response: bytes
    """The whole answer that opens the WebSocket; not yet sent."""
    leftover: bytes
    """What came behind the head."""
    headers: Sequence[tuple[bytes, bytes]] = ()
    """Of the request, names in lower case."""


Route = Callable[[Upgrade], Awaitable[None]]
"""Owns the peer, unless it raises :class:`HttpRejection`: then it must not have touched it."""


class Door:
    """Serves one accepted connection per call of :meth:`serve`."""

    def __init__(
        self,
        *,
        limits: Limits,
        routes: Mapping[str, Route],
        http: HttpSide,
        counters: Counters,
    ) -> None:
        """Send upgrade requests to ``routes``, and everything else to ``http``.

        A route whose path ends in a slash takes one more segment, whatever it is.
        """
        self._limits = limits
        self._routes = routes
        self._http = http
        self._counters = counters
        self._log = get_logger("door")
        self._draining = False
        self._reading: set[trio.CancelScope] = set()

    def drain(self) -> None:
        """Turn away with 503 whoever comes now, and hang up on those who have not asked yet."""
        self._draining = True
        for scope in self._reading:
            scope.cancel()

    async def serve(self, peer: AcceptedConnection) -> None:
        """Read the first request and pass the connection on; nothing of it is left then.

        The one exception: a WebSocket route may have made a room the owner of the connection.
        """
        owned = True
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=self._limits.head_bytes)
        request = None
        try:
            try:
                request, raw = await self._read(peer, connection)
                if request is None:
                    return
                upgrade = self._judge(peer, connection, request)
                if upgrade is None:
                    await self._http.serve_connection(PrefixedStream(peer.stream, raw))
                else:
                    owned = False
                    await self._routes[_route_of(upgrade.path)](upgrade)
            except HttpRejection as turned:
                owned = True
                bare = request is not None and request.method == b"HEAD"
                await self._turn_away(peer, connection, turned, bare=bare)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the peer has gone, which is its right
        finally:
            if owned:
                await peer.aclose()

    async def _read(
        self, peer: AcceptedConnection, connection: h11.Connection
    ) -> tuple[h11.Request | None, bytes]:
        """Read until the head of a request is complete; ``None`` if nobody waits for an answer."""
        raw = b""
        largest = self._limits.head_bytes
        deadline = trio.current_time() + self._limits.first_request_seconds
        patience = trio.CancelScope(deadline=deadline)
        self._reading.add(patience)
        try:
            with patience:
                while len(raw) < largest:
                    data = bytes(await peer.stream.receive_some(largest - len(raw)))
                    if not data:
                        return None, raw
                    raw += data
                    request = self._parse(connection, data)
                    if request is not None:
                        return request, raw
                raise HttpRejection(
                    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                    f"the head of the request has more than {largest} bytes",
                )
        finally:
            self._reading.discard(patience)
        if not raw or self._draining:
            return None, raw
        raise HttpRejection(
            HTTPStatus.REQUEST_TIMEOUT,
            f"no complete request within {self._limits.first_request_seconds:g} seconds",
        )

    def _parse(self, connection: h11.Connection, data: bytes) -> h11.Request | None:
        try:
            connection.receive_data(data)
            event = connection.next_event()
        except h11.RemoteProtocolError as error:
            raise HttpRejection(HTTPStatus(error.error_status_hint), str(error)) from None
        return event if isinstance(event, h11.Request) else None

    def _judge(
        self, peer: AcceptedConnection, connection: h11.Connection, request: h11.Request
    ) -> Upgrade | None:
        """Tell an upgrade to WebSocket, which must be a valid one, from any other request."""
        if self._draining:
            raise HttpRejection(
                HTTPStatus.SERVICE_UNAVAILABLE, "the server is shutting down", {"Retry-After": "5"}
            )
        if "websocket" not in _tokens(request, b"upgrade"):
            return None
        if "upgrade" not in _tokens(request, b"connection"):
            return None
        try:
            target = urlsplit(request.target.decode("ascii"))
        except ValueError:  # such as //[
            _turn("the target of the request is no address")
        if _route_of(target.path) not in self._routes:
            raise HttpRejection(HTTPStatus.NOT_FOUND, f"there is no WebSocket at {target.path}")
        # Not by trio-websocket: parsing the same request twice more was a third of what joining
        # costs, and wsproto reads lists and repeated headers less liberally than RFC 9110.
        response = _SWITCHING % generate_accept_token(judge_handshake(request))
        leftover = connection.trailing_data[0]
        return Upgrade(peer, target.path, target.query, response, leftover, list(request.headers))

    async def _turn_away(
        self,
        peer: AcceptedConnection,
        connection: h11.Connection,
        turned: HttpRejection,
        *,
        bare: bool,
    ) -> None:
        """Answer with an error and close; the peer may still be sending."""
        self._counters.connections_refused += 1
        self._log.info("refused", status=int(turned.status), why=str(turned), address=peer.address)
        body = orjson.dumps({"error": str(turned)})
        response = h11.Response(
            status_code=turned.status,
            headers=[
                ("Content-Type", "application/json"),
                ("Content-Length", str(len(body))),
                ("Connection", "close"),
                *turned.headers.items(),
            ],
            reason=turned.status.phrase,
        )
        answer = b"".join(
            connection.send(event) or b""
            for event in (response, h11.Data(data=b"" if bare else body), h11.EndOfMessage())
        )
        with trio.move_on_after(self._limits.close_seconds):
            await peer.stream.send_all(answer)
            await peer.stream.send_eof()
            # Closing a socket with unread input resets it, and the answer would be lost.
            while await peer.stream.receive_some(self._limits.head_bytes):
                pass


def _route_of(path: str) -> str:
    """Cut the last segment of a path that has three or more."""
    head, _, last = path.rpartition("/")
    return f"{head}/" if last and head.count("/") > 1 else path


def judge_handshake(request: h11.Request) -> bytes:
    """Make sure that an upgrade request is a valid one, and give its key.

    RFC 6455 section 4.2.1. Also refuses a Host that is no domain name.
    """
    if request.method != b"GET":
        raise HttpRejection(
            HTTPStatus.METHOD_NOT_ALLOWED, "a WebSocket is opened with GET", {"Allow": "GET"}
        )
    if request.http_version < b"1.1":
        _turn("a WebSocket needs HTTP/1.1")
    headers = request.headers
    values = {name: [v for n, v in headers if n == name] for name, _ in headers}
    if any(name in values for name in (b"content-length", b"transfer-encoding")):
        _turn("a request for a WebSocket has no body")
    try:
        host = values[b"host"][0].decode("idna")
    except (KeyError, UnicodeError):
        _turn("the header Host is missing or no host name")
    if not host:
        _turn("the header Host is empty")
    versions = values.get(b"sec-websocket-version", [])
    if versions != [_WEBSOCKET_VERSION]:
        if not versions:
            _turn("the header Sec-WebSocket-Version is missing")
        raise HttpRejection(
            HTTPStatus.UPGRADE_REQUIRED,
            "Sec-WebSocket-Version must be 13",
            {"Sec-WebSocket-Version": "13", "Upgrade": "websocket"},
        )
    keys = values.get(b"sec-websocket-key", [])
    if len(keys) != 1:
        _turn("there must be one header Sec-WebSocket-Key")
    try:
        size = len(base64.b64decode(keys[0], validate=True))
    except binascii.Error:
        size = 0
    if size != _KEY_BYTES:
        _turn("Sec-WebSocket-Key must be 16 bytes in base64")
    return keys[0]


def _turn(message: str) -> NoReturn:
    raise HttpRejection(HTTPStatus.BAD_REQUEST, message)


def _tokens(request: h11.Request, name: bytes) -> set[str]:
    """Collect a comma-separated header's tokens, in lower case (RFC 9110 section 5.6.1)."""
    joined = b",".join(value for key, value in request.headers if key == name)
    return {token.strip().lower() for token in joined.decode("latin-1").split(",")}
