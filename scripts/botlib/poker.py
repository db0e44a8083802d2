"""Plays estimation sessions, all rooms at once; whatever goes wrong in one stays in it."""

import random

import trio

from scripts.botlib.crowd import FIRST_NAMES
from scripts.botlib.failures import leaves, worded
from scripts.botlib.member import Member, Session
from scripts.botlib.plan import Plan
from scripts.botlib.stats import Tally
from scripts.botlib.table import Table


async def play(plan: Plan, tally: Tally) -> None:
    """Play all rooms at once; whatever goes wrong in one is put into ``tally``."""
    gate = trio.CapacityLimiter(plan.connect_concurrency)
    async with trio.open_nursery() as nursery:
        for number in range(1, plan.rooms + 1):
            nursery.start_soon(_run_room, plan, tally, gate, number)


async def _run_room(plan: Plan, tally: Tally, gate: trio.CapacityLimiter, number: int) -> None:
    """Play one session; never raises anything but Cancelled."""
    session = _seat(plan, tally, gate, number)
    try:
        async with trio.open_nursery() as nursery:
            for name in session.table.names:
                nursery.start_soon(Member(session, name).run)
    except* Exception as group:  # noqa: BLE001 - the supervisor of this room; others go on
        for error in leaves(group):
            tally.error(f"{session.label}: {worded(error)}")
    else:
        tally.rooms_done += 1


def _seat(plan: Plan, tally: Tally, gate: trio.CapacityLimiter, number: int) -> Session:
    # Of one width, so that no name or ticket is part of another.
    room = f"{number:0{len(str(plan.rooms))}}"
    wide, long = len(str(plan.members)), len(str(plan.tickets))
    dice = random.Random(f"{plan.seed} {room}")
    names = [f"{dice.choice(FIRST_NAMES)} r{room}m{i:0{wide}}" for i in range(plan.members)]
    tickets = [f"R{room}-T{i:0{long}}" for i in range(1, plan.tickets + 1)]
    return Session(plan, tally, gate, f"room {room}", Table(names, tickets))
