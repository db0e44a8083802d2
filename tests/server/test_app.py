"""The whole server in this process, on a free port, stopped by real signals."""

import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from server.app import serve
from server.edge.poller import Poller
from server.settings.config import Settings
from server.support.errors import CannotListen
from server.support.limits import Limits
from tests.server.harness import REQUEST, Client, Cutter, masked_close, said, sweep, tasks

# Real sockets and a real clock: nothing here waits for time to pass.
settled = trio.testing.wait_all_tasks_blocked


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database is made in the working directory."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """A signal that nobody has read is delivered again when the server has ended."""

    def ignore(number: int, frame: object) -> None:
        pass

    before = {number: signal.signal(number, ignore) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@attrs.define
class Served:
    url: str
    nursery: trio.Nursery
    codes: list[int] = attrs.field(factory=list)
    clients: list[Client] = attrs.field(factory=list)

    async def dial(self) -> Client:
        port = int(self.url.rpartition(":")[2])
        client = Client(await trio.open_tcp_stream("127.0.0.1", port))
        self.clients.append(client)
        return client

    async def ask(self, target: str) -> bytes:
        client = await self.dial()
        await client.send(
            b"GET %s HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n" % target.encode()
        )
        return await client.all()

    async def upgrade(self, target: str) -> Client:
        client = await self.dial()
        await client.send(REQUEST.replace(b"/ws ", target.encode() + b" "))
        assert (await client.head()).startswith(b"HTTP/1.1 101 ")
        return client


@asynccontextmanager
async def served(settings: Settings | None = None) -> AsyncIterator[Served]:
    settings = settings or Settings(host="127.0.0.1", port=0, echo=True)
    before = tasks()
    it: Served | None = None
    try:
        async with trio.open_nursery() as nursery:
            urls: list[str] = []
            codes: list[int] = []
            announced = trio.Event()

            def announce(url: str) -> None:
                urls.append(url)
                announced.set()

            async def run() -> None:
                codes.append(await serve(settings, announce))

            nursery.start_soon(run)  # noqa: ASYNC113
            await announced.wait()
            it = Served(urls[0], nursery, codes)
            yield it
    finally:
        with trio.CancelScope(shield=True):
            for client in it.clients if it is not None else []:
                await trio.aclose_forcefully(client.stream)
    assert tasks() == before


async def test_the_address_that_is_announced_is_the_one_that_serves() -> None:
    async with served() as it:
        assert it.url.startswith("http://127.0.0.1:")
        assert not it.url.endswith(":0")
        answer = await it.ask("/health")
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b'"status":"ok"' in answer.replace(b" ", b"")
        signal.raise_signal(signal.SIGTERM)
    assert it.codes == [0]


@pytest.mark.parametrize(
    ("host", "shown"), [("", "localhost"), ("localhost", "localhost"), ("::1", "[::1]")]
)
async def test_the_address_can_be_typed_into_a_browser(host: str, shown: str) -> None:
    try:
        socket.create_server(
            (host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET
        ).close()
    except OSError:
        assert ":" in host  # a system without IPv6
        return
    async with served(Settings(host=host, port=0)) as it:
        assert it.url.rpartition(":")[0] == f"http://{shown}"
        signal.raise_signal(signal.SIGINT)
    assert it.codes == [0]


@pytest.mark.parametrize("polled", [True, False])
async def test_a_signal_drains_the_server(polled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Poller, "available", lambda: polled)
    with capture_logs() as logs:
        async with served() as it:
            ada = await it.upgrade("/ws?action=CREATE_ROOM&name=Ada&max_room_capacity=5")
            room_id = (await ada.until("CREATE_ROOM")).data["room_id"]
            await ada.send(said("JOIN_ROOM", room_id=room_id))
            await ada.until("ROOM_JOIN_UPDATES")
            echo = await it.upgrade("/ws/echo")
            silent = await it.dial()
            await settled(0.01)

            signal.raise_signal(signal.SIGTERM)
            for client in (ada, echo):
                while (frame := await client.frame()).opcode != 8:
                    pass
                assert (frame.code, frame.reason) == (1001, "the server is shutting down")
                await client.send(masked_close(1001))
                assert await client.all() == b""
            assert await silent.all() == b""
    assert it.codes == [0]
    assert [e["late"] for e in logs if e["event"] == "stopped"] == [False]
    assert [e for e in logs if e["log_level"] == "error"] == []


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_ends_the_server_at_once(second: signal.Signals) -> None:
    limits = Limits(close_seconds=60)
    with capture_logs() as logs:
        async with served(Settings(host="127.0.0.1", port=0, limits=limits)) as it:
            ada = await it.upgrade("/ws?action=CREATE_ROOM&name=Ada&max_room_capacity=5")
            await ada.until("CREATE_ROOM")
            signal.raise_signal(signal.SIGTERM)
            while (frame := await ada.frame()).opcode != 8:
                pass
            assert frame.code == 1001
            signal.raise_signal(second)
            assert await ada.all() == b""
    assert it.codes == [128 + second]
    assert [e["late"] for e in logs if e["event"] == "stopped"] == [True]


async def test_members_that_do_not_answer_are_cut_at_the_end_of_the_drain() -> None:
    limits = Limits(close_seconds=60, drain_seconds=0.05)
    async with served(Settings(host="127.0.0.1", port=0, limits=limits)) as it:
        ada = await it.upgrade("/ws?action=CREATE_ROOM&name=Ada&max_room_capacity=5")
        await ada.until("CREATE_ROOM")
        signal.raise_signal(signal.SIGTERM)
        assert [frame.code for frame in (await ada.rest())[-1:]] == [1001]
    assert it.codes == [0]


async def test_what_comes_while_draining_finds_nobody() -> None:
    limits = Limits(close_seconds=60)
    async with served(Settings(host="127.0.0.1", port=0, limits=limits)) as it:
        ada = await it.upgrade("/ws?action=CREATE_ROOM&name=Ada&max_room_capacity=5")
        signal.raise_signal(signal.SIGTERM)
        while (await ada.frame()).opcode != 8:
            pass
        with pytest.raises(OSError, match="all attempts to connect"):
            await it.dial()
        await ada.send(masked_close(1001))


async def test_health_and_metrics_tell_what_is_going_on() -> None:
    async with served() as it:
        ada = await it.upgrade("/ws?action=CREATE_ROOM&name=Ada&max_room_capacity=5")
        await ada.until("CREATE_ROOM")
        health = (await it.ask("/health")).replace(b" ", b"")
        assert b'"rooms":1' in health
        assert b'"connections":2' in health
        metrics = await it.ask("/metrics")
        assert b"\nparley_rooms_current 1.0\n" in metrics
        assert b"\nparley_connections_current 2.0\n" in metrics
        signal.raise_signal(signal.SIGTERM)
        await ada.stream.aclose()


async def test_a_port_in_use_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.RaisesGroup(
            pytest.RaisesExc(CannotListen, match=f"cannot listen on 127.0.0.1:{port}: .* in use")
        ):
            await serve(Settings(host="127.0.0.1", port=port), lambda _: None)


async def test_a_signal_while_starting_is_no_drain() -> None:
    settings = Settings(host="127.0.0.1", port=0)
    codes: list[int] = []

    async def run() -> None:
        codes.append(await serve(settings, lambda _: pytest.fail("it has started")))

    async with trio.open_nursery() as nursery:
        before = signal.getsignal(signal.SIGINT)
        nursery.start_soon(run)
        while signal.getsignal(signal.SIGINT) is before:
            await trio.lowlevel.checkpoint()
        signal.raise_signal(signal.SIGINT)
    assert codes == [128 + signal.SIGINT]


async def test_until_the_delay_is_over_everything_is_served_but_not_ready() -> None:
    limits = Limits(shutdown_delay=1000, close_seconds=0.02)
    async with served(Settings(host="127.0.0.1", port=0, limits=limits)) as it:
        kept = await it.dial()
        await kept.send(b"GET /ready HTTP/1.1\r\nHost: t\r\n\r\n")
        head = await kept.head()
        assert head.startswith(b"HTTP/1.1 200 ")
        assert b"connection: close" not in head.lower()

        signal.raise_signal(signal.SIGTERM)
        await settled()

        await kept.send(b"GET /ready HTTP/1.1\r\nHost: t\r\n\r\n")
        answer = await kept.all()
        assert answer.startswith(b'{"ready":true}HTTP/1.1 503 ')
        assert b"connection: close" in answer.lower()
        assert answer.endswith(b'{"ready":false}')
        assert (await it.ask("/live")).startswith(b"HTTP/1.1 200 ")
        health = await it.ask("/health")
        assert health.startswith(b"HTTP/1.1 503 ")
        assert b'"status":"draining"' in health
        ada = await it.upgrade("/ws?action=CREATE_ROOM&name=Ada&max_room_capacity=5")
        await ada.until("CREATE_ROOM")
        signal.raise_signal(signal.SIGTERM)
        await ada.all()
    assert it.codes == [128 + signal.SIGTERM]


def test_cancelled_at_any_step_the_server_leaves_nothing() -> None:
    async def scenario(cutter: Cutter) -> None:
        before = tasks()
        clients: list[Client] = []
        with trio.CancelScope() as scope:
            cutter.arm(scope)
            async with trio.open_nursery() as nursery:
                port = 0

                def announce(url: str) -> None:
                    nonlocal port
                    port = int(url.rpartition(":")[2])
                    nursery.start_soon(visit)

                async def visit() -> None:
                    client = Client(await trio.open_tcp_stream("127.0.0.1", port))
                    clients.append(client)
                    await client.send(
                        REQUEST.replace(
                            b"/ws ", b"/ws?action=CREATE_ROOM&name=Ada&max_room_capacity=5 "
                        )
                    )
                    await client.head()
                    signal.raise_signal(signal.SIGTERM)
                    await client.rest()

                limits = Limits(close_seconds=0.02)
                await serve(Settings(host="127.0.0.1", port=0, limits=limits), announce)
        for client in clients:
            await trio.aclose_forcefully(client.stream)
        assert tasks() == before

    sweep(scenario, least=20, threads=True)
