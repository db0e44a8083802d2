"""What a database's error means for us: try again, wait, or it is a defect."""

import contextlib
import sqlite3
from collections.abc import Iterator
from enum import Enum, auto
from typing import Final

import psycopg
import sqlalchemy as sa

from server.store.urls import describe
from server.support.errors import DatabaseUnusable, StoreUnavailable


class Fault(Enum):
    """The kind of an error."""

    CONFLICT = auto()
    """Two transactions collided; the same may work at once."""
    BUSY = auto()
    """The database is there, but did not answer in time."""
    GONE = auto()
    """The database cannot be reached, read or written."""
    OTHER = auto()
    """Not the database's fault: a constraint, or a mistake in the request."""


_BUSY_SQLITE: Final = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_GONE_SQLITE: Final = {
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_NOTADB,
}

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_CONFLICT_STATES: Final = {"40001", "40P01"}  # serialization failure, deadlock
_BUSY_STATES: Final = {"57014", "55P03"}  # statement timeout, lock timeout
# Connection, authentication, transaction state such as a standby's, database name, resources,
# operator intervention, system. Whole classes.
_GONE_CLASSES: Final = {"08", "25", "28", "3D", "53", "57", "58"}


def fault_of(error: sa.exc.SQLAlchemyError) -> Fault:
    """Classify an error."""
    if isinstance(error, sa.exc.TimeoutError):
        return Fault.BUSY
    if not isinstance(error, sa.exc.DBAPIError):
        return Fault.OTHER
    orig = error.orig
    if isinstance(orig, sqlite3.Error):
        return _of_sqlite(orig)
    if isinstance(orig, psycopg.Error):
        return _of_postgresql(orig, lost=error.connection_invalidated)
    return Fault.OTHER


def in_one_line(error: BaseException) -> str:
    """Give a database's message, without the statement and its parameters."""
    said = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    return " ".join(str(said).split()) or type(said).__name__


@contextlib.contextmanager
def explained(url: sa.URL) -> Iterator[None]:
    """Turn errors of a database into one line for its operator.

    Raises:
        DatabaseUnusable: in place of any error of the database at this address.
    """
    try:
        yield
    except sa.exc.SQLAlchemyError as error:
        verb = "migrated" if fault_of(error) is Fault.OTHER else "used"
        raise DatabaseUnusable(
            f"the database {describe(url)} cannot be {verb}: {in_one_line(error)}"
        ) from None
    except StoreUnavailable as error:
        raise DatabaseUnusable(f"the database {describe(url)} cannot be used: {error}") from None


def _of_sqlite(error: sqlite3.Error) -> Fault:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF  # without details
    if code in _BUSY_SQLITE:
        return Fault.BUSY
    return Fault.GONE if code in _GONE_SQLITE else Fault.OTHER


def _of_postgresql(error: psycopg.Error, *, lost: bool) -> Fault:
    state = error.sqlstate
    if state in _CONFLICT_STATES:
        return Fault.CONFLICT
    if state in _BUSY_STATES:
        return Fault.BUSY
    if state is None:
        # Not said by the server, but about the way to it; or about a value we would not send.
        about_the_way = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
        return Fault.GONE if about_the_way or lost else Fault.OTHER
    return Fault.GONE if lost or state[:2] in _GONE_CLASSES else Fault.OTHER
