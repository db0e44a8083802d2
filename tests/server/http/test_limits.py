"""How often anybody may try: answers 429 and 503, and says when to come again."""

import json
from typing import Any

import attrs
import pytest
from structlog.testing import capture_logs

from server.auth.attempts import ADDRESS_TIMES, REQUEST_TIMES
from server.auth.passwords import Passwords
from server.auth.proxies import Proxies
from server.settings.readers import networks
from server.store.database import Database
from server.support.limits import Limits
from tests.server.http.world import ON_SQLITE, PASSWORD, UNLIMITED, CountingHasher, World
from tests.server.http_client import Answer

pytestmark = ON_SQLITE

PROXIES = Proxies(networks("192.0.2.0/24"))  # the client of these tests is 192.0.2.1
USUAL = attrs.evolve(
    UNLIMITED, login_limit=Limits().login_limit, register_limit=Limits().register_limit
)
HOME, OFFICE, ELSEWHERE = "198.51.100.7", "198.51.100.8", "203.0.113.9"


def at(address: str) -> dict[str, str]:
    """Make the header of a trusted proxy."""
    return {"X-Forwarded-For": address}


async def register(world: World, name: str, address: str) -> Answer:
    body = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
    return await world.ask("POST", "/register", body, headers=at(address))


async def log_in(world: World, name: str, address: str, password: str = PASSWORD) -> Answer:
    return await world.login(f"{name}@example.com", password, headers=at(address))


async def guess(world: World, name: str, address: str, times: int) -> list[int]:
    """Try wrong passwords."""
    answers = [await log_in(world, name, address, f"wrong password {n}") for n in range(times)]
    return [answer.status for answer in answers]


async def test_guessing_one_password_from_one_address_is_limited(database: Database) -> None:
    world = World(database, rules=attrs.evolve(UNLIMITED, login_limit=3, proxies=PROXIES))
    await register(world, "ada", HOME)

    assert await guess(world, "ada", ELSEWHERE, 4) == [401, 401, 401, 429]
    refused = await log_in(world, "ada", ELSEWHERE)
    assert refused.status == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 20
    assert "try again" in refused.json["error"]


async def test_wrong_passwords_for_one_keep_no_colleague_behind_the_same_address_out(
    database: Database,
) -> None:
    world = World(database, rules=attrs.evolve(USUAL, proxies=PROXIES))
    for name in ("ada", "bob"):
        await register(world, name, HOME)
    await register(world, "eve", OFFICE)

    assert await guess(world, "eve", HOME, 12) == [401] * 10 + [429] * 2

    assert (await log_in(world, "ada", HOME)).status == 200
    assert (await log_in(world, "bob", HOME)).status == 200


async def test_a_colleague_who_is_new_to_the_address_gets_in_as_well(database: Database) -> None:
    world = World(database, rules=attrs.evolve(USUAL, proxies=PROXIES))
    for name in ("ada", "eve"):
        await register(world, name, HOME)

    assert (await guess(world, "eve", OFFICE, 12))[-1] == 429

    assert (await log_in(world, "ada", OFFICE)).status == 200


async def test_the_owner_is_always_let_in_from_where_they_have_been(database: Database) -> None:
    world = World(database, rules=attrs.evolve(UNLIMITED, login_limit=3, proxies=PROXIES))
    await register(world, "ada", HOME)
    assert (await log_in(world, "ada", OFFICE)).status == 200

    for number in range(9):
        await guess(world, "ada", f"203.0.113.{number}", 4)
    assert await guess(world, "ada", OFFICE, 20) == [401] * 20

    assert (await log_in(world, "ada", HOME)).status == 200
    assert (await log_in(world, "ada", OFFICE)).status == 200
    assert (await log_in(world, "ada", ELSEWHERE)).status == 429


async def test_guessing_from_many_addresses_is_limited_for_the_account(database: Database) -> None:
    world = World(database, rules=attrs.evolve(UNLIMITED, login_limit=2, proxies=PROXIES))
    await register(world, "ada", HOME)

    for number, case in enumerate(("ada", "ADA", "Ada")):
        assert await guess(world, case, f"203.0.113.{number}", 2) == [401, 401]
    assert await guess(world, "ada", "203.0.113.99", 1) == [429]
    assert await guess(world, "bob", "203.0.113.99", 1) == [401]


async def test_one_address_cannot_try_everybody(database: Database) -> None:
    world = World(database, rules=attrs.evolve(UNLIMITED, login_limit=1, proxies=PROXIES))

    answers = [(await guess(world, f"u{n}", HOME, 1))[0] for n in range(ADDRESS_TIMES + 1)]

    assert answers == [401] * ADDRESS_TIMES + [429]
    assert await guess(world, "ada", OFFICE, 1) == [401]


async def test_a_right_password_counts_for_nothing_but_the_work(database: Database) -> None:
    world = World(database, rules=attrs.evolve(UNLIMITED, login_limit=1, proxies=PROXIES))
    await register(world, "ada", HOME)

    answers = [(await log_in(world, "ada", OFFICE)).status for _ in range(REQUEST_TIMES + 1)]

    assert answers == [200] * REQUEST_TIMES + [429]
    assert world.hasher.verified == REQUEST_TIMES


async def test_an_attempt_that_the_server_could_not_judge_is_none(database: Database) -> None:
    world = World(database, rules=attrs.evolve(UNLIMITED, login_limit=1), passwords=Waiting())

    assert [(await world.login("a@b.c")).status for _ in range(3)] == [503] * 3


@pytest.mark.parametrize("path", ["/register", "/login"])
async def test_requests_are_counted_before_their_body_is_decoded(
    database: Database, path: str
) -> None:
    world = World(
        database, rules=attrs.evolve(UNLIMITED, login_limit=1, register_limit=REQUEST_TIMES)
    )

    answers = [(await world.ask("POST", path, b"{")).status for _ in range(REQUEST_TIMES + 1)]

    assert answers == [400] * REQUEST_TIMES + [429]


async def test_guessing_the_old_password_is_limited_as_well(database: Database) -> None:
    world = World(database, rules=attrs.evolve(UNLIMITED, login_limit=2))
    ada = await world.register("ada")
    wrong = {"password": "another password", "old_password": "wrong password"}
    right = {"password": PASSWORD, "old_password": PASSWORD}

    async def change(body: dict[str, str]) -> int:
        return (await world.ask("PATCH", "/users/me", body, token=ada.token)).status

    assert [await change(right) for _ in range(5)] == [200] * 5
    assert [await change(wrong) for _ in range(3)] == [403, 403, 429]
    assert (await world.login(ada.email)).status == 200


async def test_forty_people_behind_one_address_can_register(database: Database) -> None:
    world = World(database, rules=attrs.evolve(USUAL, proxies=PROXIES))

    answers = [(await register(world, f"user{n}", OFFICE)).status for n in range(61)]

    assert answers == [201] * 60 + [429]
    assert (await register(world, "late", HOME)).status == 201


async def test_registering_is_limited_and_the_header_of_a_stranger_does_not_help(
    database: Database,
) -> None:
    world = World(database, rules=attrs.evolve(UNLIMITED, register_limit=2))

    answers = [await register(world, f"user{n}", f"198.51.100.{n}") for n in range(3)]

    assert [answer.status for answer in answers] == [201, 201, 429]
    assert 1 <= int(answers[2].headers["retry-after"]) <= 900


async def test_failed_logins_are_logged_by_address_and_account_and_nothing_else(
    database: Database,
) -> None:
    world = World(database, rules=attrs.evolve(UNLIMITED, login_limit=2, proxies=PROXIES))
    ada = (await register(world, "ada", HOME)).json["id"]

    with capture_logs() as logs:
        for number in range(3):
            await guess(world, "ada", f"203.0.113.{number}", 2)
        await guess(world, "nobody", ELSEWHERE, 1)

    failed = [each for each in logs if each["event"] == "login failed"]
    assert [(each["address"], each["user"]) for each in failed] == [
        *((f"203.0.113.{number}", ada) for number in (0, 0, 1, 1, 2, 2)),
        (ELSEWHERE, None),
    ]
    closed = [each for each in logs if each["log_level"] == "warning"]
    assert [(each["user"], "closed to addresses" in each["event"]) for each in closed] == [
        (ada, True)
    ]
    for secret in ("example.com", "nobody", "wrong password"):
        assert secret not in str(logs)


async def test_a_flood_of_failed_logins_is_a_few_lines(database: Database) -> None:
    world = World(database, rules=attrs.evolve(UNLIMITED, login_limit=10, proxies=PROXIES))

    with capture_logs() as logs:
        for number in range(8):
            await guess(world, f"u{number}", HOME, 2)
        await guess(world, "ada", OFFICE, 1)

    failed = [each for each in logs if each["event"] == "login failed"]
    assert [each["held_back"] for each in failed] == [0] * 5 + [11]


class Waiting(Passwords):
    """Passwords of which too many are always waiting."""

    def __init__(self) -> None:
        super().__init__(CountingHasher(), waiting=0)


async def test_too_many_passwords_are_503_and_come_again(database: Database) -> None:
    world = World(database, passwords=Waiting())

    answer = await world.login("ada@example.com")

    assert answer.status == 503
    assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize(
    ("email", "password"),
    [
        ("a" * 60_000, PASSWORD),
        ("e" + "\u0301" * 20_000 + "@example.com", PASSWORD),
        ("ada@example.com", "x" * 60_000),
        ("ada@example.com", "e" + "\u0301" * 20_000),
    ],
    ids=["long address", "marks in the address", "long password", "marks in the password"],
)
async def test_what_is_too_long_to_be_right_is_answered_as_if_it_was_wrong(
    world: World, email: str, password: str
) -> None:
    await world.register("ada")
    wrong = await world.login("ada@example.com", "wrong password")
    before = world.hasher.verified
    body: Any = json.dumps({"email": email, "password": password}, ensure_ascii=False).encode()

    answer = await world.ask("POST", "/login", body)

    assert (answer.status, answer.body) == (401, wrong.body)
    assert world.hasher.verified == before + 1
