"""Pings and silence, on a virtual clock."""

import trio
from trio.testing import MockClock

from server.edge.heartbeat import Heartbeat
from tests.server.harness import Cutter, sweep


class Pulse:
    """Answers pings after a while, or never."""

    def __init__(self, *, answers: bool = True) -> None:
        self.heard = trio.current_time()
        self.pings: list[float] = []
        self.silences: list[float] = []
        self._answers = answers

    def ping(self) -> None:
        self.pings.append(trio.current_time())
        if self._answers:
            self.heard = trio.current_time()

    def silent(self) -> None:
        self.silences.append(trio.current_time())


async def run_for(heartbeat: Heartbeat, seconds: float) -> None:
    with trio.move_on_after(seconds):
        await heartbeat.run()


async def test_a_connection_is_pinged_once_in_each_interval(autojump_clock: MockClock) -> None:
    heartbeat, pulse = Heartbeat(25, 10), Pulse()
    heartbeat.add(pulse)
    await run_for(heartbeat, 101)

    assert pulse.pings == [25, 50, 75, 100]
    assert pulse.silences == []


async def test_the_first_ping_comes_after_a_whole_interval(autojump_clock: MockClock) -> None:
    heartbeat = Heartbeat(25, 10)
    pulses: list[Pulse] = []

    async def join() -> None:
        for _ in range(40):
            await trio.sleep(1.3)
            pulse = Pulse()
            heartbeat.add(pulse)
            pulses.append(pulse)

    with trio.move_on_after(120):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(join)
            nursery.start_soon(heartbeat.run)

    for number, pulse in enumerate(pulses):
        joined = 1.3 * (number + 1)
        assert 24 <= pulse.pings[0] - joined <= 25.001
        gaps = {round(b - a, 6) for a, b in zip(pulse.pings, pulse.pings[1:], strict=False)}
        assert gaps == {25}
    assert len({pulse.pings[0] for pulse in pulses}) > 20


async def test_a_silent_connection_is_reported_after_the_timeout(
    autojump_clock: MockClock,
) -> None:
    heartbeat, pulse = Heartbeat(25, 10), Pulse(answers=False)
    heartbeat.add(pulse)
    await run_for(heartbeat, 49)

    assert pulse.pings == [25]
    assert pulse.silences == [35]


async def test_one_that_is_heard_within_the_timeout_is_not_reported(
    autojump_clock: MockClock,
) -> None:
    heartbeat, pulse = Heartbeat(25, 10), Pulse(answers=False)
    heartbeat.add(pulse)

    async def say_something() -> None:
        await trio.sleep(34.9)
        pulse.heard = trio.current_time()

    with trio.move_on_after(49):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(heartbeat.run)
            nursery.start_soon(say_something)

    assert pulse.silences == []


async def test_a_sign_of_life_from_before_the_ping_does_not_count(
    autojump_clock: MockClock,
) -> None:
    heartbeat, pulse = Heartbeat(25, 10), Pulse(answers=False)
    heartbeat.add(pulse)
    pulse.heard = 24.9
    await run_for(heartbeat, 36)
    assert pulse.silences == [35]


async def test_a_discarded_connection_is_neither_pinged_nor_reported(
    autojump_clock: MockClock,
) -> None:
    heartbeat = Heartbeat(25, 10)
    early, late, unknown = Pulse(answers=False), Pulse(answers=False), Pulse()
    heartbeat.add(early)
    heartbeat.add(late)
    heartbeat.discard(unknown)
    heartbeat.discard(early)
    heartbeat.discard(early)

    async def leave() -> None:
        await trio.sleep(30)
        heartbeat.discard(late)

    with trio.move_on_after(100):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(heartbeat.run)
            nursery.start_soon(leave)

    assert (early.pings, early.silences) == ([], [])
    assert (late.pings, late.silences) == ([25], [])


async def test_one_that_leaves_because_it_is_silent_disturbs_nobody(
    autojump_clock: MockClock,
) -> None:
    heartbeat = Heartbeat(25, 10)

    class Leaver(Pulse):
        def silent(self) -> None:
            super().silent()
            heartbeat.discard(self)

    leavers = [Leaver(answers=False) for _ in range(3)]
    stayer = Pulse()
    for pulse in (*leavers, stayer):
        heartbeat.add(pulse)
    await run_for(heartbeat, 101)

    assert all(pulse.silences == [35] for pulse in leavers)
    assert all(pulse.pings == [25] for pulse in leavers)
    assert len(stayer.pings) == 4


async def test_a_tick_that_comes_late_is_made_up_for(autojump_clock: MockClock) -> None:
    """Somebody held the loop; pings go on in the old rhythm."""
    heartbeat, pulse = Heartbeat(25, 10), Pulse()
    heartbeat.add(pulse)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(heartbeat.run)
        await trio.sleep(24.5)
        autojump_clock.jump(10)
        await trio.sleep(20)
        nursery.cancel_scope.cancel()
    assert pulse.pings == [34.5, 50]


def test_cancelled_at_any_step_it_leaves_nothing() -> None:
    async def scenario(cutter: Cutter) -> None:
        heartbeat = Heartbeat(5, 2)
        pulses = [Pulse(), Pulse(answers=False)]
        for pulse in pulses:
            heartbeat.add(pulse)
        with trio.move_on_after(16) as scope:
            cutter.arm(scope)
            await heartbeat.run()
        for pulse in pulses:
            heartbeat.discard(pulse)

    sweep(scenario, least=10)
