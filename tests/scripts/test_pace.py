"""A bot sends no more than its server lets it."""

import pytest
import trio
import trio.testing

from scripts.botlib.pace import Pace


async def times(pace: Pace, count: int) -> list[float]:
    start = trio.current_time()
    taken = []
    for _ in range(count):
        await pace.wait()
        taken.append(trio.current_time() - start)
    return taken


async def test_a_burst_goes_at_once_and_then_the_rate_holds(
    autojump_clock: trio.testing.MockClock,
) -> None:
    pace = Pace(2.0, 3)

    assert await times(pace, 5) == pytest.approx([0, 0, 0, 0.5, 1.0])
    await trio.sleep(100)
    assert await times(pace, 5) == pytest.approx([0, 0, 0, 0.5, 1.0])


async def test_rate_zero_is_no_bound(autojump_clock: trio.testing.MockClock) -> None:
    assert await times(Pace(0.0, 1), 1000) == [0] * 1000
