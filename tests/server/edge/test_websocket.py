"""One WebSocket connection, in memory and over loopback sockets, with a virtual clock."""

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs
from trio.testing import MockClock

from protocol.errors import CloseCode
from protocol.frames import encode_text
from protocol.limits import KIB
from server.edge.websocket import WebSocket
from server.support.limits import Limits
from tests.server.harness import (
    ACCEPT,
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    WIRES,
    Cutter,
    Frame,
    Wire,
    masked,
    masked_close,
    sweep,
    until,
    wired,
)

BOTH = pytest.mark.parametrize("wire", WIRES)

settled = trio.testing.wait_all_tasks_blocked


# --- the handshake --------------------------------------------------------------------------


@BOTH
async def test_the_handshake_is_answered_and_the_sink_told(
    wire: Wire, autojump_clock: MockClock
) -> None:
    async with wired(wire, shaken=False) as all_:
        head = await all_.client.head()
        await settled()

        assert head.startswith(b"HTTP/1.1 101 ")
        assert b"sec-websocket-accept: " + ACCEPT.lower() in head.lower()
        assert all_.sink.opens == 1
        assert all_.counters.websockets_opened == all_.counters.websockets_current == 1


@BOTH
async def test_what_came_with_the_request_is_heard_first(
    wire: Wire, autojump_clock: MockClock
) -> None:
    async with wired(wire, leftover=masked("first")) as all_:
        await all_.client.send(masked("second"))
        await settled()

        assert all_.sink.received == ["first", "second"]


@BOTH
@pytest.mark.parametrize("attempt", range(10))
async def test_a_ping_that_came_with_the_request_is_answered(
    wire: Wire, attempt: int, autojump_clock: MockClock
) -> None:
    async with wired(wire, leftover=masked(b"early", PING)) as all_:
        assert await all_.client.frame() == Frame(PONG, b"early")

        await all_.client.send(masked("text"), masked(b"late", PING), masked_close())
        assert await all_.client.frame() == Frame(PONG, b"late")
        assert [frame.opcode for frame in await all_.client.rest()] == [CLOSE]
        await all_.gone()


@BOTH
@pytest.mark.parametrize("delay", range(16))
async def test_a_ping_is_answered_however_soon_after_the_handshake_it_comes(
    wire: Wire, delay: int, autojump_clock: MockClock
) -> None:
    async with wired(wire) as all_:
        for _ in range(delay):
            await trio.lowlevel.checkpoint()
        await all_.client.send(masked(b"soon", PING))
        assert await all_.client.frame() == Frame(PONG, b"soon")

        await all_.client.send(masked("a"), masked_close(1000))
        assert (await all_.client.frame()).code == 1000
        await all_.gone()
        assert all_.sink.received == ["a"]


@BOTH
async def test_a_peer_that_left_before_the_answer_is_no_error(
    wire: Wire, autojump_clock: MockClock
) -> None:
    with capture_logs() as logs:
        async with wired(wire, shaken=False, tcp=wire == "socket") as all_:
            if wire == "socket":
                all_.client.reset()
            else:
                await all_.client.stream.aclose()
            await all_.gone()

    assert [entry for entry in logs if entry["log_level"] != "info"] == []


@BOTH
async def test_closed_before_the_handshake_the_last_word_and_a_close_frame_follow_it(
    wire: Wire, autojump_clock: MockClock
) -> None:
    def close(connection: WebSocket) -> None:
        connection.close(CloseCode.NORMAL, "refused", last=encode_text(b"no"))
        connection.close(CloseCode.INTERNAL, "too late", last=encode_text(b"never"))

    async with wired(wire, before=close) as all_:
        assert await all_.client.frame() == Frame(TEXT, b"no")
        frame = await all_.client.frame()
        await all_.client.send(masked_close())
        await all_.gone()

    assert (frame.code, frame.reason) == (1000, "refused")
    assert all_.sink.opens == 0
    assert all_.counters.closed_unanswered == 0


@BOTH
async def test_closed_before_the_handshake_without_a_last_word_only_a_close_frame_follows(
    wire: Wire, autojump_clock: MockClock
) -> None:
    async with wired(wire, before=lambda it: it.close(CloseCode.GOING_AWAY, "over")) as all_:
        assert [(f.code, f.reason) for f in await all_.client.rest()] == [(1001, "over")]


@BOTH
async def test_what_is_said_during_a_handshake_does_not_come_before_its_end(
    wire: Wire, autojump_clock: MockClock
) -> None:
    """It is for the caller to say nothing then; but the answer stays whole."""
    async with wired(wire, before=lambda it: it.scope.cancel(), shaken=False) as all_:
        await all_.gone()
        assert await all_.client.all() == b""

    assert all_.counters.websockets_opened == 0


# --- messages -------------------------------------------------------------------------------


@BOTH
async def test_texts_are_received_in_order(wire: Wire, autojump_clock: MockClock) -> None:
    async with wired(wire) as all_:
        await all_.client.send(*(masked(f"text {n}") for n in range(100)))
        await settled()

        assert all_.sink.received == [f"text {n}" for n in range(100)]
        assert 1 <= all_.sink.settled <= 2


@BOTH
async def test_slow_and_fast_messages_keep_their_order(
    wire: Wire, autojump_clock: MockClock
) -> None:
    async with wired(wire) as all_:
        await all_.client.send(
            masked("1"),
            masked("2a", fin=False),
            masked(b"ping", PING),
            masked("2b", CONTINUATION),
            masked("3"),
            masked(b"4", BINARY),
            masked("5"),
            masked("ünï6"),
        )
        assert await all_.client.frame() == Frame(PONG, b"ping")
        await settled()

        assert all_.sink.received == ["1", "2a2b", "3", b"4", "5", "ünï6"]

        await all_.client.send(masked("7"), masked("8", fin=False))
        await settled()
        assert all_.sink.received[6:] == ["7"]
        await all_.client.send(masked("9", CONTINUATION), masked("10"))
        await settled()
        assert all_.sink.received[6:] == ["7", "89", "10"]


@BOTH
async def test_a_stream_cut_into_single_bytes_says_the_same(
    wire: Wire, autojump_clock: MockClock
) -> None:
    async with wired(wire) as all_:
        whole = masked("one") + masked(b"x", PING) + masked(b"two", BINARY) + masked("three")
        for byte in whole:
            await all_.client.send(bytes((byte,)))
            await settled()

        assert all_.sink.received == ["one", b"two", "three"]
        assert await all_.client.frame() == Frame(PONG, b"x")


@BOTH
async def test_pushed_frames_arrive_in_order(wire: Wire, autojump_clock: MockClock) -> None:
    async with wired(wire) as all_:
        await all_.opened()
        for n in range(50):
            all_.connection.push(encode_text(b"%d" % n))
        all_.connection.push(encode_text(b"50") + encode_text(b"51"), 2)
        await all_.connection.flushed()

        assert [(await all_.client.frame()).text for _ in range(52)] == [str(n) for n in range(52)]


@BOTH
async def test_a_sink_that_fails_costs_its_connection_only(
    wire: Wire, autojump_clock: MockClock
) -> None:
    with capture_logs() as logs:
        try:
            async with wired(wire) as all_:
                all_.sink.failing = True
                await all_.client.send(masked("boom"))
                await all_.gone()
        except* ValueError:
            assert wire == "memory"
    assert [entry["event"] for entry in logs] == (["failed"] if wire == "socket" else [])


# --- closing --------------------------------------------------------------------------------


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


# --- pressure -------------------------------------------------------------------------------


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
        assert all_.counters.closed_too_slow == 1
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
        assert all_.counters.closed_too_slow == 1


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


@BOTH
async def test_a_silent_peer_is_pinged_and_cut(wire: Wire, autojump_clock: MockClock) -> None:
    async with wired(
        wire, limits=Limits(heartbeat_seconds=25, heartbeat_timeout_seconds=10)
    ) as all_:
        frames = await all_.client.rest()
        await all_.gone()

        # A stream that cannot be asked whether it takes something is only closed.
        assert [frame.opcode for frame in frames] == [PING, CLOSE][: 2 if wire == "socket" else 1]
        assert all_.counters.closed_silent == 1
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
        assert all_.counters.closed_silent == 0
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


# --- cancelling -----------------------------------------------------------------------------


@pytest.mark.parametrize("small", [False, True])
@BOTH
def test_cancelled_at_any_step_a_connection_leaves_nothing(wire: Wire, small: bool) -> None:
    async def scenario(cutter: Cutter) -> None:
        async with wired(wire, small=small, shaken=False, leftover=masked("0")) as all_:
            cutter.arm(all_.connection.scope)

            async def talk() -> None:
                client = all_.client
                try:
                    await client.head()
                    await client.send(masked("1"), masked(b"?", PING), masked("2", fin=False))
                    await client.send(masked("3", CONTINUATION), masked_close(1000))
                    await client.all()
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    pass

            all_.nursery.start_soon(talk)
            await until(lambda: bool(all_.counters.websockets_opened or all_.done.is_set()))
            for _ in range(3):
                await trio.lowlevel.checkpoint()
                all_.connection.push(encode_text(b"y" * 3000))
            await all_.gone()
            cutter.disarm()

    sweep(scenario, least=20)


@BOTH
def test_cancelled_at_any_step_a_violated_connection_leaves_nothing(wire: Wire) -> None:
    async def scenario(cutter: Cutter) -> None:
        async with wired(wire, shaken=False) as all_:
            cutter.arm(all_.connection.scope)
            await all_.client.head()
            try:
                await all_.client.send(masked("x", 0x3))
                frames = await all_.client.rest()
            except trio.BrokenResourceError:
                frames = []
            assert [frame.code for frame in frames] in ([], [1002], [1001])
            await all_.gone()
            cutter.disarm()

    sweep(scenario, least=20)
