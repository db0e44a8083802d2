"""Signals and what they do, sent to this very process."""

import signal

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from server.lifecycle import Lifecycle
from tests.server.harness import Cutter, sweep, until

settled = trio.testing.wait_all_tasks_blocked


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
async def test_the_first_signal_drains_and_the_second_one_kills(
    first: signal.Signals, second: signal.Signals
) -> None:
    lifecycle = Lifecycle()
    kills: list[int] = []
    with capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            await nursery.start(lifecycle.watch, lambda: kills.append(1))
            assert not lifecycle.draining.is_set()

            signal.raise_signal(first)
            await lifecycle.draining.wait()
            assert kills == []
            numbers = [lifecycle.killed_by]

            signal.raise_signal(second)
            await until(lambda: kills)
            numbers.append(lifecycle.killed_by)
            assert numbers == [None, second]
            nursery.cancel_scope.cancel()

    assert [(entry["event"], entry["signal"]) for entry in logs] == [
        ("draining", first.name),
        ("killed", second.name),
    ]


async def test_afterwards_signals_do_what_they_did_before() -> None:
    before = signal.getsignal(signal.SIGTERM)
    async with trio.open_nursery() as nursery:
        await nursery.start(Lifecycle().watch, lambda: None)
        assert signal.getsignal(signal.SIGTERM) is not before
        nursery.cancel_scope.cancel()
    assert signal.getsignal(signal.SIGTERM) is before


def test_cancelled_at_any_step_the_signals_are_given_back() -> None:
    async def scenario(cutter: Cutter) -> None:
        lifecycle = Lifecycle()
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                await nursery.start(lifecycle.watch, lambda: None)
                cutter.arm(scope)
                signal.raise_signal(signal.SIGTERM)
                await lifecycle.draining.wait()
                nursery.cancel_scope.cancel()

    # A signal that nobody has read is delivered again when the receiver is closed.
    def ignore(number: int, frame: object) -> None:
        pass

    before = signal.signal(signal.SIGTERM, ignore)
    try:
        sweep(scenario, least=2)
        assert signal.getsignal(signal.SIGTERM) is ignore
    finally:
        signal.signal(signal.SIGTERM, before)
