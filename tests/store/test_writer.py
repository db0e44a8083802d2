"""The write-behind task, with a database that fails when it is told to."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

import pytest
import sqlalchemy as sa
import trio
import trio.testing

from server.store.database import Database
from server.store.shares import Kind
from server.store.writer import BATCH_ITEMS, BATCH_SECONDS, ROW_BYTES, Writer
from server.support.counters import Counters
from server.support.errors import StoreUnavailable

Result = TypeVar("Result")


class FakeConnection:
    """Collects what is written in a transaction."""

    def __init__(self) -> None:
        self.rows: list[object] = []


class FakeDatabase(Database):
    """Commits into a list, on Trio's own clock."""

    def __init__(self) -> None:
        self.batches: list[list[object]] = []
        self.counters = Counters()
        self.tries: list[float] = []
        self.gone = False
        self.seconds = 0.0
        self.commits_and_fails = False

    @property
    def rows(self) -> list[object]:
        return [row for batch in self.batches for row in batch]

    async def run(self, work: Callable[[sa.Connection], Result], *, write: bool = False) -> Result:
        assert write
        await trio.sleep(self.seconds)
        self.tries.append(trio.current_time())
        if self.gone:
            raise StoreUnavailable("gone")
        conn: Any = FakeConnection()
        result = work(conn)
        self.batches.append(conn.rows)
        if self.commits_and_fails:
            self.commits_and_fails = False
            raise StoreUnavailable("cut off before the answer")
        return result


def row(value: object) -> Callable[[Any], None]:
    return lambda conn: conn.rows.append(value)


def poison(_: sa.Connection) -> None:
    raise ValueError("poison")


@pytest.fixture
def fake() -> FakeDatabase:
    return FakeDatabase()


@asynccontextmanager
async def running(writer: Writer) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        await nursery.start(writer.run)
        yield
        nursery.cancel_scope.cancel()


async def test_with_nothing_to_do_it_sleeps(
    fake: FakeDatabase, autojump_clock: trio.testing.MockClock
) -> None:
    async with running(Writer(fake, counters=fake.counters)):
        await trio.sleep(3600)
        await trio.testing.wait_all_tasks_blocked()

    assert fake.tries == []


async def test_what_comes_first_is_written_at_once_and_the_rest_in_batches(
    fake: FakeDatabase, autojump_clock: trio.testing.MockClock
) -> None:
    writer = Writer(fake, counters=fake.counters)
    start = trio.current_time()
    async with running(writer):
        for number in range(25):
            assert writer.put(row(number))
            await trio.sleep(BATCH_SECONDS / 10)
        await trio.sleep(1)

    assert fake.rows == list(range(25))
    assert len(fake.batches) == 4
    gaps = [after - before for before, after in zip(fake.tries, fake.tries[1:], strict=False)]
    assert fake.tries[0] == start
    assert all(gap == pytest.approx(BATCH_SECONDS) for gap in gaps)
    assert (writer.backlog, fake.counters.writes_done, writer.dropped) == (0, 25, 0)


async def test_when_a_whole_batch_waits_it_is_written_at_once(
    fake: FakeDatabase, autojump_clock: trio.testing.MockClock
) -> None:
    writer = Writer(fake, counters=fake.counters)
    async with running(writer):
        start = trio.current_time()
        for number in range(2 * BATCH_ITEMS + 1):
            writer.put(row(number))
        await trio.sleep(BATCH_SECONDS * 1.5)

    assert [len(batch) for batch in fake.batches] == [BATCH_ITEMS, BATCH_ITEMS, 1]
    assert fake.tries[1] == start
    assert fake.rows == list(range(2 * BATCH_ITEMS + 1))


async def test_a_batch_that_fills_up_while_it_waits_is_written_at_once(
    fake: FakeDatabase, autojump_clock: trio.testing.MockClock
) -> None:
    writer = Writer(fake, counters=fake.counters)
    async with running(writer):
        writer.put(row(-1))
        await trio.sleep(0.01)
        writer.put(row(0))
        await trio.testing.wait_all_tasks_blocked()
        for number in range(1, BATCH_ITEMS):
            writer.put(row(number))
        await trio.testing.wait_all_tasks_blocked()

        assert [len(batch) for batch in fake.batches] == [1, BATCH_ITEMS]


async def test_while_the_database_is_gone_everything_is_kept_in_order(
    fake: FakeDatabase, autojump_clock: trio.testing.MockClock
) -> None:
    fake.gone = True
    writer = Writer(fake, counters=fake.counters)
    async with running(writer):
        for number in range(50):
            writer.put(row(number))
            await trio.sleep(0.2)
        assert (writer.backlog, fake.counters.writes_done) == (50, 0)
        rests = [b - a for a, b in zip(fake.tries, fake.tries[1:], strict=False)]
        assert rests[:6] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 2.0])
        assert max(rests) == pytest.approx(2.0)

        fake.gone = False
        await writer.flush()

    assert fake.rows == list(range(50))
    assert (writer.backlog, fake.counters.writes_done, writer.dropped) == (0, 50, 0)


async def test_what_was_committed_before_the_connection_broke_is_done_again(
    fake: FakeDatabase, autojump_clock: trio.testing.MockClock
) -> None:
    fake.commits_and_fails = True
    writer = Writer(fake, counters=fake.counters)
    async with running(writer):
        writer.put(row("a"))
        await writer.flush()

    assert fake.rows == ["a", "a"]
    assert fake.counters.writes_done == 1


@pytest.mark.parametrize("bad", [{0}, {2}, {6}, {1, 2, 5}, set(range(7))])
async def test_what_fails_by_itself_is_left_out_and_nothing_else(
    fake: FakeDatabase, autojump_clock: trio.testing.MockClock, bad: set[int]
) -> None:
    writer = Writer(fake, counters=fake.counters)
    settled: dict[int, list[bool]] = {number: [] for number in range(7)}
    for number in range(7):
        write = poison if number in bad else row(number)
        writer.put(write, settled=settled[number].append)
    async with running(writer):
        await writer.flush()

    assert fake.rows == [number for number in range(7) if number not in bad]
    assert (fake.counters.writes_done, writer.dropped) == (7 - len(bad), len(bad))
    assert settled == {number: [number not in bad] for number in range(7)}


async def test_above_its_bound_the_newest_is_dropped(
    fake: FakeDatabase,
    autojump_clock: trio.testing.MockClock,
    capsys: pytest.CaptureFixture[str],
) -> None:
    counters = Counters()
    writer = Writer(fake, most=10, counters=counters)

    taken = [writer.put(row(number), weight=3) for number in range(5)]

    assert taken == [True, True, True, False, False]
    assert writer.put(row("small"), weight=1)
    assert (counters.writes_waiting_current, counters.writes_dropped) == (4, 2)
    async with running(writer):
        await writer.flush()
        assert fake.rows == [0, 1, 2, "small"]
        assert (counters.writes_waiting_current, counters.writes_done) == (0, 4)
        assert writer.put(row("again"), weight=10)
        await writer.flush()

    assert fake.rows[-1] == "again"
    printed = "".join(capsys.readouterr())
    assert printed.count("writes are dropped") == 1
    assert printed.count("writes are taken again") == 1


async def test_one_who_floods_loses_by_it_and_nobody_else(
    fake: FakeDatabase, autojump_clock: trio.testing.MockClock
) -> None:
    fake.gone = True
    writer = Writer(fake, most=1000, counters=fake.counters)
    settled: dict[str, bool] = {}

    def put(name: str, payer: str, kind: Kind, weight: int = 1) -> bool:
        return writer.put(
            row(name), weight, payer=payer, kind=kind, settled=partial(settled.__setitem__, name)
        )

    async with running(writer):
        put("quiet says", "quiet", Kind.CHATTER)
        for number in range(5000):
            put(f"{number}", "flood", Kind.CHATTER)
        await trio.sleep(5)
        assert not settled
        assert put("round", "room", Kind.RESULT, 100)
        assert put("quiet says more", "quiet", Kind.CHATTER)
        assert not put("flood goes on", "flood", Kind.CHATTER)
        fake.gone = False
        await writer.flush()

    assert settled["quiet says"]
    assert settled["quiet says more"]
    assert settled["round"]
    kept = [each for each in fake.rows if isinstance(each, str) and each.isdigit()]
    assert kept == [str(number) for number in range(len(kept))]
    assert len(kept) == 1000 - 102
    assert fake.counters.writes_dropped == 5000 + 1 - len(kept)


def test_bytes_count_like_rows(fake: FakeDatabase) -> None:
    writer = Writer(fake, most=10, counters=fake.counters)

    assert writer.put(row("small"), size=ROW_BYTES)
    assert not writer.put(row("large"), size=10 * ROW_BYTES)
    assert writer.put(row("fits"), size=9 * ROW_BYTES)
    assert not writer.put(row("one more"), size=1)


async def test_what_gives_way_does_not_let_a_flush_end_before_its_time(
    fake: FakeDatabase, autojump_clock: trio.testing.MockClock
) -> None:
    fake.seconds = 1.0
    writer = Writer(fake, most=100, counters=fake.counters)
    async with running(writer):
        writer.put(row("first"), 10, payer="a", kind=Kind.CHATTER)
        await trio.sleep(0.5)
        writer.put(row("second"), 10, payer="b", kind=Kind.CHATTER)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(writer.flush)
            await trio.lowlevel.checkpoint()
            for number in range(5):
                writer.put(row(number), 16, payer="c", kind=Kind.CHATTER)
            assert writer.put(row("result"), 64)
        assert "second" in fake.rows


async def test_flush_waits_for_what_was_put_before_and_no_more(
    fake: FakeDatabase, autojump_clock: trio.testing.MockClock
) -> None:
    fake.seconds = 1.0
    writer = Writer(fake, counters=fake.counters)
    await writer.flush()
    async with running(writer):
        writer.put(row("first"))
        await trio.sleep(0.5)
        writer.put(row("second"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(writer.flush)
            await trio.lowlevel.checkpoint()
            writer.put(row("third"))
            start = trio.current_time()
        assert fake.rows[:2] == ["first", "second"]
        assert trio.current_time() - start < 2


async def test_flush_does_not_wait_for_the_next_batch(
    fake: FakeDatabase, autojump_clock: trio.testing.MockClock
) -> None:
    writer = Writer(fake, counters=fake.counters)
    async with running(writer):
        writer.put(row("first"))
        await trio.sleep(0.01)
        writer.put(row("second"))
        start = trio.current_time()
        await writer.flush()

        assert trio.current_time() == start


async def test_drain_writes_what_there_is(
    fake: FakeDatabase, autojump_clock: trio.testing.MockClock
) -> None:
    writer = Writer(fake, counters=fake.counters)
    async with running(writer):
        for number in range(3000):
            writer.put(row(number))
        await writer.drain(1.0)

    assert len(fake.rows) == 3000
    assert writer.dropped == 0


async def test_drain_gives_up_at_its_deadline_and_counts_what_is_lost(
    fake: FakeDatabase,
    autojump_clock: trio.testing.MockClock,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fake.gone = True
    writer = Writer(fake, counters=fake.counters)
    async with running(writer):
        writer.put(row(1))
        writer.put(row(2))
        start = trio.current_time()
        await writer.drain(5.0)

        assert trio.current_time() - start == pytest.approx(5.0)

    assert writer.dropped == 2
    assert "not written before the end" in "".join(capsys.readouterr())


async def test_being_cancelled_does_not_lose_count(
    fake: FakeDatabase, autojump_clock: trio.testing.MockClock
) -> None:
    fake.gone = True
    writer = Writer(fake, counters=fake.counters)
    async with running(writer):
        writer.put(row(1))
        await trio.sleep(1)

    fake.gone = False
    async with running(writer):
        await writer.flush()

    assert fake.rows == [1]


# --- those who are asked when a batch begins ------------------------------------------------


class Keeper:
    """Keeps numbers until a batch begins, and then puts all of them at once."""

    def __init__(self, writer: Writer) -> None:
        self.kept: list[int] = []
        self.asked = 0
        self._writer = writer
        writer.gather(self._ask)

    def keep(self, number: int) -> None:
        self.kept.append(number)
        self._writer.wake()

    def _ask(self) -> None:
        self.asked += 1
        if self.kept:
            kept, self.kept = self.kept, []
            assert self._writer.put(row(tuple(kept)))


async def test_who_keeps_something_is_asked_when_a_batch_begins(
    fake: FakeDatabase, autojump_clock: trio.testing.MockClock
) -> None:
    keeper = Keeper(writer := Writer(fake, counters=fake.counters))
    start = trio.current_time()
    async with running(writer):
        for number in range(25):
            keeper.keep(number)
            await trio.sleep(BATCH_SECONDS / 10)
        await trio.sleep(1)

    assert fake.rows[0] == (0,)
    assert [number for kept in fake.rows for number in kept] == [*range(25)]  # type: ignore[attr-defined]
    assert len(fake.batches) == 4
    assert fake.tries[0] == start
    assert all(
        after - before == pytest.approx(BATCH_SECONDS)
        for before, after in zip(fake.tries, fake.tries[1:], strict=False)
    )


async def test_nobody_is_asked_while_there_is_nothing_and_nothing_is_written_then(
    fake: FakeDatabase, autojump_clock: trio.testing.MockClock
) -> None:
    keeper = Keeper(writer := Writer(fake, counters=fake.counters))
    async with running(writer):
        await trio.sleep(3_600)
        assert keeper.asked == 0
        writer.wake()
        await trio.sleep(3_600)
        assert keeper.asked == 1

    assert fake.tries == []


async def test_what_comes_while_a_batch_is_written_is_in_the_next_one(
    fake: FakeDatabase, autojump_clock: trio.testing.MockClock
) -> None:
    keeper = Keeper(writer := Writer(fake, counters=fake.counters))
    fake.seconds = 1.0
    async with running(writer):
        keeper.keep(1)
        await trio.sleep(0.5)
        keeper.keep(2)
        await trio.sleep(10)

    assert fake.batches == [[(1,)], [(2,)]]


async def test_while_the_database_is_gone_nobody_is_asked(
    fake: FakeDatabase, autojump_clock: trio.testing.MockClock
) -> None:
    keeper = Keeper(writer := Writer(fake, counters=fake.counters))
    fake.gone = True
    async with running(writer):
        for number in range(100):
            keeper.keep(number)
            await trio.sleep(1)
        assert (writer.backlog, keeper.asked) == (1, 1)
        fake.gone = False
        await trio.sleep(5)

    assert fake.rows == [(0,), tuple(range(1, 100))]


@pytest.mark.parametrize("drain", [False, True])
async def test_what_is_kept_is_written_when_everything_is(
    fake: FakeDatabase, drain: bool, autojump_clock: trio.testing.MockClock
) -> None:
    keeper = Keeper(writer := Writer(fake, counters=fake.counters))
    async with running(writer):
        await trio.sleep(1)
        keeper.kept.append(1)  # and has not woken the writer
        await (writer.drain(1.0) if drain else writer.flush())
        assert fake.rows == [(1,)]
