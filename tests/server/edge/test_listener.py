"""Accepting, on a real loopback socket or on a fake one that fails."""

import contextlib
import errno
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
import trio.testing
from structlog.testing import capture_logs
from trio.testing import MockClock

from server.auth.proxies import Proxies
from server.auth.sources import Sources
from server.edge.accepted import AcceptedConnection
from server.edge.listener import Listener, open_sockets
from server.edge.places import SETTLING_SECONDS, Places
from server.edge.porch import Porch
from server.support.counters import Counters
from server.support.limits import Limits
from tests.server.harness import Cutter, as_stream, local_pair, sweep, tasks, until

EXHAUSTED = (errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

settled = trio.testing.wait_all_tasks_blocked

HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


@attrs.define
class Listening:
    counters: Counters
    peers: list[AcceptedConnection]
    address: tuple[str, int]
    sock: socket.socket
    accepting: trio.Nursery
    handlers: trio.Nursery
    fail: bool = False

    async def dial(self, say: bytes = HEAD) -> trio.SocketStream:
        """Connect and send a request."""
        stream = await trio.open_tcp_stream(*self.address)
        await stream.send_all(say)
        return stream


@asynccontextmanager
async def listening(
    most: int = 10, sock: socket.socket | None = None, limits: Limits | None = None
) -> AsyncIterator[Listening]:
    """Accept; each handler holds its connection until the peer ends it."""
    sock = sock or open_sockets("127.0.0.1", 0)[0]
    limits = limits or Limits()
    counters = Counters()
    peers: list[AcceptedConnection] = []

    async def handle(peer: AcceptedConnection) -> None:
        peers.append(peer)
        try:
            with contextlib.suppress(trio.ClosedResourceError):  # it had to give way
                await peer.stream.receive_some()
            if it.fail:
                raise ValueError("a defect in the handler")
        finally:
            await peer.aclose()

    async with trio.open_nursery() as handlers, trio.open_nursery() as accepting:
        listener = Listener(
            handle,
            handlers,
            places=Places(most=most, limits=limits),
            sources=Sources(Proxies()),
            limits=limits,
            counters=counters,
        )
        address = sock.getsockname()
        accepting.start_soon(listener.run, sock)  # noqa: ASYNC113
        it = Listening(counters, peers, address, sock, accepting, handlers)
        yield it
        accepting.cancel_scope.cancel()
        handlers.cancel_scope.cancel()
    assert sock.fileno() == -1
    assert counters.connections_current == 0
    assert all(peer.sock is not None and peer.sock.fileno() == -1 for peer in peers)


async def test_each_connection_gets_a_handler_and_is_counted() -> None:
    async with listening() as it:
        streams = [await it.dial() for _ in range(5)]
        await until(lambda: len(it.peers) >= 5)
        assert it.counters.connections_current == it.counters.connections_accepted == 5
        assert {peer.address for peer in it.peers} == {"127.0.0.1"}
        for stream in streams:
            await stream.aclose()
        await until(lambda: not it.counters.connections_current)
        assert it.counters.connections_accepted == 5


async def test_many_that_come_at_once_are_all_accepted() -> None:
    async with listening(most=1000) as it:
        dialling = [socket.create_connection(it.address) for _ in range(200)]
        for sock in dialling:
            sock.send(HEAD)
        await until(lambda: len(it.peers) == 200)
        for sock in dialling:
            sock.close()
        await until(lambda: not it.counters.connections_current)


async def test_above_the_cap_the_answer_is_503() -> None:
    with capture_logs() as logs:
        async with listening(most=2) as it:
            streams = [await it.dial() for _ in range(2)]
            await until(lambda: len(it.peers) >= 2)
            refused = await it.dial()
            answer = b""
            while data := await refused.receive_some():
                answer += data
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert b"Retry-After: 5\r\n" in answer
            assert b'"error"' in answer
            assert it.counters.connections_refused == 1
            assert it.counters.connections_current == 2
            await refused.aclose()

            await streams.pop().aclose()
            await until(lambda: it.counters.connections_current < 2)
            streams.append(await it.dial())
            await until(lambda: len(it.peers) >= 3)
            for stream in streams:
                await stream.aclose()
    assert [entry["event"] for entry in logs] == ["refused"]


async def test_a_handler_that_fails_is_logged_and_the_others_go_on() -> None:
    with capture_logs() as logs:
        async with listening() as it:
            it.fail = True
            async with await it.dial():
                pass
            await until(lambda: it.peers and not it.counters.connections_current)
            it.fail = False
            async with await it.dial():
                await until(lambda: len(it.peers) >= 2)
    [entry] = logs
    assert (entry["event"], entry["address"]) == ("failed", "127.0.0.1")


class Faulty(socket.socket):
    """A listening socket whose accept() fails as it is told to."""

    def __init__(self, errors: list[int]) -> None:
        self.inner, self._other = local_pair()
        self._other.send(b"x")  # readable for ever
        self.errors = errors
        self.calls: list[float] = []
        super().__init__(fileno=self.inner.detach())
        self.given: socket.socket | None = None

    def accept(self) -> tuple[socket.socket, tuple[str, int]]:
        self.calls.append(trio.current_time())
        if self.errors:
            number = self.errors.pop(0)
            if number == errno.EAGAIN:
                raise BlockingIOError(number, "again")
            raise OSError(number, "fails")
        self.recv(1)
        self.given, there = local_pair()
        self.given.send(HEAD)
        return there, ("192.0.2.7", 1234)

    def getsockname(self) -> tuple[str, int]:
        return ("192.0.2.1", 8080)

    def close(self) -> None:
        self._other.close()
        super().close()


@pytest.mark.parametrize(
    ("number", "calls"),
    [
        *((each, [0, 0.1, 0.2, 0.3, 0.3, 0.3]) for each in EXHAUSTED),
        # Each time once more, with the spare descriptor.
        (errno.EMFILE, [0, 0, 0.1, 0.1, 0.2, 0.2]),
    ],
)
async def test_a_system_without_resources_is_given_a_rest(
    autojump_clock: MockClock, number: int, calls: list[float]
) -> None:
    faulty = Faulty([number] * 3 + [errno.EAGAIN])
    with capture_logs() as logs:
        async with listening(sock=faulty) as it:
            await until(lambda: bool(it.peers), every=0.01)
            assert faulty.calls == pytest.approx(calls)
            assert faulty.given is not None
            faulty.given.close()
            await settled()
    assert {entry["event"] for entry in logs} == {"cannot accept"}


async def test_a_connection_that_is_gone_before_it_is_accepted_costs_nothing(
    autojump_clock: MockClock,
) -> None:
    faulty = Faulty([errno.ECONNABORTED, errno.EPROTO, errno.EAGAIN])
    with capture_logs() as logs:
        async with listening(sock=faulty) as it:
            await settled()
            assert it.counters.connections_accepted == 1
            assert trio.current_time() == 0
            assert faulty.given is not None
            faulty.given.close()
            await settled()
    assert logs == []


async def test_whoever_is_refused_may_have_gone_already() -> None:
    faulty = Faulty([])

    class Gone(Faulty):
        def accept(self) -> tuple[socket.socket, tuple[str, int]]:
            sock, address = super().accept()
            assert self.given is not None
            self.given.close()
            return sock, address

    faulty.close()
    gone = Gone([])
    async with listening(most=0, sock=gone) as it:
        await settled()
        assert it.counters.connections_refused == 1
        assert it.peers == []


def test_all_addresses_of_a_host_get_the_same_port() -> None:
    sockets = open_sockets("localhost", 0)
    try:
        assert len({sock.getsockname()[1] for sock in sockets}) == 1
        assert all(sock.getsockname()[1] for sock in sockets)
        assert len({sock.family for sock in sockets}) == len(sockets)
    finally:
        for sock in sockets:
            sock.close()


def test_no_host_means_every_interface() -> None:
    sockets = open_sockets("", 0)
    try:
        assert {sock.getsockname()[0] for sock in sockets} <= {"0.0.0.0", "::"}  # noqa: S104
    finally:
        for sock in sockets:
            sock.close()


def test_a_port_in_use_is_an_error_and_leaves_no_socket_open() -> None:
    [sock] = open_sockets("127.0.0.1", 0)
    with sock, pytest.raises(OSError, match="in use"):
        open_sockets("127.0.0.1", sock.getsockname()[1])


def test_a_host_without_address_is_an_error() -> None:
    with pytest.raises(socket.gaierror):
        open_sockets("no-such-host.invalid", 0)


def test_cancelled_at_any_step_the_listening_socket_is_closed() -> None:
    async def scenario(cutter: Cutter) -> None:
        before = tasks()
        faulty = Faulty([errno.EMFILE, errno.EAGAIN])
        async with listening(sock=faulty) as it:
            cutter.arm(it.accepting.cancel_scope)
            with trio.CancelScope(shield=True):
                await trio.sleep(1)
            if faulty.given is not None:
                await as_stream(faulty.given).aclose()
            cutter.disarm()
        assert tasks() == before

    sweep(scenario, least=2, errors=True)


# --- without a task -------------------------------------------------------------------------


async def read_all(stream: trio.SocketStream) -> bytes:
    answer = b""
    while data := await stream.receive_some():
        answer += data
    await stream.aclose()
    return answer


async def test_who_says_nothing_has_no_task() -> None:
    async with listening() as it:
        await settled()
        before = tasks()
        streams = [await it.dial(b"") for _ in range(5)]
        await until(lambda: it.counters.connections_accepted == 5)
        assert (tasks(), it.peers) == (before, [])

        await streams[0].send_all(HEAD)
        await until(lambda: bool(it.peers))
        assert it.peers[0].first == HEAD
        for stream in streams:
            await stream.aclose()
        await until(lambda: not it.counters.connections_current)


async def test_who_says_nothing_in_its_time_is_hung_up_on_and_who_is_late_is_told_so() -> None:
    with capture_logs() as logs:
        async with listening(limits=Limits(first_request_seconds=0.05)) as it:
            silent, late = await it.dial(b""), await it.dial(HEAD[:10])
            assert await read_all(silent) == b""
            answer = await read_all(late)
            assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
            assert b"no complete request within 0.05 seconds" in answer
            assert it.counters.connections_refused == 1
            assert it.peers == []
    assert [entry["event"] for entry in logs] == ["refused"]


async def test_when_accepting_ends_whoever_has_said_nothing_is_hung_up_on() -> None:
    async with listening() as it:
        silent, asking = await it.dial(b""), await it.dial()
        await until(lambda: it.counters.connections_accepted == 2 and it.peers)
        it.accepting.cancel_scope.cancel()  # and of this test, which is in it
        with trio.CancelScope(shield=True):
            assert await read_all(silent) == b""
            assert it.counters.connections_current == 1
            await asking.aclose()


async def test_who_has_said_nothing_gives_way_when_all_places_are_taken() -> None:
    limits = Limits(first_request_seconds=60)
    async with listening(most=3, limits=limits) as it:
        silent = [await it.dial(b"") for _ in range(2)]
        kept = await it.dial()
        await until(lambda: it.counters.connections_accepted == 3 and it.peers)
        await trio.sleep(SETTLING_SECONDS)
        asking = await it.dial()
        await until(lambda: len(it.peers) == 2)
        answer = await read_all(silent[0])
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert it.counters.connections_current == 3
        for stream in (silent[1], kept, asking):
            await stream.aclose()
        await until(lambda: not it.counters.connections_current)


async def test_who_is_served_gives_way_as_well_if_it_has_no_seat() -> None:
    async with listening(most=1) as it:
        served = await it.dial()
        await until(lambda: bool(it.peers))
        await trio.sleep(SETTLING_SECONDS)
        other = await it.dial()
        await until(lambda: len(it.peers) == 2)
        assert await read_all(served) == b""
        assert it.counters.connections_current == 1
        await other.aclose()
        await until(lambda: not it.counters.connections_current)


async def test_without_descriptors_the_spare_one_serves_to_say_so() -> None:
    full = Faulty([errno.EMFILE])
    with capture_logs() as logs:
        async with listening(sock=full) as it:
            await until(lambda: it.counters.connections_refused == 1)
            assert full.given is not None
            answer = full.given.recv(10_000)
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert full.given.recv(10_000) == b""
            full.given.close()
            assert it.peers == []
    assert [entry["event"] for entry in logs] == ["cannot accept", "refused"]


async def test_without_epoll_everybody_has_a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Porch, "available", lambda: False)
    async with listening(most=2) as it:
        silent = [await it.dial(b"") for _ in range(2)]
        await until(lambda: len(it.peers) == 2)
        refused = await it.dial(b"")
        assert (await read_all(refused)).startswith(b"HTTP/1.1 503 ")
        for stream in silent:
            await stream.aclose()
        await until(lambda: not it.counters.connections_current)


async def test_a_flood_of_refusals_is_a_few_lines_in_the_log() -> None:
    with capture_logs() as logs:
        async with listening(most=0) as it:
            for _ in range(200):
                with socket.create_connection(it.address):
                    pass
            await until(lambda: it.counters.connections_refused == 200)
    assert 0 < len(logs) < 60
