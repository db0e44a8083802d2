"""The social bots against a server that misbehaves in a chosen way."""

import itertools
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import attrs
import pytest
import trio

from scripts.botlib.social.plan import Plan, Tally
from scripts.botlib.social.society import live
from tests.scripts.fake_parley import FakeParley
from tests.scripts.fake_world import Reply, Request, Twist, World, honest

PLAN = Plan(
    url=urlsplit("http://127.0.0.1:1"),
    users=5,
    posts=12,
    follows=3,
    seed=1,
    timeout=2,
    concurrency=4,
)


async def social(twist: Twist = honest, **more: Any) -> Tally:
    tally, server = Tally(), FakeParley(World(twist=twist))
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        with trio.fail_after(20):
            await live(attrs.evolve(PLAN, url=urlsplit(server.url), **more), tally)
        nursery.cancel_scope.cancel()
    return tally


@pytest.mark.parametrize(
    "more",
    [{}, {"users": 2}, {"follows": 0}, {"posts": 0}, {"follows": 50}, {"concurrency": 1}],
    ids=str,
)
async def test_an_honest_server_passes(more: dict[str, Any]) -> None:
    tally = await social(**more)

    assert tally.good, tally.as_json()
    plan = attrs.evolve(PLAN, **more)
    assert tally.accounts == plan.users
    assert tally.posts == plan.users * plan.posts
    assert tally.timelines >= 3 * plan.users


def on(
    method: str, path: str, change: Callable[[World, Request, Reply], Reply | None], only: int = 0
) -> Twist:
    """Change the answers to these requests, or that of this number only."""
    count = itertools.count(1)

    def twist(world: World, request: Request, reply: Reply) -> Reply | None:
        if request.method != method or not request.path.startswith(path):
            return None
        number = next(count)
        return change(world, request, reply) if only in (0, number) else None

    return twist


def body(change: Callable[[Any], Any]) -> Callable[[World, Request, Reply], Reply | None]:
    """Change the bodies of answers that are no errors."""

    def changed(world: World, request: Request, reply: Reply) -> Reply | None:
        if reply.status >= 400 or not reply.body:
            return None
        return Reply(reply.status, change(reply.body), reply.headers)

    return changed


def status(code: int) -> Callable[[World, Request, Reply], Reply]:
    return lambda world, request, reply: Reply(code, {"error": "x", "message": "y"})


def once(
    code: int, instead: int, told: object = None
) -> Callable[[World, Request, Reply], Reply | None]:
    """Answer with another status, or body, where this one is due."""

    def changed(world: World, request: Request, reply: Reply) -> Reply | None:
        content = {"error": "x"} if told is None else told
        return Reply(instead, content) if reply.status == code else None

    return changed


def again(world: World, request: Request, reply: Reply) -> Reply | None:
    """Make a post, whatever its key."""
    if request.method != "POST" or request.path != "/posts" or reply.status != 201:
        return None
    copy = {**reply.body, "id": world.new_id()}
    if "idempotency-key" not in request.headers:
        return None
    world.posts.insert(0, copy)
    return Reply(201, copy)


def of_others(world: World, request: Request, reply: Reply) -> Reply | None:
    if reply.status != 200:
        return None
    own = world.whose(request)
    followed = {own, *world.follows[own]}
    others = [each for each in world.posts if each["author"]["id"] not in followed]
    if "Link" in dict(reply.headers) or not others:
        return None
    return Reply(200, [*reply.body, others[-1]][-int(request.query["limit"]) :])


def still_followed(world: World, request: Request, reply: Reply) -> None:
    world.follows[world.whose(request)].append(int(request.query["toUnfollowId"]))


def twice_followed(world: World, request: Request, reply: Reply) -> None:
    if reply.status == 200:
        world.follows[world.whose(request)].append(int(request.query["toFollowId"]))


def still_logged_in(world: World, request: Request, reply: Reply) -> None:
    if reply.status == 202:
        user = next(number for number in world.users if f"of-{number}" not in world.tokens)
        world.tokens[request.token] = user


def all_logged_out(world: World, request: Request, reply: Reply) -> None:
    world.tokens.clear()


def posts_stay(world: World, request: Request, reply: Reply) -> None:
    if reply.status == 204:
        author = {"id": 10**6, "username": "gone"}
        ghost = {"id": world.new_id(), "author": author, "text": "x", "created_at": world.now()}
        world.posts.insert(0, ghost)
        for followed in world.follows.values():
            followed.append(10**6)
        world.users[10**6] = {"username": "gone", "email": "", "password": ""}


def with_password(told: Any) -> Any:
    return told | {"password_hash": "x"}


@pytest.mark.parametrize(
    ("twist", "rule"),
    [
        (on("POST", "/follow", status(500), 1), "follow"),
        (on("POST", "/follow", once(404, 200)), "follow-refused"),
        (on("POST", "/follow", once(409, 200)), "follow-refused"),
        (on("POST", "/follow", twice_followed), "followed-twice"),
        (on("GET", "/users/1/following", body(lambda told: told[1:])), "following"),
        (on("POST", "/posts", again), "key-doubled"),
        (on("POST", "/posts", once(409, 201)), "key-reused"),
        (on("POST", "/posts", body(lambda told: told | {"text": "x"}), 3), "text"),
        (on("POST", "/posts", body(lambda told: told | {"id": 9}), 3), "missing"),
        (on("POST", "/posts", status(200), 3), "status"),
        (on("GET", "/timeline", body(lambda told: told[:-1])), "missing"),
        (on("GET", "/timeline", body(lambda told: told[::-1])), "order"),
        (on("GET", "/timeline", of_others), "extra"),
        (on("GET", "/timeline", body(lambda told: [told[0], *told[:-1]])), "shown-twice"),
        (on("GET", "/timeline", body(lambda told: ["x"])), "malformed"),
        (on("GET", "/timeline", status(404), 3), "status"),
        (on("GET", "/users/1/posts", body(lambda told: told[:-1])), "missing"),
        (on("POST", "/unfollow", still_followed), "extra"),
        (on("POST", "/unfollow", still_followed), "following"),
        (on("DELETE", "/posts", once(403, 204)), "not-mine"),
        (on("DELETE", "/posts", once(404, 204)), "deleted-there"),
        (on("GET", "/posts", once(404, 200)), "deleted-there"),
        (on("POST", "/logout", still_logged_in), "token-alive"),
        (on("POST", "/logout", all_logged_out), "other-token-ended"),
        (on("GET", "/timeline", once(401, 200)), "token-alive"),
        (on("POST", "/login", once(401, 200)), "deleted-there"),
        (on("POST", "/login", body(with_password)), "password-told"),
        (on("POST", "/login", body(lambda told: told | {"id": "1"})), "account"),
        (on("POST", "/login", lambda w, q, reply: Reply(reply.status, reply.body)), "no-token"),
        (on("GET", "/users/", once(404, 200)), "deleted-there"),
        (on("DELETE", "/delete", posts_stay), "extra"),
        (on("DELETE", "/delete", status(200)), "status"),
        (on("POST", "/follow", once(409, 409, "x")), "malformed"),
        (on("POST", "/follow", once(409, 409, {})), "error-body"),
    ],
)  # fmt: skip
async def test_a_server_that_breaks_a_rule_fails(twist: Twist, rule: str) -> None:
    tally = await social(twist)

    assert rule in tally.rules, tally.as_json()


async def test_a_list_without_an_end_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.botlib.pages.MOST_PAGES", 30)

    def change(world: World, request: Request, reply: Reply) -> Reply | None:
        own = world.whose(request)
        user = {"id": own, "username": world.users[own]["username"]}
        limit = int(request.query["limit"])
        return Reply(200, [user] * limit, [("Link", f'<{request.target}>; rel="next"')])

    tally = await social(on("GET", "/users/1/following", change))

    assert tally.rules["endless"]


async def test_a_limit_in_the_midst_is_one_line() -> None:
    tally = await social(on("POST", "/login", status(429)))

    assert tally.stopped.endswith("start it with --register-limit 0 --login-limit 0")


@pytest.mark.parametrize(
    ("change", "stopped"),
    [
        (body(lambda told: told | {"email": "x"}), "account"),
        (status(429), "--register-limit 0"),
        (status(409), "409"),
    ],
)
async def test_without_accounts_there_is_nothing_to_find_out(
    change: Callable[[World, Request, Reply], Reply | None], stopped: str
) -> None:
    tally = await social(on("POST", "/register", change))

    assert stopped in tally.stopped
    assert not tally.good
