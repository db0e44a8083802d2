"""The command line of the bots: which bots there are; their exit codes."""

import argparse
from collections.abc import Callable, Sequence

from scripts.botlib.arguments import NONSENSE, Commands, Nonsense, Parser, number, whole, ws_url
from scripts.botlib.chat.cli import add_chat
from scripts.botlib.lasting.cli import add_options, is_lasting, run_lasting
from scripts.botlib.plan import Plan
from scripts.botlib.poker import play
from scripts.botlib.running import Bar, Run, conclude, seed_of
from scripts.botlib.social.cli import add_social
from scripts.botlib.stats import Tally
from scripts.botlib.table import DECKS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bots that ``arguments`` ask for.

    Returns:
        The exit code: 0 if every check passed, 1 if not, 2 for nonsense, 130 if interrupted.
    """
    parser = Parser(
        prog="scripts/bots", description="Scripted clients that check every message they get."
    )
    commands = parser.add_subparsers(required=True, metavar="BOTS", dest="bots")
    _add_poker(commands)
    add_chat(commands)
    add_social(commands)
    try:
        options = parser.parse_args(arguments)
        run: Callable[[argparse.Namespace], int] = options.run
        return run(options)
    except SystemExit as stop:  # argparse knows no other way out
        return stop.code if isinstance(stop.code, int) else NONSENSE


def _add_poker(commands: Commands) -> None:
    poker = commands.add_parser(
        "poker",
        help="play planning poker",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = poker.add_argument
    add("--url", type=ws_url, help="ws://host:port; the path is /ws unless given")
    add("--rooms", type=whole(1), default=1, help="rooms, all at once")
    add("--members", type=whole(2), default=5, help="members of a room, the admin included")
    add("--tickets", type=whole(1), default=3, help="tickets that each room estimates")
    add("--seed", type=int, default=None, help="repeats a run's cards; chosen if not given")
    add("--json", action="store_true", help="print one JSON object, nothing else")
    add("--timeout", type=number(above=True), default=10.0, help="seconds for one message")
    add("--connect-concurrency", type=whole(1), default=50, help="connections opened at once")
    add("--think-time", type=number(), default=0.0, help="mean seconds before an answer")
    add("--deck", choices=sorted(DECKS), default="default", help="the cards to vote with")
    add(
        "--send-rate",
        type=number(),
        default=18.0,
        help="messages a second per member, within the server's limit; 0: no bound, for a "
        "server with a higher --inbound-rate",
    )
    add("--send-burst", type=whole(1), default=36, help="messages at once before that rate holds")
    add_options(poker)

    def run(options: argparse.Namespace) -> int:
        try:
            lasting = is_lasting(options)
        except Nonsense as nonsense:
            poker.error(str(nonsense))
        return run_lasting(options) if lasting else _run_poker(options)

    poker.set_defaults(run=run)


def _run_poker(options: argparse.Namespace) -> int:
    plan = Plan(
        url=options.url,
        rooms=options.rooms,
        members=options.members,
        tickets=options.tickets,
        seed=seed_of(options.seed),
        timeout=options.timeout,
        connect_concurrency=options.connect_concurrency,
        think_time=options.think_time,
        send_rate=options.send_rate,
        send_burst=options.send_burst,
        deck=options.deck,
    )
    tally = Tally()
    asked = {
        "url": plan.url.geturl(),
        "rooms": plan.rooms,
        "members": plan.members,
        "tickets": plan.tickets,
        "seed": plan.seed,
        "think_time": plan.think_time,
        "send_rate": plan.send_rate,
        "deck": plan.deck,
    }
    bars = (
        Bar("connections", plan.rooms * plan.members, lambda: tally.connections),
        Bar("rounds", plan.rooms * plan.tickets, lambda: tally.rounds),
    )

    async def play_all() -> None:
        await play(plan, tally)
        if tally.errors and not tally.connections:
            tally.stopped = tally.listed_errors[0]

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
