"""The first request of a connection: read under one deadline, then WebSocket or HTTP."""

from http import HTTPStatus
from typing import Final, Protocol
from urllib.parse import urlsplit

import h11
import orjson
import trio

from server.admission.handshake import asks_for_websocket, judge_handshake, refuse
from server.admission.routes import RouteTable, Upgrade, WebSocketRoute
from server.auth.origin import OTHER_SITE, same_origin
from server.auth.sources import Sources
from server.edge.accepted import AcceptedConnection
from server.edge.places import Places
from server.edge.prefixed import PrefixedStream
from server.support.counters import Counters
from server.support.errors import HttpRejection
from server.support.limits import Limits
from server.support.malformed import ERROR_HEADERS, NO_CONNECT, head_too_large, why_malformed
from server.support.rationed import RationedLog, shortened

_RETRY: Final = {"Retry-After": "5"}


class HttpSide(Protocol):
    """What the door needs of the HTTP server."""

    async def serve_connection(self, stream: PrefixedStream) -> None:
        """Serve all requests of a connection, and close it."""


class Door:
    """Serves one accepted connection per call of :meth:`serve`."""

    def __init__(
        self,
        *,
        limits: Limits,
        routes: RouteTable,
        http: HttpSide,
        places: Places,
        sources: Sources,
        counters: Counters,
    ) -> None:
        """Send upgrade requests to ``routes``, and everything else to ``http``.

        Args:
            limits: the time and size of a first request, and the time of a goodbye.
            routes: the WebSocket endpoints.
            http: serves whatever is no request for a WebSocket.
            places: is told for whom a connection counts that comes by way of a proxy.
            sources: tells that.
            counters: are kept up to date.
        """
        self._limits = limits
        self._routes = routes
        self._http = http
        self._places = places
        self._sources = sources
        self._counters = counters
        self._log = RationedLog("door")
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
                found = self._judge(peer, connection, request)
                if found is None:
                    await self._http.serve_connection(PrefixedStream(peer.stream, raw))
                else:
                    route, upgrade = found
                    owned = False
                    await route.handler(upgrade)
            except HttpRejection as turned:
                owned = True
                bare = request is not None and request.method == b"HEAD"
                await self._turn_away(peer, connection, turned, bare=bare)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the peer has gone, which is its right, or another one got its place
        finally:
            if owned:
                await peer.aclose()

    async def _read(
        self, peer: AcceptedConnection, connection: h11.Connection
    ) -> tuple[h11.Request | None, bytes]:
        """Read until the head of a request is complete; ``None`` if nobody waits for an answer."""
        raw, peer.first = peer.first, b""
        largest = self._limits.head_bytes
        if raw and (request := _parse(connection, raw, largest)) is not None:
            return request, raw
        patience = trio.CancelScope(deadline=peer.since + self._limits.first_request_seconds)
        self._reading.add(patience)
        try:
            with patience:
                while len(raw) < largest:
                    data = bytes(await peer.stream.receive_some(largest - len(raw)))
                    if not data:
                        return None, raw
                    raw += data
                    request = _parse(connection, data, largest)
                    if request is not None:
                        return request, raw
                raise HttpRejection(
                    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                    head_too_large(largest),
                )
        finally:
            self._reading.discard(patience)
        if not raw or self._draining:
            return None, raw
        raise HttpRejection(
            HTTPStatus.REQUEST_TIMEOUT,
            f"no complete request within {self._limits.first_request_seconds:g} seconds",
        )

    def _judge(
        self, peer: AcceptedConnection, connection: h11.Connection, request: h11.Request
    ) -> tuple[WebSocketRoute, Upgrade] | None:
        """Tell an upgrade to WebSocket, which must be a valid one, from any other request."""
        if self._draining:
            raise HttpRejection(
                HTTPStatus.SERVICE_UNAVAILABLE, "the server is shutting down", _RETRY
            )
        if request.method == b"CONNECT":
            raise HttpRejection(HTTPStatus.NOT_IMPLEMENTED, NO_CONNECT)
        headers = list(request.headers)
        values: dict[bytes, list[bytes]] = {}
        for name, value in headers:
            values.setdefault(name, []).append(value)
        if not asks_for_websocket(values):
            return None
        try:
            target = urlsplit(request.target.decode("ascii"))
        except ValueError:  # such as //[
            refuse("the target of the request is no address")
        found = self._routes.find(target.path)
        if found is None:
            raise HttpRejection(
                HTTPStatus.NOT_FOUND, f"there is no WebSocket at {shortened(target.path)}"
            )
        handshake = judge_handshake(request.method, request.http_version, values)
        # Browsers ask nobody before they open a WebSocket to another site, and send its cookies.
        if not same_origin(headers):
            raise HttpRejection(HTTPStatus.FORBIDDEN, OTHER_SITE)
        problem = self._places.move(peer, self._sources.of_request(peer.address, headers))
        if problem is not None:
            raise HttpRejection(HTTPStatus.SERVICE_UNAVAILABLE, problem, _RETRY)
        route, parameters = found
        subprotocol = route.select(handshake.subprotocols)
        return route, Upgrade(
            peer,
            target.path,
            target.query,
            handshake.answer(subprotocol),
            connection.trailing_data[0],
            headers,
            parameters,
            subprotocol,
        )

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
        self._log.info(
            "refused",
            kind=turned.status,
            status=int(turned.status),
            why=str(turned),
            address=peer.address,
        )
        body = orjson.dumps({"error": str(turned)})
        response = h11.Response(
            status_code=turned.status,
            headers=[
                *ERROR_HEADERS,
                (b"Content-Length", b"%d" % len(body)),
                (b"Connection", b"close"),
                *((name.encode(), value.encode()) for name, value in turned.headers.items()),
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


def _parse(connection: h11.Connection, data: bytes, largest: int) -> h11.Request | None:
    try:
        connection.receive_data(data)
        event = connection.next_event()
    except h11.RemoteProtocolError as error:
        raise HttpRejection(
            HTTPStatus(error.error_status_hint), why_malformed(error, largest)
        ) from None
    return event if isinstance(event, h11.Request) else None
