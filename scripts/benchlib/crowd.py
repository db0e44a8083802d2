"""Everybody who is connected: rooms, seats, and one epoll loop over all their sockets."""

import select
import time
from collections.abc import Callable, Sequence
from typing import Final

from scripts.benchlib.handshake import PATIENCE, READ
from scripts.benchlib.seats import Misbehaved, Player, Room, Seat
from scripts.benchlib.tongues import EstimateX, Tongue
from scripts.benchlib.wire import CLOSE_BY_US, CLOSED, EACH, PING, PONG, WRONG, masked, pings

_EVENTS: Final = 512  # of one pass
_DRAIN_EVERY: Final = 50  # new connections
_SERVICE: Final = ~(EACH << CLOSED | EACH << PING | EACH << WRONG)


class Crowd:
    """All connections to one server; plays nothing by itself.

    A pass reads every socket that is ready once and sends all answers at its end: members who
    were asked together answer together.
    """

    def __init__(self, port: int, tongue: Tongue | None = None) -> None:
        """Gather at ``127.0.0.1:port``, speaking EstimateX if nothing else is given."""
        self.tongue: Tongue = tongue or EstimateX(port)
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
        player, scan, heard = self.player, self.tongue.scan, 0
        for descriptor, _ in ready:
            seat = self._seats[descriptor]
            try:
                data = seat.sock.recv(READ)
            except OSError:
                data = b""
            if not data:
                self._ended(seat)
                continue
            if seat.rest:
                data = seat.rest + data
            frames, used, seen = scan(seat, data)
            heard += frames
            seat.rest = data[used:]
            if seen & ~_SERVICE:
                self._serve(seat, data, seen)
            if player is None:
                self._prompted(seat, seen)
                continue
            if self.watching:
                player.watch(seat, data)
            if seen:
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
            elif time.monotonic() - last > PATIENCE:
                raise Misbehaved(f"nothing came for {PATIENCE:.0f} s while {what}")

    def settle(self, seconds: float = 0.1) -> None:
        """Make passes until nothing has come for so long."""
        while self.turn(seconds):
            pass

    def gather(self, rooms: int, members: int, *, seats: int | None = None) -> list[Room]:
        """Open rooms for ``members`` and fill them one by one, up to ``seats`` if given.

        Returns when everybody has heard of everybody.
        """
        new = self.open(rooms, members)
        self.fill(new, members, seats=seats)
        return new

    def open(self, rooms: int, members: int) -> list[Room]:
        """Open rooms for ``members`` that nobody has entered, as far as the dialect can."""
        new = [Room() for _ in range(rooms)]
        self.tongue.open(new, members)
        self.rooms += new
        return new

    def fill(self, rooms: Sequence[Room], members: int, *, seats: int | None = None) -> None:
        """Let members enter, one by one, up to ``seats`` if given."""
        for room in rooms:
            for index in range(members if seats is None else seats):
                seat = self.tongue.enter(room, index, members)
                room.seats.append(seat)
                self.add(seat)
                if len(self._seats) % _DRAIN_EVERY == 0:
                    self.read_all()
            self.read_all()
        if seats is None or seats == members:
            self.turn_until(lambda: all(room.prompted for room in rooms), "gathering")
        self.settle()

    def add(self, seat: Seat) -> None:
        """Listen to a seat from now on."""
        seat.sock.setblocking(False)
        self._seats[seat.sock.fileno()] = seat
        self._epoll.register(seat.sock.fileno(), select.EPOLLIN)
        if seat.rest:
            frames, used, seen = self.tongue.scan(seat, seat.rest)
            self.heard += frames
            seat.rest = seat.rest[used:]
            self._prompted(seat, seen)

    def cut(self, seat: Seat) -> None:
        """End a seat's connection without a word."""
        self._forget(seat)
        seat.rest = b""

    def read_all(self) -> None:
        """Take whatever is there."""
        while self.turn(0):
            pass

    def close(self) -> None:
        """Cut all connections."""
        for seat in self._seats.values():
            seat.sock.close()
        self._seats.clear()
        self._epoll.close()

    def _prompted(self, seat: Seat, seen: int) -> None:
        if seen & _SERVICE:
            seat.room.prompted = True

    def _serve(self, seat: Seat, data: bytes, seen: int) -> None:
        if seen >> PING & EACH:
            for payload in pings(data):
                self.say(seat, masked(payload, PONG))
        if seen >> WRONG & EACH and not self.parting:
            raise Misbehaved(f"the server refuses: {data[-300:]!r}")
        if seen >> CLOSED & EACH:
            if not self.parting:
                raise Misbehaved(f"the server closed a member: {data[-100:]!r}")
            seat.closed = True
            self.say(seat, masked(b"\x03\xe8", CLOSE_BY_US))

    def _ended(self, seat: Seat) -> None:
        if not self.parting:
            raise Misbehaved(f"member {seat.index} of a room was cut off")
        self._forget(seat)

    def _forget(self, seat: Seat) -> None:
        self._epoll.unregister(seat.sock)
        del self._seats[seat.sock.fileno()]
        seat.sock.close()
