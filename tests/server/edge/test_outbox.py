"""The sending half of a connection, over a socket that takes little and over memory streams."""

import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
import trio
import trio.testing
from trio.testing import MockClock

from protocol.frames import encode_close, encode_text
from protocol.limits import KIB
from server.edge.outbox import Outbox
from server.support.limits import Limits
from tests.server.harness import (
    WIRES,
    Client,
    Cutter,
    Wire,
    as_stream,
    local_pair,
    sweep,
    tasks,
)

BOTH = pytest.mark.parametrize("wire", WIRES)
CLOSE = encode_close(1001, "over")

settled = trio.testing.wait_all_tasks_blocked


@attrs.define
class Boxed:
    """An outbox and its other end."""

    outbox: Outbox
    client: Client
    nursery: trio.Nursery
    sock: socket.socket | None
    stuck: list[float]
    on_stuck: list[Callable[[], None]]


@asynccontextmanager
async def boxed(
    wire: Wire, *, limits: Limits | None = None, small: bool = True
) -> AsyncIterator[Boxed]:
    stuck: list[float] = []
    on_stuck: list[Callable[[], None]] = []
    sock: socket.socket | None = None
    here: trio.abc.HalfCloseableStream
    there: trio.abc.HalfCloseableStream
    if wire == "socket":
        sock, other = local_pair(small=small)
        here, there = as_stream(sock), as_stream(other)
    else:
        make = trio.testing.lockstep_stream_pair if small else trio.testing.memory_stream_pair
        here, there = make()

    def note() -> None:
        stuck.append(trio.current_time())
        for callback in on_stuck:
            callback()

    try:
        async with trio.open_nursery() as nursery:

            def spawn(task: Callable[[], Any]) -> None:
                nursery.start_soon(task)

            outbox = Outbox(here, sock, limits=limits or Limits(), spawn=spawn, on_stuck=note)
            yield Boxed(outbox, Client(there), nursery, sock, stuck, on_stuck)
            nursery.cancel_scope.cancel()
    finally:
        await trio.aclose_forcefully(here)
        await trio.aclose_forcefully(there)


def fill(sock: socket.socket) -> None:
    """Make a socket take nothing more."""
    with contextlib.suppress(BlockingIOError):
        while True:
            sock.send(b"z")


def delivered(stream: trio.SocketStream) -> bytes:
    """Take, without a checkpoint, what has arrived and was not read yet."""
    data = b""
    with socket.socket(fileno=os.dup(stream.socket.fileno())) as sock:
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while more := sock.recv(64 * KIB):
                data += more
    return data


async def test_a_socket_that_takes_all_gets_it_without_waiting_and_without_a_task(
    autojump_clock: MockClock,
) -> None:
    async with boxed("socket") as box:
        box.outbox.push(b"abc")
        box.outbox.push(b"def")

        assert not box.nursery.child_tasks
        assert await box.client.stream.receive_some() == b"abcdef"
        with trio.fail_after(0):
            await box.outbox.flushed()


@BOTH
async def test_all_arrives_whole_and_in_order_however_slowly_it_is_read(
    wire: Wire, autojump_clock: MockClock
) -> None:
    pushed = [encode_text(b"%d " % n * (n % 700)) for n in range(400)]
    async with boxed(wire, limits=Limits(outbox_bytes=10**8)) as box:
        found = bytearray()

        async def read() -> None:
            while len(found) < len(b"".join(pushed)):
                found.extend(await box.client.stream.receive_some(1013))
                await trio.lowlevel.checkpoint()

        for frame in pushed[:200]:
            box.outbox.push(frame)
        assert box.nursery.child_tasks
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            for frame in pushed[200:]:
                box.outbox.push(frame)
                await trio.lowlevel.checkpoint()
            await box.outbox.flushed()

        assert bytes(found) == b"".join(pushed)
        await settled()
        assert not box.nursery.child_tasks
        assert box.stuck == []


PUSH_BYTES = 256
"""What a queued push weighs beside its bytes."""


@BOTH
async def test_more_unsent_bytes_than_the_bound_are_reported(
    wire: Wire, autojump_clock: MockClock
) -> None:
    async with boxed(wire, limits=Limits(outbox_bytes=100 * KIB)) as box:
        box.outbox.push(b"x" * 200 * KIB)
        assert len(box.stuck) == 1
    async with boxed(wire, limits=Limits(outbox_bytes=100 * KIB)) as box:
        if box.sock is not None:
            fill(box.sock)
        for _ in range(100 * KIB // (KIB + PUSH_BYTES)):
            box.outbox.push(b"x" * KIB)
        assert box.stuck == []
        box.outbox.push(b"x" * KIB)
        assert len(box.stuck) == 1
        box.outbox.push(b"x")
        assert len(box.stuck) == 2


@BOTH
async def test_each_unsent_push_weighs_its_place_in_memory(
    wire: Wire, autojump_clock: MockClock
) -> None:
    async with boxed(wire, limits=Limits(outbox_bytes=100 * KIB)) as box:
        if box.sock is not None:
            fill(box.sock)
        for _ in range(100 * KIB // (1 + PUSH_BYTES)):
            box.outbox.push(b"x")
        assert box.stuck == []
        box.outbox.push(b"x")
        assert len(box.stuck) == 1


async def test_however_many_messages_come_at_once_a_peer_that_takes_them_is_not_too_slow(
    autojump_clock: MockClock,
) -> None:
    async with boxed("socket", limits=Limits(outbox_bytes=64 * KIB)) as box:
        size = 0

        async def read() -> None:
            nonlocal size
            while data := await box.client.stream.receive_some(64 * KIB):
                size += len(data)

        box.nursery.start_soon(read)
        for _ in range(50):
            for _ in range(100):
                box.outbox.push(encode_text(b"x" * 100))
            await box.outbox.flushed()
        await settled()
        assert size == 5000 * 102
        assert box.stuck == []


@BOTH
async def test_truncated_it_sends_what_it_has_begun_and_then_a_close_frame(
    wire: Wire, autojump_clock: MockClock
) -> None:
    """Also when much has been handed to the stream at once already."""
    async with boxed(wire, limits=Limits(outbox_bytes=100 * KIB)) as box:

        def close() -> None:
            if not box.outbox.closing:
                box.outbox.truncate()
                box.outbox.push(CLOSE)

        box.on_stuck.append(close)
        for _ in range(50):
            box.outbox.push(encode_text(b"x" * 2000))
        await settled()
        for _ in range(50):
            box.outbox.push(encode_text(b"y" * 2000))
        assert len(box.stuck) == 1
        box.outbox.push(b"never")

        data = b""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(box.outbox.flushed)
            while not data.endswith(CLOSE):
                data += bytes(await box.client.stream.receive_some())
        whole = len(encode_text(b"x" * 2000))
        assert (len(data) - len(CLOSE)) % whole == 0
        assert b"y" not in data
        await settled()
        assert not box.nursery.child_tasks


async def test_truncating_an_empty_outbox_is_harmless(autojump_clock: MockClock) -> None:
    async with boxed("memory") as box:
        box.outbox.truncate()
        assert not box.outbox.abandon()


@BOTH
async def test_nothing_follows_a_close_frame(wire: Wire, autojump_clock: MockClock) -> None:
    async with boxed(wire, small=False) as box:
        closing = []
        for frame in (b"\x81\x01a", CLOSE):
            box.outbox.push(frame)
            closing.append(box.outbox.closing)
        assert closing == [False, True]
        box.outbox.push(b"\x81\x01b")
        box.outbox.push(CLOSE)
        await box.outbox.flushed()
        await settled()
        assert await box.client.stream.receive_some() == b"\x81\x01a" + CLOSE


@BOTH
async def test_a_peer_that_takes_nothing_is_reported_after_the_write_time(
    wire: Wire, autojump_clock: MockClock
) -> None:
    async with boxed(wire, limits=Limits(write_seconds=10)) as box:
        box.outbox.push(b"x" * 500_000)
        if wire == "memory":
            await box.outbox.flushed()
            # Torn inside of a frame: nothing can follow.
            assert box.outbox.broken
            assert box.stuck == [10]
        else:
            await trio.sleep(25)
            assert box.stuck == [10, 20]
            assert not box.outbox.broken


async def test_a_peer_that_takes_a_little_now_and_then_is_not_stuck(
    autojump_clock: MockClock,
) -> None:
    async with boxed("socket", limits=Limits(write_seconds=10)) as box:
        box.outbox.push(b"x" * 20_000)
        size = 0
        while size < 20_000:
            await trio.sleep(9)
            size += len(await box.client.stream.receive_some(64 * KIB))
        assert trio.current_time() > 20
        assert box.stuck == []


@BOTH
async def test_a_broken_peer_is_noticed_and_wakes_whoever_waits(
    wire: Wire, autojump_clock: MockClock
) -> None:
    async with boxed(wire) as box:
        box.outbox.push(b"x" * 500_000)
        await settled()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(box.outbox.flushed)
            nursery.start_soon(box.outbox.flushed)
            await settled()
            await box.client.stream.aclose()
        assert box.outbox.broken
        box.outbox.push(b"y")
        assert not box.outbox.abandon()
        await settled()
        assert not box.nursery.child_tasks


async def test_a_peer_that_is_found_broken_at_once_needs_no_task(autojump_clock: MockClock) -> None:
    async with boxed("socket") as box:
        await box.client.stream.aclose()
        box.outbox.push(b"x")
        box.outbox.push(b"y")
        assert box.outbox.broken
        assert not box.nursery.child_tasks
        with trio.fail_after(0):
            await box.outbox.flushed()


@BOTH
async def test_abandoned_it_tells_whether_anything_was_left(
    wire: Wire, autojump_clock: MockClock
) -> None:
    async with boxed(wire) as box:
        assert not box.outbox.abandon()
    async with boxed(wire) as box:
        box.outbox.push(b"x" * 500_000)
        await settled()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(box.outbox.flushed)
            await settled()
            assert box.outbox.abandon()
        assert box.outbox.broken
        assert not box.outbox.abandon()
        with contextlib.suppress(trio.BrokenResourceError):
            with trio.move_on_after(0):
                while await box.client.stream.receive_some():
                    pass
        await settled()


async def test_abandoned_in_the_middle_of_a_write_the_writer_ends_with_it(
    autojump_clock: MockClock,
) -> None:
    async with boxed("memory") as box:
        box.outbox.push(b"abc")
        box.outbox.push(b"def")
        await settled()
        box.outbox.abandon()
        assert await box.client.stream.receive_some() == b"abcdef"
        await settled()
        assert not box.nursery.child_tasks


@BOTH
def test_cancelled_at_any_step_the_writer_leaves_nothing_and_sends_nothing_twice(
    wire: Wire,
) -> None:
    async def scenario(cutter: Cutter) -> None:
        before = tasks()
        pushed = [encode_text(b"%d" % n * 2000) for n in range(9)]
        found = bytearray()
        async with boxed(wire) as box:

            async def read() -> None:
                with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                    while data := await box.client.stream.receive_some(1500):
                        found.extend(data)

            try:
                async with trio.open_nursery() as reading:
                    reading.start_soon(read)
                    cutter.arm(box.nursery.cancel_scope)
                    with trio.CancelScope(shield=True):
                        for frame in pushed:
                            box.outbox.push(frame)
                            await trio.lowlevel.checkpoint()
                        with trio.move_on_after(1):
                            await box.outbox.flushed()
                    unsent = box.outbox.abandon()
                    cutter.disarm()
                    reading.cancel_scope.cancel()
            finally:
                if isinstance(box.client.stream, trio.SocketStream):
                    found.extend(delivered(box.client.stream))
        whole = b"".join(pushed)
        assert whole.startswith(bytes(found))
        assert unsent or len(found) == len(whole)
        assert tasks() == before

    sweep(scenario, least=10)
