"""How one WebSocket connection ends, whoever begins it."""

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs
from trio.testing import MockClock

from protocol.errors import CloseCode
from protocol.frames import encode_text
from server.support.limits import Limits
from tests.server.harness import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
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
async def test_a_close_frame_of_the_peer_is_answered(wire: Wire, autojump_clock: MockClock) -> None:
    async with wired(wire) as all_:
        await all_.client.send(masked("bye"), masked_close(1000, "done"))
        frames = await all_.client.rest()
        await all_.gone()

    assert [frame.code for frame in frames] == [1000]
    assert all_.sink.received == ["bye"]
    assert all_.counters.closed_unanswered == 0


@BOTH
async def test_nothing_follows_a_close_frame_and_nothing_is_heard_after_it(
    wire: Wire, autojump_clock: MockClock
) -> None:
    async with wired(wire) as all_:
        await all_.opened()
        all_.connection.push(encode_text(b"a"))
        all_.connection.close(CloseCode.GOING_AWAY, "over", last=encode_text(b"b"))
        all_.connection.push(encode_text(b"c"))
        all_.connection.close(CloseCode.INTERNAL, "again", last=encode_text(b"d"))
        all_.connection.ping()
        await all_.client.send(masked("late"), masked(b"ping", PING), masked(b"late", BINARY))
        await settled()
        await all_.client.send(masked_close(1001))
        frames = await all_.client.rest()
        await all_.gone()

    assert [frame.payload for frame in frames[:2]] == [b"a", b"b"]
    assert [(frame.code, frame.reason) for frame in frames[2:]] == [(1001, "over")]
    assert all_.sink.received == []
    assert all_.counters.closed_unanswered == 0


@BOTH
async def test_a_close_that_is_not_answered_is_cut_and_counted(
    wire: Wire, autojump_clock: MockClock
) -> None:
    async with wired(wire, limits=Limits(close_seconds=3)) as all_:
        start = trio.current_time()
        all_.connection.close(CloseCode.GOING_AWAY, "over")
        await all_.gone()

        assert trio.current_time() - start == pytest.approx(3)
        assert all_.counters.closed_unanswered == 1
        assert [frame.code for frame in await all_.client.rest()] == [1001]


@BOTH
async def test_an_answer_in_time_is_not_counted_as_missing(
    wire: Wire, autojump_clock: MockClock
) -> None:
    async with wired(wire) as all_:
        start = trio.current_time()
        all_.connection.close(CloseCode.GOING_AWAY, "over")
        await all_.client.frame()
        await trio.sleep(1)
        await all_.client.send(masked_close(1001))
        await all_.gone()

        assert trio.current_time() - start == pytest.approx(1)
        assert all_.counters.closed_unanswered == 0


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (masked("x", 0x3), 1002),
        (masked("x", CONTINUATION), 1002),
        (masked("x" * 126, PING), 1002),
        (masked("x", PING, fin=False), 1002),
        (bytes((0x81, 1)) + b"x", 1002),  # not masked
        (bytes((0xC1, 0x80)) + b"abcd", 1002),  # a reserved bit
        (masked("a", fin=False) + masked("b"), 1002),
        (masked(b"x", CLOSE), 1002),
        (masked(b"\xff"), 1007),
        (masked(b"\xc3", fin=False) + masked(b"x", CONTINUATION), 1007),
        (masked("x" * 2049), 1009),
        (masked("x" * 2000, fin=False) + masked("x" * 49, CONTINUATION), 1009),
        (masked(b"x" * 2049, BINARY), 1009),
    ],
)
@BOTH
async def test_a_violation_is_answered_with_its_close_code(
    wire: Wire, frames: bytes, code: int, autojump_clock: MockClock
) -> None:
    async with wired(wire, limits=Limits(message_bytes=2048)) as all_:
        await all_.client.send(masked("before"), frames, masked("after") * 100)
        found: list[Frame] = []
        while not found or found[-1].opcode != CLOSE:
            found.append(await all_.client.frame())
        await all_.client.stream.send_eof()
        assert await all_.client.all() == b""
        await all_.gone()

    assert [frame.code for frame in found] == [code]
    assert all_.sink.received == ["before"]


@BOTH
async def test_a_violator_that_stays_is_cut(wire: Wire, autojump_clock: MockClock) -> None:
    async with wired(wire) as all_:
        start = trio.current_time()
        await all_.client.send(masked("x", 0x3))
        assert [frame.code for frame in await all_.client.rest()] == [1002]
        assert trio.current_time() == start
        await all_.gone()

        assert trio.current_time() - start == pytest.approx(Limits().close_seconds)


@pytest.mark.parametrize("moment", range(6))
async def test_a_violator_that_goes_without_waiting_is_no_error(
    moment: int, autojump_clock: MockClock
) -> None:
    with capture_logs() as logs:
        async with wired("socket", tcp=True) as all_:
            await all_.client.send(masked("x", 0x3))
            for _ in range(moment):
                await trio.lowlevel.checkpoint()
            all_.client.reset()
            await all_.gone()

    assert [entry for entry in logs if entry["log_level"] != "info"] == []


@BOTH
async def test_an_end_of_file_ends_the_connection(wire: Wire, autojump_clock: MockClock) -> None:
    async with wired(wire) as all_:
        start = trio.current_time()
        await all_.client.send(masked("bye"))
        await all_.client.stream.send_eof()
        await all_.gone()

        assert trio.current_time() == start
        assert all_.sink.received == ["bye"]


@BOTH
async def test_an_end_of_file_inside_a_slow_message_ends_the_connection(
    wire: Wire, autojump_clock: MockClock
) -> None:
    async with wired(wire) as all_:
        start = trio.current_time()
        await all_.client.send(masked("half", fin=False))
        await settled()
        await all_.client.stream.send_eof()
        await all_.gone()

        assert trio.current_time() == start
        assert all_.sink.received == []


@pytest.mark.parametrize("slow", [b"", masked("half", fin=False)])
async def test_a_reset_ends_the_connection_quietly(slow: bytes, autojump_clock: MockClock) -> None:
    with capture_logs() as logs:
        async with wired("socket", tcp=True) as all_:
            await all_.client.send(slow)
            await settled()
            all_.client.reset()
            await all_.gone()

    assert [entry for entry in logs if entry["log_level"] != "info"] == []


@pytest.mark.parametrize("slow", [b"", masked("half", fin=False)])
async def test_a_stream_that_breaks_ends_the_connection_quietly(
    slow: bytes, autojump_clock: MockClock
) -> None:
    with capture_logs() as logs:
        async with wired("memory", breaking=True) as all_:
            await all_.client.send(slow)
            await settled()
            await all_.client.stream.send_eof()
            await all_.gone()

    assert [entry for entry in logs if entry["log_level"] != "info"] == []


@BOTH
async def test_cancelling_the_scope_sends_a_close_frame_and_closes(
    wire: Wire, autojump_clock: MockClock
) -> None:
    async with wired(wire) as all_:
        await settled()
        all_.connection.scope.cancel()
        await all_.gone()

        # A stream that cannot be asked whether it takes something is only closed.
        expected = [1001] if wire == "socket" else []
        assert [frame.code for frame in await all_.client.rest()] == expected


@BOTH
async def test_cancelling_a_connection_that_is_behind_closes_it_nevertheless(
    wire: Wire, autojump_clock: MockClock
) -> None:
    async with wired(wire, small=True, limits=Limits(close_seconds=2)) as all_:
        start = trio.current_time()
        all_.connection.push(encode_text(b"x" * 100_000))
        await settled()
        all_.connection.scope.cancel()
        await all_.gone()

        assert trio.current_time() - start <= 2
        data = await all_.client.all()
        assert encode_text(b"x" * 100_000).startswith(data)
        assert wire == "memory" or len(data) < 100_000  # the lockstep reader may take all of it


@BOTH
@pytest.mark.parametrize("end", ["eof", "cancel", "close", "reset", "crash"])
async def test_what_is_said_at_any_moment_of_the_end_is_harmless(
    wire: Wire, end: str, autojump_clock: MockClock
) -> None:
    """A room pushes whenever it has something to say; it must never hear of it as an error."""
    async with wired(wire, small=True, shaken=False) as all_:
        await all_.client.head()
        await all_.opened()
        pushed = 0

        async def chatter() -> None:
            nonlocal pushed
            for _ in range(100):
                all_.connection.push(encode_text(b"x" * 3000))
                pushed += 1
                await trio.lowlevel.checkpoint()

        all_.nursery.start_soon(chatter)
        for _ in range(5):
            await trio.lowlevel.checkpoint()
        match end:
            case "eof":
                await all_.client.stream.send_eof()
            case "cancel":
                all_.connection.scope.cancel()
            case "close":
                await all_.client.send(masked_close())
            case "reset":
                await all_.client.stream.aclose()
            case "crash":
                await all_.client.send(masked("x", 0x3))
        await all_.gone()
        all_.connection.push(encode_text(b"after"))
        all_.connection.close(CloseCode.GOING_AWAY, "after", last=encode_text(b"after"))
        all_.connection.ping()
        await all_.connection.flushed()

    assert pushed
