"""Other users: what is told of them, and who follows whom."""

import re

import pytest

from tests.server.http.world import ON_SQLITE, World

UNKNOWN = [999_999, 2**53 - 1]
IMPOSSIBLE = ["0", "-1", str(2**53), str(2**63), str(2**70)]


async def test_others_see_no_address(world: World) -> None:
    ada, bob = await world.register("ada"), await world.register("bob")

    answer = await world.ask("GET", f"/users/{ada.id}", token=bob.token)

    assert answer.status == 200
    assert answer.json == {
        "id": ada.id,
        "username": "ada",
        "created_at": "2023-11-14T22:13:20Z",
    }


async def test_a_user_that_does_not_exist_is_404(world: World) -> None:
    ada = await world.register("ada")

    for id_ in UNKNOWN:
        for path in (f"/users/{id_}", f"/users/{id_}/followers", f"/users/{id_}/following"):
            answer = await world.ask("GET", path, token=ada.token)

            assert (answer.status, answer.json) == (404, {"error": "there is no such user"})
        for path in (f"/follow?toFollowId={id_}", f"/unfollow?toUnfollowId={id_}"):
            assert (await world.ask("POST", path, token=ada.token)).status == 404


@ON_SQLITE
async def test_an_id_that_cannot_be_one_is_400(world: World) -> None:
    ada = await world.register("ada")

    for id_ in IMPOSSIBLE:
        for method, path, field in (
            ("GET", f"/users/{id_}", "user_id"),
            ("GET", f"/posts/{id_}", "post_id"),
            ("POST", f"/follow?toFollowId={id_}", "toFollowId"),
            ("POST", f"/unfollow?toUnfollowId={id_}", "toUnfollowId"),
        ):
            answer = await world.ask(method, path, token=ada.token)

            assert (answer.status, answer.json.get("field")) == (400, field)
    assert (await world.ask("GET", "/users/ada", token=ada.token)).status == 404
    for query in ("", "?toFollowId=", "?toFollowId=x", "?toFollowId=1.5"):
        answer = await world.ask("POST", f"/follow{query}", token=ada.token)
        assert (answer.status, answer.json["field"]) == (400, "toFollowId")


async def test_following_is_seen_from_both_sides_and_twice_is_once(world: World) -> None:
    ada, bob = await world.register("ada"), await world.register("bob")

    for _ in range(2):
        answer = await world.ask("POST", f"/follow?toFollowId={bob.id}", token=ada.token)
        assert (answer.status, set(answer.json)) == (200, {"message"})

    following = await world.ask("GET", f"/users/{ada.id}/following", token=bob.token)
    followers = await world.ask("GET", f"/users/{bob.id}/followers", token=bob.token)
    assert [each["username"] for each in following.json] == ["bob"]
    assert [each["username"] for each in followers.json] == ["ada"]
    assert "email" not in str(following.json)
    nobody = await world.ask("GET", f"/users/{bob.id}/following", token=bob.token)
    assert nobody.json == []


async def test_unfollowing_twice_is_once(world: World) -> None:
    ada, bob = await world.register("ada"), await world.register("bob")
    await world.ask("POST", f"/follow?toFollowId={bob.id}", token=ada.token)

    for _ in range(2):
        answer = await world.ask("POST", f"/unfollow?toUnfollowId={bob.id}", token=ada.token)
        assert answer.status == 200

    followers = await world.ask("GET", f"/users/{bob.id}/followers", token=bob.token)
    assert followers.json == []


async def test_nobody_follows_themselves(world: World) -> None:
    ada = await world.register("ada")

    answer = await world.ask("POST", f"/follow?toFollowId={ada.id}", token=ada.token)

    assert (answer.status, answer.json["field"]) == (409, "toFollowId")


async def test_a_long_list_comes_page_by_page_each_entry_once(world: World) -> None:
    star = await world.register("star")
    fans = [await world.register(f"fan{number}") for number in range(7)]
    for fan in fans:
        await world.ask("POST", f"/follow?toFollowId={star.id}", token=fan.token)

    target, seen, pages = f"/users/{star.id}/followers?limit=3", [], 0
    while target:
        answer = await world.ask("GET", target, token=star.token)
        assert answer.status == 200
        seen += [each["id"] for each in answer.json]
        pages += 1
        link = re.fullmatch(
            r'<(/users/\d+/followers\?[^>]*)>; rel="next"', answer.headers.get("link", "")
        )
        target = link[1] if link else ""

    assert pages == 3
    assert seen == [fan.id for fan in reversed(fans)]


@ON_SQLITE
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("before=x", "before"),
        ("before=", "before"),
        ("before=" + "_" * 22, "before"),
    ],
)
async def test_a_page_that_cannot_be_meant_is_400(world: World, query: str, field: str) -> None:
    ada = await world.register("ada")

    for path in ("/timeline", f"/users/{ada.id}/posts", f"/users/{ada.id}/followers"):
        answer = await world.ask("GET", f"{path}?{query}", token=ada.token)

        assert (answer.status, answer.json["field"]) == (400, field)


@ON_SQLITE
async def test_every_method_of_a_path_is_allowed(world: World) -> None:
    for method in ("OPTIONS", "BREW"):
        answer = await world.ask(method, "/users/me")

        assert answer.headers["allow"] == "GET, HEAD, OPTIONS, PATCH"
    answer = await world.ask("OPTIONS", "/posts/1")
    assert answer.headers["allow"] == "DELETE, GET, HEAD, OPTIONS"
