"""Posts and timelines."""

from functools import partial

import pytest
import sqlalchemy as sa
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.store import follows, posts, users
from server.store.cursors import Cursor
from server.store.database import Database
from server.store.records import Post
from server.store.schema import posts as table
from server.store.schema import user_followers
from server.support.errors import Missing
from tests.store.people import add_post, add_user, add_users


def texts(listed: list[Post]) -> list[str]:
    return [each.text for each in listed]


def test_a_post_carries_its_authors_name_of_now(conn: sa.Connection) -> None:
    ann = add_user(conn)

    post, new = posts.create(conn, author_id=ann.id, text="hi", now=2.5, idempotency_key=None)

    assert new
    assert post == Post(post.id, ann.id, "ann", "hi", 2.5)
    users.rename(conn, ann.id, "anna")
    assert posts.get(conn, post.id) == Post(post.id, ann.id, "anna", "hi", 2.5)


def test_a_post_is_deleted_once(conn: sa.Connection) -> None:
    post = add_post(conn, add_user(conn), key="k")

    assert posts.delete(conn, post.id) is True
    assert posts.delete(conn, post.id) is False
    assert posts.get(conn, post.id) is None


@pytest.mark.parametrize("id_", [0, -5, 77, 2**64])
def test_no_post_is_found_where_none_is(conn: sa.Connection, id_: int) -> None:
    assert posts.get(conn, id_) is None
    assert posts.delete(conn, id_) is False


@pytest.mark.parametrize("key", [None, "k"])
def test_nobody_cannot_post(conn: sa.Connection, key: str | None) -> None:
    with pytest.raises(Missing, match="user"):
        posts.create(conn, author_id=5, text="x", now=1.0, idempotency_key=key)


def test_the_same_key_gives_the_same_post(conn: sa.Connection) -> None:
    ann, bob = add_users(conn, ["ann", "bob"])
    create = partial(posts.create, conn, author_id=ann.id, key_lifetime=10.0)

    first, _ = create(text="one", now=1.0, idempotency_key="k")
    again, new = create(text="two", now=10.9, idempotency_key="k")
    other, _ = create(text="three", now=10.9, idempotency_key="other")
    of_bob, _ = posts.create(conn, author_id=bob.id, text="b", now=1.0, idempotency_key="k")

    assert (again, new) == (first, False)
    assert len({first.id, other.id, of_bob.id}) == 3


def test_a_key_is_good_for_its_lifetime(conn: sa.Connection) -> None:
    ann = add_user(conn)
    create = partial(posts.create, conn, author_id=ann.id, idempotency_key="k", key_lifetime=10.0)

    first, _ = create(text="one", now=1.0)
    second, new = create(text="two", now=11.0)
    third, newer = create(text="three", now=20.9)

    assert new
    assert second.id != first.id
    assert (third, newer) == (second, False)


def test_the_key_of_a_deleted_post_may_be_used_again(conn: sa.Connection) -> None:
    ann = add_user(conn)
    posts.delete(conn, add_post(conn, ann, key="k").id)

    _, new = posts.create(conn, author_id=ann.id, text="x", now=2.0, idempotency_key="k")

    assert new


def test_old_keys_are_forgotten(conn: sa.Connection) -> None:
    ann = add_user(conn)
    first = add_post(conn, ann, at=1.0, key="old")
    add_post(conn, ann, at=2.0, key="young")

    assert posts.purge_keys(conn, 1.0) == 1
    assert add_post(conn, ann, key="old") != first


async def test_the_same_key_at_the_same_moment_gives_one_post(database: Database) -> None:
    ann = await database.run(add_user, write=True)
    made: list[tuple[Post, bool]] = []

    async def create(text: str) -> None:
        work = partial(posts.create, author_id=ann.id, text=text, now=1.0, idempotency_key="k")
        made.append(await database.run(work, write=True))

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(create, str(number))

    assert len({post for post, _ in made}) == 1
    assert sum(new for _, new in made) == 1
    stored = await database.run(partial(posts.by_user, user_id=ann.id, before=None, limit=99))
    assert stored == [made[0][0]]


def test_the_posts_of_a_user_come_in_pages(conn: sa.Connection) -> None:
    ann, bob = add_users(conn, ["ann", "bob"])
    for number in range(7):
        add_post(conn, ann, str(number), at=number // 3)
    add_post(conn, bob, "other")

    seen: list[str] = []
    before: Cursor | None = None
    while page := posts.by_user(conn, ann.id, before=before, limit=2):
        seen += texts(page)
        before = page[-1].cursor

    assert seen == ["6", "5", "4", "3", "2", "1", "0"]


def test_a_timeline_has_ones_own_posts_and_those_of_whom_one_follows(
    conn: sa.Connection,
) -> None:
    ann, bob, cat = add_users(conn, ["ann", "bob", "cat"])
    follows.follow(conn, ann.id, bob.id, 1.0)
    follows.follow(conn, ann.id, ann.id, 1.0)
    for at, (author, text) in enumerate(((ann, "a"), (cat, "c"), (bob, "b"))):
        add_post(conn, author, text, at=at)

    assert texts(posts.timeline(conn, ann.id, before=None, limit=9)) == ["b", "a"]
    assert texts(posts.timeline(conn, bob.id, before=None, limit=9)) == ["b"]
    assert posts.timeline(conn, 99, before=None, limit=9) == []


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    authors=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 6)), max_size=40),
    followed=st.sets(st.integers(1, 5)),
    limit=st.integers(1, 5),
)
def test_a_timeline_read_page_by_page_is_all_posts_in_order(
    conn: sa.Connection, authors: list[tuple[int, int]], followed: set[int], limit: int
) -> None:
    nested = conn.begin_nested()
    people = add_users(conn, [f"u{n}" for n in range(6)])
    for number in followed:
        follows.follow(conn, people[0].id, people[number].id, 1.0)
    made = [add_post(conn, people[author], at=at) for author, at in authors]
    seen: list[Post] = []
    before: Cursor | None = None

    while page := posts.timeline(conn, people[0].id, before=before, limit=limit):
        assert len(page) <= limit
        seen += page
        before = Cursor.decode(page[-1].cursor.encode())

    mine = {people[number].id for number in {0, *followed}}
    wanted = [each for each in made if each.author_id in mine]
    assert seen == sorted(wanted, key=lambda each: (each.created_at, each.id), reverse=True)
    nested.rollback()


# --- many posts -------------------------------------------------------------------------------

FOLLOWED = 1_000
POSTS = 100_000


def fill(conn: sa.Connection) -> None:
    """User 1 follows users 2 to 1001, who all post; user 1002 follows 1003 and 1004 only.

    1003 has written nothing but the oldest post, 1004 nothing but 30 000 of the newest.
    """
    everybody = [add_user(conn, f"u{n}").id for n in range(FOLLOWED + 4)]
    first, crowd, (loner, old, busy) = everybody[0], everybody[1:-3], everybody[-3:]
    links = [(first, other) for other in crowd] + [(loner, old), (loner, busy)]
    conn.execute(
        sa.insert(user_followers),
        [{"follower_id": one, "following_id": other, "created_at": 1.0} for one, other in links],
    )
    writers = [old]
    writers += [crowd[number * 7919 % FOLLOWED] for number in range(POSTS - 30_001)]
    writers += [busy] * 30_000
    rows = [
        {"author_id": writer, "text": "x" * 80, "created_at": float(at)}
        for at, writer in enumerate(writers)
    ]
    for first_row in range(0, POSTS, 5_000):  # each within the time of one statement
        conn.execute(sa.insert(table), rows[first_row : first_row + 5_000])
    if conn.dialect.name == "postgresql":
        conn.exec_driver_sql("ANALYZE")


def plan(conn: sa.Connection, user_id: int) -> str:
    query = posts.timeline_query(conn.dialect.name, user_id, Cursor(9e9, 1), 20)
    text = str(query.compile(conn, compile_kwargs={"literal_binds": True}))
    how = "EXPLAIN" if conn.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN"
    return "\n".join(str(row[-1]) for row in conn.exec_driver_sql(f"{how} {text}"))


def test_a_timeline_reads_indexes_however_many_posts_there_are(conn: sa.Connection) -> None:
    fill(conn)
    ids = dict(tuple(row) for row in conn.execute(sa.text("SELECT username, id FROM users")))
    many, few, nobody = ids["u0"], ids[f"u{FOLLOWED + 1}"], ids[f"u{FOLLOWED + 2}"]

    for user, sizes in ((many, [20] * 5), (few, [20] * 5), (nobody, [1, 0])):
        before: Cursor | None = None
        for size in sizes:
            page = posts.timeline(conn, user, before=before, limit=20)
            assert len(page) == size
            before = page[-1].cursor if page else before

        steps = plan(conn, user)
        # As PostgreSQL says it, and as SQLite does: every post would be read.
        for scan in ("Seq Scan on posts", "SCAN posts", "SCAN head"):
            assert scan not in steps
        assert "ix_posts_author_id" in steps
