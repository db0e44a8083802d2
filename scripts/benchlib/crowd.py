"""Everybody who is connected: rooms, seats, and one epoll loop over all their sockets."""

import base64
import secrets
import select
import socket
import time
from collections.abc import Callable
from typing import Final

from scripts.benchlib.seats import Misbehaved, Player, Room, Seat
from scripts.benchlib.wire import (
    CLOSE_BY_US,
    CLOSED,
    EACH,
    PING,
    PONG,
    event,
    masked,
    pings,
    scan,
)

_READ: Final = 64 * 1024
_EVENTS: Final = 512  # of one pass
_PATIENCE: Final = 20.0  # seconds in which something must arrive
_DRAIN_EVERY: Final = 50  # new connections
_SERVICE: Final = ~(EACH << CLOSED | EACH << PING)
_GREETING: Final = b'{"type":"CREATE_ROOM","data":{"room_id":"'


class Crowd:
    """All connections to one server; plays nothing by itself.

    A pass reads every socket that is ready once and sends all answers at its end: members who
    were asked together answer together.
    """

    def __init__(self, port: int) -> None:
        """Gather at ``127.0.0.1:port``."""
        self._address = ("127.0.0.1", port)
        self._epoll = select.epoll()
        self._seats: dict[int, Seat] = {}
        self._answers: list[tuple[Seat, bytes]] = []
        self.rooms: list[Room] = []
        self.player: Player | None = None
        self.watching = False
        """Whether the player watches, which costs time."""
        self.heard = 0
        """Text messages received."""
        self.parting = False
        """Whether connections may end."""

    def say(self, seat: Seat, frame: bytes) -> None:
        """Send this at the end of the pass."""
        self._answers.append((seat, frame))

    def flush(self) -> None:
        """Send what was said."""
        answers, self._answers = self._answers, []
        for seat, frame in answers:
            try:
                sent = seat.sock.send(frame)
            except BlockingIOError:
                sent = 0
            except OSError as error:
                if self.parting:
                    continue
                raise Misbehaved(f"the server cut a connection: {error}") from None
            if sent != len(frame):
                raise Misbehaved("the server does not read what members send")

    def turn(self, timeout: float) -> int:
        """Make one pass, waiting up to ``timeout`` seconds for something to come.

        Returns:
            How many sockets were ready.
        """
        ready = self._epoll.poll(timeout, _EVENTS)
        player, heard = self.player, 0
        for descriptor, _ in ready:
            seat = self._seats[descriptor]
            try:
                data = seat.sock.recv(_READ)
            except OSError:
                data = b""
            if not data:
                self._ended(seat)
                continue
            if seat.rest:
                data = seat.rest + data
            frames, used, seen = scan(data)
            heard += frames
            seat.rest = data[used:]
            if player is None:
                self._prompted(seat, seen)
                continue
            if self.watching:
                player.watch(seat, data)
            if seen:
                if seen & ~_SERVICE:
                    self._serve(seat, data, seen)
                player.react(seat, seen)
        self.heard += heard
        if self._answers:
            self.flush()
        return len(ready)

    def turn_until(self, done: Callable[[], bool], what: str) -> None:
        """Make passes until ``done`` says so.

        Raises:
            Misbehaved: if nothing arrives for too long.
        """
        last = time.monotonic()
        while not done():
            if self.turn(0.05):
                last = time.monotonic()
            elif time.monotonic() - last > _PATIENCE:
                raise Misbehaved(f"nothing came for {_PATIENCE:.0f} s while {what}")

    def settle(self, seconds: float = 0.1) -> None:
        """Make passes until nothing has come for so long."""
        while self.turn(seconds):
            pass

    def gather(self, rooms: int, members: int, *, seats: int | None = None) -> list[Room]:
        """Open rooms for ``members`` and fill them one by one, up to ``seats`` if given.

        Returns when everybody has heard of everybody.
        """
        new = []
        for _ in range(rooms):
            room = Room()
            new.append(room)
            self.rooms.append(room)
            for index in range(members if seats is None else seats):
                self._sit_down(room, index, members)
                if len(self._seats) % _DRAIN_EVERY == 0:
                    self._read_all()
            self._read_all()
        if seats is None or seats == members:
            self.turn_until(lambda: all(room.prompted for room in new), "gathering")
        self.settle()
        return new

    def close(self) -> None:
        """Cut all connections."""
        for seat in self._seats.values():
            seat.sock.close()
        self._seats.clear()
        self._epoll.close()

    def _sit_down(self, room: Room, index: int, members: int) -> None:
        name = f"m{index:03}"
        query = (
            f"action=JOIN_ROOM&name={name}&room_id={room.id}"
            if index
            else f"action=CREATE_ROOM&name={name}&max_room_capacity={members}"
        )
        sock, rest = self._connect(query)
        if not index:
            while b'"}}' not in rest:
                rest += self._receive(sock)
            _, found, tail = rest.partition(_GREETING)
            if not found:
                raise Misbehaved(f"no room but {rest[:200]!r}")
            ident, _, rest = tail.partition(b'"}}')
            room.id = ident.decode()
        seat = Seat(room, index, sock, name.encode(), rest)
        room.seats.append(seat)
        sock.sendall(event("JOIN_ROOM", room_id=room.id))
        sock.setblocking(False)
        self._seats[sock.fileno()] = seat
        self._epoll.register(sock.fileno(), select.EPOLLIN)

    def _connect(self, query: str) -> tuple[socket.socket, bytes]:
        sock = socket.create_connection(self._address, _PATIENCE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        sock.sendall(
            f"GET /ws?{query} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self._receive(sock)
        head, _, rest = answer.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101"):
            raise Misbehaved(f"a handshake was answered with {head[:100]!r}")
        return sock, rest

    def _receive(self, sock: socket.socket) -> bytes:
        data = sock.recv(_READ)
        if not data:
            raise Misbehaved("the server ended a connection in its handshake")
        return data

    def _read_all(self) -> None:
        while self.turn(0):
            pass

    def _prompted(self, seat: Seat, seen: int) -> None:
        if seen:
            seat.room.prompted = True

    def _serve(self, seat: Seat, data: bytes, seen: int) -> None:
        if seen >> PING & EACH:
            for payload in pings(data):
                self.say(seat, masked(payload, PONG))
        if seen >> CLOSED & EACH:
            if not self.parting:
                raise Misbehaved(f"the server closed a member: {data[-100:]!r}")
            seat.closed = True
            self.say(seat, masked(b"\x03\xe8", CLOSE_BY_US))

    def _ended(self, seat: Seat) -> None:
        if not self.parting:
            raise Misbehaved(f"member {seat.index} of a room was cut off")
        self._epoll.unregister(seat.sock)
        del self._seats[seat.sock.fileno()]
        seat.sock.close()
