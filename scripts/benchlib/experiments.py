"""Which measurements there are: their cases, and the columns in which they are told."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final

import attrs

from scripts.benchlib import sessions
from scripts.benchlib.restart import restart
from scripts.benchlib.server import Kind, Processors
from scripts.benchlib.sessions import Figures, Shape
from scripts.benchlib.wire import deliveries

Run = Callable[[Kind], Iterator[tuple[str, Figures]]]
"""Uses one or more servers of a kind; gives the names of cases and what was found."""

_DELIVERIES_PER_SECOND: Final = 30_000  # offered where no rate is given


@attrs.frozen
class Column:
    """One figure in a table."""

    key: str
    title: str
    digits: int = 0
    compared: bool = False
    """Whether the ratio of both servers is told."""


@attrs.frozen
class Experiment:
    """One measurement."""

    name: str
    title: str
    columns: Sequence[Column]
    runs: Sequence[Run]
    """Each is done for both servers before the next one begins."""
    only: Kind | None = None
    """The one kind that can be measured like this."""


@attrs.frozen(kw_only=True)
class Plan:
    """How large everything is."""

    shapes: Sequence[Shape]
    joining: Shape
    paced: Shape
    """In the open loop."""
    rate: float | None = None
    loads: Sequence[float]
    closing: Sequence[int]
    """Members of rooms that end."""
    sizes: Sequence[Shape]
    open_rooms: Sequence[int]
    newcomers: Shape
    """What joins while so many rooms are open."""
    restarted: Shape
    seconds: float

    @property
    def offered(self) -> float:
        """Rounds a second at which latency is measured."""
        return self.rate or _DELIVERIES_PER_SECOND / deliveries(self.paced.members)

    def most_connections(self, names: Sequence[str]) -> int:
        """Say how many are open at once at the most in the experiments of these names."""
        shapes = [*self.shapes, *self.sizes, self.joining, self.paced]
        if "restart" in names:
            shapes.append(self.restarted)
        extra = len(self.open_rooms) * self.newcomers.rooms * self.newcomers.members
        return max(
            *(each.rooms * each.members for each in shapes),
            *self.closing,
            max(self.open_rooms) + extra,
        )


FULL: Final = Plan(
    shapes=(Shape(200, 5), Shape(50, 10), Shape(10, 50), Shape(5, 100)),
    joining=Shape(200, 5),
    paced=Shape(50, 10),
    loads=(0.1, 0.25, 0.4, 0.55, 0.7, 0.8, 0.9, 1.0),
    closing=(10, 100, 500),
    sizes=(Shape(100, 5), Shape(10, 50), Shape(2, 250), Shape(1, 500)),
    open_rooms=(10, 100, 500, 2000),
    newcomers=Shape(40, 5),
    restarted=Shape(1000, 5),
    seconds=1.6,
)

QUICK: Final = Plan(
    shapes=(Shape(4, 5),),
    joining=Shape(4, 5),
    paced=Shape(4, 5),
    rate=20.0,
    loads=(0.1, 0.2, 0.3, 0.4, 0.5),
    closing=(5,),
    sizes=(Shape(1, 20),),
    open_rooms=(2, 10),
    newcomers=Shape(2, 5),
    restarted=Shape(4, 5),
    seconds=0.2,
)
"""Shows that everything works; its figures mean nothing."""

LOGGED_SHAPES: Final = (Shape(2000, 5), Shape(1000, 10), Shape(250, 50), Shape(150, 100))
"""So many rooms that a server has others to serve while some wait for its log."""

LOGGED_SECONDS: Final = 3.0

_ROUNDS: Final = (
    Column("us_per_round", "us/round", 1, compared=True),
    Column("us_per_delivery", "us/delivery", 2, compared=True),
    Column("rounds_per_second", "rounds/s"),
    Column("user_percent", "user %"),
    Column("server_percent", "server %"),
    Column("generator_percent", "generator %"),
    Column("slices", "slices"),
    Column("slices_dropped", "dropped"),
)
_LATENCY: Final = (
    Column("rate", "rounds/s", 1),
    Column("p50_ms", "p50 ms", 2, compared=True),
    Column("p90_ms", "p90 ms", 2, compared=True),
    Column("p99_ms", "p99 ms", 2, compared=True),
    Column("votes", "votes"),
    Column("unanswered", "unanswered"),
    Column("generator_late_p99_ms", "late p99 ms", 2),
    Column("foreign_percent", "foreign %"),
)
_CROWDED: Final = (Column("us_per_connection", "us/connection", 0, compared=True),)
_CONNECT: Final = (
    *_CROWDED,
    Column("kib_per_connection", "KiB/connection", 1, compared=True),
    Column("us_per_cut", "us/cut"),
    Column("us_per_resume", "us/resume"),
    Column("replayed_percent", "replayed %"),
)
_TEARDOWN: Final = (
    Column("closed_ms", "closed ms", 1, compared=True),
    Column("gone_ms", "gone ms", 1, compared=True),
)
_RESTART: Final = (
    Column("stop_s", "stop s", 2),
    Column("start_s", "start s", 2),
    Column("back_s", "all back s", 2),
    Column("us_per_return", "us/member"),
    Column("replayed_percent", "replayed %"),
    Column("new_room_ms", "new room ms"),
    Column("rounds", "its rounds"),
    Column("longest_round_ms", "longest ms"),
)

NAMES: Final = ("rounds", "connect", "latency", "teardown", "sizes", "crowded", "load", "restart")
"""In the order in which they are done."""

ON_DEMAND: Final = ("load", "restart")
"""Done only if asked for, load also if there is to be a plot."""


def make(name: str, plan: Plan, processors: Processors) -> Experiment:
    """Make the measurement of this name."""
    match name:
        case "rounds" | "sizes":
            shapes = plan.shapes if name == "rounds" else plan.sizes
            title = (
                "CPU per round, closed loop; rooms x members"
                if name == "rounds"
                else "CPU per delivery against the size of rooms; rooms x members"
            )
            runs: list[Run] = [partial(_rounds, plan, processors, each) for each in shapes]
            return Experiment(name, title, _ROUNDS, runs)
        case "connect":
            title = "CPU per connection (handshake and joining), memory per idle connection"
            return Experiment(name, title, _CONNECT, [partial(_connect, plan, processors)])
        case "latency":
            title = "From vote to its announcement, at a fixed rate; rooms x members"
            return Experiment(name, title, _LATENCY, [partial(_latency, plan, processors)])
        case "teardown":
            title = "The admin leaves: until the last close frame, until the room is gone; members"
            runs = [partial(_teardown, processors, each) for each in plan.closing]
            return Experiment(name, title, _TEARDOWN, runs)
        case "crowded":
            title = "CPU per connection against the number of open rooms"
            return Experiment(name, title, _CROWDED, [partial(_crowded, plan, processors)])
        case "load":
            title = f"Latency against load, as a share of the capacity; {plan.paced}"
            return Experiment(name, title, _LATENCY, [partial(_load, plan, processors)])
        case "restart":
            title = "SIGTERM, start on the same database, everybody comes back; rooms x members"
            runs = [partial(_restart, plan, processors)]
            return Experiment(name, title, _RESTART, runs, only=Kind.PARLEY_V1)
    raise ValueError(name)


def _rounds(
    plan: Plan, processors: Processors, shape: Shape, kind: Kind
) -> Iterator[tuple[str, Figures]]:
    yield str(shape), sessions.rounds(kind, processors, shape, plan.seconds)


def _connect(plan: Plan, processors: Processors, kind: Kind) -> Iterator[tuple[str, Figures]]:
    yield str(plan.joining), sessions.connections(kind, processors, plan.joining)


def _latency(plan: Plan, processors: Processors, kind: Kind) -> Iterator[tuple[str, Figures]]:
    seconds = 2 * plan.seconds
    found = sessions.latency(kind, processors, plan.paced, [plan.offered], seconds)
    for _, figures in found:
        yield str(plan.paced), figures


def _teardown(processors: Processors, members: int, kind: Kind) -> Iterator[tuple[str, Figures]]:
    yield str(members), sessions.teardown(kind, processors, members)


def _crowded(plan: Plan, processors: Processors, kind: Kind) -> Iterator[tuple[str, Figures]]:
    found = sessions.crowded(kind, processors, plan.open_rooms, plan.newcomers)
    for rooms, figures in found:
        yield str(rooms), figures


def _load(plan: Plan, processors: Processors, kind: Kind) -> Iterator[tuple[str, Figures]]:
    """Each server against its own capacity, measured right before."""
    cost = sessions.rounds(kind, processors, plan.paced, plan.seconds)["us_per_round"]
    capacity = 1e6 / cost
    rates = [capacity * each for each in plan.loads]
    found = sessions.latency(kind, processors, plan.paced, rates, plan.seconds)
    for share, (_, figures) in zip(plan.loads, found, strict=True):
        yield f"{share:.2f}", figures


def _restart(plan: Plan, processors: Processors, kind: Kind) -> Iterator[tuple[str, Figures]]:
    yield str(plan.restarted), restart(processors, plan.restarted)
