"""Results in memory, for tests that need no database."""

import attrs
import trio

from protocol.ids import RoomId
from protocol.messages import TicketResult
from server.store.estimations import Session
from server.store.recording import Page, RoomResults

PAGE_ROUNDS = 3


@attrs.define
class MemoryRecord:
    """What is kept of one room."""

    session: Session
    rounds: list[TicketResult] = attrs.field(factory=list)
    closed_at: float | None = None

    @property
    def key(self) -> str:
        return self.session.key or ""

    @property
    def session_id(self) -> int:
        return self.session.id

    def record(self, room_id: RoomId, result: TicketResult) -> None:
        assert room_id == self.session.room_id
        self.rounds.append(result)

    def close(self, room_id: RoomId, at: float) -> None:
        assert room_id == self.session.room_id
        self.closed_at = at

    def found(self) -> RoomResults:
        return RoomResults(session=self.session, closed_at=self.closed_at, rounds=len(self.rounds))


class MemoryResults:
    """A results store that forgets with the process; keys count from ``key1``."""

    def __init__(self) -> None:
        self.records: list[MemoryRecord] = []

    def open(self, room_id: RoomId, at: float) -> MemoryRecord:
        number = len(self.records) + 1
        record = MemoryRecord(Session(number, room_id, f"key{number}", at))
        self.records.append(record)
        return record

    async def find(self, room_id: RoomId, key: str | None) -> RoomResults | None:
        await trio.lowlevel.checkpoint()
        for record in self.records:
            if (record.session.room_id, record.session.key) == (room_id, key):
                return record.found()
        return None

    async def page(self, found: RoomResults, start: int) -> Page:
        await trio.lowlevel.checkpoint()
        stop = min(start + PAGE_ROUNDS, found.rounds)
        rounds = self.records[found.session.id - 1].rounds
        return Page(rounds=tuple((n, rounds[n]) for n in range(start, stop)), next=stop)
