"""The live rooms: opens them, finds them, and forgets them the moment they end."""

import secrets
import time

import trio

from protocol.errors import ErrorCode, Refused
from protocol.estimation import Estimation
from protocol.ids import ROOM_ID_ALPHABET, ROOM_ID_LENGTH, RoomId
from server.rooms.room import Room
from server.store.results import ResultsStore
from server.support.counters import Counters
from server.support.limits import Limits
from server.support.supervise import contain


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
        self._rooms: dict[RoomId, Room] = {}
        self._draining = False

    def __len__(self) -> int:
        """Count the live rooms."""
        return len(self._rooms)

    def find(self, room_id: RoomId) -> Room | None:
        """Look up a live room."""
        return self._rooms.get(room_id)

    async def open(self, capacity: int) -> Room:
        """Open an estimation room; whoever is admitted first is its admin.

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
            keeper=self._results,
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


async def start(room: Room, nursery: trio.Nursery) -> None:
    """Run a room in ``nursery``, such that nothing that goes wrong in it reaches the others."""
    await nursery.start(_keep, room, name=f"room {room.id}")


async def _keep(  # noqa: ASYNC128 - the room calls started()
    room: Room, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    with contain("room", room=room.id):
        await room.run(task_status=task_status)
