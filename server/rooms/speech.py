"""What a room says that has members who come back: remembered for them, and held back if it must.

It stands before the fan-out and has its shape. Two rules:

- A change that turns the page for everybody is said only once it is on record, with all that was
  done before it, or after :data:`HOLD_SECONDS`; what follows waits behind it, so that numbers stay
  in order. Only answers go past it, and never before a welcome.
- How far the record has come is said along with whatever is said anyway, and otherwise after
  :data:`SAVED_SECONDS`.
"""

from collections.abc import Callable
from typing import Final, Protocol, get_args

from protocol.changes import PAGE_TURNING, Ack, Change, Failure, Saved
from protocol.chat_changes import NUMBERED_CHAT
from protocol.dialects.base import Dialect
from protocol.greeting import Resumed
from protocol.ids import MemberId
from protocol.messages import Event, Refusal, VoteRequested, VotesRevealed
from server.rooms.alarms import Alarm, Alarms
from server.rooms.fanout import Fanout, Member
from server.rooms.member import LastingMember
from server.rooms.ring import Ring

_NUMBERED: Final = frozenset((*get_args(Change), *NUMBERED_CHAT))
_TURNING: Final = frozenset({*PAGE_TURNING, VoteRequested, VotesRevealed})
"""With what members who end with their connections are told of the same."""
_ANSWERS: Final = frozenset({Ack, Failure})


class Durable(Protocol):
    """What is needed of whoever knows how much of a room is on record."""

    on_saved: Callable[[int], None] | None
    """Is told whenever some of it has come on record, or will never: up to which number all is."""

    @property
    def saved(self) -> int:
        """The number of the last change that outlives the server."""


class Turning(Durable, Protocol):
    """The same, of a room in which pages are turned."""

    @property
    def added(self) -> int:
        """The commands that were ever given to be recorded."""

    def settled(self, added: int) -> bool:
        """Tell whether so many of them are on record, or will never be."""


class Speech:
    """A fan-out for a room that has, or had, members who outlive their connections.

    Like the fan-out it is the room's task's alone: whoever has news of the record wakes the room,
    whose next flush looks what may be said.
    """

    def __init__(
        self,
        fanout: Fanout,
        dialect: Dialect,
        *,
        seq: int,
        record: Durable | None,
        journal: Turning | None,
        alarms: Alarms | None,
        wake: Callable[[], None],
    ) -> None:
        """Say everything by way of ``fanout`` from now on.

        Args:
            fanout: what the room has spoken by before.
            dialect: of the members who come back.
            seq: the number of the last change.
            record: knows how much of it is on record, if anything ever is.
            journal: the same, if what turns the page waits for it.
            alarms: bound the waiting; needed with a record.
            wake: lets the room flush soon.

        Raises:
            AssertionError: if there is a record, but no alarms.
        """
        if record is not None and alarms is None:
            raise AssertionError("whoever waits for a record needs alarms")
        self._fanout = fanout
        self._dialect = dialect
        self._record = record
        self._journal = journal
        self._alarms = alarms
        self._wake = wake
        self._ring = Ring(seq)
        self._held = False
        self._needed = 0  # commands that must be on record before what is held is said
        self._overdue: Alarm | None = None  # while something is held
        self._reminder: Alarm | None = None  # while there is something of the record to tell
        self._reminded = False  # that has waited for long enough
        self._stopped = False
        self._ungreeted: set[MemberId] = set()  # whose welcome has not been sent yet
        self._told_saved = 0
        if record is not None:
            record.on_saved = self.note_saved

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
        kind = type(event)
        if self._journal is None:
            past = False
        else:
            past = kind in _ANSWERS or (self._held and kind is Refusal)
        if past and member.id not in self._ungreeted:
            self._fanout.answer(member, event)
        else:
            self._fanout.tell(member, event)

    def tell_all(self, event: Event) -> None:
        """Say something to the whole audience, and remember it if it is a change."""
        kind = type(event)
        if self._journal is not None and kind in _TURNING:
            self._hold(self._journal)
        self._fanout.tell_all(event)
        if kind in _NUMBERED:
            frame = self._fanout.last(self._dialect)
            if frame is None:  # nobody hears it: nobody will miss it
                frame = self._dialect.encode(event) or b""
            self._ring.add(event.seq, frame)  # type: ignore[union-attr]

    def tell_others(self, member: Member, event: Event) -> None:
        """Say something to the whole audience but ``member``."""
        self._fanout.tell_others(member, event)

    def flush(self) -> None:
        """Send all that was said since the last time; of what is held back, only answers."""
        if self._held:
            if self._must_wait():
                self._fanout.flush_answers()
                return
            self._release()
        fanout = self._fanout
        if self._record is not None and (fanout.collected or self._reminded):
            self._tell_saved(self._record.saved)
        fanout.flush()
        if self._ungreeted:
            self._ungreeted.clear()

    def flush_one(self, member: Member) -> None:
        """Send ``member`` what it has not been sent yet; of what is held back, only answers."""
        if self._held:
            self._fanout.flush_answers()
        else:
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
        self._ungreeted.add(member.id)

    def note_saved(self, seq: int) -> None:
        """See to it that everybody learns of what has come on record, soon enough."""
        alarms = self._alarms
        if self._held:
            if not self._must_wait():
                self._wake()
        elif alarms is None or self._stopped or self._reminder is not None:
            return
        elif seq > self._told_saved:
            self._reminder = alarms.saved.set(self._remind)

    def stop(self) -> None:
        """Say what was held back; nothing is held back, and no alarm is set, any more."""
        self._stopped = True
        self._held = False
        for alarm in (self._overdue, self._reminder):
            if alarm is not None:
                alarm.cancel()
        self._overdue = self._reminder = None
        self.flush()

    def _hold(self, journal: Turning) -> None:
        if self._stopped:
            return
        self._needed = journal.added
        if not self._held:
            self.flush()  # what was said before need not wait
            self._held = True
            if self._alarms is not None:
                self._overdue = self._alarms.hold.set(self._wake)

    def _must_wait(self) -> bool:
        """Tell whether what is held has yet to come on record, and there is time for it."""
        overdue, journal = self._overdue, self._journal
        if journal is None or overdue is None or overdue.ring is None:
            return False
        return not journal.settled(self._needed)

    def _release(self) -> None:
        self._held = False
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None

    def _remind(self) -> None:
        self._reminder = None
        self._reminded = True
        self._wake()

    def _tell_saved(self, saved: int) -> None:
        self._reminded = False
        if self._reminder is not None:
            self._reminder.cancel()
            self._reminder = None
        if saved > self._told_saved:
            self._told_saved = saved
            self._fanout.tell_all(Saved(saved))
