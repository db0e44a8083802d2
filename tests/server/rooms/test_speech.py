"""What a room holds back until it is on record, in which order it says it, and how it greets."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import attrs
import orjson
import pytest
import trio
import trio.testing
from trio.testing import MockClock

from protocol.changes import (
    Ack,
    Begun,
    Failure,
    OwnerChanged,
    Revealed,
    Saved,
    Voted,
    WentAway,
)
from protocol.dialects.estimatex import ESTIMATEX
from protocol.dialects.parley_v1 import PARLEY_V1
from protocol.errors import ErrorCode, Problem
from protocol.greeting import Pong, Resumed
from protocol.ids import MemberId, TicketId
from protocol.messages import Event, MemberJoined, Refusal, VoteRequested, VotesRevealed
from protocol.picture import Shown, Stage, abilities
from protocol.statistics import summarize
from server.rooms.alarms import HOLD_SECONDS, SAVED_SECONDS, Alarms
from server.rooms.fanout import Fanout
from server.rooms.member import LastingMember
from server.rooms.speech import Speech
from tests.server.harness import FakeMember, split, tasks
from tests.server.links import FakeLink

MAY = abilities(Stage.VOTING, votes=False, rounds=True)
BEGUN = VoteRequested(TicketId("T-1"))

settled = trio.testing.wait_all_tasks_blocked


def begun(seq: int) -> Begun:
    return Begun(seq, 1, "T-1", 0.0, (), MAY)


def revealed(seq: int) -> Revealed:
    return Revealed(seq, Shown(1, "T-1", (), summarize([]), 1.0), MAY)


def voted(seq: int) -> Voted:
    return Voted(seq, MemberId("x"), complete=False, may=None)


class FakeRecord:
    """A log that is written when a test wants it."""

    def __init__(self) -> None:
        self.saved = 0
        self.on_saved: Callable[[int], None] | None = None
        self.added = 0
        """Here, each command makes one change."""
        self.lost = 0
        """Commands that will never be on record."""

    def settled(self, added: int) -> bool:
        return added <= max(self.saved, self.lost)

    def write(self, seq: int) -> None:
        """All up to this number is on record."""
        self.saved = seq
        self.note()

    def lose(self, seq: int) -> None:
        """Nothing up to this number will ever be on record."""
        self.lost = seq
        self.note()

    def note(self) -> None:
        if self.on_saved is not None:
            self.on_saved(self.saved)


class Listener:
    """A member that outlives its connection, and the one that it has."""

    def __init__(self, stage: "Scene", name: str) -> None:
        self.link = FakeLink(name)
        self.member = LastingMember(self.link.id, PARLEY_V1, room=stage)
        self.member.attach(self.link)
        stage.nursery.start_soon(self.member.run)

    def heard(self) -> list[object]:
        """What it has heard since the last time: numbers of changes, else types."""
        frames, left = split(b"".join(frames for frames, _ in self.link.pushes))
        assert left == b""
        self.link.pushes.clear()
        return [short(each.payload) for each in frames]


def short(payload: bytes) -> object:
    if payload == b"W":
        return "welcome"
    said = orjson.loads(payload)
    if said["type"] in {"ack", "saved"}:
        return f"{said['type']} {said['seq']}"
    return said.get("seq", said["type"])


@attrs.define
class Scene:
    """A room's nursery with a speech in it."""

    nursery: trio.Nursery
    alarms: Alarms
    recorded: bool = True
    record: FakeRecord = attrs.Factory(FakeRecord)
    turns: int = 0
    """For which the speech has asked."""
    speech: Speech = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.speech = Speech(
            Fanout(),
            PARLEY_V1,
            seq=0,
            record=self.record if self.recorded else None,
            journal=self.record if self.recorded else None,
            alarms=self.alarms,
            wake=self.turn,
        )

    def spawn(self, task: Callable[[], Awaitable[object]]) -> None:
        self.nursery.start_soon(task)

    def turn(self) -> None:
        self.turns += 1
        self.speech.flush()

    def tell_all(self, event: Event) -> None:
        """Say something to all, as the record knows already."""
        self.record.added = max(self.record.added, getattr(event, "seq", 0))
        self.speech.tell_all(event)

    def detached(self, member_id: MemberId) -> None:
        pass  # its end is not told here

    async def seat(self, name: str) -> Listener:
        """Greet somebody, who hears all from then on."""
        one = Listener(self, name)
        await settled()
        self.greet(one, None)
        await settled()
        one.heard()
        return one

    def greet(self, one: Listener, seq: int | None) -> None:
        self.speech.greet(one.member, seq, lambda: Pong(0.0))  # stands for the snapshot
        self.speech.attend(one.member)
        self.speech.flush()

    async def say(self, *events: Event) -> None:
        """Say something to all, in a turn of its own."""
        for event in events:
            self.tell_all(event)
        self.speech.flush()
        await settled()


@asynccontextmanager
async def staged(*, recorded: bool = True) -> AsyncIterator[Scene]:
    before = tasks()
    async with trio.open_nursery() as nursery:
        alarms = Alarms()
        await nursery.start(alarms.run)
        yield Scene(nursery, alarms, recorded=recorded)
        nursery.cancel_scope.cancel()
    assert tasks() == before


# --- holding --------------------------------------------------------------------------------


@pytest.mark.parametrize("turn", [begun, revealed, lambda seq: OwnerChanged(seq, MemberId("x"))])
async def test_what_turns_the_page_is_told_once_it_is_on_record(
    turn: Callable[[int], Event], autojump_clock: MockClock
) -> None:
    async with staged() as it:
        ada = await it.seat("Ada")
        await it.say(voted(1))
        assert ada.heard() == [1]
        await it.say(voted(2), turn(3), voted(4))
        assert ada.heard() == [2]
        await it.say(voted(5))
        assert ada.heard() == []
        it.record.write(3)
        await settled()
        assert ada.heard() == [3, 4, 5, "saved 3"]
        assert trio.current_time() == 0
        await it.say(voted(6))
        assert ada.heard() == [6]


async def test_it_waits_no_longer_than_a_quarter_of_a_second(autojump_clock: MockClock) -> None:
    async with staged() as it:
        ada = await it.seat("Ada")
        await it.say(begun(1))
        await trio.sleep(HOLD_SECONDS - 0.01)
        assert ada.heard() == []
        await trio.sleep(0.02)
        assert ada.heard() == [1]
        await it.say(voted(2))
        assert ada.heard() == [2]


async def test_a_page_turned_while_another_is_held_waits_for_its_own_record(
    autojump_clock: MockClock,
) -> None:
    async with staged() as it:
        ada = await it.seat("Ada")
        await it.say(revealed(1))
        await trio.sleep(0.1)
        await it.say(begun(2))
        it.record.write(1)
        await settled()
        assert ada.heard() == []
        it.record.write(2)
        await settled()
        assert ada.heard() == [1, 2, "saved 2"]
        assert it.turns == 1


async def test_pages_that_are_turned_all_the_time_are_told_all_the_same(
    autojump_clock: MockClock,
) -> None:
    async with staged() as it:
        ada = await it.seat("Ada")
        heard: list[object] = []
        for seq in range(1, 21):
            await it.say(begun(seq))
            await trio.sleep(0.05)
            it.record.write(seq - 1)
            await settled()
            heard += [each for each in ada.heard() if isinstance(each, int)]
            assert len(heard) >= seq - 6
        assert heard == list(range(1, len(heard) + 1))


async def test_each_page_is_held_anew(autojump_clock: MockClock) -> None:
    async with staged() as it:
        ada = await it.seat("Ada")
        for seq in range(1, 4):
            await it.say(begun(seq))
            assert ada.heard() == []
            it.record.write(seq)
            await settled()
            assert ada.heard() == [seq, f"saved {seq}"]


async def test_the_other_dialect_is_not_told_sooner(autojump_clock: MockClock) -> None:
    for event in (BEGUN, VotesRevealed(TicketId("T-1"), ())):
        async with staged() as it:
            await it.seat("Ada")
            old = FakeMember("Old", dialect=ESTIMATEX)
            it.speech.attend(old)
            await it.say(MemberJoined("Bob", admin=False))
            assert len(old.pushes) == 1
            await it.say(event, begun(1))
            assert len(old.pushes) == 1
            it.record.write(1)
            await settled()
            assert len(old.pushes) == 2


async def test_without_a_log_nothing_is_held(autojump_clock: MockClock) -> None:
    async with staged(recorded=False) as it:
        ada = await it.seat("Ada")
        await it.say(begun(1), revealed(2))
        assert ada.heard() == [1, 2]


async def test_nothing_counts_as_collected_that_cannot_be_sent(autojump_clock: MockClock) -> None:
    async with staged() as it:
        await it.seat("Ada")
        it.tell_all(voted(1))
        assert it.speech.collected > 0
        it.tell_all(begun(2))
        assert it.speech.collected == 0
        assert it.speech.told > 0


# --- answers --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "seen"),
    [
        (Ack(1, 2), "ack 2"),
        (Failure(1, Problem(ErrorCode.NOT_NOW)), "error"),
        (Refusal(Problem(ErrorCode.MALFORMED, "what?")), "error"),
    ],
)
async def test_answers_go_past_what_is_held(
    answer: Event, seen: str, autojump_clock: MockClock
) -> None:
    async with staged() as it:
        ada, bob = await it.seat("Ada"), await it.seat("Bob")
        await it.say(begun(1), voted(2))
        it.speech.tell(ada.member, answer)
        it.speech.flush()
        assert (ada.heard(), bob.heard()) == ([seen], [])
        it.record.write(1)
        await settled()
        assert (ada.heard(), bob.heard()) == ([1, 2, "saved 1"], [1, 2, "saved 1"])


async def test_answers_come_first_and_keep_their_order(autojump_clock: MockClock) -> None:
    async with staged() as it:
        ada, bob = await it.seat("Ada"), await it.seat("Bob")
        it.tell_all(voted(1))
        it.speech.tell(ada.member, Ack(1, 1))
        it.tell_all(voted(2))
        it.speech.tell(ada.member, Failure(2, Problem(ErrorCode.NOT_NOW)))
        await it.say()
        assert ada.heard() == ["ack 1", "error", 1, 2]
        assert bob.heard() == [1, 2]


async def test_other_words_to_one_member_wait_in_order(autojump_clock: MockClock) -> None:
    async with staged() as it:
        ada = await it.seat("Ada")
        it.tell_all(begun(1))
        it.speech.tell(ada.member, Pong(1.0))
        await it.say(voted(2))
        assert ada.heard() == []
        it.record.write(1)
        await settled()
        assert ada.heard() == [1, "pong", 2, "saved 1"]


async def test_who_comes_while_something_is_held_waits_and_is_answered_after_its_welcome(
    autojump_clock: MockClock,
) -> None:
    async with staged() as it:
        ada = await it.seat("Ada")
        await it.say(begun(1))
        bob = Listener(it, "Bob")
        await settled()
        it.greet(bob, None)
        it.speech.tell(bob.member, Ack(1, 1))
        it.speech.tell(ada.member, Ack(1, 1))
        await it.say(voted(2))
        assert (ada.heard(), bob.heard()) == (["ack 1"], [])
        it.record.write(1)
        await settled()
        first, snapshot, *others = bob.heard()
        assert (first, snapshot) == ("welcome", "pong")
        assert [each for each in others if each != "saved 0"] == ["ack 1", 2, "saved 1"]
        await it.say(begun(3))
        it.speech.tell(bob.member, Ack(2, 3))
        it.speech.flush()
        assert bob.heard() == ["ack 3"]


async def test_who_is_removed_while_it_waits_for_its_welcome_is_forgotten(
    autojump_clock: MockClock,
) -> None:
    async with staged() as it:
        await it.say(begun(1))
        bob = Listener(it, "Bob")
        await settled()
        it.greet(bob, None)
        it.speech.remove(bob.member)
        it.record.write(1)
        await settled()
        assert bob.heard() == []
        assert it.speech.audience == 0


async def test_who_is_parted_from_gets_no_held_words(autojump_clock: MockClock) -> None:
    async with staged() as it:
        ada = await it.seat("Ada")
        await it.say(begun(1))
        it.speech.flush_one(ada.member)
        assert ada.heard() == []


# --- saved ----------------------------------------------------------------------------------


async def test_how_far_the_record_is_rides_along(autojump_clock: MockClock) -> None:
    async with staged() as it:
        ada = await it.seat("Ada")
        it.record.write(4)
        await it.say(voted(5))
        assert ada.heard() == [5, "saved 4"]
        await trio.sleep(2 * SAVED_SECONDS)
        assert ada.heard() == []


async def test_or_it_comes_after_a_second(autojump_clock: MockClock) -> None:
    async with staged() as it:
        ada = await it.seat("Ada")
        for seq in (3, 4):
            it.record.write(seq)
            await trio.sleep(SAVED_SECONDS / 2 - 0.01)
        assert ada.heard() == []
        await trio.sleep(0.04)
        assert ada.heard() == ["saved 4"]
        it.record.write(5)
        await trio.sleep(SAVED_SECONDS + 0.01)
        assert ada.heard() == ["saved 5"]


async def test_a_reminder_does_not_break_into_what_is_held(autojump_clock: MockClock) -> None:
    async with staged() as it:
        ada = await it.seat("Ada")
        it.record.write(1)
        await trio.sleep(SAVED_SECONDS - 0.1)
        await it.say(begun(2))
        await trio.sleep(0.12)
        assert ada.heard() == []
        await trio.sleep(HOLD_SECONDS + 0.01)
        assert ada.heard() == [2, "saved 1"]


async def test_nobody_is_told_without_news(autojump_clock: MockClock) -> None:
    async with staged() as it:
        ada = await it.seat("Ada")
        await it.say(voted(1), Saved(0))
        it.speech.note_saved(0)
        ada.heard()
        await trio.sleep(5)
        await it.say()
        assert ada.heard() == []


# --- greeting -------------------------------------------------------------------------------


async def test_a_new_member_gets_the_whole(autojump_clock: MockClock) -> None:
    async with staged(recorded=False) as it:
        await it.say(voted(1))
        bob = Listener(it, "Bob")
        await settled()
        it.greet(bob, None)
        assert bob.heard() == ["welcome", "pong"]
        assert bob.link.welcomes == [Resumed.NO]
        await it.say(voted(2))
        assert bob.heard() == [2]


@pytest.mark.parametrize(
    ("seq", "resumed", "heard"),
    [
        (3, Resumed.REPLAYED, []),
        (1, Resumed.REPLAYED, [2, 3]),
        (0, Resumed.REPLAYED, [1, 2, 3]),
        (4, Resumed.SNAPSHOT, ["pong"]),
        (None, Resumed.SNAPSHOT, ["pong"]),
    ],
)
async def test_who_comes_back_gets_what_it_has_missed_or_the_whole(
    seq: int | None, resumed: Resumed, heard: list[object], autojump_clock: MockClock
) -> None:
    async with staged(recorded=False) as it:
        ada = await it.seat("Ada")
        await it.say(voted(1), MemberJoined("not numbered", admin=False), voted(2))
        it.tell_all(voted(3))
        it.greet(ada, seq)  # in the same turn: what it has not been sent is not said twice
        await settled()
        told = ada.heard()
        assert told[told.index("welcome") :] == ["welcome", *heard]
        assert ada.link.welcomes[-1] is resumed
        await it.say(voted(4))
        assert ada.heard() == [4]


async def test_what_nobody_heard_is_remembered_all_the_same(autojump_clock: MockClock) -> None:
    async with staged(recorded=False) as it:
        await it.say(voted(1), voted(2))
        bob = Listener(it, "Bob")
        await settled()
        it.greet(bob, 0)
        assert bob.heard() == ["welcome", 1, 2]


async def test_who_misses_more_than_the_ring_holds_gets_the_whole(
    autojump_clock: MockClock,
) -> None:
    async with staged(recorded=False) as it:
        ada = await it.seat("Ada")
        for seq in range(1, 258):
            await it.say(WentAway(seq, MemberId("x"), 0.0))
        ada.heard()
        it.greet(ada, 0)
        assert ada.heard() == ["welcome", "pong"]
        it.greet(ada, 1)
        assert ada.heard() == ["welcome", *range(2, 258)]


async def test_what_is_held_is_in_what_is_replayed_once(autojump_clock: MockClock) -> None:
    async with staged() as it:
        ada = await it.seat("Ada")
        await it.say(voted(1), begun(2), voted(3))
        assert ada.heard() == [1]
        it.greet(ada, 1)
        await it.say(voted(4))
        assert ada.heard() == []
        it.record.write(2)
        await settled()
        assert [each for each in ada.heard() if each != "saved 0"] == [
            "welcome",
            2,
            3,
            4,
            "saved 2",
        ]


# --- the end --------------------------------------------------------------------------------


async def test_stopping_says_what_was_held_and_nothing_rings_any_more(
    autojump_clock: MockClock,
) -> None:
    async with staged() as it:
        ada = await it.seat("Ada")
        it.record.write(1)
        await it.say(begun(2), voted(3))
        it.speech.stop()
        assert ada.heard() == [2, 3, "saved 1"]
        await trio.sleep(2 * SAVED_SECONDS)
        assert it.turns == 0


async def test_after_the_end_nothing_is_held(autojump_clock: MockClock) -> None:
    async with staged() as it:
        ada = await it.seat("Ada")
        it.speech.stop()
        it.record.write(1)
        await it.say(begun(2))
        assert ada.heard() == [2, "saved 1"]
        await trio.sleep(2 * SAVED_SECONDS)
        assert it.turns == 0


async def test_it_may_be_stopped_in_the_moment_in_which_it_begins_to_hold(
    autojump_clock: MockClock,
) -> None:
    async with staged() as it:
        ada = await it.seat("Ada")
        it.tell_all(begun(2))
        it.record.write(1)
        it.speech.stop()
        assert ada.heard() == [2, "saved 1"]


async def test_what_will_never_be_on_record_is_said(autojump_clock: MockClock) -> None:
    async with staged() as it:
        ada = await it.seat("Ada")
        await it.say(begun(1))
        it.record.lose(1)
        assert ada.heard() == [1]
        assert trio.current_time() == 0


def test_a_record_needs_alarms() -> None:
    record = FakeRecord()
    with pytest.raises(AssertionError, match="alarms"):
        Speech(
            Fanout(), PARLEY_V1, seq=0, record=record, journal=None, alarms=None, wake=record.note
        )


async def test_an_answer_reaches_who_is_parted_from(autojump_clock: MockClock) -> None:
    async with staged() as it:
        ada = await it.seat("Ada")
        for held in (False, True):
            if held:
                it.tell_all(begun(2))
            it.speech.tell(ada.member, Ack(1, 1))
            it.speech.flush_one(ada.member)
            assert ada.heard() == ["ack 1"]


async def test_who_is_removed_is_not_answered(autojump_clock: MockClock) -> None:
    async with staged() as it:
        ada = await it.seat("Ada")
        it.speech.tell(ada.member, Ack(1, 1))
        it.speech.remove(ada.member)
        it.speech.flush()
        assert ada.heard() == []
