"""Registering, logging in and out, one's own account: what is right and what is refused."""

import pytest

from server.auth.tokens import COOKIE
from tests.server.http.world import PASSWORD, World, token_of

ADA = {"username": "Ada", "email": "Ada@Example.com", "password": PASSWORD}


async def test_registering_makes_an_account_and_logs_in(world: World) -> None:
    answer = await world.ask("POST", "/register", ADA)

    assert answer.status == 201
    assert answer.json == {
        "id": answer.json["id"],
        "username": "Ada",
        "email": "Ada@Example.com",
        "created_at": "2023-11-14T22:13:20Z",
    }
    assert answer.headers["cache-control"] == "no-store"
    own = await world.ask("GET", "/users/me", cookie=token_of(answer))
    assert own.json == answer.json


async def test_the_cookie_is_out_of_reach_for_scripts_and_other_sites(world: World) -> None:
    answer = await world.ask("POST", "/register", ADA)

    token = token_of(answer)
    assert len(token) == 43
    assert answer.headers["set-cookie"] == (
        f"{COOKIE}={token}; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax"
    )


@pytest.mark.parametrize("email", ["Ada@Example.com", "ADA@EXAMPLE.COM", " ada@example.com "])
async def test_an_address_has_one_account_whatever_its_case(world: World, email: str) -> None:
    await world.ask("POST", "/register", ADA)

    answer = await world.ask("POST", "/register", {**ADA, "email": email})

    assert answer.status == 409
    assert answer.json == {"error": "email has an account already", "field": "email"}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"username": ""}, "username"),
        ({"username": "x" * 51}, "username"),
        ({"username": "a\u0007b"}, "username"),
        ({"username": 5}, "username"),
        ({"username": None}, "username"),
        ({"email": "ada"}, "email"),
        ({"email": "a b@example.com"}, "email"),
        ({"email": "a@example..com"}, "email"),
        ({"email": "a@-example.com"}, "email"),
        ({"email": "x" * 251 + "@a.b"}, "email"),
        ({"password": "short"}, "password"),
        ({"password": "x" * 129}, "password"),
        ({"password": "with\u0000zero"}, "password"),
        ({"password": ["a"]}, "password"),
        ({"admin": True}, "admin"),
    ],
)
async def test_a_field_that_does_not_fit_is_422_and_named(
    world: World, change: dict[str, object], field: str
) -> None:
    answer = await world.ask("POST", "/register", {**ADA, **change})

    assert answer.status == 422
    assert answer.json["field"] == field
    assert answer.json["error"].startswith(f"{field} ")


async def test_a_missing_field_is_named(world: World) -> None:
    answer = await world.ask("POST", "/register", {"username": "Ada", "email": "a@b.c"})

    assert answer.status == 422
    assert answer.json == {"error": "password is missing", "field": "password"}


@pytest.mark.parametrize(
    ("body", "status"), [(b"", 400), (b"{", 400), (b"\xff", 400), (b"[1]", 422), (b"null", 422)]
)
async def test_what_is_no_object_is_refused(world: World, body: bytes, status: int) -> None:
    answer = await world.ask("POST", "/login", body)

    assert answer.status == status
    assert set(answer.json) == {"error"}


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_a_body_that_a_form_could_send_is_415(world: World, kind: str) -> None:
    answer = await world.ask("POST", "/register", ADA, headers={"Content-Type": kind})

    assert answer.status == 415


async def test_json_may_say_its_charset(world: World) -> None:
    kind = {"Content-Type": "Application/JSON; charset=utf-8"}

    assert (await world.ask("POST", "/register", ADA, headers=kind)).status == 201


async def test_a_large_body_is_413(world: World) -> None:
    answer = await world.ask("POST", "/register", {**ADA, "username": "x" * 70_000})

    assert answer.status == 413


async def test_a_password_is_the_same_from_every_keyboard(world: World) -> None:
    await world.ask("POST", "/register", {**ADA, "password": "caf\u00e9\u00a0au lait"})

    assert (await world.login("ada@example.com", "cafe\u0301 au lait")).status == 200
    assert (await world.login("ada@example.com", "CAF\u00c9 au lait")).status == 401


async def test_logging_in_tells_who_one_is_and_gives_a_new_token(world: World) -> None:
    ada = await world.register("ada")

    answer = await world.login("ADA@example.com")

    assert answer.status == 200
    assert answer.json["id"] == ada.id
    assert answer.json["email"] == "ada@example.com"
    assert "password" not in str(answer.json)
    assert token_of(answer) != ada.token
    assert (await world.ask("GET", "/users/me", token=token_of(answer))).status == 200


async def test_a_wrong_password_and_an_unknown_address_get_the_same_answer(world: World) -> None:
    await world.register("ada")

    wrong = await world.login("ada@example.com", "wrong password")
    unknown = await world.login("bob@example.com", "wrong password")
    unfit = await world.login("bob@example.com", "\u0000")

    assert wrong.status == unknown.status == unfit.status == 401
    assert wrong.body == unknown.body == unfit.body
    assert "set-cookie" not in wrong.headers
    assert wrong.headers["www-authenticate"] == "Bearer"


async def test_logging_out_ends_this_token_only(world: World) -> None:
    ada = await world.register("ada")
    other = token_of(await world.login(ada.email))

    answer = await world.ask("POST", "/logout", cookie=ada.token)

    assert answer.status == 202
    assert f"{COOKIE}=; Path=/; Max-Age=0" in answer.headers["set-cookie"]
    assert (await world.ask("GET", "/users/me", token=ada.token)).status == 401
    assert (await world.ask("POST", "/logout", token=ada.token)).status == 401
    assert (await world.ask("GET", "/users/me", token=other)).status == 200


async def test_a_deleted_account_is_gone_with_all_that_is_its_own(world: World) -> None:
    ada, bob = await world.register("ada"), await world.register("bob")
    post = await world.post(ada, "Hello")
    await world.ask("POST", f"/follow?toFollowId={ada.id}", token=bob.token)

    answer = await world.ask("DELETE", "/delete", token=ada.token)

    assert (answer.status, answer.body) == (204, b"")
    assert (await world.ask("GET", "/users/me", token=ada.token)).status == 401
    assert (await world.login(ada.email)).status == 401
    for target in (f"/users/{ada.id}", f"/posts/{post}", f"/users/{ada.id}/posts"):
        assert (await world.ask("GET", target, token=bob.token)).status == 404
    following = await world.ask("GET", f"/users/{bob.id}/following", token=bob.token)
    assert following.json == []
    assert (await world.register("ada")).id != ada.id


async def test_one_can_take_another_name(world: World) -> None:
    ada = await world.register("ada")

    answer = await world.ask("PATCH", "/users/me", {"username": " Countess "}, token=ada.token)

    assert (answer.status, answer.json["username"]) == (200, "Countess")
    assert (await world.ask("GET", "/users/me", token=ada.token)).json == answer.json


async def test_changing_nothing_is_fine(world: World) -> None:
    ada = await world.register("ada")

    answer = await world.ask("PATCH", "/users/me", {"username": None}, token=ada.token)

    assert (answer.status, answer.json["username"]) == (200, "ada")


async def test_a_new_password_ends_all_other_tokens(world: World) -> None:
    ada = await world.register("ada")
    other = token_of(await world.login(ada.email))
    change = {"password": "another password", "old_password": PASSWORD}

    answer = await world.ask("PATCH", "/users/me", change, token=ada.token)

    assert answer.status == 200
    assert (await world.ask("GET", "/users/me", token=ada.token)).status == 200
    assert (await world.ask("GET", "/users/me", token=other)).status == 401
    assert (await world.login(ada.email)).status == 401
    assert (await world.login(ada.email, "another password")).status == 200


@pytest.mark.parametrize(
    ("old", "status", "error"),
    [
        ({}, 403, "old_password is missing; it is needed with a new password"),
        ({"old_password": None}, 403, "old_password is missing; it is needed with a new password"),
        ({"old_password": "wrong"}, 403, "old_password is not the password of this account"),
        ({"old_password": "x" * 60_000}, 403, "old_password is not the password of this account"),
    ],
    ids=["absent", "null", "wrong", "too long to be one"],
)
async def test_a_new_password_needs_the_old_one(
    world: World, old: dict[str, object], status: int, error: str
) -> None:
    ada = await world.register("ada")
    change = {"username": "x", "password": "another password", **old}

    answer = await world.ask("PATCH", "/users/me", change, token=ada.token)

    assert answer.status == status
    assert answer.json == {"error": error, "field": "old_password"}
    assert (await world.ask("GET", "/users/me", token=ada.token)).json["username"] == "ada"
    assert (await world.login(ada.email)).status == 200


async def test_an_unfit_new_password_is_422(world: World) -> None:
    ada = await world.register("ada")
    change = {"password": "short", "old_password": PASSWORD}

    answer = await world.ask("PATCH", "/users/me", change, token=ada.token)

    assert (answer.status, answer.json["field"]) == (422, "password")
