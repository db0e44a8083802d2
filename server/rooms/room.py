"""One room: its task, its inbox, the nursery that owns its members, and its end."""

import random
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, Generic, Protocol, TypeVar

import attrs
import trio

from protocol.dialects.base import Dialect
from protocol.effects import (
    Bar,
    ClearTimer,
    Disconnect,
    Effect,
    End,
    Greet,
    Own,
    Record,
    Release,
    SetTimer,
    Sleep,
    Subscribe,
    Tell,
    TellAll,
    TellOthers,
)
from protocol.errors import CloseCode, ErrorCode, Problem
from protocol.farewell import Ending, Farewell, Parting
from protocol.ids import MemberId, RoomId
from protocol.journal import LOGGED
from protocol.lasting import NOBODY, REACTIONS, Detach, Park, TellReactions
from protocol.limits import KIB
from protocol.messages import Command, Event, Leave, Refusal, TimeUp
from protocol.picture import Picture
from server.rooms.alarms import HOLD_SECONDS, Alarms
from server.rooms.fanout import Fanout, Member
from server.rooms.inbox import Inbox
from server.rooms.member import LastingMember, Link
from server.rooms.speech import Durable, Speech, Turning
from server.rooms.timers import Timers
from server.support.bucket import TokenBucket
from server.support.counters import Counters
from server.support.limits import Limits
from server.support.observe import get_logger
from server.support.supervise import contain

_LEAVE: Final = Leave()
_TIME_UP: Final = TimeUp()
_TELL_REACTIONS: Final = TellReactions()
_DETACH: Final = Detach()
_PARK: Final = Park()

_BACK_SECONDS: Final = (0.5, 3.0)
"""After which members of a parked room are asked to come back: not all at once."""


_PORTION: Final = 1 / 16
"""The part of an outbox that a room says before it looks at its rate, and may say at once."""

_TURN_COMMANDS: Final = 256
"""Applied in one turn; then the others of this process have theirs."""

_FLUSH_BYTES: Final = 64 * KIB
"""Collected for members; then they are sent it, and what their sockets do not take at once can
go out, before more is said."""

Recorded = TypeVar("Recorded")
"""What rooms of one kind give to be kept."""

Given = TypeVar("Given", contravariant=True)

OnEnd = Callable[[], None] | None
"""Called when a member is gone for good."""


class Rules(Protocol[Recorded]):
    """What a room needs of the rules of its kind."""

    def apply(self, command: Command, member: MemberId, now: float) -> list[Effect[Recorded]]:
        """Say what a command has for effects; ``now`` is by the room's clock, in seconds."""


class Recorder(Protocol[Given]):
    """What a room needs of whoever keeps and counts what it gives; never waits, never raises."""

    def record(self, room_id: RoomId, record: Given) -> None:
        """Keep what the rules of this kind of room record."""

    def close(self, room_id: RoomId, at: float) -> None:
        """The room has ended at this Unix time, and gives nothing any more."""


class Journal(Turning, Protocol):
    """The log of a room that outlives its process."""

    def add(self, at: float, member: MemberId, command: Command, seq: int) -> None:
        """Keep a command that has just been applied at this Unix time; never waits.

        Commands that cannot change the room need not be given. ``seq`` is the number of the last
        change since.
        """

    async def flushed(self) -> None:
        """Wait until all that was added before is on record, or will never be."""

    def park(self) -> None:
        """The room ends in this process, and goes on in another one."""


class Doorway(Protocol):
    """What whoever lets people in needs to know of the rules."""

    @property
    def seal(self) -> str | None:
        """By which the room's passcode is recognised; ``None`` if it has none."""

    def removed_by(self, member: MemberId) -> str | None:
        """Say who has put somebody out, as far as it is remembered; ``None`` if nobody has."""


@attrs.frozen(kw_only=True)
class Lasting:
    """What a room needs so that members can outlive their connections."""

    session_id: int
    """Of this room's life, unlike its id never the same for two."""
    epoch: str
    """Of its history in this process."""
    results: str | None = None
    """The path of its results."""
    snapshot_for: Callable[[MemberId], Event]
    """Shows the room as one member may see it."""
    seq: Callable[[], int]
    """The number of the last change."""
    picture: Callable[[], Picture] | None = None
    """Shows the room as everybody may see it, if it is one for estimation."""
    login_of: Callable[[MemberId], tuple[int, str] | None] | None = None
    """Says whose account a member is of and by what it was signed in, also before a restart."""
    door: Doorway | None = None
    """Who may come in, if it is a room for estimation."""
    journal: Journal | None = None
    """Its log, if it is to outlive the process."""
    record: Durable | None = None
    """Tells how much of it outlives the process; by itself, its log."""
    alarms: Alarms | None = None
    """Run by somebody else; needed where something outlives the process."""
    digest: Callable[[], Event] | None = None
    """For diagnosis, said after each command: what the server's picture is."""
    absent: Sequence[MemberId] = ()
    """Who had a seat in the room before it was brought back from its log."""
    dialect: Dialect | None = None
    """Theirs."""
    opening: Sequence[SetTimer | Own] = ()
    """What the rules ask for at the opening, before anybody has said anything."""


class Room(Generic[Recorded]):
    """A room, from its opening to the moment at which nothing of it is left.

    :meth:`run` is its task. Only that task calls the rules and writes to members; everything
    else reaches the room through :attr:`inbox`.
    """

    def __init__(
        self,
        room_id: RoomId,
        rules: Rules[Recorded],
        *,
        limits: Limits,
        recorder: Recorder[Recorded],
        counters: Counters,
        forget: Callable[[RoomId], None],
        clock: Callable[[], float] = trio.current_time,
        lasting: Lasting | None = None,
    ) -> None:
        """Prepare a room; it opens when :meth:`run` starts.

        Args:
            room_id: the room's id, for logs and records.
            rules: the state machine that decides everything.
            limits: the bounds of the inbox and of the goodbye.
            recorder: the keeper of what the rules record.
            counters: the server's counters, which are kept up to date.
            forget: the function that takes the id from whoever knows it; called exactly once,
                synchronously, when the room ends.
            clock: the time in seconds that the rules are given.
            lasting: for members that outlive their connections; without it, there are none.
        """
        self.id = room_id
        self.inbox = Inbox(limits.inbox_commands)
        self.scope = trio.CancelScope()
        """Cancelling it ends the room like :meth:`end`."""
        self._rules = rules
        self._limits = limits
        self._recorder = recorder
        self._counters = counters
        self._forget = forget
        self._clock = clock
        self._members: dict[MemberId, Member] = {}
        self._barred: set[str] = set()  # sources
        self.lasting = lasting
        self._journal = lasting.journal if lasting is not None else None
        self._record = lasting.record or lasting.journal if lasting is not None else None
        self._speech: Fanout | Speech = Fanout()
        self._portion = limits.outbox_bytes * _PORTION
        self._pace = TokenBucket(limits.room_rate, self._portion, trio.current_time())
        self._owner: Own | None = None
        self._reason: str | None = None  # why it ended
        self._code = CloseCode.GOING_AWAY
        self._ending = Ending.ROOM_ENDED
        self._parked = False
        self._last_words: str | None = None  # why it is about to end
        self._most_members = 0
        self._records = 0
        self._applied: Command | None = None  # the last

    @property
    def ended(self) -> bool:
        """Whether nobody is admitted any more."""
        return self._reason is not None

    @property
    def member_count(self) -> int:
        """The number of connections that the room owns, those in their handshake included."""
        return len(self._members)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until the room ends; then part from the members, and own nothing.

        Owns the nursery in which all connections of the room live. Returns when the last of
        them has ended, which is bounded by ``limits.close_seconds``. Cancelled from outside,
        it parts from the members too, but without waiting for their answer. A defect is logged,
        counted and ends here.
        """
        log = get_logger("room")
        opened = trio.current_time()
        self._counters.rooms_opened += 1
        self._counters.rooms_current += 1
        # Two, as whoever is in the room is told of what fails in serving it.
        serving, living = contain("room", room=self.id), contain("room", room=self.id)
        try:
            with living:
                async with trio.open_nursery() as nursery:
                    self._nursery = nursery
                    self._timers = Timers(nursery, self._ring)
                    log.info("opened", room=self.id)
                    if self.lasting is not None:
                        self._bring_back(self.lasting)
                    task_status.started()
                    del task_status  # it holds on to whoever has opened the room
                    try:
                        with serving, self.scope:
                            await self._serve()
                    finally:
                        if serving.failed:
                            self.end("internal error", CloseCode.INTERNAL, Ending.FAULT)
                        self._part()
                        grace = self._limits.close_seconds
                        nursery.cancel_scope.deadline = trio.current_time() + grace
        finally:
            self.end("it could not be opened")  # if it has been open, it has a reason already
            self.inbox.close()
            self._counters.rooms_crashed += serving.failed or living.failed
            self._counters.rooms_current -= 1
            self._counters.rooms_closed += 1
            log.info(
                "closed",
                room=self.id,
                why=self._reason,
                most_members=self._most_members,
                records=self._records,
                seconds=round(trio.current_time() - opened, 3),
            )

    def admit(self, member: Member) -> bool:
        """Make the room own a connection.

        Synchronous: between looking the room up and this there must be no checkpoint.

        Returns:
            False if the room has ended; then the connection is still the caller's.
        """
        if self.ended:
            return False
        self._members[member.id] = member
        self._counters.members_current += 1
        self._nursery.start_soon(self._attend, member, name=f"member of room {self.id}")
        return True

    def join(
        self,
        member_id: MemberId,
        dialect: Dialect,
        link: Link,
        on_end: OnEnd,
        *,
        greeted: bool = False,
    ) -> bool:
        """Make the room own a member that outlives its connections, and its first one.

        Synchronous, as :meth:`admit`.

        Args:
            member_id: an identity that is unique over all rooms and times.
            dialect: how it speaks.
            link: its connection.
            on_end: called when the member is gone for good.
            greeted: whether it has been a member before, and knows something of the room.

        Returns:
            False if the room has ended, or such a member has yet to go; then the connection is
            still the caller's.
        """
        if self.ended or member_id in self._members:
            return False
        member = self._make(member_id, dialect, on_end)
        member.greeted = greeted
        member.attach(link)
        return self.admit(member)

    def bars(self, source: str) -> bool:
        """Tell whether nobody new may come from this source; nobody knows after a restart."""
        return source in self._barred

    def has_member(self, member_id: MemberId) -> bool:
        """Tell whether somebody is a member, with a connection or without."""
        return member_id in self._members

    def resume(self, member_id: MemberId, link: Link) -> bool:
        """Give a member that outlives its connections another one; synchronous.

        Returns:
            False if the room has ended, or there is no such member or it has been parted from; then
            the connection is still the caller's.
        """
        member = self._members.get(member_id)
        if self.ended or not isinstance(member, LastingMember) or member.over:
            return False
        member.attach(link)
        return True

    def on_end(self, member_id: MemberId, on_end: Callable[[], None]) -> None:
        """Have this called when a member is gone for good that was brought back from the log."""
        member = self._members.get(member_id)
        if isinstance(member, LastingMember):
            member.on_end = on_end

    def dismiss(self, member_id: MemberId, farewell: Farewell) -> None:
        """Part from a member for good, if it is here; the rules hear of it when it has gone."""
        member = self._members.get(member_id)
        if member is not None:
            parting = member.dialect.part(farewell)
            member.close(parting.code, parting.reason, parting.last)

    def _bring_back(self, lasting: Lasting) -> None:
        """Make tasks again for those who were here in another process, and are away."""
        for member_id in lasting.absent:
            if lasting.dialect is not None:
                member = self._make(member_id, lasting.dialect, None)
                member.greeted = True
                if self.admit(member):
                    self._speech.attend(member)
        for effect in lasting.opening:
            self._carry_out(effect)

    def _make(self, member_id: MemberId, dialect: Dialect, on_end: OnEnd) -> LastingMember:
        if self.lasting is None:
            raise AssertionError("no member of this room can outlive its connection")
        if not isinstance(self._speech, Speech):
            seq = self.lasting.seq()
            self._speech = Speech(
                self._speech,
                dialect,
                seq=seq,
                record=self._record,
                journal=self._journal,
                alarms=self.lasting.alarms,
                wake=self.inbox.wake,
            )
        return LastingMember(member_id, dialect, room=self, on_end=on_end)

    def spawn(self, task: Callable[[], Awaitable[object]]) -> None:
        """Start a task in the room's nursery."""
        self._nursery.start_soon(task, name=f"room {self.id}")

    def detached(self, member_id: MemberId) -> None:
        """Take note, without a checkpoint, that a member has no connection any more."""
        self.inbox.put(member_id, _DETACH)
        self.inbox.settle()

    def end(
        self,
        reason: str,
        code: CloseCode = CloseCode.GOING_AWAY,
        ending: Ending = Ending.ROOM_ENDED,
    ) -> None:
        """End the room: the id is gone at once, the rest follows in its task. Idempotent."""
        if self._reason is None:
            self._reason = reason
            self._code = code
            self._ending = ending
            self._forget(self.id)
            self.scope.cancel()

    def leave_process(self, reason: str) -> None:
        """End the room here, for the server goes away; if it has a log, it goes on elsewhere."""
        if self._reason is None:
            self._parked = self._record is not None
        self.end(reason, ending=Ending.GOING_AWAY)

    async def _attend(self, member: Member) -> None:
        over = False
        try:
            await member.run()
            over = True
        finally:
            if not over and self._journal is not None:
                self.leave_process("cancelled")  # from outside; the owner's end is no end then
            self._leave(member)

    def _leave(self, member: Member) -> None:
        """Take note, without a checkpoint, that a connection has ended."""
        del self._members[member.id]
        self._speech.remove(member)
        self._counters.members_current -= 1
        if self._owner is not None and member.id == self._owner.member:
            self.end(self._owner.reason)
        else:
            self.inbox.put(member.id, _LEAVE)
            self.inbox.settle()

    def _ring(self, member: MemberId) -> None:
        self.inbox.put(member, _TELL_REACTIONS if member == REACTIONS else _TIME_UP)
        self.inbox.settle()

    async def _serve(self) -> None:
        """Apply whatever comes, and flush once per turn; runs until cancelled."""
        apply = self._rules.apply
        journal, portion = self._journal, self._portion
        digest = self.lasting.digest if self.lasting is not None else None
        seq = self.lasting.seq if self.lasting is not None else int
        while True:
            batch = await self.inbox.take(_TURN_COMMANDS)
            now = self._clock()
            for member, command in batch:
                self._applied = command
                effects = apply(command, member, now)
                if journal is not None and type(command) in LOGGED:
                    journal.add(now, member, command, seq())
                for effect in effects:
                    self._carry_out(effect)
                if digest is not None and isinstance(self._speech, Speech):
                    self._speech.tell_all(digest())
                speech = self._speech
                if speech.told >= portion:
                    await self._rest()
                    now = self._clock()
                elif speech.collected >= _FLUSH_BYTES:
                    speech.flush()
                    await trio.lowlevel.checkpoint()
            self._speech.flush()
            if self._last_words is not None:
                await self._conclude(self._last_words)

    async def _conclude(self, reason: str) -> None:
        """End once that is on record, so that nobody is told of an end that never was."""
        if self._journal is not None:
            with trio.move_on_after(HOLD_SECONDS):
                await self._journal.flushed()
        self.end(reason)

    async def _rest(self) -> None:
        """Say what there is, and then nothing until whoever reads in time has taken it.

        Nobody is waited for, only the clock: a member that reads nothing holds up nobody, and
        one that keeps up with the room's rate is never punished for what the others say. What
        comes meanwhile waits in the inbox, and then in the sockets of those who send so much.
        """
        self._speech.flush()
        owed = self._pace.owe(self._speech.told, trio.current_time())
        self._speech.told = 0
        await trio.sleep(owed)

    def _carry_out(self, effect: Effect[Recorded]) -> None:
        if isinstance(effect, TellAll):  # as a rule, and several times as fast as a match
            self._speech.tell_all(effect.event)
        elif isinstance(effect, Tell):
            told = self._members.get(effect.member)
            if told is not None:
                self._speech.tell(told, effect.event)
        else:
            self._carry_out_rarer(effect)

    def _carry_out_rarer(self, effect: Effect[Recorded]) -> None:
        match effect:
            case TellOthers(member, event):
                if member in self._members:
                    self._speech.tell_others(self._members[member], event)
                else:
                    self._speech.tell_all(event)
            case Subscribe(member):
                if member in self._members:
                    self._speech.attend(self._members[member])
                    self._most_members = max(self._most_members, self._speech.audience)
            case Disconnect(member, code, problem):
                if member in self._members:
                    leaver = self._members[member]
                    self._speech.flush_one(leaver)
                    parting = _farewell(leaver.dialect, code, problem)
                    last = parting.last
                    if isinstance(leaver, LastingMember) and not leaver.hears:
                        # Not welcomed, it has not been told what it is refused for.
                        last = (leaver.dialect.encode(Refusal(problem)) or b"") + last
                    leaver.close(parting.code, parting.reason, last)
            case Bar(member):
                if member in self._members:
                    source = self._members[member].source
                    if source is not None:  # of who has not been back since a restart none is known
                        self._barred.add(source)
            case Greet(member, seq):
                self._greet(member, seq)
            case Own(member, reason):
                self._owner = effect
                if member not in self._members:  # its connection has not lived to see this
                    self.end(reason)
            case Release():
                self._owner = None
            case SetTimer(member, seconds):
                self._timers.set(member, seconds)
            case ClearTimer(member):
                self._timers.clear(member)
            case Record(record):
                self._records += 1
                self._recorder.record(self.id, record)
            case Sleep():
                # A connection that has been admitted since will enter, or leave in its turn.
                if not self._members:
                    self.end("empty")
            case End(reason) if self._journal is not None:
                self._last_words = reason
            case End(reason):
                self.end(reason)

    def _greet(self, member_id: MemberId, seq: int | None) -> None:
        member = self._members.get(member_id)
        if self.lasting is None or not isinstance(member, LastingMember):
            return
        if not member.awaits(self._applied):
            return  # another connection has taken its place, and enters in its turn
        if isinstance(self._speech, Speech):
            self._speech.greet(member, seq, partial(self.lasting.snapshot_for, member_id))

    def _part(self) -> None:
        """Hand in what is left and say goodbye to everybody, all without a checkpoint."""
        self.leave_process("cancelled")  # if nobody ended it, it was cancelled from outside
        self.inbox.close()  # frees whoever waits for space: answers are still to be read
        self._timers.stop()
        if self._parked and self._journal is not None and self.lasting is not None:
            now = self._clock()
            self._rules.apply(_PARK, NOBODY, now)
            self._journal.add(now, NOBODY, _PARK, self.lasting.seq())
            self._journal.park()
        else:
            self._recorder.close(self.id, time.time())
        if isinstance(self._speech, Speech):
            self._speech.stop()
        self._speech.flush()
        last: dict[Dialect, Parting] = {}
        for member in list(self._members.values()):
            dialect = member.dialect
            # Each is asked back at a time of its own, else one goodbye does for all.
            if self._parked or dialect not in last:
                last[dialect] = dialect.part(self._goodbye())
            parting = last[dialect]
            member.close(parting.code, parting.reason, parting.last)

    def _goodbye(self) -> Farewell:
        return Farewell(
            ending=self._ending,
            code=self._code,
            reason=self._reason or "",
            back_in=random.uniform(*_BACK_SECONDS) if self._parked else None,  # noqa: S311 - a spread
            survives=self._parked,
        )


def _farewell(dialect: Dialect, code: CloseCode, problem: Problem) -> Parting:
    """Part from a member that the rules part from."""
    ending = _ENDINGS.get(problem.code, Ending.REFUSED)
    return dialect.part(Farewell(ending=ending, code=code, reason=dialect.word(problem)))


_ENDINGS: Final = {
    ErrorCode.LEFT: Ending.LEFT,
    ErrorCode.ROOM_FULL: Ending.ROOM_FULL,
    ErrorCode.TOO_MANY_SEATS: Ending.ROOM_FULL,
    ErrorCode.WRONG_KEY: Ending.WRONG_KEY,
    ErrorCode.STRUCK_OUT: Ending.STRUCK_OUT,
    ErrorCode.REMOVED: Ending.REMOVED,
    ErrorCode.BANNED: Ending.REMOVED,
    ErrorCode.LOCKED: Ending.LOCKED,
}
"""What the reasons for which the rules part from a member mean for its connection."""
