"""Accounts, as units of work: each function runs inside of one transaction."""

from typing import Final

import sqlalchemy as sa

from server.store.records import User
from server.store.schema import users
from server.store.statements import is_id, is_text
from server.support.errors import Taken

USER_COLUMNS: Final = (users.c.id, users.c.email, users.c.username, users.c.created_at)
"""In the order of :class:`~server.store.records.User`."""


def create(
    conn: sa.Connection,
    *,
    email: str,
    email_key: str,
    username: str,
    password_hash: str,
    now: float,
) -> User:
    """Add an account.

    Args:
        conn: of the transaction.
        email: as it was given.
        email_key: the same in the form in which two of them are equal.
        username: need not be unique.
        password_hash: with its salt and parameters.
        now: Unix time.

    Raises:
        Taken: ``email``.
    """
    try:
        user_id = conn.execute(
            sa.insert(users)
            .values(
                email=email,
                email_key=email_key,
                username=username,
                password_hash=password_hash,
                created_at=now,
            )
            .returning(users.c.id)
        ).scalar_one()
    except sa.exc.IntegrityError:
        raise Taken("email") from None
    return User(user_id, email, username, now)


def by_id(conn: sa.Connection, id: int) -> User | None:  # noqa: A002
    """Find an account."""
    if not is_id(id):
        return None
    row = conn.execute(sa.select(*USER_COLUMNS).where(users.c.id == id)).one_or_none()
    return row and User(*row)


def by_email(conn: sa.Connection, email_key: str) -> tuple[User, str] | None:
    """Find an account and its password's hash."""
    if not is_text(email_key):
        return None
    row = conn.execute(
        sa.select(*USER_COLUMNS, users.c.password_hash).where(users.c.email_key == email_key)
    ).one_or_none()
    return row and (User(*row[:-1]), row[-1])


def password_hash(conn: sa.Connection, id: int) -> str | None:  # noqa: A002
    """Fetch the hash of an account's password."""
    if not is_id(id):
        return None
    return conn.execute(sa.select(users.c.password_hash).where(users.c.id == id)).scalar()


def rename(conn: sa.Connection, id: int, username: str) -> User | None:  # noqa: A002
    """Give an account another name; ``None`` if there is no such account."""
    if not is_id(id):
        return None
    change = sa.update(users).where(users.c.id == id).values(username=username)
    changed = conn.execute(change).rowcount > 0
    return by_id(conn, id) if changed else None


def set_password(conn: sa.Connection, id: int, password_hash: str) -> bool:  # noqa: A002
    """Replace the hash of an account's password; tell whether there is such an account."""
    if not is_id(id):
        return False
    change = sa.update(users).where(users.c.id == id).values(password_hash=password_hash)
    return conn.execute(change).rowcount > 0


def delete(conn: sa.Connection, id: int) -> bool:  # noqa: A002
    """Remove an account with its posts, follows and tokens; its messages lose their author."""
    if not is_id(id):
        return False
    return conn.execute(sa.delete(users).where(users.c.id == id)).rowcount > 0
