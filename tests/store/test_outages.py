"""A real PostgreSQL that is stopped, started and hangs, and a process that is killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa
import trio

from server.store import migrate, urls
from server.store.database import Database
from server.store.schema import settings
from server.store.writer import Writer
from server.support.counters import Counters
from server.support.errors import StoreUnavailable
from tests.store.conftest import Postgres
from tests.store.people import until

KILLED = Path(__file__).with_name("writing_process.py")


@pytest.fixture(scope="module")
def mortal() -> Iterator[Postgres]:
    """A server that may be stopped."""
    server = Postgres()
    yield server
    server.close()


@pytest.fixture
def mortal_url(mortal: Postgres) -> str:
    url = mortal.create()
    migrate.upgrade(urls.parse(url))
    return url


async def is_gone(database: Database) -> bool:
    await trio.lowlevel.checkpoint()
    return not database.available


def put(conn: sa.Connection, number: int) -> None:
    known = sa.select(settings.c.key).where(settings.c.key == f"{number:06}")
    if conn.execute(known).first() is None:
        conn.execute(sa.insert(settings).values(key=f"{number:06}", value="x"))


def numbers(conn: sa.Connection) -> list[int]:
    return [int(key) for key in conn.execute(sa.select(settings.c.key)).scalars() if key.isdigit()]


async def test_what_is_put_while_the_server_is_down_is_written_when_it_is_back(
    mortal: Postgres, mortal_url: str
) -> None:
    database = Database(mortal_url)
    counters = Counters()
    writer = Writer(database, counters=counters)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(database.watch)
        await nursery.start(writer.run)
        for number in range(2000):
            if number == 500:
                await writer.flush()
                await trio.to_thread.run_sync(mortal.stop)
            writer.put(partial(put, number=number))
        await until(partial(is_gone, database))
        start = time.monotonic()
        with pytest.raises(StoreUnavailable):
            await database.run(numbers)
        assert time.monotonic() - start < 3.5
        assert writer.backlog == 1500

        await trio.to_thread.run_sync(mortal.start)
        with trio.fail_after(30):
            await writer.flush()
        assert not await is_gone(database)
        assert sorted(await database.run(numbers)) == list(range(2000))
        assert (counters.writes_done, writer.dropped, writer.backlog) == (2000, 0, 0)
        nursery.cancel_scope.cancel()
    await database.aclose()


async def test_a_server_that_hangs_is_given_up_within_seconds(
    mortal: Postgres, mortal_url: str
) -> None:
    database = Database(mortal_url)
    began = trio.Event()
    token = trio.lowlevel.current_trio_token()
    durations: list[float] = []

    def ask(conn: sa.Connection) -> None:
        numbers(conn)
        token.run_sync_soon(began.set)
        time.sleep(0.3)
        numbers(conn)

    async def fail(work: object) -> None:
        start = time.monotonic()
        with pytest.raises(StoreUnavailable):
            await database.run(ask if work == "ask" else numbers)
        durations.append(time.monotonic() - start)

    await database.run(numbers)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail, "ask")
            await began.wait()
            mortal.freeze()
        # With an idle connection, and with none.
        await trio.sleep(1)
        await fail("idle")
        await trio.sleep(1)
        await fail("none")
    finally:
        mortal.thaw()

    assert max(durations) < 3.5
    await trio.sleep(1)
    assert await database.run(numbers) == []
    assert database.available
    await database.aclose()


async def test_a_statement_that_takes_too_long_is_stopped(mortal_url: str) -> None:
    database = Database(mortal_url)
    start = time.monotonic()

    with pytest.raises(StoreUnavailable, match="statement timeout"):
        await database.run(lambda conn: conn.exec_driver_sql("SELECT pg_sleep(30)").all())

    assert time.monotonic() - start < 3.5
    assert await database.run(numbers) == []
    await database.aclose()


async def test_connections_that_the_server_has_closed_are_replaced_unnoticed(
    mortal: Postgres, mortal_url: str
) -> None:
    database = Database(mortal_url)
    await database.run(numbers)
    await trio.to_thread.run_sync(mortal.stop)
    await trio.to_thread.run_sync(mortal.start)

    assert await database.run(numbers) == []
    assert database.available
    await database.aclose()


def test_killing_the_process_loses_nothing_that_was_settled_and_leaves_no_gap(url: str) -> None:
    process = subprocess.Popen(
        [sys.executable, str(KILLED), url], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    told: list[int] = []
    for line in process.stdout:
        told.append(int(line))
        if len(told) == 300:
            os.kill(process.pid, signal.SIGKILL)
            break
    else:
        raise AssertionError("it has ended by itself")
    told += [int(line) for line in process.stdout.read().splitlines()[:-1]]
    process.stdout.close()
    assert process.wait(20) == -signal.SIGKILL

    engine = sa.create_engine(urls.parse(url))
    with engine.begin() as conn:
        kept = sorted(numbers(conn))
    engine.dispose()

    assert told == list(range(len(told)))
    assert kept == list(range(len(kept)))
    assert len(kept) >= len(told)
