"""A room's results over HTTP: both forms, the key, and answers of any length to any reader."""

import csv
import io
import json
from typing import Any

import attrs
import pytest
import trio
import trio.testing
from litestar.serialization import decode_json
from structlog.testing import capture_logs

from protocol.deck import DECKS, Deck
from protocol.ids import MemberId, RoomId
from protocol.messages import TicketId, TicketResult, Vote
from server.http.report import RoomReport
from server.http.routes.results import LARGE
from server.http.serve import HttpServer
from server.http.slices import RETRY_SECONDS, WHOLE_BYTES
from server.store.recording import Page, RoomResults
from server.support.errors import StoreUnavailable
from server.support.limits import Limits
from tests.server.http_client import Answer, Client, connect, make_server
from tests.server.memory_results import PAGE_ROUNDS, MemoryRecord, MemoryResults

ROOM = RoomId("a1B2c3")
NOT_FOUND = {"error": "no results are kept of a room with this id and key"}
LONG = 400
"""Rounds of three votes whose answer in either form is long."""


def vote(number: int, name: str, value: str) -> Vote:
    return Vote(MemberId(f"m{number}"), name, value)


@pytest.fixture
def store() -> MemoryResults:
    store = MemoryResults()
    votes = (vote(1, "Ada", "3"), vote(2, "Bob", "5"), vote(3, "Cy", "5"), vote(4, "Di", "?"))
    room = store.open(ROOM, 1_000_000_000.1234)
    room.record(ROOM, TicketResult(TicketId("T-1"), votes, 12.34567))
    return store


def fill(room: MemoryRecord, rounds: int) -> None:
    for number in range(rounds):
        votes = tuple(vote(n, name, "8") for n, name in enumerate(("Ada", "Bob", "Cy")))
        room.record(ROOM, TicketResult(TicketId(f"T-{number}"), votes, 1.0))


@pytest.fixture
def long(store: MemoryResults) -> MemoryResults:
    """A room whose results do not fit into one slice."""
    fill(store.records[0], LONG)
    return store


def path(key: str | None = "key1", **more: str) -> str:
    query = ([] if key is None else [f"key={key}"]) + [f"{k}={v}" for k, v in more.items()]
    return f"/rooms/{ROOM}/results?{'&'.join(query)}"


async def ask(server: HttpServer, target: str) -> Answer:
    async with trio.open_nursery() as nursery:
        client = connect(nursery, server)
        answer = await client.ask(target, head="Connection: close\r\n")
        assert await client.ended() == b""
    return answer


# --- both forms -----------------------------------------------------------------------------


async def test_results_of_a_live_room_have_votes_and_figures(store: MemoryResults) -> None:
    answer = await ask(make_server(store), path())

    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json == {
        "room_id": ROOM,
        "opened_at": "2001-09-09T01:46:40.123000Z",
        "closed_at": None,
        "expires_at": None,
        "forgotten": 0,
        "missing": 0,
        "tickets": [
            {
                "ticket_id": "T-1",
                "seconds": 12.346,
                "deck_id": "classic",
                "votes": [
                    {"member_id": "m1", "name": "Ada", "value": "3", "changed": False},
                    {"member_id": "m2", "name": "Bob", "value": "5", "changed": False},
                    {"member_id": "m3", "name": "Cy", "value": "5", "changed": False},
                    {"member_id": "m4", "name": "Di", "value": "?", "changed": False},
                ],
                "count": 3,
                "mean": pytest.approx(13 / 3),
                "median": 5.0,
                "median_card": None,
                "mode": 5.0,
                "modes": [5.0],
                "mode_cards": [],
                "min": 3.0,
                "max": 5.0,
                "spread": 2.0,
                "standard_deviation": pytest.approx((8 / 9) ** 0.5),
                "agreement": 2 / 3,
                "consensus": False,
                "suggestion": {"card": "5", "rule": "mode"},
                "estimate": None,
            }
        ],
    }


async def test_results_of_t_shirts_are_by_position_and_points_of_ones_own_count() -> None:
    store = MemoryResults()
    room = store.open(ROOM, 1.0)
    votes = (vote(1, "Ada", "S"), vote(2, "Bob", "XL"), vote(3, "Cy", "?"))
    for deck in (DECKS["tshirt"], Deck(["S", "XL", "?"], {"S": 1.0, "XL": 8.0})):
        room.record(ROOM, TicketResult(TicketId("T"), votes, 1.0, deck))

    shirts, points = (await ask(make_server(store), path())).json["tickets"]

    assert (shirts["deck_id"], shirts["median_card"], shirts["median"]) == ("tshirt", "XL", None)
    assert (shirts["mode_cards"], shirts["mean"], shirts["count"]) == (["S", "XL"], None, 2)
    assert shirts["suggestion"] == {"card": "XL", "rule": "median"}
    assert (points["deck_id"], points["median_card"], points["median"]) == ("custom", None, 4.5)
    assert points["suggestion"] == {"card": "XL", "rule": "median"}


@pytest.mark.parametrize(("days", "expires"), [(2.5, "2001-09-11T13:47:40Z"), (0, None)])
async def test_results_of_an_ended_room_say_when_it_ended_and_until_when_they_are_kept(
    store: MemoryResults, days: float, expires: str | None
) -> None:
    store.records[0].close(ROOM, 1_000_000_060)

    server = make_server(store, limits=Limits(results_days=days))
    answer = await ask(server, path(format="json"))

    assert answer.json["closed_at"] == "2001-09-09T01:47:40Z"
    assert answer.json["expires_at"] == expires


@pytest.mark.parametrize("rounds", [0, 1, PAGE_ROUNDS, PAGE_ROUNDS + 1, LONG])
async def test_slices_of_any_number_add_up_to_the_documented_report(rounds: int) -> None:
    store = MemoryResults()
    fill(store.open(ROOM, 1.0), rounds)
    server = make_server(store)

    answer = await ask(server, path())
    rows = await ask(server, path(format="csv"))

    # Strictly of the documented type, and nothing besides.
    report = decode_json(answer.body, target_type=RoomReport)
    assert set(answer.json) == {field.name for field in attrs.fields(RoomReport)}
    assert [ticket.ticket_id for ticket in report.tickets] == [f"T-{n}" for n in range(rounds)]
    table = list(csv.DictReader(io.StringIO(rows.body.decode(), newline="")))
    assert [(row["round"], row["ticket_id"]) for row in table] == [
        (str(n + 1), f"T-{n}") for n in range(rounds) for _ in range(3)
    ]
    for each in (answer, rows):
        assert ("content-length" in each.headers) == (len(each.body) <= WHOLE_BYTES)


async def test_an_unknown_format_is_400_and_names_the_field(store: MemoryResults) -> None:
    answer = await ask(make_server(store), path(format="xml"))

    assert answer.status == 400
    assert answer.json == {"error": "format must be json or csv", "field": "format"}


async def test_results_as_csv_come_as_a_file(store: MemoryResults) -> None:
    answer = await ask(make_server(store), path(format="csv"))

    assert answer.status == 200
    assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    assert answer.headers["content-disposition"] == f'attachment; filename="parley-{ROOM}.csv"'
    assert answer.headers["cache-control"] == "no-store"
    rows = list(csv.DictReader(io.StringIO(answer.body.decode(), newline="")))
    assert [row["name"] for row in rows] == ["Ada", "Bob", "Cy", "Di"]
    assert {row["median"] for row in rows} == {"5.0"}


async def test_a_large_round_is_the_same_though_written_in_a_thread() -> None:
    store = MemoryResults()
    votes = tuple(vote(n, "x", "8") for n in range(LARGE))
    store.open(ROOM, 0).record(ROOM, TicketResult(TicketId("T"), votes, 1.0))

    answer = await ask(make_server(store), path())

    assert len(answer.json["tickets"][0]["votes"]) == LARGE
    assert answer.json["tickets"][0]["consensus"] is True


# --- the key --------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [None, "", "key", "key2", "KEY1", "%FF", "key1&key=key2"])
async def test_a_wrong_key_is_answered_like_a_room_that_never_was(
    key: str | None, store: MemoryResults
) -> None:
    server = make_server(store)

    wrong = await ask(server, path(key))
    unknown = await ask(server, path(key).replace(ROOM, "nobody"))

    assert (wrong.status, wrong.json) == (unknown.status, unknown.json) == (404, NOT_FOUND)
    assert set(wrong.headers) == set(unknown.headers)


async def test_a_later_room_of_the_same_id_has_another_key(store: MemoryResults) -> None:
    store.open(ROOM, 5.0)
    server = make_server(store)

    first, second = await ask(server, path("key1")), await ask(server, path("key2"))

    assert len(first.json["tickets"]) == 1
    assert second.json["tickets"] == []


async def test_look_ups_that_fail_are_limited_and_those_with_a_key_are_not(
    store: MemoryResults, autojump_clock: trio.testing.MockClock
) -> None:
    server = make_server(store, limits=Limits(lookup_limit=3))

    statuses = [(await ask(server, path("wrong"))).status for _ in range(5)]
    refused = await ask(server, path(None))

    assert statuses == [404, 404, 404, 429, 429]
    assert refused.status == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 20
    assert (await ask(server, path())).status == 200
    await trio.sleep(20)
    assert (await ask(server, path("wrong"))).status == 404


async def test_without_a_limit_any_number_may_fail(store: MemoryResults) -> None:
    server = make_server(store, limits=Limits(lookup_limit=0))

    assert {(await ask(server, path("wrong"))).status for _ in range(100)} == {404}


async def test_rooms_without_a_key_are_found_but_no_faster_than_they_can_be_guessed(
    store: MemoryResults,
) -> None:
    record = store.records[0]
    record.session = attrs.evolve(record.session, key=None)
    server = make_server(store, limits=Limits(lookup_limit=2))

    statuses = [(await ask(server, path(None))).status for _ in range(3)]

    assert statuses == [200, 200, 429]


# --- while the database is gone -------------------------------------------------------------


class Fragile(MemoryResults):
    """Fails at a chosen round; of a live room it tells what is missing instead."""

    fails_at = 0
    lives = False

    async def page(self, found: RoomResults, start: int) -> Page:
        page = await super().page(found, start)
        if start < self.fails_at:
            return page
        if self.lives:
            return attrs.evolve(page, rounds=(), missing=page.next - start)
        raise StoreUnavailable("gone")


def fragile(fails_at: int, *, lives: bool, rounds: int = LONG) -> Fragile:
    store = Fragile()
    store.fails_at, store.lives = fails_at, lives
    fill(store.open(ROOM, 1.0), rounds)
    return store


async def test_what_is_missing_of_a_live_room_is_said() -> None:
    server = make_server(fragile(PAGE_ROUNDS, lives=True, rounds=PAGE_ROUNDS + 2))

    answer = await ask(server, path())
    rows = await ask(server, path(format="csv"))

    assert answer.status == 200
    assert len(answer.json["tickets"]) == PAGE_ROUNDS
    assert (answer.json["missing"], answer.json["forgotten"]) == (2, 0)
    # Rows have no place to say it.
    assert rows.status == 503
    assert int(rows.headers["retry-after"]) > 0


@pytest.mark.parametrize("form", ["json", "csv"])
async def test_an_answer_that_has_not_begun_is_503(form: str) -> None:
    answer = await ask(make_server(fragile(0, lives=False)), path(format=form))

    assert answer.status == 503
    assert set(answer.json) == {"error"}


@pytest.mark.parametrize("form", ["json", "csv"])
async def test_an_answer_that_cannot_be_finished_is_broken_off_so_that_it_shows(form: str) -> None:
    server = make_server(fragile(LONG - PAGE_ROUNDS, lives=False))
    with capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            client = connect(nursery, server)
            await client.send(f"GET {path(format=form)} HTTP/1.1\r\nHost: t\r\n\r\n")
            whole = await client.ended()

    assert whole.startswith(b"HTTP/1.1 200 ")
    assert b"T-0" in whole
    assert not whole.endswith(b"0\r\n\r\n")  # the last chunk
    assert "an answer is broken off" in [entry["event"] for entry in logs]
    assert [entry for entry in logs if entry["log_level"] == "error"] == []


# --- long answers and slow readers ----------------------------------------------------------


class Counting(MemoryResults):
    """Counts the pages that were read."""

    pages = 0

    async def page(self, found: RoomResults, start: int) -> Page:
        self.pages += 1
        return await super().page(found, start)


async def request(nursery: trio.Nursery, server: HttpServer, target: str) -> Client:
    """Ask, and read nothing: in lockstep, the server is stuck in its first write."""
    client = connect(nursery, server, lockstep=True)
    await client.send(f"GET {target} HTTP/1.1\r\nHost: t\r\n\r\n")
    await trio.testing.wait_all_tasks_blocked()
    return client


@pytest.mark.parametrize("form", ["json", "csv"])
async def test_of_a_long_answer_no_more_is_made_than_the_reader_takes(
    form: str, autojump_clock: trio.testing.MockClock
) -> None:
    store = Counting()
    fill(store.open(ROOM, 1.0), 10 * LONG)
    server = make_server(store)
    whole = await ask(server, path(format=form))
    pages, store.pages = store.pages, 0
    async with trio.open_nursery() as nursery:
        client = await request(nursery, server, path(format=form))
        begun = store.pages
        assert begun * len(whole.body) / pages < 2 * WHOLE_BYTES
        answer = await client.answer()
        assert (answer.status, answer.body) == (200, whole.body)
        assert store.pages == pages > 5 * begun
        nursery.cancel_scope.cancel()


async def test_few_long_answers_are_sent_at_once_to_one_address(
    long: MemoryResults, autojump_clock: trio.testing.MockClock
) -> None:
    server = make_server(long, limits=Limits(long_answers_per_address=2))
    async with trio.open_nursery() as nursery:
        slow = [await request(nursery, server, path()) for _ in range(2)]

        refused = await ask(server, path())
        assert refused.status == 429
        assert refused.headers["retry-after"] == str(RETRY_SECONDS)
        long.open(ROOM, 2.0)
        assert (await ask(server, path("key2"))).status == 200  # a short one

        for client in slow:
            assert len((await client.answer()).json["tickets"]) == LONG + 1
        assert (await ask(server, path())).status == 200
        nursery.cancel_scope.cancel()


async def test_few_long_answers_are_sent_at_once_in_all(
    long: MemoryResults, autojump_clock: trio.testing.MockClock
) -> None:
    server = make_server(long, limits=Limits(long_answers=1))
    async with trio.open_nursery() as nursery:
        await request(nursery, server, path())
        with capture_logs() as logs:
            refused = await ask(server, path())
        assert refused.status == 503
        assert refused.headers["retry-after"] == str(RETRY_SECONDS)
        assert "long answers" in refused.json["error"]
        assert [entry for entry in logs if entry["log_level"] == "error"] == []

        await trio.sleep(Limits().write_seconds + 1)  # whoever does not read is given up
        assert (await ask(server, path())).status == 200
        nursery.cancel_scope.cancel()


async def test_a_reader_that_leaves_gives_its_place_back(
    long: MemoryResults, autojump_clock: trio.testing.MockClock
) -> None:
    server = make_server(long, limits=Limits(long_answers=1))
    async with trio.open_nursery() as nursery:
        client = await request(nursery, server, path())
        await trio.aclose_forcefully(client.stream)
        await trio.testing.wait_all_tasks_blocked()
        assert (await ask(server, path())).status == 200
        nursery.cancel_scope.cancel()


class Busy(MemoryResults):
    """Takes its time, and counts how many read at once what is not the beginning."""

    inside = most = 0

    async def page(self, found: RoomResults, start: int) -> Page:
        late = start > found.rounds * 3 // 4
        self.inside += late
        self.most = max(self.most, self.inside)
        await trio.sleep(0.01)
        self.inside -= late
        return await super().page(found, start)


async def test_two_slices_are_made_at_once_however_many_answers_are_sent(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store = Busy()
    fill(store.open(ROOM, 1.0), LONG)
    server = make_server(store, limits=Limits(long_answers_per_address=9))

    async def read() -> None:
        assert len((await ask(server, path())).json["tickets"]) == LONG

    async with trio.open_nursery() as nursery:
        for _ in range(9):
            nursery.start_soon(read)

    assert store.most == 2


async def test_head_has_the_headers_of_a_long_answer_and_no_body(long: MemoryResults) -> None:
    async with trio.open_nursery() as nursery:
        client = connect(nursery, make_server(long))
        answer: Any = await client.ask(path(), "HEAD", head="Connection: close\r\n")
        assert await client.ended() == b""

    assert (answer.status, answer.body) == (200, b"")
    assert json.dumps(answer.headers).count("content-length") == 0
