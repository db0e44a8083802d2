"""Chat rooms: woken by who joins, asleep when empty, their messages kept in order."""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

import attrs
import trio
from sqlalchemy import Connection

from protocol.chat import Chat, Person
from protocol.errors import CloseCode, ErrorCode, Refused
from protocol.ids import MemberId, RoomId
from protocol.limits import CHAT_HISTORY
from protocol.messages import AnonymiseAuthor, ChatMessage, Leave, TicketResult
from server.rooms.hub import start
from server.rooms.room import Room
from server.store import chat as store
from server.store.database import Database
from server.store.records import ChatMessage as StoredMessage
from server.store.shares import Kind
from server.store.writer import Writer
from server.support.counters import Counters
from server.support.errors import StoreUnavailable
from server.support.limits import Limits

GATHER_SECONDS: Final = 0.02
"""Messages of so long are one write."""

FLUSH_SECONDS: Final = 2.0
"""To wait for the writer before reading what it may not have written."""

MOST_ASLEEP: Final = 1_000
"""Rooms whose end is remembered, so that waking one reads nothing."""

_WEIGHED: Final = 250  # characters that weigh as much as a message
_ROW_LENGTH: Final = 250  # characters that weigh as much as a row
_NOBODY: Final = MemberId("")


@attrs.define(eq=False)
class _Turn:
    """One caller's time alone with a room: it wakes or deletes it."""

    over: trio.Event = attrs.Factory(trio.Event)
    failure: StoreUnavailable | None = None
    disowned: set[int] = attrs.Factory(set)
    """Users deleted meanwhile, who may be in what has been read already."""


@attrs.frozen
class _Ending:
    """A room that admits nobody any more, but may be in the middle of its last turn."""

    rules: Chat
    over: trio.Event = attrs.Factory(trio.Event)


@attrs.frozen
class _Asleep:
    """Where a room that sleeps goes on."""

    rules: Chat
    handed: int
    """Once so many batches are written, it can be read from the store as well."""


class ChatRooms:
    """The chat rooms that are awake, and the way of their messages into the store.

    The only writer of chat messages: what it remembers of a room is never older than what is
    stored, and of a room that it does not remember everything is stored. Messages are handed to
    the writer every 20 ms, in the order in which they were said, and when a room ends.
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
    ) -> None:
        """Wake rooms in ``nursery``, which must outlive every connection's handler."""
        self._nursery = nursery
        self._database = database
        self._writer = writer
        self._limits = limits
        self._counters = counters
        self._most_asleep = most_asleep
        self._turns: dict[RoomId, _Turn] = {}
        self._awake: dict[RoomId, tuple[Room, Chat]] = {}
        self._ending: dict[RoomId, _Ending] = {}
        self._asleep: OrderedDict[RoomId, _Asleep] = OrderedDict()
        self._said: list[StoredMessage] = []  # not yet handed to the writer
        self._any_said = trio.Event()
        self._handed = 0  # batches that the writer took
        self._written = 0  # of these, written or given up
        self._draining = False

    # --- joining ----------------------------------------------------------------------------

    def awake(self, room_id: RoomId) -> Room | None:
        """Look up a room that is awake."""
        found = self._awake.get(room_id)
        return found and found[0]

    async def wake(self, room_id: RoomId) -> Room:
        """Find a room, and wake it if it sleeps; it ends when its last member has left.

        Whoever admits nobody to it must say so by :meth:`let_sleep`. Cancelled, it leaves no
        room awake.

        Raises:
            Refused: if there is no such room, too many are awake, or the server shuts down.
            StoreUnavailable: if the room must be read from a store that is gone.
        """
        while room_id in self._turns:
            turn = self._turns[room_id]
            await turn.over.wait()
            if turn.failure is not None:  # all that wait would wait for the same, one by one
                raise StoreUnavailable(str(turn.failure))
        self._check_draining()
        if room_id in self._awake:
            return self._awake[room_id][0]
        if len(self._awake) + len(self._turns) >= self._limits.rooms:
            raise Refused(ErrorCode.TOO_MANY_ROOMS, "the server has no room left for rooms")
        with self._alone(room_id) as turn:
            try:
                return await self._wake(room_id, turn)
            except StoreUnavailable as failure:
                turn.failure = failure
                raise

    def let_sleep(self, room: Room) -> None:
        """Let a room end that was woken for somebody who does not come, unless others are there."""
        room.inbox.put(_NOBODY, Leave())
        room.inbox.settle()

    def people(self, room_id: RoomId) -> tuple[Person, ...]:
        """Say who is in a room; nobody is in one that sleeps."""
        found = self._awake.get(room_id)
        return found[1].people if found else ()

    async def _wake(self, room_id: RoomId, turn: _Turn) -> Room:
        await self._ended(room_id)
        rules = await self._find(room_id, turn)
        self._check_draining()
        room = Room(
            room_id,
            rules,
            limits=self._limits,
            keeper=self,
            counters=self._counters,
            forget=self._forget,
            owned=False,
        )
        # Before it runs, so that it can be ended from now on, and forget itself.
        self._awake[room_id] = (room, rules)
        await start(room, self._nursery)
        return room

    async def _find(self, room_id: RoomId, turn: _Turn) -> Chat:
        """Make the rules of a room that go on where it fell asleep."""
        asleep = self._asleep.get(room_id)
        if asleep is not None:
            return self._rules(room_id, asleep.rules.last_seq, asleep.rules.recent)

        def read(connection: Connection) -> tuple[int, list[StoredMessage]] | None:
            if store.room(connection, room_id) is None:
                return None
            return (
                store.last_seq(connection, room_id),
                store.history(connection, room_id, before_seq=None, limit=CHAT_HISTORY),
            )

        found = await self._database.run(read)
        if found is None:
            raise Refused(ErrorCode.NO_SUCH_ROOM, f"there is no room {room_id}", "roomId")
        last_seq, stored = found
        rules = self._rules(room_id, last_seq, tuple(map(_told, stored)))
        for user_id in turn.disowned:
            _disown(rules, user_id)
        return rules

    def _rules(self, room_id: RoomId, last_seq: int, recent: tuple[ChatMessage, ...]) -> Chat:
        return Chat(
            room_id,
            self._limits.room_capacity,
            last_seq=last_seq,
            recent=recent,
            epoch=time.time() - trio.current_time(),
        )

    def _check_draining(self) -> None:
        if self._draining:
            raise Refused(ErrorCode.SHUTTING_DOWN, "the server is shutting down")

    @contextmanager
    def _alone(self, room_id: RoomId) -> Iterator[_Turn]:
        """Wake or delete a room while nobody else does; the room must not be in a turn yet."""
        turn = self._turns[room_id] = _Turn()
        try:
            yield turn
        finally:
            del self._turns[room_id]
            turn.over.set()

    # --- ending -----------------------------------------------------------------------------

    def drain(self, reason: str) -> None:
        """Wake no more rooms and end all that are awake."""
        self._draining = True
        for room, _ in list(self._awake.values()):
            room.end(reason)

    async def delete(self, room_id: RoomId, remove: Callable[[], Awaitable[object]]) -> None:
        """End a room, let ``remove`` delete its record, and forget it.

        Meanwhile nobody wakes it. What was said in it is written, or given up, before: else it
        could get into another room that is opened by the same id.

        Raises:
            StoreUnavailable: if the store is gone; the room can be woken again then.
            Exception: whatever ``remove`` raises.
        """
        while room_id in self._turns:
            await self._turns[room_id].over.wait()
        with self._alone(room_id):
            if room_id in self._awake:
                self._awake[room_id][0].end("it has been deleted", CloseCode.GOING_AWAY)
            await self._ended(room_id)
            if not await self._settle():
                raise StoreUnavailable("too much waits for the database")
            await remove()
            self._asleep.pop(room_id, None)

    def disown(self, user_id: int) -> None:
        """Show the messages of a deleted account as by a deleted user, wherever they are."""
        for turn in self._turns.values():
            turn.disowned.add(user_id)
        for room, rules in self._awake.values():
            # At once, as the room may end before it reads its inbox; and once more behind what
            # the inbox holds.
            _disown(rules, user_id)
            room.inbox.put(_NOBODY, AnonymiseAuthor(user_id))
            room.inbox.settle()
        for ending in self._ending.values():
            _disown(ending.rules, user_id)
        for asleep in self._asleep.values():
            _disown(asleep.rules, user_id)

    def _forget(self, room_id: RoomId) -> None:
        _, rules = self._awake.pop(room_id)
        self._ending[room_id] = _Ending(rules)

    async def _ended(self, room_id: RoomId) -> None:
        """Wait until a room that is ending has handed in everything."""
        if room_id in self._ending:
            await self._ending[room_id].over.wait()

    # --- keeping ----------------------------------------------------------------------------

    def record(self, room_id: RoomId, result: TicketResult | ChatMessage) -> None:
        """Keep a message; it is handed to the writer soon."""
        if isinstance(result, ChatMessage):
            self._said.append(_stored(result))
            self._any_said.set()

    def close(self, room_id: RoomId, at: float) -> None:
        """A room has ended, and says nothing any more: remember where it goes on."""
        ending = self._ending.pop(room_id)
        self.hand_over()
        self._asleep[room_id] = _Asleep(ending.rules, self._handed)
        self._asleep.move_to_end(room_id)
        while len(self._asleep) > self._most_asleep:
            oldest = next(iter(self._asleep.values()))
            if oldest.handed > self._written:
                break
            self._asleep.popitem(last=False)
        ending.over.set()

    async def run(self) -> None:
        """Hand messages to the writer until cancelled, and the last of them then."""
        try:
            while True:
                await self._any_said.wait()
                await trio.sleep(GATHER_SECONDS)
                self.hand_over()
        finally:
            self.hand_over()

    async def history(
        self, room_id: RoomId, *, before_seq: int | None, limit: int
    ) -> list[ChatMessage] | None:
        """Read a page of a room's messages, ascending; ``None`` if there is no such room.

        Raises:
            StoreUnavailable: if the store is gone.
        """
        await self._settle()

        def read(connection: Connection) -> list[StoredMessage] | None:
            if store.room(connection, room_id) is None:
                return None
            return store.history(connection, room_id, before_seq=before_seq, limit=limit)

        page = await self._database.run(read)
        return None if page is None else [_told(message) for message in page]

    def hand_over(self) -> None:
        """Hand what was said to the writer now."""
        if not self._said:
            return  # and whoever waits goes on waiting for the same event
        said, self._said = self._said, []
        self._any_said = trio.Event()
        write = partial(store.append, messages=said)
        # The writer's bound is one of memory, for rows of a few hundred bytes.
        weight = sum(1 + len(message.text) // _ROW_LENGTH for message in said)
        self._handed += self._writer.put(
            write, weight=weight, settled=self._settled, kind=Kind.CHATTER
        )

    def _settled(self, _: bool) -> None:
        """The writer is done with a batch."""
        self._written += 1

    async def _settle(self) -> bool:
        """See to it that what was said before can be read, if the store is there at all."""
        self.hand_over()
        with trio.move_on_after(FLUSH_SECONDS):
            await self._writer.flush()
            return True
        return False


def _disown(rules: Chat, user_id: int) -> None:
    rules.apply(AnonymiseAuthor(user_id), _NOBODY, 0.0)


def _stored(message: ChatMessage) -> StoredMessage:
    return StoredMessage(
        room_id=message.room_id,
        seq=message.seq,
        author_id=message.author_id,
        author=message.author,
        text=message.text,
        at=message.at,
    )


def _told(message: StoredMessage) -> ChatMessage:
    return ChatMessage(
        room_id=RoomId(message.room_id),
        seq=message.seq,
        author_id=message.author_id,
        author=message.author,
        text=message.text,
        at=message.at,
    )
