"""Locks that end with the process that holds them, whatever ends it.

On SQLite it is a locked file beside the database: not the database's own file, since closing any
descriptor of that would release SQLite's locks (fcntl(2), "Advisory record locking"). On
PostgreSQL it is an advisory lock of a session.
"""

import fcntl
import os
from pathlib import Path
from typing import Final, Protocol

import sqlalchemy as sa

from server.store.engines import make_lasting_engine
from server.store.faults import in_one_line
from server.store.urls import sqlite_path
from server.support.errors import DatabaseUnusable, StoreUnavailable

_KEY: Final = 0x7061726C6579 + 1  # "parley"; the number before it is the migrations' lock
_LONGEST_NOTE: Final = 100  # bytes of a holder's id


class Lock(Protocol):
    """A lock that one process holds at a time. All methods may block: call them in a thread."""

    def acquire(self) -> bool:
        """Take the lock, or take it again after it was lost; never waits for another holder.

        Returns:
            Whether this process holds it now.

        Raises:
            DatabaseUnusable: if nobody can hold it.
            StoreUnavailable: if the database is gone.
        """

    def sign(self, holder: str) -> None:
        """Leave a note of who holds the lock, for whoever holds it next."""

    @property
    def predecessor(self) -> str:
        """Who held exactly this lock before and does no more: it has ended. Empty if unknown."""

    def release(self) -> None:
        """Let go of the lock; harmless if it is not held."""


def make_lock(url: sa.URL) -> Lock:
    """Make the lock of a database."""
    path = sqlite_path(url)
    return FileLock(path) if path is not None else AdvisoryLock(url)


class FileLock:
    """A file beside the database, locked by flock(2) and never deleted."""

    def __init__(self, path: Path) -> None:
        """Use ``<path>.lock``; links to one database share it."""
        self._path = Path(f"{os.path.realpath(path)}.lock")
        self._file: int | None = None
        self._note = ""
        self.predecessor = ""

    def acquire(self) -> bool:
        """Lock the file; another one if the one that was locked is not there any more."""
        if self._file is not None and self._in_place(self._file):
            return True
        try:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise DatabaseUnusable(f"cannot open {self._path}: {error.strerror}") from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return False
        except OSError as error:
            os.close(file)
            raise DatabaseUnusable(f"cannot lock {self._path}: {error.strerror}") from None
        if not self._in_place(file):  # deleted between opening and locking
            os.close(file)
            return False
        self.release()
        self._file = file
        self.predecessor = os.pread(file, _LONGEST_NOTE, 0).decode("ascii", "replace")
        if self._note:
            self.sign(self._note)
        return True

    def sign(self, holder: str) -> None:
        """Write the holder's id into the file."""
        self._note = holder
        if self._file is not None:
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, holder.encode(), 0)

    def release(self) -> None:
        """Close the file, which unlocks it."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _in_place(self, file: int) -> bool:
        try:
            return os.path.samestat(os.fstat(file), os.stat(self._path))
        except FileNotFoundError:
            return False


class AdvisoryLock:
    """An advisory lock on a connection of its own, which must last as long as the process.

    A pooler between here and PostgreSQL must give each client a session of its own.
    """

    predecessor: Final = ""  # the lock of a living process ends as well, with its connection

    def __init__(self, url: sa.URL) -> None:
        """Connect when the lock is asked for."""
        self._engine = make_lasting_engine(url)
        self._connection: sa.Connection | None = None
        self._held = False

    def acquire(self) -> bool:
        """Ask for the lock, or whether the connection that holds it still lives."""
        try:
            if self._connection is None:
                self._connection = self._engine.connect()
            if self._held:
                self._connection.exec_driver_sql("SELECT 1").close()
            else:
                asked = self._connection.execute(sa.select(sa.func.pg_try_advisory_lock(_KEY)))
                self._held = bool(asked.scalar_one())
        except sa.exc.SQLAlchemyError as error:
            self.release()
            raise StoreUnavailable(in_one_line(error)) from None
        return self._held

    def sign(self, holder: str) -> None:
        """Nothing: PostgreSQL shows its sessions in ``pg_locks``."""

    def release(self) -> None:
        """Close the connection, which unlocks."""
        self._held = False
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()
            connection.close()
        self._engine.dispose()
