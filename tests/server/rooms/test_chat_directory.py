"""Chat rooms between waking and sleeping, and the way of their messages into the store."""

import gc
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from protocol.chat import DELETED_USER, Chat
from protocol.dialects.gochat import GOCHAT
from protocol.effects import Effect
from protocol.errors import CloseCode, ErrorCode, Problem, Refused
from protocol.farewell import Farewell, Parting
from protocol.ids import MemberId, RoomId
from protocol.messages import ChatMessage, ChatRecord, Command, EnterChat, Event, Person, Say
from server.rooms.chat_archive import FLUSH_SECONDS
from server.rooms.chat_directory import ChatRooms
from server.rooms.chat_log import GATHER_SECONDS
from server.store import chat, users
from server.store.database import Database
from server.store.records import User
from server.store.writer import BATCH_SECONDS, Writer
from server.support.counters import Counters
from server.support.errors import StoreUnavailable
from server.support.limits import Limits
from tests.server.chat_harness import ATTIC, LOBBY, Chats, Guest, chats, settled
from tests.server.harness import Cutter, sweep

SOON = 2 * (GATHER_SECONDS + BATCH_SECONDS)
"""What is said is written within this time."""


async def refusal(it: Chats, room_id: RoomId = LOBBY) -> ErrorCode:
    with pytest.raises(Refused) as refused:
        await it.rooms.wake(room_id)
    return refused.value.problem.code


async def delete(it: Chats, room_id: RoomId = LOBBY) -> None:
    remove = partial(it.database.run, lambda conn: chat.delete_room(conn, room_id), write=True)
    await it.rooms.delete(room_id, remove)


# --- waking and sleeping --------------------------------------------------------------------


async def test_a_room_is_woken_with_what_was_said_before(autojump_clock: MockClock) -> None:
    async with chats() as it:
        ada = it.database.person("Ada")
        it.database.tell(ada, 60)
        guest = await it.join(ada)
        await settled()
        assert guest.seqs == [*range(11, 61)]
        assert [each["type"] for each in guest.heard[50:]] == ["join"]
        it.say(guest, "hello")
        await settled()
        assert guest.seqs[-1] == 61


async def test_a_room_that_nobody_has_created_is_refused(autojump_clock: MockClock) -> None:
    async with chats() as it:
        assert await refusal(it, ATTIC) is ErrorCode.NO_SUCH_ROOM
        assert it.counters.rooms_opened == 0
        it.database.open(ATTIC)
        await it.join(it.database.person("Ada"), ATTIC)


@pytest.mark.parametrize("odd", ["", "a\0b", "../..", "\ud800", "x" * 10_000])
async def test_an_odd_id_is_no_room(odd: str, autojump_clock: MockClock) -> None:
    async with chats() as it:
        assert await refusal(it, RoomId(odd)) is ErrorCode.NO_SUCH_ROOM
        assert await it.rooms.archive.history(RoomId(odd), before_seq=None, limit=5) is None


async def test_who_is_there_is_known_while_a_room_is_awake(autojump_clock: MockClock) -> None:
    async with chats() as it:
        ada, bob = it.database.person("Ada"), it.database.person("Bob")
        assert it.rooms.people(LOBBY) == ()
        guests = [await it.join(user) for user in (ada, bob, ada)]
        await settled()
        assert [person.name for person in it.rooms.people(LOBBY)] == ["Ada", "Bob"]
        assert it.counters.rooms_current == 1
        await it.sleep(*guests)
        assert it.rooms.people(LOBBY) == ()
        assert it.counters.rooms_current == 0


async def test_a_room_that_was_awake_goes_on_with_what_is_on_its_way_to_the_store(
    autojump_clock: MockClock,
) -> None:
    async with chats() as it:
        ada = it.database.person("Ada")
        guest = await it.join(ada)
        it.say(guest, "stored")
        await settled()
        await trio.sleep(SOON)
        with it.database.held(write=True):
            for number in range(1, 6):
                it.say(guest, f"text {number}")
                await settled()
                await it.sleep(guest)
                guest = await it.join(ada)
                await settled()
                assert guest.texts == ["stored", *(f"text {each + 1}" for each in range(number))]
                assert guest.seqs == [*range(1, number + 2)]
            assert len(it.database.kept()) == 1
        await it.writer.flush()
        assert [each.seq for each in it.database.kept()] == [1, 2, 3, 4, 5, 6]


async def test_while_the_store_is_gone_rooms_go_on_and_none_is_woken(
    autojump_clock: MockClock,
) -> None:
    async with chats() as it:
        ada, bob = it.database.person("Ada"), it.database.person("Bob")
        first, second = await it.join(ada), await it.join(bob)
        await settled()
        it.database.gone = True
        it.say(first, "one", "two")
        await settled()
        await it.sleep(first)
        it.say(second, "three")
        await settled()
        assert second.texts == ["one", "two", "three"]
        await it.sleep(second)
        with pytest.raises(StoreUnavailable):
            await it.join(ada)
        it.database.gone = False
        third = await it.join(ada)
        it.say(third, "four")
        await settled()
        assert third.texts == ["one", "two", "three", "four"]
        assert third.seqs == [1, 2, 3, 4]
        await it.writer.flush()


async def test_two_who_come_at_the_same_moment_are_in_the_same_room(
    autojump_clock: MockClock,
) -> None:
    async with chats() as it:
        ada, bob = it.database.person("Ada"), it.database.person("Bob")
        guests: list[Guest] = []

        async def come(user: User) -> None:
            guests.append(await it.join(user))

        with it.database.held(write=True):
            for user in (ada, bob, ada):
                it.nursery.start_soon(come, user)
            await settled()
            assert guests == []
        await settled()
        assert it.counters.rooms_opened == 1
        assert it.database.asked == 1
        it.say(guests[0], "hello")
        await settled()
        assert [guest.texts for guest in guests] == [["hello"]] * 3


async def test_all_who_wait_for_a_room_learn_at_once_that_the_store_is_gone(
    autojump_clock: MockClock,
) -> None:
    async with chats() as it:
        failures: list[str] = []

        async def come() -> None:
            with pytest.raises(StoreUnavailable) as failure:
                await it.rooms.wake(LOBBY)
            failures.append(str(failure.value))

        with it.database.held(write=True):
            it.nursery.start_soon(come)
            await settled()
            for _ in range(5):
                it.nursery.start_soon(come)
            await settled()
            it.database.gone = True
        await settled()
        assert failures == ["gone"] * 6
        assert it.database.asked == 1
        it.database.gone = False
        await it.join(it.database.person("Ada"))


async def test_who_waits_for_one_that_gave_up_wakes_the_room(autojump_clock: MockClock) -> None:
    async with chats() as it:
        ada = it.database.person("Ada")
        scope = trio.CancelScope()
        guests: list[Guest] = []

        async def give_up() -> None:
            with scope:
                await it.rooms.wake(LOBBY)
            assert scope.cancelled_caught

        async def come() -> None:
            guests.append(await it.join(ada))

        with it.database.held(write=True):
            it.nursery.start_soon(give_up)
            await settled()
            it.nursery.start_soon(come)
            await settled()
            scope.cancel()
            await settled()
        await settled()
        assert len(guests) == 1
        assert it.counters.rooms_opened == 1


async def test_too_many_rooms_are_refused(autojump_clock: MockClock) -> None:
    async with chats(limits=Limits(rooms=1)) as it:
        it.database.open(ATTIC)
        ada = it.database.person("Ada")
        guest = await it.join(ada)
        assert await refusal(it, ATTIC) is ErrorCode.TOO_MANY_ROOMS
        await it.join(ada)
        await it.sleep(guest)
        assert await refusal(it, ATTIC) is ErrorCode.TOO_MANY_ROOMS


async def test_rooms_that_are_being_woken_count(autojump_clock: MockClock) -> None:
    async with chats(limits=Limits(rooms=1)) as it:
        it.database.open(ATTIC)
        with it.database.held(write=True):
            it.nursery.start_soon(it.rooms.wake, LOBBY)
            await settled()
            assert await refusal(it, ATTIC) is ErrorCode.TOO_MANY_ROOMS


async def test_a_room_woken_for_somebody_who_does_not_come_sleeps_again(
    autojump_clock: MockClock,
) -> None:
    async with chats() as it:
        room = await it.rooms.wake(LOBBY)
        it.rooms.let_sleep(room)
        await settled()
        assert it.counters.rooms_current == 0

        guest = await it.join(it.database.person("Ada"))
        room = await it.rooms.wake(LOBBY)
        it.rooms.let_sleep(room)
        await settled()
        assert not room.ended
        it.say(guest, "still here")
        await settled()
        assert guest.texts == ["still here"]


async def test_who_comes_as_the_last_one_goes_finds_everything(autojump_clock: MockClock) -> None:
    async with chats() as it:
        ada, bob = it.database.person("Ada"), it.database.person("Bob")
        guest = await it.join(ada)
        for number in range(20):
            it.say(guest, f"text {number + 1}")
            guest.hang_up()
            for _ in range(number):
                await trio.lowlevel.cancel_shielded_checkpoint()
            guest = await it.join(bob)
            await settled()
            assert guest.seqs == [*range(1, number + 2)]
        await it.writer.flush()
        assert len(it.database.kept()) == 20


async def test_the_oldest_of_those_asleep_are_forgotten(autojump_clock: MockClock) -> None:
    async with chats(most_asleep=2) as it:
        ada = it.database.person("Ada")
        ids = [LOBBY, ATTIC, RoomId("cellar")]
        it.database.open(ids[1])
        it.database.open(ids[2])
        for room_id in (*ids[:2], LOBBY, ids[2]):
            guest = await it.join(ada, room_id)
            it.say(guest, f"in {room_id}", room_id=room_id)
            await settled()
            await trio.sleep(SOON)
            await it.sleep(guest)
            await trio.sleep(SOON)
        asked, reads = it.database.asked, it.database.reads
        await it.join(ada, LOBBY)
        await it.join(ada, ids[2])
        assert (it.database.asked - asked, it.database.reads - reads) == (2, 2)
        guest = await it.join(ada, ATTIC)  # its numbers must be put on record
        assert (it.database.asked - asked, it.database.reads - reads) == (3, 2)
        it.say(guest, "again", room_id=ATTIC)
        await settled()
        assert guest.texts == ["in attic", "again"]
        assert guest.seqs == [1, 2]


async def test_no_room_is_forgotten_before_it_is_written(autojump_clock: MockClock) -> None:
    async with chats(most_asleep=1) as it:
        ada = it.database.person("Ada")
        ids = [LOBBY, *(RoomId(f"room{number}") for number in range(5))]
        for room_id in ids[1:]:
            it.database.open(room_id)
        guests = [await it.join(ada, room_id) for room_id in ids]
        with it.database.held(write=True):
            for count in (1, 2):
                for room_id, guest in zip(ids, guests, strict=True):
                    it.say(guest, "hello", room_id=room_id)
                await settled()
                assert [guest.seqs for guest in guests] == [[*range(1, count + 1)]] * len(ids)
                await it.sleep(*guests)
                guests = [await it.join(ada, room_id) for room_id in ids]
        await it.sleep(*guests)
        await trio.sleep(SOON)
        assert {room_id: len(it.database.kept(room_id)) for room_id in ids} == dict.fromkeys(ids, 2)


class Choking:
    """A dialect with a defect: one message cannot be written."""

    def decode(self, text: str) -> Command:
        return GOCHAT.decode(text)

    def encode(self, event: Event) -> bytes | None:
        if isinstance(event, ChatMessage) and event.text == "fatal":
            raise ZeroDivisionError
        return GOCHAT.encode(event)

    def word(self, problem: Problem) -> str:
        return GOCHAT.word(problem)

    def part(self, farewell: Farewell) -> Parting:
        return GOCHAT.part(farewell)


async def test_a_room_that_crashes_takes_no_other_along(autojump_clock: MockClock) -> None:
    async with chats() as it:
        it.database.open(ATTIC)
        ada = it.database.person("Ada")
        other = await it.join(ada, ATTIC)
        guest = await it.join(ada, dialect=Choking())
        it.say(guest, "before")
        await settled()
        with capture_logs() as logs:
            it.say(guest, "fatal")
            await settled()
        assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == ["failed"]
        [(code, _, _)] = guest.closes
        assert code is CloseCode.INTERNAL
        it.say(other, "still here", room_id=ATTIC)
        later = await it.join(ada)
        it.say(later, "after")
        await settled()
        assert other.texts == ["still here"]
        assert later.texts == ["before", "fatal", "after"]
        assert later.seqs == [1, 2, 3]
        await it.writer.flush()
        await trio.sleep(SOON)
        assert [each.text for each in it.database.kept()] == later.texts


# --- deleting -------------------------------------------------------------------------------


async def test_a_room_that_is_deleted_while_awake_sends_everybody_away(
    autojump_clock: MockClock,
) -> None:
    async with chats() as it:
        guest = await it.join(it.database.person("Ada"))
        it.say(guest, "hello")
        await settled()
        await delete(it)
        await settled()
        [(code, reason, last)] = guest.closes
        assert code is CloseCode.GOING_AWAY
        assert reason == "it has been deleted"
        assert b"deleted" in last
        assert await refusal(it) is ErrorCode.NO_SUCH_ROOM
        assert await it.rooms.archive.history(LOBBY, before_seq=None, limit=5) is None


async def test_a_room_that_is_deleted_while_asleep_is_forgotten(autojump_clock: MockClock) -> None:
    async with chats() as it:
        ada = it.database.person("Ada")
        guest = await it.join(ada)
        it.say(guest, "hello")
        await settled()
        await it.sleep(guest)
        await delete(it)
        assert await refusal(it) is ErrorCode.NO_SUCH_ROOM
        it.database.open(LOBBY)
        later = await it.join(ada)
        it.say(later, "new")
        await settled()
        assert later.seqs == [1]


async def test_a_room_that_is_deleted_while_it_is_woken_ends(autojump_clock: MockClock) -> None:
    async with chats() as it:
        ada = it.database.person("Ada")
        guests: list[Guest] = []

        async def come() -> None:
            guests.append(await it.join(ada))

        with it.database.held(write=True):
            it.nursery.start_soon(come)
            await settled()
            it.nursery.start_soon(delete, it)
            await settled()
        await settled()
        [guest] = guests
        assert [code for code, _, _ in guest.closes] == [CloseCode.GOING_AWAY]
        assert await refusal(it) is ErrorCode.NO_SUCH_ROOM


async def test_who_comes_while_a_room_is_deleted_is_refused_afterwards(
    autojump_clock: MockClock,
) -> None:
    async with chats() as it:
        refused: list[ErrorCode] = []

        async def come() -> None:
            refused.append(await refusal(it))

        await it.join(it.database.person("Ada"))
        with it.database.held(write=True):
            it.nursery.start_soon(delete, it)
            await settled()
            it.nursery.start_soon(come)
            await settled()
            assert refused == []
        await settled()
        assert refused == [ErrorCode.NO_SUCH_ROOM]


async def test_a_room_can_be_deleted_twice_at_once(autojump_clock: MockClock) -> None:
    async with chats() as it:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(delete, it)
            nursery.start_soon(delete, it)
        assert await refusal(it) is ErrorCode.NO_SUCH_ROOM


@pytest.mark.parametrize("turns", range(6))
async def test_nothing_gets_into_another_room_that_has_the_id_afterwards(
    turns: int, autojump_clock: MockClock
) -> None:
    async with chats() as it:
        ada = it.database.person("Ada")
        guest = await it.join(ada)
        it.say(guest, *(f"old {number}" for number in range(3)))
        for _ in range(turns):  # said, being said, or not even heard by the room yet
            await trio.lowlevel.cancel_shielded_checkpoint()
        await delete(it)
        it.database.open(LOBBY)
        later = await it.join(ada)
        it.say(later, "new")
        await settled()
        await trio.sleep(SOON)
        assert later.texts == ["new"]
        assert [(each.seq, each.text) for each in it.database.kept()] == [(1, "new")]


@pytest.mark.parametrize("stuck", [True, False])
async def test_a_room_that_cannot_be_deleted_can_be_woken_again(
    stuck: bool, autojump_clock: MockClock
) -> None:
    async with chats() as it:
        ada = it.database.person("Ada")
        guest = await it.join(ada)
        it.say(guest, "hello")
        await settled()
        if not stuck:
            await it.writer.flush()
            await trio.sleep(SOON)
        it.database.gone = True
        with pytest.raises(StoreUnavailable):
            await delete(it)
        assert guest.closes
        it.database.gone = False
        again = await it.join(ada)
        it.say(again, "again")
        await settled()
        assert again.texts == ["hello", "again"]
        assert again.seqs == [1, 2]
        await it.writer.flush()
        await trio.sleep(SOON)
        assert [each.text for each in it.database.kept()] == ["hello", "again"]


# --- draining -------------------------------------------------------------------------------


async def test_a_drain_ends_all_rooms_and_wakes_none(autojump_clock: MockClock) -> None:
    async with chats() as it:
        it.database.open(ATTIC)
        ada = it.database.person("Ada")
        guests = [await it.join(ada), await it.join(ada, ATTIC)]
        it.say(guests[0], "last words")
        it.rooms.drain("the server is shutting down")
        await settled()
        for guest in guests:
            assert [(code, why) for code, why, _ in guest.closes] == [
                (CloseCode.GOING_AWAY, "the server is shutting down")
            ]
        assert await refusal(it) is ErrorCode.SHUTTING_DOWN
        assert await refusal(it, RoomId("cellar")) is ErrorCode.SHUTTING_DOWN
        await it.writer.flush()
        assert [each.text for each in it.database.kept()] == ["last words"]


async def test_a_drain_refuses_those_who_are_waking_a_room(autojump_clock: MockClock) -> None:
    async with chats() as it:
        refused: list[ErrorCode] = []

        async def come() -> None:
            refused.append(await refusal(it))

        with it.database.held(write=True):
            for _ in range(3):
                it.nursery.start_soon(come)
            await settled()
            it.rooms.drain("the server is shutting down")
        await settled()
        assert refused == [ErrorCode.SHUTTING_DOWN] * 3
        assert it.counters.rooms_opened == 0


async def test_a_drain_ends_a_room_that_is_just_starting(autojump_clock: MockClock) -> None:
    for turns in range(8):
        async with chats() as it:
            admitted: list[bool] = []

            async def come(it: Chats = it, admitted: list[bool] = admitted) -> None:
                try:
                    room = await it.rooms.wake(LOBBY)
                except Refused:
                    admitted.append(False)
                else:
                    admitted.append(room.admit(Guest(it.database.person("Ada"))))

            it.nursery.start_soon(come)
            for _ in range(turns):
                await trio.lowlevel.cancel_shielded_checkpoint()
            it.rooms.drain("the server is shutting down")
            await settled()
            assert len(admitted) == 1
            assert it.counters.rooms_current == 0


# --- deleted accounts -----------------------------------------------------------------------


async def test_messages_of_a_deleted_account_are_nobodys_awake_or_asleep(
    autojump_clock: MockClock,
) -> None:
    async with chats() as it:
        it.database.open(ATTIC)
        ada, bob = it.database.person("Ada"), it.database.person("Bob")
        awake = await it.join(ada)
        it.say(awake, "hello")
        asleep = await it.join(ada, ATTIC)
        it.say(asleep, "hello", room_id=ATTIC)
        await settled()
        await it.sleep(asleep)
        it.database.now(partial(users.delete, id=ada.id))
        it.rooms.anonymise(ada.id)
        for room_id in (LOBBY, ATTIC):
            guest = await it.join(bob, room_id)
            await settled()
            assert guest.authors == [DELETED_USER]
            assert [each["userid"] for each in guest.heard[:1]] == [None]


async def test_a_room_that_is_being_woken_shows_nothing_of_a_deleted_account(
    autojump_clock: MockClock,
) -> None:
    for turns in range(8):
        async with chats() as it:
            ada, bob = it.database.person("Ada"), it.database.person("Bob")
            it.database.tell(ada, 3)
            guests: list[Guest] = []

            async def come(it: Chats = it, guests: list[Guest] = guests, bob: User = bob) -> None:
                guests.append(await it.join(bob))

            it.nursery.start_soon(come)
            for _ in range(turns):
                await trio.lowlevel.cancel_shielded_checkpoint()
            told = bool(guests)  # then its entering stands in the inbox already, if not more
            it.database.now(partial(users.delete, id=ada.id))
            it.rooms.anonymise(ada.id)
            await settled()
            [guest] = guests
            assert guest.authors == ["Ada" if told else DELETED_USER] * 3
            later = await it.join(bob)
            await settled()
            assert later.authors == [DELETED_USER] * 3


@pytest.mark.parametrize("turns", range(6))
async def test_an_account_may_be_deleted_as_a_room_falls_asleep(
    turns: int, autojump_clock: MockClock
) -> None:
    async with chats() as it:
        ada, bob = it.database.person("Ada"), it.database.person("Bob")
        guest = await it.join(ada)
        await settled()
        it.say(guest, "hello")
        guest.hang_up()
        for _ in range(turns):
            await trio.lowlevel.cancel_shielded_checkpoint()
        it.database.now(partial(users.delete, id=ada.id))
        it.rooms.anonymise(ada.id)
        later = await it.join(bob)
        await settled()
        assert later.authors == [DELETED_USER]


async def test_what_a_deleted_account_said_is_stored_without_it(autojump_clock: MockClock) -> None:
    async with chats() as it:
        ada = it.database.person("Ada")
        guest = await it.join(ada)
        it.say(guest, "hello")
        await settled()
        it.database.now(lambda conn: users.delete(conn, ada.id))
        it.rooms.anonymise(ada.id)
        found = await it.rooms.archive.history(LOBBY, before_seq=None, limit=5)
        assert found is not None
        assert [(each.author_id, each.author, each.text) for each in found] == [
            (None, DELETED_USER, "hello")
        ]


# --- keeping --------------------------------------------------------------------------------


async def test_messages_reach_the_store_in_order(autojump_clock: MockClock) -> None:
    async with chats() as it:
        ada, bob = it.database.person("Ada"), it.database.person("Bob")
        guests = [await it.join(ada), await it.join(bob)]
        for number in range(100):
            it.say(guests[number % 2], f"text {number + 1}")
            await trio.sleep(0.007)
        await trio.sleep(SOON)
        kept = it.database.kept()
        assert [each.text for each in kept] == [f"text {number + 1}" for number in range(100)]
        assert [each.seq for each in kept] == [*range(1, 101)]
        assert {each.author for each in kept} == {"Ada", "Bob"}
        # Far fewer transactions than messages.
        assert it.counters.writes_done <= 100 * 0.007 / GATHER_SECONDS + 2


async def test_a_message_is_stored_soon_also_after_somebody_has_looked(
    autojump_clock: MockClock,
) -> None:
    async with chats() as it:
        guest = await it.join(it.database.person("Ada"))
        for number in range(1, 4):
            assert await it.rooms.archive.history(LOBBY, before_seq=None, limit=5) is not None
            it.say(guest, f"text {number}")
            await settled()
            await trio.sleep(SOON)
            assert len(it.database.kept()) == number


async def test_the_history_is_what_was_told(autojump_clock: MockClock) -> None:
    async with chats() as it:
        ada, bob = it.database.person("Ada"), it.database.person("Bob")
        guests = [await it.join(ada), await it.join(bob)]
        for number in range(30):
            it.say(guests[number % 2], f"text {number}")
        await settled()
        # Without waiting for anything to be written.
        found = await it.rooms.archive.history(LOBBY, before_seq=None, limit=100)
        assert found is not None
        assert [each.text for each in found] == guests[0].texts == guests[1].texts
        assert [each.seq for each in found] == guests[0].seqs
        assert [each.author for each in found] == guests[0].authors
        page = await it.rooms.archive.history(LOBBY, before_seq=11, limit=3)
        assert page is not None
        assert [each.seq for each in page] == [8, 9, 10]


async def test_the_history_has_what_cannot_be_written_yet(autojump_clock: MockClock) -> None:
    async with chats() as it:
        guest = await it.join(it.database.person("Ada"))
        with it.database.held(write=True):
            it.say(guest, "one", "two", "three")
            await settled()
            begin = trio.current_time()
            for before, limit, expected in (
                (None, 5, [1, 2, 3]),
                (3, 5, [1, 2]),
                (None, 2, [2, 3]),
            ):
                found = await it.rooms.archive.history(LOBBY, before_seq=before, limit=limit)
                assert found is not None
                assert [each.seq for each in found] == expected
            assert trio.current_time() <= begin + 3 * FLUSH_SECONDS
        it.database.gone = True
        with pytest.raises(StoreUnavailable):
            await it.rooms.archive.history(LOBBY, before_seq=None, limit=5)


async def test_what_was_said_is_handed_over_when_a_room_ends(autojump_clock: MockClock) -> None:
    async with chats(run=False) as it:
        guest = await it.join(it.database.person("Ada"))
        it.say(guest, "last words")
        await settled()
        assert it.writer.backlog == 0
        await it.sleep(guest)
        await it.writer.flush()
        assert [each.text for each in it.database.kept()] == ["last words"]


async def test_what_was_said_is_handed_over_when_that_is_cancelled(
    autojump_clock: MockClock,
) -> None:
    async with chats(run=False, write=False) as it:
        scope = trio.CancelScope()

        async def run() -> None:
            with scope:
                await it.rooms.run()

        it.nursery.start_soon(run)
        guest = await it.join(it.database.person("Ada"))
        it.say(guest, "one", "two")
        await settled()
        assert it.writer.backlog == 0
        scope.cancel()
        await settled()
        assert it.writer.backlog == 1


# --- cancelling -----------------------------------------------------------------------------


def test_waking_may_be_cancelled_at_every_step() -> None:
    async def scenario(cutter: Cutter) -> None:
        async with chats() as it:
            ada = it.database.person("Ada")
            it.database.tell(ada, 3)
            with trio.CancelScope() as scope:
                cutter.arm(scope)
                room = await it.rooms.wake(LOBBY)
                cutter.disarm()
                it.rooms.let_sleep(room)
            cutter.disarm()
            await settled()
            assert it.counters.rooms_current == 0
            # Whatever has happened, the room can be woken again.
            guest = await it.join(ada)
            await settled()
            assert guest.seqs == [1, 2, 3]

    sweep(scenario, least=3)


def test_everything_may_be_cancelled_at_every_step_of_a_rooms_life() -> None:
    async def scenario(cutter: Cutter) -> None:
        opened: list[Chats] = []
        with trio.CancelScope() as scope:
            async with chats() as it:
                opened.append(it)
                ada = it.database.person("Ada")
                cutter.arm(scope)
                guest = await it.join(ada)
                it.say(guest, "hello")
                await settled()
                await it.sleep(guest)
                await it.join(ada)
                await settled()
                cutter.disarm()
        cutter.disarm()
        [it] = opened
        assert it.counters.rooms_current == it.counters.members_current == 0

    sweep(scenario, least=10)


def test_deleting_may_be_cancelled_at_every_step() -> None:
    async def scenario(cutter: Cutter) -> None:
        async with chats() as it:
            ada = it.database.person("Ada")
            guest = await it.join(ada)
            it.say(guest, "hello")
            with trio.CancelScope() as scope:
                cutter.arm(scope)
                await delete(it)
            cutter.disarm()
            await settled()
            if it.database.now(lambda conn: chat.room(conn, LOBBY)) is None:
                assert it.database.kept() == []
                assert await refusal(it) is ErrorCode.NO_SUCH_ROOM
            else:
                later = await it.join(ada)
                await settled()
                assert later.texts == ["hello"]

    sweep(scenario, least=4)


# --- what is remembered, and by whom the rules are called -----------------------------------


async def test_of_a_room_that_sleeps_no_text_is_remembered(autojump_clock: MockClock) -> None:
    async with chats() as it:
        ada = it.database.person("Ada")
        guest = await it.join(ada)
        it.say(guest, *["x" * 10_000] * 20)
        await settled()
        await it.sleep(guest)
        await trio.sleep(SOON)
        await it.sleep()  # so much was said that the room took its time
        del guest
        gc.collect()
        assert [each for each in gc.get_objects() if type(each) is ChatMessage] == []


async def test_only_the_rooms_own_task_calls_its_rules(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply = Chat.apply
    tasks: set[str] = set()

    def noting(
        self: Chat, command: Command, member: MemberId, now: float
    ) -> list[Effect[ChatRecord]]:
        tasks.add(trio.lowlevel.current_task().name)
        return apply(self, command, member, now)

    monkeypatch.setattr(Chat, "apply", noting)
    async with chats() as it:
        ada, bob = it.database.person("Ada"), it.database.person("Bob")
        guest = await it.join(ada)
        it.say(guest, "hello")
        await settled()
        it.database.now(partial(users.delete, id=ada.id))
        it.rooms.anonymise(ada.id)
        assert it.rooms.people(LOBBY) == (Person(ada.id, "Ada"),)
        it.rooms.let_sleep(await it.rooms.wake(LOBBY))
        later = await it.join(bob)
        await settled()
        assert later.authors == [DELETED_USER]
    assert tasks == {"room lobby"}


async def test_a_room_that_ends_before_it_hears_of_a_deleted_account_hands_no_name_on(
    autojump_clock: MockClock,
) -> None:
    async with chats() as it:
        ada, bob = it.database.person("Ada"), it.database.person("Bob")
        guest = await it.join(ada)
        it.say(guest, "hello")
        await settled()
        with it.database.held(write=True):
            room = await it.rooms.wake(LOBBY)
            it.rooms.anonymise(ada.id)
            room.end("over")
            await settled()
            later = await it.join(bob)
            await settled()
            assert later.authors == [DELETED_USER]
            found = await it.rooms.archive.history(LOBBY, before_seq=None, limit=5)
            assert found is not None
            assert [(each.author, each.author_id) for each in found] == [(DELETED_USER, None)]


async def test_the_time_of_a_message_follows_the_clock_on_the_wall(
    autojump_clock: MockClock,
) -> None:
    times = [17e8, 18e8, 17.5e8]
    clock = iter(times)
    async with chats(clock=lambda: next(clock)) as it:
        guest = await it.join(it.database.person("Ada"))
        it.say(guest, "one")  # in the turn of the entering
        await settled()
        for text in ("two", "three"):
            it.say(guest, text)
            await settled()
        await trio.sleep(SOON)
        assert [each.at for each in it.database.kept()] == times


async def test_an_operator_decides_how_many_seats_one_account_may_take(
    autojump_clock: MockClock,
) -> None:
    async with chats(limits=Limits(seats_per_account=2)) as it:
        ada = it.database.person("Ada")
        guests = [await it.join(ada) for _ in range(3)]
        await settled()
        assert [len(guest.closes) for guest in guests] == [0, 0, 1]
        code, reason, _ = guests[2].closes[0]
        assert (code, reason) == (CloseCode.POLICY, "you are in this room 2 times already")


async def test_an_operator_decides_how_much_one_may_make_others_receive(
    autojump_clock: MockClock,
) -> None:
    async with chats(limits=Limits(chat_bytes_rate=10, chat_bytes_burst=1100)) as it:
        ada, bob = [await it.join(it.database.person(name)) for name in ("Ada", "Bob")]
        it.say(ada, *["x" * 500] * 4)
        await settled()
        assert len(bob.texts) == 2
        assert ada.heard[-1]["context"].startswith("too much at once: 10 bytes a second")


# --- with threads ---------------------------------------------------------------------------


def _present(conn: sa.Connection) -> User:
    """Find an account, or make it with a room."""
    found = users.by_email(conn, "ada")
    if found is not None:
        return found[0]
    chat.create_room(conn, id=LOBBY, name="Lobby", creator_id=None, now=1.0)
    return users.create(
        conn, email="ada", email_key="ada", username="Ada", password_hash="-", now=1.0
    )


async def test_a_real_database_keeps_what_was_said_over_restarts(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/parley.db"
    Database(url).upgrade()
    told: list[str] = []
    for life in range(3):
        database = Database(url)
        writer = Writer(database)
        counters = Counters()
        async with trio.open_nursery() as services:
            services.start_soon(writer.run)
            async with trio.open_nursery() as nursery:
                rooms = ChatRooms(
                    nursery, database=database, writer=writer, limits=Limits(), counters=counters
                )
                services.start_soon(rooms.run)
                ada = await database.run(_present, write=True)
                guest = Guest(ada, life)
                room = await rooms.wake(LOBBY)
                assert room.admit(guest)
                room.inbox.put(guest.id, EnterChat(ada.id, ada.username))
                for number in range(40):
                    room.inbox.put(guest.id, Say(f"text {life} {number}"))
                room.inbox.settle()
                await settled()
                assert guest.texts[:-40] == told[-50:]
                told += guest.texts[-40:]
                rooms.drain("that is all")
            rooms.finish()
            await writer.drain(30)
            services.cancel_scope.cancel()
        found = await database.run(
            lambda conn: chat.history(conn, LOBBY, before_seq=None, limit=1000)
        )
        await database.aclose()
        assert [each.text for each in found] == told
        assert [each.seq for each in found] == [*range(1, len(told) + 1)]
