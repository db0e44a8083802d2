"""SQL that several units of work need, for either database."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from server.store.cursors import Cursor, RoomCursor
from server.support.errors import WriteConflict

# Rows in a slice, and seconds of rest between slices, in which the rooms get the interpreter: the
# batch of a busy server would otherwise keep a vote waiting for 5 ms.
_SLICE: Final = 25
_REST: Final = 0.0003
_LARGEST_ID: Final = 2**63 - 1


def insert_or_ignore(conn: sa.Connection, table: sa.Table) -> sa.Insert:
    """Make an insert that skips rows whose key is there."""
    if conn.dialect.name == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()


def insert_rows(conn: sa.Connection, table: sa.Table, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert many rows, each a value per column, and skip those whose key is there.

    Bypasses the compiler's handling of parameters, which costs more than the insert itself.
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


def insert_or_same(
    conn: sa.Connection,
    table: sa.Table,
    rows: Sequence[Mapping[str, object]],
    *,
    same: Sequence[str],
) -> None:
    """Insert rows, some of which may have been inserted before; none twice.

    Args:
        conn: a connection in a transaction that writes.
        table: where to.
        rows: the values by column.
        same: the columns by which a row that is there is known to be the same one.

    A row is also left out if another one has what a unique index lets only one have.

    Raises:
        WriteConflict: if the key of a row is there with something else.
    """
    if not rows:
        return
    done = conn.execute(insert_or_ignore(conn, table), rows)
    if done.rowcount == len(rows):
        return
    keys = [column.name for column in table.primary_key]
    known = sa.select(*(table.c[name] for name in (*keys, *same)))
    for row in rows:
        is_this = sa.and_(*(table.c[name] == row[name] for name in keys))
        found = conn.execute(known.where(is_this)).one_or_none()
        if found is None:
            continue  # another row has what must be there once
        if tuple(found) != tuple(row[name] for name in (*keys, *same)):
            key = ", ".join(f"{name} {row[name]}" for name in keys)
            raise WriteConflict(f"{table.name}: something else is stored as {key}")


def insert_or_raise(
    conn: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, object]], column: str
) -> None:
    """Insert rows; where the key is there, raise the number in ``column`` if it is lower."""
    keys = list(table.primary_key)
    kind = postgresql.insert if conn.dialect.name == "postgresql" else sqlite.insert
    insert = kind(table)
    given = insert.excluded[column]
    conn.execute(
        insert.on_conflict_do_update(
            index_elements=keys, set_={column: given}, where=table.c[column] < given
        ),
        rows,
    )


def insert_new(conn: sa.Connection, table: sa.Table, **values: object) -> bool:
    """Insert one row unless its key is there; return whether it was inserted.

    While another transaction is inserting the same key, this waits for its end.
    """
    key = next(iter(table.primary_key))
    insert = insert_or_ignore(conn, table).values(**values).returning(key)
    return conn.execute(insert).first() is not None


def below(
    at: sa.ColumnElement[float], key: sa.ColumnElement[Any], before: Cursor | RoomCursor | None
) -> sa.ColumnElement[bool]:
    """Select what follows a place in a list, newest first."""
    if before is None:
        return sa.true()
    place = sa.tuple_(sa.literal(before.at, sa.Double), sa.literal(before.id, key.type))
    return sa.tuple_(at, key) < place


def is_id(number: int) -> bool:
    """Tell whether a database can hold this id at all; querying another one is an error."""
    return 0 < number <= _LARGEST_ID


def is_text(text: str) -> bool:
    """Tell whether a database can hold this text at all; querying another one is an error."""
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair
        return False
    return "\0" not in text
