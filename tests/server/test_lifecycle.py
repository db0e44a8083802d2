"""Signals and what they do, sent to this very process, on the virtual clock."""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs
from trio.testing import MockClock

from server.lifecycle import LAST_WRITES_SECONDS, Lifecycle
from tests.server.harness import Cutter, sweep

settled = trio.testing.wait_all_tasks_blocked

FIRST = pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
SECOND = pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])


class Left(list[int]):
    """The exit codes with which the process was left by force."""


@asynccontextmanager
async def watched(
    *, delay: float = 0.0, drain_seconds: float = 30.0, serving: bool = True
) -> AsyncIterator[tuple[Lifecycle, Left]]:
    left = Left()
    lifecycle = Lifecycle(delay=delay, drain_seconds=drain_seconds, leave=left.append)
    async with trio.open_nursery() as nursery:
        await nursery.start(lifecycle.watch)
        if serving:
            lifecycle.begin()
        yield lifecycle, left
        nursery.cancel_scope.cancel()


async def send(number: signal.Signals) -> None:
    signal.raise_signal(number)
    await settled()


@FIRST
@SECOND
async def test_the_first_signal_drains_and_the_second_one_kills(
    first: signal.Signals, second: signal.Signals
) -> None:
    with capture_logs() as logs:
        async with watched() as (lifecycle, left):
            assert not lifecycle.leaving.is_set()

            await send(first)
            assert lifecycle.draining.is_set()
            before = (lifecycle.work.cancel_called, lifecycle.killed_by)

            await send(second)
            after = (lifecycle.work.cancel_called, lifecycle.killed_by)
            assert (before, after) == ((False, None), (True, second))
    assert left == []
    assert [(entry["event"], entry["signal"]) for entry in logs] == [
        ("draining", first.name),
        ("killed", second.name),
    ]


@FIRST
async def test_a_signal_while_starting_ends_the_start(first: signal.Signals) -> None:
    async with watched(serving=False) as (lifecycle, left):
        with lifecycle.work:
            await send(first)
            await trio.sleep_forever()
        assert lifecycle.killed_by == first
        assert not lifecycle.draining.is_set()
    assert left == []


async def test_two_signals_at_once_are_two(autojump_clock: MockClock) -> None:
    async with watched() as (lifecycle, _):
        signal.raise_signal(signal.SIGINT)
        await send(signal.SIGTERM)
        assert lifecycle.killed_by == signal.SIGTERM


async def test_accepting_ends_when_the_delay_is_over(autojump_clock: MockClock) -> None:
    async with watched(delay=7, drain_seconds=20) as (lifecycle, _):
        signal.raise_signal(signal.SIGTERM)
        await lifecycle.leaving.wait()
        assert trio.current_time() == 0
        assert not lifecycle.draining.is_set()

        await lifecycle.draining.wait()
        assert trio.current_time() == 7
        with lifecycle.work:
            await trio.sleep_forever()
        assert trio.current_time() == 7 + 20 - LAST_WRITES_SECONDS
        assert 0 < lifecycle.seconds_to_write < LAST_WRITES_SECONDS


@SECOND
async def test_a_second_signal_does_not_wait_for_the_delay(second: signal.Signals) -> None:
    async with watched(delay=1000) as (lifecycle, _):
        await send(signal.SIGTERM)
        await send(second)
        assert lifecycle.killed_by == second
        assert lifecycle.work.cancel_called


@pytest.mark.parametrize(
    ("drain_seconds", "work", "end"), [(30, 29, 30), (1, 0.5, 1), (0.5, 0.25, 1), (0, 0, 1)]
)
async def test_what_hangs_does_not_keep_the_process_beyond_the_end(
    autojump_clock: MockClock, drain_seconds: float, work: float, end: float
) -> None:
    async with watched(drain_seconds=drain_seconds) as (lifecycle, left):
        await send(signal.SIGTERM)
        with lifecycle.work:
            await trio.sleep_forever()
        assert trio.current_time() == work
        await trio.sleep(end - trio.current_time() - 0.001)
        assert left == []
        await trio.sleep(0.002)
        assert left == [1]


async def test_what_hangs_after_a_second_signal_has_a_second(autojump_clock: MockClock) -> None:
    async with watched() as (_, left):
        await send(signal.SIGTERM)
        await send(signal.SIGINT)
        await trio.sleep(LAST_WRITES_SECONDS - 0.001)
        assert left == []
        await trio.sleep(0.002)
        assert left == [128 + signal.SIGINT]


@pytest.mark.parametrize("serving", [True, False])
async def test_who_insists_does_not_wait_at_all(serving: bool) -> None:
    async with watched(serving=serving) as (_, left):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM)[not serving :]:
            assert left == []
            await send(number)
        assert left == [128 + signal.SIGINT]


async def test_afterwards_signals_do_what_they_did_before() -> None:
    before = signal.getsignal(signal.SIGTERM)
    async with watched():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def test_cancelled_at_any_step_the_signals_are_given_back() -> None:
    async def scenario(cutter: Cutter) -> None:
        with trio.CancelScope() as scope:
            async with watched() as (lifecycle, left):
                cutter.arm(scope)
                signal.raise_signal(signal.SIGTERM)
                await lifecycle.draining.wait()
            assert left == []

    # A signal that nobody has read is delivered again when the receiver is closed.
    def ignore(number: int, frame: object) -> None:
        pass

    before = signal.signal(signal.SIGTERM, ignore)
    try:
        sweep(scenario, least=2)
        assert signal.getsignal(signal.SIGTERM) is ignore
    finally:
        signal.signal(signal.SIGTERM, before)
