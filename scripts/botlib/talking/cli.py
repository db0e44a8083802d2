"""What the options of ``chat`` lead to that are about ``parley.v1`` and chaos."""

import argparse

from scripts.botlib.lasting.cli import stage_of
from scripts.botlib.running import Bar, Run, conclude, seed_of
from scripts.botlib.talking.plan import TalkPlan
from scripts.botlib.talking.play import talk
from scripts.botlib.talking.tally import TalkTally
from server.support.rlimit import raise_limit

_FILES_EACH = 4
"""Of a member: its own socket, the proxy's two, and one that is still closing."""


def run_talking(options: argparse.Namespace) -> int:
    """Talk; gives the exit code."""
    plan = TalkPlan(
        rooms=options.rooms,
        members=options.members,
        messages=options.messages,
        seed=seed_of(options.seed),
        timeout=options.timeout,
        deadline=options.deadline,
        think_time=1 / options.rate,
        chaos=options.chaos,
    )
    where = stage_of(options, None if options.url is None else options.url.geturl())
    raise_limit(_FILES_EACH * plan.rooms * plan.members)
    tally = TalkTally()

    async def talk_in_rooms() -> None:
        await talk(plan, tally, where)

    return conclude(
        Run(
            bots="chat",
            play=talk_in_rooms,
            findings=tally,
            bars=(
                Bar("messages", plan.total, lambda: tally.acknowledged),
                Bar("rooms", plan.rooms, lambda: tally.rooms_done),
            ),
            asked={
                "dialect": options.dialect,
                "chaos": options.chaos,
                "own_server": options.server,
                "rooms": plan.rooms,
                "members": plan.members,
                "messages": plan.messages,
                "rate": options.rate,
                "seed": plan.seed,
            },
            json=options.json,
        )
    )
