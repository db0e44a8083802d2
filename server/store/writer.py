"""Write-behind: takes what is to be written without ever waiting, and commits it in batches."""

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Sequence
from typing import Final, TypeVar

import attrs
import sqlalchemy as sa
import trio

from server.store.database import Database
from server.store.shares import Claim, Kind, Shares
from server.support.counters import Counters
from server.support.errors import Ousted, StoreUnavailable
from server.support.observe import get_logger

Row = TypeVar("Row")

MOST_ROWS: Final = 100_000
"""Bound of all that waits, in rows of :data:`ROW_BYTES` each."""

ROW_BYTES: Final = 600
"""What a waiting row may take of memory, in bytes; a larger one counts as several."""

BATCH_ITEMS: Final = 1_000
"""Items in one transaction; when this many wait, they are written at once."""

BATCH_SECONDS: Final = 0.06
"""Shortest time from the beginning of one batch to that of the next, unless a whole one waits."""

# What is being written cannot give way any more, so it must leave most of the room.
_BATCH_PART: Final = 16
_CROWDED_PART: Final = 16  # of the bound; from there on those who wait have shares
_FIRST_REST: Final = 0.1  # seconds after the database was gone, doubling
_LONGEST_REST: Final = 2.0


@attrs.define(eq=False)
class _Item(Claim):
    """Something to write."""

    write: Callable[..., object]
    """Gets the connection and, if there is a row, a list of rows."""
    row: object
    settled: Callable[[bool], None] | None
    number: int = 0
    """Its place in the order of all items ever."""
    begun: bool = False
    """Whether it has been in a batch, and cannot give way any more."""


class Writer:
    """Owns the way into the database for whoever cannot wait for it.

    What is put is written in order. While the database keeps up, it is committed with the next
    batch, which begins :data:`BATCH_SECONDS` after the last one at the latest. While the database
    is gone it is kept, up to a bound of rows and bytes. Above the bound, chatter gives way to
    results, and within each the newest of whoever has put the most: nobody loses anything because
    of somebody else's flood.

    An item is written with others in one transaction, and again if the answer to the commit is
    missing: doing it twice must do no harm. One that fails by itself is logged and left out, and
    its neighbours are written.
    """

    def __init__(
        self,
        database: Database,
        *,
        most: int = MOST_ROWS,
        counters: Counters | None = None,
    ) -> None:
        """Write to ``database`` what :meth:`put` takes, once :meth:`run` runs.

        Args:
            database: where to write.
            most: the bound of what waits, in rows.
            counters: where writes are counted.
        """
        self._database = database
        self._most = most
        self._counters = counters or Counters()
        self._items: OrderedDict[int, _Item] = OrderedDict()  # oldest first
        # Of those that are not being written; kept only once more waits than a database that
        # keeps up leaves waiting, since it costs as much as all the rest of a put.
        self._shares: Shares[_Item] | None = None
        self._load = 0
        self._taken = 0  # items ever
        self._flushes: deque[tuple[int, trio.Event]] = deque()
        self._any = trio.Event()
        self._woken = False
        self._gatherers: list[Callable[[], None]] = []
        self._now = trio.Event()  # a whole batch waits, or somebody waits for it
        self._full = False
        self._log = get_logger("writer")

    @property
    def backlog(self) -> int:
        """The number of items that wait, including those that are being written."""
        return len(self._items)

    @property
    def dropped(self) -> int:
        """The number of items that were not written and never will be."""
        return self._counters.writes_dropped

    def put(
        self,
        write: Callable[[sa.Connection], object],
        weight: int = 1,
        *,
        settled: Callable[[bool], None] | None = None,
        payer: Hashable = None,
        kind: Kind = Kind.RESULT,
        size: int = 0,
    ) -> bool:
        """Take something to write, unless too much waits already; never waits.

        Args:
            write: a unit of work that can be done twice.
            weight: the number of rows that it writes, roughly.
            settled: is told, once, whether it was written; not if it is refused here. May be
                called from another caller's ``put``, with ``False``, when it has to give way.
            payer: the room or account that caused it; all those without one share.
            kind: what it is worth.
            size: bytes of memory that it takes; 0 if the rows are of the usual size.

        Returns:
            Whether it was taken.
        """
        return self._put(_Item(payer, kind, _load(weight, size), write, None, settled))

    def put_row(
        self,
        write: Callable[[sa.Connection, Sequence[Row]], object],
        row: Row,
        weight: int = 1,
        *,
        settled: Callable[[bool], None] | None = None,
        payer: Hashable = None,
        kind: Kind = Kind.RESULT,
        size: int = 0,
    ) -> bool:
        """Take a row to write, together with all of a batch that are for the same ``write``.

        Those keep their order among each other, but not with what else is in the batch.

        Args:
            write: a unit of work that can be done twice, for any number of rows.
            row: one of them, not ``None``.
            weight: the number of rows of the database that it is, roughly.
            settled: as for :meth:`put`.
            payer: as for :meth:`put`.
            kind: as for :meth:`put`.
            size: as for :meth:`put`.

        Returns:
            Whether it was taken.
        """
        return self._put(_Item(payer, kind, _load(weight, size), write, row, settled))

    def gather(self, ask: Callable[[], None]) -> None:
        """Register whoever keeps what it has until a batch begins, and puts it then.

        So it puts as much at once as a batch takes time, and not each bit by itself. While the
        database is gone no batch begins.

        Args:
            ask: is called, in the writer's task, right before a batch begins and whenever
                everything is to be written; must not raise.
        """
        self._gatherers.append(ask)

    def wake(self) -> None:
        """Begin a batch within :data:`BATCH_SECONDS`, since somebody has something for it."""
        self._woken = True
        self._any.set()

    def _ask(self) -> None:
        self._woken = False
        for ask in self._gatherers:
            ask()

    def _put(self, item: _Item) -> bool:
        while self._load + item.load > self._most:
            self._note_full()
            victim = self._sharing().give_way(item)
            if victim is None:
                self._counters.writes_dropped += 1
                return False
            self._forget(victim, written=False)
        self._taken += 1
        item.number = self._taken
        self._items[item.number] = item
        if self._shares is not None:
            self._shares.add(item)
        elif self._load > self._most // _CROWDED_PART:
            self._sharing()
        self._load += item.load
        self._counters.writes_waiting_current = len(self._items)
        self._any.set()
        if len(self._items) >= BATCH_ITEMS:
            self._now.set()
        return True

    def _sharing(self) -> Shares[_Item]:
        """Give the shares of what waits, and keep them from now on until nothing waits."""
        if self._shares is None:
            self._shares = Shares()
            for item in self._items.values():
                if not item.begun:
                    self._shares.add(item)
        return self._shares

    def _note_full(self) -> None:
        if not self._full:
            self._full = True
            self._log.error("too much waits for the database: writes are dropped")

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Write until cancelled; a batch that has begun is finished."""
        task_status.started()
        earliest = trio.current_time()
        while True:
            await self._any.wait()
            if len(self._items) < BATCH_ITEMS and not self._flushes:
                with trio.move_on_at(earliest):
                    await self._now.wait()
            earliest = trio.current_time() + BATCH_SECONDS
            self._ask()
            if self._items:
                await self._write_all(self._batch())
            self._now = trio.Event()
            if not self._items:
                self._shares = None
                if not self._woken:
                    self._any = trio.Event()

    async def flush(self) -> None:
        """Wait until all that was put before is written or given up."""
        await trio.lowlevel.checkpoint()
        self._ask()
        if not self._items:
            return
        event = trio.Event()
        self._flushes.append((self._taken, event))
        self._now.set()
        await event.wait()

    async def drain(self, seconds: float) -> None:
        """Write out what there is; what remains counts as dropped.

        Nothing may be put afterwards.

        Args:
            seconds: the longest time that this takes.
        """
        with trio.move_on_after(seconds):
            await self.flush()
            while self._woken or self._items:  # somebody kept back what followed
                await self.flush()
        if self._items:
            self._log.error("not written before the end", items=len(self._items))
            self._counters.writes_dropped += len(self._items)

    def _batch(self) -> list[_Item]:
        """Begin to write the oldest items."""
        batch: list[_Item] = []
        room = max(1, self._most // _BATCH_PART)
        for item in self._items.values():
            if room <= 0 or len(batch) == BATCH_ITEMS:
                break
            batch.append(item)
            room -= item.load
        for item in batch:
            if not item.begun:  # by a run that was cancelled
                item.begun = True
                if self._shares is not None:
                    self._shares.remove_oldest(item)
        return batch

    async def _write_all(self, items: Sequence[_Item]) -> None:
        """Write a batch, however long it takes; halve it until what fails by itself is alone."""
        try:
            await self._write_together(items)
        except Ousted:
            self._log.error("not written, and given up", items=len(items))
            self._settle(items, written=False)
            return
        except Exception as error:  # noqa: BLE001 - others' work: one failure must not stop all
            if len(items) == 1:
                self._log.error("cannot be written, and is left out", exc_info=error)
                self._settle(items, written=False)
                return
            half = len(items) // 2
            await self._write_all(items[:half])
            await self._write_all(items[half:])
            return
        self._settle(items, written=True)

    async def _write_together(self, items: Sequence[_Item]) -> None:
        """Write items in one transaction, as soon as the database is there."""

        def work(conn: sa.Connection) -> None:
            together: dict[Callable[..., object], list[object]] = {}
            for item in items:
                if item.row is None:
                    item.write(conn)
                else:
                    together.setdefault(item.write, []).append(item.row)
            for write, rows in together.items():
                write(conn, rows)

        rest = _FIRST_REST
        while True:
            try:
                await self._database.run(work, write=True)
            except Ousted:
                raise
            except StoreUnavailable as reason:
                if rest == _FIRST_REST:
                    self._log.warning("cannot write, and will try again", reason=str(reason))
                await trio.sleep(rest)
                rest = min(2 * rest, _LONGEST_REST)
            else:
                return

    def _settle(self, items: Sequence[_Item], *, written: bool) -> None:
        """Forget items that were being written."""
        for item in items:
            self._forget(item, written=written)
        if self._full and 2 * self._load <= self._most:
            self._full = False
            self._log.info("writes are taken again", dropped=self.dropped)

    def _forget(self, item: _Item, *, written: bool) -> None:
        del self._items[item.number]
        self._load -= item.load
        if written:
            self._counters.writes_done += 1
        else:
            self._counters.writes_dropped += 1
        self._counters.writes_waiting_current = len(self._items)
        if self._flushes:
            oldest = next(iter(self._items), self._taken + 1)
            while self._flushes and self._flushes[0][0] < oldest:
                self._flushes.popleft()[1].set()
        if item.settled is not None:
            item.settled(written)


def _load(weight: int, size: int) -> int:
    """Count in rows what takes memory like rows."""
    return max(1, weight, -(-size // ROW_BYTES))
