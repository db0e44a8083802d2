"""What several units of work need to say to either database."""

import time
from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from server.store.cursors import Cursor, RoomCursor

# Slices of so many rows, and seconds of rest between them, in which the rooms get the interpreter:
# a batch of a busy server would keep a vote waiting for 5 ms.
_SLICE: Final = 25
_REST: Final = 0.0003
_LARGEST_ID: Final = 2**63 - 1


def insert_or_ignore(conn: sa.Connection, table: sa.Table) -> sa.Insert:
    """Make an insert that leaves rows alone whose key is there."""
    if conn.dialect.name == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()


def insert_rows(conn: sa.Connection, table: sa.Table, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert many rows, each a value per column, but leave those alone whose key is there.

    Goes past the compiler's handling of parameters, which costs more than the insert itself.
    """
    if not rows:
        return
    names = [column.name for column in table.columns]
    compiled = insert_or_ignore(conn, table).compile(dialect=conn.dialect, column_keys=names)
    for start in range(0, len(rows), _SLICE):
        part = rows[start : start + _SLICE]
        if compiled.positional:
            conn.exec_driver_sql(compiled.string, list(part))
        else:
            named = [dict(zip(names, row, strict=True)) for row in part]
            conn.exec_driver_sql(compiled.string, named)
        time.sleep(_REST)


def insert_new(conn: sa.Connection, table: sa.Table, **values: object) -> bool:
    """Insert one row unless its key is there; tell whether it was not.

    While another transaction is inserting the same key, this waits for its end.
    """
    key = next(iter(table.primary_key))
    insert = insert_or_ignore(conn, table).values(**values).returning(key)
    return conn.execute(insert).first() is not None


def below(
    at: sa.ColumnElement[float], key: sa.ColumnElement[Any], before: Cursor | RoomCursor | None
) -> sa.ColumnElement[bool]:
    """Select what comes after a place, in a list with the newest first."""
    if before is None:
        return sa.true()
    place = sa.tuple_(sa.literal(before.at, sa.Double), sa.literal(before.id, key.type))
    return sa.tuple_(at, key) < place


def is_id(number: int) -> bool:
    """Tell whether a database could hold this id at all; asking for another one is an error."""
    return 0 < number <= _LARGEST_ID


def is_text(text: str) -> bool:
    """Tell whether a database could hold this text at all; asking for another one is an error."""
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair
        return False
    return "\0" not in text
