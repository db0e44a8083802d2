"""The chat bots against a server that misbehaves in a chosen way."""

import itertools
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import attrs
import pytest
import trio

from scripts.botlib.chat.plan import Plan, Tally
from scripts.botlib.chat.rooms import talk
from tests.scripts.fake_parley import CLOSE, Delivery, FakeParley, Fault
from tests.scripts.fake_world import Reply, Request, World

PLAN = Plan(
    url=urlsplit("http://127.0.0.1:1"),
    rooms=1,
    members=4,
    messages=20,
    rate=100.0,
    late=0.5,
    rejoin=0.5,
    second=0.5,
    seed=1,
    timeout=0.5,
    connect_concurrency=10,
    accounts="",
)


async def chat(server: FakeParley, **more: Any) -> Tally:
    tally = Tally()
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        with trio.fail_after(20):
            await talk(attrs.evolve(PLAN, url=urlsplit(server.url), **more), tally)
        nursery.cancel_scope.cancel()
    return tally


async def test_an_honest_server_passes() -> None:
    tally = await chat(FakeParley(), rooms=3)

    assert tally.good, tally.as_json()
    assert tally.rooms_done == 3
    assert tally.messages_out == len(tally.back_seconds) == 3 * 4 * 20
    # All come once, two once more, and two have a second connection.
    assert tally.connections == 3 * (4 + 2 + 2)
    assert tally.accounts == 4


@pytest.mark.parametrize("share", [0.0, 1.0])
async def test_nobody_or_everybody_may_be_late(share: float) -> None:
    tally = await chat(FakeParley(), late=share, rejoin=share, second=share, members=3)

    assert tally.good, tally.as_json()
    assert tally.connections == 3 + 4 * share


async def test_accounts_can_be_used_again() -> None:
    server = FakeParley()
    for _ in range(2):
        tally = await chat(server, accounts="crew", members=2)
        assert tally.good, tally.as_json()

    assert len(server.world.users) == 2


# --- messages ---------------------------------------------------------------------------------


def nth(number: int, kind: str, change: Callable[[Delivery], list[Any]], **wanted: Any) -> Fault:
    """Change the delivery of this number of those that are as wanted."""
    count = itertools.count(1)

    def fault(delivery: Delivery) -> list[Any] | None:
        fits = delivery.event["type"] == kind and all(
            getattr(delivery, field) == value for field, value in wanted.items()
        )
        return change(delivery) if fits and next(count) == number else None

    return fault


def altered(**fields: Any) -> Callable[[Delivery], list[Any]]:
    return lambda delivery: [delivery.event | fields]


def twice(delivery: Delivery) -> list[Any]:
    return [delivery.event, delivery.event]


def nothing(delivery: Delivery) -> list[Any]:
    del delivery
    return []


def swapped() -> Fault:
    """Hold one message back until the next."""
    held: list[Any] = []

    def fault(delivery: Delivery) -> list[Any] | None:
        if delivery.event["type"] != "message" or delivery.history:
            return None
        if delivery.event["seq"] == 30 and not held:
            held.append((delivery.to, delivery.second, delivery.event))
            return []
        if held and held[0][:2] == (delivery.to, delivery.second):
            [[_, _, event]] = held
            held[0] = ("", False, {})
            return [delivery.event, event]
        return None

    return fault


@pytest.mark.parametrize(
    ("fault", "rule"),
    [
        (lambda: nth(30, "message", nothing, second=False), "seq-gap"),
        (lambda: nth(30, "message", twice, second=False), "seq-repeated"),
        (lambda: nth(30, "message", altered(context="?"), second=False), "unsent"),
        (lambda: nth(30, "message", altered(username="?"), second=False), "author"),
        (lambda: nth(30, "message", altered(userid=0), second=False), "author-id"),
        (lambda: nth(30, "message", altered(seq=7000), second=False), "seq-gap"),
        (lambda: nth(30, "message", altered(roomid="other"), second=False), "room"),
        (lambda: nth(30, "message", lambda _: ["hello"], second=False), "malformed"),
        (lambda: nth(30, "message", lambda _: [b"hello"], second=False), "binary"),
        (lambda: nth(1, "message", nothing, history=True), "history"),
        (lambda: nth(1, "message", nothing, history=True, second=True), "history"),
        (swapped, "seq-gap"),
        (lambda: nth(2, "join", twice), "joined-twice"),
        (lambda: nth(1, "leave", twice), "left-twice"),
        (lambda: nth(5, "join", altered(username="?")), "stranger"),
        (
            lambda: nth(1, "message", lambda d: [d.event, {**d.event, "type": "refusal"}]),
            "refusal",
        ),
    ],
)
async def test_a_server_that_breaks_a_rule_fails(fault: Callable[[], Fault], rule: str) -> None:
    tally = await chat(FakeParley(fault=fault()))

    assert not tally.good
    assert rule in tally.rules, tally.as_json()


async def test_a_second_connection_must_not_be_announced() -> None:
    def fault(delivery: Delivery) -> list[Any] | None:
        event = delivery.event
        if not delivery.second or event["type"] != "message":
            return None
        return [{**event, "type": "join", "username": delivery.to}, event]

    tally = await chat(FakeParley(fault=fault), timeout=0.2)

    assert "joined-twice" in tally.rules


async def test_a_lost_message_is_waited_for_no_longer_than_allowed() -> None:
    lost = itertools.count()
    with trio.fail_after(15):
        tally = await chat(FakeParley(drop=lambda _: next(lost) == 25))

    assert tally.errors
    assert "in vain" in tally.listed_errors[0]


async def test_a_notice_that_only_one_does_not_get_is_noticed() -> None:
    names = {"host": "", "rejoins": ""}

    def fault(delivery: Delivery) -> list[Any] | None:
        """Keep from the third who there is that somebody has come back."""
        event = delivery.event
        names["host"] = names["host"] or delivery.to
        if event["type"] == "leave":
            names["rejoins"] = names["rejoins"] or event["username"]
        known = (names["host"], names["rejoins"])
        hidden = event["type"] == "join" and event["username"] == names["rejoins"]
        return [] if hidden and delivery.to not in known else None

    tally = await chat(FakeParley(fault=fault), members=3, rejoin=0.5, late=0, second=0)

    assert tally.rules["order"] == 1, tally.as_json()


async def test_a_leave_that_the_host_is_not_told_of_is_noticed() -> None:
    tally = await chat(
        FakeParley(fault=nth(1, "leave", nothing)), members=2, rejoin=0, late=0, second=0
    )
    assert tally.rules == {"leave-notices": 1}


async def test_a_connection_that_the_server_closes_is_an_error() -> None:
    tally = await chat(FakeParley(fault=nth(30, "message", lambda _: [CLOSE], second=False)))

    assert "closed by the server with 1011 sorry" in tally.listed_errors[0]


# --- HTTP -------------------------------------------------------------------------------------


def at(path: str, change: Callable[[Reply], Reply | None]) -> Callable[..., Reply | None]:
    def twist(world: World, request: Request, reply: Reply) -> Reply | None:
        return change(reply) if request.path.startswith(path) else None

    return twist


@pytest.mark.parametrize(
    ("path", "change", "rule"),
    [
        ("/ws/createRoom", lambda _: Reply(500, {"error": "x"}), "status"),
        ("/ws/createRoom", lambda reply: Reply(200, {"id": "x", "name": "y"}), "room-told"),
        ("/ws/getRooms", lambda _: Reply(200, []), "room-listed"),
        ("/ws/getRooms", lambda _: Reply(200, {}), "malformed"),
        ("/ws/getClients/", lambda reply: Reply(200, reply.body[1:]), "clients"),
        ("/ws/getClients/", lambda reply: Reply(200, reply.body * 2), "clients"),
        ("/rooms/", lambda reply: Reply(200, reply.body[1:]), "stored"),
        ("/rooms/", lambda reply: Reply(200, reply.body, [("Link", "next")]), "link"),
        ("/rooms/", lambda reply: Reply(200, reply.body[:5], reply.headers), "page-size"),
        ("/rooms/", lambda reply: Reply(200, raw=b"["), "malformed"),
    ],
)
async def test_wrong_answers_are_noticed(
    path: str, change: Callable[[Reply], Reply | None], rule: str
) -> None:
    tally = await chat(FakeParley(World(twist=at(path, change))))

    assert rule in tally.rules, tally.as_json()


async def test_a_room_that_can_be_made_twice_is_noticed() -> None:
    def twist(world: World, request: Request, reply: Reply) -> Reply | None:
        return Reply(200, request.body) if reply.status == 409 else None

    tally = await chat(FakeParley(World(twist=twist)))

    assert tally.rules == {"room-taken": 1}


async def test_a_broken_room_leaves_the_others_alone() -> None:
    calls = itertools.count(1)

    def change(reply: Reply) -> Reply | None:
        return Reply(500, {"error": "x"}) if next(calls) == 1 else None

    tally = await chat(FakeParley(World(twist=at("/ws/getRooms", change))), rooms=3)

    assert tally.rules == {"status": 1}
    assert tally.rooms_done == 2
