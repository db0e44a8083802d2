"""Prepares a big timeline, straight in a server's SQLite file: a thousand authors, many posts."""

import random
import time
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from scripts.botlib.api import Account
from scripts.botlib.failures import Unusable
from server.store import follows, urls, users
from server.store.engines import make_patient_engine, writing
from server.store.schema import posts

AUTHORS: Final = 1000
POSTS: Final = 100_000

_SPAN: Final = 90 * 86_400.0  # in which everything was posted
_BATCH: Final = 5000  # the server cannot write meanwhile


def prepare(file: Path, reader: Account, seed: int) -> list[int]:
    """Let ``reader`` follow a thousand new users with many posts.

    Returns:
        The ids of these posts, in the order in which a timeline must have them.

    Raises:
        Unusable: if this is not the file that has the account of ``reader``.
    """
    if not file.is_file():
        raise Unusable(f"there is no file {file}")
    engine = make_patient_engine(urls.parse(f"sqlite:///{file.resolve()}"))
    dice, now = random.Random(seed), time.time()
    try:
        with writing(engine).begin() as conn:
            found = users.by_id(conn, reader.id)
            if found is None or found.email != reader.email:
                raise Unusable(f"{file} is not the database of this server")
            authors = [_author(conn, reader, number, now) for number in range(AUTHORS)]
        rows = [
            {
                # Few write much, and everybody writes.
                "author_id": authors[number if number < AUTHORS else _busy(dice)],
                "text": f"Post {number} " + "x" * dice.randint(0, 200),
                "created_at": now - _SPAN * dice.random(),
            }
            for number in range(POSTS)
        ]
        made: list[tuple[float, int]] = []
        for start in range(0, POSTS, _BATCH):
            batch = rows[start : start + _BATCH]
            with writing(engine).begin() as conn:
                insert = sa.insert(posts).returning(posts.c.created_at, posts.c.id)
                made += [(at, number) for at, number in conn.execute(insert, batch)]
    except sa.exc.SQLAlchemyError as error:
        raise Unusable(f"{file} cannot be used: {str(error).splitlines()[0]}") from None
    finally:
        engine.dispose()
    return [number for _, number in sorted(made, reverse=True)]


def _author(conn: sa.Connection, reader: Account, number: int, now: float) -> int:
    email = f"author-{number}-of-{reader.email}"
    made = users.create(
        conn,
        email=email,
        email_key=email,
        username=f"Author {number}",
        password_hash="!",  # noqa: S106 - of which nothing is the hash
        now=now,
    )
    follows.follow(conn, reader.id, made.id, now)
    return made.id


def _busy(dice: random.Random) -> int:
    return int(AUTHORS * dice.random() ** 3)
