"""Routes of chat rooms, each good and bad, on either kind of database."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
import trio

from protocol.dialects.gochat import GOCHAT
from protocol.errors import CloseCode
from protocol.ids import RoomId
from protocol.messages import EnterChat, Say
from server.http.application import make_application
from server.http.paging import LARGEST_ID
from server.http.routes.chat import chat_handlers
from server.http.serve import HttpServer
from server.http.social import Social
from server.rooms.chat_directory import ChatRooms
from server.rooms.chat_log import GATHER_SECONDS
from server.store.database import Database
from server.store.schema import chat_rooms
from server.store.writer import Writer
from server.support.counters import Counters
from server.support.errors import StoreUnavailable
from server.support.limits import Limits
from tests.server.harness import FakeMember
from tests.server.http.world import ON_SQLITE, UNLIMITED, Person, World
from tests.server.http_client import UP, Answer, connect, endpoints
from tests.server.memory_results import MemoryResults

UNKNOWN = "cellar"


class ChatWorld(World):
    """An application with chat rooms."""

    def __init__(
        self, database: Database, nursery: trio.Nursery, *, most_rooms: int | None = None
    ) -> None:
        super().__init__(database)
        limits, counters = Limits(), Counters()
        self.writer = Writer(database, counters=counters)
        self.rooms = ChatRooms(
            nursery, database=database, writer=self.writer, limits=limits, counters=counters
        )
        self.application = make_application(
            store=MemoryResults(),
            counters=counters,
            limits=limits,
            version="1.2.3",
            health=lambda: UP,
            websockets=endpoints(),
            social=Social(
                accounts=self.accounts,
                database=database,
                rules=UNLIMITED,
                more=chat_handlers(database, self.rooms, most_rooms=most_rooms),
            ),
        )
        self.server = HttpServer(self.application, limits)

    async def create(self, by: Person, id_: str = "lobby", name: str = "The Lobby") -> Answer:
        return await self.ask("POST", "/ws/createRoom", {"id": id_, "name": name}, token=by.token)

    async def get(self, by: Person, target: str) -> Any:
        answer = await self.ask("GET", target, token=by.token)
        assert answer.status == 200, answer
        assert answer.headers["cache-control"] == "no-store"
        return answer.json

    async def enter(
        self, *people: Person, names: list[str], room_id: str = "lobby"
    ) -> list[FakeMember]:
        """Let people into a room, and wait until they are there."""
        room = await self.rooms.wake(RoomId(room_id))
        members = []
        for number, (person, name) in enumerate(zip(people, names, strict=True)):
            member = FakeMember(f"{number} {name}", dialect=GOCHAT)
            members.append(member)
            assert room.admit(member)
            room.inbox.put(member.id, EnterChat(person.id, name))
        room.inbox.settle()
        await trio.testing.wait_all_tasks_blocked()
        return members

    async def say(self, member: FakeMember, *texts: str, room_id: str = "lobby") -> None:
        room = await self.rooms.wake(RoomId(room_id))
        for text in texts:
            room.inbox.put(member.id, Say(text))
        room.inbox.settle()
        await trio.testing.wait_all_tasks_blocked()

    async def written(self) -> None:
        """Wait until all that was said is in the database."""
        await trio.sleep(GATHER_SECONDS)
        await trio.testing.wait_all_tasks_blocked()
        await self.writer.flush()


@pytest.fixture
async def world(database: Database) -> AsyncIterator[ChatWorld]:
    async with trio.open_nursery() as services:
        async with trio.open_nursery() as nursery:
            found = ChatWorld(database, nursery)
            services.start_soon(found.writer.run)
            services.start_soon(found.rooms.run)
            yield found
            nursery.cancel_scope.cancel()
        services.cancel_scope.cancel()


def link_of(answer: Answer) -> str | None:
    found = re.fullmatch('<(.*)>; rel="next"', answer.headers.get("link", ""))
    return found and found[1]


# --- without a token ------------------------------------------------------------------------

ROUTES = [
    ("POST", "/ws/createRoom"),
    ("GET", "/ws/getRooms"),
    ("GET", "/ws/getClients/lobby"),
    ("GET", "/rooms/lobby/messages"),
    ("DELETE", "/rooms/lobby"),
]


@ON_SQLITE
@pytest.mark.parametrize(("method", "target"), ROUTES)
@pytest.mark.parametrize("token", [None, "nonsense", "A" * 43])
async def test_every_route_needs_a_token(
    method: str, target: str, token: str | None, world: ChatWorld
) -> None:
    body = {"id": "lobby", "name": "Lobby"} if method == "POST" else None
    answer = await world.ask(method, target, body, token=token)
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert set(answer.json) == {"error"}


@ON_SQLITE
@pytest.mark.parametrize(("method", "target"), [route for route in ROUTES if route[0] != "GET"])
async def test_a_page_of_another_site_changes_nothing(
    method: str, target: str, world: ChatWorld
) -> None:
    ada = await world.register("ada")
    body = {"id": "attic", "name": "Attic"} if method == "POST" else None
    await world.create(ada)
    headers = {"Origin": "https://evil.example"}
    answer = await world.ask(method, target, body, cookie=ada.token, headers=headers)
    assert answer.status == 403
    assert [room["id"] for room in await world.get(ada, "/ws/getRooms")] == ["lobby"]


# --- opening and listing --------------------------------------------------------------------


async def test_a_room_is_answered_as_it_was_asked_for(world: ChatWorld) -> None:
    ada = await world.register("ada")
    answer = await world.create(ada)
    assert answer.status == 200
    assert answer.json == {"id": "lobby", "name": "The Lobby"}


async def test_an_id_that_is_taken_is_refused_and_nobody_is_thrown_out(world: ChatWorld) -> None:
    ada, bob = await world.register("ada"), await world.register("bob")
    await world.create(ada)
    [member] = await world.enter(ada, names=["ada"])
    for person in (ada, bob):
        answer = await world.create(person, name="Mine")
        assert answer.status == 409
        assert "id" in answer.json["error"]
    await world.say(member, "still here")
    assert member.closes == []
    assert await world.get(bob, "/ws/getRooms") == [{"id": "lobby", "name": "The Lobby"}]


@ON_SQLITE
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "id"),
        ({"id": "lobby"}, "name"),
        ({"name": "Lobby"}, "id"),
        ({"id": 5, "name": "Lobby"}, "id"),
        ({"id": None, "name": "Lobby"}, "id"),
        ({"id": "", "name": "Lobby"}, "id"),
        ({"id": "a b", "name": "Lobby"}, "id"),
        ({"id": "a/b", "name": "Lobby"}, "id"),
        ({"id": ".", "name": "Lobby"}, "id"),
        ({"id": "..", "name": "Lobby"}, "id"),
        ({"id": "é", "name": "Lobby"}, "id"),
        ({"id": "a\n", "name": "Lobby"}, "id"),
        ({"id": "a\0", "name": "Lobby"}, "id"),
        ({"id": "x" * 65, "name": "Lobby"}, "id"),
        ({"id": "lobby", "name": " "}, "name"),
        ({"id": "lobby", "name": "x" * 51}, "name"),
        ({"id": "lobby", "name": "a\nb"}, "name"),
        ({"id": "lobby", "name": ["Lobby"]}, "name"),
        ({"id": "lobby", "name": "Lobby", "owner": 1}, "owner"),
        ([], "body"),
        ("lobby", "body"),
    ],
)
async def test_a_room_that_is_not_fit_is_refused_with_its_field(
    body: object, field: str, world: ChatWorld
) -> None:
    ada = await world.register("ada")
    answer = await world.ask("POST", "/ws/createRoom", body, token=ada.token)
    assert answer.status == 422
    assert field in answer.json["error"]
    assert await world.get(ada, "/ws/getRooms") == []


@ON_SQLITE
@pytest.mark.parametrize("body", [b"", b"{", b'{"id":', b"\xff", b'{"id":"a","name":"\\ud800"}'])
async def test_a_body_that_is_no_json_is_refused(body: bytes, world: ChatWorld) -> None:
    ada = await world.register("ada")
    answer = await world.ask("POST", "/ws/createRoom", body, token=ada.token)
    assert answer.status == 400


@ON_SQLITE
@pytest.mark.parametrize("id_", ["a", "x" * 64, "A-z_0~9.", "-", "a..b"])
async def test_an_id_that_stands_in_a_path_is_one(id_: str, world: ChatWorld) -> None:
    ada = await world.register("ada")
    assert (await world.create(ada, id_)).status == 200
    assert await world.get(ada, f"/ws/getClients/{id_}") == []


async def test_rooms_are_listed_with_the_latest_first(world: ChatWorld) -> None:
    ada, bob = await world.register("ada"), await world.register("bob")
    assert await world.get(ada, "/ws/getRooms") == []
    for number in range(30):
        await world.create(ada, f"room-{number}", f"  Room {number} ")
    found = await world.get(bob, "/ws/getRooms")
    assert found == [
        {"id": f"room-{number}", "name": f"Room {number}"} for number in range(29, -1, -1)
    ]


async def add_rooms(world: ChatWorld, number: int) -> list[dict[str, str]]:
    """Add rooms past the routes; return how they are listed, the latest first."""
    rooms = [{"id": f"room-{n}", "name": "é" * 50} for n in range(number)]

    def work(conn: sa.Connection) -> None:
        # Several of one moment: their ids decide.
        for n, room in enumerate(rooms):
            conn.execute(sa.insert(chat_rooms), {**room, "created_at": float(n // 7)})

    await world.database.run(work, write=True)
    return sorted(rooms, key=lambda room: (int(room["id"][5:]) // 7, room["id"]), reverse=True)


@pytest.mark.parametrize("number", [1, 500, 501, 1_700])
async def test_a_list_of_any_length_is_one_list(number: int, world: ChatWorld) -> None:
    ada = await world.register("ada")
    rooms = await add_rooms(world, number)

    assert await world.get(ada, "/ws/getRooms") == rooms


@ON_SQLITE
async def test_a_long_list_is_made_as_its_reader_takes_it_and_few_are_sent_at_once(
    world: ChatWorld,
) -> None:
    ada = await world.register("ada")
    rooms = await add_rooms(world, 1_700)
    get = f"GET /ws/getRooms HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {ada.token}\r\n\r\n"
    async with trio.open_nursery() as nursery:
        slow = [connect(nursery, world.server, lockstep=True) for _ in range(4)]
        for client in slow:
            await client.send(get)
            await client.begun()
        assert (await world.ask("GET", "/ws/getRooms", token=ada.token)).status == 429
        assert (await world.ask("GET", "/users/me", token=ada.token)).status == 200

        for client in slow:
            assert (await client.answer()).json == rooms
        nursery.cancel_scope.cancel()


async def test_an_account_opens_no_more_rooms_than_it_may(database: Database) -> None:
    async with trio.open_nursery() as nursery:
        world = ChatWorld(database, nursery, most_rooms=2)
        ada, bob = await world.register("ada"), await world.register("bob")
        statuses = [(await world.create(ada, f"room-{n}")).status for n in range(2)]

        refused = await world.create(ada, "room-2")
        assert statuses == [200, 200]
        assert refused.status == 409
        assert refused.json == {
            "error": "2 rooms are the most that one account may have; delete one of yours first"
        }
        assert (await world.create(bob, "room-2")).status == 200
        await world.ask("DELETE", "/rooms/room-0", token=ada.token)
        assert (await world.create(ada, "room-3")).status == 200
        nursery.cancel_scope.cancel()


async def test_only_one_of_many_who_ask_for_an_id_at_once_gets_it(world: ChatWorld) -> None:
    ada = await world.register("ada")
    statuses: list[int] = []

    async def create() -> None:
        statuses.append((await world.create(ada)).status)

    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(create)
    assert sorted(statuses) == [200, *[409] * 9]


# --- who is there ---------------------------------------------------------------------------


async def test_people_are_listed_once_in_order_of_arrival(world: ChatWorld) -> None:
    ada, bob = await world.register("ada"), await world.register("bob")
    await world.create(ada)
    assert await world.get(ada, "/ws/getClients/lobby") == []
    members = await world.enter(bob, ada, bob, names=["bob", "ada", "bob"])
    both = [{"id": bob.id, "username": "bob"}, {"id": ada.id, "username": "ada"}]
    assert await world.get(ada, "/ws/getClients/lobby") == both
    members[0].hang_up()
    await trio.testing.wait_all_tasks_blocked()
    assert len(await world.get(ada, "/ws/getClients/lobby")) == 2
    for member in members:
        member.hang_up()
    await trio.testing.wait_all_tasks_blocked()
    assert await world.get(ada, "/ws/getClients/lobby") == []


@pytest.mark.parametrize("id_", [UNKNOWN, "LOBBY", "lobby%20", "%00", "%FF", "%ED%A0%80", "%2e%2e"])
async def test_of_a_room_that_is_not_there_nothing_is_told(id_: str, world: ChatWorld) -> None:
    ada = await world.register("ada")
    await world.create(ada)
    for method, target in (
        ("GET", f"/ws/getClients/{id_}"),
        ("GET", f"/rooms/{id_}/messages"),
        ("DELETE", f"/rooms/{id_}"),
    ):
        answer = await world.ask(method, target, token=ada.token)
        assert answer.status == 404, (method, target)
        assert set(answer.json) == {"error"}


# --- what was said --------------------------------------------------------------------------


async def test_messages_are_told_with_the_latest_first(world: ChatWorld) -> None:
    ada, bob = await world.register("ada"), await world.register("bob")
    await world.create(ada)
    assert await world.get(ada, "/rooms/lobby/messages") == []
    first, second = await world.enter(ada, bob, names=["ada", "bob"])
    before = datetime.now(UTC)
    await world.say(first, "Any tea?")
    await world.say(second, "Tea\tand \N{TEACUP WITHOUT HANDLE}\n\x01\x7f\u2028")
    found = await world.get(bob, "/rooms/lobby/messages")
    assert [(each["seq"], each["author"], each["author_id"], each["text"]) for each in found] == [
        (2, "bob", bob.id, "Tea\tand \N{TEACUP WITHOUT HANDLE}\n\x01\x7f\u2028"),
        (1, "ada", ada.id, "Any tea?"),
    ]
    heard = [frame for frame in first.frames if frame.kind == "message"]
    assert len(heard) == 2
    for each in found:
        assert abs((datetime.fromisoformat(each["at"]) - before).total_seconds()) < 60


async def test_the_time_of_a_message_is_the_one_that_was_told(world: ChatWorld) -> None:
    ada = await world.register("ada")
    await world.create(ada)
    [member] = await world.enter(ada, names=["ada"])
    for number in range(20):
        await world.say(member, f"text {number}")
    found = await world.get(ada, "/rooms/lobby/messages")
    told = [frame.payload.decode() for frame in member.frames if frame.kind == "message"]
    for each, text in zip(reversed(found), told, strict=True):
        at = re.search('"at":"([^"]*)"', text)
        assert at is not None
        assert datetime.fromisoformat(at[1]) == datetime.fromisoformat(each["at"])


@pytest.mark.parametrize("limit", [None, 1, 7, 100])
async def test_all_messages_can_be_had_page_by_page(limit: int | None, world: ChatWorld) -> None:
    ada = await world.register("ada")
    await world.create(ada)
    [member] = await world.enter(ada, names=["ada"])
    await world.say(member, *(f"text {number}" for number in range(1, 26)))
    target: str | None = "/rooms/lobby/messages" + (f"?limit={limit}" if limit else "")
    seqs: list[int] = []
    pages = 0
    while target is not None:
        answer = await world.ask("GET", target, token=ada.token)
        assert answer.status == 200
        page = [each["seq"] for each in answer.json]
        assert len(page) <= (limit or 20)
        seqs += page
        pages += 1
        target = link_of(answer)
    assert seqs == [*range(25, 0, -1)]
    assert pages == -(-25 // (limit or 20))


async def test_messages_before_a_number_are_those_with_a_lower_one(world: ChatWorld) -> None:
    ada = await world.register("ada")
    await world.create(ada)
    [member] = await world.enter(ada, names=["ada"])
    await world.say(member, *"abcdef")
    answer = await world.ask("GET", "/rooms/lobby/messages?before=4&limit=3", token=ada.token)
    assert [each["seq"] for each in answer.json] == [3, 2, 1]
    assert link_of(answer) is None
    assert await world.get(ada, "/rooms/lobby/messages?before=1") == []
    assert len(await world.get(ada, f"/rooms/lobby/messages?before={LARGEST_ID}")) == 6


@ON_SQLITE
@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=101",
        "limit=x",
        "limit=",
        "before=0",
        "before=-1",
        "before=x",
        f"before={LARGEST_ID + 1}",
    ],
)
async def test_a_page_that_cannot_be_is_refused(query: str, world: ChatWorld) -> None:
    ada = await world.register("ada")
    await world.create(ada)
    answer = await world.ask("GET", f"/rooms/lobby/messages?{query}", token=ada.token)
    assert answer.status == 400
    assert query.partition("=")[0] in answer.json["error"]


async def test_names_are_those_of_now_and_who_is_gone_has_none(world: ChatWorld) -> None:
    ada, bob = await world.register("ada"), await world.register("bob")
    await world.create(ada)
    first, second = await world.enter(ada, bob, names=["ada", "bob"])
    await world.say(first, "from ada")
    await world.say(second, "from bob")
    await world.written()
    change = await world.ask("PATCH", "/users/me", {"username": "Robert"}, token=bob.token)
    assert change.status == 200
    assert (await world.ask("DELETE", "/delete", token=ada.token)).status == 204
    found = await world.get(bob, "/rooms/lobby/messages")
    assert [(each["author"], each["author_id"]) for each in found] == [
        ("Robert", bob.id),
        ("deleted user", None),
    ]


# --- deleting -------------------------------------------------------------------------------


async def test_a_room_is_deleted_with_all_that_was_said(world: ChatWorld) -> None:
    ada = await world.register("ada")
    await world.create(ada)
    [member] = await world.enter(ada, names=["ada"])
    await world.say(member, "hello")
    answer = await world.ask("DELETE", "/rooms/lobby", token=ada.token)
    assert answer.status == 204
    assert answer.body == b""
    [(code, _, _)] = member.closes
    assert code is CloseCode.GOING_AWAY
    assert await world.get(ada, "/ws/getRooms") == []
    assert (await world.ask("DELETE", "/rooms/lobby", token=ada.token)).status == 404
    assert (await world.create(ada, name="Another")).status == 200
    assert await world.get(ada, "/rooms/lobby/messages") == []
    [member] = await world.enter(ada, names=["ada"])
    await world.say(member, "first")
    assert [each["seq"] for each in await world.get(ada, "/rooms/lobby/messages")] == [1]


async def test_only_who_has_opened_a_room_deletes_it(world: ChatWorld) -> None:
    ada, bob = await world.register("ada"), await world.register("bob")
    await world.create(ada)
    [member] = await world.enter(ada, names=["ada"])
    answer = await world.ask("DELETE", "/rooms/lobby", token=bob.token)
    assert answer.status == 403
    assert member.closes == []
    await world.say(member, "still here")
    assert len(await world.get(bob, "/rooms/lobby/messages")) == 1


async def test_a_room_outlives_the_account_that_has_opened_it(world: ChatWorld) -> None:
    ada, bob = await world.register("ada"), await world.register("bob")
    await world.create(ada)
    assert (await world.ask("DELETE", "/delete", token=ada.token)).status == 204
    assert await world.get(bob, "/ws/getRooms") == [{"id": "lobby", "name": "The Lobby"}]
    assert (await world.ask("DELETE", "/rooms/lobby", token=bob.token)).status == 403


@ON_SQLITE
async def test_a_room_that_cannot_be_deleted_now_may_be_later(
    world: ChatWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await world.register("ada")
    await world.create(ada)

    async def refuse(*_: object) -> None:
        await trio.lowlevel.checkpoint()
        raise StoreUnavailable("gone")

    with monkeypatch.context() as patch:
        patch.setattr(world.rooms, "delete", refuse)
        answer = await world.ask("DELETE", "/rooms/lobby", token=ada.token)
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) > 0
    assert (await world.ask("DELETE", "/rooms/lobby", token=ada.token)).status == 204
