"""Results of rooms that last."""

import tracemalloc
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import attrs
import pytest
import sqlalchemy as sa
import trio

from protocol.deck import DECKS, DEFAULT_DECK, Deck
from protocol.ids import MemberId, RoomId
from protocol.messages import TicketId, TicketResult, Vote
from server.store import estimations
from server.store.database import Database
from server.store.estimations import Round, Session
from server.store.recording import PAGE_VOTES, RoomResults
from server.store.results import DatabaseResults, ResultsStore, RoomRecord
from server.store.schema import estimation_rounds, estimation_sessions, estimation_votes
from server.store.writer import Writer
from server.support.errors import StoreUnavailable

A, B = RoomId("aaaaaa"), RoomId("bbbbbb")


def ticket(name: str, votes: int = 2) -> TicketResult:
    # In an order that no index has.
    cards = tuple(Vote(MemberId(f"m{999 - n}"), f"N{n}", "½") for n in range(votes))
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


def hold(store: ResultsStore, room_id: RoomId, *names: str) -> RoomRecord:
    room = store.open(room_id, 100.5)
    for name in names:
        room.record(room_id, ticket(name))
    return room


async def find(store: ResultsStore, room_id: RoomId, key: str | None) -> RoomResults:
    room = await store.find(room_id, key)
    assert room is not None
    return room


async def read(store: ResultsStore, room: RoomResults) -> list[tuple[int, TicketResult]]:
    """Read all pages; each must begin where the one before has ended."""
    rounds: list[tuple[int, TicketResult]] = []
    at = 0
    while at < room.rounds:
        page = await store.page(room, at)
        assert page.next > at
        assert page.missing == 0
        assert all(at <= number < page.next for number, _ in page.rounds)
        rounds += page.rounds
        at = page.next
    return rounds


async def names(store: ResultsStore, room_id: RoomId, key: str | None) -> list[str]:
    room = await find(store, room_id, key)
    return [result.ticket_id for _, result in await read(store, room)]


def count(conn: sa.Connection, table: sa.Table = estimation_sessions) -> int:
    return conn.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()


async def test_a_room_never_seen_has_no_results(results: ResultsStore) -> None:
    for key in (None, "", "x", "\ud800"):
        assert await results.find(A, key) is None
        assert await results.find(RoomId("a\0b"), key) is None


async def test_results_show_before_they_are_written(
    results: DatabaseResults, writer: Writer
) -> None:
    room = hold(results, A, "T-1", "T-2", "T-1")

    found = await find(results, A, room.key)

    assert writer.backlog == 3
    assert (found.room_id, found.opened_at, found.closed_at) == (A, 100.5, None)
    assert await read(results, found) == list(enumerate(map(ticket, ("T-1", "T-2", "T-1"))))


async def test_each_round_is_kept_with_its_deck(
    results: DatabaseResults, writer: Writer, database: Database, running: None
) -> None:
    room = results.open(A, 100.5)
    own = Deck(["S", "½", "L"], {"L": 8.0})
    decks = [DECKS["tshirt"], own, DEFAULT_DECK, DECKS["tshirt"]]
    for deck in decks:
        room.record(A, attrs.evolve(ticket("T"), deck=deck))
    await writer.flush()
    other = DatabaseResults(database, writer)

    read_again = [result.deck for _, result in await read(other, await find(other, A, room.key))]

    assert read_again == decks
    assert read_again[0] is read_again[3] is DECKS["tshirt"]
    assert read_again[2] is DEFAULT_DECK
    assert [deck.id for deck in read_again] == ["tshirt", "custom", "classic", "tshirt"]


async def test_results_are_the_same_once_written_and_in_another_process(
    results: DatabaseResults, writer: Writer, database: Database, running: None
) -> None:
    room = hold(results, A, "T-1", "T-2")
    room.record(A, ticket("empty", votes=0))
    room.close(A, 200.5)
    before = await find(results, A, room.key)
    rounds = await read(results, before)
    await writer.flush()
    other = DatabaseResults(database, writer)

    assert (before.opened_at, before.closed_at, before.rounds) == (100.5, 200.5, 3)
    assert [result for _, result in rounds] == [ticket("T-1"), ticket("T-2"), ticket("empty", 0)]
    for store in (results, other):
        assert await find(store, A, room.key) == before
        assert await read(store, before) == rounds


async def test_results_read_while_they_are_written_are_never_short(
    database: Database, writer: Writer, running: None
) -> None:
    results = DatabaseResults(database, writer, room_bytes=0)
    room = results.open(A, 1.0)
    for number in range(60):
        room.record(A, ticket(str(number)))
        assert await names(results, A, room.key) == [str(n) for n in range(number + 1)]


# --- ids come again, keys do not ------------------------------------------------------------


async def test_a_room_whose_id_was_there_before_shows_and_keeps_its_own_rounds_alone(
    results: DatabaseResults, writer: Writer, database: Database, running: None
) -> None:
    old = hold(results, A, "old-1", "old-2")
    old.close(A, 200.0)
    await writer.flush()
    new = hold(results, A, "new-1")
    await writer.flush()
    new.record(A, ticket("new-2"))
    new.close(A, 300.0)
    await writer.flush()

    for store in (results, DatabaseResults(database, writer)):
        assert await names(store, A, old.key) == ["old-1", "old-2"]
        assert await names(store, A, new.key) == ["new-1", "new-2"]
        assert (await find(store, A, old.key)).closed_at == 200.0
        assert (await find(store, A, new.key)).closed_at == 300.0


async def test_the_id_of_a_room_that_is_still_being_written_may_come_again(
    results: DatabaseResults, writer: Writer
) -> None:
    old = hold(results, A, "old-1")
    new = hold(results, A, "new-1")  # before the old one has handed in its last round
    old.record(A, ticket("old-2"))
    old.close(A, 200.0)
    async with trio.open_nursery() as nursery:
        await nursery.start(writer.run)
        await writer.flush()
        new.record(A, ticket("new-2"))
        await writer.flush()
        nursery.cancel_scope.cancel()

    assert await names(results, A, old.key) == ["old-1", "old-2"]
    assert await names(results, A, new.key) == ["new-1", "new-2"]
    assert (await find(results, A, new.key)).closed_at is None


async def test_results_are_found_by_their_whole_key_alone(
    results: DatabaseResults, writer: Writer, database: Database, running: None
) -> None:
    room = hold(results, A, "T")
    await writer.flush()
    wrong = [None, "", room.key[:-1], room.key + "A", room.key.swapcase(), "ключ", "\ud800"]

    for store in (results, DatabaseResults(database, writer)):
        assert await store.find(A, room.key) is not None
        assert await store.find(B, room.key) is None
        assert [await store.find(A, key) for key in wrong] == [None] * len(wrong)


async def test_keys_are_long_and_never_the_same(results: DatabaseResults) -> None:
    assert await results.find(A, "") is None
    keys = {results.open(A, 1.0).key for _ in range(100)}

    assert len(keys) == 100
    assert all(len(key) >= 22 and key.replace("-", "").replace("_", "").isalnum() for key in keys)


async def test_numbers_of_sessions_grow_and_are_small_enough_for_sqlite_and_another_process(
    database: Database, writer: Writer
) -> None:
    stores = [DatabaseResults(database, writer) for _ in range(2)]
    ids: list[int] = []
    await trio.lowlevel.checkpoint()
    for store in stores:
        for _ in range(1000):
            room = store.open(A, 1.0)
            ids.append(room.session.id)
    first, second = ids[:1000], ids[1000:]

    assert first == sorted(set(first))
    assert second == sorted(set(second))
    assert all(0 < number < 2**47 for number in ids)


async def test_rooms_of_earlier_versions_have_no_key_and_are_found_without(
    results: DatabaseResults, database: Database
) -> None:
    old = Session(1, A, None, 1.0)
    await database.run(
        partial(estimations.record, revealed=[Round(old, 0, ticket("T"))]), write=True
    )

    found = await find(results, A, None)

    assert not found.secret
    assert await names(results, A, None) == ["T"]
    assert await results.find(A, "x") is None
    assert await results.find(A, "") is None


# --- nothing without need -------------------------------------------------------------------


async def test_a_room_in_which_nothing_is_revealed_leaves_nothing(
    results: DatabaseResults, writer: Writer, database: Database, running: None
) -> None:
    room = hold(results, A)
    assert (await find(results, A, room.key)).rounds == 0
    room.close(A, 2.0)

    assert writer.backlog == 0
    assert await database.run(count) == 0
    assert await results.find(A, room.key) is None


async def test_the_end_of_a_room_is_kept_though_written_before_its_only_round(
    results: DatabaseResults, writer: Writer, database: Database
) -> None:
    other = hold(results, B, "T")
    async with trio.open_nursery() as nursery:
        await nursery.start(writer.run)
        await writer.flush()
        # In one batch; what is of one kind is written together, ends first.
        other.close(B, 2.0)
        room = hold(results, A, "T")
        room.close(A, 3.0)
        await writer.flush()
        nursery.cancel_scope.cancel()

    found = await find(DatabaseResults(database, writer), A, room.key)
    assert (found.closed_at, found.rounds) == (3.0, 1)


async def test_what_had_to_be_dropped_is_a_gap(database: Database) -> None:
    writer = Writer(database, most=4)
    results = DatabaseResults(database, writer, room_bytes=0)
    room = hold(results, A, "T-1", "T-2", "T-3")  # of weight 2 each

    assert await names(results, A, room.key) == ["T-1", "T-2"]
    assert (await find(results, A, room.key)).rounds == 3

    async with trio.open_nursery() as nursery:
        await nursery.start(writer.run)
        await writer.flush()
        room.record(A, ticket("T-4"))
        room.close(A, 2.0)
        await writer.flush()
        nursery.cancel_scope.cancel()

    other = DatabaseResults(database, writer)
    found = await find(other, A, room.key)
    assert (found.rounds, found.closed_at) == (4, 2.0)
    assert [(n, each.ticket_id) for n, each in await read(other, found)] == [
        (0, "T-1"),
        (1, "T-2"),
        (3, "T-4"),
    ]


class Crowded(Writer):
    """In which whatever waits gives way to what comes, or what comes finds no place."""

    def __init__(self, database: Database, *, refuses: bool) -> None:
        super().__init__(database)
        self.refuses = refuses
        self.waiting: Callable[[bool], None] | None = None

    def put_row(self, *_: Any, settled: Callable[[bool], None] | None = None, **__: Any) -> bool:
        assert settled is not None
        if self.waiting is not None:
            self.waiting(False)
        self.waiting = None if self.refuses else settled
        return not self.refuses


@pytest.mark.parametrize("refuses", [True, False])
async def test_what_gives_way_while_something_is_put_is_dropped_and_nothing_is_left(
    refuses: bool, database: Database
) -> None:
    writer = Crowded(database, refuses=False)
    results = DatabaseResults(database, writer, room_bytes=0)
    room = hold(results, A, "T-1", "T-2")
    writer.refuses = refuses
    room.close(A, 2.0)
    if writer.waiting is not None:
        found = await find(results, A, room.key)
        assert (found.rounds, await read(results, found)) == (2, [])
        writer.waiting(False)

    assert await results.find(A, room.key) is None


class Losing(Writer):
    """Which loses every second row, and has written the others before it is asked to."""

    rows = 0

    def put_row(self, *_: Any, settled: Callable[[bool], None] | None = None, **__: Any) -> bool:
        assert settled is not None
        self.rows += 1
        if self.rows % 2:
            settled(True)
        return bool(self.rows % 2)


async def test_of_rounds_that_are_lost_a_bit_each_is_kept(database: Database) -> None:
    results = DatabaseResults(database, Losing(database), room_bytes=0)
    room = results.open(A, 1.0)
    result = ticket("T")
    # Coverage remembers each line when it first runs; that is not the room's memory.
    for _ in range(4):
        room.record(A, result)
    tracemalloc.start()
    try:
        for _ in range(15_996):
            room.record(A, result)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    # A bit for each is 2 000 bytes, a byte 16 000, an object 400 000 at least.
    assert kept < 16_000 / 2
    assert room.written(0, 16_000) == 8000
    assert (room.written(0, 1), room.written(1, 2), room.written(7, 10)) == (1, 0, 1)
    assert room.written(5, 5) == 0
    assert (await find(results, A, room.key)).rounds == 16_000


async def test_writing_twice_changes_nothing(database: Database) -> None:
    session = Session(7, A, "key", 1.0)

    def twice(conn: sa.Connection) -> None:
        for _ in range(2):
            estimations.record(conn, [Round(session, 0, ticket("T"))])
            estimations.close_sessions(conn, [(session, 2.0)])

    await database.run(twice, write=True)

    [stored] = await database.run(partial(estimations.find, room_id=A))
    assert (stored.session, stored.closed_at, stored.rounds) == (session, 2.0, 1)
    read_page = partial(estimations.page, session_id=7, start=0, stop=9, rows=9)
    assert await database.run(read_page) == ([(0, ticket("T"))], 9)


def changed(name: str, estimate: str | None = None) -> TicketResult:
    """A round as it has become after its reveal."""
    cards = (Vote(MemberId("m1"), "N1", "8", changed=True), Vote(MemberId("m0"), "N0", "½"))
    return TicketResult(TicketId(name), cards, 1.25, estimate=estimate, replaces=True)


def kept(result: TicketResult) -> TicketResult:
    return attrs.evolve(result, replaces=False)


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_round_that_has_changed_takes_its_own_place_alone(
    running: None, results: DatabaseResults, writer: Writer, at_once: bool
) -> None:
    room = hold(results, A, "T-1", "T-2")
    if not at_once:
        await writer.flush()
    for estimate in (None, "8"):
        room.record(A, changed("T-2", estimate))
    expected = [(0, ticket("T-1")), (1, kept(changed("T-2", "8")))]
    shown = await read(results, await find(results, A, room.key))
    assert [(number, kept(result)) for number, result in shown] == expected
    room.record(A, ticket("T-3"))
    room.close(A, 200.0)
    await writer.flush()

    shown = await read(results, await find(results, A, room.key))
    assert shown == [*expected, (2, ticket("T-3"))]


async def test_a_change_that_is_written_twice_is_the_same(database: Database) -> None:
    session = Session(7, A, "key", 1.0)

    def twice(conn: sa.Connection) -> None:
        estimations.record(conn, [Round(session, 0, ticket("T", votes=3))])
        for _ in range(2):
            estimations.record(conn, [Round(session, 0, changed("T", "8"))])

    await database.run(twice, write=True)

    read_page = partial(estimations.page, session_id=7, start=0, stop=9, rows=9)
    assert await database.run(read_page) == ([(0, kept(changed("T", "8")))], 9)


async def test_rooms_that_a_killed_process_left_open_can_be_ended(database: Database) -> None:
    def leave(conn: sa.Connection) -> None:
        estimations.record(conn, [Round(Session(1, A, "a", 1.0), 0, ticket("T"))])
        estimations.close_sessions(conn, [(Session(2, B, "b", 1.0), 2.0)])

    await database.run(leave, write=True)

    assert await database.run(partial(estimations.close_left_open, at=9.0), write=True) == 1
    for room_id, end in ((A, 9.0), (B, 2.0)):
        [stored] = await database.run(partial(estimations.find, room_id=room_id))
        assert stored.closed_at == end


# --- page by page ---------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [[0, 0, 3], [1, 4, 5, 1], [2, 9, 2], [12], [4, 4], [5, 0, 0, 5]])
async def test_pages_have_whole_rounds_and_not_many_votes(
    sizes: list[int], database: Database
) -> None:
    session = Session(7, A, "key", 1.0)
    rounds = [Round(session, n, ticket(f"T-{n}", votes)) for n, votes in enumerate(sizes)]
    await database.run(partial(estimations.record, revealed=rounds), write=True)

    at, found, lengths = 0, [], []
    while at < len(sizes):
        page = partial(estimations.page, session_id=7, start=at, stop=len(sizes), rows=5)
        part, following = await database.run(page)
        assert following > at
        lengths.append((len(part), sum(len(result.votes) for _, result in part)))
        found += part
        at = following

    assert found == [(each.number, each.result) for each in rounds]
    assert all(votes <= 5 or count == 1 for count, votes in lengths)


async def test_a_room_of_any_size_is_read_a_bounded_page_at_a_time(
    database: Database, writer: Writer, running: None
) -> None:
    results = DatabaseResults(database, writer)
    room = results.open(A, 1.0)
    for number in range(100):
        room.record(A, ticket(f"T-{number}", 40))
    await writer.flush()

    found = await find(results, A, room.key)
    at, pages, rounds = 0, 0, 0
    while at < found.rounds:
        page = await results.page(found, at)
        assert sum(len(result.votes) for _, result in page.rounds) <= PAGE_VOTES
        pages, rounds, at = pages + 1, rounds + len(page.rounds), page.next
    assert rounds == 100
    assert pages >= 100 * 40 // PAGE_VOTES


# --- while the database is gone -------------------------------------------------------------


class Gone(Database):
    """A database that goes away and comes back as a test wants it."""

    gone = False

    async def run(self, work: Callable[[sa.Connection], Any], *, write: bool = False) -> Any:
        if self.gone:
            await trio.lowlevel.checkpoint()
            raise StoreUnavailable("gone")
        return await super().run(work, write=write)


@pytest.fixture
async def fragile(url: str) -> AsyncIterator[Gone]:
    database = Gone(url)
    try:
        yield database
    finally:
        await database.aclose()


async def test_a_live_room_is_read_from_memory_while_the_database_is_gone(fragile: Gone) -> None:
    writer = Writer(fragile)
    results = DatabaseResults(fragile, writer)
    room = hold(results, A, "T-1", "T-2")
    async with trio.open_nursery() as nursery:
        await nursery.start(writer.run)
        await writer.flush()
        nursery.cancel_scope.cancel()
    fragile.gone = True
    room.record(A, ticket("T-3"))

    assert await names(results, A, room.key) == ["T-1", "T-2", "T-3"]
    for room_id, key in ((A, "wrong"), (A, None), (B, room.key)):
        with pytest.raises(StoreUnavailable):
            await results.find(room_id, key)


async def test_what_a_live_room_does_not_remember_is_told_to_be_missing(fragile: Gone) -> None:
    writer = Writer(fragile)
    results = DatabaseResults(fragile, writer, room_bytes=4_000)
    async with trio.open_nursery() as nursery:
        await nursery.start(writer.run)
        room = hold(results, A, *(f"T-{number}" for number in range(9)))
        await writer.flush()
        nursery.cancel_scope.cancel()
    found = await find(results, A, room.key)
    assert len(await read(results, found)) == 9
    fragile.gone = True

    first = await results.page(found, 0)
    second = await results.page(found, first.next)

    assert (first.rounds, first.missing) == ((), first.next)
    assert [number for number, _ in second.rounds] == list(range(first.next, 9))
    assert second.next == 9
    assert 0 < len(second.rounds) < 9

    room.close(A, 2.0)  # nothing of it is remembered then, but its end is not written yet
    assert (await results.page(found, 0)).missing == 9


async def test_a_room_that_has_ended_cannot_be_read_while_the_database_is_gone(
    fragile: Gone,
) -> None:
    writer = Writer(fragile)
    results = DatabaseResults(fragile, writer)
    room = hold(results, A, "T-1")
    room.close(A, 2.0)
    async with trio.open_nursery() as nursery:
        await nursery.start(writer.run)
        await writer.flush()
        nursery.cancel_scope.cancel()
    found = await find(results, A, room.key)
    fragile.gone = True

    with pytest.raises(StoreUnavailable):
        await results.page(found, 0)
    with pytest.raises(StoreUnavailable):
        await results.find(A, room.key)


async def test_what_rooms_remember_is_bounded_for_each_and_for_all(fragile: Gone) -> None:
    writer = Writer(fragile)
    results = DatabaseResults(fragile, writer, room_bytes=8_000, all_bytes=20_000)
    async with trio.open_nursery() as nursery:
        await nursery.start(writer.run)
        rooms = [hold(results, A, *map(str, range(20))) for _ in range(4)]
        await writer.flush()
        nursery.cancel_scope.cancel()
    fragile.gone = True

    async def remembered(room: RoomRecord) -> int:
        found, at, count = await find(results, A, room.key), 0, 0
        while at < found.rounds:
            page = await results.page(found, at)
            count, at = count + len(page.rounds), page.next
        return count

    counts = [await remembered(room) for room in rooms]
    assert counts == [5, 5, 2, 0]  # of 1 600 bytes each

    rooms[0].close(A, 2.0)
    rooms[3].record(A, ticket("more"))
    assert await remembered(rooms[3]) == 1


# --- keeping no longer than is wanted -------------------------------------------------------


async def test_what_is_old_is_forgotten_a_few_rows_at_a_time(database: Database) -> None:
    def fill(conn: sa.Connection) -> None:
        for number in range(4):
            session = Session(number, RoomId(f"room{number:02}"), "key", 1.0)
            estimations.record(conn, [Round(session, n, ticket("T", 4)) for n in range(3)])
            if number != 2:
                estimations.close_sessions(conn, [(session, 10.0 * number)])

    def rows(conn: sa.Connection) -> list[int]:
        tables = (estimation_sessions, estimation_rounds, estimation_votes)
        return [count(conn, table) for table in tables]

    await database.run(fill, write=True)
    forget = partial(estimations.forget_old, now=26.0, seconds=1.0, rows=5)
    before = await database.run(rows)
    steps = 0
    while await database.run(forget, write=True):
        steps += 1
        after = await database.run(rows)
        assert before[1] - after[1] <= 5
        assert before[2] - after[2] <= 5
        before = after
        # What is gone in part is not shown.
        assert await database.run(partial(estimations.find, room_id=RoomId("room00"))) == []

    assert steps > 4
    assert before == [2, 6, 24]  # one that lives, and one that ended later
    for room_id, there in (("room01", 0), ("room02", 1), ("room03", 1)):
        stored = await database.run(partial(estimations.find, room_id=RoomId(room_id)))
        assert len(stored) == there
