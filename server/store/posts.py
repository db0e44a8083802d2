"""Posts and timelines; each function is a unit of work."""

from typing import Final

import sqlalchemy as sa

from server.store.cursors import Cursor
from server.store.records import Post
from server.store.schema import idempotency_keys, posts, user_followers, users
from server.store.statements import below, insert_new, is_id
from server.support.errors import Missing

_COLUMNS: Final = (
    posts.c.id,
    posts.c.author_id,
    users.c.username,
    posts.c.text,
    posts.c.created_at,
)
_NEWEST_FIRST: Final = (posts.c.created_at.desc(), posts.c.id.desc())
_KEYS: Final = idempotency_keys.c


def create(
    conn: sa.Connection,
    *,
    author_id: int,
    text: str,
    now: float,
    idempotency_key: str | None,
    key_lifetime: float = 86_400,
) -> tuple[Post, bool]:
    """Add a post, unless the same author has sent one with the same key within its lifetime.

    Returns:
        The post, and whether it is new. Of several calls with one key, also at the same moment,
        one makes the post and all others get that one.

    Raises:
        Missing: ``user``, if the author's account is gone.
    """
    try:
        if idempotency_key is not None:
            earlier = _claim(conn, author_id, idempotency_key, now, now - key_lifetime)
            post = None if earlier is None else get(conn, earlier)
            if post is not None:
                return post, False
        post_id = conn.execute(
            sa.insert(posts)
            .values(author_id=author_id, text=text, created_at=now)
            .returning(posts.c.id)
        ).scalar_one()
        if idempotency_key is not None:
            conn.execute(
                sa.update(idempotency_keys)
                .where(_KEYS.user_id == author_id, _KEYS.key == idempotency_key)
                .values(post_id=post_id)
            )
    except sa.exc.IntegrityError:
        raise Missing("user") from None
    author = conn.execute(sa.select(users.c.username).where(users.c.id == author_id)).scalar_one()
    return Post(post_id, author_id, author, text, now), True


def get(conn: sa.Connection, id: int) -> Post | None:  # noqa: A002
    """Find a post."""
    if not is_id(id):
        return None
    row = conn.execute(_posts().where(posts.c.id == id)).one_or_none()
    return row and Post(*row)


def delete(conn: sa.Connection, id: int) -> bool:  # noqa: A002
    """Remove a post; tell whether it was there."""
    if not is_id(id):
        return False
    return conn.execute(sa.delete(posts).where(posts.c.id == id)).rowcount > 0


def by_user(conn: sa.Connection, user_id: int, *, before: Cursor | None, limit: int) -> list[Post]:
    """List what a user has posted, the latest first."""
    rows = conn.execute(
        _posts()
        .where(posts.c.author_id == user_id, _below(before))
        .order_by(*_NEWEST_FIRST)
        .limit(limit)
    )
    return [Post(*row) for row in rows]


def timeline(conn: sa.Connection, user_id: int, *, before: Cursor | None, limit: int) -> list[Post]:
    """List what a user and those it follows have posted, the latest first.

    Reads one entry of an index for each of the authors, and ``limit`` posts of ``limit`` authors
    at most, however many posts there are: the newest n posts can only be by the n authors whose
    newest ones are the newest.
    """
    rows = conn.execute(timeline_query(conn.dialect.name, user_id, before, limit))
    return [Post(*row) for row in rows]


def timeline_query(
    dialect: str, user_id: int, before: Cursor | None, limit: int
) -> sa.Select[int, int, str, str, float]:
    """Make the statement behind :func:`timeline`."""
    authors = sa.union(
        sa.select(sa.literal(user_id, posts.c.author_id.type).label("author_id")),
        sa.select(user_followers.c.following_id).where(user_followers.c.follower_id == user_id),
    ).subquery("authors")
    heads, head = _with_newest(dialect, authors, "head", before, 1)
    latest = (
        sa.select(authors.c.author_id)
        .select_from(heads)
        .order_by(head.c.created_at.desc(), head.c.id.desc())
        .limit(limit)
        .subquery("latest")
    )
    found, post = _with_newest(dialect, latest, "post", before, limit)
    return (
        sa.select(post.c.id, post.c.author_id, users.c.username, post.c.text, post.c.created_at)
        .select_from(found)
        .join(users, users.c.id == post.c.author_id)
        .order_by(post.c.created_at.desc(), post.c.id.desc())
        .limit(limit)
    )


def purge_keys(conn: sa.Connection, until: float) -> int:
    """Forget the idempotency keys that were first used by then; count them."""
    return conn.execute(sa.delete(idempotency_keys).where(_KEYS.created_at <= until)).rowcount


def _with_newest(
    dialect: str, authors: sa.Subquery, name: str, before: Cursor | None, limit: int
) -> tuple[sa.FromClause, sa.FromClause]:
    """Join authors with the newest posts of each; give the join and the posts in it."""
    post = posts.alias(f"{name}_of_author")
    newest = (
        sa.select(post)
        .where(post.c.author_id == authors.c.author_id, below(post.c.created_at, post.c.id, before))
        .order_by(post.c.created_at.desc(), post.c.id.desc())
        .limit(limit)
        .correlate(authors)
    )
    if dialect == "postgresql":
        chosen: sa.FromClause = newest.lateral(name)
        return authors.join(chosen, sa.true()), chosen
    # SQLite has no LATERAL, and PostgreSQL would answer this by reading the whole table.
    chosen = posts.alias(name)
    return authors.join(chosen, chosen.c.id.in_(newest.with_only_columns(post.c.id))), chosen


def _posts() -> sa.Select[int, int, str, str, float]:
    return sa.select(*_COLUMNS).join_from(posts, users, users.c.id == posts.c.author_id)


def _below(before: Cursor | None) -> sa.ColumnElement[bool]:
    return below(posts.c.created_at, posts.c.id, before)


def _claim(conn: sa.Connection, user_id: int, key: str, now: float, expired: float) -> int | None:
    """Make a key ours, or return the post that another transaction made with it.

    Whoever comes second waits here until the first has committed or failed.
    """
    mine = (_KEYS.user_id == user_id, _KEYS.key == key)
    if insert_new(conn, idempotency_keys, user_id=user_id, key=key, created_at=now):
        return None
    again = sa.update(idempotency_keys).where(*mine, _KEYS.created_at <= expired)
    if conn.execute(again.values(created_at=now)).rowcount:
        return None
    return conn.execute(sa.select(_KEYS.post_id).where(*mine)).scalar()
