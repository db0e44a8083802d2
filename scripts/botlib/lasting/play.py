"""Plays all rooms at once, with a server of their own if that is asked for."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import attrs
import trio

from scripts.botlib.api import Api
from scripts.botlib.failures import Unusable, leaves, worded
from scripts.botlib.lasting.crash import open_server, torment
from scripts.botlib.lasting.plan import LastingPlan
from scripts.botlib.lasting.proxy import open_proxy
from scripts.botlib.lasting.room import Game, House
from scripts.botlib.lasting.tally import LastingTally
from scripts.botlib.web import Client

_AT_ONCE = 20  # requests over HTTP


@attrs.frozen(kw_only=True)
class OwnServerPlan:
    """What becomes of a server of the bots' own."""

    kills: int
    stops: int


async def play(plan: LastingPlan, tally: LastingTally, where: str | OwnServerPlan) -> None:
    """Play all rooms; whatever goes wrong in one is put into ``tally``.

    Args:
        plan: what.
        tally: is told how it goes.
        where: the server's address, or what becomes of one that is started for it.
    """
    if isinstance(where, str):
        async with _house(plan, tally, where) as house:
            await _play_rooms(house)
        return
    try:
        async with (
            open_server(tally) as server,
            trio.open_nursery() as nursery,
            _house(plan, tally, server.url) as house,
        ):

            async def run_torment() -> None:
                await torment(
                    server,
                    lambda: tally.acknowledged / plan.votes,
                    seed=plan.seed,
                    kills=where.kills,
                    stops=where.stops,
                )

            nursery.start_soon(run_torment)
            own = attrs.evolve(house, up_at=lambda: server.up_at, starts=lambda: server.starts)
            await _play_rooms(own)
            nursery.cancel_scope.cancel()
    except* Unusable as group:
        tally.stopped = worded(next(leaves(group)))


@asynccontextmanager
async def _house(plan: LastingPlan, tally: LastingTally, url: str) -> AsyncIterator[House]:
    async with open_proxy(tally) as proxy, Client(urlsplit(url), plan.timeout, _AT_ONCE) as web:
        yield House(
            plan=plan,
            tally=tally,
            proxy=proxy,
            api=Api(web),
            url=url,
            gate=trio.Semaphore(max(1, plan.concurrency // plan.members)),
            up_at=lambda: 0.0,
            starts=lambda: 0,
        )


async def _play_rooms(house: House) -> None:
    async with trio.open_nursery() as nursery:
        for number in range(1, house.plan.rooms + 1):
            nursery.start_soon(_run_room, house, number)


async def _run_room(house: House, number: int) -> None:
    """Play one room; never raises anything but Cancelled."""
    try:
        await Game(house, number).play()
    except* Exception as group:  # noqa: BLE001 - the supervisor of this room; others go on
        for error in leaves(group):
            house.tally.error(f"room {number}: {worded(error)}")
    else:
        house.tally.rooms_done += 1
