"""The command line of the social bots."""

import argparse
from pathlib import Path

from scripts.botlib.arguments import Commands, http_url, number, whole
from scripts.botlib.running import Bar, Run, conclude, seed_of
from scripts.botlib.social.plan import Plan, Tally
from scripts.botlib.social.society import live
from scripts.botlib.social.timeline import Order, Timings, measure

_ABOUT = """\
Everybody follows, posts and reads timelines; then some unfollow, delete posts, log out or delete
their accounts. Unless told otherwise, a server allows 5 registrations in 30 minutes and 10 logins
a minute from one address; --register-limit 0 --login-limit 0 switch that off there."""


def add_social(commands: Commands) -> None:
    """Add ``social``."""
    social = commands.add_parser(
        "social",
        help="follow, post and read timelines",
        description=_ABOUT,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = social.add_argument
    add("--url", type=http_url, required=True, help="http://host:port")
    add("--users", type=whole(2), default=10, help="accounts, new ones every time")
    add("--posts", type=whole(0), default=20, help="that each user writes")
    add("--follows", type=whole(0), default=5, help="users that each user follows")
    add("--seed", type=int, default=None, help="repeats a run's choices; chosen if not given")
    add("--json", action="store_true", help="print one JSON object, nothing else")
    add("--timeout", type=number(above=True), default=10.0, help="seconds for one answer")
    add("--concurrency", type=whole(1), default=8, help="users who act at the same time")
    add(
        "--measure-timeline",
        type=Path,
        metavar="FILE",
        help="instead, put 1000 authors with 100000 posts into the server's SQLite database FILE "
        "and measure how long GET /timeline takes",
    )
    add("--requests", type=whole(1), default=1000, help="to measure, of each kind of page")
    add("--p99", type=number(above=True), default=50.0, help="milliseconds allowed for pages of 20")
    social.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    seed = seed_of(options.seed)
    if options.measure_timeline is not None:
        return _measure(options, seed)
    tally = Tally()
    plan = Plan(
        url=options.url,
        users=options.users,
        posts=options.posts,
        follows=options.follows,
        seed=seed,
        timeout=options.timeout,
        concurrency=options.concurrency,
    )
    asked = {
        "url": plan.url.geturl(),
        "users": plan.users,
        "posts_each": plan.posts,
        "follows_each": plan.follows,
        "seed": seed,
    }
    return conclude(
        Run(
            bots="social",
            play=lambda: live(plan, tally),
            findings=tally,
            bars=(Bar("timelines", 4 * plan.users, lambda: tally.timelines),),
            asked=asked,
            json=options.json,
        )
    )


def _measure(options: argparse.Namespace, seed: int) -> int:
    timings = Timings()
    order = Order(
        url=options.url,
        file=options.measure_timeline,
        requests=options.requests,
        bound=options.p99 / 1000,
        seed=seed,
        timeout=options.timeout,
    )

    def done() -> int:
        return sum(map(len, timings.kinds().values()))

    return conclude(
        Run(
            bots="social",
            play=lambda: measure(order, timings),
            findings=timings,
            bars=(Bar("pages", 3 * order.requests, done),),
            asked={"url": order.url.geturl(), "p99": options.p99, "seed": seed},
            json=options.json,
        )
    )
