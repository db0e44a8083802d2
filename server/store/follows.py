"""Who follows whom; each function is a unit of work."""

from typing import Final

import sqlalchemy as sa

from server.store.cursors import Cursor as Cursor
from server.store.records import Contact
from server.store.schema import user_followers, users
from server.store.statements import below, insert_new, is_id
from server.store.users import USER_COLUMNS
from server.support.errors import Missing

_LINKS: Final = user_followers.c


def follow(conn: sa.Connection, follower_id: int, following_id: int, now: float) -> None:
    """Let one user follow another; nothing changes if that is so already.

    Raises:
        Missing: ``user``, if either account does not exist.
    """
    if not (is_id(follower_id) and is_id(following_id)):
        raise Missing("user")
    try:
        insert_new(
            conn,
            user_followers,
            follower_id=follower_id,
            following_id=following_id,
            created_at=now,
        )
    except sa.exc.IntegrityError:
        raise Missing("user") from None


def unfollow(conn: sa.Connection, follower_id: int, following_id: int) -> None:
    """Let one user no longer follow another; nothing changes if that is so already.

    Raises:
        Missing: ``user``, if the account to unfollow does not exist.
    """
    if not (is_id(follower_id) and is_id(following_id)):
        raise Missing("user")
    gone = sa.delete(user_followers).where(
        _LINKS.follower_id == follower_id, _LINKS.following_id == following_id
    )
    if conn.execute(gone).rowcount:
        return
    if conn.execute(sa.select(users.c.id).where(users.c.id == following_id)).first() is None:
        raise Missing("user")


def followers(
    conn: sa.Connection, user_id: int, *, before: Cursor | None, limit: int
) -> list[Contact]:
    """List who follows a user, the latest first; each carries the cursor of its place."""
    return _listed(conn, _LINKS.follower_id, _LINKS.following_id == user_id, before, limit)


def following(
    conn: sa.Connection, user_id: int, *, before: Cursor | None, limit: int
) -> list[Contact]:
    """List whom a user follows, the latest first; each carries the cursor of its place."""
    return _listed(conn, _LINKS.following_id, _LINKS.follower_id == user_id, before, limit)


def _listed(
    conn: sa.Connection,
    other: sa.Column[int],
    mine: sa.ColumnElement[bool],
    before: Cursor | None,
    limit: int,
) -> list[Contact]:
    rows = conn.execute(
        sa.select(*USER_COLUMNS, _LINKS.created_at)
        .join_from(user_followers, users, users.c.id == other)
        .where(mine, below(_LINKS.created_at, other, before))
        .order_by(_LINKS.created_at.desc(), other.desc())
        .limit(limit)
    )
    return [Contact(*row) for row in rows]
