"""Where members play: a server, somebody else's or one that dies again and again, and the proxy."""

from collections.abc import Awaitable, Callable

import attrs
import trio

from scripts.botlib.failures import Unusable, leaves, worded
from scripts.botlib.lasting.crash import open_server, torment
from scripts.botlib.lasting.proxy import Proxy, open_proxy
from scripts.botlib.lasting.troubles import Troubles


@attrs.frozen(kw_only=True)
class OwnServerPlan:
    """What becomes of a server of the bots' own."""

    kills: int
    stops: int


@attrs.frozen(kw_only=True)
class Stage:
    """A server, and the way to it."""

    url: str
    proxy: Proxy
    up_at: Callable[[], float]
    """When the server was last started."""
    starts: Callable[[], int]
    """How often it was; 0 if it is nobody's here."""


async def on_stage(
    play: Callable[[Stage], Awaitable[None]],
    tally: Troubles,
    where: str | OwnServerPlan,
    *,
    done: Callable[[], float],
    seed: int,
) -> None:
    """Play as long as it takes, and torment the server meanwhile if it is the bots' own.

    Args:
        play: what is played.
        tally: is told why there was no server.
        where: the server's address, or what becomes of one that is started for it.
        done: says how far the run is, from 0 to 1.
        seed: for the moments at which the server ends.
    """
    if isinstance(where, str):
        async with open_proxy(tally) as proxy:
            await play(Stage(url=where, proxy=proxy, up_at=lambda: 0.0, starts=lambda: 0))
        return
    try:
        async with (
            open_server(tally) as server,
            open_proxy(tally) as proxy,
            trio.open_nursery() as nursery,
        ):

            async def run_torment() -> None:
                await torment(server, done, seed=seed, kills=where.kills, stops=where.stops)

            nursery.start_soon(run_torment)
            await play(
                Stage(
                    url=server.url,
                    proxy=proxy,
                    up_at=lambda: server.up_at,
                    starts=lambda: server.starts,
                )
            )
            nursery.cancel_scope.cancel()
    except* Unusable as group:
        tally.stopped = worded(next(leaves(group)))


@attrs.define(eq=False, kw_only=True)
class Watched:
    """What the members of one room share, of which somebody watches whether it goes on."""

    stage: Stage
    closing: bool = False
    """Its end has been asked for."""
    _progress: float = attrs.Factory(trio.current_time)

    def go_on(self) -> None:
        """Something has gone on."""
        self._progress = trio.current_time()

    @property
    def stuck_for(self) -> float:
        """Seconds since anything went on, with a server that was there."""
        return trio.current_time() - max(self._progress, self.stage.up_at())
