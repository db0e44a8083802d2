"""The database: units of work, each in a worker thread and in one transaction."""

import math
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from typing import Final, TypeVar

import sqlalchemy as sa
import trio

from server.store import migrate, servers, urls
from server.store.engines import make_engine, writing
from server.store.faults import Fault, fault_of, in_one_line
from server.store.schema import settings
from server.store.sqlite_file import Place, SqliteFile
from server.support import threads
from server.support.errors import DatabaseUnusable, Ousted, StoreUnavailable
from server.support.observe import get_logger

_WAIT_SECONDS: Final = 3.0  # for a thread, and for one's turn to write
_TRIES: Final = 4  # of a transaction that collides with others
_REST_SECONDS: Final = 0.5  # after a failure, in which nobody else tries
_PROBE_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 1.0  # between two looks at SQLite's file
_RESCUE_SECONDS: Final = 10.0  # between two tries to write it anew
_CLOSE_SECONDS: Final = 5.0
_PROBE_KEY: Final = "probed_at"

Result = TypeVar("Result")


class Database:
    """Runs units of work, and knows whether the database is there.

    A unit of work is a function of a connection. It runs in a worker thread, in one transaction
    that is committed when the function returns and rolled back when it raises; it may run more
    than once if transactions collide. Its result must not refer to the connection.

    On SQLite one unit writes at a time, while any number read.
    """

    def __init__(self, url: str, *, threads: int = 8) -> None:
        """Use a database, which need not be there yet.

        Args:
            url: the address, such as ``sqlite:///parley.db``.
            threads: the number of units of work at once, each on a connection.

        Raises:
            DatabaseUnusable: if the address cannot be understood.
        """
        try:
            self.url: Final = urls.parse(url)
        except ValueError as bad:
            raise DatabaseUnusable(f"the address of the database: {bad}") from None
        self._engine = make_engine(self.url, threads)
        self._writing_engine = writing(self._engine)
        path = urls.sqlite_path(self.url)
        self._file = None if path is None else SqliteFile(path)
        self._threads = trio.CapacityLimiter(threads)
        self._one_writes = trio.CapacityLimiter(threads if path is None else 1)
        self._owner: str | None = None
        self._failing: set[bool] = set()  # of reading and of writing
        self._trouble = trio.Event()
        self._gone_until = 0.0
        self._log = get_logger("database")

    @property
    def available(self) -> bool:
        """Whether the latest units succeeded; a success in writing tells more than in reading."""
        return not self._failing

    def describe(self) -> str:
        """Show the address, without a password."""
        return urls.describe(self.url)

    def own(self, server_id: str) -> None:
        """From now on, write only while the server of this id owns the database."""
        self._owner = server_id

    async def owner(self) -> servers.Server | None:
        """Find the server that owns the database; ``None`` also if there is no database.

        Raises:
            StoreUnavailable: if the database does not answer.
        """
        if self._file is not None and not await threads.run(self._file.path.exists):
            return None  # connecting would create it
        return await self.run(servers.owner)

    async def run(self, work: Callable[[sa.Connection], Result], *, write: bool = False) -> Result:
        """Run a unit of work; one that has begun is waited for even when cancelled.

        Args:
            work: the unit of work.
            write: must be set for one that changes anything.

        Raises:
            StoreUnavailable: if the database does not answer in time or cannot do it; if the
                answer to a commit is missing, the work may be done all the same.
            Ousted: if another server owns the database; nothing is written.
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
        """Look until cancelled whether the database is back, and whether its file is in place."""
        async with trio.open_nursery() as nursery:
            if self._file is not None:
                nursery.start_soon(self._watch_file, self._file)
            while True:
                await self._trouble.wait()
                await trio.sleep(_PROBE_SECONDS)
                await self.probe()

    def upgrade(self) -> None:
        """Migrate to the schema of this version.

        Raises:
            DatabaseUnusable: if the database cannot be reached or migrated.
        """
        migrate.upgrade(self.url)

    def current(self) -> str | None:
        """Give the revision of its schema; ``None`` if it has none.

        Raises:
            DatabaseUnusable: if the database cannot be reached.
        """
        return migrate.current(self.url)

    async def aclose(self) -> None:
        """Close all connections, also when cancelled."""
        with trio.move_on_after(_CLOSE_SECONDS, shield=True):
            await threads.run(self._engine.dispose)
            if self._file is not None:
                await threads.run(self._file.close)

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
        tries = 0
        while True:
            # Whoever has waited for a thread need not find out again that the database is gone.
            if time.monotonic() < self._gone_until:
                raise StoreUnavailable("the database was gone a moment ago")
            tries += 1
            try:
                with self._used():
                    return self._once(work, write)
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

    def _used(self) -> AbstractContextManager[None]:
        return nullcontext() if self._file is None else self._file.used()

    def _once(self, work: Callable[[sa.Connection], Result], write: bool) -> Result:
        """Run a unit of work in one transaction."""
        with (self._writing_engine if write else self._engine).begin() as conn:
            if self._file is not None:
                self._file.hold()
            if write and self._owner is not None and not servers.owns(conn, self._owner):
                raise Ousted
            result = work(conn)
            if write and self._file is not None:
                self._file.check()
            return result

    async def _watch_file(self, file: SqliteFile) -> None:
        """Look where the file is; when it is gone, write it anew from what is still open."""
        told, rescue_at = Place.HERE, math.inf
        while True:
            await trio.sleep(_LOOK_SECONDS)
            place = await threads.run(file.look)
            if place is not told:
                told, rescue_at = place, math.inf
                if place is Place.HERE:
                    self._log.warning("the file of the database is in its place")
                else:
                    rescue_at = trio.current_time()
                    self._note_failure(place.value, write=True)
                    self._log.error(f"{place.value}: nothing is written", path=str(file.path))
            if trio.current_time() >= rescue_at:
                rescued = await self._rescue(file)
                rescue_at = math.inf if rescued else trio.current_time() + _RESCUE_SECONDS

    async def _rescue(self, file: SqliteFile) -> bool:
        try:
            kept = await threads.run(file.rescue, self._engine.dispose)
        except StoreUnavailable as reason:
            self._log.error("the database cannot be written anew yet", reason=str(reason))
            return False
        if kept is None:
            self._log.warning("the database has been written anew, and is complete")
        else:
            self._log.error("stop the server and keep the right file", rescued=str(kept))
        return True

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
