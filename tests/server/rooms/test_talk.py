"""Chat and reactions in real rooms: their timers, their tasks, their logs."""

from collections import Counter
from functools import partial

import orjson
import trio
import trio.testing
from trio.testing import MockClock

from protocol.ids import MemberId, RemarkText, RoomId
from protocol.lasting import BeginRound, Detach, Numbered, React, Return, SayHere, Unsay
from protocol.limits import REACTION_SECONDS
from protocol.messages import Announce, Enter, TicketId
from protocol.talk import Emoji
from server.rooms.journal import SNAPSHOT_COMMANDS
from server.store import logbook
from server.store.logbook import StoredLog
from tests.server.chat_harness import MemoryDatabase
from tests.server.harness import FakeMember, tasks
from tests.server.lasting_harness import ADA as ADA_THERE
from tests.server.lasting_harness import BOB as BOB_THERE
from tests.server.lasting_harness import House, house
from tests.server.links import ADA, BOB, FakeLink
from tests.server.rooms.test_lasting_room import ROOM, Open, opened

settled = trio.testing.wait_all_tasks_blocked

STEP = 1 / 64
SOON = 2.0


def say(text: str) -> SayHere:
    return SayHere(RemarkText(text))


class Listener:
    """Takes down when somebody heard of reactions."""

    def __init__(self, link: FakeLink) -> None:
        self._link = link
        self._heard = 0
        self.times: list[float] = []

    def listen(self) -> None:
        heard = self._link.types.count("reactions")
        self.times += [trio.current_time()] * (heard - self._heard)
        self._heard = heard

    @property
    def most_in_a_second(self) -> int:
        return max(sum(begin <= each < begin + 1.0 for each in self.times) for begin in self.times)


async def flood(it: Open, who: MemberId, listener: Listener, seconds: float) -> None:
    """React so often that every connection would be choked."""
    for _ in range(int(seconds / STEP)):
        it.put(who, React(Emoji.HEART))
        await settled()
        listener.listen()
        await trio.sleep(STEP)


# --- reactions ----------------------------------------------------------------------------------


async def test_a_flood_of_reactions_is_a_few_messages_for_the_others(
    autojump_clock: MockClock,
) -> None:
    async with opened() as it:
        ada = await it.join("Ada", owner=True)
        await it.join("Bob")
        listener = Listener(ada)

        await flood(it, BOB, listener, 3.0)

        told = [each["reactions"] for each in ada.heard if each["type"] == "reactions"]
        assert 9 <= len(told) == len(listener.times) <= 13
        assert listener.most_in_a_second <= 5
        assert all(each == [{"emoji": "heart", "count": 1, "members": [BOB]}] for each in told)


async def test_also_while_a_page_is_turned_nobody_hears_of_them_more_often(
    autojump_clock: MockClock,
) -> None:
    async with opened() as it:
        assert it.journal is not None
        it.journal.slow = True
        ada = await it.join("Ada", owner=True)
        await it.join("Bob")
        listener = Listener(ada)

        for ref in range(1, 5):
            await it.ask(ADA, ref, BeginRound(TicketId(f"T-{ref}")))  # held for want of its record
            await flood(it, BOB, listener, 1.0)

        assert ada.types.count("begun") == 4
        assert len(listener.times) > 12
        assert listener.most_in_a_second <= 5


async def test_what_came_last_is_told_too_and_then_no_task_is_left(
    autojump_clock: MockClock,
) -> None:
    async with opened() as it:
        ada = await it.join("Ada", owner=True)
        await it.join("Bob")
        before = tasks()

        it.put(BOB, React(Emoji.HEART))
        await settled()
        assert tasks() == before, "the first one is told at once"
        it.put(BOB, React(Emoji.COFFEE))
        it.put(ADA, React(Emoji.COFFEE))
        await settled()
        assert ada.types.count("reactions") == 1
        assert tasks() == before + 1
        await trio.sleep(REACTION_SECONDS + STEP)

        assert ada.types.count("reactions") == 2
        assert ada.heard[-1]["reactions"] == [
            {"emoji": "coffee", "count": 2, "members": [BOB, ADA]}
        ]
        assert tasks() == before


async def test_nothing_of_reactions_is_logged_or_told_to_who_comes_back(
    autojump_clock: MockClock,
) -> None:
    async with opened() as it:
        assert it.journal is not None
        await it.join("Ada", owner=True)
        bob = await it.join("Bob")
        logged, seq = len(it.journal.entries), it.rules.seq
        bob.hang_up()
        await settled()

        for emoji in Emoji:
            it.put(ADA, React(emoji))
        await trio.sleep(1.0)
        again = await it.resume("Bob", seq)

        assert [type(command) for _, command in it.journal.entries[logged:]] == [Detach, Return]
        assert it.rules.seq == seq + 2
        assert again.types.count("reactions") == 0
        assert again.types.count("back") == 1


async def test_a_reaction_that_waits_does_not_outlive_its_room(autojump_clock: MockClock) -> None:
    async with opened() as it:
        ada = await it.join("Ada", owner=True)
        it.put(ADA, React(Emoji.HEART))
        it.put(ADA, React(Emoji.PARTY))
        await settled()
        it.room.end("it is over")
        await trio.sleep(1.0)
        assert ada.types.count("reactions") == 1
    # That no task is left is judged by the room's surroundings.


# --- chat ---------------------------------------------------------------------------------------


async def test_members_of_the_other_dialect_read_what_is_said_as_text_and_see_no_reaction(
    autojump_clock: MockClock,
) -> None:
    async with opened() as it:
        ada = await it.join("Ada", owner=True)
        old = FakeMember("Old")
        assert it.room.admit(old)
        it.put(old.id, Enter("Old"))
        it.put(old.id, Announce(ROOM))
        await settled()
        heard = len(old.frames)

        it.put(ADA, React(Emoji.HEART))
        await it.ask(ADA, 1, say("Hello\nOld"))
        await it.ask(ADA, 2, Unsay(1))

        assert [frame.payload.decode() for frame in old.frames[heard:]] == ["* Ada: Hello Old"]
        kinds = Counter(ada.types)
        assert (kinds["reactions"], kinds["said"], kinds["unsaid"]) == (1, 1, 1)


async def test_what_was_taken_back_is_not_replayed(autojump_clock: MockClock) -> None:
    async with opened() as it:
        await it.join("Ada", owner=True)
        bob, seq = await it.join("Bob"), it.rules.seq
        bob.hang_up()
        await settled()
        await it.ask(ADA, 1, say("my password"))
        await it.ask(ADA, 2, say("oh"))

        replayed = await it.resume("Bob", seq)
        assert "my password" in str(replayed.heard)
        replayed.hang_up()
        await settled()
        await it.ask(ADA, 3, Unsay(1))
        again = await it.resume("Bob", seq)

        assert "my password" not in str(again.heard)
        assert [each["text"] for each in again.heard[1]["picture"]["messages"]] == ["oh"]


async def test_what_was_said_outlives_a_kill_and_what_was_taken_back_is_in_no_snapshot(
    autojump_clock: MockClock,
) -> None:
    database = MemoryDatabase()
    async with house(database) as it:
        room_id = await it.open()
        await it.say(room_id, BOB_THERE, Numbered(1, say("my password")))
        await it.say(room_id, BOB_THERE, React(Emoji.PARTY))
        await it.say(room_id, ADA_THERE, Numbered(1, say("Hello")))
        await it.say(room_id, ADA_THERE, Numbered(2, Unsay(1)))
        await trio.sleep(SOON)

    async with house(database) as it:
        assert await it.lasting.wake(room_id) is not None
        assert [each.text for each in it.rules(room_id).picture().messages] == ["Hello"]
        await it.say(room_id, ADA_THERE, Return())
        for ref in range(3, SNAPSHOT_COMMANDS + 3):
            await it.say(room_id, ADA_THERE, Numbered(ref, Unsay(999)))
        await trio.sleep(SOON)
        stored = stored_log(it, database, room_id)
        assert stored.snapshot is not None
        assert [each["text"] for each in orjson.loads(stored.snapshot)["remarks"]] == ["Hello"]
        everything = b"".join([stored.snapshot, *(row for _, row in stored.rows)])
        assert b"my password" not in everything
        assert b"party" not in everything


def stored_log(it: House, database: MemoryDatabase, room_id: RoomId) -> StoredLog:
    session = it.journal(room_id).session.id
    stored = database.now(partial(logbook.load, session_id=session))
    assert isinstance(stored, StoredLog)
    return stored
