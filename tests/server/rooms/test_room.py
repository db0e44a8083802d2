"""One room, with fake members: what it carries out, and in which order it ends."""

import gc
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise

import attrs
import pytest
import trio
import trio.testing
from structlog.testing import capture_logs
from trio.testing import MockClock

from protocol.dialects.estimatex import EstimateX
from protocol.effects import (
    ClearTimer,
    Disconnect,
    Effect,
    End,
    SetTimer,
    Subscribe,
    Tell,
    TellOthers,
)
from protocol.errors import CloseCode, ErrorCode, Problem
from protocol.estimation import Estimation
from protocol.ids import MemberId, RoomId
from protocol.messages import (
    Announce,
    BeginVoting,
    CastVote,
    Command,
    Enter,
    Event,
    Leave,
    MemberLeft,
    RevealVotes,
    RoomClosed,
    TicketId,
    TicketResult,
)
from server.rooms.inbox import Inbox
from server.rooms.room import Room, Rules
from server.support.counters import Counters
from server.support.limits import Limits
from tests.server.harness import Cutter, FakeMember, FakeRecorder, split, sweep, tasks, until

ROOM = RoomId("a1B2c3")
T1 = TicketId("T-1")

settled = trio.testing.wait_all_tasks_blocked


class Crashing:
    """Rules with a defect."""

    def apply(self, command: Command, member: MemberId, now: float) -> list[Effect[TicketResult]]:
        raise ZeroDivisionError


class Scripted:
    """Rules that ask for what they are told to."""

    def __init__(self, *effects: Effect[TicketResult]) -> None:
        self.effects = list(effects)
        self.commands: list[tuple[MemberId, Command]] = []

    def apply(self, command: Command, member: MemberId, now: float) -> list[Effect[TicketResult]]:
        self.commands.append((member, command))
        return self.effects if isinstance(command, Enter) else []


@attrs.define
class Open:
    """A running room and its surroundings."""

    room: Room[TicketResult]
    counters: Counters
    recorder: FakeRecorder
    log: list[str]
    forgotten: list[RoomId]
    done: trio.Event
    nursery: trio.Nursery

    def seat(self, *members: FakeMember, announced: bool = True) -> None:
        for member in members:
            assert self.room.admit(member)
            self.put(member, Enter(member.name))
            if announced:
                self.put(member, Announce(ROOM))

    def put(self, member: FakeMember, command: Command) -> None:
        self.room.inbox.put(member.id, command)
        self.room.inbox.settle()

    async def gone(self) -> None:
        await self.done.wait()
        check_gone(self.room, self.counters)
        assert self.forgotten == self.recorder.closed == [ROOM]


def check_gone(room: Room[TicketResult], counters: Counters) -> None:
    """Look for anything that a room has left behind."""
    assert room.member_count == 0
    assert room.ended
    ends = room.inbox.statistics()
    assert (ends.open_send_channels, ends.open_receive_channels) == (0, 0)
    assert (ends.tasks_waiting_send, ends.tasks_waiting_receive) == (0, 0)
    assert counters.rooms_current == counters.members_current == 0
    assert counters.rooms_opened == counters.rooms_closed == 1


@asynccontextmanager
async def opened(
    rules: Rules[TicketResult] | None = None, *, limits: Limits | None = None, capacity: int = 500
) -> AsyncIterator[Open]:
    limits = limits or Limits()
    counters = Counters()
    log: list[str] = []
    recorder = FakeRecorder(log)
    forgotten: list[RoomId] = []
    done = trio.Event()

    def forget(room_id: RoomId) -> None:
        log.append("forget")
        forgotten.append(room_id)

    room = Room(
        ROOM,
        rules or Estimation(ROOM, capacity, announce_seconds=limits.announce_seconds),
        limits=limits,
        recorder=recorder,
        counters=counters,
        forget=forget,
    )

    async def run(  # noqa: ASYNC128 - the room calls started()
        *, task_status: trio.TaskStatus[None]
    ) -> None:
        try:
            await room.run(task_status=task_status)
        finally:
            done.set()

    before = tasks()
    async with trio.open_nursery() as nursery:
        await nursery.start(run)
        yield Open(room, counters, recorder, log, forgotten, done, nursery)
        nursery.cancel_scope.cancel()
    assert done.is_set()
    check_gone(room, counters)
    assert forgotten == recorder.closed == [ROOM]
    assert tasks() == before


# --- serving --------------------------------------------------------------------------------


async def test_a_round_is_played_from_the_first_seat_to_the_reveal(
    autojump_clock: MockClock,
) -> None:
    ada, bob = FakeMember("Ada"), FakeMember("Bob")
    async with opened(capacity=2) as it:
        it.seat(ada, bob)
        await settled()
        it.put(ada, BeginVoting(T1))
        it.put(ada, CastVote(T1, "3"))
        it.put(bob, CastVote(T1, "5"))
        await settled()
        it.put(ada, RevealVotes(T1))
        await settled()

        assert ada.kinds == [
            "CREATE_ROOM",
            "ROOM_JOIN_UPDATES",
            "ROOM_JOIN_UPDATES",
            "ROOM_JOIN_UPDATES",
            "ROOM_CAPACITY_REACHED",
            "BEGIN_VOTING_PROMPT",
            "ASK_FOR_VOTE",
            "* Ada has voted on ticket T-1",
            "* Bob has voted on ticket T-1",
            "VOTING_COMPLETED",
            "REVEAL_VOTES_PROMPT",
            "VOTES_REVEALED",
            "BEGIN_VOTING_PROMPT",
        ]
        assert bob.kinds[-3:] == ["VOTING_COMPLETED", "VOTES_REVEALED", "AWAITING_ADMIN_VOTE_START"]
        assert [result.ticket_id for _, result in it.recorder.results] == [T1]
        assert it.counters.members_current == it.room.member_count == 2


async def test_each_member_is_pushed_once_in_a_turn(autojump_clock: MockClock) -> None:
    ada, bob = FakeMember("Ada"), FakeMember("Bob")
    async with opened() as it:
        it.seat(ada, bob)
        it.put(ada, BeginVoting(T1))
        for member in (ada, bob):
            it.put(member, CastVote(T1, "3"))
        it.put(ada, RevealVotes(T1))
        await settled()
        assert [len(member.pushes) for member in (ada, bob)] == [1, 1]


async def test_who_leaves_is_forgotten_and_the_others_hear_of_it(autojump_clock: MockClock) -> None:
    ada, bob = FakeMember("Ada"), FakeMember("Bob")
    async with opened() as it:
        it.seat(ada, bob)
        await settled()
        bob.hang_up()
        await settled()
        assert it.room.member_count == 1
        assert "Bob has left" in ada.frames[-1].data["message"]
        assert not it.room.ended


async def test_a_seat_that_is_not_announced_is_given_up(autojump_clock: MockClock) -> None:
    ada, bob = FakeMember("Ada"), FakeMember("Bob")
    async with opened() as it:
        it.seat(ada)
        it.seat(bob, announced=False)
        await trio.sleep(9.9)
        assert bob.closes == []
        await trio.sleep(0.2)
        assert [code for code, _, _ in bob.closes] == [CloseCode.NORMAL]
        assert bob.frames[-1].text.startswith("! You did not join")
        await settled()
        assert it.room.member_count == 1
        await trio.sleep(20)
        assert ada.closes == []


async def test_an_admin_that_is_not_announced_in_time_ends_the_room(
    autojump_clock: MockClock,
) -> None:
    ada = FakeMember("Ada")
    async with opened() as it:
        it.seat(ada, announced=False)
        await it.gone()
        assert trio.current_time() == 10


async def test_a_room_that_is_full_turns_away(autojump_clock: MockClock) -> None:
    ada, bob, eve = FakeMember("Ada"), FakeMember("Bob"), FakeMember("Eve")
    async with opened(capacity=2) as it:
        it.seat(ada, bob)
        it.seat(eve, announced=False)
        await settled()
        assert [code for code, _, _ in eve.closes] == [CloseCode.NORMAL]
        assert "full" in eve.frames[-1].text
        assert it.room.member_count == 2


async def test_effects_for_somebody_who_has_gone_do_nothing(autojump_clock: MockClock) -> None:
    ada = FakeMember("Ada")
    nobody = MemberId("nobody")
    rules = Scripted(
        Subscribe(nobody),
        Disconnect(nobody, CloseCode.NORMAL, Problem(ErrorCode.ROOM_FULL)),
        ClearTimer(nobody),
        Tell(nobody, MemberLeft("x")),
        TellOthers(nobody, MemberLeft("y")),
        SetTimer(nobody, 1000),
    )
    async with opened(rules) as it:
        it.seat(ada, announced=False)
        await settled()
        assert ada.pushes == []
        assert not it.room.ended


async def test_a_burst_is_applied_in_turns_between_which_others_have_theirs(
    autojump_clock: MockClock,
) -> None:
    rules = Scripted()
    ada = FakeMember("Ada")
    seen: list[int] = []
    async with opened(rules) as it:
        it.seat(ada, announced=False)
        await settled()

        async def look() -> None:
            while len(rules.commands) < 1001:
                seen.append(len(rules.commands))
                await trio.lowlevel.checkpoint()

        for _ in range(1000):
            it.room.inbox.put(ada.id, CastVote(T1, "5"))
        it.room.inbox.settle()
        it.nursery.start_soon(look)
        await settled()
        steps = [after - before for before, after in pairwise([*sorted(set(seen)), 1001])]
        assert max(steps) <= 2 * 256  # two turns may lie between two looks, as Trio shuffles


class Talkative(Scripted):
    """Rules that answer each command with a lot."""

    def apply(self, command: Command, member: MemberId, now: float) -> list[Effect[TicketResult]]:
        super().apply(command, member, now)
        return [Tell(member, MemberLeft("x" * 1000))]


async def test_what_is_much_to_send_goes_out_in_between(autojump_clock: MockClock) -> None:
    ada = FakeMember("Ada")
    async with opened(Talkative()) as it:
        it.seat(ada, announced=False)
        await settled()
        ada.pushes.clear()
        for _ in range(200):
            it.room.inbox.put(ada.id, CastVote(T1, "5"))
        it.room.inbox.settle()
        await settled()
        sizes = [len(frames) for frames, _ in ada.pushes]
        assert sum(count for _, count in ada.pushes) == 200
        assert max(sizes) < 64 * 1024 + 2000
        assert len(sizes) == 4


async def test_who_was_turned_away_is_not_counted_as_a_member(autojump_clock: MockClock) -> None:
    with capture_logs() as logs:
        async with opened(capacity=2) as it:
            it.seat(FakeMember("Ada"), FakeMember("Bob"))
            it.seat(FakeMember("Eve"), FakeMember("Kim"), announced=False)
            await settled()
            it.room.end("over")
            await it.gone()
    [closed] = [entry for entry in logs if entry["event"] == "closed"]
    assert closed["most_members"] == 2


# --- ending ---------------------------------------------------------------------------------


async def test_the_rules_may_end_a_room(autojump_clock: MockClock) -> None:
    ada = FakeMember("Ada")
    async with opened(Scripted(End("it is late"))) as it:
        it.seat(ada, announced=False)
        await it.gone()
        [(code, reason, last)] = ada.closes
        assert (code, reason) == (CloseCode.GOING_AWAY, "it is late")
        assert b"it is late" in last


@pytest.mark.parametrize("how", ["leave", "crash", "scope"])
async def test_the_end_of_the_admin_is_the_end_of_the_room(
    how: str, autojump_clock: MockClock
) -> None:
    ada, bob, eve = FakeMember("Ada"), FakeMember("Bob"), FakeMember("Eve")
    async with opened() as it:
        it.seat(ada, bob, eve)
        await settled()
        if how == "scope":
            ada.scope.cancel()
        else:
            ada.hang_up()
        await it.gone()

        for member in (bob, eve):
            [(code, reason, last)] = member.closes
            assert code == CloseCode.GOING_AWAY
            assert "admin" in reason
            [frame], left = split(last)
            assert (frame.kind, left) == ("ROOM_JOIN_UPDATES", b"")
            assert not member.running
        assert ada.closes == []


async def test_the_end_of_the_owner_takes_the_id_in_the_same_step(
    autojump_clock: MockClock,
) -> None:
    found: list[bool] = []

    class Dying(FakeMember):
        async def run(self) -> None:
            try:
                await super().run()
            finally:
                found.append(bool(it.forgotten))

    ada = Dying("Ada")
    async with opened() as it:
        it.seat(ada, FakeMember("Bob"))
        await settled()
        ada.hang_up()
        await until(lambda: bool(found))
        # The member's own step was not over yet when it looked; this one comes after it.
        assert found == [False]
        assert it.forgotten == [ROOM]
        await it.gone()


@pytest.mark.parametrize("seated", [True, False])
async def test_an_admin_whose_connection_ends_before_it_has_entered_leaves_no_room_behind(
    seated: bool, autojump_clock: MockClock
) -> None:
    ada = FakeMember("Ada")
    async with opened() as it:
        if seated:
            it.seat(ada)  # which the room has not read yet
        else:
            assert it.room.admit(ada)
        ada.hang_up()
        await it.gone()
        assert trio.current_time() == 0


async def test_the_admin_is_who_enters_first_not_who_is_admitted_first(
    autojump_clock: MockClock,
) -> None:
    early, ada, bob = FakeMember("early"), FakeMember("Ada"), FakeMember("Bob")
    async with opened() as it:
        assert it.room.admit(early)
        it.seat(ada, bob)
        await settled()
        early.hang_up()
        await settled()
        assert not it.room.ended
        assert "CREATE_ROOM" in ada.kinds
        ada.hang_up()
        await it.gone()
        assert "admin" in bob.closes[0][1]


async def test_a_defect_outside_of_serving_is_counted_too(autojump_clock: MockClock) -> None:
    class Speechless(EstimateX):
        def encode(self, event: Event) -> bytes | None:
            if isinstance(event, RoomClosed):
                raise ZeroDivisionError
            return super().encode(event)

    ada = FakeMember("Ada", dialect=Speechless())
    with capture_logs() as logs:
        async with opened() as it:
            it.seat(ada)
            await settled()
            it.room.end("over")
            await it.gone()
            assert it.counters.rooms_crashed == 1
    assert len([entry for entry in logs if entry["log_level"] == "error"]) == 1


async def test_the_order_of_a_room_s_end_is_fixed(autojump_clock: MockClock) -> None:
    """The id is gone synchronously, then results, then the goodbyes, with nothing between."""
    log: list[str] = []

    class Logging(FakeMember):
        def close(self, code: int, reason: str, last: bytes = b"") -> None:
            log.append(f"goodbye {self.name}")
            super().close(code, reason, last)

    ada, bob, eve = FakeMember("Ada"), Logging("Bob"), Logging("Eve")
    async with opened() as it:
        it.log.append("")
        it.recorder.log = log
        it.seat(ada, bob, eve)
        await settled()

        it.room.end("over")
        assert it.forgotten == [ROOM]
        assert it.room.ended
        assert log == []
        it.room.end("again")
        await it.gone()
        assert log == ["close", "goodbye Bob", "goodbye Eve"]
        assert [reason for _, reason, _ in bob.closes] == ["over"]


async def test_ending_twice_ends_once(autojump_clock: MockClock) -> None:
    async with opened() as it:
        it.room.end("one")
        it.room.end("two", CloseCode.INTERNAL)
        await it.gone()
        it.room.end("three")
        assert it.log == ["forget", "close"]


async def test_what_was_said_in_the_last_turn_is_sent_before_the_goodbye(
    autojump_clock: MockClock,
) -> None:
    ada, bob = FakeMember("Ada"), FakeMember("Bob")
    async with opened() as it:
        it.seat(ada, bob)
        await settled()
        before = len(bob.frames)
        it.put(ada, BeginVoting(T1))
        it.put(bob, CastVote(T1, "5"))
        it.room.end("over")
        await it.gone()
        assert bob.kinds[before:] == ["ASK_FOR_VOTE", "* Bob has voted on ticket T-1"]
        assert len(bob.closes) == 1


@pytest.mark.parametrize("silent", [1, 10, 300])
async def test_members_that_do_not_answer_are_waited_for_once_together(
    autojump_clock: MockClock, silent: int
) -> None:
    ada = FakeMember("Ada")
    mute = [FakeMember(f"mute {n}", answers=False) for n in range(silent)]
    polite = [FakeMember(f"polite {n}") for n in range(10)]
    async with opened(limits=Limits(close_seconds=2)) as it:
        it.seat(ada, *mute, *polite)
        await settled()
        start = trio.current_time()
        it.room.end("over")
        await it.gone()

        assert trio.current_time() - start == pytest.approx(2)
        assert all(len(member.closes) == 1 for member in (ada, *mute, *polite))


async def test_members_that_answer_are_waited_for_no_longer(autojump_clock: MockClock) -> None:
    async with opened() as it:
        it.seat(*(FakeMember(str(n)) for n in range(500)))
        await settled()
        it.room.end("over")
        await it.gone()
        assert trio.current_time() == 0


async def test_a_full_room_says_a_reveal_to_everybody_in_the_same_bytes(
    autojump_clock: MockClock,
) -> None:
    members = [FakeMember(str(n)) for n in range(500)]
    admin, *others = members
    async with opened() as it:
        it.seat(*members)
        await settled()
        it.put(admin, BeginVoting(T1))
        for member in members:
            it.put(member, CastVote(T1, "8"))
        await settled()
        it.put(admin, RevealVotes(T1))
        await settled()
        assert len({member.frames[-1].payload for member in others}) == 1
        assert len({id(member.pushes[-1][0]) for member in others}) == 1
        assert it.room.member_count == 500


async def test_an_ended_room_admits_nobody(autojump_clock: MockClock) -> None:
    async with opened() as it:
        it.room.end("over")
        assert not it.room.admit(FakeMember("late"))
        assert it.room.member_count == 0
        await it.gone()
        assert not it.room.admit(FakeMember("later"))


async def test_who_is_admitted_in_the_moment_before_the_end_is_parted_from_too(
    autojump_clock: MockClock,
) -> None:
    late = FakeMember("late")
    async with opened() as it:
        it.seat(FakeMember("Ada"))
        await settled()
        assert it.room.admit(late)
        it.room.end("over")
        await it.gone()
        assert len(late.closes) == 1
        assert not late.running


async def test_a_defect_in_the_rules_closes_the_room_with_1011_and_is_logged_once(
    autojump_clock: MockClock,
) -> None:
    ada, bob = FakeMember("Ada"), FakeMember("Bob")
    with capture_logs() as logs:
        async with opened(Crashing()) as it:
            it.seat(ada, bob)
            await it.gone()
            for member in (ada, bob):
                [(code, reason, _)] = member.closes
                assert (code, reason) == (CloseCode.INTERNAL, "internal error")
            assert it.counters.rooms_crashed == 1

    [error] = [entry for entry in logs if entry["log_level"] == "error"]
    assert isinstance(error["exc_info"], ZeroDivisionError)
    assert (error["component"], error["room"]) == ("room", ROOM)


async def test_its_scope_may_be_cancelled_from_outside(autojump_clock: MockClock) -> None:
    ada = FakeMember("Ada")
    async with opened() as it:
        it.seat(ada)
        await settled()
        it.room.scope.cancel()
        await it.gone()
        assert [code for code, _, _ in ada.closes] == [CloseCode.GOING_AWAY]


async def test_cancelled_together_with_everything_it_says_goodbye_without_waiting(
    autojump_clock: MockClock,
) -> None:
    ada, bob = FakeMember("Ada", answers=False), FakeMember("Bob", answers=False)
    async with opened() as it:
        it.seat(ada, bob)
        await settled()
        it.nursery.cancel_scope.cancel()
    assert [len(member.closes) for member in (ada, bob)] in ([1, 1], [0, 1], [1, 0], [0, 0])
    assert trio.current_time() == 0
    assert it.log == ["forget", "close"]


async def test_the_end_is_logged_with_what_there_was_to_say(autojump_clock: MockClock) -> None:
    ada, bob = FakeMember("Ada"), FakeMember("Bob")
    with capture_logs() as logs:
        async with opened() as it:
            it.seat(ada, bob)
            it.put(ada, BeginVoting(T1))
            it.put(bob, CastVote(T1, "5"))
            it.put(ada, RevealVotes(T1))
            await settled()
            bob.hang_up()
            await settled()
            it.room.end("it is late")
            await it.gone()

    events = {entry["event"]: entry for entry in logs if entry["component"] == "room"}
    assert events["opened"]["room"] == ROOM
    assert events["closed"]["why"] == "it is late"
    assert (events["closed"]["most_members"], events["closed"]["records"]) == (2, 1)


async def test_a_flooded_room_that_has_ended_frees_those_who_wait_for_space(
    autojump_clock: MockClock,
) -> None:
    """Else their answer to the close frame would not be read before the deadline."""

    class Waiting(FakeMember):
        inbox: Inbox

        async def run(self) -> None:
            await super().run()
            await self.inbox.wait_for_space()

    ada, bob = FakeMember("Ada"), Waiting("Bob", answers=False)
    async with opened(limits=Limits(inbox_commands=5)) as it:
        bob.inbox = it.room.inbox
        it.seat(ada, bob)
        await settled()
        it.room.end("over")
        await settled()
        for _ in range(20):
            it.put(bob, CastVote(T1, "5"))
        bob.hang_up()
        await it.gone()
        assert trio.current_time() == 0


async def test_nothing_keeps_a_room_that_has_ended_alive(autojump_clock: MockClock) -> None:
    gc.collect()
    references: list[weakref.ref[object]] = []

    async def live() -> None:
        members = [FakeMember(str(n)) for n in range(20)]
        async with opened() as it:
            it.seat(*members)
            await settled()
            it.put(members[0], BeginVoting(T1))
            await settled()
            members[0].hang_up()
            await it.gone()
            references.extend(weakref.ref(each) for each in (it.room, *members))

    await live()
    # Trio remembers the tasks of its last batch.
    for _ in range(3):
        await trio.lowlevel.checkpoint()
    gc.collect()
    assert [reference() for reference in references] == [None] * 21


@pytest.mark.parametrize("what", ["nursery", "scope", "admin"])
def test_cancelled_at_any_step_a_room_leaves_nothing(what: str) -> None:
    async def scenario(cutter: Cutter) -> None:
        ada, bob, eve = FakeMember("Ada"), FakeMember("Bob"), FakeMember("Eve", answers=False)
        scope: Callable[[Open], trio.CancelScope] = {
            "nursery": lambda it: it.nursery.cancel_scope,
            "scope": lambda it: it.room.scope,
            "admin": lambda it: ada.scope,
        }[what]
        async with opened(limits=Limits(close_seconds=1, announce_seconds=3)) as it:
            cutter.arm(scope(it))
            with trio.CancelScope(shield=True):
                for member in (ada, bob, eve):
                    if it.room.admit(member):
                        it.put(member, Enter(member.name))
                        await trio.lowlevel.checkpoint()
                        if member is not eve:
                            it.put(member, Announce(ROOM))
                        await trio.lowlevel.checkpoint()
                it.put(ada, BeginVoting(T1))
                await trio.lowlevel.checkpoint()
                it.put(bob, CastVote(T1, "3"))
                await settled()
                bob.hang_up()
                await trio.sleep(4)
                it.room.end("over")
                await it.gone()
            for member in (ada, bob, eve):
                assert not member.running
            cutter.disarm()

    sweep(scenario, least=20)


async def test_leaving_is_a_command_like_others(autojump_clock: MockClock) -> None:
    rules = Scripted()
    ada, bob = FakeMember("Ada"), FakeMember("Bob")
    async with opened(rules) as it:
        it.seat(ada, bob, announced=False)
        await settled()
        bob.hang_up()
        await settled()
        assert rules.commands[-1] == (bob.id, Leave())
