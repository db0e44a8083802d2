"""Rooms that outlive the server: opened, killed, found again, parked and ended."""

from functools import partial
from pathlib import Path

import attrs
import orjson
import pytest
import sqlalchemy as sa
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from protocol.effects import SetTimer
from protocol.errors import ErrorCode, Refused
from protocol.estimation import Estimation
from protocol.ids import MemberId, RoomId
from protocol.journal import Unreadable, read_entries
from protocol.lasting import (
    NOBODY,
    BeginRound,
    CastCard,
    Claim,
    CloseRoom,
    Depart,
    Detach,
    Join,
    Numbered,
    RaiseCapacity,
    Return,
    RevealRound,
)
from protocol.limits import COMEBACK_SECONDS, EMPTY_SECONDS, REST_SECONDS
from protocol.messages import Announce, Enter, TicketId
from protocol.options import Options, OwnerAbsence
from server.rooms.alarms import HOLD_SECONDS
from server.rooms.journal import SNAPSHOT_COMMANDS
from server.rooms.lasting import ENDED_AFTER, EstimationRoom
from server.rooms.rebuilding import new_rules, rebuild
from server.store import estimations, housekeeping, logbook
from server.store.database import Database
from server.store.lease import Lease
from server.store.logbook import RoomSettings, StoredLog
from server.store.schema import estimation_sessions, lasting_rooms, room_log
from server.store.writer import BATCH_SECONDS
from server.support.errors import StoreUnavailable
from server.support.limits import Limits
from tests.server.chat_harness import MemoryDatabase
from tests.server.lasting_harness import ADA, BOB, SETTINGS, House, count, house, now, settled

EVE = MemberId("eve")
SOON = 2 * BATCH_SECONDS


def key_of(it: House, room_id: RoomId) -> str:
    return it.journal(room_id).key


async def live(it: House, room_id: RoomId) -> EstimationRoom:
    room = await it.lasting.wake(room_id)
    assert room is not None
    await settled()
    return room


async def refusal(it: House, room_id: RoomId) -> ErrorCode:
    with pytest.raises(Refused) as refused:
        await it.lasting.wake(room_id)
    return refused.value.problem.code


# --- opening --------------------------------------------------------------------------------


async def test_a_room_is_durable_and_live_once_it_is_open(autojump_clock: MockClock) -> None:
    database = MemoryDatabase()
    async with house(database) as it:
        opened = await it.lasting.open(SETTINGS)

        assert (opened.fresh, opened.ended, opened.settings) == (True, False, SETTINGS)
        assert database.now(logbook.parked) == [opened.session]
        room = it.lasting.find(opened.room_id)
        assert room is not None
        assert room is it.hub.find(opened.room_id) is await it.lasting.wake(opened.room_id)
        assert it.lasting.known(opened.room_id)
        picture = it.rules(opened.room_id).picture()
        assert (picture.name, picture.capacity, picture.opened_at) == ("Refinement", 4, now())


async def test_a_room_that_nobody_enters_ends_and_leaves_nothing(autojump_clock: MockClock) -> None:
    database = MemoryDatabase()
    async with house(database) as it:
        opened = await it.lasting.open(SETTINGS)
        await trio.sleep(EMPTY_SECONDS - 1)
        assert it.lasting.find(opened.room_id) is not None
        await trio.sleep(2)

        assert it.lasting.find(opened.room_id) is None
        assert await it.lasting.wake(opened.room_id) is None
        assert not it.lasting.known(opened.room_id)
    assert database.now(partial(count, table=estimation_sessions)) == 0


async def test_the_same_claim_is_the_same_room_also_at_once_and_after_a_kill(
    autojump_clock: MockClock,
) -> None:
    database = MemoryDatabase()
    async with house(database) as it:
        opened = []

        async def ask() -> None:
            opened.append(await it.lasting.open(SETTINGS, "claim"))

        async with trio.open_nursery() as asking:
            for _ in range(3):
                asking.start_soon(ask)

        assert sorted(each.fresh for each in opened) == [False, False, True]
        assert len({each.session for each in opened}) == 1
        assert it.made == 1
        assert (await it.lasting.open(SETTINGS, "another")).fresh
    async with house(database) as it:
        again = await it.lasting.open(RoomSettings(capacity=9), "claim")
        assert (again.session, again.settings, again.fresh) == (
            opened[0].session,
            SETTINGS,
            False,
        )
        await live(it, again.room_id)


async def test_while_the_database_is_gone_no_room_is_opened(autojump_clock: MockClock) -> None:
    database = MemoryDatabase()
    async with house(database, rooms=1) as it:
        database.gone = True
        with pytest.raises(StoreUnavailable):
            await it.lasting.open(SETTINGS, "claim")
        database.gone = False
        assert (await it.lasting.open(SETTINGS, "claim")).fresh


async def test_a_room_that_was_opened_in_spite_of_an_error_is_found_by_its_claim(
    autojump_clock: MockClock,
) -> None:
    class Broken(MemoryDatabase):
        breaks = True

        async def run(self, work, *, write=False):  # type: ignore[no-untyped-def]
            result = await super().run(work, write=write)
            if write and self.breaks:
                raise StoreUnavailable("cut off before the answer")
            return result

    database = Broken()
    async with house(database) as it:
        with pytest.raises(StoreUnavailable):
            await it.lasting.open(SETTINGS, "claim")
        database.breaks = False
        opened = await it.lasting.open(SETTINGS, "claim")
        assert not opened.fresh
        assert (await live(it, opened.room_id)).id == opened.room_id


async def test_rooms_of_all_kinds_share_ids_and_the_bound(autojump_clock: MockClock) -> None:
    database = MemoryDatabase()
    async with house(database, rooms=2) as it:
        opened = await it.lasting.open(SETTINGS)
        await it.hub.open(2)
        with pytest.raises(Refused) as refused:
            await it.lasting.open(SETTINGS)
        assert refused.value.problem.code is ErrorCode.TOO_MANY_ROOMS
    async with house(database, rooms=1) as it:  # one that is parked counts
        with pytest.raises(Refused):
            await it.hub.open(2)
        assert it.hub.reserved == {opened.room_id}


# --- kill and return ------------------------------------------------------------------------


async def test_after_a_kill_a_room_is_what_it_was_and_everybody_is_away(
    autojump_clock: MockClock,
) -> None:
    database = MemoryDatabase()
    async with house(database) as it:
        room_id = await it.open()
        await it.play(room_id, 1)
        await trio.sleep(SOON)
        before, saved = it.rules(room_id).picture(), it.journal(room_id).saved
        assert saved == before.seq
        key = key_of(it, room_id)

    async with house(database) as it:
        assert it.lasting.known(room_id)
        assert it.lasting.find(room_id) is None
        assert await it.rounds(room_id, key) == ["T-1"]
        with database.held(write=True), pytest.raises(StoreUnavailable):
            await live(it, room_id)  # which must wait for its restart to be on record
        await live(it, room_id)
        assert saved < it.journal(room_id).saved == it.rules(room_id).seq

        after = it.rules(room_id).picture()
        assert (after.shown, after.opened_at) == (before.shown, before.opened_at)
        assert [(each.id, each.name, each.owner) for each in after.members] == [
            (each.id, each.name, each.owner) for each in before.members
        ]
        assert [each.here for each in after.members] == [False, False]
        assert it.rules(room_id).generation == 1
        assert key_of(it, room_id) == key
        await it.say(room_id, ADA, Return())
        await trio.sleep(REST_SECONDS + SOON)  # Bob does not come back
        await it.play(room_id, 2)
        assert await it.rounds(room_id, key) == ["T-1", "T-2"]
        await trio.sleep(SOON)
        assert it.journal(room_id).saved == it.rules(room_id).seq
    async with house(database) as it:
        assert await it.rounds(room_id, key) == ["T-1", "T-2"]
        await live(it, room_id)
        assert it.rules(room_id).generation == 2


async def test_after_a_kill_a_room_without_an_owner_has_its_names_and_seats_and_is_claimed(
    autojump_clock: MockClock,
) -> None:
    options = Options(owner_absence=OwnerAbsence.CLAIM)
    settings = attrs.evolve(SETTINGS, options=options, most_capacity=5)
    database = MemoryDatabase()
    async with house(database) as it:
        room_id = await it.open(settings)
        await it.say(room_id, ADA, Numbered(1, RaiseCapacity(5)))
        await it.say(room_id, EVE, Join(name="Bob"))
        await it.say(room_id, ADA, Numbered(2, Depart()))
        await trio.sleep(SOON)
        before = it.rules(room_id).picture()
        assert before.unled_since is not None
        assert [each.tag for each in before.members] == [1, 2]

    async with house(database) as it:
        await live(it, room_id)
        after = it.rules(room_id).picture()
        assert (after.capacity, after.unled_since) == (5, before.unled_since)
        assert [(each.name, each.tag) for each in after.members] == [("Bob", 1), ("Bob", 2)]
        await it.say(room_id, EVE, Return())
        await trio.sleep(COMEBACK_SECONDS)  # Bob is not waited for any longer
        await it.say(room_id, EVE, Numbered(1, Claim()))
        assert it.rules(room_id).owner == EVE
        assert it.lasting.find(room_id) is not None


async def test_a_killed_server_loses_only_what_was_not_said_to_be_saved(
    autojump_clock: MockClock,
) -> None:
    database = MemoryDatabase()
    async with house(database) as it:
        room_id = await it.open()
        await it.play(room_id, 1)
        await trio.sleep(SOON)
        saved, key = it.journal(room_id).saved, key_of(it, room_id)
        with database.held(write=True):
            await it.play(room_id, 2)
            assert it.rules(room_id).seq > it.journal(room_id).saved == saved

    async with house(database) as it:
        await live(it, room_id)
        assert await it.rounds(room_id, key) in (["T-1"], ["T-1", "T-2"])
        shown = it.rules(room_id).picture().shown
        assert shown is not None
        assert shown.number == len(await it.rounds(room_id, key))


async def test_many_who_come_back_at_once_find_one_room(autojump_clock: MockClock) -> None:
    database = MemoryDatabase()
    async with house(database) as it:
        room_id = await it.open()
        await trio.sleep(SOON)

    async with house(database) as it:
        found: list[EstimationRoom | None] = []

        async def come() -> None:
            found.append(await it.lasting.wake(room_id))

        async with trio.open_nursery() as coming:
            for _ in range(20):
                coming.start_soon(come)
        assert len(set(found)) == 1
        assert None not in found
        assert it.made == 1


async def test_who_gives_up_while_a_room_is_rebuilt_spoils_it_for_nobody(
    autojump_clock: MockClock,
) -> None:
    database = MemoryDatabase()
    async with house(database) as it:
        room_id = await it.open()
        await trio.sleep(SOON)

    async with house(database) as it:
        found: list[EstimationRoom | None] = []

        async def come() -> None:
            found.append(await it.lasting.wake(room_id))

        async with trio.open_nursery() as patient, trio.open_nursery() as impatient:
            with database.held(write=False):
                impatient.start_soon(come)
                await settled()
                patient.start_soon(come)
                await settled()
                impatient.cancel_scope.cancel()
        await settled()
        room = it.lasting.find(room_id)
        assert room is not None
        assert not room.ended
        assert room in found


async def test_while_the_database_is_gone_a_parked_room_waits(autojump_clock: MockClock) -> None:
    database = MemoryDatabase()
    async with house(database) as it:
        room_id = await it.open()
        await trio.sleep(SOON)

    async with house(database) as it:
        database.gone = True
        with pytest.raises(StoreUnavailable):
            await it.lasting.wake(room_id)
        assert it.lasting.known(room_id)
        database.gone = False
        await live(it, room_id)


async def test_graces_begin_anew_after_a_kill(autojump_clock: MockClock) -> None:
    database = MemoryDatabase()
    async with house(database) as it:
        room_id = await it.open()
        await it.say(room_id, BOB, Detach())
        await trio.sleep(50)

    async with house(database) as it:
        await live(it, room_id)
        assert set(it.rules(room_id).lasting_members) == {ADA, BOB}
        await trio.sleep(COMEBACK_SECONDS + 1)
        assert set(it.rules(room_id).lasting_members) == {ADA}
        await trio.sleep(SETTINGS.grace_seconds)
        assert it.lasting.find(room_id) is None
        assert await it.lasting.wake(room_id) is None
        await trio.sleep(SOON)
    assert database.now(logbook.parked) == []


async def test_a_room_whose_clock_was_ahead_does_not_go_back(autojump_clock: MockClock) -> None:
    database = MemoryDatabase()
    async with house(database) as it:
        room_id = await it.open()
        it.journal(room_id).add(now() + 500, BOB, Detach(), it.rules(room_id).seq)
        await trio.sleep(SOON)

    async with house(database) as it:
        await live(it, room_id)
        [ada, _] = it.rules(room_id).picture().members
        assert ada.since >= now() + 499


async def test_a_room_that_nobody_asks_for_is_ended_in_the_store(
    autojump_clock: MockClock,
) -> None:
    database = MemoryDatabase()
    async with house(database) as it:
        idle, asked = await it.open(), await it.open()
        key = key_of(it, idle)
        await it.play(idle, 1)
        await trio.sleep(SOON)

    async with house(database) as it:
        await trio.sleep(ENDED_AFTER - 1)
        await live(it, asked)
        await it.say(asked, ADA, Return())
        await trio.sleep(2)
        assert (it.lasting.known(idle), it.lasting.known(asked)) == (False, True)
        assert it.hub.reserved == {asked}
        assert await it.lasting.wake(idle) is None
        found = await it.results.find(idle, key)
        assert found is not None
        assert found.closed_at == now() - 1
        assert it.made == 1


async def test_rooms_that_nobody_asks_for_end_after_an_outage(autojump_clock: MockClock) -> None:
    database = MemoryDatabase()
    async with house(database) as it:
        await it.open()
        await trio.sleep(SOON)

    async with house(database) as it:
        database.gone = True
        with capture_logs():
            await trio.sleep(ENDED_AFTER + 60)
        assert len(it.hub.reserved) == 1
        database.gone = False
        await trio.sleep(60)
        assert not it.hub.reserved
    assert database.now(logbook.parked) == []


async def test_a_room_that_had_ended_by_its_log_is_ended(autojump_clock: MockClock) -> None:
    database = MemoryDatabase()
    async with house(database) as it:
        room_id = await it.open()
        it.journal(room_id).add(now(), ADA, Numbered(1, CloseRoom()), it.rules(room_id).seq)
        await trio.sleep(SOON)

    async with house(database) as it:
        assert await it.lasting.wake(room_id) is None
        assert not it.lasting.known(room_id)
    assert database.now(logbook.parked) == []


@pytest.mark.parametrize(
    "damage",
    [
        sa.update(room_log).values(entries=b"{"),
        sa.update(room_log).values(entries=b'[[1,"x","Nothing",{}]]'),
        sa.update(room_log).values(number=room_log.c.number + 100),
        sa.update(lasting_rooms).values(snapshot=b'{"version":999}'),
        sa.update(lasting_rooms).values(snapshot=b"[]"),
    ],
    ids=["no JSON", "no command", "a hole", "another version", "no room"],
)
async def test_a_room_that_cannot_be_rebuilt_is_ended_and_its_results_stay(
    damage: sa.Update, autojump_clock: MockClock
) -> None:
    database = MemoryDatabase()
    async with house(database) as it:
        room_id = await it.open()
        await it.play(room_id, 1)
        await trio.sleep(SOON)
        key = key_of(it, room_id)
    database.now(lambda conn: conn.execute(damage))

    async with house(database) as it:
        with capture_logs() as logs:
            assert await it.lasting.wake(room_id) is None
            assert await it.lasting.wake(room_id) is None
        assert [each["room"] for each in logs if each["log_level"] == "error"] == [room_id]
        assert await it.rounds(room_id, key) == ["T-1"]
        assert not it.hub.reserved
        await it.open()  # others are not affected
    assert len(database.now(logbook.parked)) == 1


async def test_an_id_is_not_given_again_before_the_end_of_its_room_is_written(
    autojump_clock: MockClock,
) -> None:
    database = MemoryDatabase()
    async with house(database) as it:
        room_id = await it.open()
        await trio.sleep(SOON)
        with database.held(write=True):
            await it.say(room_id, ADA, Numbered(1, CloseRoom()))
            await trio.sleep(HOLD_SECONDS + 0.01)  # the end has waited to be on record
            assert it.lasting.find(room_id) is None
            assert not it.lasting.known(room_id)
            assert it.hub.reserved == {room_id}
        await trio.sleep(SOON)
        assert not it.hub.reserved


# --- parking --------------------------------------------------------------------------------


async def test_parked_rooms_are_there_after_a_planned_stop_and_others_are_not(
    autojump_clock: MockClock,
) -> None:
    database = MemoryDatabase()
    async with house(database) as it:
        room_id = await it.open()
        await it.hub.open(2)
        await it.play(room_id, 1)
        await it.say(room_id, ADA, Numbered(90, BeginRound(TicketId("T-2"))))
        await it.say(room_id, ADA, Numbered(91, CastCard(2, "5")))
        seq, key = it.rules(room_id).seq, key_of(it, room_id)

        it.hub.drain("going away")
        assert it.lasting.park_all("going away") == 1
        await settled()
        assert it.counters.rooms_current == 0
        assert it.hub.find(room_id) is None
        with pytest.raises(Refused):
            await it.lasting.open(SETTINGS)
        await it.writer.drain(1.0)
        assert (it.writer.backlog, it.counters.writes_dropped) == (0, 0)

    async with house(database) as it:
        await live(it, room_id)
        assert it.rules(room_id).seq == seq + 2  # everybody went away
        assert await it.rounds(room_id, key) == ["T-1"]
        await it.say(room_id, ADA, Return())
        await it.say(room_id, ADA, Numbered(92, RevealRound(2)))  # Bob has nothing to ask again
        assert await it.rounds(room_id, key) == ["T-1", "T-2"]


async def test_a_room_whose_owner_has_yet_to_come_is_parked_with_its_visitors(
    autojump_clock: MockClock,
) -> None:
    database = MemoryDatabase()
    async with house(database) as it:
        room_id = (await it.lasting.open(SETTINGS)).room_id
        await it.say(room_id, EVE, Enter("Eve"))
        await it.say(room_id, EVE, Announce(room_id))
        assert len(it.rules(room_id).picture().members) == 1
        it.hub.drain("going away")
        assert it.lasting.park_all("going away") == 1
        await it.writer.drain(1.0)

    async with house(database) as it:
        await live(it, room_id)
        assert it.rules(room_id).picture().members == ()
        await it.say(room_id, ADA, Join(name="Ada", owner=True))
        assert it.rules(room_id).owner == ADA


async def test_nothing_is_rebuilt_while_the_server_goes_away(autojump_clock: MockClock) -> None:
    database = MemoryDatabase()
    async with house(database) as it:
        first, second = await it.open(), await it.open()
        await trio.sleep(SOON)

    async with house(database) as it:
        codes = []

        async def come() -> None:
            codes.append(await refusal(it, first))

        async with trio.open_nursery() as coming:
            with database.held(write=False):
                coming.start_soon(come)
                await settled()
                it.hub.drain("going away")
        assert await refusal(it, second) is ErrorCode.SHUTTING_DOWN
        assert codes == [ErrorCode.SHUTTING_DOWN]
        assert it.made == 0
    assert len(database.now(logbook.parked)) == 2


# --- the log --------------------------------------------------------------------------------


async def test_every_prefix_of_the_log_rebuilds_the_room_at_that_number(
    autojump_clock: MockClock,
) -> None:
    database = MemoryDatabase()
    async with house(database) as it:
        room_id = await it.open()
        states = [it.rules(room_id).snapshot()]
        for number in range(1, 4):
            await it.play(room_id, number)
            await it.say(room_id, BOB, Detach())
            await it.say(room_id, BOB, Return())
            await it.say(room_id, BOB, Numbered(99, Depart()))
            await it.say(room_id, BOB, Join(name="Bob"))
            await trio.sleep(SOON)
            states.append(it.rules(room_id).snapshot())
        session = it.journal(room_id).session
    stored = database.now(partial(logbook.load, session_id=session.id))
    assert stored is not None

    entries = [each for _, data in stored.rows for each in read_entries(data)]
    rules = new_rules(session, SETTINGS, Limits())
    seqs = []
    for entry in entries:
        rules.apply(entry.command, entry.member, entry.at)
        seqs.append(rules.seq)
        half = Estimation.restore(orjson.loads(orjson.dumps(rules.snapshot())))
        assert half.snapshot() == rules.snapshot()
        if states and rules.snapshot() == states[0]:
            del states[0]
    assert not states
    assert seqs == sorted(seqs)

    # A row is rebuilt whole, by its number.
    for rows in range(len(stored.rows) + 1):
        part = attrs.evolve(stored, rows=stored.rows[:rows])
        applied = sum(len(read_entries(data)) for _, data in part.rows)
        rebuilt = rebuild(part, Limits(), 0.0)
        assert rebuilt.kept.seq == ([0, *seqs])[applied]
        assert rebuilt.kept.number == rows


async def test_a_snapshot_and_what_came_after_it_rebuild_the_room(
    autojump_clock: MockClock,
) -> None:
    database = MemoryDatabase()
    async with house(database) as it:
        room_id = await it.open()
        rounds = SNAPSHOT_COMMANDS // 4 + 2
        for number in range(1, rounds):
            await it.play(room_id, number)
        key = key_of(it, room_id)
        await trio.sleep(SOON)
        await it.play(room_id, rounds)
        await it.say(room_id, BOB, Numbered(10_000, Depart()))
        await trio.sleep(SOON)
        expected = it.rules(room_id).snapshot()
        stored = database.now(partial(logbook.load, session_id=it.journal(room_id).session.id))

    assert isinstance(stored, StoredLog)
    assert stored.snapshot is not None
    assert 0 < len(stored.rows) < 3
    async with house(database) as it:
        assert len(await it.rounds(room_id, key)) == rounds
        await live(it, room_id)
        now_there = it.rules(room_id).snapshot()
        for changed in (
            "seq",
            "generations",
            "seats",
            "expected",
            "resting_until",
            "rest_ends",
            "returning_until",
        ):  # by the restart
            expected.pop(changed), now_there.pop(changed)
        assert now_there == expected


def test_a_hole_in_a_log_is_no_log() -> None:
    session = estimations.Session(1, RoomId("aaaaaa"), "key", 1.0)
    stored = StoredLog(
        session=session,
        settings=SETTINGS.write(),
        snapshot=None,
        number=3,
        rows=[(4, b"[]"), (6, b"[]")],
        rounds=0,
    )

    with pytest.raises(Unreadable, match="row 5"):
        rebuild(stored, Limits(), 5.0)


def test_a_room_without_anybody_waits_for_somebody() -> None:
    session = estimations.Session(1, RoomId("aaaaaa"), "key", 1.0)
    stored = StoredLog(
        session=session, settings=SETTINGS.write(), snapshot=None, number=0, rows=[], rounds=0
    )

    rebuilt = rebuild(stored, Limits(), 5.0)

    assert rebuilt.start.effects == [SetTimer(NOBODY, EMPTY_SECONDS)]
    assert rebuilt.start.at == 5.0


# --- a real database ------------------------------------------------------------------------


async def test_a_room_survives_in_a_file(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path}/parley.db"
    database = Database(address)
    lease = Lease(database)
    await housekeeping.prepare(database, lease)
    async with house(database) as it:
        room_id = await it.open()
        await it.play(room_id, 1)
        journal = it.journal(room_id)
        await journal.reached(it.rules(room_id).seq)
        key = journal.key
    await lease.aclose()
    await database.aclose()

    database = Database(address)
    lease = Lease(database)
    try:
        await housekeeping.prepare(database, lease)
        async with house(database) as it:
            await live(it, room_id)
            assert [each.name for each in it.rules(room_id).picture().members] == ["Ada", "Bob"]
            await it.say(room_id, ADA, Return())
            assert [each.here for each in it.rules(room_id).picture().members] == [True, False]
            assert await it.rounds(room_id, key) == ["T-1"]
    finally:
        await lease.aclose()
        await database.aclose()


async def test_the_end_that_is_asked_for_is_on_record_or_told_to_be_not(
    autojump_clock: MockClock,
) -> None:
    database = MemoryDatabase()
    async with house(database) as it:
        first, second = [(await it.lasting.open(SETTINGS)).room_id for _ in range(2)]
        assert await it.lasting.close(first, lambda _: False) is False
        assert await it.lasting.close(first, lambda _: True) is True
        assert [each.room_id for each in database.now(logbook.parked)] == [second]
        assert not it.lasting.known(first)

        with database.held(write=True), pytest.raises(StoreUnavailable, match="not on record"):
            await it.lasting.close(second, lambda _: True)
        assert await it.lasting.close(second, lambda _: True) is None
        await trio.sleep(SOON)
        assert database.now(logbook.parked) == []
