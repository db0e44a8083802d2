"""One WebSocket connection, in memory and over loopback sockets, with a virtual clock."""

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs
from trio.testing import MockClock

from protocol.errors import CloseCode
from protocol.frames import encode_text
from server.edge.websocket import WebSocket
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
