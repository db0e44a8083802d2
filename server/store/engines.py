"""Engines of SQLAlchemy, set up such that no call of a database waits for ever."""

import sqlite3
import time
from typing import Any, Final, TypeVar

import psycopg
import sqlalchemy as sa
from psycopg.abc import PQGen
from sqlalchemy.pool import NullPool

STATEMENT_SECONDS: Final = 2.5
"""For one statement, the wait for a lock included."""

_PING_SECONDS: Final = 0.7  # an idle connection must answer in; together with connecting below 3
_CONNECT_SECONDS: Final = 2  # the least that psycopg knows
_GRACE_SECONDS: Final = 0.3  # before we give up what the server should have given up itself
_IDLE_SECONDS: Final = 30  # then the server ends a transaction that nobody goes on with
_PATIENT_SECONDS: Final = 60.0  # to wait for another process that migrates
_LOG_BYTES: Final = 64 * 2**20  # to which SQLite cuts its log after a checkpoint

_WRITE: Final = "parley_write"

Result = TypeVar("Result")


def make_engine(url: sa.URL, connections: int) -> sa.Engine:
    """Make an engine for units of work.

    Transactions on SQLite only read; :func:`writing` makes them write.
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
    """Make an engine for one connection, whose statements may take long."""
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


def writing(engine: sa.Engine) -> sa.Engine:
    """Give the same engine for transactions that write."""
    return engine.execution_options(**{_WRITE: True})


# --- SQLite -----------------------------------------------------------------------------------


def _prepare_sqlite(engine: sa.Engine) -> None:
    sa.event.listen(engine, "connect", _configure_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)


def _configure_sqlite(connection: sqlite3.Connection, _: object) -> None:
    # We begin transactions ourselves; sqlite3 would do it before the first write only.
    connection.isolation_level = None
    for pragma in (
        "journal_mode = WAL",
        # What is committed outlives the process, also its kill -9; a power failure may take the
        # latest transactions, but never breaks the file.
        "synchronous = NORMAL",
        "foreign_keys = ON",
        f"journal_size_limit = {_LOG_BYTES}",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_sqlite(conn: sa.Connection) -> None:
    # A transaction that reads first and writes later could find that it came too late.
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
        # Later ones win: what the operator says stands.
        "options": " ".join((*options, *([given] if isinstance(given, str) else given))),
    }


class _Impatient(psycopg.Connection[Any]):
    """One that does not trust the server to keep its time limits: it may hang, or be cut off."""

    limit = STATEMENT_SECONDS + _GRACE_SECONDS

    def wait(
        self, gen: PQGen[Result], interval: float = 0.1, timeout: float | None = None
    ) -> Result:
        """Wait for an answer, but no longer than the limit; then the connection is closed."""
        limit = self.limit if timeout is None else min(timeout, self.limit)
        until = time.monotonic() + limit
        try:
            return super().wait(gen, interval, limit)
        except psycopg.OperationalError:
            if time.monotonic() >= until:
                # Whatever comes now would be taken for the answer to the next question.
                self.close()
            raise


def _connect_impatiently(
    _: sa.Dialect, __: object, arguments: list[Any], keywords: dict[str, Any]
) -> psycopg.Connection[Any]:
    return _Impatient.connect(*arguments, **keywords)


def _allow_statements(connection: _Impatient, _: object, __: object) -> None:
    connection.limit = STATEMENT_SECONDS + _GRACE_SECONDS


def _allow_a_ping(connection: _Impatient | None, _: object) -> None:
    # The pool asks a connection whether it lives before it hands it out.
    if connection is not None:
        connection.limit = _PING_SECONDS
