"""What the database needs at the start, and now and then."""

import contextlib
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import sqlalchemy as sa
import trio

from server.store import access_tokens, bot_tokens, estimations, logbook, posts
from server.store.database import Database
from server.store.lease import Lease
from server.support import threads
from server.support.errors import DatabaseUnusable, StoreUnavailable
from server.support.observe import get_logger
from server.support.supervise import contain

_EVERY_SECONDS: Final = 3600.0
_KEY_SECONDS: Final = 86_400.0  # how long an idempotency key is good
_MOST_PARTS: Final = 1_000  # of one chore in one round

Chore = Callable[[sa.Connection, float], bool]
"""A unit of work that deletes what is too old at a Unix time, in seconds, and tells whether more is
left: each call should take some milliseconds, for nobody else writes to SQLite meanwhile."""


async def prepare(database: Database, lease: Lease) -> None:
    """Become the owner of the database, migrate it, and end what was left open by a kill.

    Release the lease in any case.

    Raises:
        DatabaseUnusable: if another server owns the database, or that cannot be done.
    """
    await lease.acquire()
    await threads.run(database.upgrade)
    await lease.claim()
    end_rooms = partial(estimations.close_left_open, at=time.time())
    try:
        left = await database.run(end_rooms, write=True)
    except StoreUnavailable as reason:
        raise DatabaseUnusable(f"the database {database.describe()} fails: {reason}") from None
    if left:
        get_logger("database").warning("rooms had not been ended", rooms=left)


async def upgrade(database: Database) -> None:
    """Migrate a database that no server owns, and close all connections to it.

    Raises:
        DatabaseUnusable: if a server owns the database, or it cannot be migrated.
    """
    lease = Lease(database)
    try:
        await lease.acquire()
        await threads.run(database.upgrade)
    finally:
        await lease.aclose()
        await database.aclose()


async def tidy(database: Database, retention: Sequence[Chore] = ()) -> None:
    """Delete what has expired, now and every hour, until cancelled.

    Args:
        database: whose rows expire.
        retention: chores beside those that are always done; each is called in transactions of its
            own until nothing is left to do, and again in the next round if it fails.
    """
    while True:
        for chore in (_forget_expired, *retention):
            # If the database is gone, the next round takes this along.
            with contain("housekeeping"), contextlib.suppress(StoreUnavailable):
                for _ in range(_MOST_PARTS):
                    if not await database.run(partial(_do, chore, time.time()), write=True):
                        break
        await trio.sleep(_EVERY_SECONDS)


def _forget_expired(conn: sa.Connection, now: float) -> bool:
    access_tokens.purge(conn, now)
    bot_tokens.purge(conn, now)
    posts.purge_keys(conn, now - _KEY_SECONDS)
    logbook.forget_claims(conn, now - _KEY_SECONDS)
    return False


def _do(chore: Chore, now: float, conn: sa.Connection) -> bool:
    return chore(conn, now)
