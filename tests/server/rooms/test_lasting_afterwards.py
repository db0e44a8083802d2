"""What becomes of a round after its reveal, in the results: once and exactly, over kills too."""

from functools import partial
from typing import Final

import attrs
import sqlalchemy as sa
import trio
from trio.testing import MockClock

from protocol.ids import MemberId, RoomId
from protocol.lasting import CastCard, Numbered, Request, SetEstimate
from protocol.messages import TicketResult
from protocol.options import Options
from server.store import estimations
from server.store.schema import estimation_rounds, estimation_votes
from server.store.writer import BATCH_SECONDS
from tests.server.chat_harness import MemoryDatabase
from tests.server.lasting_harness import ADA, BOB, SETTINGS, House, house

LATE: Final = attrs.evolve(SETTINGS, options=Options(change_after_reveal=True))
SOON: Final = 2 * BATCH_SECONDS


async def ask(it: House, room_id: RoomId, ref: int, member: MemberId, request: Request) -> None:
    await it.say(room_id, member, Numbered(ref, request))


def stored(database: MemoryDatabase, session_id: int) -> list[TicketResult]:
    read = partial(estimations.page, session_id=session_id, start=0, stop=9, rows=99)
    rounds, _ = database.now(read)
    return [result for _, result in rounds]


def cards(result: TicketResult) -> list[tuple[str, bool]]:
    return [(vote.value, vote.changed) for vote in result.votes]


async def test_what_changes_before_and_after_a_kill_is_kept_in_its_place(
    autojump_clock: MockClock,
) -> None:
    database = MemoryDatabase()
    async with house(database) as it:
        room_id = await it.open(LATE)
        session, key = it.journal(room_id).session.id, it.journal(room_id).key
        await it.play(room_id, 1)
        await it.play(room_id, 2)
        await trio.sleep(SOON)
        await ask(it, room_id, 101, BOB, CastCard(2, "5"))
        await ask(it, room_id, 101, ADA, SetEstimate(2, "5"))
        assert await it.rounds(room_id, key) == ["T-1", "T-2"]
        await trio.sleep(SOON)
        revealed = it.counters.rounds_revealed
        assert revealed == 2
    first, second = stored(database, session)
    assert (cards(first), first.estimate) == ([("5", False), ("8", False)], None)
    assert (cards(second), second.estimate) == ([("5", False), ("5", True)], "5")

    async with house(database) as it:
        await it.lasting.wake(room_id)
        await ask(it, room_id, 102, BOB, CastCard(2, "13"))
        assert await it.rounds(room_id, key) == ["T-1", "T-2"]
        await trio.sleep(SOON)
    first, second = stored(database, session)
    assert cards(first) == [("5", False), ("8", False)]
    assert (cards(second), second.estimate) == ([("5", False), ("13", True)], "5")


async def test_a_round_that_was_lost_takes_no_other_ones_place_when_it_is_told_again(
    autojump_clock: MockClock,
) -> None:
    database = MemoryDatabase()
    async with house(database) as it:
        room_id = await it.open(LATE)
        session, key = it.journal(room_id).session.id, it.journal(room_id).key
        await it.play(room_id, 1)
        await it.play(room_id, 2)
        await trio.sleep(SOON)

    def lose(conn: sa.Connection) -> None:
        """As if it had had to give way to others when it was written."""
        for table in (estimation_votes, estimation_rounds):
            conn.execute(sa.delete(table).where(table.c.number == 1))

    database.now(lose)
    async with house(database) as it:
        await it.lasting.wake(room_id)
        found = await it.results.find(room_id, key)
        assert found is not None
        assert found.rounds == 2
        await ask(it, room_id, 102, BOB, CastCard(2, "13"))
        await trio.sleep(SOON)
        assert await it.rounds(room_id, key) == ["T-1", "T-2"]
    first, second = stored(database, session)
    assert cards(first) == [("5", False), ("8", False)]
    assert cards(second) == [("5", False), ("13", True)]
