"""Chat rooms with everything around them, on a virtual clock: a database without threads.

The store's own units of work run on a real SQLite database in memory, but at once and in the
task that asks, so that nothing depends on how threads are scheduled.
"""

import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, TypeVar

import attrs
import orjson
import sqlalchemy as sa
import trio
import trio.testing

from protocol.dialects.base import Dialect
from protocol.dialects.gochat import GOCHAT
from protocol.ids import RoomId
from protocol.messages import ChatRecord, EnterChat, Say
from server.rooms.chat_directory import ChatRooms
from server.rooms.chat_numbers import NUMBERS_BLOCK
from server.rooms.room import Room
from server.store import chat, users
from server.store.database import Database
from server.store.records import ChatMessage, User
from server.store.schema import metadata
from server.store.writer import Writer
from server.support.counters import Counters
from server.support.errors import StoreUnavailable
from server.support.limits import Limits
from tests.server.harness import FakeMember

Result = TypeVar("Result")

LOBBY: Final = RoomId("lobby")
ATTIC: Final = RoomId("attic")

settled = trio.testing.wait_all_tasks_blocked


class MemoryDatabase(Database):
    """A database that is as fast, as slow and as broken as a test wants it."""

    def __init__(self) -> None:
        super().__init__("sqlite:///never-opened.db")
        self.engine = sa.create_engine("sqlite://", poolclass=sa.pool.StaticPool)
        sa.event.listen(self.engine, "connect", _enforce_foreign_keys)
        metadata.create_all(self.engine)
        self.gone = False
        self.asked = 0
        """Units of work, those included that have failed."""
        self.reads = 0
        """Of those that were done, how many only read."""
        self._held: dict[bool, trio.Event] = {}
        self._numbers = itertools.count(1)

    async def run(self, work: Callable[[sa.Connection], Result], *, write: bool = False) -> Result:
        """Run a unit of work; nothing can be cancelled once it has begun."""
        await trio.lowlevel.checkpoint()
        self.asked += 1
        if write in self._held:
            await self._held[write].wait()
        if self.gone:
            raise StoreUnavailable("gone")
        self.reads += not write
        result = self.now(work)
        await trio.lowlevel.cancel_shielded_checkpoint()
        return result

    def now(self, work: Callable[[sa.Connection], Result]) -> Result:
        """Run a unit of work at once, whatever the state of the database."""
        with self.engine.begin() as connection:
            return work(connection)

    @contextmanager
    def held(self, *, write: bool) -> Iterator[None]:
        """Let reading or writing wait for the end of the block."""
        event = self._held[write] = trio.Event()
        try:
            yield
        finally:
            del self._held[write]
            event.set()

    def person(self, name: str) -> User:
        """Make an account."""
        email = f"{name}-{next(self._numbers)}@example.com"
        return self.now(
            lambda conn: users.create(
                conn, email=email, email_key=email, username=name, password_hash="-", now=1.0
            )
        )

    def open(self, room_id: str = LOBBY, creator: User | None = None) -> None:
        """Make the record of a room."""
        creator_id = None if creator is None else creator.id
        self.now(
            lambda conn: chat.create_room(
                conn, id=room_id, name=room_id.title(), creator_id=creator_id, now=1.0
            )
        )

    def tell(self, author: User, count: int, room_id: str = LOBBY) -> None:
        """Store messages of a room that has none."""
        rows = [
            ChatMessage(room_id, seq, author.id, author.username, f"text {seq}", float(seq))
            for seq in range(1, count + 1)
        ]
        self.now(lambda conn: chat.append(conn, rows))

    def kept(self, room_id: str = LOBBY) -> list[ChatMessage]:
        """Look at what is stored of a room."""
        return self.now(lambda conn: chat.history(conn, room_id, before_seq=None, limit=1_000_000))


class Guest(FakeMember):
    """A member of a chat room that keeps what it hears."""

    def __init__(self, user: User, number: int = 1, dialect: Dialect = GOCHAT) -> None:
        super().__init__(f"{user.username}-{user.id}-{number}", dialect=dialect)
        self.user = user

    @property
    def heard(self) -> list[dict[str, Any]]:
        return [orjson.loads(frame.payload) for frame in self.frames]

    @property
    def texts(self) -> list[str]:
        """What was said, as far as it was heard."""
        return [each["context"] for each in self.heard if each["type"] == "message"]

    @property
    def seqs(self) -> list[int]:
        return [each["seq"] for each in self.heard if each["type"] == "message"]

    @property
    def authors(self) -> list[str]:
        return [each["username"] for each in self.heard if each["type"] == "message"]


@attrs.define
class Chats:
    """Chat rooms and their surroundings."""

    rooms: ChatRooms
    database: MemoryDatabase
    writer: Writer
    counters: Counters
    nursery: trio.Nursery
    """In which rooms live."""
    _last: dict[RoomId, Room[ChatRecord]] = attrs.Factory(dict)
    _numbers: "itertools.count[int]" = attrs.Factory(lambda: itertools.count(1))

    async def join(
        self, user: User, room_id: RoomId = LOBBY, *, dialect: Dialect = GOCHAT
    ) -> Guest:
        """Bring a connection of somebody into a room."""
        room = await self.wake(room_id)
        guest = Guest(user, next(self._numbers), dialect)
        if not room.admit(guest):
            await trio.lowlevel.checkpoint()  # all is cancelled, the room already
            raise AssertionError("a room that has just been woken has ended")
        room.inbox.put(guest.id, EnterChat(user.id, user.username))
        room.inbox.settle()
        return guest

    async def wake(self, room_id: RoomId = LOBBY) -> Room[ChatRecord]:
        """Find a room, and wake it if it sleeps."""
        room = self._last[room_id] = await self.rooms.wake(room_id)
        return room

    def awake(self, room_id: RoomId = LOBBY) -> Room[ChatRecord]:
        """Give a room that somebody is in."""
        room = self._last[room_id]
        assert not room.ended
        return room

    def say(self, guest: Guest, *texts: str, room_id: RoomId = LOBBY) -> None:
        """Speak in a room that is awake; the room hears of it in its next turn."""
        room = self.awake(room_id)
        for text in texts:
            room.inbox.put(guest.id, Say(text))
        room.inbox.settle()

    async def sleep(self, *guests: Guest) -> None:
        """Let guests go, and wait until all is quiet."""
        for guest in guests:
            guest.hang_up()
        await settled()
        self._last = {key: room for key, room in self._last.items() if not room.ended}


@asynccontextmanager
async def chats(
    *,
    limits: Limits | None = None,
    most_asleep: int = 1000,
    run: bool = True,
    write: bool = True,
    clock: Callable[[], float] = time.time,
    numbers_block: int = NUMBERS_BLOCK,
    database: "MemoryDatabase | None" = None,
) -> AsyncIterator[Chats]:
    """Run chat rooms; one room, ``lobby``, is there. Afterwards nothing is left running.

    Without ``database`` there is one for as long as this lasts. In the end nothing more is written,
    as if the process had been killed.
    """
    counters = Counters()
    own = database is None
    if database is None:
        database = MemoryDatabase()
        database.open(LOBBY)
    writer = Writer(database, counters=counters)
    try:
        async with trio.open_nursery() as services:
            if write:
                services.start_soon(writer.run)  # noqa: ASYNC113
            async with trio.open_nursery() as nursery:
                rooms = ChatRooms(
                    nursery,
                    database=database,
                    writer=writer,
                    limits=limits or Limits(),
                    counters=counters,
                    most_asleep=most_asleep,
                    clock=clock,
                    numbers_block=numbers_block,
                )
                if run:
                    services.start_soon(rooms.run)  # noqa: ASYNC113
                yield Chats(rooms, database, writer, counters, nursery)
                nursery.cancel_scope.cancel()
            services.cancel_scope.cancel()
        assert counters.rooms_current == counters.members_current == 0
    finally:
        if own:
            database.engine.dispose()


def _enforce_foreign_keys(connection: Any, _: object) -> None:
    connection.execute("PRAGMA foreign_keys = ON").close()
