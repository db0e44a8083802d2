"""Who follows whom."""

from functools import partial

import pytest
import sqlalchemy as sa
import trio

from server.store import follows, users
from server.store.cursors import Cursor
from server.store.database import Database
from server.store.records import Contact, User
from server.store.schema import user_followers
from server.support.errors import Missing
from tests.store.people import add_user, add_users


def names(listed: list[Contact]) -> list[str]:
    return [each.username for each in listed]


def links(conn: sa.Connection) -> int:
    return conn.execute(sa.select(sa.func.count()).select_from(user_followers)).scalar_one()


def test_following_shows_on_both_sides(conn: sa.Connection) -> None:
    ann, bob = add_users(conn, ["ann", "bob"])

    follows.follow(conn, ann.id, bob.id, 5.0)

    assert follows.following(conn, ann.id, before=None, limit=9) == [
        Contact(bob.id, bob.email, "bob", bob.created_at, 5.0)
    ]
    assert names(follows.followers(conn, bob.id, before=None, limit=9)) == ["ann"]
    assert follows.followers(conn, ann.id, before=None, limit=9) == []


def test_following_twice_is_following_once_and_since_the_first_time(conn: sa.Connection) -> None:
    ann, bob = add_users(conn, ["ann", "bob"])

    follows.follow(conn, ann.id, bob.id, 5.0)
    follows.follow(conn, ann.id, bob.id, 6.0)

    [contact] = follows.following(conn, ann.id, before=None, limit=9)
    assert contact.since == 5.0


def test_unfollowing_can_be_repeated(conn: sa.Connection) -> None:
    ann, bob = add_users(conn, ["ann", "bob"])
    follows.follow(conn, ann.id, bob.id, 5.0)

    follows.unfollow(conn, ann.id, bob.id)
    follows.unfollow(conn, ann.id, bob.id)

    assert links(conn) == 0


@pytest.mark.parametrize("nobody", [0, 99, 2**70, -1])
def test_who_does_not_exist_cannot_be_followed_or_unfollowed(
    conn: sa.Connection, nobody: int
) -> None:
    ann = add_user(conn)

    with pytest.raises(Missing, match="user"):
        follows.unfollow(conn, ann.id, nobody)
    with pytest.raises(Missing, match="user"):
        follows.follow(conn, ann.id, nobody, 1.0)


async def test_twenty_who_follow_and_unfollow_at_once_fail_in_nothing(database: Database) -> None:
    people = await database.run(
        partial(add_users, names=["ann", *(f"u{n}" for n in range(10))]), write=True
    )
    ann, others = people[0], people[1:]

    async def toggle(user: User) -> None:
        for at in range(3):
            for work in (
                partial(follows.follow, follower_id=user.id, following_id=ann.id, now=at),
                partial(follows.unfollow, follower_id=user.id, following_id=ann.id),
                partial(follows.follow, follower_id=user.id, following_id=ann.id, now=at),
            ):
                await database.run(work, write=True)

    async with trio.open_nursery() as nursery:
        for user in (*others, *others):
            nursery.start_soon(toggle, user)

    listed = await database.run(partial(follows.followers, user_id=ann.id, before=None, limit=99))
    assert {each.id for each in listed} <= {each.id for each in others}


async def test_following_somebody_who_is_being_deleted_leaves_no_orphans(
    database: Database,
) -> None:
    ann, *others = await database.run(
        partial(add_users, names=["ann", *(f"u{n}" for n in range(10))]), write=True
    )
    refused = 0

    async def follow(user: User) -> None:
        nonlocal refused
        work = partial(follows.follow, follower_id=user.id, following_id=ann.id, now=1.0)
        try:
            await database.run(work, write=True)
        except Missing:
            refused += 1

    async with trio.open_nursery() as nursery:
        for number, user in enumerate(others):
            nursery.start_soon(follow, user)
            if number == 5:
                delete = partial(users.delete, id=ann.id)
                nursery.start_soon(partial(database.run, delete, write=True))

    assert await database.run(links) == 0
    assert refused <= 10


def test_pages_follow_each_other_without_gap_or_overlap(conn: sa.Connection) -> None:
    ann, *others = add_users(conn, ["ann", *(f"u{n}" for n in range(10))])
    for number, user in enumerate(others):
        follows.follow(conn, user.id, ann.id, number // 4)  # several at the same moment
        follows.follow(conn, ann.id, user.id, number // 4)
    expected = [f"u{n}" for n in reversed(range(10))]

    for listing in (follows.followers, follows.following):
        seen: list[str] = []
        before: Cursor | None = None
        while page := listing(conn, ann.id, before=before, limit=3):
            seen += names(page)
            before = page[-1].cursor
        assert seen == expected
