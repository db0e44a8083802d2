"""What the tests of the server share: both ends of connections, fakes, and a cancelling machine.

Nothing here sleeps and nothing here reads a real clock. A test that cares for time takes
``autojump_clock``; one that cares for sockets uses loopback ones, which deliver at once.
"""

import itertools
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, Literal, TypeVar

import attrs
import orjson
import trio
import trio.testing
from structlog.testing import capture_logs

from protocol.dialects.base import Dialect
from protocol.dialects.estimatex import ESTIMATEX
from protocol.frames import unmask
from protocol.ids import MemberId, RoomId
from protocol.messages import TicketResult
from server.edge.accepted import AcceptedConnection
from server.edge.heartbeat import Heartbeat
from server.edge.lane import MessageHandler
from server.edge.poller import Poller, Readable
from server.edge.websocket import WebSocket
from server.support.counters import Counters
from server.support.limits import Limits

T = TypeVar("T")

Wire = Literal["memory", "socket"]
WIRES: Final[tuple[Wire, ...]] = ("memory", "socket")

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

REQUEST: Final = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
ACCEPT: Final = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # of that key, from RFC 6455 section 1.3
RESPONSE: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: " + ACCEPT + b"\r\n\r\n"
)

_MASK: Final = b"\x11\x22\x33\x44"
_RESET: Final = struct.pack("ii", 1, 0)


# --- frames ---------------------------------------------------------------------------------


def masked(payload: str | bytes, opcode: int = TEXT, *, fin: bool = True) -> bytes:
    """Make a frame as clients send them."""
    data = payload.encode() if isinstance(payload, str) else payload
    size = len(data)
    first = (0x80 if fin else 0) | opcode
    if size <= 125:
        head = bytes((first, 0x80 | size))
    elif size < 1 << 16:
        head = bytes((first, 0x80 | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, 0x80 | 127)) + size.to_bytes(8, "big")
    return head + _MASK + unmask(data, _MASK)


def masked_close(code: int = 1000, reason: str = "") -> bytes:
    """Make a client's close frame."""
    return masked(code.to_bytes(2, "big") + reason.encode(), CLOSE)


def said(kind: str, **data: object) -> bytes:
    """Make a client's message in the dialect of EstimateX."""
    return masked(orjson.dumps({"type": kind, "data": data}))


@attrs.frozen
class Frame:
    """One frame from the server."""

    opcode: int
    payload: bytes

    @property
    def code(self) -> int:
        """Of a close frame."""
        assert self.opcode == CLOSE, self
        return int.from_bytes(self.payload[:2], "big")

    @property
    def reason(self) -> str:
        """Of a close frame."""
        return self.payload[2:].decode()

    @property
    def text(self) -> str:
        """Of a text frame."""
        assert self.opcode == TEXT, self
        return self.payload.decode()

    @property
    def kind(self) -> str:
        """Of an event, or of plain text the text itself."""
        return str(orjson.loads(self.payload)["type"]) if self.payload[:1] == b"{" else self.text

    @property
    def data(self) -> Any:
        """Of an event."""
        return orjson.loads(self.payload)["data"]


def split(data: bytes) -> tuple[list[Frame], bytes]:
    """Read a server's whole frames, each of which must be complete in itself and unmasked."""
    frames = []
    while len(data) >= 2:
        assert data[0] & 0xF0 == 0x80, data[:20]
        size, at = data[1], 2
        if size == 126:
            size, at = int.from_bytes(data[2:4], "big"), 4
        elif size == 127:
            size, at = int.from_bytes(data[2:10], "big"), 10
        if len(data) < at + size:
            break
        frames.append(Frame(data[0] & 0x0F, data[at : at + size]))
        data = data[at + size :]
    return frames, data


# --- both ends of a connection --------------------------------------------------------------


class Client:
    """The other end of a WebSocket connection: raw bytes out, frames in."""

    def __init__(self, stream: trio.abc.HalfCloseableStream) -> None:
        self.stream = stream
        self._buffer = b""
        self._frames: list[Frame] = []
        self.ended = False
        """The server has ended or reset the connection."""

    async def send(self, *pieces: bytes) -> None:
        await self.stream.send_all(b"".join(pieces))

    async def _more(self) -> None:
        try:
            data = bytes(await self.stream.receive_some(65536))
        except trio.BrokenResourceError:
            data = b""
        self.ended = not data
        self._buffer += data

    async def head(self) -> bytes:
        """Read the head of an answer."""
        while b"\r\n\r\n" not in self._buffer and not self.ended:
            await self._more()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        return head

    async def all(self) -> bytes:
        """Read bytes until the server ends the connection."""
        while not self.ended:
            await self._more()
        data, self._buffer = self._buffer, b""
        return data

    async def frame(self) -> Frame:
        """Read the next frame; there must be one."""
        while True:
            found, self._buffer = split(self._buffer)
            self._frames += found
            if self._frames:
                break
            assert not self.ended, "the server has ended the connection"
            await self._more()
        return self._frames.pop(0)

    async def until(self, kind: str) -> Frame:
        """Read frames until there is an event of this type."""
        while (frame := await self.frame()).opcode != TEXT or frame.kind != kind:
            assert frame.opcode != CLOSE, frame
        return frame

    async def rest(self) -> list[Frame]:
        """Read frames until the server ends the connection, which must not be inside of one."""
        found, left = split(await self.all())
        assert left == b""
        frames, self._frames = self._frames + found, []
        return frames

    def reset(self) -> None:
        """Go without a word."""
        assert isinstance(self.stream, trio.SocketStream)
        self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.stream.socket.close()


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Make two connected loopback sockets that do not block."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        one = socket.create_connection(listening.getsockname())
        other, _ = listening.accept()
    one.setblocking(False)
    other.setblocking(False)
    return one, other


def local_pair(*, small: bool = False) -> tuple[socket.socket, socket.socket]:
    """Make two connected local sockets, which deliver at once; small ones take only little."""
    one, other = socket.socketpair()
    for sock in (one, other):
        if small:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        sock.setblocking(False)
    return one, other


def as_stream(sock: socket.socket) -> trio.SocketStream:
    return trio.SocketStream(trio.socket.from_stdlib_socket(sock))


class Released:
    """Counts how often a peer was released."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, peer: AcceptedConnection) -> None:
        self.count += 1


def make_peer(
    wire: Wire, *, small: bool = False, tcp: bool = False
) -> tuple[AcceptedConnection, Client, Released]:
    """Make a connection and its other end; in memory, small means one write at a time."""
    released = Released()
    if wire == "memory":
        make = trio.testing.lockstep_stream_pair if small else trio.testing.memory_stream_pair
        here, there = make()
        return (
            AcceptedConnection(here, address="192.0.2.1", release=released),
            Client(there),
            released,
        )
    sock, other = tcp_pair() if tcp else local_pair(small=small)
    peer = AcceptedConnection(as_stream(sock), sock=sock, address="192.0.2.1", release=released)
    return peer, Client(as_stream(other)), released


class Breaking(trio.abc.HalfCloseableStream):
    """Passes everything on, but breaks where the stream below ends."""

    def __init__(self, stream: trio.abc.HalfCloseableStream) -> None:
        self._stream = stream

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        data = bytes(await self._stream.receive_some(max_bytes))
        if not data:
            raise trio.BrokenResourceError
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()


class WatchedPoller(Poller):
    """A poller that says how many sockets it has been given and not been asked to drop."""

    def __init__(self) -> None:
        super().__init__()
        self._watched: set[int] = set()

    def __len__(self) -> int:
        return len(self._watched)

    def add(self, descriptor: int, reader: Readable) -> None:
        super().add(descriptor, reader)
        self._watched.add(descriptor)

    def remove(self, descriptor: int) -> None:
        super().remove(descriptor)
        self._watched.discard(descriptor)


class FakeSink:
    """Keeps what it is given; can be made full."""

    def __init__(self) -> None:
        self.full = False
        self.received: list[str | bytes] = []
        self.opens = 0
        self.settled = 0
        self.callbacks: list[Callable[[], None]] = []
        self.space = trio.Event()
        self.failing = False

    def fill(self) -> None:
        self.full, self.space = True, trio.Event()

    def drain(self) -> None:
        self.full = False
        self.space.set()
        callbacks, self.callbacks = self.callbacks, []
        for callback in callbacks:
            callback()

    def on_space(self, callback: Callable[[], None]) -> None:
        self.callbacks.append(callback)

    async def wait_for_space(self) -> None:
        while self.full:
            await self.space.wait()

    def opened(self) -> None:
        self.opens += 1

    def receive(self, text: str, now: float) -> None:
        if self.failing:
            raise ValueError("a defect in the sink")
        self.received.append(text)

    def end_batch(self) -> None:
        self.settled += 1

    async def receive_slow(self, message: str | bytes, now: float) -> None:
        await self.wait_for_space()
        self.received.append(message)


@attrs.define
class Wired:
    """A running connection and everything around it."""

    connection: WebSocket
    client: Client
    sink: FakeSink
    counters: Counters
    heartbeat: Heartbeat
    peer: AcceptedConnection
    released: Released
    done: trio.Event
    nursery: trio.Nursery

    async def opened(self) -> None:
        """Wait until the connection is open on the server's side, too."""
        await until(lambda: bool(self.counters.websockets_opened))

    async def gone(self) -> None:
        """Wait until the connection has ended, and look for what it left."""
        await self.done.wait()
        assert self.released.count == 1
        assert self.counters.websockets_current == 0
        if self.peer.sock is not None:
            assert self.peer.sock.fileno() == -1


@asynccontextmanager
async def wired(
    wire: Wire,
    *,
    limits: Limits | None = None,
    leftover: bytes = b"",
    small: bool = False,
    shaken: bool = True,
    before: Callable[[WebSocket], None] = lambda _: None,
    sink: MessageHandler | None = None,
    breaking: bool = False,
    tcp: bool = False,
) -> AsyncIterator[Wired]:
    """Run a connection; afterwards it must have ended, or is cancelled."""
    limits = limits or Limits()
    peer, client, released = make_peer(wire, small=small, tcp=tcp)
    if breaking:
        peer.stream = Breaking(peer.stream)
    counters = Counters()
    heartbeat = Heartbeat(limits.heartbeat_seconds, limits.heartbeat_timeout_seconds)
    done = trio.Event()
    fake = FakeSink()
    with WatchedPoller() as poller:
        connection = WebSocket(
            peer,
            RESPONSE,
            leftover,
            limits=limits,
            poller=poller,
            heartbeat=heartbeat,
            counters=counters,
        )

        async def run() -> None:
            try:
                await connection.run(sink or fake)
            finally:
                done.set()

        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(poller.run)  # noqa: ASYNC113
                nursery.start_soon(heartbeat.run)  # noqa: ASYNC113
                before(connection)
                nursery.start_soon(run)  # noqa: ASYNC113
                if shaken:
                    assert (await client.head()).startswith(b"HTTP/1.1 101 ")
                yield Wired(
                    connection, client, fake, counters, heartbeat, peer, released, done, nursery
                )
                nursery.cancel_scope.cancel()
        finally:
            await trio.aclose_forcefully(client.stream)
        assert len(poller) == 0
    assert done.is_set()
    assert released.count == 1
    assert counters.websockets_current == 0


# --- fakes of a room's surroundings ---------------------------------------------------------


class FakeMember:
    """A member whose connection ends when it is told to, or answers a close frame at once."""

    def __init__(
        self, name: str, *, answers: bool = True, dialect: Dialect = ESTIMATEX, crash: bool = False
    ) -> None:
        self.id = MemberId(f"id-{name}")
        self.name = name
        self.dialect = dialect
        self.source = "192.0.2.1"
        self.pushes: list[tuple[bytes, int]] = []
        self.closes: list[tuple[int, str, bytes]] = []
        self.running = False
        self.scope = trio.CancelScope()
        self._answers = answers
        self._crash = crash
        self._gone = trio.Event()

    @property
    def frames(self) -> list[Frame]:
        frames, left = split(b"".join(frames for frames, _ in self.pushes))
        assert left == b""
        return frames

    @property
    def kinds(self) -> list[str]:
        return [frame.kind for frame in self.frames]

    def push(self, frames: bytes, count: int) -> None:
        if not self.closes:
            self.pushes.append((frames, count))

    def close(self, code: int, reason: str, last: bytes = b"") -> None:
        if not self.closes:
            self.closes.append((code, reason, last))
            if self._answers:
                self._gone.set()

    def hang_up(self) -> None:
        self._gone.set()

    async def run(self) -> None:
        self.running = True
        try:
            with self.scope:
                await self._gone.wait()
                if self._crash:
                    raise ValueError("a defect in the member")
        finally:
            self.running = False


class FakeRecorder:
    """Notes what is handed over, and when, relative to other events."""

    def __init__(self, log: list[str] | None = None) -> None:
        self.log = [] if log is None else log
        self.results: list[tuple[RoomId, TicketResult]] = []
        self.closed: list[RoomId] = []

    def record(self, room_id: RoomId, record: TicketResult) -> None:
        self.log.append("record")
        self.results.append((room_id, record))

    def close(self, room_id: RoomId, at: float) -> None:
        assert at > 1e9, "Unix time is wanted"
        self.log.append("close")
        self.closed.append(room_id)


# --- cancelling everywhere ------------------------------------------------------------------


class Cutter(trio.abc.Instrument):
    """Cancels a scope just before the n-th step that any task takes after :meth:`arm`."""

    def __init__(self, step: int) -> None:
        self._left = step
        self._scope: trio.CancelScope | None = None
        self.cut = False

    def arm(self, scope: trio.CancelScope) -> None:
        """Begin to count; ``scope`` is around what is tested."""
        self._scope = scope

    def disarm(self) -> None:
        """What is tested has come to its own end."""
        self._scope = None

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if self._scope is None:
            return
        self._left -= 1
        if self._left == 0:
            self.cut = True
            self._scope.cancel()


async def until(condition: Callable[[], object], *, every: float = 0) -> None:
    """Let the others go on until ``condition`` holds; look again after so many virtual seconds."""
    while not condition():  # noqa: ASYNC110 - there is no event for what tests look at
        await trio.sleep(every)


def tasks() -> int:
    """Count the tasks of this run."""
    return trio.lowlevel.current_statistics().tasks_living


def sweep(
    scenario: Callable[[Cutter], Awaitable[None]],
    *,
    least: int,
    most: int = 2000,
    errors: bool = False,
    threads: bool = False,
) -> int:
    """Run a scenario again and again, cancelled one step later each time, to its natural end.

    Each run must leave no task, raise nothing (a test that wants Cancelled catches it by its own
    scope) and, unless ``errors``, log nothing at the level of errors.

    Args:
        scenario: gets the cutter and arms it.
        least: number of steps at which it must have been cancelled, lest the test tests nothing.
        most: number of steps after which it can be said never to end.
        errors: whether errors may be logged.
        threads: whether threads take part, for which a virtual clock would not wait.

    Returns:
        At how many steps it was cancelled.
    """

    async def run(cutter: Cutter) -> None:
        before = tasks()
        with trio.fail_after(20 if threads else 1000):  # virtual ones: what hangs is found at once
            await scenario(cutter)
        cutter.disarm()
        assert tasks() == before

    for step in itertools.count(1):
        cutter = Cutter(step)
        with capture_logs() as logs:
            trio.run(
                run,
                cutter,
                clock=None if threads else trio.testing.MockClock(autojump_threshold=0),
                instruments=[cutter],
            )
        if not errors:
            assert [entry for entry in logs if entry["log_level"] == "error"] == [], step
        if not cutter.cut:
            assert step > least
            return step - 1
        assert step < most
    raise AssertionError("unreachable")
