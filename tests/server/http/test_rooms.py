"""Routes of rooms: good and bad requests, by whom, how often, and while something is away."""

import re
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
import trio
import trio.testing

from protocol.deck import DECKS
from protocol.dialects.parley_v1 import PARLEY_V1
from protocol.ids import MemberId, RoomId
from protocol.lasting import Join, Lock, Numbered
from protocol.limits import CARD_LENGTH, MOST_CARDS, ROOM_NAME_LENGTH
from protocol.options import ClaimBy, Options, OwnerAbsence, Talkers, VotingEnds, Who
from server.auth.sources import Source
from server.store import logbook, schema
from server.store.database import Database
from server.store.estimations import Session, record
from server.store.logbook import Chunk, RoomSettings
from server.support.errors import StoreUnavailable
from server.support.limits import Limits
from tests.server.http.whole import WholeWorld, whole_world
from tests.server.http.world import ON_SQLITE
from tests.server.http_client import Answer
from tests.server.links import ADA, FakeLink
from tests.store.test_logbook import revealed

pytestmark = ON_SQLITE

SAME = {"Origin": "http://t"}
ROOM = {"capacity": 4, "name": "Refinement", "deck": ["1", "2", "?"], "grace_seconds": 30}
OTHER = Source("192.0.2.2")


@pytest.fixture
async def world(database: Database) -> AsyncIterator[WholeWorld]:
    async with whole_world(database) as found:
        yield found


async def post(world: WholeWorld, body: object = ROOM, key: str | None = None) -> Answer:
    headers = {} if key is None else {"Idempotency-Key": key}
    return await world.ask("POST", "/v1/rooms", body, headers=headers)


async def opened(world: WholeWorld, body: object = ROOM, key: str | None = None) -> Any:
    answer = await post(world, body, key)
    assert answer.status == 201, answer
    return answer.json


async def end(world: WholeWorld, room_id: str, key: str | None) -> Answer:
    return await world.ask("DELETE", f"/v1/rooms/{room_id}", token=key)


def away(monkeypatch: pytest.MonkeyPatch, world: WholeWorld) -> None:
    async def gone(*_: object, **__: object) -> None:
        await trio.lowlevel.checkpoint()
        raise StoreUnavailable("gone")

    monkeypatch.setattr(world.database, "run", gone)


def is_unavailable(answer: Answer) -> bool:
    return answer.status == 503 and int(answer.headers["retry-after"]) > 0


# --- opening --------------------------------------------------------------------------------


async def test_a_room_is_opened_as_it_was_wished(world: WholeWorld) -> None:
    answer = await post(world)

    assert answer.status == 201
    made = answer.json
    path = f"/v1/rooms/{made['id']}"
    assert (made["socket"], answer.headers["location"]) == (path, path)
    assert made["link"] == f"/r/{made['id']}"
    assert answer.headers["cache-control"] == "no-store"
    assert (made["name"], made["capacity"], made["grace_seconds"]) == ("Refinement", 4, 30)
    assert made["deck"] == [
        {"label": "1", "value": 1.0, "kind": "estimate"},
        {"label": "2", "value": 2.0, "kind": "estimate"},
        {"label": "?", "value": None, "kind": "unsure"},
    ]
    [session] = await world.database.run(logbook.parked)
    assert session.room_id == made["id"]
    assert world.keys.is_owner_key(session.id, made["owner_key"])
    assert (await world.ask("GET", made["results"])).status == 200


async def test_a_room_may_outlive_its_owner_and_have_as_many_seats_as_the_server_allows(
    world: WholeWorld,
) -> None:
    limits = Limits()
    wish = {"owner_absence": "claim", "claim_by": "signed_in"}
    made = await opened(world, {"capacity": 2, "options": wish})

    found = await world.database.run(logbook.parked)
    [session] = [each for each in found if each.room_id == made["id"]]
    stored = await world.database.run(partial(logbook.load, session_id=session.id))
    assert stored is not None
    settings = RoomSettings.read(stored.settings)
    assert settings.options == Options(owner_absence=OwnerAbsence.CLAIM, claim_by=ClaimBy.SIGNED_IN)
    assert settings.most_capacity == limits.room_capacity
    answer = await post(world, {"capacity": 2, "options": {"owner_absence": "goes"}})
    assert answer.status == 422


async def test_all_but_the_seats_has_a_default(world: WholeWorld) -> None:
    made = await opened(world, {"capacity": 2, "name": None, "deck": None})

    assert (made["name"], made["grace_seconds"], len(made["deck"])) == ("", 60.0, 16)
    assert made["deck_id"] == "classic"


async def test_a_room_works_as_its_options_say(world: WholeWorld) -> None:
    made = await opened(world, {"capacity": 2, "options": {"talk_by": "nobody"}})
    picture = await world.lasting.look(RoomId(made["id"]))

    assert picture is not None
    assert picture.options == Options(talk_by=Talkers.NOBODY)
    assert "say" not in picture.may.everybody
    refused = await post(world, {"capacity": 2, "options": {"talk_by": "some"}})
    assert refused.status == 422
    assert refused.json["field"] == "options.talk_by"


@pytest.mark.parametrize("name", DECKS)
async def test_a_room_has_the_deck_that_was_chosen_by_its_id(name: str, world: WholeWorld) -> None:
    made = await opened(world, {"capacity": 2, "deck": name})

    shown = (await world.ask("GET", f"/v1/rooms/{made['id']}")).json
    assert made["deck_id"] == shown["deck_id"] == name
    assert made["deck"] == shown["deck"]
    assert [card["label"] for card in made["deck"]] == list(DECKS[name].labels)


async def test_a_room_works_as_its_opener_wants(world: WholeWorld) -> None:
    options = {"begin_by": "all", "voting_ends": "reveal", "voting_seconds": 45}

    made = await opened(world, {"capacity": 2, "options": options})

    shown = await world.lasting.look(made["id"])
    assert shown is not None
    assert shown.options == Options(
        begin_by=Who.ALL, voting_ends=VotingEnds.REVEAL, voting_seconds=45
    )


async def test_cards_of_ones_own_may_have_points(world: WholeWorld) -> None:
    cards = ["½", {"label": "M"}, {"label": "L", "value": 5}, {"label": "XL", "value": 8.5}, "?"]

    made = await opened(world, {"capacity": 2, "deck": cards})

    assert made["deck_id"] == "custom"
    assert [(card["label"], card["value"], card["kind"]) for card in made["deck"]] == [
        ("½", 0.5, "estimate"),
        ("M", None, "unsure"),
        ("L", 5.0, "estimate"),
        ("XL", 8.5, "estimate"),
        ("?", None, "unsure"),
    ]
    assert (await world.ask("GET", f"/v1/rooms/{made['id']}")).json["deck"] == made["deck"]


async def test_the_decks_with_a_name_are_listed_with_their_cards(world: WholeWorld) -> None:
    answer = await world.ask("GET", "/v1/decks")

    assert answer.status == 200
    assert answer.headers["cache-control"] == "public, max-age=3600"
    assert [(each["id"], each["default"]) for each in answer.json] == [
        (name, name == "classic") for name in DECKS
    ]
    for each in answer.json:
        made = await opened(world, {"capacity": 2, "deck": each["id"]})
        assert each["cards"] == made["deck"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("capacity", bad) for bad in (None, "4", 4.5, True, 1, 0, -1, 501, 2**53, 10**30, [4])),
        *(("name", bad) for bad in ("", " ", "a\nb", "\u200b", "x" * (ROOM_NAME_LENGTH + 1), 5)),
        *(("deck", bad) for bad in ([], ["1"], "12", {"1": 1, "2": 2}, 5, ["1", "1"], ["1", " 1"])),
        *(("deck", bad) for bad in ("", "custom", "tarot", True, 1.5, ["1", {"label": "1"}])),
        *(("deck[1].label", ["1", {"label": bad}]) for bad in ("", "\n", None, 5, "x" * 9)),
        *(("deck[1].value", ["1", {"label": "S", "value": bad}]) for bad in (-1, 1e9, "1", True)),
        ("deck[1].value", ["1", {"label": "?", "value": 1}]),
        ("deck[1].label", ["1", {"value": 1}]),
        ("deck[1].more", ["1", {"label": "2", "more": 1}]),
        ("deck", [str(number) for number in range(MOST_CARDS + 1)]),
        *(("deck[1]", ["1", bad]) for bad in ("", "\0", "x" * (CARD_LENGTH + 1), 2, None, ["2"])),
        *(("grace_seconds", bad) for bad in (-1, 601, "5", 5.5, True, 1e400)),
        *(("options.voting_seconds", {"voting_seconds": bad}) for bad in (0, 4, 3601, "9", 9.5)),
        *(("options.voting_ends", {"voting_ends": bad}) for bad in ("", "end", 1, True)),
        ("nothing", 1),
    ],
)
async def test_what_is_wrong_with_a_wish_is_named(
    field: str, value: object, world: WholeWorld
) -> None:
    answer = await post(world, {**ROOM, re.split(r"[.[]", field)[0]: value})

    # What JSON does not know is no JSON.
    assert answer.status == (400 if value == float("inf") else 422), answer
    if answer.status == 422:
        assert answer.json["field"] == field
        assert answer.json["error"].startswith(f"{field} ")
    assert await world.database.run(logbook.parked) == []


@pytest.mark.parametrize(
    ("body", "status"), [(b"", 400), (b"{", 400), (b"[]", 422), (b"5", 422), (b"{}", 422)]
)
async def test_what_is_no_wish_at_all_is_refused(
    body: bytes, status: int, world: WholeWorld
) -> None:
    answer = await world.ask("POST", "/v1/rooms", body)

    assert answer.status == status
    assert "error" in answer.json


async def test_a_body_must_be_small_and_declared(world: WholeWorld) -> None:
    plain = {"Content-Type": "text/plain"}
    assert (await world.ask("POST", "/v1/rooms", ROOM, headers=plain)).status == 415
    assert (await post(world, b" " * (64 * 1024 + 1))).status == 413


async def test_an_address_has_so_many_rooms_until_one_ends(database: Database) -> None:
    async with whole_world(database, address_rooms=2) as world:
        first = await opened(world)
        await opened(world)
        refused = await post(world)
        world.source = OTHER
        await opened(world)
        world.source = Source("192.0.2.1")
        assert (await end(world, first["id"], first["owner_key"])).status == 204
        again = await post(world)

    assert refused.status == 429
    assert int(refused.headers["retry-after"]) > 0
    assert again.status == 201


async def test_rooms_asked_for_at_once_are_no_more_than_an_address_may_have(
    database: Database,
) -> None:
    statuses = []
    async with whole_world(database, address_rooms=2) as world:

        async def ask() -> None:
            statuses.append((await post(world)).status)

        async with trio.open_nursery() as asking:
            for _ in range(5):
                asking.start_soon(ask)

    assert sorted(statuses) == [201, 201, 429, 429, 429]


async def test_a_full_server_opens_no_room(database: Database) -> None:
    async with whole_world(database, rooms=1) as world:
        await opened(world)
        world.source = OTHER
        assert is_unavailable(await post(world))


# --- the same request again -----------------------------------------------------------------


async def test_the_same_request_opens_one_room_also_at_once(world: WholeWorld) -> None:
    made: list[Any] = []

    async def ask() -> None:
        made.append(await opened(world, key="once"))

    async with trio.open_nursery() as asking:
        for _ in range(4):
            asking.start_soon(ask)

    assert made == [made[0]] * 4
    assert len(await world.database.run(logbook.parked)) == 1
    assert (await opened(world, key="twice"))["id"] != made[0]["id"]


async def test_another_address_does_not_get_the_room_of_a_key(world: WholeWorld) -> None:
    mine = await opened(world, key="once")
    world.source = OTHER
    other = await opened(world, key="once")

    assert mine["id"] != other["id"]
    assert mine["owner_key"] != other["owner_key"]


async def test_a_key_that_was_used_for_another_room_is_409(world: WholeWorld) -> None:
    await opened(world, key="once")
    answer = await post(world, {**ROOM, "capacity": 5}, "once")

    assert answer.status == 409
    assert answer.json["field"] == "Idempotency-Key"
    assert "owner_key" not in answer.json


async def test_a_key_of_a_room_that_has_ended_is_409(world: WholeWorld) -> None:
    made = await opened(world, key="once")
    [session] = await world.database.run(logbook.parked)
    chunk = Chunk(session_id=session.id, number=1, rounds=[revealed(session, 0)])
    await world.database.run(lambda conn: logbook.append(conn, [chunk]), write=True)
    assert (await end(world, made["id"], made["owner_key"])).status == 204

    answer = await post(world, key="once")
    assert answer.status == 409
    assert "has ended" in answer.json["error"]


async def test_who_lost_the_answer_gets_it_even_with_all_rooms_taken(database: Database) -> None:
    async with whole_world(database, address_rooms=1, rooms=1) as world:
        made = await opened(world, key="once")
        assert (await post(world, key="twice")).status == 429
        assert await opened(world, key="once") == made


async def test_a_key_holds_after_a_kill(database: Database) -> None:
    async with whole_world(database) as world:
        made = await opened(world, key="once")
    async with whole_world(database) as world:
        assert await opened(world, key="once") == made
        assert (await world.ask("GET", made["socket"])).status == 200


@pytest.mark.parametrize("key", ["x" * 256, "a b", "\xe9", "\x7f"])
async def test_a_key_of_wrong_form_is_named(key: str, world: WholeWorld) -> None:
    answer = await post(world, key=key)

    assert answer.status == 400
    assert answer.json["field"] == "Idempotency-Key"


# --- signed in ---


async def test_who_is_signed_in_owns_the_room_and_finds_it_among_its_sessions(
    world: WholeWorld,
) -> None:
    ada, bob = await world.register("ada"), await world.register("bob")
    shown: list[dict[str, Any]] = [{"token": ada.token}, {"cookie": ada.token}]

    made = [(await world.ask("POST", "/v1/rooms", ROOM, headers=SAME, **way)).json for way in shown]

    sessions = (await world.ask("GET", "/v1/sessions", token=ada.token)).json
    assert sorted(each["room_id"] for each in sessions) == sorted(each["id"] for each in made)
    assert all(each["owner"] for each in sessions)
    assert (await world.ask("GET", "/v1/sessions", token=bob.token)).json == []


async def test_a_token_must_be_valid_and_a_cookie_that_is_not_is_as_good_as_none(
    world: WholeWorld,
) -> None:
    forged = "A" * 43
    refused = await world.ask("POST", "/v1/rooms", ROOM, token=forged)
    assert (refused.status, refused.headers["www-authenticate"]) == (401, "Bearer")
    basic = {"Authorization": "Basic YTpi"}
    assert (await world.ask("POST", "/v1/rooms", ROOM, headers=basic)).status == 201
    taken = await world.ask("POST", "/v1/rooms", ROOM, cookie=forged, headers=SAME)
    assert taken.status == 201


async def test_a_page_of_another_site_opens_nothing_in_somebodys_name(world: WholeWorld) -> None:
    ada = await world.register("ada")
    elsewhere = {"Origin": "http://elsewhere.example"}

    answer = await world.ask("POST", "/v1/rooms", ROOM, cookie=ada.token, headers=elsewhere)

    assert answer.status == 403
    assert await world.database.run(logbook.parked) == []


async def test_a_bot_opens_rooms_by_its_scope(world: WholeWorld) -> None:
    ada = await world.register("ada")
    secrets = {}
    for scope in ("rooms:open", "rooms:join"):
        wish = {"name": "bot", "scopes": [scope]}
        made = await world.ask("POST", "/v1/tokens", wish, token=ada.token)
        secrets[scope] = made.json["token"]

    refused = await world.ask("POST", "/v1/rooms", ROOM, token=secrets["rooms:join"])
    made = await world.ask("POST", "/v1/rooms", ROOM, token=secrets["rooms:open"])

    assert (refused.status, "rooms:open" in refused.json["error"]) == (403, True)
    assert made.status == 201
    [session] = (await world.ask("GET", "/v1/sessions", token=ada.token)).json
    assert (session["room_id"], session["owner"]) == (made.json["id"], True)


async def test_a_key_counts_for_the_account_wherever_it_is_and_for_nobody_else(
    world: WholeWorld,
) -> None:
    ada, bob = await world.register("ada"), await world.register("bob")

    async def ask(token: str | None) -> Any:
        once = {"Idempotency-Key": "once"}
        answer = await world.ask("POST", "/v1/rooms", ROOM, token=token, headers=once)
        assert answer.status == 201
        return answer.json["id"]

    mine = await ask(ada.token)
    others = {await ask(bob.token), await ask(None)}
    world.source = OTHER
    assert await ask(ada.token) == mine
    assert len({mine, *others, await ask(None)}) == 4
    assert len((await world.ask("GET", "/v1/sessions", token=ada.token)).json) == 1


# --- looking --------------------------------------------------------------------------------


async def test_a_room_is_shown_before_one_joins(world: WholeWorld) -> None:
    made = await opened(world)
    answer = await world.ask("GET", f"/v1/rooms/{made['id']}")

    assert answer.status == 200
    assert answer.json == {
        **{name: made[name] for name in ("id", "name", "capacity", "deck_id", "deck", "opened_at")},
        "state": "open",
        "stage": "waiting",
        "people_count": 0,
        "people": [],
        "needs_passcode": False,
    }
    assert answer.headers["cache-control"] == "no-store"
    assert made["owner_key"] not in answer.body.decode()


async def test_a_room_of_the_other_dialect_is_shown_and_nobody_has_its_key(
    world: WholeWorld,
) -> None:
    room = await world.hub.open(3)
    assert (await world.ask("GET", f"/v1/rooms/{room.id}")).json["capacity"] == 3

    assert room.lasting is not None
    answer = await end(world, room.id, world.keys.owner_key(room.lasting.session_id))

    assert answer.status == 403
    assert world.hub.find(room.id) is room


@pytest.mark.parametrize(
    "room_id",
    ["abcdef", "a", "%00", "%2e%2e", "a%0d%0ab", "%ff", "%F0%9F%98%80", "x" * 5000, "null"],
)
@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_an_id_of_no_room_is_404(method: str, room_id: str, world: WholeWorld) -> None:
    answer = await world.ask(method, f"/v1/rooms/{room_id}", token="key")

    assert answer.status == 404
    assert "error" in answer.json


async def ended(world: WholeWorld) -> Any:
    """Open a room, reveal something in it, and end it."""
    made = await opened(world)
    sessions = await world.database.run(logbook.parked)
    [session] = [each for each in sessions if each.room_id == made["id"]]
    chunk = Chunk(session_id=session.id, number=1, rounds=[revealed(session, 0)])
    await world.database.run(lambda conn: logbook.append(conn, [chunk]), write=True)
    assert (await end(world, made["id"], made["owner_key"])).status == 204
    return made


@pytest.mark.parametrize("days", [0, 30])
async def test_a_room_that_has_ended_is_gone_and_leads_to_its_results(
    days: float, database: Database
) -> None:
    async with whole_world(database, results_days=days) as world:
        made = await ended(world)
        answer = await world.ask("GET", made["socket"])
        results = (await world.ask("GET", made["results"])).json

    assert answer.status == 410
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json == {
        "error": "this room has ended",
        "closed_at": results["closed_at"],
        "expires_at": results["expires_at"],
        "results": made["results"].partition("?")[0],
    }
    kept = answer.json["expires_at"] and (
        datetime.fromisoformat(answer.json["expires_at"])
        - datetime.fromisoformat(answer.json["closed_at"])
    )
    assert kept == (timedelta(days) if days else None)


async def test_a_room_that_has_ended_without_results_was_never_there(world: WholeWorld) -> None:
    made = await opened(world)
    assert (await end(world, made["id"], made["owner_key"])).status == 204

    assert (await world.ask("GET", made["socket"])).status == 404


async def test_a_room_whose_end_is_not_on_record_yet_is_gone_all_the_same(
    world: WholeWorld,
) -> None:
    session = Session(1, RoomId("abcdef"), "key", 1.0)
    await world.database.run(lambda conn: record(conn, [revealed(session, 0)]), write=True)

    answer = await world.ask("GET", "/v1/rooms/abcdef")

    assert answer.status == 410
    assert (answer.json["closed_at"], answer.json["expires_at"]) == (None, None)


async def test_of_two_rooms_of_one_id_the_one_that_lives_is_shown(world: WholeWorld) -> None:
    made = await opened(world)
    session = Session(1, RoomId(made["id"]), "key", 1.0)
    await world.database.run(lambda conn: record(conn, [revealed(session, 0)]), write=True)

    assert (await world.ask("GET", made["socket"])).status == 200


async def test_who_guesses_ids_of_rooms_that_have_ended_is_stopped_too(
    database: Database,
) -> None:
    async with whole_world(database, lookup_limit=3) as world:
        made = await ended(world)
        statuses = [(await world.ask("GET", made["socket"])).status for _ in range(4)]

    assert statuses == [410, 410, 410, 429]


async def test_who_guesses_ids_is_stopped(database: Database) -> None:
    async with whole_world(database, lookup_limit=3) as world:
        made = await opened(world)
        statuses = [
            (await world.ask("GET", "/v1/rooms/abcdef")).status,
            (await end(world, "abcdef", "key")).status,
            (await end(world, made["id"], "key")).status,
        ]
        shown = await world.ask("GET", made["socket"])
        ended = await end(world, made["id"], made["owner_key"])
        world.source = OTHER
        assert (await world.ask("GET", made["socket"])).status == 200

    assert statuses == [404, 404, 403]
    assert (shown.status, ended.status) == (429, 429)
    assert int(shown.headers["retry-after"]) > 0


async def test_other_methods_and_parameters_of_the_paths(world: WholeWorld) -> None:
    made = await opened(world)
    head = await world.ask("HEAD", made["socket"])
    assert (head.status, head.body) == (200, b"")
    for target, allowed in (
        ("/v1/rooms", "OPTIONS, POST"),
        (made["socket"], "DELETE, GET, HEAD, OPTIONS"),
    ):
        options = await world.ask("OPTIONS", target)
        assert (options.status, options.headers["allow"]) == (204, allowed)
        assert (await world.ask("PUT", target, {})).status == 405
    for method, target in (("POST", "/v1/rooms"), ("GET", made["socket"])):
        answer = await world.ask(method, f"{target}?x=1", ROOM if method == "POST" else None)
        assert (answer.status, answer.json["field"]) == (400, "x")
    assert len(await world.database.run(logbook.parked)) == 1


# --- ending ---------------------------------------------------------------------------------


async def test_the_owner_key_ends_the_room_and_that_is_on_record(world: WholeWorld) -> None:
    made = await opened(world)

    answer = await end(world, made["id"], made["owner_key"])

    assert (answer.status, answer.body) == (204, b"")
    assert await world.database.run(logbook.parked) == []
    assert (await world.ask("GET", made["socket"])).status == 404
    assert (await end(world, made["id"], made["owner_key"])).status == 404


async def test_nobody_else_ends_a_room(world: WholeWorld) -> None:
    made, other = await opened(world), await opened(world)
    ada = await world.register("ada")

    for key in (other["owner_key"], made["owner_key"][:-1], ada.token, "\xe9"):
        answer = await end(world, made["id"], key)
        assert (answer.status, set(answer.json)) == (403, {"error"})
    for headers in ({}, {"Authorization": "Basic YTpi"}, {"Authorization": "Bearer "}):
        answer = await world.ask("DELETE", made["socket"], headers=headers)
        assert answer.status == 401
        assert answer.headers["www-authenticate"] == "Bearer"
    assert (await world.ask("GET", made["socket"])).status == 200


async def test_a_parked_room_is_ended_too(database: Database) -> None:
    async with whole_world(database) as world:
        made = await opened(world)
    async with whole_world(database) as world:
        assert (await end(world, made["id"], "key")).status == 403
        assert (await end(world, made["id"], made["owner_key"])).status == 204
        assert await database.run(logbook.parked) == []


# --- while something is away ----------------------------------------------------------------


async def test_without_the_database_nothing_is_opened_or_woken(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with whole_world(database) as world:
        made = await opened(world)
    async with whole_world(database) as world:
        with monkeypatch.context() as patched:
            away(patched, world)
            assert is_unavailable(await post(world))
            assert is_unavailable(await post(world, key="once"))
            assert is_unavailable(await world.ask("GET", made["socket"]))
            assert is_unavailable(await end(world, made["id"], made["owner_key"]))
        assert (await world.ask("GET", made["socket"])).status == 200
        assert (await post(world, key="once")).status == 201


async def test_a_room_whose_end_cannot_be_put_on_record_goes_on(
    world: WholeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await opened(world)
    with monkeypatch.context() as patched:
        patched.setattr(Database, "available", False)
        assert is_unavailable(await end(world, made["id"], made["owner_key"]))
    assert (await world.ask("GET", made["socket"])).status == 200


async def test_a_server_that_goes_away_opens_and_wakes_nothing(database: Database) -> None:
    async with whole_world(database) as world:
        made = await opened(world)
    async with whole_world(database) as world:
        world.hub.drain("bye")
        assert is_unavailable(await post(world))
        assert is_unavailable(await post(world, key="once"))
        assert is_unavailable(await world.ask("GET", made["socket"]))
        assert is_unavailable(await end(world, made["id"], made["owner_key"]))
        assert (await world.ask("GET", "/v1/rooms/abcdef")).status == 404


# --- passcodes ------------------------------------------------------------------------------

HERON = "grey heron"


async def test_behind_a_passcode_nobody_is_shown_and_the_passcode_nowhere(
    world: WholeWorld,
) -> None:
    made = await post(world, {**ROOM, "passcode": f"  {HERON} "})
    path = f"/v1/rooms/{made.json['id']}"
    room = world.lasting.find(RoomId(made.json["id"]))
    assert room is not None
    room.inbox.put(MemberId("ann"), Join(name="Ann"))
    room.inbox.settle()
    await trio.testing.wait_all_tasks_blocked()

    answer = await world.ask("GET", path)

    assert answer.json == {
        **{name: made.json[name] for name in ("id", "name", "deck_id", "deck")},
        "state": "open",
        "people_count": 1,
        "needs_passcode": True,
        **dict.fromkeys(("stage", "capacity", "people", "opened_at")),
    }
    assert "Ann" not in answer.body.decode()
    stored = await world.database.run(all_that_is_stored)
    for text in (made.body.decode(), answer.body.decode(), stored):
        assert HERON not in text
    sessions = await world.database.run(logbook.parked)
    [session] = [each for each in sessions if each.room_id == made.json["id"]]
    found = await world.database.run(lambda conn: logbook.load(conn, session_id=session.id))
    assert found is not None
    seal = RoomSettings.read(found.settings).seal
    assert seal is not None
    assert world.keys.opens(seal, HERON)
    assert seal not in answer.body.decode() + made.body.decode()
    assert seal not in repr(RoomSettings.read(found.settings))


async def test_a_locked_room_says_so_also_when_it_is_full(world: WholeWorld) -> None:
    made = await opened(world, {"capacity": 2})
    room = world.lasting.find(RoomId(made["id"]))
    assert room is not None
    for name, owner in (("Ada", True), ("Bob", False)):
        link = FakeLink(name, entry=Join(name=name, owner=owner), inbox=room.inbox)
        assert room.join(link.id, PARLEY_V1, link, None)
        await trio.testing.wait_all_tasks_blocked()
    room.inbox.put(ADA, Numbered(1, Lock(locked=True)))
    room.inbox.settle()
    await trio.testing.wait_all_tasks_blocked()

    shown = (await world.ask("GET", made["socket"])).json

    assert (shown["state"], shown["people_count"]) == ("locked", 2)
    assert [each["name"] for each in shown["people"]] == ["Ada", "Bob"]


@pytest.mark.parametrize(
    "passcode", ["", "abc", " abc ", "x" * 65, "ab\ncd", 1234, ["grey"], "\u200b" * 5]
)
async def test_what_can_be_no_passcode_is_422_and_not_said_again(
    passcode: object, world: WholeWorld
) -> None:
    answer = await post(world, {**ROOM, "passcode": passcode})

    assert answer.status == 422
    assert answer.json["field"] == "passcode"
    assert not isinstance(passcode, str) or not passcode or passcode not in answer.body.decode()


async def test_the_same_request_has_the_same_passcode(world: WholeWorld) -> None:
    wish = {**ROOM, "passcode": HERON}
    first = await opened(world, wish, key="once")

    again = await opened(world, wish, key="once")
    others = [
        await post(world, other, key="once") for other in (ROOM, {**wish, "passcode": "egret"})
    ]

    assert again["id"] == first["id"]
    assert [answer.status for answer in others] == [409, 409]
    assert (await post(world, {**wish, "capacity": 5}, key="once")).status == 409


def all_that_is_stored(conn: sa.Connection) -> str:
    """Give every row of every table as text."""
    rows = [list(conn.execute(sa.select(table))) for table in schema.metadata.sorted_tables]
    return repr(rows)
