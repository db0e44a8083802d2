"""Members whose connections were lost, on their way back into their seats."""

import json
import select
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import attrs

from scripts.benchlib import wire_v1
from scripts.benchlib.crowd import Crowd
from scripts.benchlib.handshake import PATIENCE, READ, address, upgrade, upgraded
from scripts.benchlib.seats import Misbehaved, Seat
from scripts.benchlib.tongues import typed, welcome

_EVENTS: Final = 512


@attrs.define(eq=False)
class _Way:
    """Somebody who is not back yet."""

    seat: Seat
    sock: socket.socket
    received: bytes = b""
    upgraded: bool = False


class Comeback:
    """Brings members back, so many at once; each is the crowd's again once it is welcome."""

    def __init__(self, crowd: Crowd, port: int, seats: Sequence[Seat], at_once: int) -> None:
        """Let them set out, to the server at this port."""
        self._crowd = crowd
        self._address = address(port)
        self._waiting = deque(seats)
        self._ways: dict[int, _Way] = {}
        self._epoll = select.epoll()
        self._at_once = at_once
        self.replayed = 0
        """Those who were told what they had missed, and not everything."""

    @property
    def done(self) -> bool:
        """Whether everybody is back."""
        return not self._waiting and not self._ways

    def run(self, meanwhile: Callable[[], object]) -> None:
        """Make passes, and let other things have theirs, until everybody is back.

        Raises:
            Misbehaved: if nothing happens for too long.
        """
        try:
            last = time.monotonic()
            while not self.done:
                if self.turn(0.005):
                    last = time.monotonic()
                elif time.monotonic() - last > PATIENCE:
                    raise Misbehaved(f"nothing came for {PATIENCE:.0f} s while members come back")
                meanwhile()
        finally:
            self.close()

    def turn(self, timeout: float) -> int:
        """Make one pass.

        Returns:
            How many sockets were ready.

        Raises:
            Misbehaved: if somebody is not let in.
        """
        while self._waiting and len(self._ways) < self._at_once:
            self._set_out(self._waiting.popleft())
        ready = self._epoll.poll(timeout, _EVENTS)
        for descriptor, event in ready:
            way = self._ways[descriptor]
            if event & select.EPOLLOUT:
                self._ask(way)
            else:
                self._read(way)
        return len(ready)

    def close(self) -> None:
        """Cut whatever is under way."""
        for way in self._ways.values():
            way.sock.close()
        self._ways.clear()
        self._epoll.close()

    def _set_out(self, seat: Seat) -> None:
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.connect_ex(self._address)  # what comes of it is told when it is ready
        self._ways[sock.fileno()] = _Way(seat, sock)
        self._epoll.register(sock.fileno(), select.EPOLLOUT)

    def _ask(self, way: _Way) -> None:
        error = way.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise Misbehaved(f"no connection: error {error}")
        way.sock.send(upgrade(way.seat.room.path, wire_v1.SUBPROTOCOL))
        self._epoll.modify(way.sock.fileno(), select.EPOLLIN)

    def _read(self, way: _Way) -> None:
        try:
            data = way.sock.recv(READ)
        except OSError:
            data = b""
        if not data:
            raise Misbehaved(f"a member was cut off on its way back after {way.received[-200:]!r}")
        way.received += data
        if not way.upgraded:
            rest = upgraded(way.received)
            if rest is None:
                return
            way.upgraded, way.received = True, rest
            seat = way.seat
            known = {"token": seat.token, "seq": seat.seq, "epoch": seat.epoch}
            way.sock.send(wire_v1.request("hello", resume=known))
        for text, end in wire_v1.texts(way.received):
            self._arrive(way, text, way.received[end:])
            return

    def _arrive(self, way: _Way, text: bytes, rest: bytes) -> None:
        seat = way.seat
        said = typed(text, "welcome")
        if said["member"].encode() != seat.name:
            raise Misbehaved(f"somebody came back as another member: {json.dumps(said)[:200]}")
        self.replayed += said["resumed"] == "replayed"
        self._epoll.unregister(way.sock)
        del self._ways[way.sock.fileno()]
        welcome(seat, said)
        seat.sock, seat.rest, seat.closed = way.sock, rest, False
        self._crowd.add(seat)
