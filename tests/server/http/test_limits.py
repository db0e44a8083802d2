"""How often anybody may try: answers 429 and 503, and says when to come again."""

from typing import Any

import attrs

from server.auth.passwords import Passwords
from server.auth.proxies import Proxies
from server.settings.readers import networks
from server.store.database import Database
from tests.server.http.world import ON_SQLITE, PASSWORD, UNLIMITED, CountingHasher, World

pytestmark = ON_SQLITE

PROXIES = Proxies(networks("192.0.2.0/24"))  # the client of these tests is 192.0.2.1


async def test_logging_in_is_limited_for_each_address(database: Database) -> None:
    world = World(database, rules=attrs.evolve(UNLIMITED, login_limit=3, proxies=PROXIES))

    def from_(address: str, number: int) -> Any:
        return world.login(f"{number}@x.y", headers={"X-Forwarded-For": address})

    statuses = [(await from_("198.51.100.7", number)).status for number in range(4)]
    assert statuses == [401, 401, 401, 429]
    refused = await from_("198.51.100.7", 9)
    assert 1 <= int(refused.headers["retry-after"]) <= 20
    assert "try again" in refused.json["error"]
    assert (await from_("198.51.100.8", 9)).status == 401


async def test_logging_in_is_limited_for_each_account_from_wherever(database: Database) -> None:
    world = World(database, rules=attrs.evolve(UNLIMITED, login_limit=3, proxies=PROXIES))
    await world.register("ada")

    for number, case in enumerate(("ada", "ADA", "Ada")):
        headers = {"X-Forwarded-For": f"198.51.100.{number}"}
        answer = await world.login(f"{case}@example.com", "wrong password", headers=headers)
        assert answer.status == 401
    headers = {"X-Forwarded-For": "198.51.100.99"}
    assert (await world.login("ada@example.com", headers=headers)).status == 429
    assert (await world.login("bob@example.com", headers=headers)).status == 401


async def test_guessing_the_old_password_is_limited_as_well(database: Database) -> None:
    world = World(database, rules=attrs.evolve(UNLIMITED, login_limit=2))
    ada = await world.register("ada")
    change = {"password": "another password", "old_password": "wrong password"}

    answers = [await world.ask("PATCH", "/users/me", change, token=ada.token) for _ in range(3)]

    assert [answer.status for answer in answers] == [403, 403, 429]


async def test_registering_is_limited_and_the_header_of_a_stranger_does_not_help(
    database: Database,
) -> None:
    world = World(database, rules=attrs.evolve(UNLIMITED, register_limit=2))

    answers = [
        await world.ask(
            "POST",
            "/register",
            {"username": "x", "email": f"{number}@x.y", "password": PASSWORD},
            headers={"X-Forwarded-For": f"198.51.100.{number}"},
        )
        for number in range(3)
    ]

    assert [answer.status for answer in answers] == [201, 201, 429]
    assert 1 <= int(answers[2].headers["retry-after"]) <= 900


class Waiting(Passwords):
    """Passwords of which too many are always waiting."""

    def __init__(self) -> None:
        super().__init__(CountingHasher(), waiting=0)


async def test_too_many_passwords_are_503_and_come_again(database: Database) -> None:
    world = World(database, passwords=Waiting())

    answer = await world.login("ada@example.com")

    assert answer.status == 503
    assert int(answer.headers["retry-after"]) > 0
