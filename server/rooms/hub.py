"""The live rooms: opens them, finds them, and forgets them the moment they end."""

import secrets
import time
from typing import TypeVar

import trio

from protocol.errors import ErrorCode, Refused
from protocol.estimation import Estimation
from protocol.ids import ROOM_ID_ALPHABET, ROOM_ID_LENGTH, RoomId
from protocol.messages import TicketResult
from server.rooms.room import Room
from server.store.results import ResultsStore
from server.support.counters import Counters
from server.support.limits import Limits

Recorded = TypeVar("Recorded")


class RoundRecorder:
    """Keeps the results of estimation rooms, and counts them."""

    def __init__(self, results: ResultsStore, counters: Counters) -> None:
        """Keep in ``results`` what ``counters`` counts."""
        self._results = results
        self._counters = counters

    def record(self, room_id: RoomId, record: TicketResult) -> None:
        """A round has been revealed."""
        self._counters.rounds_revealed += 1
        self._results.record(room_id, record)

    def close(self, room_id: RoomId, at: float) -> None:
        """A room has ended at this Unix time."""
        self._results.close(room_id, at)


class Hub:
    """Owns no task of its own; its rooms run in the nursery it is given."""

    def __init__(
        self, nursery: trio.Nursery, *, limits: Limits, results: ResultsStore, counters: Counters
    ) -> None:
        """Open rooms in ``nursery``, which must outlive every connection's handler."""
        self._nursery = nursery
        self._limits = limits
        self._results = results
        self._counters = counters
        self._recorder = RoundRecorder(results, counters)
        self._rooms: dict[RoomId, Room[TicketResult]] = {}
        self._draining = False

    def find(self, room_id: RoomId) -> Room[TicketResult] | None:
        """Look up a live room."""
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
        room = Room(
            room_id,
            Estimation(room_id, capacity, announce_seconds=self._limits.announce_seconds),
            limits=self._limits,
            recorder=self._recorder,
            counters=self._counters,
            forget=self._forget,
        )
        self._rooms[room_id] = room
        self._results.open(room_id, time.time())
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
        while True:
            room_id = RoomId(
                "".join(secrets.choice(ROOM_ID_ALPHABET) for _ in range(ROOM_ID_LENGTH))
            )
            if room_id not in self._rooms:
                return room_id


async def start(room: Room[Recorded], nursery: trio.Nursery) -> None:
    """Run a room in ``nursery``; nothing that goes wrong in it reaches the others."""
    await nursery.start(room.run, name=f"room {room.id}")
