"""Results of estimation rooms: what any store of them offers, one in memory, one that lasts."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Protocol, TypeVar

import attrs
import sqlalchemy as sa

from protocol.ids import RoomId
from protocol.messages import TicketResult
from server.store import estimations
from server.store.database import Database
from server.store.writer import Writer

Row = TypeVar("Row")

KEEP_VOTES: Final = 500_000
"""About 250 bytes each, hence 125 MB at the most."""


@attrs.frozen(kw_only=True)
class RoomResults:
    """All that is kept of one room."""

    room_id: RoomId
    opened_at: float
    """Unix time in seconds."""
    closed_at: float | None = None
    """``None`` while the room lives."""
    tickets: tuple[TicketResult, ...] = ()
    """Revealed rounds in order; a ticket estimated twice is there twice."""
    forgotten: int = 0
    """Rounds besides those in ``tickets`` that had to be given up."""


class ResultsStore(Protocol):
    """What rooms write and pages read.

    Writing never waits: a room hands over and goes on. Reading may.
    """

    def open(self, room_id: RoomId, at: float) -> None:
        """A room has begun at this Unix time."""

    def record(self, room_id: RoomId, result: TicketResult) -> None:
        """A round of a room that is open has been revealed."""

    def close(self, room_id: RoomId, at: float) -> None:
        """A room has ended at this Unix time; nothing more comes for it."""

    async def results(self, room_id: RoomId) -> RoomResults | None:
        """Fetch what is kept of a room; ``None`` for one never seen or no longer kept."""


class MemoryResults:
    """A :class:`ResultsStore` that forgets with the process, and the oldest ended rooms before.

    Both the ended rooms and all votes together are bounded. When there are too many votes, the
    oldest ended rooms go first; if none is left, the oldest rounds of the room that goes on
    recording. Live rooms are never forgotten, and neither is a room's latest round: the hub
    bounds the number of both.
    """

    def __init__(self, keep: int, keep_votes: int = KEEP_VOTES) -> None:
        """Keep the results of at most ``keep`` ended rooms, and ``keep_votes`` votes in all."""
        self._keep = keep
        self._keep_votes = keep_votes
        self._votes = 0
        self._live: dict[RoomId, RoomResults] = {}
        self._ended: OrderedDict[RoomId, RoomResults] = OrderedDict()

    def open(self, room_id: RoomId, at: float) -> None:
        """A room has begun at this Unix time."""
        self._live[room_id] = RoomResults(room_id=room_id, opened_at=at)

    def record(self, room_id: RoomId, result: TicketResult) -> None:
        """A round of a room that is open has been revealed."""
        self._votes += _weight(result)
        while self._votes > self._keep_votes and self._ended:
            self._forget_oldest()
        room = self._live[room_id]
        rounds = (*room.tickets, result)
        gone = 0
        while self._votes > self._keep_votes and gone < len(rounds) - 1:
            self._votes -= _weight(rounds[gone])
            gone += 1
        self._live[room_id] = attrs.evolve(
            room, tickets=rounds[gone:], forgotten=room.forgotten + gone
        )

    def close(self, room_id: RoomId, at: float) -> None:
        """A room has ended at this Unix time; nothing more comes for it."""
        room = self._live.pop(room_id)
        self._ended[room_id] = attrs.evolve(room, closed_at=at)
        while len(self._ended) > self._keep:
            self._forget_oldest()

    async def results(self, room_id: RoomId) -> RoomResults | None:  # noqa: ASYNC910
        """Fetch what is kept of a room; ``None`` for one never seen or no longer kept."""
        return self._live.get(room_id) or self._ended.get(room_id)

    def _forget_oldest(self) -> None:
        _, room = self._ended.popitem(last=False)
        self._votes -= sum(map(_weight, room.tickets))


@attrs.define
class _Open:
    """A room that is not ended, or whose end is not written yet."""

    opened_at: float
    closed_at: float | None = None
    rounds: int = 0
    """Revealed so far, also those that were dropped."""
    waiting: dict[int, TicketResult] = attrs.Factory(dict)
    """By number: rounds that are not in the database yet."""
    unwritten: int = 0
    """Writes that are on their way."""


class DatabaseResults:
    """A :class:`ResultsStore` that lasts: it writes behind, and knows what is on its way.

    What the writer must drop while the database is gone is lost: such rounds are counted as
    forgotten.
    """

    def __init__(self, database: Database, writer: Writer) -> None:
        """Read from ``database``, and let ``writer`` write into it."""
        self._database = database
        self._writer = writer
        self._open: dict[RoomId, _Open] = {}

    def open(self, room_id: RoomId, at: float) -> None:
        """A room has begun at this Unix time."""
        self._open[room_id] = _Open(at)
        self._put(room_id, estimations.open_sessions, (room_id, at))

    def record(self, room_id: RoomId, result: TicketResult) -> None:
        """A round of a room that is open has been revealed."""
        room = self._open[room_id]
        number, room.rounds = room.rounds, room.rounds + 1
        row = estimations.Round(room_id, room.opened_at, number, result)
        if self._put(room_id, estimations.record, row, number, weight=_weight(result)):
            room.waiting[number] = result

    def close(self, room_id: RoomId, at: float) -> None:
        """A room has ended at this Unix time; nothing more comes for it."""
        room = self._open[room_id]
        room.closed_at = at
        if not self._put(room_id, estimations.close_sessions, (room_id, room.opened_at, at)):
            self._forget_written(room_id)

    async def results(self, room_id: RoomId) -> RoomResults | None:
        """Fetch what is kept of a room; ``None`` for one never seen.

        Raises:
            StoreUnavailable: if the database cannot be read.
        """
        # Before reading: what is written and forgotten meanwhile would otherwise be missed.
        room = self._open.get(room_id)
        waiting = dict(room.waiting) if room else {}
        opened = (room.opened_at, room.closed_at, room.rounds) if room else None
        stored = await self._database.run(partial(estimations.fetch, room_id=room_id))
        rounds = waiting if stored is None else stored.rounds | waiting
        if opened is None:
            if stored is None:
                return None
            # Counted from 0 without gaps, but for what was dropped.
            opened = (stored.opened_at, stored.closed_at, max(rounds, default=-1) + 1)
        opened_at, closed_at, revealed = opened
        return RoomResults(
            room_id=room_id,
            opened_at=opened_at,
            closed_at=closed_at,
            tickets=tuple(rounds[number] for number in sorted(rounds)),
            # More may have come since we looked.
            forgotten=max(0, revealed - len(rounds)),
        )

    def _put(
        self,
        room_id: RoomId,
        write: Callable[[sa.Connection, Sequence[Row]], None],
        row: Row,
        number: int | None = None,
        weight: int = 1,
    ) -> bool:
        settled = partial(self._settled, room_id, number)
        taken = self._writer.put_row(write, row, weight, settled=settled, payer=room_id)
        self._open[room_id].unwritten += taken
        return taken

    def _settled(self, room_id: RoomId, number: int | None, _: bool) -> None:
        """A write of a room has come to its end."""
        room = self._open[room_id]
        room.unwritten -= 1
        if number is not None:
            del room.waiting[number]
        self._forget_written(room_id)

    def _forget_written(self, room_id: RoomId) -> None:
        room = self._open[room_id]
        if room.closed_at is not None and not room.unwritten:
            del self._open[room_id]


def _weight(result: TicketResult) -> int:
    """Count a round's votes; one without any takes room as well."""
    return max(1, len(result.votes))
