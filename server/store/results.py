"""Results of estimation rooms: what any store of them offers, and one that keeps them in memory."""

from collections import OrderedDict
from typing import Final, Protocol

import attrs

from protocol.ids import RoomId
from protocol.messages import TicketResult

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
    """Rounds before those in ``tickets`` that were given up to bound memory."""


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


def _weight(result: TicketResult) -> int:
    """Count a round's votes; one without any takes room as well."""
    return max(1, len(result.votes))
