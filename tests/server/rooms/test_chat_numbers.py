"""Sequence numbers of chat rooms, over kills, orderly ends and a database that goes away."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trio
from trio.testing import MockClock

from server.rooms.chat_archive import FLUSH_SECONDS
from server.rooms.chat_log import GATHER_SECONDS
from server.store.writer import BATCH_SECONDS
from server.support.errors import StoreUnavailable
from tests.server.chat_harness import LOBBY, MemoryDatabase, chats, settled

SOON = 2 * (GATHER_SECONDS + BATCH_SECONDS)
"""What is said is written within this time."""


@contextmanager
def kept_over_lives() -> Iterator[MemoryDatabase]:
    """Make a database that outlives the processes that use it."""
    database = MemoryDatabase()
    database.open(LOBBY)
    try:
        yield database
    finally:
        database.engine.dispose()


async def test_no_number_is_told_twice_although_nothing_was_written(
    autojump_clock: MockClock,
) -> None:
    with kept_over_lives() as database:
        ada = database.person("Ada")
        told: list[int] = []
        for _ in range(3):
            async with chats(database=database, write=False, run=False, numbers_block=10) as it:
                guest = await it.join(ada)
                it.say(guest, "one", "two", "three")
                await settled()
                told += guest.seqs
            assert database.kept() == []  # it was killed
        assert told == [1, 2, 3, 11, 12, 13, 21, 22, 23]


async def test_in_an_orderly_end_no_number_is_lost(autojump_clock: MockClock) -> None:
    with kept_over_lives() as database:
        ada = database.person("Ada")
        told: list[int] = []
        for life in range(3):
            async with chats(database=database) as it:
                guest = await it.join(ada)
                it.say(guest, f"first of {life}", f"second of {life}")
                await settled()
                told += guest.seqs[-2:]
                it.rooms.drain("over")
                await settled()
                it.rooms.finish()
                await it.writer.flush()
        assert told == [1, 2, 3, 4, 5, 6]


async def test_new_numbers_are_put_on_record_before_the_old_ones_run_out(
    autojump_clock: MockClock,
) -> None:
    with kept_over_lives() as database:
        ada = database.person("Ada")
        async with chats(database=database, numbers_block=10) as it:
            guest = await it.join(ada)
            for number in range(40):
                it.say(guest, f"text {number}")
                await settled()
                await trio.sleep(SOON)
            assert guest.seqs == [*range(1, 41)]
        async with chats(database=database) as it:
            guest = await it.join(ada)
            it.say(guest, "after the end")
            await settled()
            assert guest.seqs[-1] > 40


async def test_without_numbers_on_record_a_room_says_so_until_there_are_some(
    autojump_clock: MockClock,
) -> None:
    async with chats(numbers_block=4) as it:
        guest = await it.join(it.database.person("Ada"))
        it.database.gone = True
        it.say(guest, *(f"text {number}" for number in range(6)))
        await settled()
        assert guest.seqs == [1, 2, 3, 4]
        assert [each["type"] for each in guest.heard[-2:]] == ["refusal"] * 2
        assert "try again" in guest.heard[-1]["context"]
        it.database.gone = False
        await trio.sleep(5)
        it.say(guest, "back again")
        await settled()
        assert guest.seqs == [1, 2, 3, 4, 5]


async def test_who_wakes_a_room_that_is_being_forgotten_waits_and_goes_on_with_its_numbers(
    autojump_clock: MockClock,
) -> None:
    async with chats(most_asleep=0) as it:
        ada = it.database.person("Ada")
        guest = await it.join(ada)
        it.say(guest, "one")
        await settled()
        await trio.sleep(SOON)
        with it.database.held(write=True):
            await it.sleep(guest)
            begin = trio.current_time()
            with pytest.raises(StoreUnavailable):
                await it.join(ada)
            assert trio.current_time() - begin == FLUSH_SECONDS
        await trio.sleep(SOON)
        guest = await it.join(ada)
        it.say(guest, "two")
        await settled()
        assert guest.seqs == [1, 2]
