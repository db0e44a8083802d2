"""Accounts and tokens."""

from functools import partial

import pytest
import sqlalchemy as sa
import trio

from server.store import access_tokens, follows, posts, users
from server.store.database import Database
from server.store.records import User
from server.store.schema import idempotency_keys, metadata
from server.support.errors import Missing, Taken
from tests.store.people import add_post, add_user, add_users

HUGE = 2**70


def test_an_account_is_found_by_id_and_by_address(conn: sa.Connection) -> None:
    ann = add_user(conn, at=1_700_000_000.123456)

    assert ann == User(ann.id, "Ann@Example.org", "ann", 1_700_000_000.123456)
    assert users.by_id(conn, ann.id) == ann
    assert users.by_email(conn, "ann@example.org") == (ann, "hash of ann")
    assert users.password_hash(conn, ann.id) == "hash of ann"


@pytest.mark.parametrize("id_", [0, -1, 99, HUGE])
def test_nobody_is_found_where_nobody_is(conn: sa.Connection, id_: int) -> None:
    assert users.by_id(conn, id_) is None
    assert users.password_hash(conn, id_) is None
    assert users.rename(conn, id_, "x") is None
    assert users.set_password(conn, id_, "x") is False
    assert users.delete(conn, id_) is False


@pytest.mark.parametrize("key", ["", "nobody@example.org", "a\0b", "\ud800"])
def test_an_address_that_nobody_has_is_not_found(conn: sa.Connection, key: str) -> None:
    assert users.by_email(conn, key) is None


def test_two_accounts_cannot_have_one_address(conn: sa.Connection) -> None:
    add_user(conn)

    with pytest.raises(Taken) as taken:
        add_user(conn)

    assert taken.value.field == "email"
    assert str(taken.value) == "email is taken"


async def test_of_many_who_want_one_address_at_once_one_gets_it(database: Database) -> None:
    outcomes: list[str] = []

    async def create() -> None:
        try:
            await database.run(add_user, write=True)
        except Taken as taken:
            outcomes.append(taken.field)
        else:
            outcomes.append("created")

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(create)

    assert sorted(outcomes) == ["created"] + ["email"] * 7


def test_a_name_can_be_changed_and_be_that_of_another(conn: sa.Connection) -> None:
    ann, bob = add_users(conn, ["ann", "bob"])

    assert users.rename(conn, bob.id, "ann") == User(bob.id, bob.email, "ann", bob.created_at)
    assert users.by_id(conn, ann.id) == ann


def test_a_password_can_be_changed(conn: sa.Connection) -> None:
    ann, bob = add_users(conn, ["ann", "bob"])

    assert users.set_password(conn, ann.id, "other") is True
    assert users.password_hash(conn, ann.id) == "other"
    assert users.password_hash(conn, bob.id) == "hash of bob"


def test_with_an_account_goes_all_that_it_has(conn: sa.Connection) -> None:
    ann, bob = add_users(conn, ["ann", "bob"])
    add_post(conn, ann, key="k")
    follows.follow(conn, ann.id, bob.id, 1.0)
    follows.follow(conn, bob.id, ann.id, 1.0)
    access_tokens.insert(conn, digest=b"a", user_id=ann.id, now=1.0, expires_at=9.0)

    assert users.delete(conn, ann.id) is True
    assert users.delete(conn, ann.id) is False

    left = {
        table.name
        for table in metadata.sorted_tables
        if conn.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
    }
    assert left == {"users"}
    assert users.by_id(conn, bob.id) == bob


def test_the_id_of_a_deleted_account_is_never_used_again(conn: sa.Connection) -> None:
    ann = add_user(conn)
    users.delete(conn, ann.id)

    assert add_user(conn).id > ann.id


async def test_deleting_a_user_who_is_posting_leaves_no_orphans(database: Database) -> None:
    ann = await database.run(add_user, write=True)
    outcomes: list[object] = []

    async def post(number: int) -> None:
        try:
            await database.run(
                partial(add_post, author=ann, text=str(number), key=str(number)), write=True
            )
        except Missing as missing:
            outcomes.append(missing.what)
        else:
            outcomes.append("posted")

    async with trio.open_nursery() as nursery:
        for number in range(30):
            nursery.start_soon(post, number)
            if number == 10:
                nursery.start_soon(
                    partial(database.run, partial(users.delete, id=ann.id), write=True)
                )

    def orphans(conn: sa.Connection) -> int:
        keys = sa.select(sa.func.count()).select_from(idempotency_keys)
        return (
            len(posts.by_user(conn, ann.id, before=None, limit=99))
            + conn.execute(keys).scalar_one()
        )

    assert await database.run(orphans) == 0
    assert set(outcomes) <= {"posted", "user"}
    assert len(outcomes) == 30


# --- tokens -----------------------------------------------------------------------------------


def test_a_token_tells_whose_it_is_until_it_expires(conn: sa.Connection) -> None:
    ann = add_user(conn)
    access_tokens.insert(conn, digest=b"\0\xff", user_id=ann.id, now=1.0, expires_at=10.0)

    assert access_tokens.find(conn, b"\0\xff", 9.99) == (ann, 10.0)
    assert access_tokens.find(conn, b"\0\xff", 10.0) is None
    assert access_tokens.find(conn, b"other", 5.0) is None


def test_a_token_of_nobody_is_not_kept(conn: sa.Connection) -> None:
    with pytest.raises(Missing) as missing:
        access_tokens.insert(conn, digest=b"a", user_id=7, now=1.0, expires_at=10.0)

    assert str(missing.value) == "no such user"


def test_a_token_can_live_longer(conn: sa.Connection) -> None:
    ann = add_user(conn)
    access_tokens.insert(conn, digest=b"a", user_id=ann.id, now=1.0, expires_at=10.0)

    access_tokens.extend(conn, b"a", 20.0)
    access_tokens.extend(conn, b"gone", 20.0)

    assert access_tokens.find(conn, b"a", 15.0) == (ann, 20.0)
    assert access_tokens.find(conn, b"gone", 15.0) is None


def test_a_token_is_revoked_once(conn: sa.Connection) -> None:
    ann = add_user(conn)
    access_tokens.insert(conn, digest=b"a", user_id=ann.id, now=1.0, expires_at=10.0)

    assert access_tokens.revoke(conn, b"a") is True
    assert access_tokens.revoke(conn, b"a") is False
    assert access_tokens.find(conn, b"a", 2.0) is None


@pytest.mark.parametrize(("keep", "ended"), [(b"a", 2), (None, 3), (b"x", 3)])
def test_all_other_tokens_of_a_user_can_be_revoked(
    conn: sa.Connection, keep: bytes | None, ended: int
) -> None:
    ann, bob = add_users(conn, ["ann", "bob"])
    for digest in (b"a", b"b", b"c"):
        access_tokens.insert(conn, digest=digest, user_id=ann.id, now=1.0, expires_at=9.0)
    access_tokens.insert(conn, digest=b"d", user_id=bob.id, now=1.0, expires_at=9.0)

    assert access_tokens.revoke_others(conn, ann.id, keep) == ended

    left = [each for each in (b"a", b"b", b"c", b"d") if access_tokens.find(conn, each, 2.0)]
    assert left == ([b"a", b"d"] if keep == b"a" else [b"d"])


def test_expired_tokens_are_forgotten(conn: sa.Connection) -> None:
    ann = add_user(conn)
    for digest, end in ((b"a", 5.0), (b"b", 6.0), (b"c", 7.0)):
        access_tokens.insert(conn, digest=digest, user_id=ann.id, now=1.0, expires_at=end)

    assert access_tokens.purge(conn, 6.0) == 2
    assert access_tokens.find(conn, b"c", 1.0) is not None
