"""Which routes need a token, and which do not."""

import pytest

from server.auth.tokens import COOKIE
from tests.server.http.world import ON_SQLITE, World

PROTECTED = [
    ("POST", "/logout"),
    ("DELETE", "/delete"),
    ("POST", "/follow?toFollowId=1"),
    ("POST", "/unfollow?toUnfollowId=1"),
    ("GET", "/users/me"),
    ("PATCH", "/users/me"),
    ("GET", "/users/1"),
    ("GET", "/users/1/followers"),
    ("GET", "/users/1/following"),
    ("GET", "/users/1/posts"),
    ("POST", "/posts"),
    ("GET", "/posts/1"),
    ("DELETE", "/posts/1"),
    ("GET", "/timeline"),
]


@pytest.mark.parametrize(("method", "target"), PROTECTED)
@ON_SQLITE
async def test_everything_else_needs_a_token(world: World, method: str, target: str) -> None:
    for headers in (
        {},
        {"Authorization": "Bearer nonsense"},
        {"Authorization": "Bearer " + "A" * 43},
        {"Authorization": "Basic YTpi"},
        {"Cookie": f"{COOKIE}=" + "A" * 43},
    ):
        answer = await world.ask(method, target, headers=headers)

        assert answer.status == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert set(answer.json) == {"error"}


async def test_the_entry_pages_need_none(world: World) -> None:
    for target in ("/", "/health", "/schema/openapi.json"):
        assert (await world.ask("GET", target)).status == 200
