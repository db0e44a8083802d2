"""What the database needs at the start, and now and then."""

import contextlib
import time
from functools import partial
from typing import Final

import sqlalchemy as sa
import trio

from server.store import access_tokens, estimations, posts
from server.store.database import Database
from server.support import threads
from server.support.errors import DatabaseUnusable, StoreUnavailable
from server.support.observe import get_logger
from server.support.supervise import contain

_EVERY_SECONDS: Final = 3600.0
_REST_SECONDS: Final = 0.1  # from one batch of many to the next: others want to write as well
_DAY_SECONDS: Final = 86_400.0
_KEY_SECONDS: Final = 86_400.0  # for which an idempotency key is good


async def prepare(database: Database) -> None:
    """Migrate, and end what a process that was killed has left open.

    Raises:
        DatabaseUnusable: if that cannot be done.
    """
    await threads.run(database.upgrade)
    end_rooms = partial(estimations.close_left_open, at=time.time())
    try:
        left = await database.run(end_rooms, write=True)
    except StoreUnavailable as reason:
        raise DatabaseUnusable(f"the database {database.describe()} fails: {reason}") from None
    if left:
        get_logger("database").warning("rooms had not been ended", rooms=left)


async def tidy(database: Database, *, results_days: float = 0.0) -> None:
    """Forget what has expired, now and every hour, until cancelled.

    Args:
        database: in which to forget.
        results_days: how long results are kept after the end of their room; 0 for ever.
    """
    while True:
        # While the database is gone, the next round takes it along.
        with contain("housekeeping"), contextlib.suppress(StoreUnavailable):
            await database.run(partial(_forget_expired, now=time.time()), write=True)
            if results_days:
                await _forget_results(database, time.time() - results_days * _DAY_SECONDS)
        await trio.sleep(_EVERY_SECONDS)


async def _forget_results(database: Database, before: float) -> None:
    """Forget old results, a batch at a time."""
    forget = partial(estimations.forget, before=before)
    while await database.run(forget, write=True):  # noqa: ASYNC110 - this is no waiting
        await trio.sleep(_REST_SECONDS)


def _forget_expired(conn: sa.Connection, *, now: float) -> None:
    access_tokens.purge(conn, now)
    posts.purge_keys(conn, now - _KEY_SECONDS)
