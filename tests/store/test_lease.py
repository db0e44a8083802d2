"""One owner per database: who is let in, who is kept out, and who is put out."""

import os
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa
import trio

from server.store import migrate, servers, urls
from server.store.database import Database
from server.store.lease import Lease
from server.store.schema import settings
from server.store.servers import Server
from server.store.writer import Writer
from server.support.errors import DatabaseUnusable, Ousted, StoreUnavailable
from tests.store.conftest import Postgres
from tests.store.people import until

QUICK = 0.05
"""Seconds between two beats, here."""


@pytest.fixture
async def other(url: str) -> AsyncIterator[Database]:
    """The same database as another process sees it."""
    database = Database(url)
    yield database
    await database.aclose()


def quick(database: Database) -> Lease:
    """Make a lease whose owner is dead after half a second."""
    return Lease(database, beat_seconds=QUICK, dead_seconds=0.5)


@asynccontextmanager
async def owning(database: Database) -> AsyncIterator[tuple[Lease, trio.Event]]:
    """Own a database, and give signs of life; give the event that says that it drains."""
    lease, draining = quick(database), trio.Event()
    try:
        await lease.acquire()
        await lease.claim()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lease.keep, draining)
            yield lease, draining
            nursery.cancel_scope.cancel()
    finally:
        await lease.aclose()


async def own(database: Database) -> None:
    """Own a database, and give it up."""
    async with owning(database):
        pass


def put(conn: sa.Connection, key: str) -> None:
    conn.execute(sa.insert(settings).values(key=key, value="x"))


def keys(conn: sa.Connection) -> list[str]:
    return list(conn.execute(sa.select(settings.c.key)).scalars())


def file_of(database: Database) -> Path | None:
    """Find the file that is locked; PostgreSQL has none."""
    path = urls.sqlite_path(database.url)
    return None if path is None else Path(f"{path}.lock")


async def test_a_second_is_refused_and_told_by_whom(database: Database, other: Database) -> None:
    async with owning(database):
        with pytest.raises(DatabaseUnusable, match=f"in use by .* process {os.getpid()} on") as no:
            await own(other)
        await database.run(partial(put, key="a"), write=True)

    assert str(no.value).isprintable()
    assert other.describe() in str(no.value)
    await own(other)


async def test_it_is_given_up_without_a_trace(database: Database, other: Database) -> None:
    async with owning(database):
        assert await other.owner() is not None
    assert await other.owner() is None


async def test_whoever_comes_while_the_first_drains_waits_for_its_end(
    database: Database, other: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    got = trio.Event()

    async def wait() -> None:
        await own(other)
        got.set()

    async def is_draining() -> bool:
        owner = await other.owner()
        return owner is not None and owner.phase == "draining"

    async with trio.open_nursery() as nursery:
        async with owning(database) as (_, draining):
            draining.set()
            await until(is_draining)
            nursery.start_soon(wait)
            await until(partial(_printed, capsys, "waiting for the last server to end"))
            for number in range(5):
                await database.run(partial(put, key=f"last {number}"), write=True)
            assert not got.is_set()
        with trio.fail_after(30):
            await got.wait()


async def _printed(capsys: pytest.CaptureFixture[str], words: str) -> bool:
    await trio.lowlevel.checkpoint()
    return words in "".join(capsys.readouterr())


async def test_a_row_that_nobody_keeps_alive_is_replaced_whatever_its_clock_says(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    dead = Server(id="dead", host="elsewhere", pid=7, beat=12)
    await database.run(partial(servers.claim, server=dead, after=None, at=1e11), write=True)

    async with owning(database):
        owner = await database.owner()
        assert owner is not None
        assert owner.id != "dead"

    assert "process 7 on elsewhere" in "".join(capsys.readouterr())


async def test_a_beat_keeps_others_out_even_without_the_lock(
    database: Database, other: Database
) -> None:
    alive = Server(id="alive", host="elsewhere", pid=7)
    await database.run(partial(servers.claim, server=alive, after=None, at=1.0), write=True)

    async def live() -> None:
        for count in range(1, 1_000_000):
            work = partial(servers.beat, server_id="alive", count=count, phase="serving")
            await database.run(work, write=True)
            await trio.sleep(QUICK)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(live)
        with pytest.raises(DatabaseUnusable, match="process 7 on elsewhere"):
            await own(other)
        nursery.cancel_scope.cancel()


async def test_a_lock_file_that_was_deleted_is_made_and_locked_again(
    sqlite_database_path: Path,
) -> None:
    database = Database(f"sqlite:///{sqlite_database_path}")
    file = file_of(database)
    assert file is not None

    async def locked_again() -> bool:
        return await trio.to_thread.run_sync(file.exists)

    async with owning(database) as (lease, _):
        file.unlink()
        await until(locked_again)
        other = Database(database.url.render_as_string())
        with pytest.raises(DatabaseUnusable, match="in use"):
            await own(other)
        await other.aclose()
        assert not lease.lost
    await database.aclose()


async def test_a_file_that_cannot_be_locked_is_named(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/nowhere/parley.db")

    with pytest.raises(DatabaseUnusable, match=r"nowhere/parley\.db\.lock"):
        await quick(database).acquire()

    await database.aclose()


async def test_links_to_one_file_are_one_database(sqlite_database_path: Path) -> None:
    link = sqlite_database_path.with_name("link.db")
    link.symlink_to(sqlite_database_path)
    database, other = (Database(f"sqlite:///{path}") for path in (sqlite_database_path, link))

    async with owning(database):
        with pytest.raises(DatabaseUnusable, match="in use"):
            await own(other)

    await database.aclose()
    await other.aclose()


async def test_of_several_that_start_at_once_one_gets_it(url: str) -> None:
    databases = [Database(url) for _ in range(5)]
    owners: list[Database] = []
    refused: list[str] = []
    over = trio.Event()

    async def start(database: Database) -> None:
        try:
            async with owning(database):
                owners.append(database)
                await over.wait()
        except DatabaseUnusable as reason:
            refused.append(str(reason))
            if len(refused) == len(databases) - 1:
                over.set()

    async with trio.open_nursery() as nursery:
        for database in databases:
            nursery.start_soon(start, database)

    assert len(owners) == 1
    for database in databases:
        await database.aclose()


async def test_who_was_replaced_writes_nothing_more_and_says_so(
    database: Database, other: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    writer = Writer(database)
    settled: list[bool] = []
    async with owning(database) as (lease, draining), trio.open_nursery() as nursery:
        await database.run(partial(put, key="before"), write=True)
        owner = await database.owner()
        assert owner is not None
        heir = Server(id="heir", host="elsewhere", pid=7)
        take = partial(servers.claim, server=heir, after=owner.id, at=1.0)
        assert await other.run(take, write=True)

        with pytest.raises(Ousted, match="taken over"):
            await database.run(partial(put, key="after"), write=True)
        writer.put(partial(put, key="behind"), settled=settled.append)
        await nursery.start(writer.run)
        with trio.fail_after(30):
            await writer.flush()
            await draining.wait()
        nursery.cancel_scope.cancel()
        assert lease.lost

    assert settled == [False]
    assert await other.run(keys) == ["before"]
    found = await other.owner()
    assert found is not None
    assert found.id == "heir"
    assert "another server has taken over" in "".join(capsys.readouterr())


async def test_what_has_been_begun_by_the_dead_is_waited_for(
    database: Database, other: Database
) -> None:
    began, go_on = threading.Event(), threading.Event()

    def slowly(conn: sa.Connection) -> None:
        put(conn, "begun")
        began.set()
        assert go_on.wait(20)

    async with owning(database):
        owner = await database.owner()
        assert owner is not None
        heir = Server(id="heir", host="elsewhere", pid=7)
        seen: list[str] = []

        def claim(conn: sa.Connection) -> None:
            assert servers.claim(conn, heir, after=owner.id, at=1.0)
            seen.extend(keys(conn))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(database.run, slowly, write=True))
            await trio.to_thread.run_sync(began.wait, 20)
            nursery.start_soon(partial(other.run, claim, write=True))
            await trio.sleep(0.2)
            assert seen == []
            go_on.set()

    assert seen == ["begun"]


async def test_a_third_that_came_first_is_respected(database: Database, other: Database) -> None:
    lease = quick(database)
    await lease.acquire()
    third = Server(id="third", host="elsewhere", pid=7)
    assert await other.run(partial(servers.claim, server=third, after=None, at=1.0), write=True)

    with pytest.raises(DatabaseUnusable, match="process 7 on elsewhere"):
        await lease.claim()

    await lease.aclose()


@pytest.fixture
def mortal() -> Iterator[Postgres]:
    """A server that may be stopped."""
    server = Postgres()
    yield server
    server.close()


async def test_a_restart_of_postgresql_costs_nobody_the_database(mortal: Postgres) -> None:
    url = mortal.create()
    migrate.upgrade(urls.parse(url))
    database, other = Database(url), Database(url)

    async def kept() -> bool:
        """Tell whether the lock is held again, as a stranger sees it."""
        find = sa.text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
        try:
            return bool(await other.run(lambda conn: conn.execute(find).scalar_one()) == 1)
        except StoreUnavailable:
            return False

    async with owning(database) as (lease, draining):
        await until(kept)
        await trio.to_thread.run_sync(mortal.stop)
        await trio.to_thread.run_sync(mortal.start)
        await until(other.probe)
        with pytest.raises(DatabaseUnusable, match="in use"):
            await own(other)
        await until(kept)
        assert not lease.lost
        assert not draining.is_set()

    await own(other)
    await database.aclose()
    await other.aclose()
