"""Why one WebSocket connection ended, as it is told to logs and metrics."""

from collections.abc import Awaitable, Callable
from typing import Final

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs
from trio.testing import MockClock

from protocol.errors import CloseCode
from protocol.frames import encode_text
from protocol.limits import KIB
from server.edge.closing import Cause, CloseFrame
from server.support.limits import Limits
from tests.server.harness import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    WIRES,
    Wire,
    Wired,
    masked,
    masked_close,
    wired,
)

BOTH = pytest.mark.parametrize("wire", WIRES)
LIMITS: Final = Limits(
    message_bytes=1000, message_fragments=10, outbox_bytes=64 * KIB, heartbeat_seconds=500
)

settled = trio.testing.wait_all_tasks_blocked

Act = Callable[[Wired], Awaitable[object]]


async def close(it: Wired) -> None:
    await it.client.send(masked_close(1000, "done"))


async def close_without_a_code(it: Wired) -> None:
    await it.client.send(masked(b"", CLOSE))


async def close_and_end(it: Wired) -> None:
    await it.client.send(masked_close(4000))
    await it.client.stream.send_eof()


async def end(it: Wired) -> None:
    await it.client.stream.send_eof()


async def end_inside_a_message(it: Wired) -> None:
    await it.client.send(masked("half", fin=False))
    await settled()
    await it.client.stream.send_eof()


async def go(it: Wired) -> None:
    await it.client.stream.aclose()


async def violate(it: Wired) -> None:
    await it.client.send(masked("x", 0x3))


async def close_with_a_wrong_code(it: Wired) -> None:
    await it.client.send(masked_close(1005))


async def send_no_utf_8(it: Wired) -> None:
    await it.client.send(masked(b"\xff"))


async def announce_much(it: Wired) -> None:
    await it.client.send(b"\x81\xff" + (1 << 40).to_bytes(8, "big") + b"mask")


async def send_much_in_parts(it: Wired) -> None:
    await it.client.send(masked("x" * 900, fin=False), masked("x" * 101, CONTINUATION))


async def send_many_parts(it: Wired) -> None:
    await it.client.send(masked("", fin=False), masked("", CONTINUATION, fin=False) * 10)


async def ping_much(it: Wired) -> None:
    await it.client.send(masked(b"?", PING) * 500)


async def fall_silent(it: Wired) -> None:
    await it.client.frame()


async def take_nothing(it: Wired) -> None:
    for _ in range(2):
        it.connection.push(encode_text(b"x" * 500_000))
        await trio.lowlevel.checkpoint()


async def end_the_room(it: Wired) -> None:
    it.connection.close(CloseCode.GOING_AWAY, "over", cause=Cause.ROOM_ENDED)
    it.connection.close(CloseCode.INTERNAL, "too late", cause=Cause.FAULT)
    await it.client.send(masked_close(1001))


async def refuse(it: Wired) -> None:
    it.connection.close(CloseCode.NORMAL, "no")
    await trio.lowlevel.checkpoint()


async def cut(it: Wired) -> None:
    it.connection.scope.cancel()
    await trio.lowlevel.checkpoint()


CASES: Final[list[tuple[Act, Cause, int | None, int | None]]] = [
    (close, Cause.PEER_CLOSED, 1000, 1000),
    (close_without_a_code, Cause.PEER_CLOSED, 1005, 1005),
    (close_and_end, Cause.PEER_CLOSED, 4000, 4000),
    (end, Cause.PEER_LOST, None, 1006),
    (end_inside_a_message, Cause.PEER_LOST, None, 1006),
    (go, Cause.PEER_LOST, None, 1006),
    (violate, Cause.PROTOCOL_ERROR, None, 1002),
    (close_with_a_wrong_code, Cause.PROTOCOL_ERROR, 1005, 1002),
    (send_no_utf_8, Cause.INVALID_DATA, None, 1007),
    (announce_much, Cause.TOO_BIG, None, 1009),
    (send_much_in_parts, Cause.TOO_BIG, None, 1009),
    (send_many_parts, Cause.FLOODED, None, 1008),
    (ping_much, Cause.FLOODED, None, 1008),
    (fall_silent, Cause.SILENT, None, 1001),
    (take_nothing, Cause.TOO_SLOW, None, 1008),
    (end_the_room, Cause.ROOM_ENDED, 1001, 1001),
    (refuse, Cause.REFUSED, None, 1000),
    (cut, Cause.CUT, None, 1001),
]


@pytest.mark.parametrize(
    ("act", "cause", "received", "code"), CASES, ids=[case[0].__name__ for case in CASES]
)
@BOTH
async def test_each_end_has_one_cause_and_what_was_said_on_both_sides(
    wire: Wire,
    act: Act,
    cause: Cause,
    received: int | None,
    code: int,
    autojump_clock: MockClock,
) -> None:
    async with wired(wire, limits=LIMITS, small=act is take_nothing) as it:
        await it.opened()
        assert not it.connection.closing
        await act(it)
        await it.gone()
        closing = it.connection.closing

    assert closing is not None
    assert closing.cause is cause
    assert (closing.received.code if closing.received else None) == received
    assert closing.decisive.code == code
    assert it.counters.closed == {cause: 1}
    assert it.connection.address == "192.0.2.1"


@BOTH
async def test_a_defect_in_the_handler_is_our_fault_and_the_peer_is_told(
    wire: Wire, autojump_clock: MockClock
) -> None:
    seen: list[Wired] = []
    with capture_logs():
        try:
            async with wired(wire) as it:
                seen.append(it)
                it.sink.failing = True
                await it.client.send(masked("boom"))
                await it.gone()
        except* ValueError:
            assert wire == "memory"

    closing = seen[0].connection.closing
    assert closing is not None
    assert closing.cause is Cause.FAULT
    assert closing.sent == CloseFrame(1011, "internal error")
    assert seen[0].counters.closed == {Cause.FAULT: 1}


@BOTH
async def test_what_is_announced_is_refused_before_it_comes(
    wire: Wire, autojump_clock: MockClock
) -> None:
    async with wired(wire, limits=LIMITS) as it:
        start = trio.current_time()
        await it.client.send(masked("heard"))
        await announce_much(it)
        frame = await it.client.frame()
        assert trio.current_time() == start
        assert frame.code == CloseCode.TOO_BIG
        await it.client.send(b"x" * 1_000_000)
        await it.gone()

        assert it.sink.received == ["heard"]
        assert trio.current_time() - start == pytest.approx(LIMITS.close_seconds)


@BOTH
async def test_a_message_at_the_bounds_is_heard_in_however_many_parts(
    wire: Wire, autojump_clock: MockClock
) -> None:
    euros = "€" * 333  # 999 bytes
    parts = [masked("€" * 33, CONTINUATION if number else 1, fin=False) for number in range(9)]
    async with wired(wire, limits=LIMITS) as it:
        await it.client.send(masked(euros), masked(b"x" * 1000, BINARY))
        await it.client.send(*parts, masked("€" * 36, CONTINUATION))
        await it.client.send(masked("after"))
        await settled()
        assert it.sink.received == [euros, b"x" * 1000, euros, "after"]

        # One more of 1000 bytes, though of 334 characters only.
        await it.client.send(*parts, masked("€" * 37, CONTINUATION))
        assert (await it.client.frame()).code == CloseCode.TOO_BIG
