"""Tokens that prove who somebody is, kept as digests; each function is a unit of work."""

import sqlalchemy as sa

from server.store.records import User
from server.store.schema import tokens, users
from server.store.users import USER_COLUMNS
from server.support.errors import Missing


def insert(
    conn: sa.Connection, *, digest: bytes, user_id: int, now: float, expires_at: float
) -> None:
    """Keep a token.

    Raises:
        Missing: ``user``, if the account is gone.
    """
    try:
        conn.execute(
            sa.insert(tokens).values(
                digest=digest, user_id=user_id, created_at=now, expires_at=expires_at
            )
        )
    except sa.exc.IntegrityError:
        raise Missing("user") from None


def find(conn: sa.Connection, digest: bytes, now: float) -> tuple[User, float] | None:
    """Tell whose token this is and when it expires, unless it has."""
    row = conn.execute(
        sa.select(*USER_COLUMNS, tokens.c.expires_at)
        .join(tokens, tokens.c.user_id == users.c.id)
        .where(tokens.c.digest == digest, tokens.c.expires_at > now)
    ).one_or_none()
    return row and (User(*row[:-1]), row[-1])


def extend(conn: sa.Connection, digest: bytes, expires_at: float) -> None:
    """Let a token live longer; one that was revoked meanwhile stays so."""
    conn.execute(sa.update(tokens).where(tokens.c.digest == digest).values(expires_at=expires_at))


def revoke(conn: sa.Connection, digest: bytes) -> bool:
    """End a token; tell whether it was there."""
    return conn.execute(sa.delete(tokens).where(tokens.c.digest == digest)).rowcount > 0


def revoke_others(conn: sa.Connection, user_id: int, keep: bytes | None) -> int:
    """End all tokens of a user but ``keep``; count them."""
    ended = sa.delete(tokens).where(tokens.c.user_id == user_id)
    if keep is not None:
        ended = ended.where(tokens.c.digest != keep)
    return conn.execute(ended).rowcount


def purge(conn: sa.Connection, now: float) -> int:
    """Forget the tokens that have expired; count them."""
    return conn.execute(sa.delete(tokens).where(tokens.c.expires_at <= now)).rowcount
