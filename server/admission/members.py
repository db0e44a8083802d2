"""From an upgrade request and a room to a member that has a seat: the same in every dialect."""

import secrets
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import trio

from protocol.dialects.base import Dialect
from protocol.ids import MemberId
from protocol.messages import Command
from server.admission.allowances import Allowances, TakenSeat
from server.admission.routes import Upgrade
from server.admission.session import Session
from server.edge.accepted import AcceptedConnection
from server.edge.closing import TOLD, Cause
from server.edge.heartbeat import Heartbeat
from server.edge.places import Places
from server.edge.poller import Poller
from server.edge.websocket import WebSocket
from server.rooms.room import Room
from server.support.counters import Counters
from server.support.limits import Limits

_MEMBER_ID_BYTES: Final = 8


class Members:
    """Makes connections, and members of them."""

    def __init__(
        self,
        *,
        allowances: Allowances,
        places: Places,
        limits: Limits,
        poller: Poller | None,
        heartbeat: Heartbeat,
        counters: Counters,
    ) -> None:
        """Make them with what all of them share.

        Args:
            allowances: counts the seats of each source.
            places: is told whose connection keeps its place.
            limits: bound each connection.
            poller: reads plain TCP sockets.
            heartbeat: pings open connections.
            counters: are kept up to date.
        """
        self._allowances = allowances
        self._places = places
        self._limits = limits
        self._poller = poller
        self._heartbeat = heartbeat
        self._counters = counters

    def connect(
        self,
        upgrade: Upgrade,
        limits: Limits | None = None,
        *,
        told: Mapping[Cause, tuple[int, str]] = TOLD,
        beat: Callable[[], bytes] | None = None,
    ) -> WebSocket:
        """Make a connection, which gives way while no room has it; it is yet to be run.

        Args:
            upgrade: the request; its answer may have been sent.
            limits: other bounds than those of members.
            told: what the peer is told about causes that are found at the edge.
            beat: gives frames to be sent with each ping.

        Raises:
            ClosedResourceError: if its place has been given to another one.
        """
        peer = upgrade.peer
        if peer.displaced:
            raise trio.ClosedResourceError
        connection = WebSocket(
            peer,
            upgrade.response,
            upgrade.leftover,
            limits=limits or self._limits,
            poller=self._poller,
            heartbeat=self._heartbeat,
            counters=self._counters,
            told=told,
            beat=beat,
        )
        peer.give_way = connection.scope.cancel
        return connection

    def keep(self, peer: AcceptedConnection) -> None:
        """Let a connection that a room has now keep its place."""
        self._places.keep(peer)

    def admit(
        self,
        upgrade: Upgrade,
        room: Room[Any],
        name: str,
        dialect: Dialect,
        *,
        entry: Command | None = None,
        on_end: Callable[[], None] | None = None,
    ) -> Session | None:
        """Make a member and let a room own it; without a checkpoint.

        Args:
            upgrade: the request, whose peer is the room's from then on.
            room: must have been looked up in the same step.
            name: the member's name, for people.
            dialect: how the peer speaks.
            entry: what to say to the room first; a plain ``Enter`` if not given.
            on_end: called when the connection of somebody who was admitted has ended.

        Returns:
            The member, or ``None`` if the room has ended: then the peer is still the caller's.

        Raises:
            Refused: if its source has too many seats.
            ClosedResourceError: if its place has been given to another one.
        """
        peer = upgrade.peer
        source = peer.source
        if peer.displaced:
            raise trio.ClosedResourceError
        self._allowances.take_seat(source)
        seat = TakenSeat(self._allowances, source)
        connection = self.connect(upgrade)
        session = Session(
            MemberId(secrets.token_hex(_MEMBER_ID_BYTES)),
            name,
            dialect,
            room=room.id,
            inbox=room.inbox,
            connection=connection,
            limits=self._limits,
            counters=self._counters,
            entry=entry,
            on_end=seat if on_end is None else partial(_both, seat, on_end),
        )
        if not room.admit(session):
            self._allowances.return_seat(source)
            peer.give_way = None
            return None
        self._places.keep(peer)
        return session


def _both(first: Callable[[], None], second: Callable[[], None]) -> None:
    first()
    second()
