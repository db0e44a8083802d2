"""What a room says that has members who come back: remembered for them, and held back if it must.

It stands before the fan-out and has its shape. Two rules:

- A change that turns the page for everybody is said only once it is on record, with all that was
  done before it, or after :data:`HOLD_SECONDS`; what follows waits behind it, so that numbers stay
  in order. Only answers go past it, and never before a welcome.
- How far the record has come is said along with whatever is said anyway, and otherwise after
  :data:`SAVED_SECONDS`.
"""

from collections.abc import Awaitable, Callable
from typing import Final, Protocol, get_args

import trio

from protocol.changes import PAGE_TURNING, Ack, Change, Failure, Saved
from protocol.chat_changes import NUMBERED_CHAT
from protocol.dialects.base import Dialect
from protocol.greeting import Resumed
from protocol.ids import MemberId
from protocol.messages import Event, Refusal, VoteRequested, VotesRevealed
from server.rooms.fanout import Fanout, Member
from server.rooms.member import LastingMember
from server.rooms.ring import Ring

HOLD_SECONDS: Final = 0.25
SAVED_SECONDS: Final = 1.0

_NUMBERED: Final = frozenset((*get_args(Change), *NUMBERED_CHAT))
_TURNING: Final = frozenset({*PAGE_TURNING, VoteRequested, VotesRevealed})
"""With what members who end with their connections are told of the same."""
_ANSWERS: Final = (Ack, Failure, Refusal)


class Durable(Protocol):
    """What is needed of whoever knows how much of a room is on record."""

    on_saved: Callable[[int], None] | None
    """Is told whenever more has come on record: up to which number."""

    @property
    def saved(self) -> int:
        """The number of the last change that outlives the server."""

    async def flushed(self) -> None:
        """Wait until all that was added before is on record, or will never be."""


class Speech:
    """A fan-out for a room that has, or had, members who outlive their connections."""

    def __init__(
        self,
        fanout: Fanout,
        dialect: Dialect,
        *,
        seq: int,
        record: Durable | None,
        spawn: Callable[[Callable[[], Awaitable[object]]], None],
    ) -> None:
        """Say everything by way of ``fanout`` from now on.

        Args:
            fanout: what the room has spoken by before.
            dialect: of the members who come back.
            seq: the number of the last change.
            record: knows how much of it is on record, if anything ever is.
            spawn: starts a task in the room's nursery.
        """
        self._fanout = fanout
        self._dialect = dialect
        self._record = record
        self._spawn = spawn
        self._ring = Ring(seq)
        self._held = False
        self._turned = 0  # pages, ever
        self._stopped = False
        self._ungreeted: set[MemberId] = set()  # whose welcome is held back
        self._told_saved = 0
        self._waiting: trio.CancelScope | None = None
        self._reminding: trio.CancelScope | None = None

    # --- as the fan-out ---------------------------------------------------------------------

    @property
    def audience(self) -> int:
        """The number of members who hear what all are told, those who are away included."""
        return self._fanout.audience

    @property
    def collected(self) -> int:
        """Bytes encoded since the last flush; none as long as nothing may be flushed."""
        return 0 if self._held else self._fanout.collected

    @property
    def told(self) -> int:
        """Bytes that the whole audience was told; whoever reckons with them sets this back."""
        return self._fanout.told

    @told.setter
    def told(self, value: int) -> None:
        self._fanout.told = value

    def attend(self, member: Member) -> None:
        """From now on ``member`` hears what all are told."""
        self._fanout.attend(member)

    def remove(self, member: Member) -> None:
        """Forget ``member`` and whatever it has not been sent yet."""
        self._fanout.remove(member)
        self._ungreeted.discard(member.id)

    def tell(self, member: Member, event: Event) -> None:
        """Say something to one member."""
        if self._held and isinstance(event, _ANSWERS) and member.id not in self._ungreeted:
            frame = member.dialect.encode(event)
            if frame is not None:
                member.push(frame, 1)
        else:
            self._fanout.tell(member, event)

    def tell_all(self, event: Event) -> None:
        """Say something to the whole audience, and remember it if it is a change."""
        if self._record is not None and type(event) in _TURNING:
            self._turned += 1
            self._hold()
        self._fanout.tell_all(event)
        if type(event) in _NUMBERED:
            frame = self._fanout.last(self._dialect)
            if frame is None:  # nobody hears it: nobody will miss it
                frame = self._dialect.encode(event) or b""
            self._ring.add(event.seq, frame)  # type: ignore[union-attr]

    def tell_others(self, member: Member, event: Event) -> None:
        """Say something to the whole audience but ``member``."""
        self._fanout.tell_others(member, event)

    def flush(self) -> None:
        """Send all that was said since the last time, unless it is held back."""
        if self._held:
            return
        if self._fanout.collected and self._record is not None:
            self._tell_saved(self._record.saved)
        self._fanout.flush()

    def flush_one(self, member: Member) -> None:
        """Send ``member`` what it has not been sent yet, unless that is held back."""
        if not self._held:
            self._fanout.flush_one(member)

    # --- beyond it --------------------------------------------------------------------------

    def greet(self, member: LastingMember, seq: int | None, snapshot: Callable[[], Event]) -> None:
        """Say what a member needs first: the welcome, and what it has missed or the whole.

        Args:
            member: the member, who has a connection.
            seq: the number of the last change that it knows; ``None`` if it knows none.
            snapshot: gives the whole.
        """
        missed = None if seq is None else self._ring.since(seq)
        if missed is None:
            missed = member.dialect.encode(snapshot()) or b""
            resumed = Resumed.SNAPSHOT if member.greeted else Resumed.NO
        else:
            resumed = Resumed.REPLAYED
        told = member.greet(resumed) + missed
        if self._record is not None:  # it may have missed the last time that all were told
            told += member.dialect.encode(Saved(self._record.saved)) or b""
        self._fanout.restart(member, told)
        if self._held:
            self._ungreeted.add(member.id)

    def note_saved(self, seq: int) -> None:
        """See to it that everybody learns of what has come on record, soon enough."""
        if self._reminding is None and not self._stopped:
            self._reminding = trio.CancelScope()
            self._spawn(self._remind)

    def stop(self) -> None:
        """Say what was held back, and end all tasks; none begins any more."""
        self._stopped = True
        self._release()
        for scope in (self._waiting, self._reminding):
            if scope is not None:
                scope.cancel()

    def _hold(self) -> None:
        if not self._held and not self._stopped:
            self.flush()  # what was said before need not wait
            self._held = True
            self._waiting = trio.CancelScope()
            self._spawn(self._wait)

    async def _wait(self) -> None:
        if self._record is None or self._waiting is None:
            return
        with self._waiting:
            with trio.move_on_after(HOLD_SECONDS):
                await trio.lowlevel.checkpoint()
                turned = 0
                while turned < self._turned:  # what was turned meanwhile must be on record, too
                    turned = self._turned
                    await self._record.flushed()
            self._release()

    def _release(self) -> None:
        self._held = False
        self._ungreeted.clear()
        self.flush()

    async def _remind(self) -> None:
        if self._record is None or self._reminding is None:
            return
        with self._reminding:
            await trio.sleep(SAVED_SECONDS)
            if not self._held:
                self._tell_saved(self._record.saved)
                self._fanout.flush()
        self._reminding = None

    def _tell_saved(self, saved: int) -> None:
        if saved > self._told_saved:
            self._told_saved = saved
            self._fanout.tell_all(Saved(saved))
