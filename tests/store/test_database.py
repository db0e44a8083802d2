"""Units of work: threads, transactions, and what a failing database looks like."""

import sqlite3
import threading
import time
from functools import partial
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
import trio
import trio.testing

from server.store.database import Database
from server.store.schema import settings
from server.support.errors import StoreUnavailable
from tests.store.people import until


def put(conn: sa.Connection, key: str, value: str = "x") -> None:
    conn.execute(sa.insert(settings).values(key=key, value=value))


def keys(conn: sa.Connection) -> list[str]:
    return list(conn.execute(sa.select(settings.c.key).order_by(settings.c.key)).scalars())


async def is_available(database: Database) -> bool:
    await trio.lowlevel.checkpoint()
    return database.available


async def test_a_unit_of_work_runs_in_a_thread_and_is_committed(database: Database) -> None:
    def work(conn: sa.Connection) -> int:
        put(conn, "a")
        return threading.get_ident()

    assert await database.run(work, write=True) != threading.get_ident()
    assert await database.run(keys) == ["a"]


async def test_a_unit_of_work_that_fails_changes_nothing(database: Database) -> None:
    def work(conn: sa.Connection) -> None:
        put(conn, "a")
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await database.run(work, write=True)

    assert await database.run(keys) == []
    assert database.available


async def test_errors_of_the_work_itself_are_not_taken_for_an_outage(database: Database) -> None:
    await database.run(partial(put, key="a"), write=True)

    with pytest.raises(sa.exc.IntegrityError):
        await database.run(partial(put, key="a"), write=True)
    with pytest.raises(sa.exc.SQLAlchemyError):
        await database.run(lambda conn: conn.exec_driver_sql("SELECT nonsense").all())

    assert database.available


async def test_of_many_writers_each_sees_what_the_one_before_has_written(
    database: Database,
) -> None:
    await database.run(partial(put, key="n", value="0"), write=True)

    def increase(conn: sa.Connection) -> None:
        # Locked as a unit of work on PostgreSQL must; on SQLite it is alone anyway.
        row = sa.select(settings.c.value).where(settings.c.key == "n").with_for_update()
        value = int(conn.execute(row).scalar_one())
        conn.execute(sa.update(settings).where(settings.c.key == "n").values(value=str(value + 1)))

    async with trio.open_nursery() as nursery:
        for _ in range(40):
            nursery.start_soon(partial(database.run, increase, write=True))

    value = await database.run(lambda conn: conn.execute(sa.select(settings.c.value)).scalar())
    assert value == "40"


async def test_reading_goes_on_while_somebody_writes(database: Database) -> None:
    written, go_on = threading.Event(), threading.Event()

    def slowly(conn: sa.Connection) -> None:
        put(conn, "a")
        written.set()
        assert go_on.wait(20)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(database.run, slowly, write=True))
        await trio.to_thread.run_sync(written.wait, 20)
        assert await database.run(keys) == []
        go_on.set()

    assert await database.run(keys) == ["a"]


async def test_a_unit_of_work_that_has_begun_is_waited_for_when_cancelled(
    database: Database,
) -> None:
    began, go_on = threading.Event(), threading.Event()

    def slowly(conn: sa.Connection) -> None:
        began.set()
        assert go_on.wait(20)
        put(conn, "a")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(database.run, slowly, write=True))
        await trio.to_thread.run_sync(began.wait, 20)
        nursery.cancel_scope.cancel()
        go_on.set()

    assert await database.run(keys) == ["a"]


async def test_waiting_for_a_thread_has_an_end(
    url: str, autojump_clock: trio.testing.MockClock
) -> None:
    # The clock jumps while the thread is busy, as nothing else is to be done.
    database = Database(url, threads=1)
    go_on = threading.Event()
    refused = 0

    async def refuse() -> None:
        nonlocal refused
        with pytest.raises(StoreUnavailable, match="too much waits"):
            await database.run(keys)
        refused += 1
        go_on.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(database.run, lambda _: go_on.wait(20))
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(refuse)

    assert refused == 1
    await database.aclose()


async def test_transactions_that_collide_are_tried_again(database: Database) -> None:
    tries = 0

    def collide(conn: sa.Connection) -> int:
        nonlocal tries
        tries += 1
        put(conn, f"try {tries}")
        if tries < 3:
            raise sa.exc.DBAPIError("x", None, psycopg.errors.DeadlockDetected("x"))
        return tries

    assert await database.run(collide, write=True) == 3
    assert await database.run(keys) == ["try 3"]


async def test_transactions_that_always_collide_are_given_up(database: Database) -> None:
    def collide(_: sa.Connection) -> None:
        raise sa.exc.DBAPIError("x", None, psycopg.errors.SerializationFailure("collided"))

    with pytest.raises(StoreUnavailable, match="collided"):
        await database.run(collide, write=True)


async def test_after_a_failure_the_next_success_makes_it_available(database: Database) -> None:
    def fail(_: sa.Connection) -> None:
        raise sa.exc.DBAPIError("x", None, psycopg.errors.QueryCanceled("too slow"))

    for write in (False, True):
        with pytest.raises(StoreUnavailable, match="too slow"):
            await database.run(fail, write=write)
    assert not database.available

    await database.run(keys)
    assert not database.available  # that it can be read says nothing about writing
    assert await database.probe()
    assert database.available


async def test_it_is_probed_until_it_is_back(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: sa.Connection) -> None:
        raise sa.exc.DBAPIError("x", None, psycopg.OperationalError("no route"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(database.watch)
        with pytest.raises(StoreUnavailable, match="no route"):
            await database.run(fail)
        with pytest.raises(StoreUnavailable, match="a moment ago"):
            await database.run(keys)
        await until(partial(is_available, database))
        nursery.cancel_scope.cancel()

    printed = "".join(capsys.readouterr())
    assert printed.count("the database is unavailable") == 1
    assert printed.count("the database is available again") == 1


async def test_a_probe_without_tables_fails_without_a_noise(empty_url: str) -> None:
    database = Database(empty_url)

    assert not await database.probe()

    await database.aclose()


async def test_another_process_that_holds_the_lock_for_long_makes_it_unavailable(
    sqlite_database_path: Path,
) -> None:
    database = Database(f"sqlite:///{sqlite_database_path}")
    with sqlite3.connect(sqlite_database_path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        start = time.monotonic()
        with pytest.raises(StoreUnavailable, match="locked"):
            await database.run(partial(put, key="a"), write=True)
        assert time.monotonic() - start < 4
        assert await database.run(keys) == []
        other.execute("ROLLBACK")
    other.close()

    await database.run(partial(put, key="a"), write=True)
    assert database.available
    await database.aclose()


async def test_on_sqlite_foreign_keys_hold_and_the_log_is_written_ahead(
    sqlite_database_path: Path,
) -> None:
    database = Database(f"sqlite:///{sqlite_database_path}")

    def pragmas(conn: sa.Connection) -> list[object]:
        names = ("foreign_keys", "journal_mode", "synchronous", "busy_timeout")
        return [conn.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]

    assert await database.run(pragmas) == [1, "wal", 1, 2500]
    await database.aclose()
    assert not sqlite_database_path.with_name("alone.db-wal").exists()


async def test_a_full_disk_makes_it_unavailable(sqlite_database_path: Path) -> None:
    database = Database(f"sqlite:///{sqlite_database_path}", threads=1)

    def fill(conn: sa.Connection) -> None:
        pages = conn.exec_driver_sql("PRAGMA page_count").scalar_one()
        conn.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        put(conn, "a", "x" * 100_000)

    with pytest.raises(StoreUnavailable, match="full"):
        await database.run(fill, write=True)

    assert not database.available
    await database.aclose()
