"""HTTP/1 on one connection at a time, by Hypercorn."""

import logging
import re
from typing import Any, Final

import h11
import trio
from hypercorn.config import Config
from hypercorn.logging import Logger
from hypercorn.protocol import ProtocolWrapper
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import HTTPScope, ResponseSummary, WWWScope

from protocol.limits import IMPORT_BYTES
from server.auth.proxies import Proxies
from server.http.body_budget import BodyBudget
from server.http.faults import ExplainingConnection
from server.http.guard import BODY_SECONDS, Application, RequestGuard
from server.http.stream import BoundedStream
from server.support.limits import Limits
from server.support.malformed import NO_CONNECT, ONLY_HTTP_1, Unsupported
from server.support.observe import get_logger
from server.support.rationed import shortened

KEEP_ALIVE_SECONDS: Final = 5.0
"""From one answer to the end of the next request's head; short, as a new connection is cheap."""

IMPORT: Final = re.compile(r"/v1/rooms/[^/]+/tickets/import/?")
"""The path of requests that bring files; see ``server.http.routes.imports``."""

_SPOKEN: Final = (b"1.0", b"1.1")
_CLOSE: Final = (b"connection", b"close")


class HttpServer:
    """Serves connections of which the first bytes have been recognized as HTTP.

    Owns no task and no stream. Every wait has an end: a head by ``KEEP_ALIVE_SECONDS``, a body by
    ``BODY_SECONDS``, an answer by ``limits.write_seconds`` for each 64 KiB.
    """

    def __init__(
        self, application: Application, limits: Limits, *, proxies: Proxies | None = None
    ) -> None:
        """Serve an application.

        Args:
            application: the application, which sees no request with a body above the limit.
            limits: the bounds on heads, bodies and writing.
            proxies: the proxies that say whose requests they pass on.
        """
        self._application = application
        self._limits = limits
        self._proxies = proxies or Proxies()
        # A body of the largest size must always have its place.
        self._budget = BodyBudget(
            max(limits.bodies_bytes, limits.body_bytes),
            max(limits.client_bodies_bytes, limits.body_bytes),
        )
        self._config = _make_config(limits)
        self._draining = False
        self._connections: set[_Connection] = set()

    async def serve_connection(self, stream: trio.abc.HalfCloseableStream) -> None:
        """Answer requests until either side ends the connection; the stream is closed then.

        When cancelled, it may be left open. What is raised is a fault of ours, to be logged once:
        nothing that a peer sends makes this raise.

        Args:
            stream: with what was read from it already put back in front, and with the ``socket``
                attribute of a ``SocketStream``, for the addresses.
        """
        connection = _Connection()
        guard = RequestGuard(
            self._application,
            body_bytes=self._most_of,
            body_seconds=BODY_SECONDS,
            budget=self._budget,
            client=self._client,
            last=lambda: self._is_last(connection),
            abort=connection.scope.cancel,
        )
        bounded = BoundedStream(stream, self._limits.write_seconds, connection.scope.cancel)
        server = _Http1Server(guard, self._config, connection.context, {}, bounded)  # type: ignore[arg-type]  # declared for TLS only
        bounded.on_end = server.idle_task.stop
        self._connections.add(connection)
        try:
            with connection.scope:
                await server.run()
            if connection.scope.cancelled_caught:
                await trio.aclose_forcefully(stream)
        finally:
            self._connections.discard(connection)

    def end_connections(self) -> None:
        """Make every answer from now on the last one of its connection, and say so in it."""
        self._draining = True

    async def begin_drain(self) -> None:
        """End idle connections now, and all others with the request that they are at.

        Connections that come later are served one request.
        """
        self._draining = True
        for connection in list(self._connections):
            if connection.requested:
                await connection.context.terminated.set()

    def _most_of(self, scope: HTTPScope) -> int:
        """Say how long the body of a request may be: that of a file of tickets is longer."""
        if scope["method"] == "POST" and IMPORT.fullmatch(scope["path"]):
            return max(self._limits.body_bytes, IMPORT_BYTES)
        return self._limits.body_bytes

    def _client(self, scope: HTTPScope) -> str:
        """Say whose request this is, in the form in which requests are counted."""
        peer = scope["client"]
        return self._proxies.client(peer[0] if peer else None, scope["headers"])

    def _is_last(self, connection: "_Connection") -> bool:
        """Tell whether the connection ends with the request that has come on it."""
        connection.requested = True
        return self._draining


class _Connection:
    """What is to be known of one connection from outside of it."""

    def __init__(self) -> None:
        self.scope = trio.CancelScope()
        self.context = WorkerContext(None)
        # One whose first request is still being read is not idle: it must get its answer.
        self.requested = False


class _Http1Server(TCPServer):
    """Hypercorn's connection, but for HTTP/1 and nothing else."""

    @property
    def protocol(self) -> ProtocolWrapper:
        return self._protocol

    @protocol.setter
    def protocol(self, wrapper: ProtocolWrapper) -> None:
        # Set by run() before it reads anything.
        wrapper.protocol.connection = _Http1Connection(self.config.h11_max_incomplete_size)
        self._protocol = wrapper


class _Http1Connection(ExplainingConnection):
    """Ignores every wish to upgrade, as RFC 9110 section 7.8 permits, and refuses HTTP/2.

    Hypercorn would switch to HTTP/2 (h2c, which RFC 9113 has withdrawn) or serve a WebSocket,
    neither of them within our limits. WebSockets are recognized before Hypercorn, on the first
    request of a connection; on a later one ``/ws`` is answered like any request without upgrade.

    A connection ends with the first request that is refused here or has both a Content-Length and
    a Transfer-Encoding: what comes behind such a request may have been meant as its body (RFC 9112
    section 6.1).
    """

    _last = False
    """The connection ends with its answer."""

    def judge(self, request: h11.Request) -> h11.Request:
        if request.http_version not in _SPOKEN:
            raise Unsupported(ONLY_HTTP_1, error_status_hint=505)
        if request.method == b"CONNECT":
            raise Unsupported(NO_CONNECT, error_status_hint=501)
        names = {name for name, _ in request.headers}
        if b"content-length" in names and b"transfer-encoding" in names:
            self._last = True
        return h11.Request(
            method=request.method,
            target=_origin_form(request.target),
            headers=[(name, value) for name, value in request.headers if name != b"upgrade"],
            http_version=request.http_version,
        )

    def send(self, event: Any) -> Any:
        if self._last and isinstance(event, h11.Response) and _CLOSE not in list(event.headers):
            headers = [*event.headers, _CLOSE]
            event = h11.Response(status_code=event.status_code, headers=headers)
        return super().send(event)


def _origin_form(target: bytes) -> bytes:
    """Reduce the other forms of RFC 9112 section 3.2 to a path; there is one host only."""
    if target == b"*":
        return b"/"
    if not target.startswith(b"http://"):
        return target
    return b"/" + target.removeprefix(b"http://").partition(b"/")[2]


class _Log(Logger):
    """Hypercorn's errors by way of the standard library, its requests as structured events."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._requests = get_logger("http").bind()

    async def access(  # noqa: ASYNC910 - logging does not wait
        self, request: WWWScope, response: ResponseSummary | None, request_time: float
    ) -> None:
        self._requests.debug(
            "request",
            method=request.get("method"),
            path=shortened(request["path"]),
            status=None if response is None else response["status"],
            seconds=round(request_time, 6),
        )


def _make_config(limits: Limits) -> Config:
    config = Config()
    config.include_server_header = False
    config.include_date_header = True
    config.h11_max_incomplete_size = limits.head_bytes
    config.keep_alive_timeout = KEEP_ALIVE_SECONDS
    # Hypercorn's read_timeout would also cut off who takes long to receive a long answer. Reading
    # is bounded by the idle timer between requests and by the guard inside of them.
    config.read_timeout = None
    config.accesslog = None
    config.errorlog = logging.getLogger("hypercorn.error")
    config.logger_class = _Log
    return config
