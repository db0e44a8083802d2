"""The command line of the bots: which bots there are, their arguments and exit codes."""

import argparse
import json
import math
import random
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Final, NoReturn
from urllib.parse import SplitResult, urlsplit

import trio
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from scripts.botlib.plan import Plan
from scripts.botlib.poker import play
from scripts.botlib.stats import Tally
from scripts.botlib.table import DECKS

GOOD: Final = 0
FAILED: Final = 1
NONSENSE: Final = 2
INTERRUPTED: Final = 130  # as a shell reports a death by SIGINT

REDRAW_SECONDS: Final = 0.2


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say in one line what is wrong."""
        self.exit(NONSENSE, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bots that ``arguments`` ask for.

    Returns:
        The exit code: 0 if every check passed, 1 if not, 2 for nonsense, 130 if interrupted.
    """
    parser = _Parser(
        prog="scripts/bots", description="Scripted clients that check every message they get."
    )
    commands = parser.add_subparsers(required=True, metavar="BOTS", dest="bots")
    _add_poker(commands)
    try:
        options = parser.parse_args(arguments)
    except SystemExit as stop:  # argparse knows no other way out
        return stop.code if isinstance(stop.code, int) else NONSENSE
    run: Callable[[argparse.Namespace], int] = options.run
    return run(options)


def _add_poker(commands: "argparse._SubParsersAction[_Parser]") -> None:
    poker = commands.add_parser(
        "poker",
        help="play planning poker",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = poker.add_argument
    add("--url", type=_url, required=True, help="ws://host:port; the path is /ws unless given")
    add("--rooms", type=_whole(1), default=1, help="rooms, all at once")
    add("--members", type=_whole(2), default=5, help="members of a room, the admin included")
    add("--tickets", type=_whole(1), default=3, help="tickets that each room estimates")
    add("--seed", type=int, default=None, help="repeats a run's cards; chosen if not given")
    add("--json", action="store_true", help="print one JSON object, nothing else")
    add("--timeout", type=_number(above=True), default=10.0, help="seconds for one message")
    add("--connect-concurrency", type=_whole(1), default=50, help="connections opened at once")
    add("--think-time", type=_number(), default=0.0, help="mean seconds before an answer")
    add("--deck", choices=sorted(DECKS), default="default", help="the cards to vote with")
    add(
        "--send-rate",
        type=_number(),
        default=18.0,
        help="messages a second per member, within the server's limit; 0: no bound, for a "
        "server with a higher --inbound-rate",
    )
    add("--send-burst", type=_whole(1), default=36, help="messages at once before that rate holds")
    poker.set_defaults(run=_run_poker)


def _run_poker(options: argparse.Namespace) -> int:
    seed = random.randrange(2**32) if options.seed is None else options.seed
    plan = Plan(
        url=options.url,
        rooms=options.rooms,
        members=options.members,
        tickets=options.tickets,
        seed=seed,
        timeout=options.timeout,
        connect_concurrency=options.connect_concurrency,
        think_time=options.think_time,
        send_rate=options.send_rate,
        send_burst=options.send_burst,
        deck=options.deck,
    )
    tally = Tally()
    trio.run(_watch, plan, tally)
    if tally.errors and not tally.connections and not tally.interrupted:
        print(f"scripts/bots poker: {tally.listed_errors[0]}", file=sys.stderr)
        return FAILED
    if options.json:
        print(json.dumps(_asked(plan) | tally.as_json(), ensure_ascii=False))
    else:
        _show(tally, seed)
    if tally.interrupted:
        return INTERRUPTED
    return GOOD if tally.good else FAILED


def _asked(plan: Plan) -> dict[str, object]:
    """Name what was asked for."""
    return {
        "url": plan.url.geturl(),
        "rooms": plan.rooms,
        "members": plan.members,
        "tickets": plan.tickets,
        "seed": plan.seed,
        "think_time": plan.think_time,
        "send_rate": plan.send_rate,
        "deck": plan.deck,
    }


async def _watch(plan: Plan, tally: Tally) -> None:
    """Play until the end or until SIGINT, and draw how far it is."""
    started = trio.current_time()
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_heed_interrupt, nursery.cancel_scope, tally)
            nursery.start_soon(_draw, plan, tally)
            await play(plan, tally)
            nursery.cancel_scope.cancel()
    finally:
        tally.elapsed = trio.current_time() - started


async def _heed_interrupt(scope: trio.CancelScope, tally: Tally) -> None:
    with trio.open_signal_receiver(signal.SIGINT) as signals:
        async for _ in signals:
            tally.interrupted = True
            scope.cancel()


async def _draw(plan: Plan, tally: Tally) -> None:
    console = Console(stderr=True)
    if not console.is_terminal:
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    # No thread of its own for redrawing: it would fight with this one for the interpreter.
    with Progress(
        *columns, TimeElapsedColumn(), console=console, auto_refresh=False, transient=True
    ) as progress:
        seats = progress.add_task("connections", total=plan.rooms * plan.members)
        rounds = progress.add_task("rounds", total=plan.rooms * plan.tickets)
        while True:
            progress.update(seats, completed=tally.connections)
            progress.update(rounds, completed=tally.rounds)
            progress.refresh()
            await trio.sleep(REDRAW_SECONDS)


def _show(tally: Tally, seed: int) -> None:
    # What servers and members say is no markup, and must not be cut.
    console = Console(markup=False, highlight=False, emoji=False, soft_wrap=True)
    console.print(tally.as_table())
    for title, lines in (
        ("errors", tally.listed_errors),
        ("violations", tally.listed_violations),
    ):
        if lines:
            console.print(f"{title}:")
            for line in lines:
                console.print(f"  {line}")
    for rule, times in tally.rules.most_common():
        console.print(f"{times} x {rule}")
    console.print(f"seed {seed}")


def _whole(least: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(
                f"must be a whole number from {least} on, not {text!r}"
            )
        return value

    return parse


def _number(*, above: bool = False) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or value < 0 or (above and value == 0):
            raise argparse.ArgumentTypeError(
                f"must be a number {'above' if above else 'from'} 0{'' if above else ' on'}, "
                f"not {text!r}"
            )
        return value

    return parse


def _url(text: str) -> SplitResult:
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no URL: {error}") from None
    if url.scheme not in {"ws", "wss"} or not url.hostname or port == 0:
        raise argparse.ArgumentTypeError(f"must be like ws://host:port, not {text!r}")
    if url.query or url.fragment or "@" in url.netloc or not text.isascii() or " " in text:
        raise argparse.ArgumentTypeError(f"must have host, port and path only, not {text!r}")
    return url._replace(path="/ws" if url.path in {"", "/"} else url.path)
