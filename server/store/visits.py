"""Which accounts were in which rooms: lists, names and the end of that; units of work."""

from enum import Enum, auto
from typing import Any

import attrs
import sqlalchemy as sa

from protocol.ids import RoomId
from server.store import estimations
from server.store.cursors import Cursor
from server.store.estimations import Session
from server.store.logbook import RoomSettings
from server.store.schema import estimation_sessions as sessions
from server.store.schema import lasting_rooms as rooms
from server.store.schema import room_people as people
from server.store.statements import is_id


@attrs.frozen(kw_only=True)
class VisitedRoom:
    """A room that an account has been in, or has opened."""

    session: Session
    settings: RoomSettings
    title: str | None
    """What the account calls it, or else its owner; ``None``: neither has another name for it."""
    owner: bool
    """Whether the account has opened it."""
    joined_at: float
    closed_at: float | None
    rounds: int

    @property
    def cursor(self) -> Cursor:
        """Its place in the list."""
        return Cursor(self.joined_at, self.session.id)


class Removal(Enum):
    """What has become of a room that was to be deleted from a list."""

    NOTHING_THERE = auto()
    LIVE = auto()
    """Its owner must end it first."""
    OFF_THE_LIST = auto()
    """Others still have it on theirs."""
    DELETED = auto()
    """For everybody, with its results."""


def visited(
    conn: sa.Connection, *, user_id: int, before: Cursor | None, limit: int
) -> list[VisitedRoom]:
    """List rooms that an account has been in, the latest first."""
    query = (
        _VISITS.where(people.c.user_id == user_id)
        .order_by(people.c.joined_at.desc(), people.c.session_id.desc())
        .limit(limit)
    )
    if before is not None:
        place = sa.tuple_(people.c.joined_at, people.c.session_id)
        query = query.where(place < sa.tuple_(sa.literal(before.at), sa.literal(before.id)))
    return [_visit(row) for row in conn.execute(query)]


def rename(
    conn: sa.Connection, *, user_id: int, session_id: int, title: str | None
) -> VisitedRoom | None:
    """Call a room by another name in an account's list; ``None`` for its own name again.

    Returns:
        The room as it is in the list now; ``None`` if it is not in it.
    """
    if not is_id(session_id):
        return None
    mine = sa.and_(people.c.user_id == user_id, people.c.session_id == session_id)
    conn.execute(sa.update(people).where(mine).values(title=title))
    row = conn.execute(_VISITS.where(mine)).one_or_none()
    return None if row is None else _visit(row)


def remove(conn: sa.Connection, *, user_id: int, session_id: int) -> Removal:
    """Take a room off an account's list; with its owner's, off everybody's, and its results go.

    Nobody finds them from then on; the rows themselves are deleted in parts, by
    :func:`~server.store.estimations.forget_old`.
    """
    if not is_id(session_id):
        return Removal.NOTHING_THERE
    found = conn.execute(
        sa.select(people.c.owner, sessions.c.closed_at)
        .join(sessions, sessions.c.id == people.c.session_id)
        .where(people.c.user_id == user_id, people.c.session_id == session_id)
    ).one_or_none()
    if found is None:
        return Removal.NOTHING_THERE
    gone = sa.delete(people).where(people.c.session_id == session_id)
    if not found.owner:
        conn.execute(gone.where(people.c.user_id == user_id))
        return Removal.OFF_THE_LIST
    if found.closed_at is None:
        return Removal.LIVE
    conn.execute(gone)
    estimations.hide(conn, [session_id])
    return Removal.DELETED


_OWNERS = people.alias("owners")
_VISITS = (
    sa.select(
        sessions.c.id,
        sessions.c.room_id,
        sessions.c.key,
        sessions.c.opened_at,
        sessions.c.closed_at,
        rooms.c.settings,
        people.c.joined_at,
        people.c.owner,
        sa.func.coalesce(people.c.title, _OWNERS.c.title).label("title"),
        estimations.REVEALED,
    )
    .select_from(people)
    .join(sessions, sessions.c.id == people.c.session_id)
    .join(rooms, rooms.c.session_id == people.c.session_id)
    .outerjoin(
        _OWNERS, sa.and_(_OWNERS.c.session_id == people.c.session_id, _OWNERS.c.owner.is_(True))
    )
    # What is about to be deleted for being old is not listed any more.
    .where(sessions.c.room_id != estimations.NOWHERE)
)


def _visit(row: Any) -> VisitedRoom:
    return VisitedRoom(
        session=Session(row.id, RoomId(row.room_id), row.key, row.opened_at),
        settings=RoomSettings.read(row.settings),
        title=row.title,
        owner=row.owner,
        joined_at=row.joined_at,
        closed_at=row.closed_at,
        rounds=row.rounds,
    )
