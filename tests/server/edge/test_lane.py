"""The stream below trio-websocket, by itself: what the tests of whole connections cannot reach."""

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from protocol.errors import IllegalMove
from protocol.frames import encode_close, encode_text
from server.edge.closing import Cause
from server.edge.lane import Lane
from server.edge.outbox import Outbox
from server.support.limits import Limits
from tests.server.harness import (
    BINARY,
    CONTINUATION,
    PING,
    WIRES,
    Client,
    Cutter,
    FakeSink,
    WatchedPoller,
    Wire,
    as_stream,
    local_pair,
    masked,
    masked_close,
    sweep,
    tasks,
)

BOTH = pytest.mark.parametrize("wire", WIRES)

settled = trio.testing.wait_all_tasks_blocked


@attrs.define
class Laid:
    """A lane and its surroundings."""

    lane: Lane
    outbox: Outbox
    client: Client
    sink: FakeSink
    poller: WatchedPoller
    nursery: trio.Nursery
    sock: socket.socket | None
    refusals: list[Cause]
    stream: trio.abc.Stream


@asynccontextmanager
async def laid(
    wire: Wire, *, limits: Limits | None = None, opened: bool = True, leftover: bytes = b""
) -> AsyncIterator[Laid]:
    limits = limits or Limits()
    sock: socket.socket | None = None
    here: trio.abc.HalfCloseableStream
    there: trio.abc.HalfCloseableStream
    if wire == "socket":
        sock, other = local_pair()
        here, there = as_stream(sock), as_stream(other)
    else:
        here, there = trio.testing.memory_stream_pair()
    refusals: list[Cause] = []
    try:
        with WatchedPoller() as poller:
            async with trio.open_nursery() as nursery:

                def spawn(task: Callable[[], Any]) -> None:
                    nursery.start_soon(task)

                outbox = Outbox(here, sock, limits=limits, spawn=spawn, on_stuck=lambda: None)
                lane = Lane(
                    here,
                    sock,
                    outbox=outbox,
                    poller=poller if sock is not None else None,
                    limits=limits,
                    on_refusal=refusals.append,
                )
                sink = FakeSink()
                if opened:
                    lane.open(sink, leftover)
                nursery.start_soon(poller.run)  # noqa: ASYNC113
                yield Laid(lane, outbox, Client(there), sink, poller, nursery, sock, refusals, here)
                lane.stop_reading()
                nursery.cancel_scope.cancel()
    finally:
        await trio.aclose_forcefully(here)
        await trio.aclose_forcefully(there)


async def attach(lane: Lane) -> None:
    lane.shake_hands(b"GET")
    assert await lane.receive_some() == b"GET"
    lane.shaken_hands()


@BOTH
async def test_in_a_handshake_there_is_only_the_greeting(
    wire: Wire, autojump_clock: MockClock
) -> None:
    async with laid(wire) as it:
        it.lane.shake_hands(b"GET")
        assert await it.lane.receive_some() == b"GET"
        await it.client.send(masked(b"early", PING))
        await settled()
        got: list[bytes] = []

        async def read() -> None:
            got.append(await it.lane.receive_some())

        it.nursery.start_soon(read)
        await settled()
        assert got == []
        it.lane.shaken_hands()
        await settled()
        assert got == [masked(b"early", PING)]


async def test_the_answer_to_the_greeting_is_not_sent(autojump_clock: MockClock) -> None:
    async with laid("socket") as it:
        it.lane.shake_hands(b"GET")
        await it.lane.receive_some()
        await it.lane.send_all(b"101")
        it.lane.shaken_hands()
        await it.lane.send_all(b"\x8a\x00")
        await it.lane.wait_send_all_might_not_block()
        assert await it.client.stream.receive_some() == b"\x8a\x00"


@pytest.mark.parametrize("slow", [b"", masked(b"x", PING)])
async def test_let_go_it_is_a_closed_stream(slow: bytes, autojump_clock: MockClock) -> None:
    async with laid("socket") as it:
        await attach(it.lane)
        raised: list[type[BaseException]] = []

        async def read() -> None:
            try:
                await it.lane.receive_some()
            except trio.ClosedResourceError as error:
                raised.append(type(error))

        it.nursery.start_soon(read)
        await settled()
        await it.lane.aclose()
        await it.client.send(slow)
        await settled()
        assert raised == [trio.ClosedResourceError]
        with pytest.raises(trio.ClosedResourceError):
            await it.lane.receive_some()


async def test_let_go_in_the_middle_of_a_handshake_it_is_a_closed_stream(
    autojump_clock: MockClock,
) -> None:
    async with laid("socket") as it:
        it.lane.shake_hands(b"GET")
        await it.lane.receive_some()
        raised: list[bool] = []

        async def read() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await it.lane.receive_some()
            raised.append(True)

        it.nursery.start_soon(read)
        await settled()
        await it.lane.aclose()
        await settled()
        assert raised == [True]


@BOTH
async def test_slow_bytes_come_in_the_portions_asked_for(
    wire: Wire, autojump_clock: MockClock
) -> None:
    async with laid(wire, leftover=masked("x" * 100, fin=False)) as it:
        assert await it.lane.wait_for_slow()
        await attach(it.lane)
        whole = b""
        while len(whole) < 106:
            portion = await it.lane.receive_some(10)
            assert len(portion) <= 10
            whole += portion
        assert whole == masked("x" * 100, fin=False)


@BOTH
async def test_an_end_is_told_after_everything_else(wire: Wire, autojump_clock: MockClock) -> None:
    async with laid(wire) as it:
        await it.client.send(masked("a"), masked(b"?", PING))
        await it.client.stream.send_eof()
        assert await it.lane.wait_for_slow()
        await settled()
        await attach(it.lane)
        assert await it.lane.receive_some() == masked(b"?", PING)
        assert await it.lane.receive_some() == b""
        assert it.lane.lost
        assert it.lane.peer_closed
        assert it.sink.received == ["a"]


@BOTH
async def test_without_slow_bytes_an_end_says_so(wire: Wire, autojump_clock: MockClock) -> None:
    async with laid(wire) as it:
        await it.client.stream.send_eof()
        assert not await it.lane.wait_for_slow()
        await it.lane.drain(it.stream)


async def test_a_broken_socket_is_told_after_everything_else(autojump_clock: MockClock) -> None:
    async with laid("socket") as it:
        await it.client.send(masked(b"?", PING))
        await settled()
        it.lane.fail()
        await attach(it.lane)
        assert await it.lane.receive_some() == masked(b"?", PING)
        with pytest.raises(trio.BrokenResourceError):
            await it.lane.receive_some()
        it.outbox.abandon()
        with pytest.raises(trio.BrokenResourceError):
            await it.lane.send_all(b"x")


async def test_a_socket_that_fails_to_be_read_is_broken(autojump_clock: MockClock) -> None:
    async with laid("socket") as it:
        await settled()
        assert it.sock is not None
        it.outbox.push(b"unread by the peer, so that closing resets")
        await it.client.stream.aclose()
        await settled()
        assert it.lane.lost
        assert len(it.poller) == 0


async def test_a_false_alarm_is_harmless(autojump_clock: MockClock) -> None:
    async with laid("socket") as it:
        before = it.lane.heard
        it.lane.read(before + 1)
        assert it.lane.heard == before
        assert not it.lane.lost


async def test_it_is_not_polled_before_the_handshake_or_without_a_socket(
    autojump_clock: MockClock,
) -> None:
    async with laid("socket", opened=False) as it:
        with pytest.raises(AssertionError, match="handshake"):
            it.lane.read(0)
    async with laid("memory") as it:
        with pytest.raises(AssertionError, match="socket"):
            it.lane.read(0)


@BOTH
async def test_after_our_close_frame_texts_are_nobody_s(
    wire: Wire, autojump_clock: MockClock
) -> None:
    async with laid(wire) as it:
        it.outbox.push(encode_close(1001, ""))
        await it.client.send(masked("late"), masked_close())
        assert await it.lane.wait_for_slow()
        assert it.sink.received == []
        assert it.lane.peer_closed
        assert not it.lane.lost


@BOTH
async def test_draining_discards_until_the_end(wire: Wire, autojump_clock: MockClock) -> None:
    async with laid(wire) as it:
        await it.client.send(masked(b"x", BINARY) * 1000)
        await settled()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(it.lane.drain, it.stream)
            await it.client.send(masked("more") * 1000)
            await settled()
            assert nursery.child_tasks
            await it.client.stream.send_eof()
        assert it.lane.lost
        assert len(it.poller) == 0


async def test_draining_a_broken_connection_ends(autojump_clock: MockClock) -> None:
    async with laid("socket") as it:
        it.outbox.push(b"unread")
        await it.client.stream.aclose()
        await it.lane.drain(it.stream)
        assert it.lane.lost


@BOTH
async def test_too_many_slow_frames_are_a_flood_and_nothing_is_heard_after_it(
    wire: Wire, autojump_clock: MockClock
) -> None:
    limits = Limits(frame_burst=50)
    async with laid(wire, limits=limits) as it:
        await it.client.send(masked(b"?", PING) * 51, masked("a"))
        with trio.move_on_after(0.05):
            await it.lane.wait_for_slow()
        await it.client.send(masked("b"))
        await settled()
        assert it.refusals == [Cause.FLOODED]
        assert "b" not in it.sink.received


async def test_a_flood_is_a_matter_of_time(mock_clock: MockClock) -> None:
    limits = Limits(frame_burst=50, frame_rate=10)
    async with laid("socket", limits=limits) as it:
        for _ in range(20):
            await it.client.send(masked(b"?", PING) * 10)
            await settled()
            mock_clock.jump(1)
        assert it.refusals == []
        await it.client.send(masked(b"?", PING) * 61)
        await settled()
        assert it.refusals == [Cause.FLOODED]


TOO_LONG = b"\x81\xff" + (1 << 40).to_bytes(8, "big") + b"mask"


@pytest.mark.parametrize("together", [False, True])
@BOTH
async def test_after_a_refusal_only_a_close_frame_is_waited_for(
    wire: Wire, together: bool, autojump_clock: MockClock
) -> None:
    limits = Limits(message_fragments=3)
    parts = masked("", fin=False) + masked("", CONTINUATION, fin=False) * 3
    late = masked("", CONTINUATION) + masked("late") + masked(b"?", PING) + masked_close()
    async with laid(wire, limits=limits) as it:
        await it.client.send(masked("heard"), parts, late if together else b"")
        if not together:
            with trio.move_on_after(0.05):
                await it.lane.wait_for_slow()
            assert it.refusals == [Cause.FLOODED]
            assert not it.lane.lost
            await it.client.send(late)
        assert not await it.lane.wait_for_slow()
        assert it.refusals == [Cause.FLOODED]
        assert it.sink.received == ["heard"]
        assert it.lane.close_received == (1000, "")


@BOTH
async def test_what_is_announced_too_long_is_refused_by_its_head(
    wire: Wire, autojump_clock: MockClock
) -> None:
    async with laid(wire) as it:
        await it.client.send(TOO_LONG[:-1])
        with trio.move_on_after(0.05):
            await it.lane.wait_for_slow()
            await attach(it.lane)
            while True:
                await it.lane.receive_some()
        assert it.refusals == []
        await it.client.send(TOO_LONG[-1:])
        with trio.move_on_after(0.05):
            await it.lane.wait_for_slow()
        assert it.refusals == [Cause.TOO_BIG]


async def test_a_defect_in_taking_what_came_is_told_and_breaks_the_lane(
    autojump_clock: MockClock,
) -> None:
    async with laid("socket") as it:
        it.sink.failing = True
        await it.client.send(masked("x"))
        assert not await it.lane.wait_for_slow()
        assert it.refusals == [Cause.FAULT]
        it.lane.fail()
        assert it.lane.lost


async def test_trio_websocket_is_called_in_once_and_step_by_step(autojump_clock: MockClock) -> None:
    async with laid("socket") as it:
        with pytest.raises(IllegalMove, match="nothing leads from ABSENT by SEATED"):
            it.lane.shaken_hands()
        it.lane.shake_hands(b"GET")
        with pytest.raises(IllegalMove, match="nothing leads from GREETED by SEATED"):
            it.lane.shaken_hands()
        with pytest.raises(IllegalMove, match="nothing leads from GREETED by GREETED"):
            it.lane.shake_hands(b"GET")
        await it.lane.receive_some()
        it.lane.shaken_hands()
        with pytest.raises(IllegalMove, match="nothing leads from SEATED by SEATED"):
            it.lane.shaken_hands()
        await it.lane.aclose()
        await it.lane.aclose()
        with pytest.raises(IllegalMove, match="nothing leads from GONE by GREETED"):
            it.lane.shake_hands(b"GET")


MESSAGES = st.lists(
    st.sampled_from(["text", "binary", "ping", "fragments", "long"]), min_size=1, max_size=12
)


@given(MESSAGES, st.lists(st.integers(1, 300), max_size=20))
@BOTH
def test_slow_bytes_and_texts_are_together_what_was_sent(
    wire: Wire, kinds: list[str], cuts: list[int]
) -> None:
    """Nothing is lost and nothing twice, wherever the bytes are cut."""
    frames = {
        "binary": masked(b"b", BINARY),
        "ping": masked(b"p", PING),
        "fragments": masked("f", fin=False) + masked("f", CONTINUATION),
        "long": masked(b"l" * 900, BINARY),
    }

    async def main() -> None:
        async with laid(wire, limits=Limits(message_bytes=1000)) as it:
            await attach(it.lane)
            slow = bytearray()

            async def read() -> None:
                while data := await it.lane.receive_some():
                    slow.extend(data)

            whole = b"".join(
                masked(f"t{number}") if kind == "text" else frames[kind]
                for number, kind in enumerate(kinds)
            )
            async with trio.open_nursery() as nursery:
                nursery.start_soon(read)
                at = 0
                for cut in [*cuts, len(whole)]:
                    await it.client.send(whole[at : at + cut])
                    at += cut
                    await settled()
                await it.client.stream.send_eof()

            rest = bytes(slow)
            fast = [str(text) for text in it.sink.received]
            for number, kind in enumerate(kinds):
                if kind == "text" and f"t{number}" in fast:
                    assert fast.pop(0) == f"t{number}"
                else:
                    frame = masked(f"t{number}") if kind == "text" else frames[kind]
                    assert rest.startswith(frame)
                    rest = rest[len(frame) :]
            assert (rest, fast) == (b"", [])

    trio.run(main, clock=MockClock(autojump_threshold=0))


@pytest.mark.parametrize("act", ["receive", "drain", "wait", "send"])
@BOTH
def test_cancelled_at_any_step_it_can_be_used_again(wire: Wire, act: str) -> None:
    async def scenario(cutter: Cutter) -> None:
        before = tasks()
        async with laid(wire) as it:
            if act in {"receive", "send"}:
                await attach(it.lane)
            with trio.move_on_after(1) as scope:  # noqa: ASYNC912 - see below
                cutter.arm(scope)
                match act:
                    case "receive":
                        await it.lane.receive_some()
                    case "drain":
                        await it.lane.drain(it.stream)
                    case "wait":
                        await it.lane.wait_for_slow()
                    case "send":
                        for _ in range(3):
                            await it.lane.send_all(encode_text(b"x" * 100))
            cutter.disarm()
            await it.client.send(masked(b"?", PING))
            if act != "drain":
                assert await it.lane.wait_for_slow()
            else:
                assert not it.lane.lost
        assert tasks() == before

    # A socket takes what is sent at once, without a checkpoint.
    sweep(scenario, least=0 if act == "send" else 1)
