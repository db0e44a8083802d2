"""Tickets that are imported over HTTP: by whom, of what form, how much, and what comes of it."""

from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest
import trio

from protocol.dialects.parley_v1 import PARLEY_V1
from protocol.ids import MemberId, RoomId
from protocol.lasting import Configure, Detach, Join, Numbered
from protocol.limits import IMPORT_BYTES
from protocol.messages import Command
from protocol.options import Who
from protocol.picture import Picture
from server.rooms import imports
from server.rooms.inbox import Inbox
from server.rooms.room import Room
from server.store import logbook
from server.store.database import Database
from tests.server.http.whole import WholeWorld, whole_world
from tests.server.http.world import ON_SQLITE
from tests.server.http_client import Answer
from tests.server.links import FakeLink

pytestmark = ON_SQLITE

ANN, BOB = MemberId("id-Ann"), MemberId("id-Bob")
FILE = "Issue key,Summary,Description\nSHOP-1,Pay by card,As a customer\nSHOP-2,Refund,\n"


@attrs.frozen
class Site:
    """A room with Ann, who owns it, and Bob."""

    world: WholeWorld
    made: dict[str, Any]
    room: Room[Any]

    @property
    def id(self) -> RoomId:
        return RoomId(self.made["id"])

    @property
    def picture(self) -> Picture:
        assert self.room.lasting is not None
        assert self.room.lasting.picture is not None
        return self.room.lasting.picture()

    @property
    def titles(self) -> list[str]:
        return [each.title for each in self.picture.backlog]

    def token(self, member: MemberId) -> str:
        assert self.room.lasting is not None
        return self.world.keys.token(self.room.lasting.session_id, member)

    async def say(self, member: MemberId, command: Command) -> None:
        self.room.inbox.put(member, command)
        self.room.inbox.settle()
        await trio.testing.wait_all_tasks_blocked()

    async def bring(
        self,
        body: str | bytes = FILE,
        *,
        query: str = "",
        kind: str = "text/csv",
        token: str | None = None,
        room_id: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        raw = body if isinstance(body, bytes) else body.encode()
        path = f"/v1/rooms/{room_id or self.id}/tickets/import{query}"
        fields = {"Content-Type": kind} | (headers or {})
        return await self.world.ask(
            "POST", path, raw, token=self.token(ANN) if token is None else token, headers=fields
        )


@pytest.fixture
async def site(database: Database) -> AsyncIterator[Site]:
    async with whole_world(database) as world:
        made = (await world.ask("POST", "/v1/rooms", {"capacity": 4})).json
        room = world.lasting.find(RoomId(made["id"]))
        assert room is not None
        found = Site(world, made, room)
        for name, owner in (("Ann", True), ("Bob", False)):
            entry = Join(name=name, owner=owner)
            link = FakeLink(name, entry=entry, inbox=room.inbox)
            assert room.join(link.id, PARLEY_V1, link, None)
            await trio.testing.wait_all_tasks_blocked()
        yield found


# --- what comes of it -----------------------------------------------------------------------


async def test_a_file_is_imported_and_on_record(site: Site) -> None:
    answer = await site.bring()

    assert answer.status == 200, answer
    assert answer.json["imported"] == 2
    assert answer.json["format"] == "jira"
    assert [each["key"] for each in answer.json["tickets"]] == ["SHOP-1", "SHOP-2"]
    assert [each["described"] for each in answer.json["tickets"]] == [True, False]
    assert answer.json["refused"] == []
    assert site.titles == ["Pay by card", "Refund"]
    assert site.picture.undo is not None
    assert (site.picture.undo.deed, site.picture.undo.by) == ("import", "Ann")
    [session] = await site.world.database.run(logbook.parked)
    stored = await site.world.database.run(lambda conn: logbook.load(conn, session_id=session.id))
    assert stored is not None
    assert b"Pay by card" in b"".join([stored.snapshot or b"", *(row for _, row in stored.rows)])


async def test_a_dry_run_tells_the_same_and_changes_nothing(site: Site) -> None:
    before = site.picture

    dry = (await site.bring(query="?dry_run=true")).json

    assert site.picture == before
    assert dry.pop("imported") == 0
    wet = (await site.bring()).json
    assert wet.pop("imported") == 2
    assert dry == wet


async def test_a_pasted_list_is_imported(site: Site) -> None:
    text = "- SHOP-7 Pay by card\r\n\r\n- [SHOP-8](https://example.org/8) Refund\n"

    answer = await site.bring(text, kind="text/plain; charset=utf-8")

    assert (answer.json["format"], answer.json["imported"]) == ("list", 2)
    assert [each.key for each in site.picture.backlog][:1] == ["SHOP-7"]
    assert site.titles[0] == "Pay by card"


async def test_lines_that_are_refused_are_told_with_the_reason(site: Site) -> None:
    await site.bring()
    more = FILE + "SHOP-3,Ship,\nSHOP-4,,\n"

    answer = (await site.bring(more)).json

    assert answer["imported"] == 1
    assert [(each["line"], each["column"]) for each in answer["refused"]] == [
        (2, 1),
        (3, 1),
        (5, 2),
    ]
    assert answer["refused"][0]["why"] == "key SHOP-1 is already in the backlog"
    assert site.titles == ["Pay by card", "Refund", "Ship"]


async def test_a_file_of_nothing_but_what_is_known_changes_nothing(site: Site) -> None:
    await site.bring()
    before = site.picture

    answer = await site.bring()

    assert (answer.status, answer.json["imported"], len(answer.json["refused"])) == (200, 0, 2)
    assert site.picture == before


async def test_columns_can_be_mapped(site: Site) -> None:
    mapping = "%7B%22title%22:2,%22key%22:1%7D"

    answer = await site.bring("A-1,one\nA-2,two\n", query=f"?mapping={mapping}&header=false")

    assert answer.json["imported"] == 2
    assert site.titles == ["one", "two"]


async def test_a_full_file_has_its_place_and_a_long_answer(site: Site) -> None:
    lines = "".join(f"T-{number},title {number}\n" for number in range(2000))

    answer = await site.bring("key,title\n" + lines)

    assert answer.status == 200
    assert answer.json["imported"] == len(site.titles) == 2000
    assert len(answer.body) > 64 * 1024


async def test_one_that_does_not_fit_is_refused_as_a_whole(site: Site) -> None:
    await site.bring("title\none\n")
    lines = "".join(f"title {number}\n" for number in range(2000))

    answer = await site.bring("title\n" + lines)

    assert answer.status == 409
    assert "2000" in answer.json["error"]
    assert site.titles == ["one"]


@pytest.mark.parametrize(("extra", "status"), [(0, 200), (1, 413)])
async def test_a_body_has_a_bound_of_its_own(site: Site, extra: int, status: int) -> None:
    body = b"T" + b"\n" * (IMPORT_BYTES - 1 + extra)

    answer = await site.bring(body, kind="text/plain")

    assert (answer.status, site.titles) == (status, ["T"] if status == 200 else [])


# --- by whom --------------------------------------------------------------------------------


async def test_the_owner_key_is_enough_without_being_there(site: Site) -> None:
    answer = await site.bring(token=site.made["owner_key"])

    assert answer.json["imported"] == 2
    assert site.picture.undo is not None
    assert site.picture.undo.by == ""


async def test_others_bring_tickets_where_the_backlog_is_left_to_all(site: Site) -> None:
    refused = await site.bring(token=site.token(BOB))
    assert (refused.status, site.titles) == (403, [])
    await site.say(ANN, Numbered(1, Configure(backlog_by=Who.ALL)))

    assert (await site.bring(token=site.token(BOB))).status == 200


async def test_members_must_be_connected(site: Site) -> None:
    await site.say(ANN, Detach())

    away = await site.bring()
    stranger = await site.bring(token=site.token(MemberId("0c" * 8)))

    assert (away.status, stranger.status, site.titles) == (409, 409, [])


async def test_nobody_else_brings_anything(site: Site) -> None:
    wrong = await site.bring(token="wrong")
    nobody = await site.world.ask(
        "POST",
        f"/v1/rooms/{site.id}/tickets/import",
        FILE.encode(),
        headers={"Content-Type": "text/csv"},
    )
    elsewhere = await site.bring(room_id="zzzzzz")

    assert (wrong.status, nobody.status, elsewhere.status) == (403, 401, 404)
    assert site.titles == []


async def test_guesses_are_counted(database: Database) -> None:
    async with whole_world(database, lookup_limit=2) as world:
        site = Site(world, {"id": "zzzzzz"}, None)  # type: ignore[arg-type]
        statuses = [(await site.bring(token="x")).status for _ in range(4)]

    assert statuses[-1] == 429


# --- of what form ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "kind", "query", "status", "field"),
    [
        (FILE, "application/json", "", 415, None),
        (FILE, "", "", 415, None),
        (b"PK\x03\x04 a zip", "text/csv", "", 422, None),
        (b"a,b\n\xff\xfe\xfd,\xfa\n", "text/plain", "", 422, None),
        ("", "text/csv", "", 422, None),
        ("\n \n", "text/plain", "", 422, None),
        (FILE, "text/csv", "?mapping=x", 400, "mapping"),
        (FILE, "text/csv", "?mapping=[]", 400, "mapping"),
        (FILE, "text/csv", "?mapping=%7B%22title%22:%22None%22%7D", 422, "mapping.title"),
        (FILE, "text/plain", "?mapping=%7B%7D", 400, "mapping"),
        (FILE, "text/csv", "?dry_run=perhaps", 400, "dry_run"),
    ],
)
async def test_what_is_wrong_is_told(
    site: Site, body: str | bytes, kind: str, query: str, status: int, field: str | None
) -> None:
    answer = await site.bring(body, kind=kind, query=query)

    assert (answer.status, answer.json.get("field")) == (status, field), answer
    assert site.titles == []


async def test_two_imports_of_one_room_are_not_done_at_once(site: Site) -> None:
    answers: list[Answer] = []

    async def bring() -> None:
        answers.append(await site.bring())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(bring)
        nursery.start_soon(bring)

    assert len(site.titles) == 2
    assert {each.status for each in answers} <= {200, 409}


async def test_a_room_that_does_not_answer_in_time_is_told_of(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "ANSWER_SECONDS", 0)
    monkeypatch.setattr(site.room, "inbox", Inbox(8))  # of which the room hears nothing

    answer = await site.bring()

    assert answer.status == 503
    assert int(answer.headers["retry-after"]) > 0
    assert site.room.outcomes == {}
