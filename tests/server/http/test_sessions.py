"""Routes of an account's sessions: list, rename and delete them; good and bad requests."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from server.http.paging import LARGEST_ID
from server.store import logbook
from server.store.cursors import Cursor
from server.store.database import Database
from server.store.logbook import Chunk
from tests.server.http.test_chat_routes import link_of
from tests.server.http.whole import WholeWorld, whole_world
from tests.server.http.world import ON_SQLITE, Person
from tests.store.test_logbook import revealed

pytestmark = ON_SQLITE


@pytest.fixture
async def world(database: Database) -> AsyncIterator[WholeWorld]:
    async with whole_world(database) as found:
        yield found


async def open_room(world: WholeWorld, owner: Person | None = None) -> Any:
    token = None if owner is None else owner.token
    wish = {"capacity": 4, "name": "Refinement"}
    answer = await world.ask("POST", "/v1/rooms", wish, token=token)
    assert answer.status == 201, answer
    return answer.json


async def play(world: WholeWorld, owner: Person | None, *guests: Person) -> Any:
    """Open a room, let people in, and reveal a round."""
    made = await open_room(world, owner)
    sessions = await world.database.run(logbook.parked)
    [session] = [each for each in sessions if each.room_id == made["id"]]
    chunk = Chunk(
        session_id=session.id,
        number=1,
        rounds=[revealed(session, 0)],
        people=[(each.id, session.opened_at + 1) for each in guests],
    )
    await world.database.run(lambda conn: logbook.append(conn, [chunk]), write=True)
    return made


async def end(world: WholeWorld, made: Any) -> None:
    answer = await world.ask("DELETE", made["socket"], token=made["owner_key"])
    assert answer.status == 204


async def listed(world: WholeWorld, person: Person) -> Any:
    answer = await world.ask("GET", "/v1/sessions", token=person.token)
    assert answer.status == 200
    return answer.json


async def test_an_account_sees_the_rooms_that_it_was_in(world: WholeWorld) -> None:
    ada, bob = await world.register("ada"), await world.register("bob")
    for _ in range(3):
        await open_room(world)
    sessions = await world.database.run(logbook.parked)
    sessions.sort(key=lambda each: each.id)
    chunks = [
        Chunk(session_id=each.id, number=1, people=[(ada.id, 1_000.0 + place // 2)])
        for place, each in enumerate(sessions)
    ]
    await world.database.run(lambda conn: logbook.append(conn, chunks), write=True)

    seen, target = [], "/v1/sessions?limit=2"
    while target:
        page = await world.ask("GET", target, token=ada.token)
        assert page.status == 200
        assert page.headers["cache-control"] == "no-store"
        seen += page.json
        target = link_of(page) or ""

    assert [each["room_id"] for each in seen] == [sessions[place].room_id for place in (2, 1, 0)]
    first = seen[0]
    assert (first["name"], first["rounds"], first["closed_at"]) == ("Refinement", 0, None)
    assert first["joined_at"] == "1970-01-01T00:16:41Z"
    assert (await world.ask("GET", first["results"])).status == 200
    assert (await world.ask("GET", "/v1/sessions", token=bob.token)).json == []
    assert (await world.ask("GET", "/v1/sessions")).status == 401


@pytest.mark.parametrize(
    ("query", "field"),
    [("limit=0", "limit"), ("limit=101", "limit"), ("limit=x", "limit"), ("before=x", "before"),
     ("before=", "before"), ("x=1", "x")],
)  # fmt: skip
async def test_a_wrong_page_is_named(query: str, field: str, world: WholeWorld) -> None:
    ada = await world.register("ada")
    answer = await world.ask("GET", f"/v1/sessions?{query}", token=ada.token)
    assert (answer.status, answer.json["field"]) == (400, field)


@pytest.mark.parametrize("id_", [-(2**63), -1, 0, 2**63 - 1])
async def test_a_place_in_another_list_is_only_a_place(id_: int, world: WholeWorld) -> None:
    ada = await world.register("ada")
    for at in (-1e308, 0.0, 1e308):
        before = Cursor(at, id_).encode()
        answer = await world.ask("GET", f"/v1/sessions?before={before}", token=ada.token)
        assert (answer.status, answer.json) == (200, [])


# --- names ----------------------------------------------------------------------------------


async def test_a_session_is_renamed_by_its_owner_for_all_and_by_others_for_themselves(
    world: WholeWorld,
) -> None:
    ada, bob, eve = [await world.register(name) for name in ("ada", "bob", "eve")]
    made = await play(world, ada, bob)
    [mine] = await listed(world, ada)
    path = f"/v1/sessions/{mine['id']}"

    async def rename(person: Person, name: str | None) -> tuple[int, Any]:
        answer = await world.ask("PATCH", path, {"name": name}, token=person.token)
        return answer.status, answer.json

    async def names() -> list[str]:
        return [(await listed(world, each))[0]["name"] for each in (ada, bob)]

    assert await names() == ["Refinement", "Refinement"]
    assert await rename(ada, "  Sprint 12 ") == (200, mine | {"name": "Sprint 12"})
    assert await names() == ["Sprint 12", "Sprint 12"]
    assert (await rename(bob, "Mine"))[0] == 200
    assert await names() == ["Sprint 12", "Mine"]
    assert (await rename(ada, None))[1]["name"] == "Refinement"
    assert await names() == ["Refinement", "Mine"]
    status, answer = await rename(eve, "Hers")
    assert (status, answer) == (404, {"error": "there is no such session"})
    # In the room itself nothing has changed.
    assert (await world.ask("GET", made["socket"])).json["name"] == "Refinement"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "x" * 200}, "name"),
        ({"name": 5}, "name"),
        ({"name": "x", "owner": True}, "owner"),
    ],
)
async def test_what_is_wrong_with_a_name_is_named(
    body: dict[str, object], field: str, world: WholeWorld
) -> None:
    ada = await world.register("ada")
    await open_room(world, ada)
    [mine] = await listed(world, ada)

    answer = await world.ask("PATCH", f"/v1/sessions/{mine['id']}", body, token=ada.token)

    assert (answer.status, answer.json["field"]) == (422, field)
    assert await listed(world, ada) == [mine]


@pytest.mark.parametrize("id_", ["0", "-1", "x", "1", str(LARGEST_ID), str(2**63), "9" * 400])
@pytest.mark.parametrize(("method", "body"), [("PATCH", {"name": "x"}), ("DELETE", None)])
async def test_only_sessions_of_the_list_are_there(
    method: str, body: object, id_: str, world: WholeWorld
) -> None:
    ada = await world.register("ada")

    answer = await world.ask(method, f"/v1/sessions/{id_}", body, token=ada.token)

    assert answer.status in (400, 404)
    assert answer.json["error"]


# --- deleting -------------------------------------------------------------------------------


async def test_an_owner_deletes_a_session_for_all_once_it_has_ended(world: WholeWorld) -> None:
    ada, bob = await world.register("ada"), await world.register("bob")
    made = await play(world, ada, bob)
    [mine] = await listed(world, ada)
    path = f"/v1/sessions/{mine['id']}"
    refused = await world.ask("DELETE", path, token=ada.token)
    assert (refused.status, refused.json) == (409, {"error": "this room is open; end it first"})
    await end(world, made)

    assert (await world.ask("DELETE", path, token=ada.token)).status == 204

    assert await listed(world, ada) == await listed(world, bob) == []
    assert (await world.ask("GET", made["results"])).status == 404
    assert (await world.ask("GET", made["socket"])).status == 404
    assert (await world.ask("DELETE", path, token=ada.token)).status == 404


async def test_others_take_a_session_off_their_own_list(world: WholeWorld) -> None:
    ada, bob = await world.register("ada"), await world.register("bob")
    made = await play(world, ada, bob)
    [his] = await listed(world, bob)
    assert not his["owner"]

    assert (await world.ask("DELETE", f"/v1/sessions/{his['id']}", token=bob.token)).status == 204

    assert await listed(world, bob) == []
    assert len(await listed(world, ada)) == 1
    assert (await world.ask("GET", made["results"])).status == 200


async def test_a_session_says_until_when_it_is_kept(world: WholeWorld) -> None:
    ada = await world.register("ada")
    made = await play(world, ada)
    [mine] = await listed(world, ada)
    assert (mine["closed_at"], mine["expires_at"]) == (None, None)
    await end(world, made)

    [mine] = await listed(world, ada)

    results = (await world.ask("GET", made["results"])).json
    assert (mine["closed_at"], mine["expires_at"]) == (results["closed_at"], results["expires_at"])
    assert mine["expires_at"] > mine["closed_at"]
