"""SQLite's file, when somebody deletes, moves or replaces it under the server."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa
import trio

from server.store.database import Database
from server.store.schema import settings
from server.store.writer import Writer
from server.support.errors import StoreUnavailable
from tests.store.people import until


def put(conn: sa.Connection, key: str) -> None:
    conn.execute(sa.insert(settings).values(key=key, value="x"))


def keys(conn: sa.Connection) -> list[str]:
    found = conn.execute(sa.select(settings.c.key).order_by(settings.c.key)).scalars()
    return [key for key in found if key != "probed_at"]


async def keys_in(path: Path) -> list[str]:
    """Read a file as a later process would."""
    database = Database(f"sqlite:///{path}")
    try:
        return await database.run(keys)
    finally:
        await database.aclose()


@asynccontextmanager
async def watching(path: Path) -> AsyncIterator[Database]:
    """Open a database, and look after it as the server does."""
    database = Database(f"sqlite:///{path}")
    try:
        await database.run(partial(put, key="before"), write=True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(database.watch)  # noqa: ASYNC113
            yield database
            nursery.cancel_scope.cancel()
    finally:
        await database.aclose()


async def available(database: Database, *, wanted: bool) -> bool:
    await trio.lowlevel.checkpoint()
    return database.available is wanted


async def test_what_would_go_into_a_deleted_file_is_not_done(sqlite_database_path: Path) -> None:
    database = Database(f"sqlite:///{sqlite_database_path}")

    def put_and_lose(conn: sa.Connection) -> None:
        put(conn, "lost")
        sqlite_database_path.unlink()

    with pytest.raises(StoreUnavailable, match="deleted or moved"):
        await database.run(put_and_lose, write=True)
    with pytest.raises(StoreUnavailable, match="deleted or moved"):
        await database.run(partial(put, key="later"), write=True)

    assert not database.available
    await database.aclose()


@pytest.mark.parametrize("with_log", [True, False])
async def test_a_deleted_file_is_written_anew_with_everything_in_it(
    sqlite_database_path: Path, capsys: pytest.CaptureFixture[str], with_log: bool
) -> None:
    path = sqlite_database_path
    async with watching(path) as database, trio.open_nursery() as nursery:
        writer = Writer(database)
        await nursery.start(writer.run)
        path.unlink()
        for suffix in ("-wal", "-shm") if with_log else ():
            path.with_name(path.name + suffix).unlink()
        writer.put(partial(put, key="meanwhile"))
        with trio.fail_after(30):
            await writer.flush()
        await until(partial(available, database, wanted=True))
        await database.run(partial(put, key="then"), write=True)
        assert await keys_in(path) == ["before", "meanwhile", "then"]
        nursery.cancel_scope.cancel()

    assert await keys_in(path) == ["before", "meanwhile", "then"]
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    printed = "".join(capsys.readouterr())
    assert printed.count("deleted or moved: nothing is written") == 1
    assert printed.count("written anew, and is complete") == 1


async def test_a_replaced_file_is_left_alone_and_its_predecessor_kept_beside_it(
    sqlite_database_path: Path, sqlite_template: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = sqlite_database_path
    own, strange = path.with_name("moved.db"), path.with_name("strange.db")
    shutil.copy(sqlite_template, strange)

    async def is_told() -> bool:
        await trio.lowlevel.checkpoint()
        printed.append("".join(capsys.readouterr()))
        return "keep the right file" in "".join(printed)

    printed: list[str] = []
    async with watching(path) as database:
        os.link(path, own)
        strange.replace(path)
        await until(is_told)
        for write in (False, True):
            with pytest.raises(StoreUnavailable, match="another file"):
                await database.run(keys, write=write)
        assert not database.available
        rescued = [each for each in path.parent.iterdir() if "rescued" in each.name]
        assert len(rescued) == 1
        assert await keys_in(rescued[0]) == ["before"]

        own.replace(path)
        await until(partial(available, database, wanted=True))
        assert await database.run(keys) == ["before"]

    assert "".join(printed).count("nothing is written") == 1


async def test_without_its_folder_the_database_is_gone_until_that_is_back(
    tmp_path: Path, sqlite_template: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    path = Path(shutil.copy(sqlite_template, folder / "parley.db"))

    async def is_told() -> bool:
        await trio.lowlevel.checkpoint()
        return "cannot be written anew yet" in "".join(capsys.readouterr())

    async with watching(path) as database:
        folder.rename(tmp_path / "elsewhere")
        await until(is_told)
        with pytest.raises(StoreUnavailable):
            await database.run(partial(put, key="nowhere"), write=True)
        (tmp_path / "elsewhere").rename(folder)
        await until(partial(available, database, wanted=True))
        await database.run(partial(put, key="again"), write=True)

    assert await keys_in(path) == ["again", "before"]
