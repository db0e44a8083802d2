"""Write-behind: takes what must be written without ever waiting, and commits it in batches."""

from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final, TypeVar

import attrs
import sqlalchemy as sa
import trio

from server.store.database import Database
from server.support.counters import Counters
from server.support.errors import StoreUnavailable
from server.support.observe import get_logger

Row = TypeVar("Row")

MOST_WEIGHT: Final = 100_000
"""Of all that waits; as callers weigh, about as many rows."""

BATCH_ITEMS: Final = 1_000
"""In one transaction; so many that wait are written at once."""

BATCH_SECONDS: Final = 0.06
"""From the beginning of one batch to that of the next, at least, unless so many wait."""

_FIRST_REST: Final = 0.1  # after the database was gone, then twice as long each time
_LONGEST_REST: Final = 2.0


@attrs.frozen(eq=False)
class _Item:
    """Something to write."""

    write: Callable[..., object]
    """Gets the connection and, if there is a row, a list of rows."""
    row: object
    weight: int
    settled: Callable[[bool], None] | None


class Writer:
    """Owns the way into the database for whoever cannot wait for it.

    What is put is written in order, as soon as the database takes it: it waits at most
    :data:`BATCH_SECONDS` while the database keeps up. While the database is gone it is kept, up
    to a total weight; above that the newest is dropped and counted.

    An item is written with others in one transaction, and again if it is not known whether that
    was committed: it must do no harm when it is done twice. One that fails by itself is logged
    and left out; its neighbours are written.
    """

    def __init__(
        self,
        database: Database,
        *,
        most: int = MOST_WEIGHT,
        counters: Counters | None = None,
    ) -> None:
        """Write to ``database`` what :meth:`put` takes, once :meth:`run` runs."""
        self._database = database
        self._most = most
        self._counters = counters or Counters()
        self._items: deque[_Item] = deque()
        self._weight = 0
        self._taken = 0  # items ever, dropped ones not counted
        self._settled = 0  # of these, written or given up
        self._flushes: deque[tuple[int, trio.Event]] = deque()
        self._any = trio.Event()
        self._now = trio.Event()  # enough waits, or somebody waits for it
        self._full = False
        self._log = get_logger("writer")

    @property
    def backlog(self) -> int:
        """Items that wait, those that are being written included."""
        return len(self._items)

    @property
    def written(self) -> int:
        """Items written since the start."""
        return self._counters.writes_done

    @property
    def dropped(self) -> int:
        """Items that were not, and will not be written."""
        return self._counters.writes_dropped

    def put(
        self,
        write: Callable[[sa.Connection], object],
        weight: int = 1,
        *,
        settled: Callable[[bool], None] | None = None,
    ) -> bool:
        """Take something to write, unless too much waits already; never waits.

        Args:
            write: a unit of work that can be done twice.
            weight: about how many rows it writes.
            settled: is told, once, whether it was written; not if it is refused here.

        Returns:
            Whether it was taken.
        """
        return self._put(_Item(write, None, weight, settled))

    def put_row(
        self,
        write: Callable[[sa.Connection, Sequence[Row]], object],
        row: Row,
        weight: int = 1,
        *,
        settled: Callable[[bool], None] | None = None,
    ) -> bool:
        """Take a row to write, together with all of a batch that are for the same ``write``.

        Those keep their order among each other, but not with what else is in the batch.

        Args:
            write: a unit of work that can be done twice, for any number of rows.
            row: one of them, not ``None``.
            weight: about how many rows of the database it is.
            settled: is told, once, whether it was written; not if it is refused here.

        Returns:
            Whether it was taken.
        """
        return self._put(_Item(write, row, weight, settled))

    def _put(self, item: _Item) -> bool:
        if self._weight + item.weight > self._most:
            self._counters.writes_dropped += 1
            if not self._full:
                self._full = True
                self._log.error("too much waits for the database: writes are dropped")
            return False
        self._items.append(item)
        self._weight += item.weight
        self._taken += 1
        self._counters.writes_waiting_current = len(self._items)
        self._any.set()
        if len(self._items) >= BATCH_ITEMS:
            self._now.set()
        return True

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
            await self._write_all(list(islice(self._items, BATCH_ITEMS)))
            self._now = trio.Event()
            if not self._items:
                self._any = trio.Event()

    async def flush(self) -> None:
        """Wait until all that was put before is written or given up."""
        await trio.lowlevel.checkpoint()
        if self._settled >= self._taken:
            return
        event = trio.Event()
        self._flushes.append((self._taken, event))
        self._now.set()
        await event.wait()

    async def drain(self, seconds: float) -> None:
        """Write out what there is, for so long at the most; what remains counts as dropped.

        Nothing may be put afterwards.
        """
        with trio.move_on_after(seconds):
            await self.flush()
        if self._items:
            self._log.error("not written before the end", items=len(self._items))
            self._counters.writes_dropped += len(self._items)

    async def _write_all(self, items: Sequence[_Item]) -> None:
        """Write a batch, however long it takes; halve it until what fails by itself is alone."""
        try:
            await self._write_together(items)
        except Exception as error:  # noqa: BLE001 - others' work: one failure must not stop all
            if len(items) == 1:
                self._log.error("cannot be written, and is left out", exc_info=error)
                self._settle(1, written=False)
                return
            half = len(items) // 2
            await self._write_all(items[:half])
            await self._write_all(items[half:])
            return
        self._settle(len(items), written=True)

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
            except StoreUnavailable as reason:
                if rest == _FIRST_REST:
                    self._log.warning("cannot write, and will try again", reason=str(reason))
                await trio.sleep(rest)
                rest = min(2 * rest, _LONGEST_REST)
            else:
                return

    def _settle(self, count: int, *, written: bool) -> None:
        """Forget the oldest items."""
        for _ in range(count):
            item = self._items.popleft()
            self._weight -= item.weight
            if item.settled is not None:
                item.settled(written)
        self._settled += count
        if written:
            self._counters.writes_done += count
        else:
            self._counters.writes_dropped += count
        self._counters.writes_waiting_current = len(self._items)
        if self._full and 2 * self._weight <= self._most:
            self._full = False
            self._log.info("writes are taken again", dropped=self.dropped)
        while self._flushes and self._flushes[0][0] <= self._settled:
            self._flushes.popleft()[1].set()
