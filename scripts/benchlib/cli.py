"""The command line of the benchmark: arguments, repetitions, what is written where, exit codes."""

import argparse
import json
import math
import resource
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

import attrs

from scripts.benchlib.experiments import (
    FULL,
    LOGGED_SECONDS,
    LOGGED_SHAPES,
    NAMES,
    ON_DEMAND,
    QUICK,
    Experiment,
    Plan,
    make,
)
from scripts.benchlib.plot import Line, draw
from scripts.benchlib.report import Results, as_json, machine, table
from scripts.benchlib.seats import Misbehaved
from scripts.benchlib.server import Kind, NotStarted, share_out
from scripts.benchlib.sessions import Shape

GOOD: Final = 0
FAILED: Final = 1
NONSENSE: Final = 2
INTERRUPTED: Final = 130  # as a shell reports a death by SIGINT

_COLOURS: Final = {Kind.PARLEY_V1: "#2ca02c", Kind.PARLEY: "#1f77b4", Kind.PEER: "#d62728"}
_ONE_SHAPE: Final = ("rounds", "connect", "latency")
_DIALECTS: Final = {
    "estimatex": (Kind.PARLEY, Kind.PEER),
    "parley.v1": (Kind.PARLEY_V1,),
    "both": (Kind.PARLEY_V1, Kind.PARLEY),
}
_SPARE_DESCRIPTORS: Final = 100
_MOST_CONNECTIONS: Final = 20_000  # what a server grants without being asked for more


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say in one line what is wrong."""
        self.exit(NONSENSE, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what ``arguments`` ask for.

    Returns:
        The exit code: 0 if everything was measured, 1 if a server failed, 2 for nonsense, 130
        if interrupted.
    """
    parser = _make_parser()
    try:
        options = parser.parse_args(arguments)
        plan, names = _plan(parser, options)
        _check_machine(parser, plan, names, (options.json, options.plot))
    except SystemExit as stop:  # argparse knows no other way out
        return stop.code if isinstance(stop.code, int) else NONSENSE
    signal.signal(signal.SIGTERM, _terminated)
    try:
        return _measure(options, plan, names)
    except (Misbehaved, NotStarted, OSError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED


def _measure(options: argparse.Namespace, plan: Plan, names: Sequence[str]) -> int:
    processors = share_out()
    if processors.server == processors.generator:
        _note("only one processor: the generator is in the server's way")
    kinds = _DIALECTS[options.dialect]
    if options.alone:
        kinds = tuple(kind for kind in kinds if kind is not Kind.PEER)
    about = machine()
    print(f"{about['processor']}, Linux {about['kernel']}, Python {about['python']}")
    everything = []
    for name in names:
        experiment = make(name, plan, processors)
        results = Results(experiment)
        measured = (experiment.only,) if experiment.only else kinds
        for case, kind, figures in _repeat(experiment, measured, options.repetitions):
            results.add(case, kind, figures)
        everything.append(results)
        print(f"\n{table(results)}", flush=True)
    if options.json:
        told = {
            "repetitions": options.repetitions,
            "seconds": plan.seconds,
            "quick": options.quick,
            "only": list(names),
            "dialect": options.dialect,
        }
        text = json.dumps(as_json(everything, told), indent=1, allow_nan=False)
        options.json.write_text(text + "\n")
    if options.plot:
        options.plot.write_text(_drawn(everything[-1]))
    return GOOD


def _repeat(
    experiment: Experiment, kinds: Sequence[Kind], repetitions: int
) -> Iterator[tuple[str, Kind, dict[str, float]]]:
    """Do every run for one server after the other, taking turns in who is first."""
    for number in range(repetitions):
        _note(f"{experiment.name}: {number + 1} of {repetitions}")
        for run in experiment.runs:
            for kind in kinds if number % 2 == 0 else kinds[::-1]:
                for case, figures in run(kind):
                    yield case, kind, figures


def _drawn(results: Results) -> str:
    lines = []
    for key, dashed in (("p50_ms", False), ("p99_ms", True)):
        for kind, colour in _COLOURS.items():
            points = [
                (float(case), results.medians(case, kind)[key])
                for case, kinds in results.cases.items()
                if kind in kinds
            ]
            if points:
                lines.append(Line(f"{kind} {key[:3]}", colour, points, dashed=dashed))
    share = "offered load as a share of the server's own capacity"
    return draw(results.experiment.title, share, "vote to announcement, ms", lines)


def _plan(parser: _Parser, options: argparse.Namespace) -> tuple[Plan, tuple[str, ...]]:
    plan = QUICK if options.quick else FULL
    if not options.quick and options.dialect != "estimatex":
        plan = attrs.evolve(plan, shapes=LOGGED_SHAPES, seconds=LOGGED_SECONDS)
    names = tuple(name for name in NAMES if name not in ON_DEMAND)
    if options.quick and options.repetitions is None:
        options.repetitions = 1
    options.repetitions = options.repetitions or 5
    if (options.rooms is None) != (options.members is None):
        parser.error("--rooms and --members go together")
    if options.rooms is not None:
        shape = Shape(options.rooms, options.members)
        plan = attrs.evolve(
            plan, shapes=(shape,), joining=shape, paced=shape, restarted=shape, rate=None
        )
        names = _ONE_SHAPE
    if options.only:
        unfit = [name for name in options.only if name not in (*names, *ON_DEMAND)]
        if unfit:
            parser.error(f"{unfit[0]} has no single configuration for --rooms and --members")
        names = tuple(name for name in NAMES if name in options.only)
    if options.plot and "load" not in names:
        names = (*names, "load")
    if options.rate is not None:
        plan = attrs.evolve(plan, rate=options.rate)
    if options.seconds is not None:
        plan = attrs.evolve(plan, seconds=options.seconds)
    return plan, names


def _check_machine(
    parser: _Parser, plan: Plan, names: Sequence[str], files: Sequence[Path | None]
) -> None:
    if not Path("/proc/self/schedstat").exists() or not Path("/proc/self/smaps_rollup").exists():
        parser.error("needs Linux with /proc/PID/schedstat and smaps_rollup")
    for file in filter(None, files):
        if file.is_dir() or not file.parent.is_dir():
            parser.error(f"cannot write {file}")
    connections = plan.most_connections(names)
    if connections > _MOST_CONNECTIONS:
        parser.error(f"rooms times members must be {_MOST_CONNECTIONS} at the most")
    needed = connections + _SPARE_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        parser.error(f"needs {needed} open files, but the limit (ulimit -Hn) is {hard}")
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _make_parser() -> _Parser:
    parser = _Parser(
        prog="scripts/bench",
        description="Measures Parley and a plain asyncio server in alternation, on Linux. "
        "scripts/README.md says what the figures mean.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("-r", "--repetitions", type=_whole(1), metavar="N", help="of everything (5)")
    add("--seconds", type=_number, help="measured in each run (1.6)")
    add("--only", type=_names, metavar="WHAT", help=f"comma-separated: {', '.join(NAMES)}")
    add(
        "--dialect",
        choices=sorted(_DIALECTS),
        default="estimatex",
        help="estimatex: beside the peer (default); parley.v1; both: one beside the other",
    )
    add("--rooms", type=_whole(1), metavar="N", help="a single configuration, with --members")
    add("--members", type=_members, metavar="N", help="2 to 500")
    add("--rate", type=_number, metavar="ROUNDS", help="a second at which latency is measured")
    add("--json", type=Path, metavar="FILE", help="write every run")
    add("--plot", type=Path, metavar="FILE.svg", help="draw latency against load")
    add("--quick", action="store_true", help="only show that it works, in some seconds")
    add("--alone", action="store_true", help="measure Parley only")
    return parser


def _whole(least: int) -> Callable[[str], int]:
    def whole(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"must be an integer from {least}, not {text!r}")
        return value

    return whole


def _members(text: str) -> int:
    value = _whole(2)(text)
    if value > 500:  # seats, likewise
        raise argparse.ArgumentTypeError(f"must be 500 at the most, not {text!r}")
    return value


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number above 0, not {text!r}")
    return value


def _names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    for name in names:
        if name not in NAMES:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(NAMES)}")
    return names


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    """End by way of all the finally clauses: they end the servers."""
    sys.exit(128 + number)
