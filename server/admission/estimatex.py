"""From a valid upgrade request to a seat in a room, or to a refusal in words."""

from typing import Final, Protocol

import attrs
import trio

from protocol.dialects.estimatex import (
    ESTIMATEX,
    CreateRoom,
    no_such_room,
    parse_query,
    refusal_text,
)
from protocol.errors import CloseCode, ErrorCode, Problem, Refused
from protocol.frames import encode_text
from protocol.ids import RoomId
from protocol.messages import TicketResult
from server.admission.allowances import Allowances
from server.admission.handlers import Deaf, Echo
from server.admission.members import Members
from server.admission.routes import ECHO_PATH, ESTIMATION_PATH, Upgrade, WebSocketRoute
from server.edge.websocket import WebSocket
from server.rooms.hub import Hub
from server.rooms.room import Room
from server.support.counters import Counters
from server.support.errors import StoreUnavailable
from server.support.limits import Limits
from server.support.rationed import RationedLog

HOW_TO_CONNECT: Final = (
    f"{ESTIMATION_PATH}?action=CREATE_ROOM&name=NAME or "
    f"{ESTIMATION_PATH}?action=JOIN_ROOM&name=NAME&room_id=ID"
)
HOW_TO_ECHO: Final = ECHO_PATH

BARRED: Final = "from this network address nobody new may come into this room"

_ECHO_FRAMES: Final = 1_000_000  # conformance tests send what no client would
_ECHO_BACKLOG: Final = 2  # largest messages in an echo's outbox


class Rooms(Protocol):
    """What is needed to find rooms."""

    async def wake(self, room_id: RoomId) -> Room[TicketResult] | None:
        """Find a room, or bring it back from its log; ``None`` if there is none.

        Raises:
            Refused: if it would have to be brought back, and the server is shutting down.
            StoreUnavailable: if it cannot be read now.
        """


class Admission:
    """The WebSocket routes into estimation rooms, and to the echo."""

    def __init__(
        self,
        *,
        hub: Hub,
        rooms: Rooms | None = None,
        members: Members,
        allowances: Allowances,
        limits: Limits,
        counters: Counters,
    ) -> None:
        """Admit to the rooms of ``hub``.

        Args:
            hub: opens rooms.
            rooms: finds rooms of all kinds; if not given, only those of the hub are found.
            members: makes members of connections.
            allowances: counts rooms, and wrong guesses at them, for each source.
            limits: the largest room, and the messages of an echo.
            counters: are kept up to date.
        """
        self._hub = hub
        self._rooms = rooms or hub
        self._members = members
        self._allowances = allowances
        self._limits = limits
        self._counters = counters
        self._log = RationedLog("door")
        self._echoes: set[WebSocket] = set()
        self._echo_limits = attrs.evolve(
            limits,
            message_bytes=limits.echo_message_bytes,
            outbox_bytes=_ECHO_BACKLOG * limits.echo_message_bytes,
            frame_rate=_ECHO_FRAMES,
            frame_burst=_ECHO_FRAMES,
        )

    def routes(self, *, echo: bool) -> list[WebSocketRoute]:
        """List the endpoints; the echo only if it is wanted."""
        estimatex = WebSocketRoute(path=ESTIMATION_PATH, handler=self.estimatex, how=HOW_TO_CONNECT)
        echoing = WebSocketRoute(path=ECHO_PATH, handler=self.echo, how=HOW_TO_ECHO)
        return [estimatex, echoing] if echo else [estimatex]

    async def estimatex(self, upgrade: Upgrade) -> None:
        """Create or join an estimation room, in the dialect of EstimateX.

        A refusal is an accepted upgrade, one plain text and a close with 1000, because that is
        what the published client shows.
        """
        opened: Room[TicketResult] | None = None
        try:
            wish = parse_query(upgrade.query, self._limits.room_capacity)
            if isinstance(wish, CreateRoom):
                room = opened = await self._open(upgrade, wish.capacity)
            else:
                room = await self._find(upgrade, wish.room_id)
                if room.bars(upgrade.peer.source.key):
                    raise Refused(ErrorCode.BANNED, BARRED)
            if self._members.admit(upgrade, room, wish.name, ESTIMATEX) is None:
                raise Refused(ErrorCode.SHUTTING_DOWN, "the room has just ended")
            opened = None  # it has an admin now, with whom it ends
        except Refused as refused:
            if opened is not None:
                opened.end("its admin was refused")
            await self._refuse(upgrade, refused.problem)
        except BaseException:
            if opened is not None:
                opened.end("its admin was cut off")
            await upgrade.peer.aclose()
            raise

    async def echo(self, upgrade: Upgrade) -> None:
        """Send every message back as it came."""
        connection = self._members.connect(upgrade, self._echo_limits)
        self._echoes.add(connection)
        try:
            await connection.run(Echo(connection))
        finally:
            self._echoes.discard(connection)

    def drain(self, reason: str) -> None:
        """Close the connections that no room closes."""
        for connection in list(self._echoes):
            connection.close(CloseCode.GOING_AWAY, reason)

    async def _open(self, upgrade: Upgrade, capacity: int) -> Room[TicketResult]:
        source = upgrade.peer.source
        with self._allowances.opening(source):
            room = await self._hub.open(capacity)
            self._allowances.opened(source, room.id)
        return room

    async def _find(self, upgrade: Upgrade, room_id: RoomId) -> Room[TicketResult]:
        """Find a room; between this and its admitting somebody there must be no checkpoint."""
        source = upgrade.peer.source
        self._allowances.check_guesses(source)
        try:
            room = await self._rooms.wake(room_id)
        except StoreUnavailable:
            raise Refused(ErrorCode.NOT_NOW, "the database does not answer now") from None
        if room is None:
            self._allowances.missed(source)
            raise no_such_room(room_id)
        return room

    async def _refuse(self, upgrade: Upgrade, problem: Problem) -> None:
        self._counters.connections_refused += 1
        self._log.info(
            "refused",
            kind=problem.code,
            code=problem.code,
            field=problem.field,
            address=upgrade.peer.address,
        )
        try:
            connection = self._members.connect(upgrade)
        except trio.ClosedResourceError:  # another one has got its place
            await upgrade.peer.aclose()
            return
        text = encode_text(refusal_text(problem).encode())
        connection.close(CloseCode.NORMAL, problem.message, last=text)
        await connection.run(Deaf())
