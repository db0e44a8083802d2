"""The live rooms: opens them, finds them, and forgets them the moment they end."""

import secrets
import time
from collections.abc import Callable, Set
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
        """A round has been revealed, or is another one than it was."""
        self._counters.rounds_revealed += not record.replaces
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
        self._lasting: set[RoomId] = set()  # of these, those that outlive the server
        self._reserved: set[RoomId] = set()
        self._draining = False

    @property
    def draining(self) -> bool:
        """Whether nothing is begun any more, since the server is shutting down."""
        return self._draining

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
        room_id = self.draw()
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
            most_capacity=self._limits.room_capacity,
        )
        room = Room(
            room_id,
            rules,
            limits=self._limits,
            recorder=RoundRecorder(record, self._counters),
            counters=self._counters,
            forget=self.forget,
            clock=clock,
            lasting=Lasting(
                session_id=record.session_id,
                epoch=f"{record.session_id}.0",
                results=f"/rooms/{room_id}/results?key={record.key}",
                snapshot_for=rules.snapshot_for,
                picture=rules.picture,
                door=rules,
                seq=lambda: rules.seq,
                digest=digester(rules) if self._limits.digests else None,
            ),
        )
        self._rooms[room_id] = room
        await start(room, self._nursery)
        return room

    def draw(self) -> RoomId:
        """Draw an id for a new room that no live or reserved one has; one that has ended may have.

        Raises:
            Refused: if there are too many rooms, or the server is shutting down.
        """
        if self._draining:
            raise Refused(ErrorCode.SHUTTING_DOWN, "the server is shutting down")
        if len(self._rooms) + len(self._reserved) - len(self._lasting) >= self._limits.rooms:
            raise Refused(ErrorCode.TOO_MANY_ROOMS, "the server has no room left for rooms")
        while (room_id := self._draw()) in self._rooms or room_id in self._reserved:
            pass
        return room_id

    @property
    def reserved(self) -> Set[RoomId]:
        """The ids that are reserved."""
        return self._reserved

    def reserve(self, room_id: RoomId) -> None:
        """Keep an id for a room that is not live at this moment; it counts like a live one."""
        self._reserved.add(room_id)

    def release(self, room_id: RoomId) -> None:
        """Let another room have an id that was reserved."""
        self._reserved.discard(room_id)

    async def adopt(self, room: Room[TicketResult]) -> None:
        """Run a room that lasts, whose id is reserved; whoever made it ends it before a drain.

        It is found once it runs. Not to be cancelled: the room must not end because whoever asked
        for it loses patience.
        """
        with trio.CancelScope(shield=True):
            await start(room, self._nursery)
        if not room.ended:
            self._rooms[room.id] = room
            self._lasting.add(room.id)

    def forget(self, room_id: RoomId) -> None:
        """A room has ended."""
        self._rooms.pop(room_id, None)
        self._lasting.discard(room_id)

    def drain(self, reason: str) -> None:
        """Open no more rooms and end all that do not last; each parts from its members itself."""
        self._draining = True
        for room_id, room in list(self._rooms.items()):
            if room_id not in self._lasting:
                room.end(reason)


def unix_clock(earliest: float = 0.0) -> Callable[[], float]:
    """Make a clock of Unix seconds for one room, which begins at ``earliest`` and never goes back.

    Args:
        earliest: the last time that the room was given in another process.
    """
    offset = max(time.time(), earliest) - trio.current_time()
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
