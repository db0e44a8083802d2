"""The live rooms: opens them, finds them, and forgets them the moment they end."""

import secrets
import time
from collections.abc import Callable
from typing import TypeVar

import trio

from protocol.changes import Digest
from protocol.errors import ErrorCode, Refused
from protocol.estimation import Estimation
from protocol.fold import digest
from protocol.ids import ROOM_ID_ALPHABET, ROOM_ID_LENGTH, RoomId
from protocol.messages import Event, TicketResult
from server.rooms.room import Lasting, Recorder, Room
from server.store.results import ResultsStore
from server.support.counters import Counters
from server.support.limits import Limits

Recorded = TypeVar("Recorded")


class RoundRecorder:
    """Keeps the results of one estimation room, and counts them."""

    def __init__(self, record: Recorder[TicketResult], counters: Counters) -> None:
        """Keep in ``record`` what ``counters`` counts."""
        self._record = record
        self._counters = counters

    def record(self, room_id: RoomId, record: TicketResult) -> None:
        """A round has been revealed."""
        self._counters.rounds_revealed += 1
        self._record.record(room_id, record)

    def close(self, room_id: RoomId, at: float) -> None:
        """A room has ended at this Unix time."""
        self._record.close(room_id, at)


class Hub:
    """Owns no task of its own; its rooms run in the nursery it is given."""

    def __init__(
        self,
        nursery: trio.Nursery,
        *,
        limits: Limits,
        results: ResultsStore,
        counters: Counters,
        draw: Callable[[], RoomId] | None = None,
    ) -> None:
        """Open rooms in ``nursery``, which must outlive every connection's handler.

        Args:
            nursery: in which rooms run.
            limits: the number of live rooms, and each room's own bounds.
            results: keeps what rooms record.
            counters: are kept up to date.
            draw: makes a room's id; it may come up with one that was there before.
        """
        self._nursery = nursery
        self._limits = limits
        self._results = results
        self._counters = counters
        self._draw = draw or draw_room_id
        self._rooms: dict[RoomId, Room[TicketResult]] = {}
        self._draining = False

    def find(self, room_id: RoomId) -> Room[TicketResult] | None:
        """Look up a live room."""
        return self._rooms.get(room_id)

    async def wake(self, room_id: RoomId) -> Room[TicketResult] | None:
        """Look up a live room, for whoever can also wait for others."""
        await trio.lowlevel.checkpoint()
        return self._rooms.get(room_id)

    async def open(self, capacity: int) -> Room[TicketResult]:
        """Open an estimation room; whoever enters first is its admin.

        Raises:
            Refused: if there are too many rooms, or the server is shutting down.
        """
        if self._draining:
            raise Refused(ErrorCode.SHUTTING_DOWN, "the server is shutting down")
        if len(self._rooms) >= self._limits.rooms:
            raise Refused(ErrorCode.TOO_MANY_ROOMS, "the server has no room left for rooms")
        room_id = self._new_id()
        # A record of its own: an earlier room of this id may still be handing in its last round.
        record = self._results.open(room_id, time.time())
        clock = unix_clock()
        rules = Estimation(
            room_id,
            capacity,
            opened_at=clock(),
            grace_seconds=self._limits.grace_seconds,
            announce_seconds=self._limits.announce_seconds,
            results_key=record.key,
            most_rounds=self._limits.rounds,
        )
        room = Room(
            room_id,
            rules,
            limits=self._limits,
            recorder=RoundRecorder(record, self._counters),
            counters=self._counters,
            forget=self._forget,
            clock=clock,
            lasting=Lasting(
                session_id=record.session_id,
                epoch=f"{record.session_id}.0",
                results=f"/rooms/{room_id}/results?key={record.key}",
                snapshot_for=rules.snapshot_for,
                seq=lambda: rules.seq,
                digest=digester(rules) if self._limits.digests else None,
            ),
        )
        self._rooms[room_id] = room
        await start(room, self._nursery)
        return room

    def drain(self, reason: str) -> None:
        """Open no more rooms and end all that there are; each parts from its members itself."""
        self._draining = True
        for room in list(self._rooms.values()):
            room.end(reason)

    def _forget(self, room_id: RoomId) -> None:
        del self._rooms[room_id]

    def _new_id(self) -> RoomId:
        """Draw an id that no live room has; one that has ended may have had it."""
        while (room_id := self._draw()) in self._rooms:
            pass
        return room_id


def unix_clock() -> Callable[[], float]:
    """Make a clock of Unix seconds that never goes back, for one room."""
    offset = time.time() - trio.current_time()
    return lambda: trio.current_time() + offset


def digester(rules: Estimation) -> Callable[[], Event]:
    """Make what says what the server's own picture is, for whoever checks."""
    return lambda: Digest(rules.seq, digest(rules.picture()))


def draw_room_id() -> RoomId:
    """Draw an id from a secure source."""
    return RoomId("".join(secrets.choice(ROOM_ID_ALPHABET) for _ in range(ROOM_ID_LENGTH)))


async def start(room: Room[Recorded], nursery: trio.Nursery) -> None:
    """Run a room in ``nursery``; nothing that goes wrong in it reaches the others."""
    await nursery.start(room.run, name=f"room {room.id}")
