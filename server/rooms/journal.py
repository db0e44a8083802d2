"""The logs of rooms that outlive the server, on their way into the store, a row per batch."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import attrs
import orjson
import trio

from protocol.ids import MemberId, RoomId
from protocol.journal import LOGGED, extra_weight
from protocol.lasting import Join
from protocol.messages import Command, TicketResult
from protocol.ticket import Ticket
from server.store import logbook
from server.store.estimations import Round, Session
from server.store.logbook import Applied, Chunk, Kept
from server.store.recording import Recording
from server.store.results import DatabaseResults
from server.store.shares import Claim, Kind, Shares
from server.store.writer import MOST_ROWS, Writer
from server.support.counters import Counters
from server.support.observe import get_logger
from server.webhooks.reports import Reports

SNAPSHOT_COMMANDS: Final = 256
"""Commands after which a snapshot takes the place of the log; a large room's snapshot waits until
its log is about as long, so that taking it costs no more than the log itself."""

MOST_ENTRIES: Final = 512
"""Commands of a room that wait for the database; instead of more there will be a snapshot. One
with long texts, such as an import of tickets, counts for many."""

TRIES: Final = 3
"""Of writing a room's snapshot or its end, if it is the room's own fault that it fails."""

_ENTRY_BYTES: Final = 200  # of memory while it waits
_LOGGED_BYTES: Final = 80  # of JSON, roughly


@attrs.define(eq=False)
class _Waiting(Claim):
    """A round that waits for its room's next chunk."""

    row: Round
    settled: Callable[[bool], None]
    journal: "Journal"


class Logbook:
    """Knows which rooms have something to write, and lets them put it when a batch begins.

    Rounds wait in their rooms' journals, so that they are written together with the log; what all
    of them take of memory has a bound, above which the newest round of whoever has the most gives
    way. All else that waits has a bound for each room.
    """

    def __init__(
        self,
        writer: Writer,
        *,
        counters: Counters,
        reports: Reports,
        most_rows: int = MOST_ROWS // 4,
    ) -> None:
        """Write by ``writer``.

        Args:
            writer: the way into the store.
            counters: where rounds are counted, and those that had to give way.
            reports: writes what concerns it, and reports it.
            most_rows: the bound of the rounds that wait, in votes.
        """
        self.counters = counters
        self.reports = reports
        self._writer = writer
        self._dirty: list[Journal] = []
        self._shares = Shares[_Waiting]()
        self._load = 0
        self._most = most_rows
        writer.gather(self._gather)

    def mark(self, journal: "Journal") -> None:
        """Ask this journal when the next batch begins."""
        self._dirty.append(journal)
        if len(self._dirty) == 1:
            self._writer.wake()

    def hold(self, waiting: _Waiting) -> bool:
        """Count a round that begins to wait; tell whether there is room for it."""
        while self._load + waiting.load > self._most:
            victim = self._shares.give_way(waiting)
            self.counters.writes_dropped += 1
            if victim is None:
                return False
            self._load -= victim.load
            victim.journal.lose_newest()
        self._shares.add(waiting)
        self._load += waiting.load
        return True

    def release(self, waiting: _Waiting) -> None:
        """The oldest round of a journal waits no longer."""
        self._shares.remove_oldest(waiting)
        self._load -= waiting.load

    async def flush(self) -> None:
        """Wait until all that there is now is written or given up."""
        await self._writer.flush()

    def put(self, chunk: Chunk, size: int, settled: Callable[[bool], None]) -> bool:
        """Hand over what is written of a room at once."""
        weight = 1 + sum(max(1, len(each.result.votes)) for each in chunk.rounds)
        append = logbook.append
        if self.reports.concern(chunk):
            append, settled = self.reports.append, self.reports.settled(chunk, settled)
        return self._writer.put_row(
            append, chunk, weight, settled=settled, payer=chunk.session_id, size=size
        )

    def _gather(self) -> None:
        dirty, self._dirty = self._dirty, []
        for journal in dirty:
            journal.hand_over()


class Journal:
    """The log of one room, and its results, from its opening or return to its end or rest.

    The rules must be what the commands that were added have made of them whenever there is a
    checkpoint: a snapshot may be taken then.

    One chunk is on its way at a time. If it is lost, the log has a hole, so the next one has a
    whole snapshot; until that is written, :attr:`saved` stands still.
    """

    def __init__(
        self,
        book: Logbook,
        session: Session,
        *,
        results: DatabaseResults,
        snapshot: Callable[[], dict[str, Any]],
        tickets: Callable[[], Sequence[Ticket]] = tuple,
        kept: Kept,
    ) -> None:
        """Begin, or go on.

        Args:
            book: the logbook of all rooms.
            session: the room's.
            results: where the room's results are found.
            snapshot: gives the whole room, as plain data.
            tickets: gives its backlog, to be kept with its results.
            kept: how far the store knows the room.
        """
        self.session = session
        self.saved = kept.seq
        """The number of the last change that is durable."""
        self.on_saved: Callable[[int], None] | None = None
        """Is told the same, in Trio's thread, whenever a chunk has been written or given up."""
        self.on_closed: Callable[[], None] | None = None
        """Is told that the room's end is written, or cannot be."""
        self._book = book
        self._snapshot = snapshot
        self._backlog = tickets
        self._recording: Recording = results.resume(session, self, kept.rounds)
        self._number = kept.number
        self._seq = kept.seq
        self._logged = kept.commands
        self._snapshot_bytes = kept.snapshot_bytes
        self._entries: list[Applied] = []
        self._extra = 0  # for how many more commands the longer ones of these count
        self._people: dict[int, float] = {}
        self._rounds: list[_Waiting] = []  # an empty deque takes ten times as much
        self._whole = False  # the next chunk has a snapshot
        self._failures = 0
        self._marked = False
        self._underway = False
        self._sealed = False
        self._closed_at: float | None = None
        self._end_settled: Callable[[bool], None] | None = None
        self._over = False
        self.added = 0
        """Commands ever."""
        self._written = 0  # of these, those that are on record
        self._moved: trio.Event | None = None

    @property
    def key(self) -> str:
        """What must be shown to read the results."""
        return self._recording.key

    @property
    def pending(self) -> bool:
        """Whether something is not written yet."""
        return self._underway or self._marked

    def add(self, at: float, member: MemberId, command: Command, seq: int) -> None:
        """Take a command that has been applied; others than those that are logged do nothing.

        Args:
            at: the time that the rules were given, in Unix seconds.
            member: who asked.
            command: for what.
            seq: the number of the last change since.
        """
        if self._sealed or command.__class__ not in LOGGED:
            return
        self._seq = seq
        self.added += 1
        if command.__class__ is Join:
            self._note_person(command, at)
        if not self._whole:
            self._entries.append((at, member, command))
            self._extra += extra_weight(command)
            if len(self._entries) + self._extra > MOST_ENTRIES:
                self._need_snapshot()
        if not self._marked:
            self._mark()

    def record(self, room_id: RoomId, record: TicketResult) -> None:
        """Keep a round that has been revealed."""
        if not self._sealed:
            self._book.counters.rounds_revealed += not record.replaces
            self._recording.record(room_id, record)

    def close(self, room_id: RoomId, at: float) -> None:
        """The room has ended at this Unix time, unless it is parked; its log goes."""
        if self._sealed:
            return
        self._sealed = True
        self._closed_at = at
        self._entries.clear()
        self._recording.close(room_id, at)
        self._finish()
        self._mark()

    def park(self) -> None:
        """Let the room rest as it is now; what is not written yet will be. Idempotent."""
        self._sealed = True

    async def reached(self, seq: int) -> None:
        """Wait until the change of this number is durable.

        Returns at once if it never will be, as far as can be told: after the room's end, and while
        the log cannot be written for reasons of its own.
        """
        await self._until(lambda: self.saved >= seq)

    async def flushed(self) -> None:
        """Wait until all that was added before is durable, as :meth:`reached` does for a number."""
        added = self.added
        await self._until(lambda: self._written >= added)

    def settled(self, added: int) -> bool:
        """Tell whether so many commands are durable, or never will be, as far as can be told."""
        return self._written >= added or self._over or self._failures >= TRIES

    async def _until(self, durable: Callable[[], bool]) -> None:
        """Wait until something is durable, or never will be."""
        await trio.lowlevel.checkpoint()
        while not durable() and not self._over and self._failures < TRIES:
            if self._moved is None:
                self._moved = trio.Event()
            await self._moved.wait()

    # --- the way of a round, for the recording ----------------------------------------------

    def keep(self, row: Round, settled: Callable[[bool], None]) -> bool:
        """Let a round wait for the next chunk."""
        load = max(1, len(row.result.votes))
        waiting = _Waiting(self.session.id, Kind.RESULT, load, row, settled, self)
        if not self._book.hold(waiting):
            return False
        self._rounds.append(waiting)
        self._mark()
        return True

    def end(self, session: Session, at: float, settled: Callable[[bool], None]) -> bool:
        """Take note of who wants to know when the room's end is written."""
        self._end_settled = settled
        return True

    def lose_newest(self) -> None:
        """The last round that waits has given way."""
        self._rounds.pop().settled(False)

    # --- the way of a chunk, for the logbook ------------------------------------------------

    def hand_over(self) -> None:
        """Put what there is; the rest follows once this is written or lost."""
        self._marked = False
        if self._underway:
            return
        entries: Sequence[Applied] = ()
        snapshot = None
        if self._closed_at is None:
            self._logged += len(self._entries) + self._extra
            if self._whole or self._logged >= self._patience():
                snapshot = orjson.dumps(self._snapshot())
                self._snapshot_bytes = len(snapshot)
                self._logged = 0
            else:
                entries = self._entries
            if entries or snapshot is not None:
                self._number += 1
        extra, self._extra = self._extra, 0
        self._entries = []
        self._whole = False
        tickets = None if self._closed_at is None else self._tickets()
        rounds = list(self._rounds)
        self._rounds.clear()
        for waiting in rounds:
            self._book.release(waiting)
        chunk = Chunk(
            session_id=self.session.id,
            number=self._number,
            entries=entries,
            snapshot=snapshot,
            rounds=[waiting.row for waiting in rounds],
            people=list(self._people.items()),
            closed_at=self._closed_at,
            tickets=tickets,
        )
        self._people = {}
        size = (len(entries) + extra) * _ENTRY_BYTES + len(snapshot or tickets or b"")
        settled = partial(self._settled, chunk, self._seq, self.added, rounds)
        self._underway = True
        if not self._book.put(chunk, size, settled):
            settled(False)

    def _settled(
        self, chunk: Chunk, seq: int, added: int, rounds: Sequence[_Waiting], written: bool
    ) -> None:
        """Take note that a chunk is written, or lost."""
        self._underway = False
        for waiting in rounds:
            waiting.settled(written)
        if written:
            self._failures = 0
            self._written = added
        else:
            self._failures += 1
            self._need_snapshot()
            self._people = dict(chunk.people) | self._people
        if chunk.closed_at is not None:
            self._note_end(written)
            return
        if written and seq > self.saved:
            self.saved = seq
        if self.on_saved is not None:
            self.on_saved(self.saved)
        if self._moved is not None and (written or self._failures >= TRIES):
            self._moved.set()
            self._moved = None
        if self._closed_at is not None or self._entries or self._rounds or self._unwell():
            self._mark()

    def _tickets(self) -> bytes | None:
        return logbook.write_tickets(self._backlog())

    def _note_end(self, written: bool) -> None:
        if not written and self._failures < TRIES:
            self._mark()
            return
        if not written:
            get_logger("logbook").error("the end of a room is lost", room=self.session.room_id)
        if self._end_settled is not None:
            self._end_settled(written)
        if self.on_closed is not None:
            self.on_closed()

    # --- small change -----------------------------------------------------------------------

    def _mark(self) -> None:
        """Be asked at the next batch, or the one after what is on its way."""
        if not (self._marked or self._underway):
            self._marked = True
            self._book.mark(self)

    def _need_snapshot(self) -> None:
        self._whole = True
        self._entries = []
        self._extra = 0

    def _unwell(self) -> bool:
        """Tell whether the log has a hole that is worth another try."""
        return self._whole and self._failures < TRIES

    def _patience(self) -> int:
        """Give the length at which a snapshot takes the log's place."""
        return max(SNAPSHOT_COMMANDS, self._snapshot_bytes // _LOGGED_BYTES)

    def _note_person(self, command: Command, at: float) -> None:
        if isinstance(command, Join) and command.account is not None:
            self._people.setdefault(command.account, at)

    def _finish(self) -> None:
        self._over = True
        if self._moved is not None:
            self._moved.set()
            self._moved = None
