"""The timer of an estimation room in a server: it rings in time, and outlives the process."""

import trio
from trio.testing import MockClock

from protocol.ids import MemberId, RoomId
from protocol.lasting import (
    BeginRound,
    CastCard,
    Configure,
    Numbered,
    PauseTimer,
    Request,
    ResumeTimer,
    Return,
    StartTimer,
)
from protocol.limits import ASK_AGAIN_SECONDS, REST_SECONDS
from protocol.messages import TicketId
from protocol.options import VotingEnds
from protocol.picture import Stage, Timer
from server.rooms.alarms import HOLD_SECONDS
from server.store.writer import BATCH_SECONDS
from tests.server.chat_harness import MemoryDatabase
from tests.server.harness import tasks
from tests.server.lasting_harness import ADA, BOB, House, house, now, settled
from tests.server.links import ADA as ANN
from tests.server.rooms.test_lasting_room import opened

SOON = 2 * BATCH_SECONDS
MINUTE = 60
VOTE: list[Request] = [
    Configure(voting_ends=VotingEnds.REVEAL),
    BeginRound(TicketId("T-1")),
    CastCard(1, "5"),
    StartTimer(MINUTE),
]
"""After which a minute is left until the reveal."""


async def ask(it: House, room_id: RoomId, *requests: Request) -> float:
    """Let the owner ask for this, put it on record, and give the deadline."""
    for ref, request in enumerate(requests, 1):
        await it.say(room_id, ADA, Numbered(ref, request))
    timer = timer_of(it, room_id)
    assert timer is not None
    await trio.sleep(SOON)
    return timer.deadline or 0.0


def timer_of(it: House, room_id: RoomId) -> Timer | None:
    return it.rules(room_id).picture().timer


async def back(it: House, room_id: RoomId, *members: MemberId) -> None:
    """Wake a room of which only the record is left, and let some come back to it."""
    assert await it.lasting.wake(room_id) is not None
    await settled()
    for member in members:
        await it.say(room_id, member, Return())


# --- one server -----------------------------------------------------------------------------


async def test_a_timer_rings_when_it_is_due_and_all_are_told(autojump_clock: MockClock) -> None:
    async with opened() as it:
        ada, bob = await it.join("Ada", owner=True), await it.join("Bob")
        await it.ask(ANN, 1, StartTimer(MINUTE))
        assert bob.types[-1] == "timer"
        await trio.sleep(MINUTE - 1)
        assert "time_up" not in bob.types
        await trio.sleep(2)
        assert bob.heard[-1]["kind"] == "discussion"
        assert (ada.types[-1], bob.types[-1]) == ("time_up", "time_up")
        assert it.rules.picture().timer is None


async def test_a_paused_timer_does_not_ring(autojump_clock: MockClock) -> None:
    async with opened() as it:
        bob = (await it.join("Ada", owner=True), await it.join("Bob"))[1]
        await it.ask(ANN, 1, StartTimer(MINUTE))
        await trio.sleep(MINUTE - 1)
        await it.ask(ANN, 2, PauseTimer())
        await trio.sleep(10 * MINUTE)
        await it.ask(ANN, 3, ResumeTimer())
        assert bob.types.count("time_up") == 0
        await trio.sleep(2)
        assert bob.types.count("time_up") == 1


async def test_a_timer_is_a_task_only_while_it_runs(autojump_clock: MockClock) -> None:
    async with opened() as it:
        await it.join("Ada", owner=True)
        before = tasks()
        await it.ask(ANN, 1, StartTimer(MINUTE))
        assert tasks() == before + 1
        await trio.sleep(MINUTE + 1)
        assert tasks() == before


async def test_the_end_of_voting_is_held_back_until_it_is_on_record(
    autojump_clock: MockClock,
) -> None:
    async with opened() as it:
        bob = (await it.join("Ada", owner=True), await it.join("Bob"))[1]
        assert it.journal is not None
        for ref, request in enumerate(VOTE, 1):
            await it.ask(ANN, ref, request)
        await trio.sleep(MINUTE - 1)
        it.journal.slow = True
        await trio.sleep(1 + HOLD_SECONDS / 2)
        assert it.rules.picture().stage is Stage.REVEALED
        assert bob.types[-1] == "timer"
        it.journal.write()
        await settled()
        assert [each for each in bob.types if each != "saved"][-2:] == ["time_up", "revealed"]
        assert len(it.recorder.results) == 1


# --- several servers ------------------------------------------------------------------------


async def test_a_timer_that_is_still_running_when_the_server_is_back_rings_in_time(
    autojump_clock: MockClock,
) -> None:
    database = MemoryDatabase()
    async with house(database) as it:
        room_id = await it.open()
        deadline = await ask(it, room_id, StartTimer(10 * MINUTE))

    async with house(database) as it:
        await back(it, room_id, ADA, BOB)
        timer = timer_of(it, room_id)
        assert timer is not None
        assert timer.deadline == deadline
        await trio.sleep(deadline - now() - 0.5)
        assert timer_of(it, room_id) is not None
        await trio.sleep(1)
        assert timer_of(it, room_id) is None


async def test_a_timer_that_ran_out_meanwhile_ends_at_once(autojump_clock: MockClock) -> None:
    database = MemoryDatabase()
    async with house(database) as it:
        room_id = await it.open()
        await ask(it, room_id, StartTimer(MINUTE))
    await trio.sleep(5 * MINUTE)

    async with house(database) as it:
        await back(it, room_id)
        assert timer_of(it, room_id) is None


async def test_after_a_crash_a_reveal_by_time_waits_until_all_had_their_say(
    autojump_clock: MockClock,
) -> None:
    database = MemoryDatabase()
    async with house(database) as it:
        room_id = await it.open()
        await ask(it, room_id, *VOTE)
        key = it.journal(room_id).key
    await trio.sleep(5 * MINUTE)

    async with house(database) as it:
        await back(it, room_id, BOB)
        await it.say(room_id, BOB, Numbered(1, CastCard(1, "8")))
        await trio.sleep(REST_SECONDS / 2)
        assert it.rules(room_id).picture().stage is Stage.VOTING
        await it.say(room_id, ADA, Return())
        await trio.sleep(ASK_AGAIN_SECONDS + SOON)
        shown = it.rules(room_id).picture().shown
        assert shown is not None
        assert sorted(vote.card for vote in shown.votes) == ["5", "8"]
        assert await it.rounds(room_id, key) == ["T-1"]


async def test_after_a_crash_a_reveal_by_time_comes_also_if_nobody_does(
    autojump_clock: MockClock,
) -> None:
    database = MemoryDatabase()
    async with house(database) as it:
        room_id = await it.open()
        await ask(it, room_id, *VOTE)

    async with house(database) as it:
        await trio.sleep(5 * MINUTE)
        await back(it, room_id)
        assert timer_of(it, room_id) is not None
        await trio.sleep(REST_SECONDS + SOON)
        assert it.rules(room_id).picture().stage is Stage.REVEALED


async def test_a_timer_that_rang_off_the_record_rings_again(autojump_clock: MockClock) -> None:
    database = MemoryDatabase()
    async with house(database) as it:
        room_id = await it.open()
        await ask(it, room_id, *VOTE)
        key = it.journal(room_id).key
        with database.held(write=True):
            await trio.sleep(MINUTE + 1)
            assert it.rules(room_id).picture().stage is Stage.REVEALED

    async with house(database) as it:
        await back(it, room_id, ADA, BOB)
        await trio.sleep(ASK_AGAIN_SECONDS + SOON)
        assert it.rules(room_id).picture().stage is Stage.REVEALED
        assert timer_of(it, room_id) is None
        assert await it.rounds(room_id, key) == ["T-1"]


async def test_in_a_room_that_was_parked_a_reveal_by_time_comes_at_once(
    autojump_clock: MockClock,
) -> None:
    database = MemoryDatabase()
    async with house(database) as it:
        room_id = await it.open()
        await ask(it, room_id, *VOTE)
        it.hub.drain("stopped")
        it.lasting.park_all("stopped")
        await trio.sleep(SOON)
    await trio.sleep(5 * MINUTE)

    async with house(database) as it:
        await back(it, room_id)
        assert it.rules(room_id).picture().stage is Stage.REVEALED
