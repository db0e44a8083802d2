"""Connections that have not asked for anything yet: who goes to the door, and who is let go."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import attrs
import pytest
import trio
from trio.testing import MockClock

from server.edge.accepted import AcceptedConnection
from server.edge.porch import Porch
from tests.server.harness import local_pair

HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
SECONDS = 5.0


@attrs.define
class Standing:
    porch: Porch
    proceeded: list[AcceptedConnection]
    closed: list[AcceptedConnection]
    late: list[AcceptedConnection]
    sockets: list[socket.socket]

    def come(self) -> tuple[AcceptedConnection, socket.socket]:
        """Take in a connection; give it and its other end."""
        here, there = local_pair()
        peer = AcceptedConnection(sock=here)
        self.porch.add(peer, here)
        self.sockets += [here, there]
        return peer, there


@contextmanager
def porch(head_bytes: int = 1000) -> Iterator[Standing]:
    proceeded: list[AcceptedConnection] = []
    closed: list[AcceptedConnection] = []
    late: list[AcceptedConnection] = []
    with Porch(
        proceeded.append,
        closed.append,
        lambda peer, _: late.append(peer),
        seconds=SECONDS,
        head_bytes=head_bytes,
    ) as made:
        it = Standing(made, proceeded, closed, late, [])
        try:
            yield it
        finally:
            for sock in it.sockets:
                sock.close()


async def test_who_has_said_all_goes_to_the_door(autojump_clock: MockClock) -> None:  # noqa: ASYNC124 - needs the clock
    with porch() as it:
        peer, there = it.come()
        for at in range(len(HEAD)):
            assert it.proceeded == []
            there.send(HEAD[at : at + 1])
            assert not it.porch.look()
        assert it.proceeded == [peer]
        assert peer.first == HEAD
        there.send(b"more")
        it.porch.look()
        assert peer.first == HEAD
        assert it.porch.deadline == float("inf")


@pytest.mark.parametrize(
    "said",
    [
        HEAD + b"and the rest",
        HEAD.replace(b"\r\n", b"\n"),
        b"GET / HTTP/1.1\n\r\n",
        b"\x16\x03\x01\x02",
        b"\r\n",
        b"x" * 1000,
    ],
)
async def test_what_can_be_judged_is_judged_at_once(said: bytes, autojump_clock: MockClock) -> None:  # noqa: ASYNC124 - needs the clock
    with porch() as it:
        peer, there = it.come()
        there.send(said)
        it.porch.look()
        assert it.proceeded == [peer]
        assert peer.first == said


async def test_not_more_is_read_than_a_head_may_have(autojump_clock: MockClock) -> None:  # noqa: ASYNC124 - needs the clock
    with porch(head_bytes=100) as it:
        peer, there = it.come()
        there.send(b"x" * 60)
        it.porch.look()
        there.send(b"x" * 60)
        it.porch.look()
        assert it.proceeded == [peer]
        assert peer.first == b"x" * 100


@pytest.mark.parametrize("said", [b"", HEAD[:10]])
async def test_who_goes_is_closed(said: bytes, autojump_clock: MockClock) -> None:  # noqa: ASYNC124 - needs the clock
    with porch() as it:
        peer, there = it.come()
        there.send(said)
        it.porch.look()
        there.close()
        it.porch.look()
        assert it.closed == [peer]
        assert it.porch.deadline == float("inf")


async def test_the_time_of_each_is_up_on_its_own(autojump_clock: MockClock) -> None:
    with porch() as it:
        silent, _ = it.come()
        await trio.sleep(1)
        half, there = it.come()
        there.send(HEAD[:10])
        it.porch.look()
        assert it.porch.deadline == SECONDS

        it.porch.expire(SECONDS)
        assert (it.closed, it.late) == ([silent], [])
        it.porch.expire(SECONDS + 1)
        assert (it.closed, it.late) == ([silent], [half])


async def test_what_is_removed_is_left_alone(autojump_clock: MockClock) -> None:  # noqa: ASYNC124 - needs the clock
    with porch() as it:
        _, there = it.come()
        it.porch.remove(it.sockets[0])
        it.porch.remove(it.sockets[0])
        there.send(HEAD)
        it.porch.look()
        it.porch.expire(100)
    assert (it.proceeded, it.closed, it.late) == ([], [], [])


async def test_at_the_end_whoever_is_still_there_is_closed(autojump_clock: MockClock) -> None:  # noqa: ASYNC124 - needs the clock
    with porch() as it:
        peers = [it.come()[0] for _ in range(3)]
    assert it.closed == peers


async def test_a_crowd_is_looked_at_in_parts(autojump_clock: MockClock) -> None:  # noqa: ASYNC124 - needs the clock
    with porch() as it:
        for _ in range(200):
            it.come()[1].send(HEAD)
        it.porch.look()
        assert 0 < len(it.proceeded) < 100
        while len(it.proceeded) < 200:
            it.porch.look()


async def test_a_listening_socket_is_told_apart(autojump_clock: MockClock) -> None:  # noqa: ASYNC124 - needs the clock
    with porch() as it, socket.create_server(("127.0.0.1", 0)) as listening:
        it.porch.watch(listening.fileno())
        it.come()[1].send(HEAD)
        assert not it.porch.look()
        with socket.create_connection(listening.getsockname()):
            assert it.porch.look()
