"""Migrations: a database gets this version's schema by the scripts in ``migrations/``."""

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from server.store.engines import make_patient_engine, writing
from server.store.faults import explained, in_one_line
from server.store.urls import describe, sqlite_path
from server.support.errors import DatabaseUnusable

_SCRIPTS: Final = Path(__file__).parent / "migrations"
_LOCK: Final = 0x7061726C6579  # "parley": while one process migrates, others wait

# Alembic logs at level info even when there is nothing to do.
logging.getLogger("alembic").setLevel(logging.WARNING)


def upgrade(url: sa.URL) -> None:
    """Migrate to the newest revision in one transaction; does nothing to a current database.

    Raises:
        DatabaseUnusable: if the database cannot be reached, or cannot be migrated.
    """
    path = sqlite_path(url)
    if path is not None:
        _make_private(path)
    with _explained(url), _connection(url) as conn:
        if conn.dialect.name == "postgresql":
            conn.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        config = configuration()
        config.attributes["connection"] = conn
        command.upgrade(config, "head")


def current(url: sa.URL) -> str | None:
    """Give the revision of a database's schema; ``None`` for an empty database.

    Raises:
        DatabaseUnusable: if the database cannot be reached.
    """
    path = sqlite_path(url)
    if path is not None and not path.exists():
        return None  # connecting would create it
    with _explained(url), _connection(url) as conn:
        return MigrationContext.configure(conn).get_current_revision()


def newest() -> str:
    """Give the revision that this version needs."""
    return ScriptDirectory.from_config(configuration()).get_current_head() or ""


def configuration() -> Config:
    """Make Alembic's configuration; the scripts expect a connection in ``attributes``."""
    config = Config()
    # Its parser takes a percent sign for the start of a reference.
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


@contextlib.contextmanager
def _connection(url: sa.URL) -> Iterator[sa.Connection]:
    engine = make_patient_engine(url)
    try:
        with writing(engine).begin() as conn:
            yield conn
    finally:
        engine.dispose()


@contextlib.contextmanager
def _explained(url: sa.URL) -> Iterator[None]:
    try:
        with explained(url):
            yield
    except CommandError as error:
        raise DatabaseUnusable(
            f"the database {describe(url)} cannot be migrated, perhaps a newer version has made "
            f"it: {in_one_line(error)}"
        ) from None


def _make_private(path: Path) -> None:
    """Create the file readable by its owner alone; SQLite gives its other files the same mode."""
    # If the path is wrong, SQLite will say why.
    with contextlib.suppress(OSError):
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
