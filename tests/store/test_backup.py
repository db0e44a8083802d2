"""Backups: made while the database is written, and served from afterwards."""

import sqlite3
import stat
import threading
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa
import trio

from server.store import urls
from server.store.backup import back_up
from server.store.database import Database
from server.store.lease import Lease
from server.store.schema import settings
from server.support.errors import DatabaseUnusable


def put(conn: sa.Connection, key: str) -> None:
    conn.execute(sa.insert(settings).values(key=key, value="x"))


def keys(conn: sa.Connection) -> list[str]:
    return list(conn.execute(sa.select(settings.c.key).order_by(settings.c.key)).scalars())


async def test_a_copy_has_all_that_was_committed_and_can_be_served_at_once(
    sqlite_database_path: Path, tmp_path: Path
) -> None:
    database = Database(f"sqlite:///{sqlite_database_path}")
    lease = Lease(database)
    await lease.acquire()
    await lease.claim()
    began, go_on = threading.Event(), threading.Event()

    def slowly(conn: sa.Connection) -> None:
        put(conn, "not committed")
        began.set()
        assert go_on.wait(20)

    await database.run(partial(put, key="committed"), write=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(database.run, slowly, write=True))
        await trio.to_thread.run_sync(began.wait, 20)
        await trio.to_thread.run_sync(back_up, database.url, tmp_path / "copy.db")
        go_on.set()
    assert await database.run(keys) == ["committed", "not committed"]
    await lease.aclose()
    await database.aclose()

    copy = Database(f"sqlite:///{tmp_path}/copy.db")
    assert copy.current() == database.current()
    assert await copy.owner() is None
    assert await copy.run(keys) == ["committed"]
    await copy.aclose()
    assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o600


def test_nothing_is_overwritten(sqlite_database_path: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")

    with pytest.raises(DatabaseUnusable, match=r"notes\.txt exists already"):
        back_up(urls.parse(f"sqlite:///{sqlite_database_path}"), tmp_path / "notes.txt")

    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_database_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnusable, match=r"there is no database .*none\.db"):
        back_up(urls.parse(f"sqlite:///{tmp_path}/none.db"), tmp_path / "copy.db")

    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_copied_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a database at all, but a longer text " * 100)

    with pytest.raises(DatabaseUnusable, match="not a database"):
        back_up(urls.parse(f"sqlite:///{tmp_path}/notes.txt"), tmp_path / "copy.db")

    assert [each.name for each in tmp_path.iterdir()] == ["notes.txt"]


def test_a_place_that_cannot_be_written_is_named(
    sqlite_database_path: Path, tmp_path: Path
) -> None:
    with pytest.raises(DatabaseUnusable, match=r"nowhere/copy\.db cannot be written"):
        back_up(urls.parse(f"sqlite:///{sqlite_database_path}"), tmp_path / "nowhere" / "copy.db")


def test_for_postgresql_its_own_tool_is_named_and_no_password(tmp_path: Path) -> None:
    url = urls.parse("postgres://u:secret@127.0.0.1:1/x")

    with pytest.raises(DatabaseUnusable, match="pg_dump") as no:
        back_up(url, tmp_path / "copy.db")

    assert "secret" not in str(no.value)


def test_a_database_of_the_first_revision_can_be_copied(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "old.db") as old:
        old.execute("CREATE TABLE settings (key TEXT)")
    old.close()

    back_up(urls.parse(f"sqlite:///{tmp_path}/old.db"), tmp_path / "copy.db")

    assert (tmp_path / "copy.db").stat().st_size
