"""Brings a database to the schema of this version, by the scripts in ``migrations/``."""

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
from server.store.faults import Fault, fault_of, in_one_line
from server.store.urls import describe
from server.support.errors import DatabaseUnusable

_SCRIPTS: Final = Path(__file__).parent / "migrations"
_LOCK: Final = 0x7061726C6579  # "parley": one process migrates, others wait

# It tells every step at level info, also when there is none.
logging.getLogger("alembic").setLevel(logging.WARNING)


def upgrade(url: sa.URL) -> None:
    """Migrate to the newest revision, in one transaction; nothing happens if it is there.

    Raises:
        DatabaseUnusable: if the database cannot be reached, or cannot be migrated.
    """
    if url.get_backend_name() == "sqlite":
        _make_private(Path(url.database or ""))
    with _explained(url), _connection(url) as conn:
        if conn.dialect.name == "postgresql":
            conn.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        config = configuration()
        config.attributes["connection"] = conn
        command.upgrade(config, "head")


def current(url: sa.URL) -> str | None:
    """Tell which revision a database has; ``None`` for one that is empty.

    Raises:
        DatabaseUnusable: if the database cannot be reached.
    """
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        return None  # asking would create it
    with _explained(url), _connection(url) as conn:
        return MigrationContext.configure(conn).get_current_revision()


def newest() -> str:
    """Tell which revision this version needs."""
    return ScriptDirectory.from_config(configuration()).get_current_head() or ""


def configuration() -> Config:
    """Make Alembic's configuration; its scripts want a connection in ``attributes``."""
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
    where = describe(url)
    try:
        yield
    except CommandError as error:
        raise DatabaseUnusable(
            f"the database {where} cannot be migrated, perhaps a newer version has made it: "
            f"{in_one_line(error)}"
        ) from None
    except sa.exc.SQLAlchemyError as error:
        verb = "migrated" if fault_of(error) is Fault.OTHER else "used"
        raise DatabaseUnusable(
            f"the database {where} cannot be {verb}: {in_one_line(error)}"
        ) from None


def _make_private(path: Path) -> None:
    """Create the file for its owner's eyes only; SQLite gives its other files the same mode."""
    # What is wrong with the path, SQLite will say.
    with contextlib.suppress(OSError):
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
