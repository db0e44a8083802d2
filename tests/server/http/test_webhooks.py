"""Webhooks of rooms over HTTP: who may have one, what is refused, and what is told of it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from server.store import webhooks
from server.store.database import Database
from server.webhooks.events import EVERY
from tests.server.http.whole import WholeWorld, whole_world
from tests.server.http.world import ON_SQLITE, Person
from tests.server.http_client import Answer

pytestmark = ON_SQLITE

URL = "https://receiver.example/hook?token=hush"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
async def world(database: Database) -> AsyncIterator[WholeWorld]:
    async with whole_world(database) as found:
        yield found


async def post(
    world: WholeWorld, by: Person | str | None, webhook: object, key: str | None = None
) -> Answer:
    token = by.token if isinstance(by, Person) else by
    headers = {} if key is None else {"Idempotency-Key": key}
    body = {"capacity": 2, "webhook": webhook}
    return await world.ask("POST", "/v1/rooms", body, token=token, headers=headers)


async def opened(world: WholeWorld, by: Person | str, webhook: object) -> Any:
    answer = await post(world, by, webhook)
    assert answer.status == 201, answer
    return answer.json


async def bot(world: WholeWorld, by: Person, scope: str) -> str:
    body = {"name": "bot", "scopes": [scope]}
    token: str = (await world.ask("POST", "/v1/tokens", body, token=by.token)).json["token"]
    return token


def path(room: Any) -> str:
    return f"/v1/rooms/{room['id']}/webhook"


async def test_a_room_gets_a_webhook_whose_secret_is_told_once(world: WholeWorld) -> None:
    ada = await world.register("ada")
    with capture_logs() as logs:
        room = await opened(world, ada, {"url": URL})
        shown = await world.ask("GET", path(room), token=room["owner_key"])
        door = await world.ask("GET", f"/v1/rooms/{room['id']}")

    secret = room["webhook"].pop("secret")
    assert room["webhook"] == {"url": URL, "events": list(EVERY)}
    assert shown.status == 200
    assert shown.json == {
        "url": URL,
        "events": list(EVERY),
        "waiting": 1,
        "failed": 0,
        "problem": None,
    }
    assert secret.startswith("whsec_")
    assert secret not in shown.body.decode()
    assert "hush" not in door.body.decode()
    assert not any(secret in str(line) or "hush" in str(line) for line in logs)


async def test_a_secret_and_events_may_be_chosen(world: WholeWorld) -> None:
    ada = await world.register("ada")

    wish = {"url": URL, "secret": SECRET, "events": ["room.ended"]}
    room = await opened(world, ada, wish)

    assert room["webhook"] == wish
    [session] = await world.database.run(webhooks.hooked)
    found = await world.database.run(lambda conn: webhooks.standing(conn, session))
    assert found is not None
    assert (found.webhook.secret, found.waiting) == (SECRET, 0)
    assert SECRET not in repr(found)
    assert "hush" not in repr(found)


async def test_an_account_or_a_bot_of_one_is_needed(world: WholeWorld) -> None:
    ada = await world.register("ada")

    assert (await post(world, None, {"url": URL})).status == 401
    assert (await post(world, await bot(world, ada, "rooms:join"), {"url": URL})).status == 403
    assert (await post(world, await bot(world, ada, "rooms:open"), {"url": URL})).status == 201
    plain = await post(world, None, None)
    assert (plain.status, plain.json["webhook"]) == (201, None)


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({}, "webhook.url"),
        ({"url": 1}, "webhook.url"),
        ({"url": ""}, "webhook.url"),
        ({"url": "ftp://receiver.example/"}, "webhook.url"),
        ({"url": "https://a:b@receiver.example/"}, "webhook.url"),
        ({"url": "https://nowhere.example/"}, "webhook.url"),
        ({"url": "https://inside.example/"}, "webhook.url"),
        ({"url": "http://127.0.0.1:8080/"}, "webhook.url"),
        ({"url": URL, "secret": "short"}, "webhook.secret"),
        ({"url": URL, "secret": 1}, "webhook.secret"),
        ({"url": URL, "events": []}, "webhook.events"),
        ({"url": URL, "events": ["room.ended", "room.ended"]}, "webhook.events"),
        ({"url": URL, "events": ["round.forgotten"]}, "webhook.events[0]"),
        ({"url": URL, "more": 1}, "webhook.more"),
        (URL, "webhook"),
    ],
)
async def test_what_is_wrong_is_named(wish: object, field: str, world: WholeWorld) -> None:
    answer = await post(world, await world.register("ada"), wish)

    assert answer.status == 422, answer
    assert answer.json["field"] == field
    assert await world.database.run(webhooks.hooked) == []


async def test_the_owner_key_shows_it_and_takes_it_away(world: WholeWorld) -> None:
    ada = await world.register("ada")
    room, other = await opened(world, ada, {"url": URL}), await opened(world, ada, None)

    for method in ("GET", "DELETE"):
        assert (await world.ask(method, path(room))).status == 401
        assert (await world.ask(method, path(room), token=other["owner_key"])).status == 403
        assert (await world.ask(method, path(other), token=other["owner_key"])).status == 404
        assert (await world.ask(method, path({"id": "nosuch"}), token="x")).status == 404
    assert (await world.ask("DELETE", path(room), token=room["owner_key"])).status == 204
    assert (await world.ask("GET", path(room), token=room["owner_key"])).status == 404
    due = await world.database.run(
        lambda conn: webhooks.due(conn, 1e12, underway=(), busy=(), limit=9)
    )
    assert (due.deliveries, due.waiting) == ([], 0)


async def test_the_same_request_again_gets_the_same_secret(world: WholeWorld) -> None:
    ada = await world.register("ada")

    first = await post(world, ada, {"url": URL}, "key")
    again = await post(world, ada, {"url": URL}, "key")
    other = await post(world, ada, {"url": URL + "1"}, "key")
    without = await post(world, ada, None, "key")

    assert (first.status, again.json) == (201, first.json)
    assert (other.status, without.status) == (409, 409)
