"""One room: its task, its inbox, the nursery that owns its members, and its end."""

import time
from collections.abc import Callable
from typing import Final, Generic, Protocol, TypeVar

import trio

from protocol.dialects.base import Dialect
from protocol.effects import (
    ClearTimer,
    Disconnect,
    Effect,
    End,
    Own,
    Record,
    SetTimer,
    Sleep,
    Subscribe,
    Tell,
    TellAll,
    TellOthers,
)
from protocol.errors import CloseCode
from protocol.ids import MemberId, RoomId
from protocol.limits import KIB
from protocol.messages import Command, Leave, RoomClosed, TimeUp
from server.rooms.fanout import Fanout, Member
from server.rooms.inbox import Inbox
from server.rooms.timers import Timers
from server.support.bucket import TokenBucket
from server.support.counters import Counters
from server.support.limits import Limits
from server.support.observe import get_logger
from server.support.supervise import contain

_LEAVE: Final = Leave()
_TIME_UP: Final = TimeUp()


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
        self._fanout = Fanout()
        self._portion = limits.outbox_bytes * _PORTION
        self._pace = TokenBucket(limits.room_rate, self._portion, trio.current_time())
        self._owner: Own | None = None
        self._reason: str | None = None  # why it ended
        self._code = CloseCode.GOING_AWAY
        self._most_members = 0
        self._records = 0

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
                    task_status.started()
                    try:
                        with serving, self.scope:
                            await self._serve()
                    finally:
                        if serving.failed:
                            self.end("internal error", CloseCode.INTERNAL)
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

    def end(self, reason: str, code: CloseCode = CloseCode.GOING_AWAY) -> None:
        """End the room: the id is gone at once, the rest follows in its task. Idempotent."""
        if self._reason is None:
            self._reason = reason
            self._code = code
            self._forget(self.id)
            self.scope.cancel()

    async def _attend(self, member: Member) -> None:
        try:
            await member.run()
        finally:
            self._leave(member)

    def _leave(self, member: Member) -> None:
        """Take note, without a checkpoint, that a connection has ended."""
        del self._members[member.id]
        self._fanout.remove(member)
        self._counters.members_current -= 1
        if self._owner is not None and member.id == self._owner.member:
            self.end(self._owner.reason)
        else:
            self.inbox.put(member.id, _LEAVE)
            self.inbox.settle()

    def _ring(self, member: MemberId) -> None:
        self.inbox.put(member, _TIME_UP)
        self.inbox.settle()

    async def _serve(self) -> None:
        """Apply whatever comes, and flush once per turn; runs until cancelled."""
        apply = self._rules.apply
        fanout, portion = self._fanout, self._portion
        while True:
            batch = await self.inbox.take(_TURN_COMMANDS)
            now = self._clock()
            for member, command in batch:
                for effect in apply(command, member, now):
                    self._carry_out(effect)
                if fanout.told >= portion:
                    await self._rest()
                    now = self._clock()
                elif fanout.collected >= _FLUSH_BYTES:
                    fanout.flush()
                    await trio.lowlevel.checkpoint()
            fanout.flush()

    async def _rest(self) -> None:
        """Say what there is, and then nothing until whoever reads in time has taken it.

        Nobody is waited for, only the clock: a member that reads nothing holds up nobody, and
        one that keeps up with the room's rate is never punished for what the others say. What
        comes meanwhile waits in the inbox, and then in the sockets of those who send so much.
        """
        self._fanout.flush()
        owed = self._pace.owe(self._fanout.told, trio.current_time())
        self._fanout.told = 0
        await trio.sleep(owed)

    def _carry_out(self, effect: Effect[Recorded]) -> None:
        match effect:
            case TellAll(event):
                self._fanout.tell_all(event)
            case Tell(member, event):
                if member in self._members:
                    self._fanout.tell(self._members[member], event)
            case TellOthers(member, event):
                if member in self._members:
                    self._fanout.tell_others(self._members[member], event)
                else:
                    self._fanout.tell_all(event)
            case Subscribe(member):
                if member in self._members:
                    self._fanout.attend(self._members[member])
                    self._most_members = max(self._most_members, self._fanout.audience)
            case Disconnect(member, code, problem):
                if member in self._members:
                    leaver = self._members[member]
                    self._fanout.flush_one(leaver)
                    leaver.close(code, leaver.dialect.word(problem))
            case Own(member, reason):
                self._owner = effect
                if member not in self._members:  # its connection has not lived to see this
                    self.end(reason)
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
            case End(reason):
                self.end(reason)

    def _part(self) -> None:
        """Hand in what is left and say goodbye to everybody, all without a checkpoint."""
        self.end("cancelled")  # if nobody else did, its scope was cancelled from outside
        self.inbox.close()  # frees whoever waits for space: answers are still to be read
        self._timers.stop()
        self._recorder.close(self.id, time.time())
        self._fanout.flush()
        last: dict[Dialect, bytes] = {}
        reason = self._reason or ""
        for member in list(self._members.values()):
            dialect = member.dialect
            if dialect not in last:
                last[dialect] = dialect.encode(RoomClosed(reason)) or b""
            member.close(self._code, reason, last[dialect])
