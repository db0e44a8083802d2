"""Results ticket by ticket: while the room lives, while it rests, and after its end."""

import csv
import io
from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest
import trio

from protocol.dialects.parley_v1 import PARLEY_V1
from protocol.ids import MemberId, RoomId, TicketNumber
from protocol.lasting import (
    AddTicket,
    BeginRound,
    CastCard,
    ImportTickets,
    Join,
    Numbered,
    RemoveTicket,
    Request,
    RevealRound,
)
from protocol.messages import TicketId, TicketResult, Vote
from protocol.ticket import Draft, Ticket, TicketDescription, TicketKey, TicketTitle
from server.http.tickets import NO_NUMBER, arrange
from server.rooms.room import Room
from server.store.database import Database
from tests.server.http.whole import WholeWorld, whole_world
from tests.server.http.world import ON_SQLITE
from tests.server.http_client import Answer
from tests.server.links import FakeLink

ANN = MemberId("id-Ann")


def n(number: int) -> TicketNumber:
    return TicketNumber(number)


@attrs.define
class Site:
    """A room in which Ann has estimated."""

    world: WholeWorld
    made: dict[str, Any]
    room: Room[Any]
    ref: int = 0
    round: int = 0

    async def ask(self, *requests: Request) -> None:
        for request in requests:
            self.ref += 1
            self.room.inbox.put(ANN, Numbered(self.ref, request))
            self.room.inbox.settle()
            await trio.testing.wait_all_tasks_blocked()

    async def play(self, begin: BeginRound, card: str) -> None:
        self.round += 1
        await self.ask(begin, CastCard(self.round, card), RevealRound(self.round))

    async def results(self, format: str = "json", **other: str) -> Answer:  # noqa: A002
        key = other.get("key", self.made["results"].partition("key=")[2])
        path = f"/v1/rooms/{self.made['id']}/results?format={format}&key={key}"
        return await self.world.ask("GET", path)


@pytest.fixture
async def site(database: Database) -> AsyncIterator[Site]:
    async with whole_world(database) as world:
        made = (await world.ask("POST", "/v1/rooms", {"capacity": 4})).json
        room = world.lasting.find(RoomId(made["id"]))
        assert room is not None
        link = FakeLink("Ann", entry=Join(name="Ann", owner=True), inbox=room.inbox)
        assert room.join(link.id, PARLEY_V1, link, None)
        found = Site(world, made, room)
        await trio.testing.wait_all_tasks_blocked()
        title = TicketTitle("=Pay by card")
        describe = TicketDescription("As a\n### Round 1\ncustomer")
        await found.ask(
            AddTicket(title=title, key=TicketKey("SHOP-1"), description=describe),
            AddTicket(title=TicketTitle("Refund")),
            AddTicket(title=TicketTitle("Gone")),
        )
        await found.play(BeginRound(ticket_id=n(1)), "5")
        await found.play(BeginRound(TicketId("typed")), "8")
        await found.play(BeginRound(ticket_id=n(3)), "1")
        await found.play(BeginRound(ticket_id=n(1)), "3")
        await found.ask(RemoveTicket(n(3)))
        yield found


def seen(answer: Answer) -> list[tuple[int, str, list[tuple[int, str]]]]:
    assert answer.status == 200, answer
    return [
        (
            each["ticket"]["id"],
            each["ticket"]["title"],
            [(round_["number"], round_["votes"][0]["card"]) for round_ in each["rounds"]],
        )
        for each in answer.json["tickets"]
    ]


EXPECTED = [
    (1, "=Pay by card", [(1, "5"), (4, "3")]),
    (2, "Refund", []),
    (0, "typed", [(2, "8")]),
    (3, "Gone", [(3, "1")]),
]


@ON_SQLITE
async def test_each_ticket_has_its_rounds_and_what_else_was_voted_on_comes_behind(
    site: Site,
) -> None:
    answer = await site.results()

    assert seen(answer) == EXPECTED
    first = answer.json["tickets"][0]
    assert first["ticket"]["description"].startswith("As a\n")
    assert first["rounds"][0]["figures"]["mean"] == 5.0
    assert first["rounds"][0]["votes"] == [{"name": "Ann", "card": "5", "comment": ""}]
    assert (answer.json["closed_at"], answer.json["missing"]) == (None, 0)


@ON_SQLITE
async def test_they_are_kept_when_the_room_has_ended(site: Site) -> None:
    before = (await site.results()).json["tickets"]
    path = f"/v1/rooms/{site.room.id}"
    ended = await site.world.ask("DELETE", path, token=site.made["owner_key"])
    assert ended.status == 204
    assert site.world.lasting.find(site.room.id) is None

    answer = await site.results()

    assert seen(answer) == EXPECTED
    assert answer.json["tickets"] == before
    assert answer.json["closed_at"] is not None


@ON_SQLITE
async def test_they_are_read_of_a_room_that_rests(site: Site) -> None:
    world = site.world
    journal = world.lasting.journal(site.room.id)
    assert journal is not None
    world.hub.drain("restart")
    world.lasting.park_all("restart")
    await trio.testing.wait_all_tasks_blocked()
    await journal.flushed()
    assert world.hub.find(site.room.id) is None

    resting = await site.results()

    assert seen(resting) == EXPECTED
    assert resting.json["closed_at"] is None


@ON_SQLITE
async def test_csv_has_a_row_for_each_vote_and_for_each_ticket_without(site: Site) -> None:
    answer = await site.results("csv")

    rows = list(csv.DictReader(io.StringIO(answer.body.decode())))
    assert answer.headers["content-type"].startswith("text/csv")
    assert "tickets.csv" in answer.headers["content-disposition"]
    head = list(rows[0])
    assert [(row[head[0]], row[head[1]]) for row in rows] == [
        ("1", "'=Pay by card"),
        ("1", "'=Pay by card"),
        ("2", "Refund"),
        ("0", "typed"),
        ("3", "Gone"),
    ]
    described = [row for row in rows if "As a" in "".join(row.values())]
    assert described == [rows[0]]


@ON_SQLITE
async def test_markdown_has_a_table_and_a_section_for_each_ticket(site: Site) -> None:
    answer = await site.results("markdown")

    text = answer.body.decode()
    assert answer.headers["content-type"] == "text/markdown; charset=utf-8"
    assert text.startswith("| # | Key | Ticket |")
    assert text.count("\n## ") == 3
    rounds = [line for line in text.splitlines() if line.startswith("### Round")]
    assert rounds == ["### Round 1", *(f"### Round {each}" for each in (1, 4, 2, 3))]


@ON_SQLITE
async def test_who_has_no_key_finds_nothing_and_other_forms_are_named(site: Site) -> None:
    assert (await site.results(key="wrong")).status == 404
    unknown = await site.results("xml")
    assert (unknown.status, unknown.json["field"]) == (400, "format")


@ON_SQLITE
async def test_the_results_by_rounds_are_as_before(site: Site) -> None:
    answer = await site.world.ask("GET", site.made["results"])

    assert [each["ticket_id"] for each in answer.json["tickets"]] == [
        *("SHOP-1", "typed", "Gone", "SHOP-1"),
    ]


@ON_SQLITE
async def test_a_long_list_comes_in_slices(site: Site) -> None:
    drafts = tuple(Draft(title=f"T{number}", description="D" * 100) for number in range(500))
    site.room.inbox.put(ANN, ImportTickets("claim", drafts))
    site.room.inbox.settle()
    await trio.testing.wait_all_tasks_blocked()

    answer = await site.results()

    assert len(answer.json["tickets"]) == len(EXPECTED) + 500
    assert "content-length" not in answer.headers


def test_rounds_find_their_tickets() -> None:
    one, two = Ticket(id=n(1), title="A"), Ticket(id=n(2), title="B")

    def about(text: str, ticket: TicketNumber | None) -> TicketResult:
        return TicketResult(TicketId(text), (Vote(ANN, "Ann", "5"),), 1.5, ticket=ticket)

    entries = arrange(
        [two, one],
        [
            (0, about("A", n(1))),
            (1, about("A", None)),
            (3, about("A", n(1))),
            (4, about("X", n(9))),
            (5, about("A", None)),
        ],
    )

    assert [(each.ticket.id, each.ticket.title, each.numbers) for each in entries] == [
        (2, "B", ()),
        (1, "A", (0, 3)),
        (NO_NUMBER, "A", (1, 5)),
        (9, "X", (4,)),
    ]
    assert entries[1].seconds == (1.5, 1.5)
