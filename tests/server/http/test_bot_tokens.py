"""Tokens for bots over HTTP: made, listed and revoked, and how far each of them reaches."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import sqlalchemy as sa

from server.auth.scopes import Scope
from server.auth.tokens import Revoked, digest_of
from server.http.routes.tokens import LONGEST_DAYS
from server.store import access_tokens, bot_tokens, users
from server.store.database import Database
from server.support.limits import DAY
from tests.server.http.test_tokens_needed import BY_OWNER_KEY, BY_UPGRADE, OPEN, operations, target
from tests.server.http.whole import WholeWorld, whole_world
from tests.server.http.world import ON_SQLITE, PASSWORD, START, Person
from tests.server.http_client import Answer

WISH = {"name": "standup", "scopes": ["posts:read"]}
WRONG: list[tuple[str, object]] = [
    *(("name", bad) for bad in (None, 5, "", " ", "a\nb", "\0", "x" * 51)),
    *(("scopes", bad) for bad in (None, "posts:read", [], ["posts:read"] * 2, 5)),
    ("scopes[1]", ["posts:read", ""]),
    ("scopes[1]", ["posts:read", "POSTS:READ"]),
    ("scopes[1]", ["posts:read", 5]),
    ("scopes[1]", ["posts:read", None]),
    *(("expires_in_days", bad) for bad in (0, -1, LONGEST_DAYS + 1, 10**30, "5", 5.5, True)),
    ("user_id", 1),
]
"""Fields, and what they must not be."""


@pytest.fixture
async def world(database: Database) -> AsyncIterator[WholeWorld]:
    """An application with all routes."""
    async with whole_world(database) as found:
        yield found


async def make(world: WholeWorld, person: Person, **wish: object) -> Answer:
    return await world.ask("POST", "/v1/tokens", {**WISH, **wish}, token=person.token)


async def made(world: WholeWorld, person: Person, **wish: object) -> Any:
    answer = await make(world, person, **wish)
    assert answer.status == 201, answer
    return answer.json


async def listed(world: WholeWorld, person: Person) -> Any:
    answer = await world.ask("GET", "/v1/tokens", token=person.token)
    assert (answer.status, answer.headers["cache-control"]) == (200, "no-store")
    return answer.json


async def test_a_token_is_told_once_listed_and_revoked(world: WholeWorld) -> None:
    ada, bob = await world.register("ada"), await world.register("bob")
    heard: list[Revoked] = []
    world.accounts.revocations.subscribe(heard.append)
    answer = await make(world, ada, scopes=["rooms:open", "posts:read"], expires_in_days=2)

    assert answer.status == 201, answer
    made = answer.json
    secret = made.pop("token")
    assert secret.startswith("parley_")
    assert answer.headers["cache-control"] == "no-store"
    assert made == {
        "id": made["id"],
        "name": "standup",
        "scopes": ["rooms:open", "posts:read"],
        "created_at": "2023-11-14T22:13:20Z",
        "last_used_at": None,
        "expires_at": "2023-11-16T22:13:20Z",
    }
    assert await listed(world, ada) == [made]
    assert await listed(world, bob) == []
    assert (await world.ask("GET", "/timeline", token=secret)).status == 200
    assert await listed(world, ada) == [made | {"last_used_at": "2023-11-14T22:00:00Z"}]

    path = f"/v1/tokens/{made['id']}"
    assert (await world.ask("DELETE", path, token=bob.token)).status == 404
    assert (await world.ask("DELETE", path, token=ada.token)).status == 204
    assert heard == [Revoked(ada.id, digest_of(secret))]
    assert (await world.ask("DELETE", path, token=ada.token)).status == 404
    assert (await world.ask("GET", "/timeline", token=secret)).status == 401
    assert await listed(world, ada) == []


@ON_SQLITE
@pytest.mark.parametrize(("field", "value"), WRONG)
async def test_what_is_wrong_with_a_wish_is_named(
    field: str, value: object, world: WholeWorld
) -> None:
    ada = await world.register("ada")

    answer = await make(world, ada, **{field.partition("[")[0]: value})

    assert (answer.status, answer.json["field"]) == (422, field), answer
    assert answer.json["error"].startswith(f"{field} ")
    assert await listed(world, ada) == []


@ON_SQLITE
@pytest.mark.parametrize("missing", ["name", "scopes"])
async def test_what_is_missing_is_named(missing: str, world: WholeWorld) -> None:
    ada = await world.register("ada")
    wish = {key: value for key, value in WISH.items() if key != missing}

    answer = await world.ask("POST", "/v1/tokens", wish, token=ada.token)

    assert (answer.status, answer.json["field"]) == (422, missing)


@ON_SQLITE
@pytest.mark.parametrize("id_", ["0", "-1", str(2**53), "x", "9"])
async def test_only_what_is_there_is_revoked(id_: str, world: WholeWorld) -> None:
    ada = await world.register("ada")

    answer = await world.ask("DELETE", f"/v1/tokens/{id_}", token=ada.token)

    assert answer.status in (400, 404)
    assert answer.json["error"]


@ON_SQLITE
async def test_an_account_has_so_many_and_gets_another_when_it_revokes_one(
    database: Database,
) -> None:
    async with whole_world(database, tokens_per_account=2) as world:
        ada = await world.register("ada")
        first = await made(world, ada)
        await made(world, ada)

        refused = await make(world, ada)

        assert refused.status == 409
        assert "2 tokens for bots are the most" in refused.json["error"]
        await world.ask("DELETE", f"/v1/tokens/{first['id']}", token=ada.token)
        await made(world, ada)


@ON_SQLITE
async def test_a_token_ends_by_itself_and_one_without_an_end_does_not(world: WholeWorld) -> None:
    ada = await world.register("ada")
    short = await made(world, ada, expires_in_days=1)
    long = await made(world, ada)

    world.now = START + DAY - 1
    assert (await world.ask("GET", "/timeline", token=short["token"])).status == 200
    world.now = START + DAY
    assert (await world.ask("GET", "/timeline", token=short["token"])).status == 401
    world.now = START + 1000 * DAY
    assert (await world.ask("GET", "/timeline", token=long["token"])).status == 200


async def test_a_new_password_ends_the_tokens_for_bots_too(world: WholeWorld) -> None:
    ada = await world.register("ada")
    secret = (await made(world, ada))["token"]

    change = {"password": "another password", "old_password": PASSWORD}
    assert (await world.ask("PATCH", "/users/me", change, token=ada.token)).status == 200

    assert (await world.ask("GET", "/timeline", token=secret)).status == 401
    assert await listed(world, ada) == []


@pytest.mark.parametrize("ended", ["login", "account"])
async def test_whose_login_ends_meanwhile_gets_no_token(
    ended: str, world: WholeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await world.register("ada")
    run = world.database.run

    def end(conn: sa.Connection) -> bool:
        if ended == "account":
            return users.delete(conn, ada.id)
        return access_tokens.revoke(conn, digest_of(ada.token))

    async def slow(work: Callable[[sa.Connection], Any], *, write: bool = False) -> Any:
        if write:
            assert await run(end, write=True)
        return await run(work, write=write)

    monkeypatch.setattr(world.database, "run", slow)
    answer = await make(world, ada)

    assert (answer.status, answer.json) == (401, {"error": "the login has ended"})
    kept = await run(lambda conn: bot_tokens.of_user(conn, ada.id, START))
    assert kept == []


@ON_SQLITE
async def test_with_an_account_go_its_tokens(world: WholeWorld) -> None:
    ada = await world.register("ada")
    secret = (await made(world, ada))["token"]

    assert (await world.ask("DELETE", "/delete", token=ada.token)).status == 204

    assert (await world.ask("GET", "/timeline", token=secret)).status == 401


@ON_SQLITE
async def test_nothing_like_a_token_is_one(world: WholeWorld) -> None:
    ada = await world.register("ada")
    secret = (await made(world, ada))["token"]

    for forged in ("parley_" + "A" * 43, secret[:-1], secret + "A", secret[7:], secret.upper()):
        assert (await world.ask("GET", "/timeline", token=forged)).status == 401


@ON_SQLITE
async def test_each_operation_is_reached_by_the_scope_in_its_description_and_no_other(
    world: WholeWorld,
) -> None:
    ada = await world.register("ada")
    secrets = {scope: (await made(world, ada, scopes=[scope]))["token"] for scope in Scope}
    reached = set()
    by_login_alone = set()
    for method, path, operation in await operations(world):
        if operation["operationId"] in OPEN | BY_OWNER_KEY | BY_UPGRADE:
            continue
        needed = {each for way in operation["security"] for each in way.get("botToken", ())}
        assert len(needed) <= 1
        reached |= needed
        if not needed:
            by_login_alone.add(operation["operationId"])
        assert "403" in operation["responses"]
        for scope, secret in secrets.items():
            answer = await world.ask(method, target(path, operation), token=secret)
            if scope in needed:
                assert answer.status not in (401, 403), (method, path, scope, answer)
                continue
            assert answer.status == 403, (method, path, scope)
            challenge = answer.headers["www-authenticate"]
            assert challenge.startswith('Bearer error="insufficient_scope"')
            for lacking in needed:
                assert lacking in answer.json["error"]
                assert challenge.endswith(f'scope="{lacking}"')
            if not needed:
                assert "login" in answer.json["error"]
    assert by_login_alone >= {
        *("logOut", "deleteAccount", "getOwnAccount", "changeOwnAccount"),
        *("createToken", "listTokens", "deleteToken"),
    }
    # The others are for what happens over WebSockets, or where no token is needed.
    assert set(Scope) - reached <= {Scope.ROOMS_JOIN, Scope.ROOMS_OPEN}


@ON_SQLITE
async def test_every_scope_is_described(world: WholeWorld) -> None:
    document = (await world.ask("GET", "/schema/openapi.json")).json

    scheme = document["components"]["securitySchemes"]["botToken"]
    for scope in Scope:
        assert f"`{scope}`" in scheme["description"]
