"""Alarms of rooms that wait for their record: in order, in time, and not if cancelled."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
import trio.testing
from trio.testing import MockClock

from server.rooms.alarms import HOLD_SECONDS, SAVED_SECONDS, Alarms, Delay


@asynccontextmanager
async def running(delay: Delay) -> AsyncIterator[list[tuple[str, float]]]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(delay.run)  # noqa: ASYNC113 - whoever is set meanwhile rings all the same
        yield []
        nursery.cancel_scope.cancel()


async def test_each_rings_once_in_time(autojump_clock: MockClock) -> None:
    delay = Delay(10)
    async with running(delay) as rung:
        for name in "ab":
            delay.set(lambda name=name: rung.append((name, trio.current_time())))  # type: ignore[misc]
            await trio.sleep(5)
        await trio.sleep(100)
        assert rung == [("a", 10.0), ("b", 15.0)]
        delay.set(lambda: rung.append(("c", trio.current_time())))
        await trio.sleep(100)
        assert rung[2:] == [("c", 120.0)]


async def test_those_that_are_due_a_little_later_ring_along(autojump_clock: MockClock) -> None:
    delay = Delay(16)
    async with running(delay) as rung:
        for name in "abc":
            delay.set(lambda name=name: rung.append((name, trio.current_time())))  # type: ignore[misc]
            await trio.sleep(0.75)
        await trio.sleep(100)
        assert rung == [("a", 16.0), ("b", 16.0), ("c", 17.5)]


async def test_one_that_is_cancelled_does_not_ring(autojump_clock: MockClock) -> None:
    delay = Delay(10)
    async with running(delay) as rung:
        first, second = (
            delay.set(lambda name=name: rung.append((name, trio.current_time())))  # type: ignore[misc]
            for name in "ab"
        )
        assert first.ring is not None
        first.cancel()
        first.cancel()
        await trio.sleep(100)
        assert rung == [("b", 10.0)]
        assert second.ring is None


async def test_what_rings_may_set_another(autojump_clock: MockClock) -> None:
    delay = Delay(10)
    async with running(delay) as rung:

        def again() -> None:
            rung.append(("", trio.current_time()))
            if len(rung) < 3:
                delay.set(again)

        delay.set(again)
        await trio.sleep(100)
        assert [at for _, at in rung] == [10, 20, 30]


async def test_both_times_run_together(autojump_clock: MockClock) -> None:
    alarms = Alarms()
    rung: list[float] = []
    async with trio.open_nursery() as nursery:
        await nursery.start(alarms.run)
        alarms.saved.set(lambda: rung.append(trio.current_time()))
        alarms.hold.set(lambda: rung.append(trio.current_time()))
        await trio.sleep(5)
        assert rung == [HOLD_SECONDS, SAVED_SECONDS]
        nursery.cancel_scope.cancel()
