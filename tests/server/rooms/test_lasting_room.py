"""A room whose members outlive their connections, by the real rules and over fake connections."""

import gc
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
import trio
import trio.lowlevel
import trio.testing
from structlog.testing import capture_logs
from trio.testing import MockClock

from protocol.dialects.parley_v1 import CLOSE_CODES, PARLEY_V1
from protocol.effects import Effect
from protocol.errors import CloseCode, ErrorCode, Problem
from protocol.estimation import Estimation
from protocol.farewell import Ending, Farewell
from protocol.greeting import Resumed
from protocol.ids import MemberId, RoomId
from protocol.lasting import (
    NOBODY,
    BeginRound,
    CastCard,
    Claim,
    CloseRoom,
    Configure,
    Depart,
    Detach,
    HandOver,
    Join,
    Numbered,
    Park,
    Ping,
    Request,
    Return,
    RevealRound,
)
from protocol.messages import Announce, Command, Enter, Reject, TicketId, TicketResult
from protocol.options import DEFAULTS, Options, OwnerAbsence
from server.rooms.alarms import Alarms
from server.rooms.fanout import Member
from server.rooms.member import LastingMember
from server.rooms.room import Lasting, Room
from server.support.counters import Counters
from server.support.limits import Limits
from tests.server.harness import Cutter, FakeMember, FakeRecorder, sweep, tasks
from tests.server.links import ADA, BOB, FakeLink

ROOM = RoomId("a1B2c3")
GRACE = 60.0

settled = trio.testing.wait_all_tasks_blocked


class FakeJournal:
    """A log that is written at once, or when a test wants it."""

    def __init__(self, log: list[str]) -> None:
        self.log = log
        self.entries: list[tuple[MemberId, Command]] = []
        self.saved = 0
        self.seq = 0
        self.parked = 0
        self.on_saved: Callable[[int], None] | None = None
        self.slow = False
        self.added = 0
        self._settled = 0
        self._written = trio.Event()

    def add(self, at: float, member: MemberId, command: Command, seq: int) -> None:
        self.entries.append((member, command))
        self.seq = seq
        self.added += 1

    def settled(self, added: int) -> bool:
        return not self.slow or self._settled >= added

    async def flushed(self) -> None:
        await trio.lowlevel.checkpoint()
        if self.slow:
            await self._written.wait()
        else:
            self.saved = self.seq

    def write(self) -> None:
        """All that was added is on record."""
        self.saved = self.seq
        self._settled = self.added
        self._written.set()
        self._written = trio.Event()
        if self.on_saved is not None:
            self.on_saved(self.saved)

    def park(self) -> None:
        self.log.append("park")
        self.parked += 1


class Brittle(Estimation):
    """The rules, until they break."""

    broken = False

    def apply(self, command: Command, member: MemberId, now: float) -> list[Effect[TicketResult]]:
        if self.broken:
            raise ZeroDivisionError
        return super().apply(command, member, now)


class WatchedRoom(Room[TicketResult]):
    """A room whose members can be looked at."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.admitted: dict[MemberId, Member] = {}

    def admit(self, member: Member) -> bool:
        self.admitted[member.id] = member
        return super().admit(member)


@attrs.define
class Open:
    """A running room and its surroundings."""

    room: WatchedRoom
    rules: Brittle
    counters: Counters
    recorder: FakeRecorder
    journal: FakeJournal | None
    log: list[str]
    done: trio.Event
    nursery: trio.Nursery
    left: list[str] = attrs.Factory(list)
    """Whose seats were returned."""

    @property
    def names(self) -> list[str]:
        return [each.name for each in self.rules.picture().members]

    async def join(self, name: str, *, owner: bool = False, answers: bool = True) -> FakeLink:
        link = self.knock(name, owner=owner, answers=answers)
        await settled()
        return link

    def knock(self, name: str, *, owner: bool = False, answers: bool = True) -> FakeLink:
        """Join, of which nothing is processed yet."""
        entry = Join(name=name, owner=owner)
        link = FakeLink(name, entry=entry, inbox=self.room.inbox, answers=answers)
        assert self.room.join(link.id, PARLEY_V1, link, lambda: self.left.append(name))
        return link

    async def resume(self, name: str, seq: int | None = None, *, answers: bool = True) -> FakeLink:
        link = self.dial(name, seq, answers=answers)
        await settled()
        return link

    def dial(self, name: str, seq: int | None = None, *, answers: bool = True) -> FakeLink:
        """Come back, of which nothing is processed yet."""
        link = FakeLink(name, entry=Return(seq), inbox=self.room.inbox, answers=answers)
        assert self.room.resume(link.id, link)
        return link

    async def ask(self, who: MemberId, ref: int, request: Request) -> None:
        self.put(who, Numbered(ref, request))
        await settled()

    def put(self, who: MemberId, command: Command) -> None:
        self.room.inbox.put(who, command)
        self.room.inbox.settle()

    def member_scope(self, who: MemberId) -> trio.CancelScope:
        member = self.room.admitted[who]
        assert isinstance(member, LastingMember)
        return member.scope


@asynccontextmanager
async def opened(
    *,
    grace: float = GRACE,
    capacity: int = 10,
    journal: bool = True,
    limits: Limits | None = None,
    keyed: bool = True,
    options: Options = DEFAULTS,
) -> AsyncIterator[Open]:
    limits = limits or Limits()
    counters = Counters()
    log: list[str] = []
    recorder = FakeRecorder(log)
    kept = FakeJournal(log) if journal else None
    rules = Brittle(ROOM, capacity, keyed=keyed, grace_seconds=grace, options=options)
    done = trio.Event()
    left: list[str] = []
    alarms = Alarms()
    room = WatchedRoom(
        ROOM,
        rules,
        limits=limits,
        recorder=recorder,
        counters=counters,
        forget=lambda room_id: log.append("forget"),
        lasting=Lasting(
            session_id=7,
            epoch="7.0",
            snapshot_for=rules.snapshot_for,
            seq=lambda: rules.seq,
            journal=kept,
            alarms=alarms,
        ),
    )

    async def run(  # noqa: ASYNC128 - the room calls started()
        *, task_status: trio.TaskStatus[None]
    ) -> None:
        try:
            await room.run(task_status=task_status)
        finally:
            done.set()

    before = tasks()
    async with trio.open_nursery() as ringing:
        await ringing.start(alarms.run)
        async with trio.open_nursery() as nursery:
            await nursery.start(run)
            yield Open(room, rules, counters, recorder, kept, log, done, nursery, left)
            nursery.cancel_scope.cancel()
        ringing.cancel_scope.cancel()
    assert done.is_set()
    assert room.member_count == 0
    ends = room.inbox.statistics()
    assert (ends.open_send_channels, ends.open_receive_channels) == (0, 0)
    assert counters.rooms_current == counters.members_current == 0
    assert len(left) == len(set(left)), "a seat was returned twice"
    assert log.count("forget") == 1
    assert log.count("park") + log.count("close") == 1
    assert tasks() == before


# --- a member's life ------------------------------------------------------------------------


async def test_a_round_is_played_and_its_answers_are_given_once(
    autojump_clock: MockClock,
) -> None:
    async with opened() as it:
        ada, bob = await it.join("Ada", owner=True), await it.join("Bob")
        await it.ask(ADA, 1, BeginRound(TicketId("T-1")))
        await it.ask(BOB, 1, CastCard(1, "5"))
        await it.ask(BOB, 1, CastCard(1, "5"))
        await it.ask(ADA, 2, CastCard(1, "3"))
        await it.ask(ADA, 3, RevealRound(1))
        changes = [each for each in bob.types if each not in {"saved", "ack"}]
        assert changes == ["W", "snapshot", "begun", "voted", "voted", "revealed"]
        assert bob.types.count("ack") == 2
        votes = [each["seq"] for each in bob.heard if each["type"] == "ack"]
        assert votes[0] == votes[1]
        assert [each["seq"] for each in ada.heard if "ref" in each] == [3, 5, 6]
        assert len(it.recorder.results) == 1
        assert bob.welcomes == [Resumed.NO]


async def test_who_loses_its_connection_is_away_and_gone_after_its_grace(
    autojump_clock: MockClock,
) -> None:
    async with opened() as it:
        ada, bob = await it.join("Ada", owner=True), await it.join("Bob")
        bob.hang_up()
        await settled()
        assert ada.types[-1] == "away"
        assert it.room.member_count == 2
        await trio.sleep(GRACE - 1)
        assert it.names == ["Ada", "Bob"]
        await trio.sleep(2)
        assert ada.types[-1] == "left"
        assert ada.heard[-1]["expired"] is True
        assert it.left == ["Bob"]
        assert it.room.member_count == 1


async def test_who_comes_back_in_time_has_its_seat_and_what_it_missed(
    autojump_clock: MockClock,
) -> None:
    async with opened() as it:
        ada, bob = await it.join("Ada", owner=True), await it.join("Bob")
        bob.hang_up()
        await settled()
        seen = it.rules.seq - 1
        await it.ask(ADA, 1, BeginRound(TicketId("T-1")))
        await trio.sleep(GRACE - 1)
        again = await it.resume("Bob", seen)
        assert again.welcomes == [Resumed.REPLAYED]
        assert again.types == ["W", "away", "begun", "back"]
        assert ada.types[-1] == "back"
        await trio.sleep(10 * GRACE)
        assert it.names == ["Ada", "Bob"]
        assert it.left == []
        again = await it.resume("Bob", None)
        assert again.welcomes == [Resumed.SNAPSHOT]
        assert it.room.member_count == 2


async def test_without_a_grace_nothing_is_left_of_who_loses_its_connection(
    autojump_clock: MockClock,
) -> None:
    async with opened(grace=0.0) as it:
        ada, bob = await it.join("Ada", owner=True), await it.join("Bob")
        bob.hang_up()
        await settled()
        assert ada.types[-1] == "left"
        assert it.left == ["Bob"]
        assert it.room.member_count == 1
        ada.hang_up()
        await it.done.wait()


async def test_who_departs_is_answered_and_gone(autojump_clock: MockClock) -> None:
    async with opened() as it:
        ada, bob = await it.join("Ada", owner=True), await it.join("Bob")
        await it.ask(BOB, 1, Depart())
        assert bob.types[-3:] == ["ack", "left", "goodbye"]
        assert bob.code == CLOSE_CODES[Ending.LEFT]
        assert ada.types[-1] == "left"
        assert it.left == ["Bob"]
        assert not it.room.resume(BOB, FakeLink("Bob"))


async def test_who_finds_the_room_full_is_told_by_an_error_and_a_goodbye(
    autojump_clock: MockClock,
) -> None:
    async with opened(capacity=1) as it:
        await it.join("Ada", owner=True)
        bob = await it.join("Bob")
        assert bob.types == ["error", "goodbye"]
        assert bob.heard[0]["code"] == "room_full"
        assert bob.code == CLOSE_CODES[Ending.ROOM_FULL]
        assert it.left == ["Bob"]


async def test_who_is_struck_out_cannot_come_back_while_it_does_not_answer(
    autojump_clock: MockClock,
) -> None:
    async with opened() as it:
        await it.join("Ada", owner=True)
        bob = await it.join("Bob", answers=False)
        it.put(BOB, Reject(Problem(ErrorCode.MALFORMED, "what?"), final=True))
        await settled()
        assert bob.types[-2:] == ["error", "goodbye"]
        assert bob.code == CLOSE_CODES[Ending.STRUCK_OUT]
        assert not it.room.resume(BOB, FakeLink("Bob"))
        assert not it.room.join(BOB, PARLEY_V1, FakeLink("Bob"), None)
        bob.hang_up()
        await settled()
        assert it.names == ["Ada"]


@pytest.mark.parametrize("connected", [True, False])
async def test_who_is_dismissed_is_gone_and_cannot_come_back(
    connected: bool, autojump_clock: MockClock
) -> None:
    signed_out = Farewell(ending=Ending.SIGNED_OUT, code=CloseCode.POLICY, reason="logged out")
    async with opened() as it:
        ada = await it.join("Ada", owner=True)
        bob = await it.join("Bob", answers=False)
        if not connected:
            bob.hang_up()
            await settled()
        it.room.dismiss(BOB, signed_out)
        it.room.dismiss(MemberId("nobody"), signed_out)
        assert not it.room.resume(BOB, FakeLink("Bob"))
        bob.hang_up()
        await settled()
        assert ada.types[-1] == "left"
        assert it.left == ["Bob"]
        if connected:
            assert bob.code == CLOSE_CODES[Ending.SIGNED_OUT]


async def test_two_connections_of_one_member_are_not_taken_for_each_other(
    autojump_clock: MockClock,
) -> None:
    """The second comes when the first has entered, but before the room knows of that."""
    async with opened() as it:
        await it.join("Ada", owner=True)
        bob = await it.join("Bob")
        for ref in range(1, 6):
            await it.ask(ADA, ref, BeginRound(TicketId(f"T-{ref}")))
        seq = it.rules.seq
        first, second = it.dial("Bob", seq), it.dial("Bob", seq - 3)
        it.put(ADA, Numbered(6, BeginRound(TicketId("T-6"))))
        await settled()
        assert (first.code, bob.code) == (CLOSE_CODES[Ending.REPLACED],) * 2
        assert first.welcomes == []
        assert second.welcomes == [Resumed.REPLAYED]
        numbers = [each["seq"] for each in second.heard if each["type"] == "begun"]
        assert second.types[0] == "W"
        assert numbers == list(range(seq - 2, seq + 2))
        assert it.rules.lasting_members[BOB].here


async def test_a_connection_is_not_welcomed_for_what_an_older_one_said(
    autojump_clock: MockClock,
) -> None:
    async with opened() as it:
        await it.join("Ada", owner=True)
        await it.join("Bob")
        for ref in range(1, 6):
            await it.ask(ADA, ref, BeginRound(TicketId(f"T-{ref}")))
        seq = it.rules.seq
        older = FakeLink("Bob", entry=Return(seq))
        entry = older.entry
        assert entry is not None
        assert it.room.resume(BOB, older)
        await settled()  # it is open, and has yet to say who it is
        newer = FakeLink("Bob", entry=Return(seq - 3))
        newer_entry = newer.entry
        assert newer_entry is not None
        assert it.room.resume(BOB, newer)
        await settled()
        it.put(BOB, entry)
        await it.ask(ADA, 6, BeginRound(TicketId("T-6")))
        assert newer.heard == []
        it.put(BOB, newer_entry)
        await settled()
        assert newer.types[0] == "W"
        numbers = [each["seq"] for each in newer.heard if each["type"] == "begun"]
        assert numbers == list(range(seq - 2, seq + 2))


async def test_members_of_both_dialects_hear_of_each_other(autojump_clock: MockClock) -> None:
    async with opened() as it:
        ada = await it.join("Ada", owner=True)
        old = FakeMember("Old")
        assert it.room.admit(old)
        it.put(old.id, Enter("Old"))
        it.put(old.id, Announce(ROOM))
        await settled()
        assert ada.types[-1] == "joined"
        await it.ask(ADA, 1, BeginRound(TicketId("T-1")))
        assert old.kinds[-1] == "ASK_FOR_VOTE"
        old.hang_up()
        await settled()
        assert ada.types[-1] == "left"


async def test_commands_that_change_the_room_are_logged_before_anybody_is_told(
    autojump_clock: MockClock,
) -> None:
    async with opened() as it:
        assert it.journal is not None
        ada = await it.join("Ada", owner=True)
        it.put(ADA, Reject(Problem(ErrorCode.MALFORMED, "what?")))
        await it.ask(ADA, 1, BeginRound(TicketId("T-1")))
        ada.hang_up()
        await settled()
        await it.resume("Ada", 1)
        commands = [type(command) for _, command in it.journal.entries]
        assert commands == [Join, Numbered, Detach, Return]


async def test_what_turns_the_page_waits_for_the_log(autojump_clock: MockClock) -> None:
    async with opened() as it:
        assert it.journal is not None
        ada, bob = await it.join("Ada", owner=True), await it.join("Bob")
        it.journal.slow = True
        await it.ask(ADA, 1, BeginRound(TicketId("T-1")))
        assert ada.types[-1] == "ack"
        assert bob.types[-1] == "snapshot"
        kim = await it.join("Kim")
        assert kim.heard == []
        it.journal.write()
        await settled()
        assert bob.types[-2:] == ["begun", "joined"]
        assert kim.types == ["W", "snapshot"]


# --- the end --------------------------------------------------------------------------------


async def test_the_end_is_told_once_it_is_on_record(autojump_clock: MockClock) -> None:
    async with opened() as it:
        assert it.journal is not None
        ada, bob = await it.join("Ada", owner=True), await it.join("Bob")
        it.journal.slow = True
        await it.ask(ADA, 1, CloseRoom())
        assert bob.closes == ada.closes == []
        assert ada.types[-1] == "ack"
        assert it.log == []
        it.journal.write()
        await it.done.wait()
        assert trio.current_time() < 0.01
        assert (ada.code, bob.code) == (CLOSE_CODES[Ending.ROOM_ENDED],) * 2
        assert bob.heard[-1]["room_survives"] is False
        assert it.log == ["forget", "close"]


async def test_the_end_waits_no_longer_than_a_quarter_of_a_second(
    autojump_clock: MockClock,
) -> None:
    async with opened() as it:
        assert it.journal is not None
        await it.join("Ada", owner=True)
        bob = await it.join("Bob")
        it.journal.slow = True
        await it.ask(ADA, 1, CloseRoom())
        await trio.sleep(0.24)
        assert bob.closes == []
        await it.done.wait()
        assert trio.current_time() == pytest.approx(0.25, abs=0.01)


async def test_the_room_ends_with_its_owners_grace(autojump_clock: MockClock) -> None:
    async with opened() as it:
        ada, bob = await it.join("Ada", owner=True), await it.join("Bob")
        ada.hang_up()
        await trio.sleep(GRACE - 1)
        assert bob.closes == []
        await it.done.wait()
        assert trio.current_time() == pytest.approx(GRACE, abs=0.3)
        assert bob.code == CLOSE_CODES[Ending.ROOM_ENDED]


async def test_cancelling_the_owners_scope_ends_the_room_in_the_stated_order(
    autojump_clock: MockClock,
) -> None:
    """With members connected, in grace, replacing one another, and in the middle of resuming."""
    async with opened(limits=Limits(close_seconds=2)) as it:
        ada = await it.join("Ada", owner=True)
        connected = [await it.join(f"C{n}") for n in range(3)]
        deaf = await it.join("Deaf", answers=False)
        for name in ("Gone", "Resuming", "Opening", "Twice"):
            link = await it.join(name)
            if name != "Twice":
                link.hang_up()
        await settled()
        resuming = FakeLink("Resuming")  # open, and not yet welcomed
        assert it.room.resume(resuming.id, resuming)
        half_open = await it.resume("Twice", answers=False)
        twice = await it.resume("Twice")
        joining = FakeLink("Joining")
        assert it.room.join(joining.id, PARLEY_V1, joining, lambda: it.left.append("Joining"))
        await settled()
        assert joining.heard == resuming.heard == []
        opening = it.dial("Opening", 1)
        hasty = it.knock("Hasty")

        it.member_scope(ADA).cancel()
        while not it.log:  # noqa: ASYNC110 - no event for that
            await trio.lowlevel.checkpoint()
        assert it.log[0] == "forget"
        assert it.room.ended
        assert not it.room.join(BOB, PARLEY_V1, FakeLink("Bob"), None)
        assert not it.room.resume(MemberId("id-Gone"), FakeLink("Gone"))
        await settled()
        assert it.log == ["forget", "close"]
        told = [*connected, deaf, resuming, twice, joining, opening, hasty]
        assert [link.code for link in told] == [CLOSE_CODES[Ending.ROOM_ENDED]] * len(told)
        assert {link.types[-1] for link in told} == {"goodbye"}
        assert half_open.code == CLOSE_CODES[Ending.REPLACED]
        assert ada.closes == []
        assert deaf.running
        assert half_open.running
        await it.done.wait()
        assert trio.current_time() == pytest.approx(2, abs=0.01)
        links = [ada, half_open, *told]
        assert [link.running for link in links] == [False] * len(links)
        assert [link.runs for link in links] == [1] * len(links)
        assert len(it.left) == 11
        assert not it.nursery.child_tasks


async def test_an_owner_that_is_away_may_be_cancelled_too(autojump_clock: MockClock) -> None:
    async with opened() as it:
        ada, bob = await it.join("Ada", owner=True), await it.join("Bob")
        ada.hang_up()
        await settled()
        it.member_scope(ADA).cancel()
        await it.done.wait()
        assert bob.code == CLOSE_CODES[Ending.ROOM_ENDED]
        assert trio.current_time() == 0


async def test_a_room_may_outlive_its_owner_whose_scope_is_cancelled(
    autojump_clock: MockClock,
) -> None:
    async with opened(options=Options(owner_absence=OwnerAbsence.CLAIM)) as it:
        await it.join("Ada", owner=True)
        bob = await it.join("Bob")
        it.member_scope(ADA).cancel()
        await settled()
        assert not it.room.ended
        assert it.names == ["Bob"]
        assert it.left == ["Ada"]
        assert bob.types[-2:] == ["left", "unled"]

        await it.ask(BOB, 1, Claim())
        assert it.rules.owner == BOB
        await it.ask(BOB, 2, Configure(owner_absence=OwnerAbsence.ENDS))
        it.member_scope(BOB).cancel()
        await it.done.wait()


async def test_a_room_may_outlive_an_owner_that_leaves_or_does_not_come_back(
    autojump_clock: MockClock,
) -> None:
    async with opened(options=Options(owner_absence=OwnerAbsence.CLAIM)) as it:
        ada, bob = await it.join("Ada", owner=True), await it.join("Bob")
        await it.join("Cid")
        await it.ask(ADA, 1, Depart())
        assert ada.types[-1] == "goodbye"
        assert it.left == ["Ada"]
        await it.ask(BOB, 1, Claim())
        bob.hang_up()
        await trio.sleep(GRACE + 1)
        assert it.names == ["Cid"]
        assert it.room.member_count == 1
        assert not it.room.ended


async def test_a_room_that_is_handed_over_ends_with_its_new_owner(
    autojump_clock: MockClock,
) -> None:
    async with opened() as it:
        await it.join("Ada", owner=True)
        await it.join("Bob")
        await it.ask(ADA, 1, HandOver(BOB))
        it.member_scope(ADA).cancel()
        await settled()
        assert not it.room.ended
        it.member_scope(BOB).cancel()
        await it.done.wait()


@pytest.mark.parametrize("journal", [True, False])
async def test_a_room_that_leaves_the_process_is_parked_if_it_has_a_log(
    journal: bool, autojump_clock: MockClock
) -> None:
    async with opened(journal=journal) as it:
        links = [await it.join("Ada", owner=journal), await it.join("Bob"), await it.join("Kim")]
        old = FakeMember("Old")
        assert it.room.admit(old)
        it.put(old.id, Enter("Old"))
        await settled()
        links[2].hang_up()
        await settled()
        it.room.leave_process("the server restarts")
        await it.done.wait()
        assert it.log == ["forget", "park" if journal else "close"]
        if it.journal is not None:  # all that was acknowledged is on record before this
            assert it.journal.entries[-1] == (NOBODY, Park())
        goodbyes = [link.heard[-1] for link in links[:2]]
        assert [link.code for link in links[:2]] == [CLOSE_CODES[Ending.GOING_AWAY]] * 2
        assert [each["room_survives"] for each in goodbyes] == [journal] * 2
        waits = [each["back_in"] for each in goodbyes]
        if journal:
            assert all(0.5 <= wait <= 3 for wait in waits)
            assert waits[0] != waits[1]
        else:
            assert waits == [None, None]
        assert old.closes[0][0] == CloseCode.GOING_AWAY


@pytest.mark.parametrize("_", range(10))  # who is cancelled first is up to chance
async def test_a_room_that_is_cancelled_from_outside_is_parked(
    _: int, autojump_clock: MockClock
) -> None:
    async with opened() as it:
        ada = await it.join("Ada", owner=True)
        it.nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            await it.done.wait()
        assert it.log == ["forget", "park"]
        assert not ada.running


async def test_an_end_on_its_way_is_an_end_also_when_the_process_ends(
    autojump_clock: MockClock,
) -> None:
    async with opened() as it:
        assert it.journal is not None
        await it.join("Ada", owner=True)
        it.room.end("over")
        it.room.leave_process("the server restarts")
        await it.done.wait()
        assert it.log == ["forget", "close"]


async def test_what_is_held_is_told_before_the_goodbye(autojump_clock: MockClock) -> None:
    async with opened() as it:
        assert it.journal is not None
        await it.join("Ada", owner=True)
        bob = await it.join("Bob")
        it.journal.slow = True
        await it.ask(ADA, 1, BeginRound(TicketId("T-1")))
        it.room.leave_process("the server restarts")
        await it.done.wait()
        assert bob.types[-2:] == ["begun", "goodbye"]
        it.journal.write()  # nobody is there any more
        await settled()


async def test_a_defect_of_the_rules_is_told_in_each_dialect(
    autojump_clock: MockClock,
) -> None:
    with capture_logs() as logs:
        async with opened() as it:
            ada = await it.join("Ada", owner=True)
            old = FakeMember("Old")
            assert it.room.admit(old)
            it.put(old.id, Enter("Old"))
            await settled()
            it.rules.broken = True
            it.put(ADA, Ping())
            await it.done.wait()
            assert ada.code == CLOSE_CODES[Ending.FAULT] == 4003
            assert old.closes[0][0] == CloseCode.INTERNAL
            assert it.counters.rooms_crashed == 1
            assert it.log == ["forget", "close"]
    assert [entry["component"] for entry in logs if entry["log_level"] == "error"] == ["room"]


# --- memory --------------------------------------------------------------------------


async def test_nothing_of_a_room_is_left_in_memory(autojump_clock: MockClock) -> None:
    traces: list[weakref.ref[object]] = []
    async with opened() as it:
        assert it.journal is not None
        links = [await it.join("Ada", owner=True), await it.join("Bob"), await it.join("Kim")]
        links[1].hang_up()
        await settled()
        links += [it.dial("Bob", 1), it.dial("Kim", 1)]
        await settled()
        await it.ask(ADA, 1, BeginRound(TicketId("T-1")))
        it.room.end("over")
        await it.done.wait()
        traces += [weakref.ref(each) for each in (it.room, it.rules, it.journal, *links)]
        links.clear()
    del it
    gc.collect()
    assert [each() for each in traces] == [None] * len(traces)


# --- cancelling everywhere ------------------------------------------------------------------


@pytest.mark.parametrize("whose", ["owner", "room", "outside", "member", "link"])
def test_it_may_be_cancelled_at_any_step(whose: str) -> None:
    async def scenario(cutter: Cutter) -> None:
        links: list[FakeLink] = []
        async with opened(limits=Limits(close_seconds=1)) as it:
            links += [it.knock("Ada", owner=True), it.knock("Bob"), it.knock("Kim", answers=False)]
            cutter.arm(
                {
                    "owner": lambda: it.member_scope(ADA),
                    "room": lambda: it.room.scope,
                    "outside": lambda: it.nursery.cancel_scope,
                    "member": lambda: it.member_scope(BOB),
                    "link": lambda: links[1].scope,
                }[whose]()
            )
            await trio.sleep(0.1)
            links[1].hang_up()
            await trio.sleep(0.1)
            for name in ("Bob", "Kim", "Kim", "Ada"):
                link = FakeLink(name, entry=Return(1), inbox=it.room.inbox)
                if it.room.resume(link.id, link):
                    links.append(link)
                await trio.lowlevel.checkpoint()
            it.put(ADA, Numbered(1, BeginRound(TicketId("T-1"))))
            await trio.sleep(0.1)
            it.put(ADA, Numbered(2, CloseRoom()))
            await trio.sleep(1)
            it.room.end("over")
            await it.done.wait()
        assert [link.running for link in links] == [False] * len(links)
        assert [link.runs for link in links] == [1] * len(links)
        assert sorted(it.left) == ["Ada", "Bob", "Kim"]

    assert sweep(scenario, least=20) >= 20
