"""What is done with one freshly started server, for each thing that is measured."""

import contextlib
import gc
import re
import socket
import time
from collections.abc import Iterator, Sequence
from typing import Final

import attrs

from scripts.benchlib.back import Comeback
from scripts.benchlib.crowd import Crowd
from scripts.benchlib.generator import ClosedLoop
from scripts.benchlib.measure import (
    anonymous_kib,
    busy_seconds,
    cpu_seconds,
    sampled,
    typical,
    user_system,
)
from scripts.benchlib.pace import OpenLoop
from scripts.benchlib.seats import Misbehaved
from scripts.benchlib.server import Kind, Processors, Server, running
from scripts.benchlib.tongues import EstimateX, ParleyV1, Tongue

_CALM_SECONDS: Final = 0.2
_TEARDOWN_SECONDS: Final = 10.0
_LEAST_PAUSE: Final = 0.002
_WARM_ROUNDS: Final = 4
_FOR_EVER: Final = 1 << 40
_LIVE_ROOMS: Final = re.compile(rb"^parley_rooms_current ([0-9.]+)", re.MULTILINE)

Figures = dict[str, float]
"""What one session found, by name."""


@attrs.frozen
class Shape:
    """How many rooms of how many members."""

    rooms: int
    members: int

    def __str__(self) -> str:
        """Write it as on the command line."""
        return f"{self.rooms}x{self.members}"


@contextlib.contextmanager
def session(kind: Kind, processors: Processors) -> Iterator[tuple[Server, Crowd]]:
    """Start a server and give a crowd for it; nobody is connected yet."""
    with running(kind, processors) as server:
        crowd = Crowd(server.port, tongue(kind, server.port))
        time.sleep(_CALM_SECONDS)
        gc.collect()
        gc.disable()  # a pause of the generator would look like one of the server
        try:
            yield server, crowd
        finally:
            gc.enable()
            crowd.close()


def tongue(kind: Kind, port: int) -> Tongue:
    """Give the dialect in which a server is played with."""
    return ParleyV1(port) if kind is Kind.PARLEY_V1 else EstimateX(port)


def rounds(kind: Kind, processors: Processors, shape: Shape, seconds: float) -> Figures:
    """Play rounds in a closed loop and say what they cost."""
    with session(kind, processors) as (server, crowd):
        crowd.gather(shape.rooms, shape.members)
        loop = ClosedLoop(crowd, shape.members)
        loop.play(_WARM_ROUNDS)
        loop.wait()
        before = time.monotonic(), cpu_seconds(server.pid), time.process_time()
        user, system = user_system(server.pid)
        heard = crowd.heard
        loop.play(_FOR_EVER)
        slices = sampled(
            server.pid,
            processors.server,
            seconds=seconds,
            least=shape.rooms * loop.per_round,
            step=lambda: crowd.turn(0.05),
            units=lambda: crowd.heard,
        )
        after = time.monotonic(), cpu_seconds(server.pid), time.process_time()
        wall, cpu, own = (new - old for new, old in zip(after, before, strict=True))
        user, system = (
            new - old for new, old in zip(user_system(server.pid), (user, system), strict=True)
        )
        done = crowd.heard - heard
        loop.rest()
    cost, dropped = typical(slices)
    return {
        "us_per_round": cost * loop.per_round,
        "us_per_delivery": cost,
        "rounds_per_second": done / loop.per_round / wall,
        "user_percent": 100 * user / (user + system) if user + system else 0.0,
        "server_percent": 100 * cpu / wall,
        "generator_percent": 100 * own / wall,
        "slices": float(len(slices)),
        "slices_dropped": float(dropped),
    }


def connections(kind: Kind, processors: Processors, shape: Shape) -> Figures:
    """Fill rooms and say what a connection costs, and what it keeps while nothing happens.

    Where members outlive their connections, all of these are cut then and come back.
    """
    with session(kind, processors) as (server, crowd):
        crowd.open(1, shape.members)  # the first request over HTTP takes more
        memory = anonymous_kib(server.pid)
        new = crowd.open(shape.rooms, shape.members)
        cpu = cpu_seconds(server.pid)
        crowd.fill(new, shape.members)
        cpu = cpu_seconds(server.pid) - cpu
        time.sleep(_CALM_SECONDS)
        memory = anonymous_kib(server.pid) - memory
        count = shape.rooms * shape.members
        figures = {"us_per_connection": cpu * 1e6 / count, "kib_per_connection": memory / count}
        if kind is Kind.PARLEY_V1:
            figures |= _resumed(server, crowd)
        return figures


def _resumed(server: Server, crowd: Crowd) -> Figures:
    """Cut everybody's connection, let everybody come back, and say what each of these costs."""
    seats = [seat for room in crowd.rooms for seat in room.seats]
    before = cpu_seconds(server.pid)
    for seat in seats:
        crowd.cut(seat)
    time.sleep(_CALM_SECONDS)
    cut = cpu_seconds(server.pid)
    comeback = Comeback(crowd, server.port, seats, at_once=1)
    comeback.run(lambda: crowd.turn(0))
    crowd.settle()
    back = cpu_seconds(server.pid)
    return {
        "us_per_cut": (cut - before) * 1e6 / len(seats),
        "us_per_resume": (back - cut) * 1e6 / len(seats),
        "replayed_percent": 100 * comeback.replayed / len(seats),
    }


def latency(
    kind: Kind, processors: Processors, shape: Shape, rates: Sequence[float], seconds: float
) -> Iterator[tuple[float, Figures]]:
    """Play at each of these rates (rounds a second) and say how long announcements took."""
    with session(kind, processors) as (server, crowd):
        crowd.gather(shape.rooms, shape.members)
        loop = ClosedLoop(crowd, shape.members)
        loop.play(1)
        loop.wait()
        for rate in rates:
            begun, cpu = time.monotonic(), cpu_seconds(server.pid)
            busy = sum(busy_seconds(processors.server))
            found = OpenLoop(crowd, shape.members, rate).run(0.25 * seconds, seconds)
            foreign = sum(busy_seconds(processors.server)) - busy - cpu_seconds(server.pid) + cpu
            yield (
                rate,
                {
                    "rate": rate,
                    "p50_ms": found.p50,
                    "p90_ms": found.p90,
                    "p99_ms": found.p99,
                    "votes": float(found.votes),
                    "unanswered": float(found.unanswered),
                    "generator_late_p99_ms": found.late_p99,
                    "foreign_percent": max(0.0, 100 * foreign / (time.monotonic() - begun)),
                },
            )


def teardown(kind: Kind, processors: Processors, members: int) -> Figures:
    """Let the admin of a full room go, and say how long everybody else stays."""
    with session(kind, processors) as (server, crowd):
        crowd.gather(1, members)
        ClosedLoop(crowd, members)
        _live_rooms(server.port)  # the first request of all takes longer
        admin, *others = crowd.rooms[0].seats
        crowd.parting = True
        begun = time.perf_counter()
        admin.sock.send(crowd.tongue.ending(admin))
        crowd.turn_until(lambda: all(each.closed for each in others), "a room ends")
        closed = time.perf_counter()
        gone = _gone(server.port, crowd, begun)
    return {
        "closed_ms": (closed - begun) * 1e3,
        "gone_ms": (gone - begun) * 1e3,
    }


def _gone(port: int, crowd: Crowd, begun: float) -> float:
    """Say when the server has no room any more."""
    while True:
        live, now = _live_rooms(port), time.perf_counter()
        if not live:
            return now
        if now - begun > _TEARDOWN_SECONDS:
            raise Misbehaved(f"the room was there {_TEARDOWN_SECONDS:.0f} s after its end")
        # To ask costs the server time as well, so the question waits a tenth of what passed.
        again = now + max(_LEAST_PAUSE, (now - begun) / 10)
        while time.perf_counter() < again:
            crowd.turn(0.001)


def crowded(
    kind: Kind, processors: Processors, open_rooms: Sequence[int], shape: Shape
) -> Iterator[tuple[int, Figures]]:
    """Say what a connection costs while so many rooms are open, in rising order."""
    with session(kind, processors) as (server, crowd):
        for wanted in open_rooms:
            crowd.gather(wanted - len(crowd.rooms), shape.members, seats=1)
            cpu = cpu_seconds(server.pid)
            crowd.gather(shape.rooms, shape.members)
            cpu = cpu_seconds(server.pid) - cpu
            yield wanted, {"us_per_connection": cpu * 1e6 / (shape.rooms * shape.members)}


def _live_rooms(port: int) -> float:
    """Ask the server how many rooms there are."""
    with socket.create_connection(("127.0.0.1", port), _TEARDOWN_SECONDS) as sock:
        sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        answer = b""
        while data := sock.recv(65536):
            answer += data
    found = _LIVE_ROOMS.search(answer.replace(b"\r\n", b"\n"))
    if found is None:
        raise Misbehaved(f"no metrics but {answer[:100]!r}")
    return float(found[1])
