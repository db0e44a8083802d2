"""The one reader of many sockets."""

import select
import socket

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from server.edge.poller import Poller
from tests.server.harness import Cutter, WatchedPoller, local_pair, sweep

settled = trio.testing.wait_all_tasks_blocked


class Reader:
    """Reads from one end of a pair."""

    def __init__(self, poller: WatchedPoller) -> None:
        self.sock, self.other = local_pair()
        self.poller = poller
        self.heard: list[bytes] = []
        self.times: list[float] = []
        self.failed = 0
        self.crash = False

    def add(self) -> None:
        self.poller.add(self.sock.fileno(), self)

    def remove(self) -> None:
        self.poller.remove(self.sock.fileno())

    def close(self) -> None:
        if self.sock.fileno() >= 0:
            self.remove()
        self.sock.close()
        self.other.close()

    def read(self, now: float) -> None:
        self.times.append(now)
        if self.crash:
            raise ValueError("a defect in the reader")
        data = self.sock.recv(100)
        self.heard.append(data)
        if not data:
            self.remove()

    def fail(self) -> None:
        self.failed += 1
        self.remove()


@pytest.fixture
def poller() -> WatchedPoller:
    return WatchedPoller()


async def test_whatever_is_ready_is_read(poller: WatchedPoller) -> None:
    with poller:
        readers = [Reader(poller) for _ in range(600)]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(poller.run)
            for reader in readers:
                reader.add()
                reader.add()
                reader.other.send(b"early")
            assert len(poller) == 600
            await settled()
            for reader in readers:
                reader.other.send(b"late")
            await settled()
            nursery.cancel_scope.cancel()
        for reader in readers:
            assert reader.heard == [b"early", b"late"]
            assert reader.times == sorted(reader.times)
            reader.close()
        assert len(poller) == 0


async def test_what_was_not_read_is_reported_again(
    poller: WatchedPoller,
) -> None:
    with poller:
        reader = Reader(poller)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(poller.run)
            reader.add()
            reader.other.send(b"x" * 250)
            await settled()
            assert [len(data) for data in reader.heard] == [100, 100, 50]
            reader.other.close()
            await settled()
            assert reader.heard[-1] == b""
            nursery.cancel_scope.cancel()
        assert len(poller) == 0
        reader.close()


async def test_one_that_is_removed_is_not_read_until_it_is_added_again(
    poller: WatchedPoller,
) -> None:
    with poller:
        reader = Reader(poller)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(poller.run)
            reader.remove()
            reader.add()
            reader.remove()
            reader.remove()
            assert len(poller) == 0
            reader.other.send(b"x")
            await settled()
            assert reader.heard == []
            reader.add()
            await settled()
            assert reader.heard == [b"x"]
            nursery.cancel_scope.cancel()
        reader.close()


async def test_a_reader_that_fails_is_ended_and_the_others_go_on(poller: WatchedPoller) -> None:
    with poller, capture_logs() as logs:
        readers = [Reader(poller) for _ in range(9)]
        readers[4].crash = True
        async with trio.open_nursery() as nursery:
            nursery.start_soon(poller.run)
            for reader in readers:
                reader.other.send(b"x")
                reader.add()
            await settled()
            nursery.cancel_scope.cancel()
        assert [reader.failed for reader in readers] == [0, 0, 0, 0, 1, 0, 0, 0, 0]
        assert [reader.heard for reader in readers if not reader.crash] == [[b"x"]] * 8
        assert [(entry["event"], entry["component"]) for entry in logs] == [
            ("failed", "connection")
        ]
        for reader in readers:
            reader.close()


async def test_one_that_is_closed_inside_of_a_pass_is_not_read_in_it(poller: WatchedPoller) -> None:
    class Closer(Reader):
        victim: Reader | None = None

        def read(self, now: float) -> None:
            super().read(now)
            if self.victim is not None:
                self.victim.close()

    with poller:
        one, other = Closer(poller), Closer(poller)
        one.victim, other.victim = other, one
        async with trio.open_nursery() as nursery:
            nursery.start_soon(poller.run)
            for reader in (one, other):
                reader.other.send(b"x")
                reader.add()
            await settled()
            nursery.cancel_scope.cancel()
        assert len(one.heard) + len(other.heard) == 1
        assert len(poller) == 1
        one.close()
        other.close()


async def test_hang_ups_are_reported(poller: WatchedPoller) -> None:
    with poller:
        reader = Reader(poller)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(poller.run)
            reader.add()
            reader.other.shutdown(socket.SHUT_RDWR)
            await settled()
            nursery.cancel_scope.cancel()
        assert reader.heard == [b""]
        reader.close()


def test_it_is_known_whether_the_system_has_epoll(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Poller.available()
    monkeypatch.delattr(select, "epoll")
    assert not Poller.available()


def test_cancelled_at_any_step_it_leaves_the_sockets_open() -> None:
    async def scenario(cutter: Cutter) -> None:
        with WatchedPoller() as poller:
            reader = Reader(poller)
            reader.add()
            with trio.move_on_after(1) as scope:
                cutter.arm(scope)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(poller.run)
                    for _ in range(5):
                        reader.other.send(b"x")
                        await trio.lowlevel.checkpoint()
            assert reader.sock.fileno() >= 0
            reader.close()

    sweep(scenario, least=5)
