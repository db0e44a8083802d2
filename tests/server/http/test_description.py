"""The OpenAPI document: that it describes everything that is there, and as it is."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from server.http.description import TAGS
from server.http.sockets import ESTIMATION
from server.store.database import Database
from tests.server.http.test_chat_routes import link_of
from tests.server.http.whole import WholeWorld, whole_world
from tests.server.http.world import ON_SQLITE, PASSWORD, World
from tests.server.http_client import Answer

pytestmark = ON_SQLITE

EVERYWHERE = {
    *("date", "content-type", "content-length", "connection"),
    *("x-content-type-options", "cache-control"),
}
"""The headers of every answer, which the document does not repeat."""


@pytest.fixture
async def world(database: Database) -> AsyncIterator[WholeWorld]:
    """An application with all routes."""
    async with whole_world(database) as found:
        yield found


async def document_of(world: World) -> Any:
    return (await world.ask("GET", "/schema/openapi.json")).json


def operations(document: Any) -> Iterator[tuple[str, str, Any]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method, path, operation


async def test_every_path_is_described(world: WholeWorld) -> None:
    document = await document_of(world)

    assert set(document["paths"]) == {
        *("/", "/health", "/live", "/ready", "/metrics"),
        *("/register", "/login", "/logout", "/delete"),
        *("/users/me", "/users/{user_id}", "/follow", "/unfollow"),
        *("/users/{user_id}/followers", "/users/{user_id}/following", "/users/{user_id}/posts"),
        *("/posts", "/posts/{post_id}", "/timeline"),
        *("/ws", "/ws/joinRoom/{roomId}", "/rooms/{room_id}/results"),
        *("/ws/createRoom", "/ws/getRooms", "/ws/getClients/{room_id}"),
        *("/rooms/{room_id}", "/rooms/{room_id}/messages"),
        *(
            "/v1/rooms",
            "/v1/rooms/{room_id}",
            "/v1/rooms/{room_id}/results",
            "/v1/rooms/{room_id}/tickets/import",
            "/v1/rooms/{room_id}/webhook",
            "/v1/sessions",
            "/v1/sessions/{session_id}",
        ),
        *("/v1/tokens", "/v1/tokens/{token_id}"),
        "/v1/decks",
    }


async def test_operations_are_named_by_verbs_and_no_name_comes_twice(world: WholeWorld) -> None:
    found = [operation["operationId"] for _, _, operation in operations(await document_of(world))]

    assert len(found) == len(set(found))
    for name in found:
        verb = re.fullmatch(r"([a-z]+)[A-Z][A-Za-z]*", name)
        assert verb is not None, name
        assert verb[1] in {
            *("get", "list", "open", "join", "register", "log", "delete", "change", "end"),
            *("follow", "unfollow", "write", "create", "import"),
        }


async def test_every_operation_and_every_field_is_described(world: WholeWorld) -> None:
    document = await document_of(world)

    for method, path, operation in operations(document):
        assert operation["summary"], (method, path)
        assert operation["description"], (method, path)
        assert set(operation["tags"]) <= set(TAGS)
        for parameter in operation.get("parameters", ()):
            assert parameter["description"], (method, path, parameter["name"])
        for status, answer in operation["responses"].items():
            assert answer["description"], (method, path, status)
    for name, component in document["components"]["schemas"].items():
        assert "properties" in component or component["enum"], name
        for field, of in component.get("properties", {}).items():
            assert '"description"' in json.dumps(of), (name, field)
    assert {each["name"] for each in document["tags"]} == set(TAGS)
    assert "``" not in json.dumps(document)
    assert "://" not in json.dumps(document)


async def test_every_reference_leads_somewhere(world: WholeWorld) -> None:
    document = await document_of(world)

    found = set(re.findall(r'"\$ref": "#/components/(\w+)/([\w-]+)"', json.dumps(document)))

    assert found
    for kind, name in found:
        assert name in document["components"][kind]


async def test_results_are_described_in_both_forms(world: WholeWorld) -> None:
    results = (await document_of(world))["paths"]["/rooms/{room_id}/results"]["get"]

    content = results["responses"]["200"]["content"]
    assert [kind.partition(";")[0] for kind in content] == ["application/json", "text/csv"]
    assert {"400", "404"} <= set(results["responses"])


async def test_every_websocket_endpoint_is_described(world: WholeWorld) -> None:
    paths = (await document_of(world))["paths"]

    estimation, chat = paths["/ws"]["get"], paths["/ws/joinRoom/{roomId}"]["get"]
    for operation in (estimation, chat):
        assert {"101", "400", "403", "426", "503"} <= set(operation["responses"])
        assert "Sec-WebSocket-Accept" in operation["responses"]["101"]["headers"]
        assert {"Upgrade", "Connection"} <= set(operation["responses"]["426"]["headers"])
    assert tuple(each["name"] for each in estimation["parameters"]) == ESTIMATION.queries
    assert {"401", "404", "429"} <= set(chat["responses"])
    assert "connect" in estimation["description"].lower()
    assert "/ws?action=CREATE_ROOM" in estimation["description"]


async def test_the_index_links_to_every_operation_with_its_query(world: WholeWorld) -> None:
    document = await document_of(world)
    links = (await world.ask("GET", "/")).json["links"]

    for _, path, operation in operations(document):
        parameters = operation.get("parameters", ())
        names = [each["name"] for each in parameters if each["in"] == "query"]
        query = "{?" + ",".join(names) + "}" if names else ""
        assert links.pop(operation["operationId"]) == path + query
    assert set(links) == {"documentation", "openapi", "openapiYaml", "asyncapi", "parleyV1"}
    for target in links.values():
        assert (await world.ask("GET", target)).status == 200


async def test_every_list_has_pages_or_a_reason_for_none(world: WholeWorld) -> None:
    without_pages = {
        "listPeopleInChatRoom": "bounded by the seats of a room",
        "listChatRooms": "sent slice by slice",
        "listTokens": "bounded by the tokens of an account",
        "listDecks": "no more come by any request",
    }
    paged = set()
    for _, _, operation in operations(await document_of(world)):
        content = operation["responses"].get("200", {}).get("content", {})
        if content.get("application/json", {}).get("schema", {}).get("type") != "array":
            continue
        if operation["operationId"] in without_pages:
            continue
        limits = [each for each in operation["parameters"] if each["name"] == "limit"]
        assert [each["schema"]["maximum"] for each in limits] == [100], operation["operationId"]
        assert "Link" in operation["responses"]["200"]["headers"]
        paged.add(operation["operationId"])
    assert "getTimeline" in paged


class Checking:
    """Asks, and compares the headers of each answer with the document."""

    def __init__(self, world: WholeWorld, document: Any) -> None:
        self._world = world
        self._document = document
        self.seen: set[str] = set()

    async def __call__(self, method: str, path: str, body: object = None, **options: Any) -> Answer:
        path, _, query = path.partition("?")
        filled = path.format(**options.pop("fill", {}))
        answer = await self._world.ask(
            method, filled + ("?" + query if query else ""), body, **options
        )
        responses = self._document["paths"][path][method.lower()]["responses"]
        described = responses[str(answer.status)].get("headers", {})
        sent = set(answer.headers) - EVERYWHERE
        assert sent <= {name.lower() for name in described}, (method, path, answer.status)
        self.seen |= sent
        return answer


async def test_the_headers_that_are_sent_are_described(world: WholeWorld) -> None:
    ask = Checking(world, await document_of(world))

    account = {"username": "ada", "email": "ada@example.com", "password": PASSWORD}
    cookie = {"cookie": (await ask("POST", "/register", account)).headers["set-cookie"][11:54]}
    await ask("POST", "/login", account | {"password": "wrong password"})
    login = {"email": "ada@example.com", "password": PASSWORD}
    assert (await ask("POST", "/login", login)).status == 200
    assert (await ask("GET", "/users/me", **cookie)).status == 200
    await ask("GET", "/users/me")
    for text in ("one", "two"):
        assert (await ask("POST", "/posts", {"text": text}, **cookie)).status == 201
    page = await ask("GET", "/timeline?limit=1", **cookie)
    assert link_of(page) is not None
    await ask("GET", "/ws")
    room = await ask("POST", "/v1/rooms", {"capacity": 2})
    assert room.headers["location"] == room.json["socket"]
    for key in (None, "guess"):
        of_room = {"fill": {"room_id": room.json["id"]}, "token": key}
        assert (await ask("DELETE", "/v1/rooms/{room_id}", **of_room)).status in (401, 403)
    assert (await ask("GET", "/v1/sessions", **cookie)).status == 200
    assert (await ask("POST", "/logout", **cookie)).status == 202

    assert ask.seen == {
        *("set-cookie", "www-authenticate", "location", "link", "upgrade"),
    }


async def test_a_method_that_is_not_allowed_is_described_once_for_all(world: WholeWorld) -> None:
    document = await document_of(world)

    answer = await world.ask("PUT", "/health")

    described = document["components"]["responses"]["MethodNotAllowed"]
    assert set(answer.headers) - EVERYWHERE == {name.lower() for name in described["headers"]}
