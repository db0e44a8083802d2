"""A connection is closed exactly once, also when whoever closes it is cancelled."""

import socket

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from server.edge.accepted import AcceptedConnection
from tests.server.harness import WIRES, Client, Released, Wire, as_stream, make_peer, tcp_pair

BOTH = pytest.mark.parametrize("wire", WIRES)


@BOTH
async def test_closing_ends_the_connection_and_releases_it_once(wire: Wire) -> None:
    peer, client, released = make_peer(wire)
    await peer.aclose()
    await peer.aclose(reset=True)
    await peer.aclose()

    assert released.count == 1
    assert await client.all() == b""
    await client.stream.aclose()


@BOTH
async def test_a_cancelled_close_closes(wire: Wire) -> None:
    peer, client, released = make_peer(wire)
    with trio.CancelScope() as scope:
        scope.cancel()
        await peer.aclose()

    assert released.count == 1
    assert await client.all() == b""
    await client.stream.aclose()


async def test_closing_wakes_whoever_waits_for_the_socket(autojump_clock: MockClock) -> None:
    peer, client, _ = make_peer("socket")
    async with trio.open_nursery() as nursery:

        async def read() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await peer.stream.receive_some()

        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        await peer.aclose()
    await client.stream.aclose()


async def test_a_reset_discards_what_was_not_delivered() -> None:
    sock, other = tcp_pair()
    peer = AcceptedConnection(as_stream(sock), sock=sock)
    client = Client(as_stream(other))
    await peer.aclose(reset=True)

    with pytest.raises(trio.BrokenResourceError):
        await client.stream.receive_some()
    await client.stream.aclose()


async def test_a_stream_over_a_socket_is_closed_by_its_socket() -> None:
    """As with TLS: the stream cannot be closed at once, the socket is not ours alone."""
    sock, other = socket.socketpair()
    released = Released()
    here, there = trio.testing.memory_stream_pair()
    with sock, other:
        peer = AcceptedConnection(here, sock=sock, release=released)
        await peer.aclose()
        assert released.count == 1
    await trio.aclose_forcefully(here)
    await trio.aclose_forcefully(there)


async def test_nobody_need_be_told() -> None:
    here, there = trio.testing.memory_stream_pair()
    peer = AcceptedConnection(here)
    await peer.aclose()
    assert peer.address == ""
    assert await there.receive_some() == b""
