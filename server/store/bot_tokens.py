"""Tokens for bots, kept as digests with what they reach; each function is a unit of work."""

from collections.abc import Iterable
from typing import Any, Final

import sqlalchemy as sa

from server.store.records import BotToken, User
from server.store.schema import bot_tokens as tokens
from server.store.schema import users
from server.store.statements import is_id
from server.store.users import USER_COLUMNS
from server.support.errors import Missing, TooMany

_COLUMNS: Final = (
    tokens.c.id,
    tokens.c.name,
    tokens.c.scopes,
    tokens.c.created_at,
    tokens.c.used_at,
    tokens.c.expires_at,
)
"""In the order of :class:`~server.store.records.BotToken`."""


def create(
    conn: sa.Connection,
    *,
    digest: bytes,
    user_id: int,
    name: str,
    scopes: Iterable[str],
    now: float,
    expires_at: float | None,
    most: int,
) -> BotToken:
    """Keep a token.

    Args:
        conn: to write by.
        digest: of the token.
        user_id: whose it is.
        name: need not be unique.
        scopes: what it reaches, without blanks.
        now: Unix time in seconds.
        expires_at: when it ends by itself; ``None`` for never.
        most: tokens that the account may have; those that have expired do not count.

    Raises:
        Missing: ``user``, if the account is gone.
        TooMany: if the account has so many already.
    """
    # Until the end of the transaction nobody else can count the tokens of this account.
    account = sa.select(users.c.id).where(users.c.id == user_id).with_for_update(key_share=True)
    if conn.execute(account).scalar() is None:
        raise Missing("user")
    count = sa.select(sa.func.count()).where(tokens.c.user_id == user_id, _alive(now))
    if conn.execute(count).scalar_one() >= most:
        raise TooMany("tokens for bots", most)
    given = tuple(scopes)
    token_id = conn.execute(
        sa.insert(tokens)
        .values(
            digest=digest,
            user_id=user_id,
            name=name,
            scopes=" ".join(given),
            created_at=now,
            expires_at=expires_at,
        )
        .returning(tokens.c.id)
    ).scalar_one()
    return BotToken(token_id, name, given, now, None, expires_at)


def find(conn: sa.Connection, digest: bytes, now: float) -> tuple[User, BotToken] | None:
    """Tell whose token this is and what it reaches, unless it has expired."""
    row = conn.execute(
        sa.select(*USER_COLUMNS, *_COLUMNS)
        .join(tokens, tokens.c.user_id == users.c.id)
        .where(tokens.c.digest == digest, _alive(now))
    ).one_or_none()
    if row is None:
        return None
    return User(*row[: len(USER_COLUMNS)]), _token(row[len(USER_COLUMNS) :])


def of_user(conn: sa.Connection, user_id: int, now: float) -> list[BotToken]:
    """List the tokens of an account that have not expired, the latest first."""
    rows = conn.execute(
        sa.select(*_COLUMNS)
        .where(tokens.c.user_id == user_id, _alive(now))
        .order_by(tokens.c.id.desc())
    )
    return [_token(row) for row in rows]


def note_use(conn: sa.Connection, digest: bytes, at: float) -> None:
    """Remember when a token was last used; one that was revoked meanwhile stays so."""
    conn.execute(sa.update(tokens).where(tokens.c.digest == digest).values(used_at=at))


def revoke(conn: sa.Connection, user_id: int, id: int) -> bytes | None:  # noqa: A002
    """End a token of an account; give its digest, or ``None`` if the account has no such one."""
    if not is_id(id):
        return None
    ended = sa.delete(tokens).where(tokens.c.id == id, tokens.c.user_id == user_id)
    return conn.execute(ended.returning(tokens.c.digest)).scalar()


def revoke_all(conn: sa.Connection, user_id: int) -> int:
    """End all tokens of an account; count them."""
    return conn.execute(sa.delete(tokens).where(tokens.c.user_id == user_id)).rowcount


def purge(conn: sa.Connection, now: float) -> int:
    """Forget the tokens that have expired; count them."""
    return conn.execute(sa.delete(tokens).where(tokens.c.expires_at <= now)).rowcount


def _alive(now: float) -> sa.ColumnElement[bool]:
    return sa.or_(tokens.c.expires_at.is_(None), tokens.c.expires_at > now)


def _token(row: Any) -> BotToken:
    id_, name, scopes, *times = row
    return BotToken(id_, name, tuple(scopes.split()), *times)
