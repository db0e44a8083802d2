"""Which operations need a token, and which do not: all but those named here do."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from server.auth.tokens import COOKIE
from server.store.database import Database
from tests.server.http.whole import WholeWorld, whole_world
from tests.server.http.world import ON_SQLITE

OPEN = {
    *("getIndex", "getHealth", "getLive", "getReady", "getMetrics"),
    *("registerAccount", "logIn"),
    *("getResults", "openEstimationRoom", "openRoom", "getRoom", "getTicketResults", "listDecks"),
}
"""The operations that need no token."""

BY_OWNER_KEY = {"endRoom", "importTickets", "getWebhook", "deleteWebhook"}
"""Need a key or token of the room; see test_rooms, test_imports and test_webhooks."""

BY_UPGRADE = {"joinChatRoom"}
"""Needs one, but is answered before HTTP begins; see tests/server/admission."""

FORGED: list[dict[str, str]] = [
    {},
    {"Authorization": "Bearer nonsense"},
    {"Authorization": "Bearer " + "A" * 43},
    {"Authorization": "Basic YTpi"},
    {"Cookie": f"{COOKIE}=" + "A" * 43},
]

pytestmark = ON_SQLITE


@pytest.fixture
async def whole(database: Database) -> AsyncIterator[WholeWorld]:
    """An application with all routes; nobody comes as far as into a room."""
    async with whole_world(database) as found:
        yield found


async def operations(world: WholeWorld) -> list[tuple[str, str, dict[str, Any]]]:
    """List method, path and description of everything in the OpenAPI document."""
    paths = (await world.ask("GET", "/schema/openapi.json")).json["paths"]
    return [
        (method.upper(), path, operation)
        for path, item in paths.items()
        for method, operation in item.items()
    ]


def target(path: str, operation: dict[str, Any]) -> str:
    """Fill in a path and what is required of its query, with numbers, which are names as well."""
    needed = [each for each in operation.get("parameters", ()) if each["required"]]
    query = [f"{each['name']}=1" for each in needed if each["in"] == "query"]
    for each in needed:
        path = path.replace("{" + each["name"] + "}", "1")
    return path + ("?" + "&".join(query) if query else "")


async def test_the_document_says_which_operations_need_a_token(whole: WholeWorld) -> None:
    found = await operations(whole)

    # An empty way to be let in is one that needs nothing.
    ways = {each["operationId"]: each.get("security") or [{}] for _, _, each in found}
    assert {name for name, each in ways.items() if {} in each} == OPEN
    assert len(found) > 25


async def test_all_other_operations_refuse_whoever_shows_no_valid_token(whole: WholeWorld) -> None:
    asked = 0
    for method, path, operation in await operations(whole):
        if operation["operationId"] in OPEN | BY_OWNER_KEY | BY_UPGRADE:
            continue
        for headers in FORGED:
            answer = await whole.ask(method, target(path, operation), headers=headers)

            assert answer.status == 401, (method, path, headers)
            assert answer.headers["www-authenticate"] == "Bearer"
            assert set(answer.json) == {"error"}
            asked += 1
    assert asked > 90


async def test_the_open_operations_ask_nobody_who_they_are(whole: WholeWorld) -> None:
    statuses = {
        operation["operationId"]: (await whole.ask(method, target(path, operation))).status
        for method, path, operation in await operations(whole)
        if operation["operationId"] in OPEN
    }

    assert statuses == {
        "getIndex": 200,
        "getHealth": 200,
        "getLive": 200,
        "getReady": 200,
        "getMetrics": 200,
        "getResults": 404,
        "registerAccount": 400,
        "logIn": 400,
        "openEstimationRoom": 426,
        "openRoom": 400,
        "getRoom": 404,
        "getTicketResults": 404,
        "listDecks": 200,
    }
