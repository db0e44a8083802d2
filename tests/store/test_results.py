"""Results of rooms that last."""

from collections.abc import AsyncIterator
from functools import partial

import pytest
import sqlalchemy as sa
import trio

from protocol.ids import MemberId, RoomId
from protocol.messages import TicketId, TicketResult, Vote
from server.store import estimations
from server.store.database import Database
from server.store.results import DatabaseResults, ResultsStore, RoomResults
from server.store.writer import Writer

A, B = RoomId("aaaaaa"), RoomId("bbbbbb")


def ticket(name: str, votes: int = 2) -> TicketResult:
    # In an order that no index has.
    cards = tuple(Vote(MemberId(f"m{9 - n}"), f"N{n}", "½") for n in range(votes))
    return TicketResult(TicketId(name), cards, seconds=1.25)


@pytest.fixture
def writer(database: Database) -> Writer:
    return Writer(database)


@pytest.fixture
def results(database: Database, writer: Writer) -> DatabaseResults:
    return DatabaseResults(database, writer)


@pytest.fixture
async def running(writer: Writer) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        await nursery.start(writer.run)
        yield
        nursery.cancel_scope.cancel()


def hold(room: ResultsStore, room_id: RoomId, *names: str) -> None:
    room.open(room_id, 100.5)
    for name in names:
        room.record(room_id, ticket(name))


async def test_a_room_never_seen_has_no_results(results: ResultsStore) -> None:
    assert await results.results(A) is None
    assert await results.results(RoomId("a\0b")) is None


async def test_results_show_before_they_are_written(
    results: DatabaseResults, writer: Writer
) -> None:
    hold(results, A, "T-1", "T-2", "T-1")

    expected = RoomResults(
        room_id=A, opened_at=100.5, tickets=(ticket("T-1"), ticket("T-2"), ticket("T-1"))
    )
    assert writer.backlog == 4
    assert await results.results(A) == expected


async def test_results_are_the_same_once_written_and_in_another_process(
    results: DatabaseResults, writer: Writer, database: Database, running: None
) -> None:
    hold(results, A, "T-1", "T-2")
    before = await results.results(A)
    await writer.flush()
    assert await results.results(A) == before

    results.record(A, ticket("empty", votes=0))
    results.close(A, 200.5)
    hold(results, B)
    ended = await results.results(A)
    await writer.flush()

    assert ended == RoomResults(
        room_id=A,
        opened_at=100.5,
        closed_at=200.5,
        tickets=(ticket("T-1"), ticket("T-2"), ticket("empty", votes=0)),
    )
    other = DatabaseResults(database, writer)
    assert await results.results(A) == ended
    assert await other.results(A) == ended
    assert await other.results(B) == RoomResults(room_id=B, opened_at=100.5)


async def test_results_read_while_they_are_written_are_never_short(
    results: DatabaseResults, writer: Writer, running: None
) -> None:
    results.open(A, 1.0)
    for number in range(60):
        results.record(A, ticket(str(number)))
        room = await results.results(A)
        assert room is not None
        assert [each.ticket_id for each in room.tickets] == [str(n) for n in range(number + 1)]
        assert room.forgotten == 0


async def test_what_had_to_be_dropped_counts_as_forgotten(database: Database) -> None:
    writer = Writer(database, most=5)
    results = DatabaseResults(database, writer)
    hold(results, A, "T-1", "T-2", "T-3")  # of weights 1, 2, 2, 2

    room = await results.results(A)
    assert room is not None
    assert [each.ticket_id for each in room.tickets] == ["T-1", "T-2"]
    assert room.forgotten == 1

    async with trio.open_nursery() as nursery:
        await nursery.start(writer.run)
        await writer.flush()
        results.record(A, ticket("T-4"))
        results.close(A, 2.0)
        await writer.flush()
        nursery.cancel_scope.cancel()

    room = await DatabaseResults(database, writer).results(A)
    assert room is not None
    assert [each.ticket_id for each in room.tickets] == ["T-1", "T-2", "T-4"]
    assert (room.forgotten, room.closed_at) == (1, 2.0)


async def test_a_room_whose_beginning_was_dropped_is_kept_all_the_same(
    database: Database,
) -> None:
    writer = Writer(database, most=3)
    results = DatabaseResults(database, writer)
    for _ in range(3):
        writer.put(lambda _: None)
    results.open(A, 1.0)
    results.open(B, 1.0)
    async with trio.open_nursery() as nursery:
        await nursery.start(writer.run)
        await writer.flush()
        results.record(A, ticket("T-1"))
        await writer.flush()
        nursery.cancel_scope.cancel()

    room = await DatabaseResults(database, writer).results(A)
    assert room is not None
    assert (room.opened_at, len(room.tickets)) == (1.0, 1)

    # Of this one nothing was written, and nothing remains.
    for _ in range(3):
        writer.put(lambda _: None)
    results.close(B, 2.0)
    assert await results.results(B) is None


async def test_writing_twice_changes_nothing(database: Database) -> None:
    def twice(conn: sa.Connection) -> None:
        for _ in range(2):
            estimations.open_sessions(conn, [(A, 1.0)])
            estimations.record(conn, [estimations.Round(A, 1.0, 0, ticket("T"))])
            estimations.close_sessions(conn, [(A, 1.0, 2.0)])

    await database.run(twice, write=True)

    session = await database.run(partial(estimations.fetch, room_id=A))
    assert session == estimations.Session(1.0, 2.0, {0: ticket("T")})


async def test_rooms_that_a_killed_process_left_open_can_be_ended(database: Database) -> None:
    def leave(conn: sa.Connection) -> None:
        estimations.open_sessions(conn, [(A, 1.0)])
        estimations.close_sessions(conn, [(B, 1.0, 2.0)])

    await database.run(leave, write=True)

    assert await database.run(partial(estimations.close_left_open, at=9.0), write=True) == 1
    for room_id, closed_at in ((A, 9.0), (B, 2.0)):
        session = await database.run(partial(estimations.fetch, room_id=room_id))
        assert session is not None
        assert session.closed_at == closed_at
