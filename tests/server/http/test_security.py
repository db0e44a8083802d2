"""What attackers try: each attempt comes to nothing, and each has its test."""

from typing import Any

import argon2
import attrs
import pytest
import trio
from structlog.testing import capture_logs

from server.auth.proxies import Proxies
from server.auth.tokens import COOKIE, Revoked, TokenLifetime, digest_of
from server.http.access import AccessRules
from server.settings.readers import networks
from server.store.database import Database
from server.support.limits import DAY
from tests.server.http.world import (
    ON_SQLITE,
    PASSWORD,
    UNLIMITED,
    CountingHasher,
    World,
    token_of,
)

pytestmark = ON_SQLITE

PROXIES = Proxies(networks("192.0.2.0/24"))  # the client of these tests is 192.0.2.1
EVIL = {"Origin": "https://evil.example"}


async def test_a_login_costs_one_verification_whether_the_account_exists_or_not(
    world: World,
) -> None:
    await world.register("ada")
    hashed = world.hasher.hashed
    costs = []
    for email, password in (
        ("ada@example.com", PASSWORD),
        ("ada@example.com", "wrong password"),
        ("nobody@example.com", PASSWORD),
        ("no address at all", PASSWORD),
        ("ada@example.com", "short"),
    ):
        before = world.hasher.verified
        await world.login(email, password)
        costs.append(world.hasher.verified - before)

    assert costs == [1] * 5
    assert world.hasher.hashed == hashed


async def test_a_hash_with_old_parameters_is_renewed_by_logging_in(database: Database) -> None:
    old = World(database)
    ada = await old.register("ada")
    stronger = argon2.Parameters(argon2.Type.ID, 19, 8, 8, 2, 16, 1)
    new = World(database, hasher=CountingHasher(stronger))
    before = new.hasher.hashed

    assert (await new.login(ada.email, "wrong password")).status == 401
    assert new.hasher.hashed == before
    assert (await new.login(ada.email)).status == 200
    assert new.hasher.hashed == before + 1
    assert (await new.login(ada.email)).status == 200
    assert new.hasher.hashed == before + 1


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("POST", "/logout", None),
        ("DELETE", "/delete", None),
        ("PATCH", "/users/me", {"username": "x"}),
        ("POST", "/posts", {"text": "x"}),
        ("POST", "/follow?toFollowId=1", None),
    ],
)
async def test_a_page_of_another_site_cannot_use_the_cookie(
    world: World, method: str, target: str, body: Any
) -> None:
    ada = await world.register("ada")

    for headers in (EVIL, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        answer = await world.ask(method, target, body, cookie=ada.token, headers=headers)
        assert answer.status == 403
    assert (await world.ask("GET", "/users/me", token=ada.token)).json["username"] == "ada"


async def test_it_can_still_read_nothing_but_may_link_here(world: World) -> None:
    ada = await world.register("ada")

    answer = await world.ask("GET", "/users/me", cookie=ada.token, headers=EVIL)

    assert answer.status == 200
    assert not any(name.startswith("access-control") for name in answer.headers)


async def test_our_own_page_and_who_shows_the_token_itself_are_let_through(world: World) -> None:
    ada = await world.register("ada")
    text = {"text": "x"}

    for options in (
        {"cookie": ada.token, "headers": {"Origin": "http://t"}},
        {"cookie": ada.token, "headers": {"Sec-Fetch-Site": "same-origin"}},
        {"token": ada.token, "headers": EVIL},
    ):
        assert (await world.ask("POST", "/posts", text, **options)).status == 201  # type: ignore[arg-type]


async def test_another_site_cannot_log_its_reader_in_as_somebody_else(world: World) -> None:
    await world.register("ada")

    assert (await world.login("ada@example.com", headers=EVIL)).status == 403
    body = {"username": "x", "email": "x@y.z", "password": PASSWORD}
    assert (await world.ask("POST", "/register", body, headers=EVIL)).status == 403


@pytest.mark.parametrize(
    ("rules", "forwarded", "secure"),
    [
        (attrs.evolve(UNLIMITED, proxies=PROXIES), "https", True),
        (attrs.evolve(UNLIMITED, proxies=PROXIES), "http", False),
        (attrs.evolve(UNLIMITED, proxies=PROXIES), "", False),
        (UNLIMITED, "https", False),
        (attrs.evolve(UNLIMITED, secure_cookies="on"), "", True),
        (attrs.evolve(UNLIMITED, proxies=PROXIES, secure_cookies="off"), "https", False),
    ],
)
async def test_the_cookie_is_for_https_alone_when_a_trusted_proxy_says_so(
    database: Database, rules: AccessRules, forwarded: str, secure: bool
) -> None:
    world = World(database, rules=rules)
    body = {"username": "x", "email": "x@y.z", "password": PASSWORD}

    answer = await world.ask("POST", "/register", body, headers={"X-Forwarded-Proto": forwarded})

    assert answer.headers["set-cookie"].endswith("; Secure") == secure


async def test_a_token_expires_unless_it_is_used(database: Database) -> None:
    world = World(database, life=TokenLifetime(10 * DAY))
    ada = await world.register("ada")

    world.now += 4 * DAY
    early = await world.ask("GET", "/users/me", cookie=ada.token)
    world.now += 2 * DAY
    late = await world.ask("GET", "/users/me", cookie=ada.token)
    world.now += 9 * DAY
    renewed = await world.ask("GET", "/users/me", token=ada.token)
    world.now += 10 * DAY
    expired = await world.ask("GET", "/users/me", token=ada.token)

    assert [each.status for each in (early, late, renewed, expired)] == [200, 200, 200, 401]
    assert "set-cookie" not in early.headers
    assert token_of(late) == ada.token
    assert "Max-Age=864000; " in late.headers["set-cookie"]
    assert "set-cookie" not in renewed.headers


async def test_logging_out_is_not_undone_by_renewing_the_cookie(database: Database) -> None:
    world = World(database, life=TokenLifetime(10 * DAY))
    ada = await world.register("ada")
    world.now += 6 * DAY

    answer = await world.ask("POST", "/logout", cookie=ada.token)

    assert answer.headers["set-cookie"].startswith(f"{COOKIE}=; ")
    assert answer.headers["set-cookie"].count(COOKIE) == 1


async def test_whoever_serves_somebody_hears_of_the_end_of_their_tokens(world: World) -> None:
    heard: list[Revoked] = []
    world.accounts.revocations.subscribe(heard.append)
    ada = await world.register("ada")
    mine, other = digest_of(ada.token), token_of(await world.login(ada.email))

    change = {"password": "another password", "old_password": PASSWORD}
    await world.ask("PATCH", "/users/me", change, token=ada.token)
    assert [heard[-1].covers(ada.id, each) for each in (mine, digest_of(other))] == [False, True]
    token = token_of(await world.login(ada.email, "another password"))
    await world.ask("POST", "/logout", token=token)
    assert [heard[-1].covers(ada.id, each) for each in (mine, digest_of(token))] == [False, True]
    await world.ask("DELETE", "/delete", token=ada.token)
    assert heard[-1].covers(ada.id, mine)
    assert not heard[-1].covers(ada.id + 1, mine)
    assert len(heard) == 3


async def test_nothing_of_anybody_is_in_the_log(database: Database) -> None:
    world = World(database, rules=UNLIMITED)
    with capture_logs() as logs:
        ada = await world.register("ada-secret")
        await world.login(ada.email)
        await world.login(ada.email, "wrong secret password")
        await world.post(ada, "a secret text")
        await world.ask("GET", "/timeline?before=secret", token=ada.token)
        await trio.lowlevel.checkpoint()

    assert logs
    assert "secret" not in str(logs)
    assert ada.token not in str(logs)
