"""Plays all rooms at once, with a server of their own if that is asked for."""

from urllib.parse import urlsplit

import trio

from scripts.botlib.api import Api
from scripts.botlib.failures import leaves, worded
from scripts.botlib.lasting.plan import LastingPlan
from scripts.botlib.lasting.room import Game, House
from scripts.botlib.lasting.stage import OwnServerPlan, Stage, on_stage
from scripts.botlib.lasting.tally import LastingTally
from scripts.botlib.web import Client

_AT_ONCE = 20  # requests over HTTP


async def play(plan: LastingPlan, tally: LastingTally, where: str | OwnServerPlan) -> None:
    """Play all rooms; whatever goes wrong in one is put into ``tally``.

    Args:
        plan: what.
        tally: is told how it goes.
        where: the server's address, or what becomes of one that is started for it.
    """

    async def play_rooms(stage: Stage) -> None:
        async with Client(urlsplit(stage.url), plan.timeout, _AT_ONCE) as web:
            gate = trio.Semaphore(max(1, plan.concurrency // plan.members))
            house = House(plan=plan, tally=tally, stage=stage, api=Api(web), gate=gate)
            async with trio.open_nursery() as nursery:
                for number in range(1, plan.rooms + 1):
                    nursery.start_soon(_run_room, house, number)

    def done() -> float:
        return tally.acknowledged / plan.votes

    await on_stage(play_rooms, tally, where, done=done, seed=plan.seed)


async def _run_room(house: House, number: int) -> None:
    """Play one room; never raises anything but Cancelled."""
    try:
        await Game(house, number).play()
    except* Exception as group:  # noqa: BLE001 - the supervisor of this room; others go on
        for error in leaves(group):
            house.tally.error(f"room {number}: {worded(error)}")
    else:
        house.tally.rooms_done += 1
