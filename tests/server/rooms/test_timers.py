"""A room's timers, on a virtual clock."""

import trio
import trio.testing
from trio.testing import MockClock

from protocol.ids import MemberId
from server.rooms.timers import Timers
from tests.server.harness import Cutter, sweep, tasks

ADA, BOB, EVE = MemberId("ada"), MemberId("bob"), MemberId("eve")


class Bell:
    def __init__(self) -> None:
        self.rung: list[tuple[MemberId, float]] = []

    def __call__(self, member: MemberId) -> None:
        self.rung.append((member, trio.current_time()))


async def test_each_timer_rings_once_when_it_is_due(autojump_clock: MockClock) -> None:
    bell = Bell()
    async with trio.open_nursery() as nursery:
        alarm = Timers(nursery, bell)
        alarm.set(ADA, 10)
        alarm.set(BOB, 5)
        alarm.set(EVE, 20)

    assert bell.rung == [(BOB, 5), (ADA, 10), (EVE, 20)]


async def test_a_timer_that_is_set_anew_counts_from_then(autojump_clock: MockClock) -> None:
    bell = Bell()
    async with trio.open_nursery() as nursery:
        alarm = Timers(nursery, bell)
        alarm.set(ADA, 10)
        await trio.sleep(4)
        alarm.set(ADA, 10)
        await trio.sleep(1)
        alarm.set(BOB, 1)

    assert bell.rung == [(BOB, 6), (ADA, 14)]


async def test_a_cleared_timer_does_not_ring(autojump_clock: MockClock) -> None:
    bell = Bell()
    async with trio.open_nursery() as nursery:
        alarm = Timers(nursery, bell)
        alarm.clear(ADA)
        alarm.set(ADA, 10)
        alarm.set(BOB, 12)
        await trio.sleep(1)
        alarm.clear(ADA)
        alarm.clear(ADA)

    assert bell.rung == [(BOB, 12)]


async def test_the_task_lives_only_while_there_are_timers(autojump_clock: MockClock) -> None:
    bell = Bell()
    async with trio.open_nursery() as nursery:
        alarm = Timers(nursery, bell)
        assert not nursery.child_tasks
        alarm.set(ADA, 1)
        alarm.set(BOB, 1)
        assert len(nursery.child_tasks) == 1
        await trio.sleep(2)
        assert not nursery.child_tasks
        alarm.set(ADA, 1)
        await trio.sleep(2)

    assert [member for member, _ in bell.rung] == [ADA, BOB, ADA]


async def test_a_timer_may_be_set_while_another_rings(autojump_clock: MockClock) -> None:
    rung: list[float] = []

    def ring(member: MemberId) -> None:
        rung.append(trio.current_time())
        if len(rung) < 3:
            alarm.set(member, 2)

    async with trio.open_nursery() as nursery:
        alarm = Timers(nursery, ring)
        alarm.set(ADA, 2)

    assert rung == [2, 4, 6]


async def test_stopping_forgets_all_timers_and_ends_the_task(autojump_clock: MockClock) -> None:
    bell = Bell()
    async with trio.open_nursery() as nursery:
        alarm = Timers(nursery, bell)
        alarm.stop()
        alarm.set(ADA, 10)
        await trio.testing.wait_all_tasks_blocked()
        alarm.stop()
        alarm.stop()

    assert trio.current_time() == 0
    assert bell.rung == []


async def test_stopped_before_the_task_has_begun_it_does_not_ring(
    autojump_clock: MockClock,
) -> None:
    bell = Bell()
    async with trio.open_nursery() as nursery:
        alarm = Timers(nursery, bell)
        alarm.set(ADA, 10)
        alarm.stop()

    assert (trio.current_time(), bell.rung) == (0, [])


def test_cancelled_at_any_step_nothing_is_left() -> None:
    async def scenario(cutter: Cutter) -> None:
        before = tasks()
        with trio.CancelScope() as scope:
            cutter.arm(scope)
            async with trio.open_nursery() as nursery:
                alarm = Timers(nursery, Bell())
                alarm.set(ADA, 10)
                await trio.lowlevel.checkpoint()
                alarm.set(BOB, 5)
                alarm.set(EVE, 20)
        assert tasks() == before

    sweep(scenario, least=5)
