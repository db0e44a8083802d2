"""Many at once, and a database that goes away: no 500, and nothing half-done."""

from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import pytest
import sqlalchemy as sa
import trio

from server.store.database import Database
from server.store.schema import posts, tokens, user_followers, users
from tests.server.http.world import PASSWORD, World
from tests.server.http_client import Answer
from tests.store.conftest import Postgres

T = TypeVar("T")


async def all_at_once(*calls: Callable[[], Awaitable[Answer]]) -> Counter[int]:
    """Make requests at the same moment; count the statuses."""
    statuses: Counter[int] = Counter()

    async def one(call: Callable[[], Awaitable[Answer]]) -> None:
        statuses[(await call()).status] += 1

    async with trio.open_nursery() as nursery:
        for call in calls:
            nursery.start_soon(one, call)
    return statuses


async def test_of_two_who_register_one_address_one_gets_it(world: World) -> None:
    bodies = [
        {"username": "x", "email": email, "password": PASSWORD}
        for email in ("ada@example.com", "ADA@example.com")
    ]

    statuses = await all_at_once(
        *(lambda body=body: world.ask("POST", "/register", body) for body in bodies)
    )

    assert statuses == {201: 1, 409: 1}


async def test_following_and_unfollowing_from_many_tasks_is_never_an_error(world: World) -> None:
    ada, bob = await world.register("ada"), await world.register("bob")

    def call(number: int) -> Callable[[], Awaitable[Answer]]:
        path = f"/follow?toFollowId={bob.id}"
        if number % 2:
            path = f"/unfollow?toUnfollowId={bob.id}"
        return lambda: world.ask("POST", path, token=ada.token)

    assert await all_at_once(*map(call, range(20))) == {200: 20}


async def test_posts_with_one_key_at_once_are_one_post(world: World) -> None:
    ada = await world.register("ada")

    def call() -> Awaitable[Answer]:
        key = {"Idempotency-Key": "k"}
        return world.ask("POST", "/posts", {"text": "once"}, token=ada.token, headers=key)

    assert await all_at_once(*[call] * 8) == {201: 8}
    assert len((await world.ask("GET", "/timeline", token=ada.token)).json) == 1


async def test_an_account_deleted_while_it_posts_and_follows_leaves_nothing(
    world: World,
) -> None:
    ada, bob = await world.register("ada"), await world.register("bob")

    def post() -> Awaitable[Answer]:
        return world.ask("POST", "/posts", {"text": "x"}, token=ada.token)

    def follow() -> Awaitable[Answer]:
        return world.ask("POST", f"/follow?toFollowId={bob.id}", token=ada.token)

    def be_followed() -> Awaitable[Answer]:
        return world.ask("POST", f"/follow?toFollowId={ada.id}", token=bob.token)

    def log_in() -> Awaitable[Answer]:
        return world.login(ada.email)

    def delete() -> Awaitable[Answer]:
        return world.ask("DELETE", "/delete", token=ada.token)

    statuses = await all_at_once(*[post, follow, be_followed, log_in] * 4, delete)

    assert set(statuses) <= {200, 201, 204, 401, 404}
    assert statuses[204] == 1

    def leftovers(conn: sa.Connection) -> list[int]:
        wheres = (
            posts.c.author_id == ada.id,
            user_followers.c.follower_id == ada.id,
            user_followers.c.following_id == ada.id,
            tokens.c.user_id == ada.id,
            users.c.id == ada.id,
        )
        counts = (sa.select(sa.func.count()).where(where) for where in wheres)
        return [conn.execute(count).scalar_one() for count in counts]

    assert await world.database.run(leftovers) == [0] * 5


async def test_a_password_changed_twice_at_once_is_changed_once(world: World) -> None:
    ada = await world.register("ada")

    def change(password: str) -> Callable[[], Awaitable[Answer]]:
        body = {"password": password, "old_password": PASSWORD}
        return lambda: world.ask("PATCH", "/users/me", body, token=ada.token)

    statuses = await all_at_once(change("another password"), change("a third password"))

    assert set(statuses) <= {200, 403}
    logins = [
        (await world.login(ada.email, f"{which} password")).status
        for which in ("another", "a third")
    ]
    assert sorted(logins) == [200, 401]


async def test_while_the_database_is_gone_everything_is_503_with_retry_after(
    postgres_alone: Postgres,
) -> None:
    database = Database(postgres_alone.url("postgres"))
    try:
        database.upgrade()
        world = World(database)
        ada = await world.register("ada")
        postgres_alone.stop()
        for method, target, body in (
            ("GET", "/users/me", None),
            ("GET", "/timeline", None),
            ("POST", "/posts", {"text": "x"}),
            ("POST", "/login", {"email": ada.email, "password": PASSWORD}),
            ("POST", "/register", {"username": "x", "email": "x@y.z", "password": PASSWORD}),
            ("POST", "/logout", None),
            ("DELETE", "/delete", None),
        ):
            answer = await world.ask(method, target, body, token=ada.token)

            assert answer.status == 503, target
            assert int(answer.headers["retry-after"]) > 0
            assert set(answer.json) == {"error"}
        assert (await world.ask("GET", "/")).status == 200
        postgres_alone.start()
        with trio.fail_after(20):
            while not await database.probe():  # noqa: ASYNC110 - nobody tells that it is up
                await trio.sleep(0.1)
        assert (await world.ask("GET", "/users/me", token=ada.token)).status == 200
    finally:
        await database.aclose()


class Meddling(Database):
    """Does something else before the next write."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.first: Callable[[], Awaitable[object]] | None = None

    async def run(self, work: Callable[[sa.Connection], T], *, write: bool = False) -> T:
        if write and self.first is not None:
            first, self.first = self.first, None
            await first()
        return await super().run(work, write=write)


@pytest.mark.parametrize(
    ("method", "target", "body", "status"),
    [
        ("POST", "/posts", {"text": "x"}, 401),
        ("POST", "/follow?toFollowId={bob}", None, 404),
        ("PATCH", "/users/me", {"username": "x"}, 401),
        ("PATCH", "/users/me", {"password": "another password", "old_password": PASSWORD}, 403),
        ("POST", "/login", {"email": "ada@example.com", "password": PASSWORD}, 401),
        ("POST", "/logout", None, 202),
        ("DELETE", "/delete", None, 204),
    ],
)
async def test_an_account_deleted_in_the_middle_of_a_request_is_gone(
    url: str, method: str, target: str, body: object, status: int
) -> None:
    database = Meddling(url)
    try:
        world = World(database)
        ada, bob = await world.register("ada"), await world.register("bob")
        identity = await world.accounts.identify(ada.token)
        database.first = partial(world.accounts.delete, identity)

        answer = await world.ask(method, target.format(bob=bob.id), body, token=ada.token)

        assert answer.status == status
        assert (await world.ask("GET", f"/users/{ada.id}", token=bob.token)).status == 404
    finally:
        await database.aclose()


async def test_a_password_changed_while_somebody_logs_in_with_the_old_one(url: str) -> None:
    database = Meddling(url)
    try:
        world = World(database)
        ada = await world.register("ada")
        identity = await world.accounts.identify(ada.token)
        database.first = partial(
            world.accounts.change, identity, password="another password", old_password=PASSWORD
        )

        assert (await world.login(ada.email)).status == 401
        assert (await world.login(ada.email, "another password")).status == 200
    finally:
        await database.aclose()
