"""The way into a room."""

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from protocol.ids import MemberId
from protocol.messages import Leave, TimeUp
from server.rooms.inbox import Inbox

ADA, BOB = MemberId("ada"), MemberId("bob")
LEAVE, TIME_UP = Leave(), TimeUp()

settled = trio.testing.wait_all_tasks_blocked


async def test_what_comes_before_the_room_looks_is_one_batch() -> None:
    inbox = Inbox(10)
    inbox.put(ADA, LEAVE)
    inbox.settle()
    inbox.put(BOB, TIME_UP)
    inbox.put(ADA, TIME_UP)
    inbox.settle()
    inbox.settle()

    assert await inbox.take() == [(ADA, LEAVE), (BOB, TIME_UP), (ADA, TIME_UP)]

    inbox.put(BOB, LEAVE)
    inbox.settle()
    assert await inbox.take() == [(BOB, LEAVE)]
    inbox.close()


async def test_a_batch_that_is_put_while_the_room_waits_wakes_it() -> None:
    inbox = Inbox(10)
    taken = []

    async def room() -> None:
        taken.append(await inbox.take())
        taken.append(await inbox.take())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(room)
        await settled()
        inbox.settle()
        await settled()
        assert taken == []
        inbox.put(ADA, LEAVE)
        inbox.settle()
        inbox.put(ADA, TIME_UP)
        inbox.settle()
        await settled()
        inbox.put(BOB, LEAVE)
        inbox.settle()

    assert taken == [[(ADA, LEAVE), (ADA, TIME_UP)], [(BOB, LEAVE)]]
    inbox.close()


async def test_it_is_full_at_its_limit_and_takes_more_nevertheless() -> None:
    inbox = Inbox(2)
    called: list[int] = []
    full = []
    for _ in range(3):
        inbox.put(ADA, LEAVE)
        full.append(inbox.full)
    assert full == [False, True, True]
    inbox.settle()
    inbox.on_space(lambda: called.append(1))
    assert called == []

    assert len(await inbox.take()) == 3
    assert not inbox.full
    assert called == [1]

    inbox.put(ADA, LEAVE)
    inbox.put(ADA, LEAVE)
    inbox.settle()
    await inbox.take()
    assert called == [1]
    inbox.close()


async def test_what_is_too_much_for_one_turn_stays_in_order() -> None:
    inbox = Inbox(100)
    for member in (ADA, BOB, ADA, BOB, ADA):
        inbox.put(member, LEAVE)
    inbox.settle()

    assert await inbox.take(2) == [(ADA, LEAVE), (BOB, LEAVE)]
    inbox.put(BOB, TIME_UP)
    inbox.settle()
    assert await inbox.take(2) == [(ADA, LEAVE), (BOB, LEAVE)]
    assert await inbox.take(2) == [(ADA, LEAVE), (BOB, TIME_UP)]

    inbox.put(ADA, LEAVE)
    inbox.settle()
    assert await inbox.take(2) == [(ADA, LEAVE)]
    inbox.close()


async def test_there_is_space_only_when_what_stays_leaves_some() -> None:
    inbox = Inbox(4)
    called: list[int] = []
    for _ in range(7):
        inbox.put(ADA, LEAVE)
    inbox.settle()
    inbox.on_space(lambda: called.append(1))

    full = []
    for _ in range(2):
        await inbox.take(2)
        full.append((inbox.full, len(called)))
    assert full == [(True, 0), (False, 1)]
    inbox.close()


async def test_whoever_waits_for_space_goes_on_when_there_is_some() -> None:
    inbox = Inbox(1)
    done: list[int] = []

    async def wait() -> None:
        await inbox.wait_for_space()
        done.append(1)

    await inbox.wait_for_space()
    inbox.put(ADA, LEAVE)
    inbox.settle()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        nursery.start_soon(wait)
        await settled()
        assert done == []
        await inbox.take()
    assert done == [1, 1]
    inbox.close()


async def test_whoever_waits_waits_on_if_it_is_full_again() -> None:
    inbox = Inbox(1)
    inbox.put(ADA, LEAVE)
    inbox.settle()
    done: list[int] = []

    async def wait() -> None:
        await inbox.wait_for_space()
        done.append(1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await settled()
        await inbox.take()
        inbox.put(ADA, LEAVE)
        inbox.settle()
        await settled()
        assert done == []
        inbox.close()
    assert done == [1]


async def test_closing_frees_everybody_and_leaves_no_end_open() -> None:
    inbox = Inbox(1)
    called: list[int] = []
    inbox.put(ADA, LEAVE)
    inbox.settle()
    inbox.on_space(lambda: called.append(1))
    before = inbox.statistics()
    assert (before.open_send_channels, before.open_receive_channels) == (1, 1)

    inbox.close()
    inbox.close()

    after = inbox.statistics()
    assert (after.open_send_channels, after.open_receive_channels) == (0, 0)
    assert called == [1]
    assert not inbox.full
    with pytest.raises(trio.ClosedResourceError):
        await inbox.take()


@pytest.mark.parametrize("offered", [False, True])
async def test_what_comes_after_the_close_is_ignored(offered: bool) -> None:
    inbox = Inbox(2)
    if offered:
        inbox.put(ADA, LEAVE)
        inbox.settle()
    inbox.close()
    for _ in range(5):
        inbox.put(ADA, LEAVE)
        inbox.settle()
        assert not inbox.full
    with trio.fail_after(0):
        await inbox.wait_for_space()


async def test_cancelled_in_the_middle_of_taking_nothing_is_lost(
    autojump_clock: MockClock,
) -> None:
    inbox = Inbox(2)
    with trio.move_on_after(1) as scope:
        await inbox.take()
    assert scope.cancelled_caught
    inbox.put(ADA, LEAVE)
    inbox.settle()
    with trio.move_on_after(0):
        await inbox.take()
    assert await inbox.take() == [(ADA, LEAVE)]
    inbox.close()
