"""The file of an SQLite database: noticed when it is deleted or replaced, and written anew.

On POSIX an open file outlives its name. Whoever goes on writing into it gets no error, and loses
everything when the last descriptor is closed.
"""

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Final

from server.support.errors import StoreUnavailable

_QUIET_SECONDS: Final = 10.0  # for the units of work that have begun to end
_OF_THE_LOG: Final = ("-wal", "-shm")


class Place(Enum):
    """Where an open file is now; the value says it in words."""

    HERE = "at its path"
    GONE = "the file of the database has been deleted or moved"
    REPLACED = "another file is in the place of the database"


class SqliteFile:
    """An open file, compared with what is at its path.

    All methods may block and may be called from any thread. A connection is kept open from the
    first use, so that the whole database can be read even when its name is gone.
    """

    def __init__(self, path: Path) -> None:
        """Open nothing yet."""
        self.path = Path(os.path.abspath(path))
        self._anchor: sqlite3.Connection | None = None
        self._identity: os.stat_result | None = None
        self._lost: Place | None = None
        self._busy = 0  # units of work that run
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        """Keep the file from being written anew while a unit of work runs.

        Raises:
            StoreUnavailable: if :meth:`look` has found it gone.
        """
        with self._changed:
            if self._lost is not None:
                raise StoreUnavailable(self._lost.value)
            self._busy += 1
        try:
            yield
        finally:
            with self._changed:
                self._busy -= 1
                self._changed.notify_all()

    def hold(self) -> None:
        """Remember which file this is; does something only once, when the file exists."""
        if self._identity is None:
            with self._changed:
                self._hold()

    def _hold(self) -> None:
        if self._identity is not None:  # another thread was faster
            return
        address = f"{self.path.as_uri()}?mode=rw"
        anchor = sqlite3.connect(address, uri=True, check_same_thread=False)
        try:
            # Opens the log as well.
            anchor.execute("SELECT count(*) FROM sqlite_master").close()
            self._identity = os.stat(self.path)
        except (sqlite3.Error, OSError):
            anchor.close()  # the next unit of work tries again
        else:
            self._anchor = anchor

    def check(self) -> None:
        """Make sure, just before a commit, that it goes into the file at the path.

        Raises:
            StoreUnavailable: if it does not.
        """
        place = self._place()
        if place is not Place.HERE:
            raise StoreUnavailable(place.value)

    def look(self) -> Place:
        """Find out where the file is; unless it is at its path, nobody gets to use it."""
        place = self._place()
        with self._changed:
            self._lost = None if place is Place.HERE else place
        return place

    def rescue(self, close_others: Callable[[], object]) -> Path | None:
        """Write all that the open file holds into a new one, at the path if nothing is there.

        Nobody may use the file meanwhile: call it after :meth:`look` has found it gone.

        Args:
            close_others: closes all other connections to the open file.

        Returns:
            The file that was written; ``None`` if it is at the path and is the database now.

        Raises:
            StoreUnavailable: if that cannot be done now.
        """
        copy = self._copy()
        if self._place() is not Place.GONE:
            return copy
        close_others()
        if self._anchor is not None:
            self._anchor.close()
        # The log of the old file has the name that the new one's will have.
        for suffix in _OF_THE_LOG:
            with contextlib.suppress(OSError):
                os.unlink(f"{self.path}{suffix}")
        try:
            os.link(copy, self.path)  # unlike renaming, it replaces nothing
        except OSError:
            return copy
        copy.unlink()
        with self._changed:
            self._anchor = self._identity = self._lost = None
        return None

    def close(self) -> None:
        """Close the connection."""
        if self._anchor is not None:
            self._anchor.close()

    def _place(self) -> Place:
        if self._identity is None:
            return Place.HERE
        try:
            same = os.path.samestat(self._identity, os.stat(self.path))
        except OSError:
            return Place.GONE
        return Place.HERE if same else Place.REPLACED

    def _copy(self) -> Path:
        with self._changed:
            quiet = self._changed.wait_for(lambda: not self._busy, _QUIET_SECONDS)
        if self._anchor is None or not quiet:
            raise StoreUnavailable("the file of the database is in use")
        path = self.path.with_name(f"{self.path.name}.rescued-{time.time_ns()}")
        try:
            copy_into(path, self._anchor)
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailable(f"{path} cannot be written: {error}") from None
        return path


def copy_into(path: Path, source: sqlite3.Connection, *after: str) -> None:
    """Copy a database that others use into a new file: one state of it, blocking no writer.

    Args:
        path: where nothing is yet; only its owner can read it.
        source: a connection to the database.
        after: statements to execute in the copy.

    Raises:
        FileExistsError: if something is there.
        OSError: if the file cannot be made.
        sqlite3.Error: if the copy fails; nothing is left of it.
    """
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    complete = False
    try:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as target:
            # In one step: in several it would begin again whenever somebody has written.
            source.backup(target)
            for statement in after:
                target.execute(statement).close()
        os.fsync(descriptor)
        complete = True
    finally:
        os.close(descriptor)
        if not complete:
            path.unlink()
