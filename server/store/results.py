"""Results of estimation rooms: written behind, and read page by page from memory and database."""

import hmac
import secrets
import time
from functools import partial
from typing import Final, Protocol

from protocol.ids import RoomId
from protocol.messages import TicketResult
from server.store import estimations
from server.store.database import Database
from server.store.estimations import Session
from server.store.recording import (
    PAGE_VOTES,
    ByWriter,
    Memory,
    Page,
    Recording,
    RoomResults,
    Way,
)
from server.store.writer import Writer
from server.support.errors import StoreUnavailable
from server.support.limits import Limits

_LIMITS: Final = Limits()

KEY_BYTES: Final = 16
"""128 bits: nobody guesses them."""


class RoomRecord(Protocol):
    """Where one room writes what is to be kept of it; writing never waits and never raises."""

    @property
    def key(self) -> str:
        """What must be shown to read the results."""

    @property
    def session_id(self) -> int:
        """Of this room's life; never the same for two."""

    def record(self, room_id: RoomId, result: TicketResult) -> None:
        """Keep a round that has been revealed."""

    def close(self, room_id: RoomId, at: float) -> None:
        """Note the room's end at this Unix time; nothing more comes."""


class ResultsStore(Protocol):
    """What rooms write and pages read."""

    def open(self, room_id: RoomId, at: float) -> RoomRecord:
        """Begin a record of a room that has opened at this Unix time; never waits."""

    async def find(self, room_id: RoomId, key: str | None) -> RoomResults | None:
        """Find the room of this id and key; ``None`` if there is none, or nothing is kept of it.

        Without a key, only rooms are found that never had one.

        Raises:
            StoreUnavailable: if the database must be asked, and does not answer.
        """

    async def page(self, found: RoomResults, start: int) -> Page:
        """Read the rounds of a room from the one with number ``start`` on.

        Raises:
            StoreUnavailable: if the database must be asked, does not answer, and all of the room
                was written long ago. Of others what is in memory is told, and what is missing.
        """


class DatabaseResults:
    """A :class:`ResultsStore` that lasts: it writes behind, and knows what is on its way.

    Nothing is written of a room before its first round is revealed. The latest rounds of a live
    room are in memory too, within bounds: while the database is gone, they can still be read.
    What the writer must drop then is lost once it leaves the memory, and counts as forgotten.
    """

    def __init__(
        self,
        database: Database,
        writer: Writer,
        *,
        room_bytes: int = _LIMITS.room_results_bytes,
        all_bytes: int = _LIMITS.results_bytes,
    ) -> None:
        """Read from ``database``, and let ``writer`` write into it.

        Args:
            database: to read from.
            writer: to write by.
            room_bytes: memory for one room's latest rounds.
            all_bytes: memory for those of all rooms.
        """
        self._database = database
        self._way = ByWriter(writer)
        self._memory = Memory(room_bytes, all_bytes)
        self._by_id: dict[int, Recording] = {}
        self._by_room: dict[RoomId, list[Recording]] = {}
        self._last_id = 0

    def open(self, room_id: RoomId, at: float) -> "Recording":
        """Begin a record of a room that has opened at this Unix time; never waits."""
        return self.resume(self.new_session(room_id, at), self._way)

    def new_session(self, room_id: RoomId, at: float) -> Session:
        """Number a room that has opened at this Unix time, and draw its key."""
        return Session(self._new_id(), room_id, secrets.token_urlsafe(KEY_BYTES), at)

    def resume(self, session: Session, way: Way, rounds: int = 0) -> "Recording":
        """Go on with the record of a room; never waits.

        Args:
            session: the room's.
            way: how the rounds get into the database.
            rounds: as many as are there already.
        """
        record = Recording(session, way, self._memory, self._forget, count=rounds)
        self._by_id[session.id] = record
        self._by_room.setdefault(session.room_id, []).append(record)
        return record

    async def find(self, room_id: RoomId, key: str | None) -> RoomResults | None:
        """Find the room of this id and key; ``None`` if there is none, or nothing is kept of it.

        Raises:
            StoreUnavailable: if the database must be asked, and does not answer.
        """
        for record in self._by_room.get(room_id, ()):
            if _opens(record.session, key):
                return record.now()
        for stored in await self._database.run(partial(estimations.find, room_id=room_id)):
            if _opens(stored.session, key):
                return RoomResults(
                    session=stored.session, closed_at=stored.closed_at, rounds=stored.rounds
                )
        return None

    async def page(self, found: RoomResults, start: int) -> Page:
        """Read the rounds of a room from the one with number ``start`` on.

        Raises:
            StoreUnavailable: if the database must be asked, does not answer, and the room has
                ended and was written.
        """
        record = self._by_id.get(found.session.id)
        stop = found.rounds
        if record is not None:
            page = record.page(start, stop)
            if page.rounds:
                return page
            stop = page.next
        # What is not in memory now has been written, or dropped.
        read = partial(
            estimations.page,
            session_id=found.session.id,
            start=start,
            stop=stop,
            rows=PAGE_VOTES,
        )
        try:
            rounds, following = await self._database.run(read)
        except StoreUnavailable:
            if record is None:
                raise
            return Page(next=stop, missing=record.written(start, stop))
        return Page(rounds=tuple(rounds), next=following)

    def _forget(self, record: "Recording") -> None:
        """Let go of a room that has ended, and all of which is written."""
        session = record.session
        del self._by_id[session.id]
        records = self._by_room[session.room_id]
        records.remove(record)
        if not records:
            del self._by_room[session.room_id]

    def _new_id(self) -> int:
        """Number a session without asking the database.

        Growing, so that rows of live rooms are neighbours in every index; and by the clock, with
        6 random bits, so that no other process has given the same. Before 2039 SQLite keeps such
        a number in 6 bytes.
        """
        now = int(time.time() * 1000) << 6 | secrets.randbits(6)
        self._last_id = max(self._last_id + 1, now)
        return self._last_id


def _opens(session: Session, key: str | None) -> bool:
    """Tell whether a key is a session's, in a time that says nothing about how much of it is."""
    if key is None or session.key is None:
        return key is session.key
    return hmac.compare_digest(session.key.encode(), key.encode(errors="surrogatepass"))
