"""A chat room as the directory knows it: its states, and the only moves between them.

==========  =======  ==========  ===================================================
state       trigger  next state  when
==========  =======  ==========  ===================================================
UNKNOWN     WAKE     WAKING      somebody joins
ASLEEP      WAKE     WAKING      somebody joins
WAKING      START    AWAKE       it has been read, and its task runs
WAKING      END      ENDING      it is ended while its task starts
WAKING      KEEP     ASLEEP      it is not started after all; its numbers are known
WAKING      LOSE     UNKNOWN     it could not be read, or does not exist
AWAKE       END      ENDING      the last has left; a drain; a deletion; a defect
ENDING      SLEEP    ASLEEP      its task has said goodbye
ENDING      DELETE   DOOMED      it is to be deleted
DOOMED      SLEEP    DELETING    its task has said goodbye
DOOMED      KEEP     ENDING      whoever wanted to delete it gave up
ASLEEP      DELETE   DELETING    it is to be deleted
UNKNOWN     DELETE   DELETING    it is to be deleted
DELETING    KEEP     ASLEEP      it could not be deleted
DELETING    LOSE     UNKNOWN     it is deleted, or could not be
ASLEEP      FORGET   FORGETTING  too many are remembered
FORGETTING  KEEP     ASLEEP      its numbers could not be written
FORGETTING  LOSE     UNKNOWN     its numbers are in the store
==========  =======  ==========  ===================================================

In WAKING, DOOMED, DELETING and FORGETTING a room is in the hands of one; all others wait.
"""

from enum import Enum, auto
from typing import Final

import attrs
import trio

from protocol.errors import IllegalMove
from protocol.ids import MemberId, RoomId
from protocol.messages import ChatRecord, Command, Person
from server.rooms.room import Room
from server.support.errors import StoreUnavailable


class State(Enum):
    """How a room is."""

    UNKNOWN = auto()
    """Nothing of it is remembered, if it exists at all."""
    ASLEEP = auto()
    """Nobody is there; its numbers are remembered."""
    WAKING = auto()
    """It is read from the store, and then its task is started."""
    AWAKE = auto()
    """Its task runs, and admits."""
    ENDING = auto()
    """Its task admits nobody any more, and may be in the middle of its last turn."""
    DOOMED = auto()
    """The same, but nobody may wake it afterwards."""
    DELETING = auto()
    """Its record is being deleted."""
    FORGETTING = auto()
    """Its numbers are being written, so that they need not be remembered."""


class Trigger(Enum):
    """What moves a room from state to state."""

    WAKE = auto()
    START = auto()
    END = auto()
    SLEEP = auto()
    DELETE = auto()
    FORGET = auto()
    KEEP = auto()
    LOSE = auto()


TRANSITIONS: Final = {
    (State.UNKNOWN, Trigger.WAKE): State.WAKING,
    (State.ASLEEP, Trigger.WAKE): State.WAKING,
    (State.WAKING, Trigger.START): State.AWAKE,
    (State.WAKING, Trigger.END): State.ENDING,
    (State.WAKING, Trigger.KEEP): State.ASLEEP,
    (State.WAKING, Trigger.LOSE): State.UNKNOWN,
    (State.AWAKE, Trigger.END): State.ENDING,
    (State.ENDING, Trigger.SLEEP): State.ASLEEP,
    (State.ENDING, Trigger.DELETE): State.DOOMED,
    (State.DOOMED, Trigger.SLEEP): State.DELETING,
    (State.DOOMED, Trigger.KEEP): State.ENDING,
    (State.ASLEEP, Trigger.DELETE): State.DELETING,
    (State.UNKNOWN, Trigger.DELETE): State.DELETING,
    (State.DELETING, Trigger.KEEP): State.ASLEEP,
    (State.DELETING, Trigger.LOSE): State.UNKNOWN,
    (State.ASLEEP, Trigger.FORGET): State.FORGETTING,
    (State.FORGETTING, Trigger.KEEP): State.ASLEEP,
    (State.FORGETTING, Trigger.LOSE): State.UNKNOWN,
}


_NOBODY: Final = MemberId("")


@attrs.define(eq=False)
class _Change:
    """The next move of a room, for those who wait for it."""

    over: trio.Event = attrs.Factory(trio.Event)
    failure: StoreUnavailable | None = None


@attrs.define(eq=False, weakref_slot=False)
class Entry:
    """One room. Of one that sleeps this is all there is: numbers, and no text."""

    room_id: RoomId
    state: State = State.UNKNOWN
    last_seq: int = 0
    """The number of the last message, if the numbers are remembered."""
    granted: int = 0
    """Numbers up to this one are on record as given out."""
    created_at: float = 0.0
    """When it was made: tells it from earlier rooms of the same id."""
    remembered: bool = False
    """Whether these numbers mean anything."""
    asking: bool = False
    """More numbers are on their way into the record."""
    room: Room[ChatRecord] | None = None
    """From before its task starts until that has said goodbye."""
    people: tuple[Person, ...] = ()
    """Who is there, as the room's task has told."""
    deleted: set[int] | None = None
    """While it is read: the accounts deleted meanwhile, whose messages may have been read."""
    _change: _Change | None = None

    def move(self, trigger: Trigger, failure: StoreUnavailable | None = None) -> None:
        """Go to the next state, and let those go on who wait for that.

        Args:
            trigger: what moves the room.
            failure: the reason, if there was no store to read it from.

        Raises:
            IllegalMove: if the table has no such move.
        """
        try:
            self.state = TRANSITIONS[self.state, trigger]
        except KeyError:
            raise IllegalMove(self.state, trigger) from None
        if self._change is not None:
            self._change.failure = failure
            self._change.over.set()
            self._change = None

    def tell(self, command: Command) -> None:
        """Say something to the room, as no member of it; one that does not run hears nothing."""
        if self.room is not None:
            self.room.inbox.put(_NOBODY, command)
            self.room.inbox.settle()

    async def moved(self) -> None:
        """Wait for the next move.

        Raises:
            StoreUnavailable: if the room could not be read; all who wait would wait for the same,
                one by one.
        """
        if self._change is None:
            self._change = _Change()
        change = self._change
        await change.over.wait()
        if change.failure is not None:
            raise StoreUnavailable(str(change.failure))
