"""Tokens for bots: kept as digests, counted, listed and revoked."""

from functools import partial

import attrs
import pytest
import sqlalchemy as sa
import trio

from server.store import bot_tokens, users
from server.store.database import Database
from server.store.records import BotToken
from server.support.errors import Missing, TooMany
from tests.store.people import add_user, add_users


def add(
    conn: sa.Connection,
    user_id: int,
    digest: bytes = b"a",
    *,
    name: str = "bot",
    now: float = 1.0,
    expires_at: float | None = None,
    most: int = 9,
) -> BotToken:
    return bot_tokens.create(
        conn,
        digest=digest,
        user_id=user_id,
        name=name,
        scopes=("posts:read", "rooms:open"),
        now=now,
        expires_at=expires_at,
        most=most,
    )


def test_a_token_tells_whose_it_is_and_what_it_reaches(conn: sa.Connection) -> None:
    ann = add_user(conn)
    made = add(conn, ann.id, b"\0\xff")

    assert made == BotToken(made.id, "bot", ("posts:read", "rooms:open"), 1.0, None, None)
    assert bot_tokens.find(conn, b"\0\xff", 1e12) == (ann, made)
    assert bot_tokens.find(conn, b"other", 2.0) is None


def test_a_token_ends_when_it_was_to_end(conn: sa.Connection) -> None:
    ann = add_user(conn)
    made = add(conn, ann.id, expires_at=10.0)

    assert bot_tokens.find(conn, b"a", 9.99) == (ann, made)
    assert bot_tokens.find(conn, b"a", 10.0) is None
    assert bot_tokens.of_user(conn, ann.id, 9.99) == [made]
    assert bot_tokens.of_user(conn, ann.id, 10.0) == []


def test_a_token_of_nobody_is_not_kept(conn: sa.Connection) -> None:
    with pytest.raises(Missing, match="no such user"):
        add(conn, 7)


def test_tokens_are_listed_the_latest_first_and_nobody_elses(conn: sa.Connection) -> None:
    ann, bob = add_users(conn, ["ann", "bob"])
    first, second = add(conn, ann.id, b"a"), add(conn, ann.id, b"b")
    add(conn, bob.id, b"c")

    bot_tokens.note_use(conn, b"a", 3600.0)
    bot_tokens.note_use(conn, b"gone", 3600.0)

    used = attrs.evolve(first, used_at=3600.0)
    assert bot_tokens.of_user(conn, ann.id, 2.0) == [second, used]


def test_an_account_has_so_many_that_have_not_expired(conn: sa.Connection) -> None:
    ann, bob = add_users(conn, ["ann", "bob"])
    add(conn, ann.id, b"a", most=2, expires_at=5.0)
    add(conn, ann.id, b"b", most=2)

    with pytest.raises(TooMany, match="2 tokens for bots"):
        add(conn, ann.id, b"c", most=2)
    add(conn, bob.id, b"d", most=2)
    add(conn, ann.id, b"e", most=2, now=5.0)


async def test_of_many_made_at_once_no_more_are_kept_than_may_be(database: Database) -> None:
    ann = await database.run(add_user, write=True)
    refused = 0

    async def make(number: int) -> None:
        nonlocal refused
        try:
            await database.run(
                partial(add, user_id=ann.id, digest=bytes([number]), most=3), write=True
            )
        except TooMany:
            refused += 1

    async with trio.open_nursery() as nursery:
        for number in range(8):
            nursery.start_soon(make, number)

    kept = await database.run(partial(bot_tokens.of_user, user_id=ann.id, now=2.0))
    assert (len(kept), refused) == (3, 5)


def test_a_token_is_revoked_by_its_account_alone_and_once(conn: sa.Connection) -> None:
    ann, bob = add_users(conn, ["ann", "bob"])
    made = add(conn, ann.id)

    for id_ in (made.id + 1, 0, -1, 2**70):
        assert bot_tokens.revoke(conn, ann.id, id_) is None
    assert bot_tokens.revoke(conn, bob.id, made.id) is None
    assert bot_tokens.revoke(conn, ann.id, made.id) == b"a"
    assert bot_tokens.revoke(conn, ann.id, made.id) is None
    assert bot_tokens.find(conn, b"a", 2.0) is None


def test_the_id_of_a_revoked_token_is_never_used_again(conn: sa.Connection) -> None:
    ann = add_user(conn)
    made = add(conn, ann.id)
    bot_tokens.revoke(conn, ann.id, made.id)

    assert add(conn, ann.id).id > made.id


def test_all_of_an_account_can_be_revoked_and_go_with_it(conn: sa.Connection) -> None:
    ann, bob = add_users(conn, ["ann", "bob"])
    for digest in (b"a", b"b"):
        add(conn, ann.id, digest)
    add(conn, bob.id, b"c")

    assert bot_tokens.revoke_all(conn, ann.id) == 2
    assert bot_tokens.find(conn, b"c", 2.0) is not None
    users.delete(conn, bob.id)
    assert bot_tokens.find(conn, b"c", 2.0) is None


def test_expired_tokens_are_forgotten_and_those_without_an_end_are_not(
    conn: sa.Connection,
) -> None:
    ann = add_user(conn)
    for digest, end in ((b"a", 5.0), (b"b", 6.0), (b"c", 7.0), (b"d", None)):
        add(conn, ann.id, digest, expires_at=end)

    assert bot_tokens.purge(conn, 6.0) == 2
    assert bot_tokens.find(conn, b"c", 2.0) is not None
    assert bot_tokens.find(conn, b"d", 1e12) is not None
