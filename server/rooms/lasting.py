"""The rooms that outlive the server: opens them, finds them again after a start, and parks them."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Final, Protocol

import attrs
import trio
from sqlalchemy import Connection

from protocol.effects import SetTimer
from protocol.errors import ErrorCode, Refused
from protocol.estimation import CLOSED, Estimation, Phase
from protocol.ids import RoomId
from protocol.lasting import NOBODY, Restart
from protocol.limits import COMEBACK_SECONDS, EMPTY_SECONDS, LONGEST_GRACE_SECONDS
from protocol.messages import TicketResult
from protocol.picture import Picture
from server.rooms.alarms import Alarms
from server.rooms.hub import Hub
from server.rooms.journal import Journal, Logbook
from server.rooms.rebuilding import Rebuilt, Start, new_rules, rebuild, tickets_of
from server.rooms.room import Room
from server.store import logbook
from server.store.database import Database
from server.store.estimations import Session
from server.store.logbook import Kept, Opening, RoomSettings
from server.store.results import DatabaseResults
from server.store.webhooks import Webhook
from server.support.errors import StoreUnavailable
from server.support.limits import Limits
from server.support.observe import get_logger
from server.support.supervise import contain

ENDED_AFTER: Final = LONGEST_GRACE_SECONDS + COMEBACK_SECONDS
"""From the start on, a room for which nobody asks waits for so many seconds."""

CLOSE_SECONDS: Final = 2.0
"""To wait for the database where a room is ended by request."""

RECORD_SECONDS: Final = 5.0
"""To wait for the database before somebody may return to a room."""

REBUILT_AT_ONCE: Final = 2
"""Rooms that are being rebuilt; more would only share the processor."""

_RETRY_SECONDS: Final = 5.0

EstimationRoom = Room[TicketResult]


class MakeRoom(Protocol):
    """How a room is made of its parts; it is run by whoever called."""

    def __call__(
        self,
        rules: Estimation,
        journal: Journal,
        *,
        start: Start,
        forget: Callable[[RoomId], None],
        alarms: Alarms,
    ) -> EstimationRoom:
        """Make a room, with the members that its rules know, all of them away.

        Args:
            rules: what decides, and knows who is a member.
            journal: is told each command that is applied; also keeps the results.
            start: what the room begins with.
            forget: must be called when the room ends, unless it is parked.
            alarms: bound its waiting for the record.
        """


@attrs.frozen
class Opened:
    """A room, as whoever asked for it may know it."""

    room_id: RoomId
    session: Session
    settings: RoomSettings
    fresh: bool
    """Whether this request has opened it, and not an earlier one with the same claim."""
    ended: bool
    """Whether it has been opened so long ago that it has ended."""


class LastingRooms:
    """The rooms that outlive the server, live and parked.

    A parked room is a row in the store, and here no more than its id. All that belongs to one room
    happens one after the other, however many ask for it at once.
    """

    def __init__(
        self,
        hub: Hub,
        *,
        database: Database,
        book: Logbook,
        results: DatabaseResults,
        limits: Limits,
        make_room: MakeRoom,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Begin without any; :meth:`load` finds those of the store.

        Args:
            hub: runs the rooms, and knows all ids.
            database: where rooms are kept.
            book: the way of their logs into it.
            results: where their results are found.
            limits: the bounds of the rules.
            make_room: makes the room itself.
            clock: Unix time in seconds.
        """
        self._hub = hub
        self._database = database
        self._book = book
        self._results = results
        self._limits = limits
        self._make_room = make_room
        self._reports = book.reports
        self._alarms = Alarms()
        self._clock = clock
        self._parked: dict[RoomId, Session] = {}
        self._live: dict[RoomId, tuple[EstimationRoom, Journal]] = {}
        self._busy: dict[str, trio.Event] = {}  # claims and ids for which somebody is at work
        self._unrecorded: set[RoomId] = set()  # live, but their restarts are not on record yet
        self._rebuilding = trio.CapacityLimiter(REBUILT_AT_ONCE)
        self._log = get_logger("rooms")

    async def load(self) -> None:
        """Learn which rooms are parked in the store; before anybody may ask for one.

        Raises:
            StoreUnavailable: if the database does not answer.
        """
        await self._reports.load(self._database)
        for session in await self._database.run(logbook.parked):
            self._parked[session.room_id] = session
            self._hub.reserve(session.room_id)

    async def run(self) -> None:
        """See that no room waits too long for its record, until cancelled.

        And end, when it is time, the rooms for which nobody has asked since the start.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._alarms.run)
            nursery.start_soon(self._end_forgotten)

    async def _end_forgotten(self) -> None:
        await trio.sleep(ENDED_AFTER)
        while self._parked:
            idle = [each for each in self._parked.values() if each.room_id not in self._busy]
            some = idle[: logbook.ENDED_AT_ONCE]
            if not some or not await self._end_parked(some):
                await trio.sleep(_RETRY_SECONDS)

    def find(self, room_id: RoomId) -> EstimationRoom | None:
        """Look up a live room that lasts."""
        return self._hub.find(room_id) if room_id in self._live else None

    def journal(self, room_id: RoomId) -> Journal | None:
        """Look up the journal of a live room that lasts."""
        found = self._live.get(room_id)
        return found and found[1]

    def session(self, room_id: RoomId) -> Session | None:
        """Look up the session of a room that lasts, live or parked."""
        journal = self.journal(room_id)
        return self._parked.get(room_id) if journal is None else journal.session

    def known(self, room_id: RoomId) -> bool:
        """Tell whether there is such a room that lasts, live or parked."""
        return room_id in self._live or room_id in self._parked

    async def open(
        self,
        settings: RoomSettings,
        claim: str | None = None,
        owner: int | None = None,
        webhook: Webhook | None = None,
    ) -> Opened:
        """Open a room, which is durable then and waits for its first member.

        Args:
            settings: as what.
            claim: by which request: the same one gets the same room.
            owner: the account that opens it, if one does.
            webhook: where its events are told.

        Raises:
            Refused: if there are too many rooms, or the server is shutting down.
            StoreUnavailable: if the database does not answer.
        """
        if claim is None:
            return await self._open(settings, None, owner, webhook)
        key = f"claim {claim}"
        while key in self._busy:
            await self._busy[key].wait()
        with self._at_work(key):
            return await self._open(settings, claim, owner, webhook)

    async def claimed(self, claim: str) -> Opened | None:
        """Find the room that was opened with a claim; ``None`` if there is none yet.

        Raises:
            StoreUnavailable: if the database does not answer.
        """
        key = f"claim {claim}"
        while key in self._busy:
            await self._busy[key].wait()
        with self._at_work(key):
            found = await self._database.run(partial(logbook.claimed, claim=claim))
            return None if found is None else self._opened_before(found)

    async def wake(self, room_id: RoomId) -> EstimationRoom | None:
        """Find a room of either kind; make it live again if it is parked.

        Returns:
            ``None`` if there is no such room, or it cannot be rebuilt. There is no checkpoint
            between the finding and this.

        Raises:
            Refused: if it is parked, and the server is shutting down.
            StoreUnavailable: if it is parked, and the database does not answer.
        """
        while room_id in self._busy:
            await self._busy[room_id].wait()
        session = self._parked.get(room_id)
        if session is None:
            if room_id in self._unrecorded:
                with self._at_work(room_id):
                    await self._record_restart(room_id)
            return self._hub.find(room_id)
        _refuse_if(self._hub.draining)
        with self._at_work(room_id):
            async with self._rebuilding:
                await self._wake(session)
            await self._record_restart(room_id)
        return self.find(room_id)

    def park_all(self, reason: str) -> int:
        """Let all live rooms rest in the store as they are now; count them.

        Call :meth:`Hub.drain` before, so that none comes after.

        Each is on its way there when this returns: what has reached it before still takes effect.

        Args:
            reason: why, for those who are in them.
        """
        live = list(self._live.values())
        for room, _ in live:
            room.leave_process(reason)
        return len(live)

    async def look(self, room_id: RoomId) -> Picture | None:
        """Show a room of either kind; ``None`` if there is none.

        Raises:
            Refused: if it is parked, and the server is shutting down.
            StoreUnavailable: if it is parked, and the database does not answer.
        """
        room = await self.wake(room_id)
        if room is None or room.lasting is None or room.lasting.picture is None:
            return None
        return room.lasting.picture()

    async def close(self, room_id: RoomId, may: Callable[[int], bool]) -> bool | None:
        """End a room that lasts, if ``may`` says yes to its session's id; it is on record then.

        Returns:
            Whether it said yes, which nobody can of a room that does not last; ``None`` if there is
            no such room.

        Raises:
            Refused: if it is parked, and the server is shutting down.
            StoreUnavailable: if the database does not answer. Unless it was known to be gone, the
                room has ended all the same, which will be on record once the database is back.
        """
        room = await self.wake(room_id)
        if room is None:
            return None
        journal = self.journal(room_id)
        if journal is None or not may(journal.session.id):
            return False
        if not self._database.available:
            raise StoreUnavailable("the end of a room cannot be put on record")
        settled = trio.Event()
        self._when_closed(journal, settled.set)
        room.end(CLOSED)  # which its own task tells the journal
        with trio.move_on_after(CLOSE_SECONDS):
            await settled.wait()
        if not settled.is_set():
            raise StoreUnavailable("the end of a room is not on record yet")
        return True

    # --- opening ----------------------------------------------------------------------------

    async def _open(
        self, settings: RoomSettings, claim: str | None, owner: int | None, webhook: Webhook | None
    ) -> Opened:
        room_id = self._hub.draw()
        session = self._results.new_session(room_id, self._clock())
        self._hub.reserve(room_id)
        fresh = False
        try:
            opening = await self._database.run(
                partial(
                    self._reports.open_room,
                    session=session,
                    settings=settings,
                    claim=claim,
                    owner=owner,
                    webhook=webhook,
                ),
                write=True,
            )
            fresh = opening.fresh
        finally:
            if not fresh:
                self._hub.release(room_id)
        if not fresh:
            return self._opened_before(opening)
        self._reports.opened(session.id, webhook)
        if self._hub.draining:
            self._parked[room_id] = session
        else:
            rules = new_rules(session, settings, self._limits)
            begin = Start(session.opened_at, [SetTimer(NOBODY, EMPTY_SECONDS)])
            await self._run(rules, self._journal(session, rules, Kept()), begin)
        return Opened(room_id, session, settings, fresh=True, ended=False)

    def _opened_before(self, opening: Opening) -> Opened:
        session, ended = opening.session, opening.closed_at is not None
        if not ended and session.room_id not in self._hub.reserved:
            # It was written, but nobody here was told: the connection broke in the commit.
            self._parked[session.room_id] = session
            self._hub.reserve(session.room_id)
        settings = RoomSettings.read(opening.settings)
        return Opened(session.room_id, session, settings, fresh=False, ended=ended)

    # --- coming back ------------------------------------------------------------------------

    async def _wake(self, session: Session) -> None:
        """Make a parked room live, or end it if that cannot be."""
        rebuilt = await self._database.run(partial(self._read, session, self._clock()))
        if rebuilt is None or rebuilt.rules.phase is Phase.ENDED:
            found = None if rebuilt is None else logbook.write_tickets(rebuilt.rules.tickets)
            await self._end_parked([session], {} if found is None else {session.id: found})
            return
        _refuse_if(self._hub.draining)
        rules, begin = rebuilt.rules, rebuilt.start
        journal = self._journal(session, rules, rebuilt.kept)
        journal.add(begin.at, NOBODY, Restart(), rules.seq)
        await self._run(rules, journal, begin)

    def _read(self, session: Session, now: float, conn: Connection) -> Rebuilt | None:
        """Rebuild a room, in a worker thread; ``None`` if it is gone or cannot be understood."""
        stored = logbook.load(conn, session_id=session.id)
        if stored is not None:
            with contain("rooms", room=session.room_id, hence="it is ended"):
                return rebuild(stored, self._limits, now)
        return None

    async def _record_restart(self, room_id: RoomId) -> None:
        """Wait until a room's restart is on record, before anybody returns to it.

        Else another crash would give what follows, in the same generation, the numbers of what
        those who are back will have seen.

        Raises:
            StoreUnavailable: if that takes too long; then the next one waits for it.
        """
        journal = self.journal(room_id)
        if journal is not None:
            self._unrecorded.add(room_id)
            with trio.move_on_after(RECORD_SECONDS) as patience:
                await journal.flushed()
            if patience.cancelled_caught:
                raise StoreUnavailable("a room's restart cannot be written")
        self._unrecorded.discard(room_id)

    async def _end_parked(
        self, some: Sequence[Session], tickets: dict[int, bytes] | None = None
    ) -> bool:
        """End parked rooms; nobody can wake them meanwhile. Tell whether it was possible.

        Their backlogs, if they are not given, are read from their logs.
        """
        for session in some:
            del self._parked[session.room_id]
        closed = [(session.id, self._clock()) for session in some]
        ended = False
        try:
            if tickets is None:
                tickets = await self._database.run(partial(tickets_of, some, self._limits))
            end = partial(self._reports.close, closed=closed, tickets=tickets)
            self._reports.counted(await self._database.run(end, write=True))
            ended = True
        except StoreUnavailable as reason:
            self._log.warning("parked rooms cannot be ended yet", reason=str(reason))
        finally:
            for session in some:
                if ended:
                    self._hub.release(session.room_id)
                else:
                    self._parked[session.room_id] = session
        return ended

    async def _run(self, rules: Estimation, journal: Journal, begin: Start) -> None:
        """Make a room live, before there is a checkpoint; return once its task runs."""
        room_id = journal.session.room_id
        room = self._make_room(
            rules, journal, start=begin, forget=self._forget, alarms=self._alarms
        )
        self._parked.pop(room_id, None)
        self._live[room_id] = room, journal
        await self._hub.adopt(room)

    def _forget(self, room_id: RoomId) -> None:
        del self._live[room_id]
        self._unrecorded.discard(room_id)
        self._hub.forget(room_id)

    def _journal(self, session: Session, rules: Estimation, kept: Kept) -> Journal:
        journal = Journal(
            self._book,
            session,
            results=self._results,
            snapshot=rules.snapshot,
            tickets=lambda: rules.tickets,
            kept=kept,
        )
        self._when_closed(journal, lambda: None)
        return journal

    def _when_closed(self, journal: Journal, then: Callable[[], None]) -> None:
        """Once the room's end is on record, let another have its id, and go on with ``then``."""

        def note() -> None:
            self._hub.release(journal.session.room_id)
            then()

        journal.on_closed = note

    @contextmanager
    def _at_work(self, key: str) -> Iterator[None]:
        """Let everybody else who comes for this wait."""
        self._busy[key] = trio.Event()
        try:
            yield
        finally:
            self._busy.pop(key).set()


def _refuse_if(draining: bool) -> None:
    if draining:
        raise Refused(ErrorCode.SHUTTING_DOWN, "the server is shutting down")
