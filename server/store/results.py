"""Results of estimation rooms: written behind, and read page by page from memory and database."""

import hmac
import secrets
import time
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

import attrs

from protocol.ids import RoomId
from protocol.limits import KIB, MIB
from protocol.messages import TicketResult
from server.store import estimations
from server.store.database import Database
from server.store.estimations import NumberedRound, Session
from server.store.writer import Writer
from server.support.errors import StoreUnavailable

PAGE_VOTES: Final = 500
"""Votes in a page, of some 400 bytes each; more only if a single round has more."""

ROOM_BYTES: Final = 128 * KIB
"""What one room's latest rounds may take in memory while it lives."""

ALL_BYTES: Final = 64 * MIB
"""The same of all rooms together."""

KEY_BYTES: Final = 16
"""128 bits: nobody guesses them."""

# At worst: a name of 50 characters of 4 bytes each, an id, and the objects around them.
_VOTE_BYTES: Final = 400
_ROUND_BYTES: Final = 800  # with a ticket of 100 such characters


@attrs.frozen(kw_only=True)
class RoomResults:
    """What is kept of one room, at the moment at which it was found; its rounds are in pages."""

    session: Session
    closed_at: float | None = None
    """Unix time in seconds; ``None`` while the room lives."""
    rounds: int = 0
    """Revealed so far, those that were given up included; they count from 0."""

    @property
    def room_id(self) -> RoomId:
        """The room's id, which another room may have had before, or have later."""
        return self.session.room_id

    @property
    def opened_at(self) -> float:
        """Unix time in seconds."""
        return self.session.opened_at

    @property
    def secret(self) -> bool:
        """Whether a key was needed to find it."""
        return self.session.key is not None


@attrs.frozen(kw_only=True)
class Page:
    """Some of a room's rounds, in order."""

    rounds: tuple[NumberedRound, ...] = ()
    next: int
    """The number of the round with which the next page begins."""
    missing: int = 0
    """Rounds that belong here, but cannot be read while the database is gone."""


class RoomRecord(Protocol):
    """Where one room writes what is to be kept of it; writing never waits and never raises."""

    @property
    def key(self) -> str:
        """What must be shown to read the results."""

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
            StoreUnavailable: if the database must be asked, does not answer, and the room has
                ended. Of one that lives, what is in memory is told, and what is missing.
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
        room_bytes: int = ROOM_BYTES,
        all_bytes: int = ALL_BYTES,
    ) -> None:
        """Read from ``database``, and let ``writer`` write into it.

        Args:
            database: to read from.
            writer: to write by.
            room_bytes: memory for one room's latest rounds.
            all_bytes: memory for those of all rooms.
        """
        self._database = database
        self._writer = writer
        self._memory = _Memory(room_bytes, all_bytes)
        self._by_id: dict[int, _Record] = {}
        self._by_room: dict[RoomId, list[_Record]] = {}
        self._last_id = 0

    def open(self, room_id: RoomId, at: float) -> "_Record":
        """Begin a record of a room that has opened at this Unix time; never waits."""
        session = Session(self._new_id(), room_id, secrets.token_urlsafe(KEY_BYTES), at)
        record = _Record(session, self._writer, self._memory, self._forget)
        self._by_id[session.id] = record
        self._by_room.setdefault(room_id, []).append(record)
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
                ended.
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

    def _forget(self, record: "_Record") -> None:
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


class _Memory:
    """How much live rooms may remember, each and all together."""

    def __init__(self, room_bytes: int, all_bytes: int) -> None:
        self.room_bytes = room_bytes
        self.all_bytes = all_bytes
        self.taken = 0


@attrs.define(eq=False)
class _Record:
    """One room, from its opening until its end is written."""

    session: Session
    _writer: Writer
    _memory: _Memory
    _forget: Callable[["_Record"], None]
    _closed_at: float | None = None
    _count: int = 0  # rounds revealed, also those that were dropped
    _dropped: set[int] = attrs.Factory(set)
    _waiting: dict[int, TicketResult] = attrs.Factory(dict)
    """By number: rounds that are not in the database yet."""
    _latest: dict[int, TicketResult] = attrs.Factory(dict)
    """By number: rounds that are remembered while the room lives, the oldest first."""
    _taken: int = 0  # bytes of these
    _unwritten: int = 0  # writes that are on their way

    @property
    def key(self) -> str:
        """What must be shown to read the results."""
        return self.session.key or ""

    def record(self, room_id: RoomId, result: TicketResult) -> None:
        """Keep a round that has been revealed."""
        number, self._count = self._count, self._count + 1
        row = estimations.Round(self.session, number, result)
        settled = partial(self._settled, number)
        weight = max(1, len(result.votes))
        if self._writer.put_row(estimations.record, row, weight, settled=settled):
            self._waiting[number] = result
            self._unwritten += 1
        else:
            self._dropped.add(number)
        self._remember(number, result)

    def close(self, room_id: RoomId, at: float) -> None:
        """Note the room's end at this Unix time; nothing more comes."""
        self._closed_at = at
        while self._latest:
            self._forget_oldest()
        # A room of which nothing was kept leaves nothing.
        if len(self._dropped) < self._count:
            row = (self.session, at)
            settled = partial(self._settled, None)
            self._unwritten += self._writer.put_row(
                estimations.close_sessions, row, settled=settled
            )
        self._leave()

    def now(self) -> RoomResults:
        """Tell how far the room has come."""
        return RoomResults(session=self.session, closed_at=self._closed_at, rounds=self._count)

    def page(self, start: int, stop: int) -> Page:
        """Read rounds that are in memory, as long as no number is left out.

        If the first one is not, the page is empty, and the next one begins where memory does.
        """
        rounds: list[NumberedRound] = []
        votes = 0
        for number in range(start, stop):
            result = self._latest.get(number) or self._waiting.get(number)
            if result is None:
                if rounds:
                    return Page(rounds=tuple(rounds), next=number)
            elif not rounds and number > start:
                return Page(next=number)
            else:
                votes += len(result.votes)
                if rounds and votes > PAGE_VOTES:
                    return Page(rounds=tuple(rounds), next=number)
                rounds.append((number, result))
        return Page(rounds=tuple(rounds), next=stop)

    def written(self, start: int, stop: int) -> int:
        """Count the rounds that are in the database."""
        return sum(number not in self._dropped for number in range(start, stop))

    def _remember(self, number: int, result: TicketResult) -> None:
        """Keep a round in memory; what is too much, this room's oldest rounds make good."""
        self._latest[number] = result
        self._taken += _bytes_of(result)
        self._memory.taken += _bytes_of(result)
        while self._latest and (
            self._taken > self._memory.room_bytes or self._memory.taken > self._memory.all_bytes
        ):
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        result = self._latest.pop(next(iter(self._latest)))
        self._taken -= _bytes_of(result)
        self._memory.taken -= _bytes_of(result)

    def _settled(self, number: int | None, written: bool) -> None:
        """Take note that a write has come to its end."""
        self._unwritten -= 1
        if number is not None:
            del self._waiting[number]
            if not written:
                self._dropped.add(number)
        self._leave()

    def _leave(self) -> None:
        if self._closed_at is not None and not self._unwritten:
            self._forget(self)


def _opens(session: Session, key: str | None) -> bool:
    """Tell whether a key is a session's, in a time that says nothing about how much of it is."""
    if key is None or session.key is None:
        return key is session.key
    return hmac.compare_digest(session.key.encode(), key.encode(errors="surrogatepass"))


def _bytes_of(result: TicketResult) -> int:
    return _ROUND_BYTES + _VOTE_BYTES * len(result.votes)
