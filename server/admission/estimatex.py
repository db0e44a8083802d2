"""From a valid upgrade request to a seat in a room, or to a refusal in words."""

import secrets
from collections.abc import Mapping
from typing import Final

import attrs

from protocol.dialects.estimatex import (
    ESTIMATEX,
    CreateRoom,
    no_such_room,
    parse_query,
    refusal_text,
)
from protocol.errors import CloseCode, ErrorCode, Problem, Refused
from protocol.frames import encode_text
from protocol.ids import MemberId
from protocol.messages import TicketResult
from server.admission.door import Route, Upgrade
from server.admission.handlers import Deaf, Echo
from server.admission.session import Session
from server.edge.heartbeat import Heartbeat
from server.edge.poller import Poller
from server.edge.websocket import WebSocket
from server.rooms.hub import Hub
from server.rooms.room import Room
from server.support.counters import Counters
from server.support.limits import Limits
from server.support.observe import get_logger

_MEMBER_ID_BYTES: Final = 8
_ECHO_FRAMES: Final = 1_000_000  # conformance tests send what no client would
_ECHO_BACKLOG: Final = 2  # largest messages in an echo's outbox


class Admission:
    """The WebSocket routes."""

    def __init__(
        self,
        *,
        hub: Hub,
        limits: Limits,
        poller: Poller | None,
        heartbeat: Heartbeat,
        counters: Counters,
    ) -> None:
        """Admit to the rooms of ``hub``."""
        self._hub = hub
        self._limits = limits
        self._poller = poller
        self._heartbeat = heartbeat
        self._counters = counters
        self._log = get_logger("door")
        self._echoes: set[WebSocket] = set()
        self._echo_limits = attrs.evolve(
            limits,
            message_bytes=limits.echo_message_bytes,
            outbox_bytes=_ECHO_BACKLOG * limits.echo_message_bytes,
            frame_rate=_ECHO_FRAMES,
            frame_burst=_ECHO_FRAMES,
        )

    def routes(self, *, echo: bool) -> Mapping[str, Route]:
        """Say which path leads where."""
        return {"/ws": self.estimatex} | ({"/ws/echo": self.echo} if echo else {})

    async def estimatex(self, upgrade: Upgrade) -> None:
        """Create or join an estimation room, in the dialect of EstimateX.

        A refusal is an accepted upgrade, one plain text and a close with 1000, because that is
        what the published client shows.
        """
        connection = self._connection(upgrade, self._limits)
        try:
            wish = parse_query(upgrade.query, self._limits.room_capacity)
            room: Room[TicketResult] | None
            if isinstance(wish, CreateRoom):
                room = await self._hub.open(wish.capacity)
            else:
                room = self._hub.find(wish.room_id)
                if room is None:
                    raise no_such_room(wish.room_id)
            session = Session(
                MemberId(secrets.token_hex(_MEMBER_ID_BYTES)),
                wish.name,
                ESTIMATEX,
                room=room.id,
                inbox=room.inbox,
                connection=connection,
                limits=self._limits,
                counters=self._counters,
            )
            if not room.admit(session):
                raise Refused(ErrorCode.SHUTTING_DOWN, "the room has just ended")
        except Refused as refused:
            await self._refuse(upgrade, connection, refused.problem)
        except BaseException:
            await upgrade.peer.aclose()
            raise

    async def echo(self, upgrade: Upgrade) -> None:
        """Send every message back as it came."""
        connection = self._connection(upgrade, self._echo_limits)
        self._echoes.add(connection)
        try:
            await connection.run(Echo(connection))
        finally:
            self._echoes.discard(connection)

    def drain(self, reason: str) -> None:
        """Close the connections that no room closes."""
        for connection in list(self._echoes):
            connection.close(CloseCode.GOING_AWAY, reason)

    async def _refuse(self, upgrade: Upgrade, connection: WebSocket, problem: Problem) -> None:
        self._counters.connections_refused += 1
        self._log.info(
            "refused", code=problem.code, field=problem.field, address=upgrade.peer.address
        )
        text = encode_text(refusal_text(problem).encode())
        connection.close(CloseCode.NORMAL, problem.message, last=text)
        await connection.run(Deaf())

    def _connection(self, upgrade: Upgrade, limits: Limits) -> WebSocket:
        return WebSocket(
            upgrade.peer,
            upgrade.response,
            upgrade.leftover,
            limits=limits,
            poller=self._poller,
            heartbeat=self._heartbeat,
            counters=self._counters,
        )
