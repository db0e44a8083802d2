"""Posts: written once, read by whoever has a token, removed by their author, in one order."""

import re

import pytest

from tests.server.http.world import ON_SQLITE, World


async def test_a_post_is_read_as_it_was_written(world: World) -> None:
    ada, bob = await world.register("ada"), await world.register("bob")

    answer = await world.ask("POST", "/posts", {"text": "Two\nlines \U0001f389"}, token=ada.token)

    assert answer.status == 201
    assert answer.headers["location"] == f"/posts/{answer.json['id']}"
    assert answer.json["text"] == "Two\nlines \U0001f389"
    assert answer.json["author"] == {"id": ada.id, "username": "ada"}
    read = await world.ask("GET", answer.headers["location"], token=bob.token)
    assert (read.status, read.json) == (200, answer.json)


@pytest.mark.parametrize("text", ["", "   ", "\n", "x" * 501, "a\u0000b", 5, None])
async def test_a_post_that_cannot_be_one_is_422(world: World, text: object) -> None:
    ada = await world.register("ada")

    answer = await world.ask("POST", "/posts", {"text": text}, token=ada.token)

    assert (answer.status, answer.json["field"]) == (422, "text")


async def test_500_characters_fit(world: World) -> None:
    ada = await world.register("ada")

    assert await world.post(ada, "\U0001f389" * 500)


async def test_only_its_author_removes_a_post(world: World) -> None:
    ada, bob = await world.register("ada"), await world.register("bob")
    post = await world.post(ada, "mine")

    assert (await world.ask("DELETE", f"/posts/{post}", token=bob.token)).status == 403
    assert (await world.ask("DELETE", f"/posts/{post}", token=ada.token)).status == 204
    assert (await world.ask("DELETE", f"/posts/{post}", token=ada.token)).status == 404
    assert (await world.ask("GET", f"/posts/{post}", token=ada.token)).status == 404


async def test_a_key_makes_one_post_however_often_it_is_sent(world: World) -> None:
    ada, bob = await world.register("ada"), await world.register("bob")
    key = {"Idempotency-Key": "k-1"}

    first = await world.ask("POST", "/posts", {"text": "once"}, token=ada.token, headers=key)
    again = await world.ask("POST", "/posts", {"text": "once"}, token=ada.token, headers=key)
    other = await world.ask("POST", "/posts", {"text": "twice"}, token=ada.token, headers=key)
    of_bob = await world.ask("POST", "/posts", {"text": "once"}, token=bob.token, headers=key)

    assert (first.status, again.status) == (201, 201)
    assert first.json == again.json
    assert (other.status, other.json["field"]) == (409, "Idempotency-Key")
    assert of_bob.json["id"] != first.json["id"]


@ON_SQLITE
@pytest.mark.parametrize("key", ["x" * 256, "a b", "\u00e9"])
async def test_a_key_that_cannot_be_one_is_400(world: World, key: str) -> None:
    ada = await world.register("ada")

    answer = await world.ask(
        "POST", "/posts", {"text": "x"}, token=ada.token, headers={"Idempotency-Key": key}
    )

    assert answer.status == 400


async def test_the_timeline_shows_oneself_and_whom_one_follows(world: World) -> None:
    ada, bob, cy = [await world.register(name) for name in ("ada", "bob", "cy")]
    first = await world.post(bob, "by bob")
    await world.post(cy, "by cy")
    last = await world.post(ada, "by ada")
    await world.ask("POST", f"/follow?toFollowId={bob.id}", token=ada.token)

    answer = await world.ask("GET", "/timeline", token=ada.token)

    assert answer.status == 200
    assert [each["id"] for each in answer.json] == [last, first]
    assert "link" not in answer.headers
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/timeline", "/users/{id}/posts"])
async def test_posts_come_page_by_page_each_once_the_latest_first(world: World, path: str) -> None:
    ada = await world.register("ada")
    written = [await world.post(ada, f"number {number}") for number in range(5)]

    target, seen = path.format(id=ada.id) + "?limit=2", []
    while target:
        answer = await world.ask("GET", target, token=ada.token)
        seen += [each["id"] for each in answer.json]
        link = re.fullmatch(r'<([^>]*)>; rel="next"', answer.headers.get("link", ""))
        target = link[1] if link else ""

    assert seen == written[::-1]


async def test_posts_of_nobody_are_404(world: World) -> None:
    ada = await world.register("ada")

    assert (await world.ask("GET", "/users/999/posts", token=ada.token)).status == 404
