"""A server is stopped with many rooms in it and started again, and everybody comes back."""

import contextlib
import gc
import time
from collections.abc import Iterator
from typing import Final

from scripts.benchlib.back import Comeback
from scripts.benchlib.crowd import Crowd
from scripts.benchlib.generator import ClosedLoop
from scripts.benchlib.measure import cpu_seconds
from scripts.benchlib.seats import Misbehaved, Room
from scripts.benchlib.server import Kind, Processors, Server, home, started
from scripts.benchlib.sessions import Figures, Shape
from scripts.benchlib.tongues import EstimateX, ParleyV1

_AT_ONCE: Final = 100
"""Members who are on their way at the same time."""
_STOP_SECONDS: Final = 60.0
_REST_SECONDS: Final = 1.5
"""After a restart, rooms turn no page until a second after the last member came back."""
_NEW_ROOM: Final = 5
"""Members of the room that is opened and played in while all the others come back."""


def restart(processors: Processors, shape: Shape) -> Figures:
    """Play, stop, start again, bring everybody back, and play on.

    Rounds in a new room of EstimateX are played from the moment on at which the first member sets
    out.
    """
    with home() as place, _undisturbed():
        with started(Kind.PARLEY_V1, processors, place) as server:
            before = Crowd(server.port, ParleyV1(server.port))
            with contextlib.closing(before):
                rooms = before.gather(shape.rooms, shape.members)
                _play_once(before, shape)
                begun = time.monotonic()
                server.stop()
                _see_off(before, server)
                stopped = time.monotonic()
        with started(Kind.PARLEY_V1, processors, place) as server:
            up = time.monotonic()
            figures = _come_back(server, rooms, shape)
    return {"stop_s": stopped - begun, "start_s": up - stopped, **figures}


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    gc.collect()
    gc.disable()  # a pause of the generator would look like one of the server
    try:
        yield
    finally:
        gc.enable()


def _play_once(crowd: Crowd, shape: Shape) -> None:
    loop = ClosedLoop(crowd, shape.members)
    loop.play(1)
    loop.wait()


def _see_off(crowd: Crowd, server: Server) -> None:
    """Answer close frames until the process has ended."""
    crowd.parting = True
    deadline = time.monotonic() + _STOP_SECONDS
    while not server.gone():
        if time.monotonic() > deadline:
            raise Misbehaved(f"the server was there {_STOP_SECONDS:.0f} s after SIGTERM")
        crowd.turn(0.01)
    silent = sum(not seat.closed for room in crowd.rooms for seat in room.seats)
    if silent:
        raise Misbehaved(f"{silent} members were cut off without a close frame")


def _come_back(server: Server, rooms: list[Room], shape: Shape) -> Figures:
    seats = [seat for room in rooms for seat in room.seats]
    crowd = Crowd(server.port, ParleyV1(server.port))
    crowd.rooms += rooms
    new = Crowd(server.port, EstimateX(server.port))
    with contextlib.closing(crowd), contextlib.closing(new):
        cpu, begun = cpu_seconds(server.pid), time.monotonic()
        comeback = Comeback(crowd, server.port, seats, at_once=_AT_ONCE)
        # The first room is opened by blocking sockets: members are on their way by then.
        comeback.turn(0)
        new.gather(1, _NEW_ROOM)
        opened = time.monotonic()
        watched = _Watched(new)

        def others() -> None:
            crowd.turn(0)
            watched.turn()

        comeback.run(others)
        back = time.monotonic()
        cpu = cpu_seconds(server.pid) - cpu
        watched.rest()
        crowd.settle()
        time.sleep(_REST_SECONDS)
        _play_once(crowd, shape)
    return {
        "back_s": back - begun,
        "us_per_return": cpu * 1e6 / len(seats),
        "replayed_percent": 100 * comeback.replayed / len(seats),
        "new_room_ms": (opened - begun) * 1e3,
        "rounds": float(watched.rounds),
        "longest_round_ms": watched.longest * 1e3,
    }


class _Watched:
    """A room in which rounds are played one after the other, and timed."""

    def __init__(self, crowd: Crowd) -> None:
        """Begin the first round."""
        self._crowd = crowd
        self._room = crowd.rooms[0]
        self._loop = ClosedLoop(crowd, _NEW_ROOM)
        self._begun = time.monotonic()
        self.rounds = 0
        self.longest = 0.0
        self._loop.play(1)

    def turn(self) -> None:
        """Make one pass; where a round has ended, begin another."""
        self._crowd.turn(0)
        if self._ended():
            self._loop.play(1)

    def rest(self) -> None:
        """Wait for the end of the round that is under way."""
        self._loop.wait()
        self._ended()

    def _ended(self) -> bool:
        if self._room.done <= self.rounds:
            return False
        now = time.monotonic()
        self.rounds, self.longest = self._room.done, max(self.longest, now - self._begun)
        self._begun = now
        return True
