"""The command line of the chat bots."""

import argparse
from typing import Final

from scripts.botlib.arguments import Commands, Nonsense, fraction, http_url, number, whole
from scripts.botlib.chat.plan import Plan, Tally
from scripts.botlib.chat.rooms import talk
from scripts.botlib.lasting.cli import add_troubles, need_a_server
from scripts.botlib.running import Bar, Run, conclude, seed_of
from scripts.botlib.talking.cli import run_talking

OLD: Final = "gochat"
NEW: Final = "parley.v1"

_ABOUT = """\
Everybody talks in every room; some come late, leave and come back, or have a second connection
for a while. Unless told otherwise, a server allows 5 registrations in 30 minutes and 10 logins a
minute from one address (--register-limit 0 --login-limit 0 switch that off there), and 20
messages a second from each member (--inbound-rate)."""


def add_chat(commands: Commands) -> None:
    """Add ``chat``."""
    chat = commands.add_parser(
        "chat",
        help="talk in chat rooms",
        description=_ABOUT,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = chat.add_argument
    add("--url", type=http_url, help="http://host:port")
    add("--rooms", type=whole(1), default=1, help="rooms, all at once")
    add("--members", type=whole(2), default=5, help="members of each room, the same accounts")
    add("--messages", type=whole(1), default=20, help="that each member sends in each room")
    add("--rate", type=number(above=True), default=5.0, help="messages a second per member")
    add("--late", type=fraction, default=0.2, help="share of the members that come later")
    add("--rejoin", type=fraction, default=0.2, help="share that leaves and comes back")
    add("--second", type=fraction, default=0.2, help="share that has a second connection")
    add("--seed", type=int, default=None, help="repeats a run's texts; chosen if not given")
    add("--json", action="store_true", help="print one JSON object, nothing else")
    add("--timeout", type=number(above=True), default=10.0, help="seconds for one answer")
    add("--connect-concurrency", type=whole(1), default=50, help="connections opened at once")
    add(
        "--accounts",
        default="",
        metavar="NAME",
        help="log in to the accounts of this name, made on first use; else new ones every time",
    )
    add(
        "--dialect",
        choices=(OLD, NEW),
        default=None,
        help="what members speak; --late, --rejoin, --second and --accounts are for "
        f"{OLD} (default: {OLD}, or {NEW} with --chaos or --server)",
    )
    add_troubles(chat)

    def run(options: argparse.Namespace) -> int:
        try:
            lasting = _is_lasting(options)
        except Nonsense as nonsense:
            chat.error(str(nonsense))
        return run_talking(options) if lasting else _run(options)

    chat.set_defaults(run=run)


def _is_lasting(options: argparse.Namespace) -> bool:
    """Tell whether members are to outlive their connections.

    Raises:
        Nonsense: if the options do not go together.
    """
    need_a_server(options)
    troubled = options.chaos or options.server
    options.dialect = options.dialect or (NEW if troubled else OLD)
    if options.dialect == OLD and troubled:
        raise Nonsense(f"--chaos and --server need --dialect {NEW}")
    return bool(options.dialect == NEW)


def _run(options: argparse.Namespace) -> int:
    tally = Tally()
    plan = Plan(
        url=options.url,
        rooms=options.rooms,
        members=options.members,
        messages=options.messages,
        rate=options.rate,
        late=options.late,
        rejoin=options.rejoin,
        second=options.second,
        seed=seed_of(options.seed),
        timeout=options.timeout,
        connect_concurrency=options.connect_concurrency,
        accounts=options.accounts,
    )
    return conclude(
        Run(
            bots="chat",
            play=lambda: talk(plan, tally),
            findings=tally,
            bars=(
                Bar("messages", plan.rooms * plan.total, lambda: tally.messages_out),
                Bar("rooms", plan.rooms, lambda: tally.rooms_done),
            ),
            asked={
                "url": plan.url.geturl(),
                "rooms": plan.rooms,
                "members": plan.members,
                "messages": plan.messages,
                "rate": plan.rate,
                "late": plan.late,
                "rejoin": plan.rejoin,
                "second": plan.second,
                "seed": plan.seed,
            },
            json=options.json,
        )
    )
