"""SQLAlchemy's engines, set up so that no call of a database waits for ever."""

import sqlite3
import time
from typing import Any, Final, TypeVar

import psycopg
import sqlalchemy as sa
from psycopg.abc import PQGen
from sqlalchemy.pool import NullPool

STATEMENT_SECONDS: Final = 2.5
"""Longest time for one statement, including its wait for a lock."""

_PING_SECONDS: Final = 0.7  # for an idle connection to answer; with connecting, below 3
_CONNECT_SECONDS: Final = 2  # psycopg's minimum
_GRACE_SECONDS: Final = 0.3  # for PostgreSQL to give up first
_IDLE_SECONDS: Final = 30  # then PostgreSQL ends an abandoned transaction
_PATIENT_SECONDS: Final = 60.0  # for another process to migrate
_DEAD_SECONDS: Final = 6  # without a sign of the other end: its connection is gone
_LOG_BYTES: Final = 64 * 2**20  # SQLite truncates its log to this after a checkpoint

_WRITE: Final = "parley_write"

Result = TypeVar("Result")


def make_engine(url: sa.URL, connections: int) -> sa.Engine:
    """Make an engine for units of work.

    On SQLite its transactions only read; :func:`writing` gives an engine for those that write.
    """
    if url.get_backend_name() == "sqlite":
        engine = sa.create_engine(
            url,
            pool_size=connections,
            max_overflow=0,
            pool_timeout=STATEMENT_SECONDS,
            hide_parameters=True,
            connect_args={"timeout": STATEMENT_SECONDS},
        )
        _prepare_sqlite(engine)
        return engine
    engine = sa.create_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=STATEMENT_SECONDS,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args=_postgresql_arguments(url, _CONNECT_SECONDS, STATEMENT_SECONDS),
    )
    sa.event.listen(engine, "do_connect", _connect_impatiently)
    sa.event.listen(engine, "checkout", _allow_statements)
    sa.event.listen(engine, "checkin", _allow_a_ping)
    return engine


def make_patient_engine(url: sa.URL) -> sa.Engine:
    """Make an engine for one connection, whose statements may take as long as they need."""
    if url.get_backend_name() == "sqlite":
        engine = sa.create_engine(
            url,
            poolclass=NullPool,
            hide_parameters=True,
            connect_args={"timeout": _PATIENT_SECONDS},
        )
        _prepare_sqlite(engine)
        return engine
    return sa.create_engine(
        url,
        poolclass=NullPool,
        hide_parameters=True,
        connect_args=_postgresql_arguments(url, _CONNECT_SECONDS, 0),
    )


def make_lasting_engine(url: sa.URL) -> sa.Engine:
    """Make an engine for one connection to PostgreSQL that is kept open, without transactions.

    The server notices within :data:`_DEAD_SECONDS` that the machine at this end is gone; what
    the connection holds is free then.
    """
    wait = _DEAD_SECONDS // 3
    arguments = _postgresql_arguments(url, _CONNECT_SECONDS, STATEMENT_SECONDS)
    arguments["options"] = " ".join(
        (
            f"-c tcp_keepalives_idle={wait}",
            f"-c tcp_keepalives_interval={wait}",
            "-c tcp_keepalives_count=2",
            arguments["options"],
        )
    )
    engine = sa.create_engine(
        url,
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",
        hide_parameters=True,
        connect_args=arguments,
    )
    sa.event.listen(engine, "do_connect", _connect_impatiently)
    return engine


def writing(engine: sa.Engine) -> sa.Engine:
    """Derive an engine, with the same connections, for transactions that write."""
    return engine.execution_options(**{_WRITE: True})


# --- SQLite -----------------------------------------------------------------------------------


def _prepare_sqlite(engine: sa.Engine) -> None:
    sa.event.listen(engine, "connect", _configure_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)


def _configure_sqlite(connection: sqlite3.Connection, _: object) -> None:
    # Transactions are begun explicitly; the module would begin them at the first write.
    connection.isolation_level = None
    for pragma in (
        "journal_mode = WAL",
        # What is committed outlives the process, even kill -9. A power failure may take the
        # latest transactions, but never damages the file.
        "synchronous = NORMAL",
        "foreign_keys = ON",
        f"journal_size_limit = {_LOG_BYTES}",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_sqlite(conn: sa.Connection) -> None:
    # A transaction that reads before it writes could otherwise find itself out of date.
    write = conn.get_execution_options().get(_WRITE, False)
    conn.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


# --- PostgreSQL -------------------------------------------------------------------------------


def _postgresql_arguments(url: sa.URL, connect: int, statement: float) -> dict[str, Any]:
    milliseconds = round(statement * 1000)
    options = [
        f"-c statement_timeout={milliseconds}",
        f"-c lock_timeout={milliseconds}",
        f"-c idle_in_transaction_session_timeout={_IDLE_SECONDS * 1000}",
    ]
    given = url.query.get("options", ())
    return {
        "connect_timeout": connect,
        "application_name": "parley",
        # Later options win, so the operator's come last.
        "options": " ".join((*options, *([given] if isinstance(given, str) else given))),
    }


class _Impatient(psycopg.Connection[Any]):
    """A connection that keeps the time limits itself: PostgreSQL may hang or be cut off."""

    limit = STATEMENT_SECONDS + _GRACE_SECONDS

    def wait(
        self, gen: PQGen[Result], interval: float = 0.1, timeout: float | None = None
    ) -> Result:
        """Wait for an answer, at most as long as the limit; then close the connection."""
        limit = self.limit if timeout is None else min(timeout, self.limit)
        until = time.monotonic() + limit
        try:
            return super().wait(gen, interval, limit)
        except psycopg.OperationalError:
            if time.monotonic() >= until:
                # A late answer would be taken for the answer to the next statement.
                self.close()
            raise


def _connect_impatiently(
    _: sa.Dialect, __: object, arguments: list[Any], keywords: dict[str, Any]
) -> psycopg.Connection[Any]:
    return _Impatient.connect(*arguments, **keywords)


def _allow_statements(connection: _Impatient, _: object, __: object) -> None:
    connection.limit = STATEMENT_SECONDS + _GRACE_SECONDS


def _allow_a_ping(connection: _Impatient | None, _: object) -> None:
    # The pool checks that a connection is alive before handing it out.
    if connection is not None:
        connection.limit = _PING_SECONDS
