"""The way of a room's log into the store: batches, what is durable, and what the writer loses."""

from functools import partial
from typing import Any

import orjson
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from protocol.errors import ErrorCode, Problem
from protocol.ids import MemberId, RoomId
from protocol.journal import read_entries
from protocol.lasting import AddTicket, Detach, ImportTickets, Join, Numbered
from protocol.messages import Command, Reject, TicketId, TicketResult, Vote
from protocol.ticket import Draft, TicketDescription, TicketTitle
from server.rooms.journal import MOST_ENTRIES, SNAPSHOT_COMMANDS, TRIES, Journal, Logbook
from server.store import logbook
from server.store.estimations import Session
from server.store.logbook import Kept, RoomSettings, StoredLog
from server.store.results import DatabaseResults
from server.store.schema import room_people
from server.store.writer import BATCH_SECONDS, MOST_ROWS, Writer
from server.support.counters import Counters
from server.webhooks.reports import Reports
from tests.server.chat_harness import MemoryDatabase, settled
from tests.server.lasting_harness import TELLING

A = RoomId("aaaaaa")
M = MemberId("m")
AWAY = Detach()
SOON = 2 * BATCH_SECONDS


class Picky(MemoryDatabase):
    """A database that fails, by itself, to write what a test names."""

    def __init__(self) -> None:
        super().__init__()
        self.batches = 0
        self.refuses = False

    async def run(self, work: Any, *, write: bool = False) -> Any:
        self.batches += write
        if write and self.refuses:
            raise ValueError("poison")
        return await super().run(work, write=write)


class Desk:
    """Journals of rooms that are no more than a count of what was applied."""

    def __init__(
        self, database: MemoryDatabase, *, most_rows: int = 1_000, most_waiting: int = MOST_ROWS
    ) -> None:
        self.database = database
        self.counters = Counters()
        self.writer = Writer(database, most=most_waiting, counters=self.counters)
        self.results = DatabaseResults(database, self.writer)
        self.book = Logbook(
            self.writer,
            counters=self.counters,
            reports=Reports(TELLING, counters=self.counters),
            most_rows=most_rows,
        )
        self.seq = 0
        self.padding = ""

    def open(self, number: int = 1, room_id: RoomId = A) -> Journal:
        session = Session(number, room_id, f"key{number}", 1.0)
        settings = RoomSettings(capacity=2).write()
        self.database.now(
            partial(logbook.open_room, session=session, settings=settings, claim=None)
        )
        return Journal(
            self.book, session, results=self.results, snapshot=self.snapshot, kept=Kept()
        )

    def snapshot(self) -> dict[str, Any]:
        return {"seq": self.seq, "padding": self.padding}

    def add(self, journal: Journal, commands: int = 1, command: Command = AWAY) -> None:
        for _ in range(commands):
            self.seq += 1
            journal.add(float(self.seq), M, command, self.seq)

    def stored(self, number: int = 1) -> StoredLog:
        stored = self.database.now(partial(logbook.load, session_id=number))
        assert stored is not None
        return stored

    def logged(self, number: int = 1) -> tuple[int | None, list[float]]:
        """Give up to where the snapshot goes, and the times of the commands after it."""
        stored = self.stored(number)
        whole = None if stored.snapshot is None else orjson.loads(stored.snapshot)["seq"]
        return whole, [each.at for _, data in stored.rows for each in read_entries(data)]


def nothing(_: object) -> None:
    pass


def result(number: int, votes: int = 1) -> TicketResult:
    return TicketResult(TicketId(f"T-{number}"), (Vote(M, "Ada", "5"),) * votes, 1.0)


async def test_what_happens_between_two_batches_is_one_row(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    desk = Desk(MemoryDatabase())
    journals = [desk.open(1), desk.open(2, RoomId("bbbbbb"))]
    await nursery.start(desk.writer.run)

    for _ in range(3):
        for journal in journals:
            desk.add(journal, 5)
            await trio.sleep(BATCH_SECONDS / 8)
    await trio.sleep(SOON)

    assert len(desk.logged(1)[1]) == len(desk.logged(2)[1]) == 15
    assert [row for row, _ in desk.stored(1).rows] == [1, 2]  # the first one was alone
    assert [row for row, _ in desk.stored(2).rows] == [1]
    assert desk.counters.writes_done == 3


async def test_with_nothing_to_write_nothing_is_asked_of_the_database(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    desk = Desk(database := Picky())
    journal = desk.open()
    await nursery.start(desk.writer.run)
    desk.add(journal)
    await trio.sleep(SOON)
    before = database.batches

    journal.add(1.0, M, Reject(Problem(ErrorCode.NOT_ADMIN)), 1)  # changes nothing
    await trio.sleep(3_600)

    assert (before, database.batches) == (1, 1)
    assert not journal.pending


async def test_what_is_durable_is_told_and_waited_for(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    desk = Desk(MemoryDatabase())
    journal = desk.open()
    told: list[int] = []
    journal.on_saved = told.append
    desk.add(journal, 3)
    reached: list[int] = []

    async def wait(seq: int) -> None:
        await journal.reached(seq)
        reached.append(seq)

    for seq in (0, 2, 3, 4):
        nursery.start_soon(wait, seq)
    await settled()
    assert (journal.saved, reached) == (0, [0])

    await nursery.start(desk.writer.run)
    await trio.sleep(SOON)
    assert (journal.saved, told, sorted(reached)) == (3, [3], [0, 2, 3])

    desk.add(journal)
    await trio.sleep(SOON)
    assert (journal.saved, told, sorted(reached)) == (4, [3, 4], [0, 2, 3, 4])


async def test_a_snapshot_takes_the_place_of_a_long_log(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    desk = Desk(MemoryDatabase())
    journal = desk.open()
    await nursery.start(desk.writer.run)

    desk.add(journal, SNAPSHOT_COMMANDS - 1)
    await trio.sleep(SOON)
    assert desk.logged()[0] is None
    desk.add(journal)
    await trio.sleep(SOON)
    assert desk.logged() == (SNAPSHOT_COMMANDS, [])
    desk.add(journal, 2)
    await trio.sleep(SOON)

    assert desk.logged() == (SNAPSHOT_COMMANDS, [SNAPSHOT_COMMANDS + 1, SNAPSHOT_COMMANDS + 2])
    assert journal.saved == SNAPSHOT_COMMANDS + 2


async def test_a_large_room_is_not_written_whole_for_every_few_commands(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    desk = Desk(MemoryDatabase())
    desk.padding = "x" * 100_000
    journal = desk.open()
    await nursery.start(desk.writer.run)
    snapshots = set()

    for _ in range(40):
        desk.add(journal, SNAPSHOT_COMMANDS // 4)
        await trio.sleep(SOON)
        snapshots.add(desk.logged()[0])

    # Taken at the first chance, and then once the log has some 100 kB.
    assert len(snapshots - {None}) == 1 + 36 * SNAPSHOT_COMMANDS // 4 // 1280


async def test_while_the_database_is_gone_a_snapshot_stands_for_too_many_commands(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    desk = Desk(MemoryDatabase())
    journal = desk.open()
    await nursery.start(desk.writer.run)
    desk.database.gone = True
    desk.add(journal, 1)
    await trio.sleep(1)
    desk.add(journal, 20 * MOST_ENTRIES)
    await trio.sleep(60)
    assert (desk.writer.backlog, journal.saved) == (1, 0)

    desk.database.gone = False
    await trio.sleep(5)

    assert desk.logged() == (desk.seq, [])
    assert (journal.saved, desk.counters.writes_dropped) == (desk.seq, 0)


async def test_commands_with_long_texts_count_for_many(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    desk = Desk(MemoryDatabase())
    journal = desk.open()
    await nursery.start(desk.writer.run)
    long = AddTicket(title=TicketTitle("T"), description=TicketDescription("x" * 4_000))

    most = SNAPSHOT_COMMANDS // 21
    for number in range(most):
        desk.add(journal, 1, Numbered(number + 1, long))
        await trio.sleep(SOON)
    whole, logged = desk.logged()
    assert (whole, len(logged)) == (None, most)
    desk.add(journal, 1, Numbered(most + 1, long))
    await trio.sleep(SOON)

    assert desk.logged() == (desk.seq, [])


async def test_an_import_is_kept_by_a_snapshot_in_place_of_the_log(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    desk = Desk(MemoryDatabase())
    journal = desk.open()
    await nursery.start(desk.writer.run)

    desk.add(journal, 1, ImportTickets("claim", (Draft(title="T"),) * (MOST_ENTRIES + 1)))
    await trio.sleep(SOON)

    assert desk.logged() == (desk.seq, [])
    assert journal.saved == desk.seq


async def test_after_a_lost_chunk_the_log_is_whole_again(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    desk = Desk(database := Picky())
    journal = desk.open()
    await nursery.start(desk.writer.run)
    desk.add(journal, 2)
    await trio.sleep(SOON)

    database.refuses = True
    with capture_logs():
        desk.add(journal, 2)
        await trio.sleep(BATCH_SECONDS / 2)
    assert (journal.saved, desk.counters.writes_dropped) == (2, 1)
    database.refuses = False
    desk.add(journal, 1)
    await trio.sleep(SOON)

    assert desk.logged() == (5, [])
    assert journal.saved == 5


async def test_what_fails_by_itself_is_not_tried_for_ever(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    desk = Desk(database := Picky())
    journal = desk.open()
    await nursery.start(desk.writer.run)
    database.refuses = True

    with capture_logs():
        desk.add(journal)
        await journal.reached(1)  # gives up
        await trio.sleep(3_600)

    assert (journal.saved, database.batches) == (0, TRIES)
    database.refuses = False
    desk.add(journal)
    await trio.sleep(SOON)
    assert desk.logged() == (2, [])
    assert journal.saved == 2


async def test_what_gives_way_in_the_writer_leaves_no_hole(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    desk = Desk(MemoryDatabase(), most_waiting=100)
    journal = desk.open()
    for number in range(20):
        assert desk.writer.put(nothing, payer=number)
    desk.add(journal, SNAPSHOT_COMMANDS - 1)
    with desk.database.held(write=True):
        await nursery.start(desk.writer.run)
        await settled()
        for number in range(20, 50):
            assert desk.writer.put(nothing, payer=number)
        assert desk.counters.writes_dropped == 1
    await trio.sleep(5)

    assert desk.counters.writes_dropped == 1
    assert desk.logged() == (desk.seq, [])
    assert journal.saved == desk.seq


async def test_rounds_are_written_together_with_the_log(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    desk = Desk(database := Picky())
    journal = desk.open()
    await nursery.start(desk.writer.run)
    desk.add(journal)
    journal.record(A, result(0))
    journal.record(A, result(1))
    found = await desk.results.find(A, "key1")
    assert found is not None
    assert found.rounds == 2
    await trio.sleep(SOON)

    assert desk.stored().rounds == 2
    assert (database.batches, desk.counters.rounds_revealed) == (1, 2)
    assert not journal.pending


async def test_while_the_database_is_gone_the_rounds_that_wait_have_a_bound(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    desk = Desk(MemoryDatabase(), most_rows=100)
    loud, quiet = desk.open(1), desk.open(2, RoomId("bbbbbb"))
    await nursery.start(desk.writer.run)
    desk.database.gone = True
    for journal in (loud, quiet):
        desk.add(journal)
    await trio.sleep(1)

    for number in range(40):
        loud.record(A, result(number, votes=10))
    for number in range(3):
        quiet.record(RoomId("bbbbbb"), result(number, votes=10))
    assert desk.counters.writes_dropped == 33
    desk.database.gone = False
    await trio.sleep(5)

    assert (desk.stored(1).rounds, desk.stored(2).rounds) == (7, 3)
    # There is room again.
    for number in range(10):
        loud.record(A, result(number, votes=10))
    await trio.sleep(SOON)
    assert desk.stored(1).rounds == 50


async def test_the_end_is_written_and_told(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    desk = Desk(MemoryDatabase())
    journal = desk.open()
    closed: list[int] = []
    journal.on_closed = lambda: closed.append(1)
    desk.add(journal)
    journal.record(A, result(0))
    journal.close(A, 9.0)
    desk.add(journal)
    await journal.reached(99)
    assert closed == []

    await nursery.start(desk.writer.run)
    await trio.sleep(SOON)

    assert closed == [1]
    assert desk.database.now(partial(logbook.load, session_id=1)) is None
    found = await desk.results.find(A, "key1")
    assert found is not None
    assert (found.closed_at, found.rounds) == (9.0, 1)


async def test_an_end_during_an_outage_is_written_after_it(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    desk = Desk(MemoryDatabase())
    journal = desk.open()
    await nursery.start(desk.writer.run)
    desk.database.gone = True
    desk.add(journal)
    await trio.sleep(1)
    journal.record(A, result(0))
    journal.close(A, 9.0)
    await trio.sleep(1)
    desk.database.gone = False
    await trio.sleep(5)

    found = await desk.results.find(A, "key1")
    assert found is not None
    assert (found.closed_at, found.rounds) == (9.0, 1)
    assert desk.database.now(logbook.parked) == []


async def test_an_end_that_cannot_be_written_is_given_up_and_logged(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    desk = Desk(database := Picky())
    journal = desk.open()
    closed: list[int] = []
    journal.on_closed = lambda: closed.append(1)
    await nursery.start(desk.writer.run)
    database.refuses = True

    with capture_logs() as logs:
        journal.close(A, 9.0)
        await trio.sleep(60)

    assert (closed, database.batches) == ([1], TRIES)
    assert [each["event"] for each in logs if each.get("room") == A] == [
        "the end of a room is lost"
    ]


async def test_a_parked_room_rests_as_it_is(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    desk = Desk(MemoryDatabase())
    journal = desk.open()
    desk.add(journal, 2)
    journal.park()
    desk.add(journal)
    journal.record(A, result(0))
    journal.close(A, 9.0)

    await nursery.start(desk.writer.run)
    await desk.writer.drain(1.0)

    assert desk.logged() == (None, [1, 2])
    assert (journal.saved, desk.stored().rounds, journal.pending) == (2, 0, False)


async def test_a_drain_writes_what_came_while_something_was_being_written(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    desk = Desk(MemoryDatabase())
    journal = desk.open()
    await nursery.start(desk.writer.run)
    with desk.database.held(write=True):
        desk.add(journal)
        await settled()
        desk.add(journal)
    await desk.writer.drain(1.0)

    assert desk.logged() == (None, [1, 2])
    assert desk.counters.writes_dropped == 0


async def test_accounts_are_noted_also_after_a_lost_chunk(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    desk = Desk(database := Picky())
    ann = database.person("ann")
    journal = desk.open()
    await nursery.start(desk.writer.run)
    database.refuses = True
    with capture_logs():
        desk.add(journal, command=Join(name="Ann", account=ann.id))
        await settled()
    database.refuses = False
    await trio.sleep(1)

    people = database.now(lambda conn: conn.execute(room_people.select()).all())
    assert [(each.session_id, each.user_id, each.joined_at) for each in people] == [
        (1, ann.id, 1.0)
    ]
