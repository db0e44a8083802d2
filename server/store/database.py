"""The database: units of work, each in a thread of its own and in one transaction."""

import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import sqlalchemy as sa
import trio

from server.store import migrate, urls
from server.store.engines import make_engine, writing
from server.store.faults import Fault, fault_of, in_one_line
from server.store.schema import settings
from server.support import threads
from server.support.errors import DatabaseUnusable, StoreUnavailable
from server.support.observe import get_logger

_WAIT_SECONDS: Final = 3.0  # for a thread, and for one's turn to write
_TRIES: Final = 4  # of a transaction that got into another one's way
_REST_SECONDS: Final = 0.5  # after it was gone: everybody else is told at once
_PROBE_SECONDS: Final = 1.0
_CLOSE_SECONDS: Final = 5.0
_PROBE_KEY: Final = "probed_at"

Result = TypeVar("Result")


class Database:
    """Runs units of work, and knows whether the database is there.

    A unit of work is a function of a connection. It runs in a worker thread, inside of one
    transaction that is committed when it returns and rolled back when it raises; it may run more
    than once if transactions collide. What it returns must not refer to the connection.

    On SQLite one unit writes at a time, while any number reads.
    """

    def __init__(self, url: str, *, threads: int = 8) -> None:
        """Use a database, which need not be there yet.

        Args:
            url: such as ``sqlite:///parley.db``.
            threads: as many units of work run at once, each on a connection.

        Raises:
            DatabaseUnusable: if the address cannot be understood.
        """
        try:
            self._url = urls.parse(url)
        except ValueError as bad:
            raise DatabaseUnusable(f"the address of the database: {bad}") from None
        self._engine = make_engine(self._url, threads)
        self._writing_engine = writing(self._engine)
        self._threads = trio.CapacityLimiter(threads)
        self._one_writes = trio.CapacityLimiter(
            1 if self._url.get_backend_name() == "sqlite" else threads
        )
        self._failing: set[bool] = set()  # of reading and of writing
        self._trouble = trio.Event()
        self._gone_until = 0.0
        self._log = get_logger("database")

    @property
    def available(self) -> bool:
        """Whether the last that was tried came through; success in writing tells more."""
        return not self._failing

    def describe(self) -> str:
        """Show its address, without a password."""
        return urls.describe(self._url)

    async def run(self, work: Callable[[sa.Connection], Result], *, write: bool = False) -> Result:
        """Run a unit of work; one that has begun is not cancelled, but waited for.

        Args:
            work: what to do.
            write: must be set for one that changes anything.

        Raises:
            StoreUnavailable: if the database does not answer in time or cannot do it.
            Exception: whatever ``work`` raises.
        """
        # Once the work has begun, the deadline has no effect.
        with trio.move_on_after(_WAIT_SECONDS):
            async with self._turn(write=write):
                try:
                    result = await threads.run(self._transact, work, write, limiter=self._threads)
                except StoreUnavailable as reason:
                    self._note_failure(str(reason), write=write)
                    raise
                self._note_success(write=write)
                return result
        raise StoreUnavailable("too much waits for the database")

    async def probe(self) -> bool:
        """Find out whether the database can be written."""
        try:
            await self.run(_probe, write=True)
        except (StoreUnavailable, sa.exc.SQLAlchemyError):
            return False
        return True

    async def watch(self) -> None:
        """While the database is unavailable, look whether it is back; until cancelled."""
        while True:
            await self._trouble.wait()
            await trio.sleep(_PROBE_SECONDS)
            await self.probe()

    def upgrade(self) -> None:
        """Migrate to the schema of this version.

        Raises:
            DatabaseUnusable: if the database cannot be reached, or cannot be migrated.
        """
        migrate.upgrade(self._url)

    def current(self) -> str | None:
        """Tell which revision of the schema it has; ``None`` for none.

        Raises:
            DatabaseUnusable: if the database cannot be reached.
        """
        return migrate.current(self._url)

    async def aclose(self) -> None:
        """Close all connections, also when cancelled."""
        with trio.move_on_after(_CLOSE_SECONDS, shield=True):
            await threads.run(self._engine.dispose)

    @asynccontextmanager
    async def _turn(self, *, write: bool) -> AsyncIterator[None]:
        if not write:
            yield
            return
        # Not by task: one task may write from several places.
        me = object()
        await self._one_writes.acquire_on_behalf_of(me)
        try:
            yield
        finally:
            self._one_writes.release_on_behalf_of(me)

    def _transact(self, work: Callable[[sa.Connection], Result], write: bool) -> Result:
        """Run a unit of work in this thread."""
        engine = self._writing_engine if write else self._engine
        tries = 0
        while True:
            # Also those who waited for a thread meanwhile shall not each find out themselves.
            if time.monotonic() < self._gone_until:
                raise StoreUnavailable("the database was gone a moment ago")
            tries += 1
            try:
                with engine.begin() as conn:
                    return work(conn)
            except sa.exc.SQLAlchemyError as error:
                fault = fault_of(error)
                if fault is Fault.OTHER:
                    raise
                if fault is Fault.CONFLICT and tries < _TRIES:
                    time.sleep(random.uniform(0.001, 0.02) * tries)  # noqa: S311 - not a secret
                    continue
                if fault is Fault.GONE:
                    self._gone_until = time.monotonic() + _REST_SECONDS
                raise StoreUnavailable(in_one_line(error)) from None

    def _note_failure(self, reason: str, *, write: bool) -> None:
        if not self._failing:
            self._log.warning("the database is unavailable", reason=reason)
            self._trouble.set()
        self._failing.add(write)

    def _note_success(self, *, write: bool) -> None:
        if not self._failing:
            return
        self._failing.discard(False)
        if write:
            self._failing.clear()
        if not self._failing:
            self._log.info("the database is available again")
            self._trouble = trio.Event()
            self._gone_until = 0.0


def _probe(conn: sa.Connection) -> None:
    """Write something: a full disk can still be read."""
    conn.execute(sa.delete(settings).where(settings.c.key == _PROBE_KEY))
    conn.execute(sa.insert(settings).values(key=_PROBE_KEY, value=f"{time.time():.0f}"))
