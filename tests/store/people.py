"""Accounts and their belongings, made for tests; and patience."""

from collections.abc import Awaitable, Callable, Iterable

import sqlalchemy as sa
import trio

from server.store import posts, users
from server.store.records import ChatMessage, Post, User


def add_user(conn: sa.Connection, name: str = "ann", *, at: float = 1.0) -> User:
    return users.create(
        conn,
        email=f"{name.title()}@Example.org",
        email_key=f"{name}@example.org",
        username=name,
        password_hash=f"hash of {name}",
        now=at,
    )


def add_users(conn: sa.Connection, names: Iterable[str]) -> list[User]:
    return [add_user(conn, name) for name in names]


def add_post(
    conn: sa.Connection,
    author: User,
    text: str = "hello",
    *,
    at: float = 1.0,
    key: str | None = None,
) -> Post:
    return posts.create(conn, author_id=author.id, text=text, now=at, idempotency_key=key)[0]


def message(
    seq: int, text: str = "hi", *, room: str = "lobby", author: User | None = None
) -> ChatMessage:
    name = author.username if author else "deleted user"
    return ChatMessage(room, seq, author.id if author else None, name, text, float(seq))


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what only another thread or process can bring about."""
    with trio.fail_after(30):
        while True:
            await trio.sleep(0.02)
            if await condition():
                return
