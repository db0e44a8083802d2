"""What errors mean, and what the database needs at the start and now and then."""

import sqlite3
import time
from functools import partial
from pathlib import Path

import attrs
import psycopg
import pytest
import sqlalchemy as sa
import trio
import trio.testing

from protocol.ids import RoomId
from protocol.messages import TicketId, TicketResult
from server.store import estimations, users
from server.store.database import Database
from server.store.faults import Fault, fault_of, in_one_line
from server.store.housekeeping import prepare, tidy
from server.store.lease import Lease
from server.store.schema import idempotency_keys, settings, tokens
from server.support.errors import DatabaseUnusable
from tests.store.people import add_post, add_user, until

ROUND = estimations.Round(
    estimations.Session(1, RoomId("aaaaaa"), "key", 1.0), 0, TicketResult(TicketId("T"), (), 1.0)
)


def test_errors_are_told_apart() -> None:
    def wrapped(orig: BaseException) -> sa.exc.DBAPIError:
        return sa.exc.DBAPIError("SELECT 1", {"secret": 1}, orig)

    assert fault_of(sa.exc.TimeoutError("pool")) is Fault.BUSY
    assert fault_of(sa.exc.ArgumentError("x")) is Fault.OTHER
    assert fault_of(wrapped(OSError("x"))) is Fault.OTHER
    assert fault_of(wrapped(psycopg.errors.AdminShutdown("x"))) is Fault.GONE
    assert fault_of(wrapped(psycopg.errors.ReadOnlySqlTransaction("x"))) is Fault.GONE
    assert fault_of(wrapped(psycopg.errors.LockNotAvailable("x"))) is Fault.BUSY
    assert fault_of(wrapped(psycopg.errors.UniqueViolation("x"))) is Fault.OTHER
    assert fault_of(wrapped(psycopg.DataError("zero byte"))) is Fault.OTHER
    assert fault_of(wrapped(sqlite3.OperationalError("no such table"))) is Fault.OTHER
    assert in_one_line(wrapped(psycopg.OperationalError("one\n\ttwo  "))) == "one two"
    assert in_one_line(wrapped(psycopg.OperationalError())) == "OperationalError"


async def test_at_the_start_the_database_is_migrated(empty_url: str) -> None:
    database = Database(empty_url)
    lease = Lease(database)
    try:
        await prepare(database, lease)

        assert database.current() is not None
        assert database.available
        assert await database.owner() is not None
    finally:
        await lease.aclose()
        await database.aclose()


async def test_at_the_start_rooms_that_were_left_open_are_ended(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    await database.run(partial(estimations.record, revealed=[ROUND]), write=True)

    lease = Lease(database)
    try:
        await prepare(database, lease)
    finally:
        await lease.aclose()

    [found] = await database.run(partial(estimations.find, room_id=ROUND.session.room_id))
    assert found.closed_at is not None
    assert "rooms=1" in "".join(capsys.readouterr())


async def test_a_database_that_cannot_be_written_at_the_start_is_unusable(
    sqlite_database_path: Path,
) -> None:
    class Migrated(Database):
        def upgrade(self) -> None:
            pass

    with sqlite3.connect(sqlite_database_path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        database = Migrated(f"sqlite:///{sqlite_database_path}")
        lease = Lease(database)
        with pytest.raises(DatabaseUnusable, match=r"alone\.db cannot be used: .*locked"):
            await prepare(database, lease)
        await lease.aclose()
        await database.aclose()
        other.execute("ROLLBACK")
    other.close()


async def test_retention_goes_on_in_parts_and_one_failing_chore_stops_no_other(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[tuple[str, float]] = []
    start = time.time()

    def fail(_: sa.Connection, now: float) -> bool:
        calls.append(("fail", now))
        raise LookupError("a mistake in a chore")

    def forget(conn: sa.Connection, now: float) -> bool:
        conn.execute(sa.insert(settings).values(key=f"part {len(calls)}", value="x"))
        calls.append(("forget", now))
        return len(calls) < 4

    def parts(conn: sa.Connection) -> int:
        return conn.execute(sa.select(sa.func.count()).select_from(settings)).scalar_one()

    async def all_done() -> bool:
        return await database.run(parts) == 3

    async with trio.open_nursery() as nursery:
        nursery.start_soon(tidy, database, [fail, forget])
        await until(all_done)
        await trio.testing.wait_all_tasks_blocked(0.1)
        nursery.cancel_scope.cancel()

    assert [name for name, _ in calls] == ["fail", "forget", "forget", "forget"]
    assert all(start <= now <= time.time() for _, now in calls)
    assert "a mistake in a chore" in "".join(capsys.readouterr())


async def test_what_has_expired_is_forgotten(database: Database) -> None:
    def fill(conn: sa.Connection) -> None:
        ann = add_user(conn)
        add_post(conn, ann, at=1.0, key="k")
        conn.execute(
            sa.insert(tokens).values(digest=b"a", user_id=ann.id, expires_at=2.0, created_at=1.0)
        )

    def left(conn: sa.Connection) -> int:
        return sum(
            conn.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            for table in (tokens, idempotency_keys)
        )

    async def nothing_left() -> bool:
        return await database.run(left) == 0

    await database.run(fill, write=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tidy, database)
        await until(nothing_left)
        nursery.cancel_scope.cancel()

    assert await database.run(partial(users.by_email, email_key="ann@example.org"))


async def results_left(database: Database, days: float, *, ages: list[float]) -> list[int]:
    """Keep results for so many days, of rooms that ended so many days ago; number those left."""
    now = time.time()

    def fill(conn: sa.Connection) -> None:
        for number, age in enumerate(ages):
            session = estimations.Session(number, RoomId("aaaaaa"), f"key{number}", 1.0)
            estimations.record(conn, [attrs.evolve(ROUND, session=session)])
            estimations.close_sessions(conn, [(session, now - age * 86_400)])
        add_post(conn, add_user(conn), at=1.0, key="k")

    async def tidied() -> bool:
        keys = sa.select(sa.func.count()).select_from(idempotency_keys)
        return not await database.run(lambda conn: conn.execute(keys).scalar_one())

    async def found() -> list[int]:
        stored = await database.run(partial(estimations.find, room_id=RoomId("aaaaaa")))
        return sorted(each.session.id for each in stored)

    async def as_many_as_wanted() -> bool:
        wanted = [n for n, age in enumerate(ages) if not days or age < days]
        return await tidied() and await found() == wanted

    await database.run(fill, write=True)
    async with trio.open_nursery() as nursery:
        keep = partial(estimations.forget_old, seconds=days * 86_400 if days else None)
        nursery.start_soon(tidy, database, [keep])
        await until(as_many_as_wanted)
        nursery.cancel_scope.cancel()
    return await found()


async def test_old_results_are_forgotten(database: Database) -> None:
    assert await results_left(database, 30.0, ages=[29.0, 31.0, 0.0, 400.0]) == [0, 2]


async def test_results_are_kept_for_ever_where_that_is_wanted(database: Database) -> None:
    assert await results_left(database, 0.0, ages=[1.0, 10_000.0]) == [0, 1]
