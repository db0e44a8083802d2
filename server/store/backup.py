"""Backups of a database, also of one that is in use."""

import contextlib
import sqlite3
from pathlib import Path

import sqlalchemy as sa

from server.store.schema import servers
from server.store.sqlite_file import copy_into
from server.store.urls import describe, sqlite_path
from server.support.errors import DatabaseUnusable

_PATIENT_SECONDS = 60.0  # for another process that holds the whole database


def back_up(url: sa.URL, target: Path) -> None:
    """Copy an SQLite database, as it is at one moment, into a new file.

    A server may go on writing meanwhile. The copy is a database that can be served from.

    Raises:
        DatabaseUnusable: if the target exists or cannot be written, if there is no database, or
            for PostgreSQL, whose own tools do this; one line that says so.
    """
    path = sqlite_path(url)
    if path is None:
        raise DatabaseUnusable(
            f"db backup copies SQLite alone; for {describe(url)} use PostgreSQL's own pg_dump, "
            f"such as: pg_dump --format=custom --file={target} postgresql://..."
        )
    if not path.exists():
        raise DatabaseUnusable(f"there is no database {path}")
    try:
        with contextlib.closing(
            # Only a connection that may write can take part in a log that others write.
            sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=_PATIENT_SECONDS
            )
        ) as source:
            copy_into(target, source, *_without_owner(source))
    except FileExistsError:
        raise DatabaseUnusable(f"{target} exists already, and is not overwritten") from None
    except OSError as error:
        raise DatabaseUnusable(f"{target} cannot be written: {error.strerror or error}") from None
    except sqlite3.Error as error:
        raise DatabaseUnusable(f"the database {path} cannot be copied: {error}") from None


def _without_owner(source: sqlite3.Connection) -> list[str]:
    """Nobody serves from the copy: who does that first need not wait for the original's owner."""
    found = source.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (servers.name,)).fetchone()
    return [] if found is None else [f"DELETE FROM {servers.name}"]  # noqa: S608 - our own name
