"""The options of ``poker`` that are about ``parley.v1`` and chaos, and what they lead to."""

import argparse
from typing import Final
from urllib.parse import SplitResult

from scripts.botlib.arguments import Nonsense, Parser, number, whole
from scripts.botlib.lasting.plan import MOST_MEMBERS, LastingPlan
from scripts.botlib.lasting.play import play
from scripts.botlib.lasting.stage import OwnServerPlan
from scripts.botlib.lasting.tally import LastingTally
from scripts.botlib.running import Bar, Run, conclude, seed_of
from server.support.rlimit import raise_limit

OLD: Final = "estimatex"
_DIALECTS: Final = (OLD, "parley.v1", "mixed")
_FILES_EACH: Final = 4
"""Of a member: its own socket, the proxy's two, and one that is still closing."""


def add_options(poker: Parser) -> None:
    """Add the options."""
    add = poker.add_argument
    add(
        "--dialect",
        choices=_DIALECTS,
        default=None,
        help="what members speak; in mixed rooms, a third of them estimatex "
        f"(default: {OLD}, or parley.v1 with --chaos)",
    )
    add_troubles(poker)


def add_troubles(bots: Parser) -> None:
    """Add what makes trouble for members of ``parley.v1``."""
    add = bots.add_argument
    add("--chaos", action="store_true", help="cut, stall and repeat, at moments by the seed")
    add(
        "--server",
        action="store_true",
        help="start a server for this run; with --chaos, kill it and start it again",
    )
    add(
        "--kills",
        type=whole(0),
        default=2,
        help="times that --chaos kills that server; some of its starts and stops end so, too",
    )
    add("--stops", type=whole(0), default=2, help="times that --chaos tells it to stop")
    add(
        "--deadline",
        type=number(above=True),
        default=90.0,
        help="seconds in which something must go on in every room of parley.v1",
    )


def need_a_server(options: argparse.Namespace) -> None:
    """Look whether there is a server.

    Raises:
        Nonsense: if there is none, or more than one.
    """
    if (options.url is None) is not options.server:
        raise Nonsense("one of --url and --server is needed")


def stage_of(options: argparse.Namespace, url: str | None) -> str | OwnServerPlan:
    """Say where members are to play: at an address, or with a server of their own."""
    if url is not None:
        return url
    return OwnServerPlan(kills=options.kills * options.chaos, stops=options.stops * options.chaos)


def is_lasting(options: argparse.Namespace) -> bool:
    """Tell whether members are to outlive their connections; else it is the older dialect's run.

    Raises:
        Nonsense: if the options do not go together.
    """
    dialect = options.dialect or ("parley.v1" if options.chaos else OLD)
    complaint = ""
    need_a_server(options)
    if dialect == OLD and (options.chaos or options.server):
        complaint = "--chaos and --server need --dialect parley.v1 or mixed"
    elif dialect != OLD and options.members > MOST_MEMBERS:
        complaint = f"argument --members: at most {MOST_MEMBERS} in rooms of parley.v1"
    if complaint:
        raise Nonsense(complaint)
    options.dialect = dialect
    return dialect != OLD


def run_lasting(options: argparse.Namespace) -> int:
    """Play; gives the exit code."""
    plan = LastingPlan(
        rooms=options.rooms,
        members=options.members,
        tickets=options.tickets,
        seed=seed_of(options.seed),
        timeout=options.timeout,
        deadline=options.deadline,
        think_time=options.think_time,
        concurrency=options.connect_concurrency,
        mixed=options.dialect == "mixed",
        chaos=options.chaos,
    )
    chaos = options.chaos
    where = stage_of(options, None if options.url is None else _base(options.url))
    raise_limit(_FILES_EACH * plan.rooms * plan.members)
    tally = LastingTally()
    asked = {
        "dialect": options.dialect,
        "chaos": chaos,
        "own_server": options.server,
        "rooms": plan.rooms,
        "members": plan.members,
        "tickets": plan.tickets,
        "seed": plan.seed,
        "think_time": plan.think_time,
    }
    bars = (
        Bar("rounds", plan.rooms * plan.tickets, lambda: tally.rounds),
        Bar("rooms", plan.rooms, lambda: tally.rooms_done),
    )

    async def play_all() -> None:
        await play(plan, tally, where)

    return conclude(
        Run(
            bots="poker",
            play=play_all,
            findings=tally,
            bars=bars,
            asked=asked,
            json=options.json,
        )
    )


def _base(url: SplitResult) -> str:
    """Give where a server is, without the path of its older dialect."""
    scheme = {"ws": "http", "wss": "https"}[url.scheme]
    return url._replace(scheme=scheme, path=url.path.removesuffix("/ws")).geturl()
