"""Parameters: what is unknown is refused by its name, what is wrong is told in plain words."""

import pytest

from tests.server.http.world import ON_SQLITE, World

pytestmark = ON_SQLITE


@pytest.mark.parametrize(
    ("target", "field", "error"),
    [
        ("/timeline?limit=101", "limit", "must be an integer from 1 to 100"),
        ("/timeline?limit=0", "limit", "must be an integer from 1 to 100"),
        ("/timeline?limit=ten", "limit", "must be an integer from 1 to 100"),
        ("/timeline?limit=", "limit", "must be an integer from 1 to 100"),
        ("/timeline?limit=" + "9" * 5000, "limit", "must be an integer from 1 to 100"),
        ("/users/0", "user_id", "must be an integer from 1 to 9007199254740991"),
        ("/timeline?before=x", "before", "must be taken from the Link header of the previous page"),
        ("/timeline?before=x&before=y", "before",
         "must be taken from the Link header of the previous page"),
    ],
)  # fmt: skip
async def test_a_wrong_parameter_is_told_in_plain_words(
    world: World, target: str, field: str, error: str
) -> None:
    ada = await world.register("ada")

    answer = await world.ask("GET", target, token=ada.token)

    assert answer.status == 400
    assert answer.json == {"error": f"{field} {error}", "field": field}


async def test_a_wrong_header_is_named_as_it_is_sent(world: World) -> None:
    ada = await world.register("ada")

    answer = await world.ask(
        "POST", "/posts", {"text": "x"}, token=ada.token, headers={"Idempotency-Key": "k" * 256}
    )

    assert answer.status == 400
    assert answer.json == {
        "error": "Idempotency-Key must have 1 to 255 characters and match ^[!-~]+$",
        "field": "Idempotency-Key",
    }


async def test_a_missing_parameter_is_named(world: World) -> None:
    ada = await world.register("ada")

    answer = await world.ask("POST", "/follow", token=ada.token)

    assert (answer.status, answer.json["error"]) == (400, "toFollowId is missing")


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/timeline?since=1"),
        ("GET", "/timeline?limit=5&since=1"),
        ("GET", "/users/1?since=1"),
        ("GET", "/users/1/posts?since=1"),
        ("POST", "/posts?since=1"),
        ("POST", "/follow?toFollowId=2&since=1"),
        ("POST", "/unfollow?since=1&toUnfollowId=2"),
        ("POST", "/login?since=1"),
        ("POST", "/logout?since=1"),
        ("GET", "/health?since=1"),
        ("GET", "/rooms/abcdef/results?since=1"),
        ("GET", "/rooms/abcdef/results?format=csv&since=1"),
        ("GET", "/?since=1"),
    ],
)
async def test_an_unknown_parameter_is_refused_on_every_route_of_json(
    world: World, method: str, target: str
) -> None:
    ada = await world.register("ada")

    answer = await world.ask(method, target, token=ada.token)

    assert answer.status == 400
    assert answer.json == {"error": "since is not a parameter of this path", "field": "since"}
    assert (await world.ask("GET", "/users/me", token=ada.token)).status == 200


async def test_the_name_of_an_unknown_parameter_is_cut(world: World) -> None:
    answer = await world.ask("GET", "/health?" + "x" * 10_000)

    assert answer.json["field"] == "x" * 50


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("OPTIONS", "/timeline?since=1", 204),
        ("HEAD", "/health", 200),
        ("GET", "/health?", 200),
        ("GET", "/metrics?since=1", 200),
        ("GET", "/schema/openapi.json?since=1", 200),
        ("GET", "/ws?action=CREATE_ROOM&name=Ann", 426),
    ],
)
async def test_what_else_may_stand_in_a_query_does_no_harm(
    world: World, method: str, target: str, status: int
) -> None:
    assert (await world.ask(method, target)).status == status


async def test_a_name_of_an_element_is_a_parameter_wherever_the_route_has_it(
    world: World,
) -> None:
    ada = await world.register("ada")

    for target in ("/users/1/followers", "/users/1/following", "/users/1/posts", "/timeline"):
        answer = await world.ask("GET", f"{target}?limit=3", token=ada.token)
        assert answer.status == 200
