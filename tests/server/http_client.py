"""A small HTTP client for tests: raw bytes in, whole answers out, on any Trio stream."""

import json
import socket
from typing import Any, Final

import attrs
import h11
import trio
import trio.testing

from server.admission import estimatex, gochat
from server.admission.routes import (
    CHAT_PATH,
    ECHO_PATH,
    ESTIMATION_PATH,
    Upgrade,
    WebSocketRoute,
)
from server.http.application import make_application
from server.http.routes.health import Health
from server.http.routes.rooms import RoomsOverHttp
from server.http.serve import HttpServer
from server.store.results import ResultsStore
from server.support.counters import Counters
from server.support.limits import Limits
from tests.server.memory_results import MemoryResults

UP = Health(status="ok", uptime=1.5, rooms=2, connections=3)


class FakeSocket:
    """What Hypercorn asks a socket for."""

    family = socket.AF_INET

    def getpeername(self) -> tuple[str, int]:
        return ("192.0.2.1", 1234)

    def getsockname(self) -> tuple[str, int]:
        return ("192.0.2.2", 8080)


@attrs.frozen
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """One connection to a server."""

    def __init__(self, stream: trio.abc.HalfCloseableStream) -> None:
        self.stream = stream
        self._buffer = b""

    async def send(self, *pieces: str | bytes) -> None:
        for piece in pieces:
            await self.stream.send_all(piece.encode() if isinstance(piece, str) else piece)

    async def answer(self, method: str = "GET") -> Answer:
        """Read one answer; ``method`` is that of the request, for HEAD has no body."""
        parser = h11.Connection(h11.CLIENT)
        parser.send(h11.Request(method=method, target="/", headers=[("host", "t")]))
        parser.send(h11.EndOfMessage())
        if self._buffer:
            parser.receive_data(self._buffer)
        head: h11.Response | None = None
        body = bytearray()
        while True:
            event = parser.next_event()
            if event is h11.NEED_DATA:
                parser.receive_data(bytes(await self.stream.receive_some()))
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                break
            else:
                assert isinstance(event, h11.InformationalResponse), event
        self._buffer = parser.trailing_data[0]
        assert head is not None
        headers: dict[str, str] = {}
        for name, value in head.headers:
            before = headers.get(name.decode())
            headers[name.decode()] = f"{before}, {value.decode()}" if before else value.decode()
        return Answer(head.status_code, headers, bytes(body))

    async def begun(self) -> None:
        """Wait until the server has begun to answer."""
        self._buffer += bytes(await self.stream.receive_some(1))

    async def ask(self, target: str, method: str = "GET", *, head: str = "") -> Answer:
        await self.send(f"{method} {target} HTTP/1.1\r\nHost: t\r\n{head}\r\n")
        return await self.answer(method)

    async def ended(self) -> bytes:
        """Read until the server ends the connection; return what came that was no answer."""
        rest = self._buffer
        try:
            while more := await self.stream.receive_some():
                rest += more
        except trio.BrokenResourceError:
            pass
        return rest


async def nowhere(upgrade: Upgrade) -> None:  # noqa: ASYNC124 - a handler is asynchronous
    raise AssertionError("upgrades are not recognized here")


ENDPOINTS: Final = [
    WebSocketRoute(path=ESTIMATION_PATH, handler=nowhere, how=estimatex.HOW_TO_CONNECT),
    WebSocketRoute(path=ECHO_PATH, handler=nowhere, how=estimatex.HOW_TO_ECHO),
    WebSocketRoute(path=CHAT_PATH, handler=nowhere, how=gochat.HOW_TO_CONNECT),
]


def endpoints(*, echo: bool = False, chat: bool = True) -> list[WebSocketRoute]:
    """The WebSocket endpoints, for those who ask without an upgrade."""
    left_out = {*(() if echo else (ECHO_PATH,)), *(() if chat else (CHAT_PATH,))}
    return [each for each in ENDPOINTS if each.path not in left_out]


def make_server(
    store: ResultsStore | None = None,
    *,
    health: Health = UP,
    limits: Limits | None = None,
    counters: Counters | None = None,
    echo: bool = False,
    chat: bool = False,
    rooms: RoomsOverHttp | None = None,
) -> HttpServer:
    limits = limits or Limits()
    application = make_application(
        store=store or MemoryResults(),
        counters=counters or Counters(),
        limits=limits,
        version="1.2.3",
        health=lambda: health,
        websockets=endpoints(echo=echo, chat=chat),
        rooms=rooms,
    )
    return HttpServer(application, limits)


def connect(nursery: trio.Nursery, server: HttpServer, *, lockstep: bool = False) -> Client:
    """Serve one end of a memory stream; in lockstep, sending waits until the other end reads."""
    client: trio.abc.HalfCloseableStream
    other: trio.abc.HalfCloseableStream
    if lockstep:
        client, other = trio.testing.lockstep_stream_pair()
    else:
        client, other = trio.testing.memory_stream_pair()
    other.socket = FakeSocket()  # type: ignore[union-attr]
    nursery.start_soon(server.serve_connection, other)
    return Client(client)
