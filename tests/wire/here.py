"""A server in the process of the test, so that what is alive of it can be counted."""

import gc
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from server.app import serve
from server.settings.config import Settings
from server.support.limits import Limits
from tests.wire.process import Address
from tests.wire.raw import PATIENCE


def census(kinds: tuple[type, ...]) -> Counter[str]:
    """Count what is alive of these kinds."""
    gc.collect()
    return Counter(type(each).__name__ for each in gc.get_objects() if type(each) in kinds)


@asynccontextmanager
async def serving_here(folder: Path, limits: Limits) -> AsyncIterator[Address]:
    """Serve, on a database in ``folder``."""
    addresses: list[str] = []
    announced = trio.Event()

    def announce(url: str) -> None:
        addresses.append(url)
        announced.set()

    settings = Settings(
        host="127.0.0.1",
        port=0,
        log_level="warning",
        limits=limits,
        database_url=f"sqlite:///{folder / 'parley.db'}",
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve, settings, announce)  # noqa: ASYNC113 - it announces itself
        with trio.fail_after(PATIENCE):
            await announced.wait()
        yield Address(addresses[0])
        nursery.cancel_scope.cancel()
