"""The echo, and the deaf ear."""

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from server.admission.handlers import Deaf, Echo
from tests.server.harness import (
    BINARY,
    CONTINUATION,
    WIRES,
    Frame,
    Wire,
    masked,
    masked_close,
    wired,
)

BOTH = pytest.mark.parametrize("wire", WIRES)


class Linked:
    """A connection whose socket is behind until it is told otherwise."""

    def __init__(self) -> None:
        self.pushed = b""
        self.taken = trio.Event()

    def push(self, frames: bytes) -> None:
        self.pushed += frames

    async def flushed(self) -> None:
        await self.taken.wait()


async def test_an_echo_takes_no_further_slow_message_before_the_socket_has_the_last(
    autojump_clock: MockClock,
) -> None:
    link = Linked()
    echo = Echo(link)
    echo.opened()
    echo.receive("ä", 0)
    echo.end_batch()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(echo.receive_slow, "b", 0)
        await trio.testing.wait_all_tasks_blocked()
        assert nursery.child_tasks
        link.taken.set()
    await echo.receive_slow(b"c", 0)
    assert link.pushed == b"\x81\x02\xc3\xa4\x81\x01b\x82\x01c"
    assert not echo.full


async def test_the_deaf_ear_hears_nothing_and_holds_nobody_up(autojump_clock: MockClock) -> None:
    called = []
    deaf = Deaf()
    deaf.opened()
    deaf.receive("x", 0)
    deaf.end_batch()
    deaf.on_space(lambda: called.append(1))
    await deaf.wait_for_space()
    await deaf.receive_slow(b"x", 0)
    assert called == [1]
    assert not deaf.full


@BOTH
async def test_a_deaf_connection_answers_a_close_frame(
    wire: Wire, autojump_clock: MockClock
) -> None:
    async with wired(wire, sink=Deaf()) as all_:
        await all_.client.send(masked("x"), masked(b"x", BINARY), masked("y", fin=False))
        await all_.client.send(masked("y", CONTINUATION), masked_close(1000))
        assert await all_.client.rest() == [Frame(8, (1000).to_bytes(2, "big"))]
        await all_.gone()
