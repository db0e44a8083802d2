"""Chat rooms: woken by who joins, asleep when empty, their messages and numbers kept."""

import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import trio

from protocol.chat import Chat
from protocol.chat_records import (
    Amended,
    ChatMessage,
    ChatRecord,
    Inquiry,
    PeoplePresent,
    Person,
    ReadMark,
)
from protocol.chat_window import disown
from protocol.errors import CloseCode, ErrorCode, Refused
from protocol.ids import RoomId
from protocol.limits import CHAT_HISTORY
from protocol.messages import AnonymiseAuthor
from protocol.talking import Finding, Found, Unavailable
from server.rooms.alarms import Alarms
from server.rooms.chat_archive import FLUSH_SECONDS, ChatArchive, Missed
from server.rooms.chat_entry import Entry, State, Trigger
from server.rooms.chat_log import ChatLog, Durability, merged
from server.rooms.chat_numbers import NUMBERS_BLOCK, ChatNumbers
from server.rooms.chat_reads import ReadMarks
from server.rooms.hub import start
from server.rooms.room import Lasting, Room
from server.store import chat as store
from server.store.database import Database
from server.store.writer import Writer
from server.support.counters import Counters
from server.support.errors import StoreUnavailable
from server.support.limits import Limits
from server.support.supervise import contain

MOST_ASLEEP: Final = 1_000
"""Sleeping rooms whose numbers are remembered, some 500 bytes each."""

_BUSY: Final = {State.WAKING, State.AWAKE}


class ChatRooms:
    """The chat rooms that are awake, and the numbers of those that sleep.

    The only writer of chat messages. Whoever wakes a room reads from the store what was said, and
    adds what is on its way there. Of a room that sleeps its numbers are remembered; too many of
    them, and in an orderly end all, are given back to the store.
    """

    def __init__(
        self,
        nursery: trio.Nursery,
        *,
        database: Database,
        writer: Writer,
        limits: Limits,
        counters: Counters,
        most_asleep: int = MOST_ASLEEP,
        numbers_block: int = NUMBERS_BLOCK,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Wake rooms in ``nursery``.

        Args:
            nursery: the nursery of the rooms, which must outlive every connection's handler.
            database: the database to read from.
            writer: the way of messages and numbers into it.
            limits: the bounds of rooms.
            counters: the server's counters, which are kept up to date.
            most_asleep: the number of sleeping rooms to remember.
            numbers_block: the number of sequence numbers to put on record at once.
            clock: the Unix time in seconds.
        """
        self._nursery = nursery
        self._database = database
        self._writer = writer
        self._limits = limits
        self._counters = counters
        self._most_asleep = most_asleep
        self._numbers = ChatNumbers(writer, numbers_block)
        self._clock = clock
        self._log = ChatLog(writer, self._trim)
        self._alarms = Alarms()
        self._reads = ReadMarks(writer)
        self.archive = ChatArchive(database, writer, self._log, self._reads)
        """What was said, in rooms awake or asleep."""
        self._entries: dict[RoomId, Entry] = {}
        self._asleep: OrderedDict[RoomId, Entry] = OrderedDict()  # the longest asleep first
        self._busy = 0  # waking or awake
        self._draining = False

    async def run(self) -> None:
        """Hand messages to the writer until cancelled, and the last of them then."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._alarms.run)
            nursery.start_soon(self._log.run)

    def people(self, room_id: RoomId) -> tuple[Person, ...]:
        """Say who is in a room, as its task last told; nobody is in one that sleeps."""
        entry = self._entries.get(room_id)
        return entry.people if entry else ()

    # --- waking -----------------------------------------------------------------------------

    async def wake(self, room_id: RoomId) -> Room[ChatRecord]:
        """Find a room, and wake it if it sleeps; it ends when its last member has left.

        Whoever admits nobody to it must say so by :meth:`let_sleep`. Cancelled, it leaves no
        room awake.

        Raises:
            Refused: if there is no such room, too many are awake, or the server shuts down.
            StoreUnavailable: if the room must be read from a store that is gone, or its numbers
                cannot be put on record.
        """
        while True:
            self._check_draining()
            entry = self._entries.get(room_id)
            if entry is None or entry.state is State.ASLEEP:
                break
            if entry.state is State.AWAKE and entry.room is not None:
                return entry.room
            patience = FLUSH_SECONDS if entry.state is State.FORGETTING else math.inf
            with trio.move_on_after(patience) as waiting:
                await entry.moved()
            if waiting.cancelled_caught:
                raise StoreUnavailable("too much waits for the database")
        if self._busy >= self._limits.rooms:
            raise Refused(ErrorCode.TOO_MANY_ROOMS, "the server has no room left for rooms")
        entry = self._entries.setdefault(room_id, Entry(room_id))
        self._move(entry, Trigger.WAKE)
        failure: StoreUnavailable | None = None
        try:
            return await self._start(entry)
        except StoreUnavailable as gone:
            failure = gone
            raise
        finally:
            entry.deleted = None
            if entry.state is State.WAKING:
                self._rest(entry, failure)

    def let_sleep(self, room: Room[ChatRecord]) -> None:
        """Let a room end that was woken for somebody who does not come, unless others are there."""
        if not room.member_count:
            room.end("empty")

    async def _start(self, entry: Entry) -> Room[ChatRecord]:
        """Read a room, and run it."""
        name, recent = await self._read(entry)
        self._check_draining()
        limits = self._limits
        rules = Chat(
            entry.room_id,
            limits.room_capacity,
            name=name,
            last_seq=entry.last_seq,
            granted=entry.granted,
            recent=recent,
            seats_per_account=limits.seats_per_account,
            bytes_rate=limits.chat_bytes_rate,
            bytes_burst=limits.chat_bytes_burst,
        )
        # Known before it runs, so that it can be ended from now on.
        entry.room = room = Room(
            entry.room_id,
            rules,
            limits=limits,
            recorder=self,
            counters=self._counters,
            forget=self._forget,
            clock=self._clock,
            lasting=Lasting(
                session_id=0,
                epoch=f"{entry.room_id}@{entry.created_at * 1000:.0f}.{rules.generation}",
                snapshot_for=rules.snapshot_for,
                seq=lambda: rules.seq,
                record=self.durability(entry.room_id),
                alarms=self._alarms,
            ),
        )
        self._numbers.ask_in_time(entry)
        await start(room, self._nursery)
        if entry.state is State.WAKING:  # not ended meanwhile
            self._move(entry, Trigger.START)
        return room

    async def _read(self, entry: Entry) -> tuple[str, list[ChatMessage]]:
        """Give the name and the last messages of a room.

        Its numbers are learned too, if they are not remembered.
        """
        room_id = entry.room_id
        entry.deleted = set()
        if entry.remembered:
            found = await self.archive.room(room_id, limit=CHAT_HISTORY)
            entry.remembered = found is not None
        else:
            work = partial(
                store.wake_room, room_id=room_id, block=self._numbers.block, limit=CHAT_HISTORY
            )
            woken = await self._database.run(work, write=True)
            found = None
            if woken is not None:
                entry.last_seq, entry.granted = woken.last_seq, woken.granted
                entry.created_at, entry.remembered = woken.created_at, True
                found = woken.name, merged(woken.recent, (), CHAT_HISTORY)
        if found is None:
            raise Refused(ErrorCode.NO_SUCH_ROOM, f"there is no room {room_id}", "roomId")
        name, recent = found
        for user_id in entry.deleted:
            recent = disown(recent, user_id)
        return name, recent

    def _check_draining(self) -> None:
        if self._draining:
            raise Refused(ErrorCode.SHUTTING_DOWN, "the server is shutting down")

    # --- keeping, as the recorder of all rooms ----------------------------------------------

    def record(self, room_id: RoomId, record: ChatRecord) -> None:
        """Keep what was said, note who is there, look up what is asked.

        Told by the room's own task.
        """
        entry = self._entries[room_id]
        match record:
            case ChatMessage() | Amended():
                entry.last_seq = record.seq
                self._counters.chat_messages += isinstance(record, ChatMessage)
                self._log.add(record)
                self._numbers.ask_in_time(entry)
            case PeoplePresent(people):
                entry.people = people
            case ReadMark(user_id, seq):
                self._reads.note(room_id, user_id, seq)
            case Inquiry() if entry.room is not None:
                self._nursery.start_soon(self._look_up, entry.room, record, name="chat inquiry")

    async def _look_up(self, room: Room[ChatRecord], inquiry: Inquiry) -> None:
        """Answer an inquiry of a room, whatever happens; one that has ended hears nothing."""
        finding: Finding = Unavailable()
        try:
            with contain("chat", room=room.id):
                finding = await self.archive.find(room.id, inquiry.question)
        finally:
            room.inbox.put(inquiry.member, Found(inquiry.ref, finding))
            room.inbox.settle()

    async def missed(self, room_id: RoomId, *, seq: int) -> Missed | None:
        """Read what has happened in a room that is awake since a number that somebody was told.

        Returns:
            The next changes; ``None`` if whoever was told that knows what has been lost, and must
            be told everything anew.

        Raises:
            StoreUnavailable: if the store is gone.
        """
        last_seq = self._entries[room_id].last_seq
        if not 0 <= seq <= last_seq:
            return None
        return await self.archive.missed(room_id, seq=seq, last_seq=last_seq)

    def durability(self, room_id: RoomId) -> Durability:
        """Tell from now on, until it sleeps, how much of a room that is awake is in the store."""
        return self._log.watch(room_id, self._entries[room_id].last_seq)

    def close(self, room_id: RoomId, at: float) -> None:
        """A room has said goodbye: of what it was, remember its numbers."""
        entry = self._entries[room_id]
        entry.room = None
        entry.people = ()
        self._log.hand_over()
        self._log.unwatch(room_id)
        self._move(entry, Trigger.SLEEP)
        self._trim()

    # --- ending -----------------------------------------------------------------------------

    def drain(self, reason: str) -> None:
        """Wake no more rooms and end all that are awake."""
        self._draining = True
        for entry in list(self._entries.values()):
            if entry.room is not None:
                entry.room.leave_process(reason)

    def finish(self) -> None:
        """Hand over what is left when all rooms have ended: messages, and unneeded numbers."""
        self._log.hand_over()
        if self._asleep:
            self._numbers.release(list(self._asleep.values()))

    async def delete(self, room_id: RoomId, remove: Callable[[], Awaitable[object]]) -> None:
        """End a room, let ``remove`` delete its record, and forget it.

        Meanwhile nobody wakes it. What was said in it is written, or given up, before: else it
        could get into another room that is opened by the same id.

        Raises:
            StoreUnavailable: if the store is gone; the room can be woken again then.
            Exception: whatever ``remove`` raises.
        """
        entry = await self._claim(room_id)
        try:
            self._move(entry, Trigger.DELETE)
            if entry.state is State.DOOMED:
                await entry.moved()
            self._log.hand_over()
            self._reads.forget(room_id)
            with trio.move_on_after(FLUSH_SECONDS) as waiting:
                await self._writer.flush()
            if waiting.cancelled_caught:
                raise StoreUnavailable("too much waits for the database")
            await remove()
            entry.remembered = False
        finally:
            if entry.state is State.DOOMED:
                self._move(entry, Trigger.KEEP)
            else:
                self._rest(entry)

    async def _claim(self, room_id: RoomId) -> Entry:
        """Wait until a room is in nobody's hands; one that is awake is ended."""
        while True:
            entry = self._entries.setdefault(room_id, Entry(room_id))
            if entry.room is not None and entry.state is State.AWAKE:
                entry.room.end("it has been deleted", CloseCode.GOING_AWAY)
            if entry.state in {State.UNKNOWN, State.ASLEEP, State.ENDING}:
                return entry
            await entry.moved()

    def anonymise(self, user_id: int) -> None:
        """Show the messages of a deleted account as by a deleted user, wherever they are."""
        self._log.anonymise(user_id)
        self.archive.anonymise(user_id)
        for entry in self._entries.values():
            if entry.deleted is not None:
                entry.deleted.add(user_id)
            entry.tell(AnonymiseAuthor(user_id))

    def _forget(self, room_id: RoomId) -> None:
        self._move(self._entries[room_id], Trigger.END)

    # --- the table --------------------------------------------------------------------------

    def _move(
        self, entry: Entry, trigger: Trigger, failure: StoreUnavailable | None = None
    ) -> None:
        """Move a room, and keep the books that follow from its state."""
        before = entry.state
        entry.move(trigger, failure)
        self._busy += (entry.state in _BUSY) - (before in _BUSY)
        if before is State.ASLEEP:
            del self._asleep[entry.room_id]
        if entry.state is State.ASLEEP:
            self._asleep[entry.room_id] = entry
        elif entry.state is State.UNKNOWN:
            del self._entries[entry.room_id]

    def _rest(self, entry: Entry, failure: StoreUnavailable | None = None) -> None:
        """Let go of a room that is not awake."""
        self._move(entry, Trigger.KEEP if entry.remembered else Trigger.LOSE, failure)

    def _trim(self) -> None:
        """Forget those who have slept longest, once all that was said is written.

        Not before, as their numbers must be written too, behind it; and whoever joins meanwhile
        would have to wait for that.
        """
        while len(self._asleep) > self._most_asleep and self._log.empty:
            entry = next(iter(self._asleep.values()))
            if not self._numbers.release([entry], settled=partial(self._released, entry)):
                return
            self._move(entry, Trigger.FORGET)

    def _released(self, entry: Entry, written: bool) -> None:
        entry.remembered = not written
        self._rest(entry)
