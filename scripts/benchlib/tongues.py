"""The two dialects as the generator speaks them: entering rooms, rounds, and the last word."""

import json
import socket
from collections.abc import Sequence
from typing import Any, Final, Protocol

from scripts.benchlib import wire, wire_v1
from scripts.benchlib.handshake import Http, connect, receive
from scripts.benchlib.seats import Misbehaved, Room, Seat
from scripts.benchlib.wire import BEGIN, CLOSE_BY_US, EACH, REVEAL, masked

_GREETING: Final = b'{"type":"CREATE_ROOM","data":{"room_id":"'
_NOT_THE_OWNERS: Final = ~(EACH << REVEAL | EACH << BEGIN)


class Tongue(Protocol):
    """A dialect."""

    def open(self, rooms: Sequence[Room], members: int) -> None:
        """Open rooms without anybody, if the dialect can; else the first to enter opens one."""

    def enter(self, room: Room, index: int, members: int) -> Seat:
        """Connect somebody to a room; the first is its admin."""

    def scan(self, seat: Seat, data: bytes) -> tuple[int, int, int]:
        """Read what came to a seat, as :func:`scripts.benchlib.wire.scan` does."""

    def moves(self, ticket: int) -> tuple[bytes, bytes, bytes, bytes]:
        """Give the frames of the n-th round: begin, admin's vote, a vote, reveal."""

    def deliveries(self, members: int) -> int:
        """Count the messages that one round delivers."""

    def ending(self, admin: Seat) -> bytes:
        """Give the frame by which the admin ends the room."""


class EstimateX:
    """The dialect of rooms that live as long as their admin's connection."""

    def __init__(self, port: int) -> None:
        """Speak to the server at this port."""
        self._port = port

    def open(self, rooms: Sequence[Room], members: int) -> None:
        """Do nothing."""

    def enter(self, room: Room, index: int, members: int) -> Seat:
        """Connect, and ask to join; the answer is left to the crowd."""
        name = f"m{index:03}"
        query = (
            f"action=JOIN_ROOM&name={name}&room_id={room.id}"
            if index
            else f"action=CREATE_ROOM&name={name}&max_room_capacity={members}"
        )
        sock, rest = connect(self._port, f"/ws?{query}")
        if not index:
            while b'"}}' not in rest:
                rest += receive(sock)
            _, found, tail = rest.partition(_GREETING)
            if not found:
                raise Misbehaved(f"no room but {rest[:200]!r}")
            ident, _, rest = tail.partition(b'"}}')
            room.id = ident.decode()
        sock.sendall(wire.event("JOIN_ROOM", room_id=room.id))
        return Seat(room, index, sock, name.encode(), rest)

    def scan(self, seat: Seat, data: bytes) -> tuple[int, int, int]:
        """Read what came."""
        return wire.scan(data)

    def moves(self, ticket: int) -> tuple[bytes, bytes, bytes, bytes]:
        """Give the frames of a round."""
        return wire.moves(ticket)

    def deliveries(self, members: int) -> int:
        """Count the messages of a round."""
        return wire.deliveries(members)

    def ending(self, admin: Seat) -> bytes:
        """Close the connection."""
        return masked(b"\x03\xe8", CLOSE_BY_US)


class ParleyV1:
    """The dialect of members that outlive their connections."""

    def __init__(self, port: int) -> None:
        """Speak to the server at this port."""
        self._port = port

    def open(self, rooms: Sequence[Room], members: int) -> None:
        """Open them over HTTP."""
        http = Http(self._port)
        try:
            for room in rooms:
                told = http.post("/v1/rooms", {"capacity": members})
                room.id, room.path, room.owner_key = told["id"], told["socket"], told["owner_key"]
        finally:
            http.close()

    def enter(self, room: Room, index: int, members: int) -> Seat:
        """Connect, greet, and read welcome and snapshot; later things are left to the crowd."""
        sock, rest = connect(self._port, room.path, wire_v1.SUBPROTOCOL)
        hello = {"name": f"m{index:03}"} | ({} if index else {"owner_key": room.owner_key})
        sock.sendall(wire_v1.request("hello", **hello))
        seat = Seat(room, index, sock, b"", rest)
        welcome(seat, self._expect(sock, seat, "welcome"))
        snapshot = self._expect(sock, seat, "snapshot")
        seat.seq = snapshot["picture"]["seq"]
        room.prompted = index + 1 == members
        return seat

    def scan(self, seat: Seat, data: bytes) -> tuple[int, int, int]:
        """Read what came, and remember the number of the last change."""
        frames, used, seen, last = wire_v1.scan(data)
        if last:
            seat.seq = last
        # Everybody is told alike; what calls for the owner is its alone.
        return frames, used, seen & _NOT_THE_OWNERS if seat.index else seen

    def moves(self, ticket: int) -> tuple[bytes, bytes, bytes, bytes]:
        """Give the frames of a round."""
        return wire_v1.moves(ticket)

    def deliveries(self, members: int) -> int:
        """Count the messages of a round."""
        return wire_v1.deliveries(members)

    def ending(self, admin: Seat) -> bytes:
        """Ask for the room's end."""
        return wire_v1.closing(admin.room.ticket)

    def _expect(self, sock: socket.socket, seat: Seat, kind: str) -> dict[str, Any]:
        """Take the next message off what a seat has received."""
        while True:
            for text, end in wire_v1.texts(seat.rest):
                seat.rest = seat.rest[end:]
                return typed(text, kind)
            seat.rest += receive(sock)


def welcome(seat: Seat, said: dict[str, Any]) -> None:
    """Keep what a welcome tells a seat."""
    seat.name = said["member"].encode()
    seat.token, seat.epoch = said["token"], said["epoch"]


def typed(text: bytes, kind: str) -> dict[str, Any]:
    """Parse a message, which must be of this type.

    Raises:
        Misbehaved: if it is not.
    """
    read: dict[str, Any] = json.loads(text)
    if read.get("type") != kind:
        raise Misbehaved(f"no {kind} but {text[:200]!r}")
    return read
