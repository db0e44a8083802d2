"""Chat by the real process: many who talk at once, and databases and servers that go away."""

import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import attrs
import pytest
import trio
from websockets.exceptions import ConnectionClosed
from websockets.trio.client import ClientConnection
from websockets.trio.client import connect as websocket

from tests.server.http.world import token_of
from tests.server.http_client import Answer, Client
from tests.store.conftest import Postgres
from tests.wire.process import Address, launched, running
from tests.wire.raw import (
    CLOSE,
    PATIENCE,
    TEXT,
    Raw,
    close_frame,
    connect,
    fetch,
    frame,
    full_room,
    open_websocket,
    upgrade,
    wait_until,
)

PASSWORD: Final = "correct horse battery"
ROOM: Final = "lobby"

TALKERS: Final = 50
EACH: Final = 200

KILLS: Final = int(os.environ.get("CHAT_KILLS", "5"))
"""How often the server is killed in a row on each database; more take longer."""

UNLIMITED: Final = {
    "PARLEY_LOGIN_LIMIT": "0",
    "PARLEY_REGISTER_LIMIT": "0",
    "PARLEY_INBOUND_RATE": "1e6",
    "PARLEY_INBOUND_BURST": "1000000",
    "PARLEY_CHAT_BYTES_RATE": "1e9",
    "PARLEY_CHAT_BYTES_BURST": "1000000000",
    # A turn of the room may have thousands of messages here.
    "PARLEY_MAX_OUTBOX_MESSAGES": "100000",
    "PARLEY_MAX_OUTBOX_BYTES": "16777216",
}


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    server = Postgres()
    yield server
    server.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a new database, without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/parley.db"
    postgres: Postgres = request.getfixturevalue("postgres")
    return postgres.create()


def settings(url: str) -> dict[str, str]:
    return UNLIMITED | {"PARLEY_DATABASE_URL": url}


# --- people ---------------------------------------------------------------------------------


@attrs.frozen
class Person:
    """Somebody with an account."""

    id: int
    name: str
    token: str


async def ask(
    server: Address,
    method: str,
    target: str,
    body: object = None,
    *,
    by: Person | None = None,
    status: int = 200,
) -> Answer:
    """Make a request on a connection of its own, which must be answered with this status."""
    raw = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {target} HTTP/1.1", "Host: parley.test", f"Content-Length: {len(raw)}"]
    if raw:
        lines.append("Content-Type: application/json")
    if by is not None:
        lines.append(f"Authorization: Bearer {by.token}")
    async with await connect(server) as connection:
        client = Client(connection.stream)
        await client.send("\r\n".join([*lines, "", ""]), raw)
        with trio.fail_after(PATIENCE):
            answer = await client.answer(method)
    assert answer.status == status, (method, target, answer)
    return answer


async def register(server: Address, name: str) -> Person:
    """Make an account."""
    body = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
    answer = await ask(server, "POST", "/register", body, status=201)
    return Person(answer.json["id"], name, token_of(answer))


async def create(server: Address, person: Person) -> None:
    """Open a room."""
    await ask(server, "POST", "/ws/createRoom", {"id": ROOM, "name": "Lobby"}, by=person)


async def crowd(server: Address, count: int) -> list[Person]:
    """Make accounts, and a room for them."""
    people = [await register(server, f"talker-{number}") for number in range(count)]
    await create(server, people[0])
    return people


async def messages(server: Address, person: Person) -> list[dict[str, Any]]:
    """Fetch all that was said in a room, page by page; ascending."""
    found: list[dict[str, Any]] = []
    target: str | None = f"/rooms/{ROOM}/messages?limit=100"
    while target is not None:
        answer = await ask(server, "GET", target, by=person)
        found += answer.json
        link = answer.headers.get("link")
        target = link and link.partition("<")[2].partition(">")[0]
    return found[::-1]


async def present(server: Address, person: Person) -> list[str]:
    """Say who is in the room."""
    found = (await ask(server, "GET", f"/ws/getClients/{ROOM}", by=person)).json
    return [each["username"] for each in found]


# --- talking --------------------------------------------------------------------------------


@attrs.define
class Talker:
    """A connection in a chat room, which keeps every message that it hears."""

    person: Person
    raw: Raw
    heard: list[bytes] = attrs.Factory(list)
    ended: bool = False

    async def say(self, *texts: str) -> None:
        await self.raw.send(*map(frame, texts))

    async def listen(self) -> bool:
        """Hear what has come, or the next that comes; tell whether the connection goes on."""
        frames = self.raw.frames_here()
        while not frames and not self.ended:
            self.ended = not await self.raw.read()
            frames = self.raw.frames_here()
        for opcode, payload in frames:
            if opcode == TEXT and payload.startswith(b'{"type":"message"'):
                self.heard.append(payload)
            elif opcode == CLOSE:
                await self.raw.try_to_send(close_frame(int.from_bytes(payload[:2], "big")))
                self.ended = True
        return not self.ended

    async def listen_until(self, count: int) -> None:
        """Hear messages, so many in all."""
        while len(self.heard) < count:
            assert await self.listen(), (self.person.name, len(self.heard))

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(payload) for payload in self.heard]


def joining(person: Person) -> bytes:
    """Make the request that enters the room."""
    return upgrade(f"/ws/joinRoom/{ROOM}", Authorization=f"Bearer {person.token}")


async def enter(server: Address, person: Person) -> Talker:
    return Talker(person, await open_websocket(server, joining(person)))


@asynccontextmanager
async def talking(server: Address, people: list[Person]) -> AsyncIterator[list[Talker]]:
    """Bring people into the room; all of them are there."""
    talkers: list[Talker] = []
    try:
        for person in people:
            talkers.append(await enter(server, person))  # noqa: PERF401 - to be closed if one fails
        with trio.fail_after(PATIENCE):
            while len(await present(server, people[0])) < len(people):  # noqa: ASYNC110
                await trio.sleep(0.02)
        yield talkers
    finally:
        for talker in talkers:
            talker.raw.close()


def same(told: dict[str, Any], kept: dict[str, Any]) -> bool:
    """Tell whether a message is kept as it was told."""
    return (
        told["seq"] == kept["seq"]
        and told["context"] == kept["text"]
        and told["username"] == kept["author"]
        and told["userid"] == kept["author_id"]
        and datetime.fromisoformat(told["at"]) == datetime.fromisoformat(kept["at"])
    )


def foreign(server: Address, person: Person) -> websocket:
    """Connect with a client that others have written."""
    return websocket(
        f"ws://{server.authority}/ws/joinRoom/{ROOM}",
        additional_headers={"Cookie": f"auth_token={person.token}"},
        proxy=None,
    )


async def hear(connection: ClientConnection) -> dict[str, Any]:
    with trio.fail_after(PATIENCE):
        found: dict[str, Any] = json.loads(await connection.recv())
    return found


# --- a day in the life ----------------------------------------------------------------------


async def test_people_register_open_a_room_talk_and_leave(url: str, tmp_path: Path) -> None:
    with running(tmp_path / "log", environ=settings(url)) as server:
        ada, bob = await register(server, "ada"), await register(server, "bob")
        await create(server, ada)
        login = {"email": "ada@example.com", "password": PASSWORD}
        second = attrs.evolve(ada, token=token_of(await ask(server, "POST", "/login", login)))
        async with foreign(server, ada) as first:
            joined = await hear(first)
            assert (joined["type"], joined["username"], joined["roomid"]) == ("join", "ada", ROOM)
            async with foreign(server, bob) as other, foreign(server, second) as tab:
                assert (await hear(first))["context"] == "bob has joined the room"
                assert (await hear(other))["username"] == "bob"
                await other.send("Tea? \N{TEACUP WITHOUT HANDLE}")
                for connection in (first, other, tab):
                    said = await hear(connection)
                    assert said["context"] == "Tea? \N{TEACUP WITHOUT HANDLE}"
                    assert (said["username"], said["userid"], said["seq"]) == ("bob", bob.id, 1)
                assert sorted(await present(server, ada)) == ["ada", "bob"]
                await ask(server, "POST", "/logout", by=second, status=202)
                with pytest.raises(ConnectionClosed) as closed:
                    await hear(tab)
                assert closed.value.rcvd is not None
                assert closed.value.rcvd.code == 1008
            assert (await hear(first))["context"] == "bob has left the room"
            await first.send("alone")
            assert (await hear(first))["seq"] == 2
        kept = await messages(server, bob)
        assert [(each["author"], each["text"]) for each in kept] == [
            ("bob", "Tea? \N{TEACUP WITHOUT HANDLE}"),
            ("ada", "alone"),
        ]
        await ask(server, "DELETE", f"/rooms/{ROOM}", by=ada, status=204)


# --- many at once ---------------------------------------------------------------------------


@pytest.mark.timeout(180)
async def test_all_hear_what_fifty_say_at_once_in_the_same_order(url: str, tmp_path: Path) -> None:
    total = TALKERS * EACH
    with launched(tmp_path / "log", environ=settings(url)) as server:
        people = await crowd(server, TALKERS)
        async with talking(server, people) as talkers:
            async with foreign(server, people[0]) as witness, trio.open_nursery() as nursery:
                seen: list[dict[str, Any]] = []

                async def watch() -> None:
                    while len(seen) < total:
                        found = await hear(witness)
                        if found["type"] == "message":
                            seen.append(found)

                nursery.start_soon(watch)
                for talker in talkers:
                    nursery.start_soon(talker.listen_until, total)
                for talker in talkers:
                    texts = [f"{talker.person.name} says {number}" for number in range(EACH)]
                    nursery.start_soon(talker.say, *texts)
            told = talkers[0].heard
            assert all(talker.heard == told for talker in talkers)
            events = talkers[0].events()
            assert seen == events
            assert [each["seq"] for each in events] == [*range(1, total + 1)]
            for person in people:
                assert [each["context"] for each in events if each["userid"] == person.id] == [
                    f"{person.name} says {number}" for number in range(EACH)
                ]
            kept = await messages(server, people[0])
            assert len(kept) == total
            assert all(map(same, events, kept))
        assert not server.trouble()
        server.process.kill()
        server.process.wait()
    with running(tmp_path / "log", environ=settings(url)) as server:
        assert await messages(server, people[0]) == kept


async def talk(talker: Talker, verb: str) -> None:
    """Say the next as soon as the last is heard, until the connection breaks."""
    for number in range(1_000_000):
        text = f"{talker.person.name} {verb} {number}"
        if not await talker.raw.try_to_send(frame(text)):
            break
        mine = f'"context":"{text}"'.encode()
        while not any(mine in payload for payload in talker.heard[-50:]):
            if not await talker.listen():
                return


def heard_so_many(talker: Talker, count: int) -> bool:
    return len(talker.heard) >= count


# --- kill -9 --------------------------------------------------------------------------------


@pytest.mark.timeout(180)
async def test_of_what_was_said_before_a_kill_no_message_is_missing_between_others(
    url: str, tmp_path: Path
) -> None:
    with launched(tmp_path / "log", environ=settings(url)) as server:
        people = await crowd(server, 10)
        async with talking(server, people) as talkers:
            async with trio.open_nursery() as nursery:
                for talker in talkers:
                    nursery.start_soon(talk, talker, "says")
                await wait_until(lambda: len(talkers[0].heard) >= 3000)
                server.process.kill()
            server.process.wait()
            longest = max((talker.events() for talker in talkers), key=len)
            for talker in talkers:
                assert talker.events() == longest[: len(talker.heard)]
    with running(tmp_path / "again", environ=settings(url)) as server:
        kept = await messages(server, people[0])
        assert [each["seq"] for each in kept] == [*range(1, len(kept) + 1)]
        # What was said last may be lost, or kept although nobody has heard it. How much depends on
        # how fast the database is: messages are committed behind, in the order of their numbers.
        assert all(map(same, longest, kept))
        assert kept
        # And it goes on, above every number that anybody has heard.
        again = await enter(server, people[0])
        async with again.raw:
            await again.listen_until(50)
            assert [each["seq"] for each in again.events()] == [each["seq"] for each in kept[-50:]]
            await again.say("back again")
            await again.listen_until(51)
            assert again.events()[-1]["seq"] > longest[-1]["seq"]


@pytest.mark.timeout(60 + 20 * KILLS)
async def test_no_number_is_seen_with_two_messages_however_often_the_server_is_killed(
    url: str, tmp_path: Path
) -> None:
    seen: dict[int, tuple[str, int]] = {}
    people: list[Person] = []
    for life in range(KILLS):
        with launched(tmp_path / f"log-{life}", environ=settings(url)) as server:
            people = people or await crowd(server, 4)
            async with talking(server, people) as talkers:
                async with trio.open_nursery() as nursery:
                    for talker in talkers:
                        nursery.start_soon(talk, talker, f"says in life {life}")
                    # Sometimes in the middle of the first write, sometimes after many.
                    enough = len(talkers[0].heard) + 3 + 61 * (life % 4)
                    await wait_until(partial(heard_so_many, talkers[0], enough))
                    server.process.kill()
                server.process.wait()
        for talker in talkers:
            for each in talker.events():
                what = (each["context"], each["userid"])
                assert seen.setdefault(each["seq"], what) == what, each["seq"]
    with running(tmp_path / "last", environ=settings(url)) as server:
        kept = await messages(server, people[0])
    for each in kept:
        what = (each["text"], each["author_id"])
        assert seen.get(each["seq"], what) == what, each["seq"]
    assert [each["seq"] for each in kept] == sorted(each["seq"] for each in kept)


async def test_a_stop_loses_nothing(url: str, tmp_path: Path) -> None:
    with launched(tmp_path / "log", environ=settings(url)) as server:
        people = await crowd(server, 3)
        async with talking(server, people) as talkers:
            for talker in talkers:
                await talker.say(*(f"{talker.person.name} {number}" for number in range(100)))
            await talkers[0].listen_until(1)
            server.send_signal(signal.SIGTERM)
            for talker in talkers:
                while await talker.listen():
                    pass
            events = max((talker.events() for talker in talkers), key=len)
            assert await trio.to_thread.run_sync(server.exit_code) == 0
        assert not server.trouble()
    with running(tmp_path / "again", environ=settings(url)) as server:
        kept = await messages(server, people[0])
        assert len(kept) >= len(events)
        assert all(map(same, events, kept))


# --- without a database ---------------------------------------------------------------------


async def health(server: Address) -> dict[str, Any]:
    found: dict[str, Any] = (await fetch(server, "/health")).json
    return found


async def wait_for_health(server: Address, **wanted: object) -> None:
    with trio.fail_after(PATIENCE):
        while not (await health(server)).items() >= wanted.items():  # noqa: ASYNC110
            await trio.sleep(0.05)


async def play(server: Address, ticket: str) -> None:
    """Estimate a ticket in a new room."""
    async with full_room(server, 2) as room:
        await room.admin.say("BEGIN_VOTING", ticket_id=ticket)
        for member in room.members:
            await member.wait_for("ASK_FOR_VOTE")
            await member.say("MEMBER_VOTED", ticket_id=ticket, vote="3")
        await room.admin.wait_for("REVEAL_VOTES_PROMPT")
        await room.admin.say("REVEAL_VOTES", ticket_id=ticket)
        for member in room.members:
            await member.wait_for("VOTES_REVEALED")


@pytest.mark.timeout(120)
async def test_rooms_go_on_while_the_database_is_away(tmp_path: Path) -> None:
    postgres = Postgres()
    try:
        environ = settings(postgres.create())
        with launched(tmp_path / "log", environ=environ) as server:
            people = await crowd(server, 3)
            async with talking(server, people) as talkers:
                spoken = 0

                async def chat(count: int) -> None:
                    nonlocal spoken
                    for number in range(count):
                        await talkers[number % 3].say(f"text {spoken + 1}")
                        spoken += 1
                        for talker in talkers:
                            await talker.listen_until(spoken)

                await chat(100)
                await trio.to_thread.run_sync(postgres.stop)
                await chat(100)
                await wait_for_health(server, status="degraded")
                await play(server, "T-1")
                await chat(100)
                for method, target in (
                    ("GET", "/ws/getRooms"),
                    ("GET", f"/rooms/{ROOM}/messages"),
                    ("POST", "/logout"),
                    ("DELETE", f"/rooms/{ROOM}"),
                ):
                    failed = await ask(server, method, target, by=people[0], status=503)
                    assert int(failed.headers["retry-after"]) > 0
                    assert failed.json["error"]
                async with await connect(server) as raw:
                    await raw.send(joining(people[0]))
                    answer = await raw.answer()
                    assert answer.status == 503
                    assert int(answer.headers["retry-after"]) > 0
                # Who is in the room goes on in it, and leaves it.
                await chat(100)
                assert (await health(server))["backlog"] > 0
                await trio.to_thread.run_sync(postgres.start)
                await wait_for_health(server, status="ok", backlog=0)
                await chat(100)
                kept = await messages(server, people[0])
                assert len(kept) == spoken == 500
                events = talkers[0].events()
                assert all(map(same, events, kept))
                assert all(talker.heard == talkers[0].heard for talker in talkers)
                await play(server, "T-2")
                late = await enter(server, people[1])
                async with late.raw:
                    await late.listen_until(50)
                    assert late.events() == events[-50:]
            server.send_signal(signal.SIGTERM)
            assert await trio.to_thread.run_sync(server.exit_code) == 0
        assert "Traceback" not in server.log.read_text()
    finally:
        postgres.close()
