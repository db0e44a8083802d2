"""Measures how long a server takes to answer with a page of a big timeline."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult

import attrs
import trio
from rich.table import Table

from scripts.botlib.api import Account, Api, Unexpected, as_list, next_link
from scripts.botlib.crowd import enrol
from scripts.botlib.failures import Unusable, worded
from scripts.botlib.findings import Findings
from scripts.botlib.moves import Violation
from scripts.botlib.social.big import prepare
from scripts.botlib.social.pages import posts_of
from scripts.botlib.stats import latency, percentile, spread
from scripts.botlib.web import Client, NoAnswer

_WARMUP: Final = 20
_LONG: Final = 100


@attrs.frozen(kw_only=True)
class Order:
    """What is to be measured."""

    url: SplitResult
    file: Path
    """The server's database."""
    requests: int
    """Of each kind."""
    bound: float
    """Seconds that 99 % of the usual pages must not exceed."""
    seed: int
    timeout: float


@attrs.define
class Timings(Findings):
    """What was measured; times in seconds."""

    requests: int = 0
    first: list[float] = attrs.field(factory=list)
    """Of the first page, as long as usual."""
    later: list[float] = attrs.field(factory=list)
    """Of pages after the first."""
    long: list[float] = attrs.field(factory=list)
    """Of the first page, as long as can be; only shown, not judged."""

    def kinds(self) -> dict[str, list[float]]:
        """List all kinds of pages."""
        return {"first page": self.first, "later pages": self.later, "long page": self.long}

    def judge(self, bound: float) -> None:
        """Compare with what is allowed."""
        for kind in ("first page", "later pages"):
            seconds = self.kinds()[kind]
            p99 = percentile(sorted(seconds), 99)
            if p99 is None or p99 > bound:
                took = "nothing" if p99 is None else f"{1000 * p99:.1f} ms"
                detail = f"p99 of the {kind} is {took}, not within {1000 * bound:g} ms"
                self.violation("timeline", Violation("slow", "HTTP", detail))

    def as_json(self) -> dict[str, Any]:
        """Put everything into one JSON object."""
        kinds = {
            kind.replace(" ", "_") + "_ms": latency(seconds)
            for kind, seconds in self.kinds().items()
        }
        return self.head() | {"requests": self.requests} | kinds | self.lists()

    def as_table(self) -> Table:
        """Lay everything out for people."""
        rows = [
            (f"{kind} p50 / p90 / p99, ms", spread(seconds))
            for kind, seconds in self.kinds().items()
        ]
        return self.laid_out(*rows, ("requests", self.requests))


async def measure(order: Order, timings: Timings) -> None:
    """Prepare and measure; whatever goes wrong is put into ``timings``."""
    async with Client(order.url, order.timeout, 1) as client:
        api = Api(client)
        accounts = await enrol(api, timings, 1, seed=order.seed)
        if accounts is None:
            return
        [reader] = accounts
        try:
            make = partial(prepare, order.file, reader, order.seed)
            wanted = await trio.to_thread.run_sync(make)
            await _measure(order, timings, api, reader, wanted)
        except Unusable as unusable:
            timings.stopped = worded(unusable)
        except Unexpected as each:
            timings.violation("timeline", Violation(each.rule, "HTTP", each.detail))
        except NoAnswer as error:
            timings.error(worded(error))
        else:
            timings.judge(order.bound)
        timings.requests = api.requests


async def _measure(
    order: Order, timings: Timings, api: Api, reader: Account, wanted: Sequence[int]
) -> None:
    for _ in range(_WARMUP):
        await api.ask("GET", "/timeline", 200, token=reader.token)
    for _ in range(order.requests):
        await _page(api, reader, "/timeline", timings.first, wanted)
    for _ in range(order.requests):
        await _page(api, reader, f"/timeline?limit={_LONG}", timings.long, wanted)
    place, path = 0, "/timeline"
    scratch: list[float] = []
    while len(timings.later) < order.requests:
        kind = timings.later if place else scratch
        read, following = await _page(api, reader, path, kind, wanted[place:])
        # Again from the start at the end.
        place, path = (place + read, following) if following else (0, "/timeline")


async def _page(
    api: Api, reader: Account, path: str, kind: list[float], wanted: Sequence[int]
) -> tuple[int, str | None]:
    """Read one page, which must begin with ``wanted``; tell its length and the next."""
    asked = trio.current_time()
    answer = await api.ask("GET", path, 200, token=reader.token)
    kind.append(trio.current_time() - asked)
    shown = [post.id for post in posts_of(as_list(answer))]
    if not shown or shown != list(wanted[: len(shown)]):
        raise Unexpected("wrong-page", f"{path}: {shown[:3]}... instead of {wanted[:3]}...")
    return len(shown), next_link(answer)
