"""The rows of the servers that own a database; each function is a unit of work."""

from typing import Final, Literal

import attrs
import sqlalchemy as sa

from server.store.schema import servers

Phase = Literal["serving", "draining"]


@attrs.frozen(kw_only=True)
class Server:
    """One incarnation of a server: a process from its start to its end."""

    id: str
    """Drawn at random at each start."""
    host: str
    pid: int
    phase: Phase = "serving"
    beat: int = 0
    """A count that goes up while the server lives."""

    def __str__(self) -> str:
        """Name it as an operator would."""
        return f"process {self.pid} on {self.host}"


# Not the whole table: a newer version of Parley reads these before it has migrated.
_COLUMNS: Final = (
    servers.c.id,
    servers.c.host,
    servers.c.pid,
    servers.c.phase,
    servers.c.beat,
)


def owner(conn: sa.Connection) -> Server | None:
    """Find the server that owns the database; ``None`` also for one without tables."""
    if not sa.inspect(conn).has_table(servers.name):
        return None
    row = conn.execute(sa.select(*_COLUMNS).order_by(servers.c.started_at).limit(1)).first()
    return None if row is None else Server(**row._asdict())


def claim(conn: sa.Connection, server: Server, *, after: str | None, at: float) -> bool:
    """Make a server the owner, in the place of a dead one.

    Waits for the end of every transaction in which the dead one is still writing: what it
    commits before is kept, and afterwards it commits nothing.

    Args:
        conn: a connection in a transaction that writes.
        server: the new owner.
        after: the id of the server that was found dead; ``None`` if there was none.
        at: Unix time of the start, in seconds, for whoever reads the table.

    Returns:
        Whether the server owns the database now; not if a third one came first.
    """
    if conn.dialect.name == "postgresql":
        # One claim at a time. SQLite's transactions that write are alone anyway.
        conn.exec_driver_sql("LOCK TABLE servers IN SHARE ROW EXCLUSIVE MODE")
    if after is not None:
        conn.execute(sa.delete(servers).where(servers.c.id == after))
    if conn.execute(sa.select(servers.c.id).limit(1)).first() is not None:
        return False
    conn.execute(sa.insert(servers).values(started_at=at, **attrs.asdict(server)))
    return True


def owns(conn: sa.Connection, server_id: str) -> bool:
    """Tell whether a server owns the database, and goes on owning it until the commit."""
    # The weakest lock that a deletion waits for: it lets the server's own beat through.
    row = sa.select(servers.c.id).where(servers.c.id == server_id)
    return conn.execute(row.with_for_update(read=True, key_share=True)).first() is not None


def beat(conn: sa.Connection, server_id: str, *, count: int, phase: Phase) -> None:
    """Give a sign of life."""
    mine = servers.c.id == server_id
    conn.execute(sa.update(servers).where(mine).values(beat=count, phase=phase))


def leave(conn: sa.Connection, server_id: str) -> None:
    """Give up the database."""
    conn.execute(sa.delete(servers).where(servers.c.id == server_id))
