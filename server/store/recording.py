"""One room's results on their way into the database, and what is remembered of them meanwhile."""

from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

import attrs

from protocol.ids import RoomId
from protocol.messages import TicketResult
from server.store import estimations
from server.store.estimations import NumberedRound, Round, Session
from server.store.writer import Writer

PAGE_VOTES: Final = 500
"""Votes in a page, of some 400 bytes each; more only if a single round has more."""

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


class Way(Protocol):
    """How what is kept of a room gets into the database; never waits, never raises.

    ``settled`` is told, once, whether it was written; not if it is refused here.
    """

    def keep(self, row: Round, settled: Callable[[bool], None]) -> bool:
        """Take a round; tell whether it was taken."""

    def end(self, session: Session, at: float, settled: Callable[[bool], None]) -> bool:
        """Take the end of a room at this Unix time; tell whether it was taken."""


@attrs.frozen
class ByWriter:
    """Each round by itself, with others in one batch."""

    writer: Writer

    def keep(self, row: Round, settled: Callable[[bool], None]) -> bool:
        """Put a round."""
        weight = max(1, len(row.result.votes))
        return self.writer.put_row(
            estimations.record, row, weight, settled=settled, payer=row.session.id
        )

    def end(self, session: Session, at: float, settled: Callable[[bool], None]) -> bool:
        """Put the end of a room."""
        return self.writer.put_row(
            estimations.close_sessions, (session, at), settled=settled, payer=session.id
        )


class Memory:
    """How much live rooms may remember, each and all together."""

    def __init__(self, room_bytes: int, all_bytes: int) -> None:
        self.room_bytes = room_bytes
        self.all_bytes = all_bytes
        self.taken = 0


@attrs.define(eq=False)
class Recording:
    """One room, from its opening until its end is written."""

    session: Session
    _way: Way
    _memory: Memory
    _forget: Callable[["Recording"], None]
    _closed_at: float | None = None
    _count: int = 0  # rounds revealed, also those that were dropped
    _dropped: int = 0
    """Which rounds were lost: a bit for each, since a long outage may take every one."""
    _waiting: dict[int, TicketResult] = attrs.Factory(dict)
    """By number: rounds that are not in the database yet."""
    _latest: dict[int, TicketResult] = attrs.Factory(dict)
    """By number: rounds that are remembered while the room lives, the oldest first."""
    _taken: int = 0  # bytes of these
    _unwritten: int = 0  # writes that are on their way
    _written: int = -1
    """The last round that is in the database, perhaps not as it has become since."""

    @property
    def key(self) -> str:
        """What must be shown to read the results."""
        return self.session.key or ""

    @property
    def session_id(self) -> int:
        """Of this room's life; never the same for two."""
        return self.session.id

    def record(self, room_id: RoomId, result: TicketResult) -> None:
        """Keep a round that has been revealed, or what has become of the last one."""
        if not result.replaces:
            self._count += 1
        number = self._count - 1
        settled = partial(self._settled, number, result)
        # Noted beforehand: what is put may be settled at once.
        self._waiting[number] = result
        self._unwritten += 1
        if not self._way.keep(Round(self.session, number, result), settled):
            settled(False)
        self._remember(number, result)

    def close(self, room_id: RoomId, at: float) -> None:
        """Note the room's end at this Unix time; nothing more comes."""
        self._closed_at = at
        while self._latest:
            self._forget_oldest()
        # A room of which nothing was kept leaves nothing.
        if self._dropped.bit_count() < self._count:
            settled = partial(self._settled, None, None)
            self._unwritten += 1
            if not self._way.end(self.session, at, settled):
                settled(False)
        else:
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
        length = max(0, stop - start)
        dropped = self._dropped >> start & (1 << length) - 1
        return length - dropped.bit_count()

    def _remember(self, number: int, result: TicketResult) -> None:
        """Keep a round in memory; what is too much, this room's oldest rounds make good."""
        memory, size = self._memory, _bytes_of(result)
        before = self._latest.pop(number, None)
        if before is not None:
            freed = _bytes_of(before)
            self._taken -= freed
            memory.taken -= freed
        self._latest[number] = result
        self._taken += size
        memory.taken += size
        while self._taken > memory.room_bytes or memory.taken > memory.all_bytes:
            if not self._latest:
                break
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        size = _bytes_of(self._latest.pop(next(iter(self._latest))))
        self._taken -= size
        self._memory.taken -= size

    def _settled(self, number: int | None, result: TicketResult | None, written: bool) -> None:
        """Take note that a write has come to its end."""
        self._unwritten -= 1
        if number is not None:
            if self._waiting.get(number) is result:  # and not what has become of it meanwhile
                del self._waiting[number]
            if written:
                self._written = number
                self._dropped &= ~(1 << number)
            elif number != self._written:
                self._dropped |= 1 << number
        self._leave()

    def _leave(self) -> None:
        if self._closed_at is not None and not self._unwritten:
            self._forget(self)


def _bytes_of(result: TicketResult) -> int:
    return _ROUND_BYTES + _VOTE_BYTES * len(result.votes)
