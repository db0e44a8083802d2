"""One WebSocket connection whose peer does too much or too little."""

import gc
import tracemalloc

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from protocol.frames import encode_text
from protocol.limits import KIB
from server.edge.closing import Cause
from server.support.limits import Limits
from tests.server.harness import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    WIRES,
    Frame,
    Wire,
    masked,
    masked_close,
    wired,
)

BOTH = pytest.mark.parametrize("wire", WIRES)

settled = trio.testing.wait_all_tasks_blocked


@BOTH
async def test_a_full_sink_pauses_reading_and_space_resumes_it(
    wire: Wire, autojump_clock: MockClock
) -> None:
    async with wired(wire) as all_:
        await settled()
        all_.sink.fill()
        await all_.client.send(masked("1"))
        await settled()
        # Without a poller, what was awaited already is still taken.
        assert all_.sink.received == (["1"] if wire == "memory" else [])
        await all_.client.send(masked("2"))
        await settled()
        held = list(all_.sink.received)
        await all_.client.send(masked("3"))
        await settled()
        assert all_.sink.received == held
        assert "3" not in held

        all_.sink.drain()
        await settled()
        assert all_.sink.received == ["1", "2", "3"]


@BOTH
async def test_slow_bytes_above_the_bound_pause_reading(
    wire: Wire, autojump_clock: MockClock
) -> None:
    """The sink takes no slow message, trio-websocket's queue fills, and so does the lane."""
    async with wired(wire, limits=Limits(message_bytes=16 * KIB)) as all_:
        await settled()
        all_.sink.fill()
        all_.sink.full = False  # only receive_slow() waits
        wait = trio.Event()
        taken: list[str | bytes] = []

        async def receive_slow(message: str | bytes, now: float) -> None:
            await wait.wait()
            taken.append(message)

        all_.sink.receive_slow = receive_slow  # type: ignore[method-assign]
        sent = 0
        message = masked(b"x" * 16 * KIB, BINARY)
        most = 100 if wire == "memory" else 2000
        with trio.move_on_after(1):  # noqa: ASYNC912
            while sent < most:
                await all_.client.send(message)
                sent += 1
        # Held in the queue of 8, one with the sink, and the lane's 64 KiB: the rest is the wire's.
        if wire == "socket":
            assert 10 < sent < 2000
        assert taken == []
        wait.set()
        if wire == "memory":
            await settled()
            assert len(taken) == sent
        else:
            await settled()
            assert len(taken) in {sent, sent + 1}


@BOTH
async def test_a_peer_that_takes_nothing_is_closed_as_too_slow_and_cut(
    wire: Wire, autojump_clock: MockClock
) -> None:
    limits = Limits(outbox_bytes=64 * KIB, close_seconds=2)
    async with wired(wire, small=True, limits=limits) as all_:
        await settled()
        start = trio.current_time()
        for _ in range(100):
            all_.connection.push(encode_text(b"x" * 1000))
            await trio.lowlevel.checkpoint()
        assert all_.counters.closed == {Cause.TOO_SLOW: 1}
        await all_.gone()

        assert trio.current_time() - start == pytest.approx(2)
        assert all_.counters.closed_unanswered == 1


@BOTH
async def test_a_peer_that_wakes_up_in_time_learns_that_it_was_too_slow(
    wire: Wire, autojump_clock: MockClock
) -> None:
    limits = Limits(outbox_bytes=64 * KIB, close_seconds=2)
    async with wired(wire, small=True, limits=limits) as all_:
        await all_.opened()
        for _ in range(70):
            all_.connection.push(encode_text(b"x" * 1000))
        await trio.sleep(1)
        frames: list[Frame] = []
        while not frames or frames[-1].opcode != CLOSE:
            frames.append(await all_.client.frame())
        await all_.client.send(masked_close(1008))
        await all_.gone()

    assert frames[-1].code == 1008
    assert "too slow" in frames[-1].reason
    assert all(frame.payload == b"x" * 1000 for frame in frames[:-1])
    assert all_.counters.closed_unanswered == 0


@BOTH
async def test_a_peer_that_takes_nothing_for_the_write_time_is_closed(
    wire: Wire, autojump_clock: MockClock
) -> None:
    limits = Limits(write_seconds=4, close_seconds=2, heartbeat_seconds=1000)
    async with wired(wire, small=True, limits=limits) as all_:
        await settled()
        start = trio.current_time()
        all_.connection.push(encode_text(b"x" * 500_000))
        await all_.gone()

        assert trio.current_time() - start == pytest.approx(6)
        assert all_.counters.closed == {Cause.TOO_SLOW: 1}


@BOTH
async def test_a_peer_that_floods_with_pings_is_closed_with_1008(
    wire: Wire, autojump_clock: MockClock
) -> None:
    async with wired(wire, limits=Limits(frame_burst=100)) as all_:
        await all_.client.send(masked("before"), masked(b"?", PING) * 100)
        for _ in range(100):
            assert (await all_.client.frame()).opcode == PONG
        await all_.client.send(masked(b"?", PING) * 50, masked("after"))
        frames = await all_.client.rest()
        await all_.gone()
        assert [frame.code for frame in frames] == [1008]
        assert all_.sink.received[:1] == ["before"]


async def test_an_unfinished_message_in_tiny_pieces_takes_no_more_than_is_stated(
    autojump_clock: MockClock,
) -> None:
    limits = Limits(frame_burst=100_000)
    async with wired("socket", limits=limits) as all_:
        await all_.client.send(masked("ab", fin=False), masked("cd", CONTINUATION))
        await settled()
        gc.collect()
        tracemalloc.start()
        try:
            await all_.client.send(masked("ab", fin=False))
            for _ in range(limits.message_fragments - 1):
                await all_.client.send(masked("cd", CONTINUATION, fin=False))
                await settled()
            gc.collect()
            taken, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert all_.counters.closed == {}
        assert taken < 64 * KIB
        for _ in range(2):
            await all_.client.send(masked("", CONTINUATION, fin=False))
        assert (await all_.client.frame()).code == 1008


@BOTH
async def test_a_silent_peer_is_pinged_and_cut(wire: Wire, autojump_clock: MockClock) -> None:
    async with wired(
        wire, limits=Limits(heartbeat_seconds=25, heartbeat_timeout_seconds=10)
    ) as all_:
        frames = await all_.client.rest()
        await all_.gone()

        # A stream that cannot be asked whether it takes something is only closed.
        assert [frame.opcode for frame in frames] == [PING, CLOSE][: 2 if wire == "socket" else 1]
        assert all_.counters.closed == {Cause.SILENT: 1}
        assert trio.current_time() == pytest.approx(35, abs=2)


@BOTH
async def test_a_peer_that_answers_pings_stays(wire: Wire, autojump_clock: MockClock) -> None:
    async with wired(
        wire, limits=Limits(heartbeat_seconds=25, heartbeat_timeout_seconds=10)
    ) as all_:
        for _ in range(4):
            assert (await all_.client.frame()).opcode == PING
            await all_.client.send(masked(b"", PONG))

        assert trio.current_time() >= 100
        assert all_.counters.closed == {}
        assert not all_.done.is_set()


@BOTH
async def test_the_time_of_the_last_sign_of_life_is_known(
    wire: Wire, autojump_clock: MockClock
) -> None:
    async with wired(wire) as all_:
        await trio.sleep(7)
        await all_.client.send(masked("x"))
        await settled()

        assert all_.connection.heard == pytest.approx(7)
