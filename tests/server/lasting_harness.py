"""Rooms that outlive the server, with all that keeps them; a server that can be killed."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import sqlalchemy as sa
import trio
import trio.testing

from protocol.effects import Effect, Own
from protocol.estimation import Estimation
from protocol.ids import MemberId, RoomId, TicketId
from protocol.lasting import (
    NOBODY,
    BeginRound,
    CastCard,
    Join,
    Numbered,
    Request,
    RevealRound,
)
from protocol.messages import Command, GrantNumbers, TicketResult
from server.http.report import round_json
from server.http.routes.rooms import results_path
from server.rooms.alarms import Alarms
from server.rooms.hub import Hub
from server.rooms.journal import Journal, Logbook
from server.rooms.lasting import EstimationRoom, LastingRooms
from server.rooms.rebuilding import Start
from server.rooms.room import Lasting, Room
from server.store.database import Database
from server.store.logbook import RoomSettings
from server.store.results import DatabaseResults
from server.store.webhooks import Webhook
from server.store.writer import Writer
from server.support.counters import Counters
from server.support.limits import Limits
from server.webhooks.reports import Reports, Telling

SETTINGS: Final = RoomSettings(capacity=4, name="Refinement", grace_seconds=60.0)
TELLING: Final = Telling(round=round_json, results=results_path)
ADA, BOB = MemberId("ada"), MemberId("bob")

settled = trio.testing.wait_all_tasks_blocked


class KeptRules:
    """Rules for members without any connection."""

    def __init__(self, rules: Estimation, journal: Journal, start: Start) -> None:
        self.rules = rules
        self.journal = journal
        self._first = list(start.effects)

    def apply(self, command: Command, member: MemberId, now: float) -> list[Effect[TicketResult]]:
        effects = [*self._first, *self.rules.apply(command, member, now)]
        self._first = []
        # A room of today ends with an owner that has no connection.
        return [effect for effect in effects if not isinstance(effect, Own)]


class House:
    """A server's rooms, from its start to its end, on a database that outlives it."""

    def __init__(
        self,
        nursery: trio.Nursery,
        database: Database,
        everywhere: Webhook | None = None,
        **limits: Any,
    ) -> None:
        self.database = database
        self.counters = Counters()
        self.limits = Limits(**limits)
        self.writer = Writer(database, counters=self.counters)
        self.results = DatabaseResults(database, self.writer)
        self.reports = Reports(
            TELLING, counters=self.counters, limits=self.limits, everywhere=everywhere, clock=now
        )
        self.book = Logbook(self.writer, counters=self.counters, reports=self.reports)
        self.hub = Hub(nursery, limits=self.limits, results=self.results, counters=self.counters)
        self.lasting = LastingRooms(
            self.hub,
            database=database,
            book=self.book,
            results=self.results,
            limits=self.limits,
            make_room=self._make_room,
            clock=now,
        )
        self.kept: dict[RoomId, KeptRules] = {}
        self.made = 0
        """Rooms that were made live."""

    def _make_room(
        self,
        rules: Estimation,
        journal: Journal,
        *,
        start: Start,
        forget: Callable[[RoomId], None],
        alarms: Alarms,
    ) -> EstimationRoom:
        self.made += 1
        self.kept[rules.room_id] = KeptRules(rules, journal, start)
        since = trio.current_time()
        room = Room(
            rules.room_id,
            self.kept[rules.room_id],
            limits=self.limits,
            recorder=journal,
            counters=self.counters,
            forget=forget,
            clock=lambda: start.at + trio.current_time() - since,
            lasting=Lasting(
                session_id=journal.session.id,
                epoch="",
                snapshot_for=rules.snapshot_for,
                seq=lambda: rules.seq,
                journal=journal,
                alarms=alarms,
            ),
        )
        room.inbox.put(NOBODY, GrantNumbers(0))  # nothing, but then it has begun
        room.inbox.settle()
        return room

    def rules(self, room_id: RoomId) -> Estimation:
        return self.kept[room_id].rules

    def journal(self, room_id: RoomId) -> Journal:
        return self.kept[room_id].journal

    async def open(self, settings: RoomSettings = SETTINGS) -> RoomId:
        """Open a room in which the owner and somebody else are."""
        room_id = (await self.lasting.open(settings)).room_id
        await self.say(room_id, ADA, Join(name="Ada", owner=True))
        await self.say(room_id, BOB, Join(name="Bob"))
        return room_id

    async def say(self, room_id: RoomId, member: MemberId, command: Command) -> None:
        room = self.lasting.find(room_id)
        assert room is not None
        room.inbox.put(member, command)
        room.inbox.settle()
        await settled()

    async def play(self, room_id: RoomId, number: int) -> None:
        """Play a whole round; each is numbered from 1 on."""
        asked: list[tuple[MemberId, Request]] = [
            (ADA, BeginRound(TicketId(f"T-{number}"))),
            (ADA, CastCard(number, "5")),
            (BOB, CastCard(number, "8")),
            (ADA, RevealRound(number)),
        ]
        for ref, (member, request) in enumerate(asked):
            await self.say(room_id, member, Numbered(10 * number + ref, request))

    async def rounds(self, room_id: RoomId, key: str | None) -> list[str]:
        """Read the tickets that were revealed, as somebody who has the key."""
        found = await self.results.find(room_id, key)
        assert found is not None
        tickets: list[str] = []
        at = 0
        while at < found.rounds:
            page = await self.results.page(found, at)
            assert (page.missing, [n for n, _ in page.rounds]) == (0, list(range(at, page.next)))
            tickets += [result.ticket_id for _, result in page.rounds]
            at = page.next
        return tickets


def now() -> float:
    """Unix time by the virtual clock, the same for all servers of a test."""
    return 1_000.0 + trio.current_time()


@asynccontextmanager
async def house(
    database: Database, everywhere: Webhook | None = None, **limits: Any
) -> AsyncIterator[House]:
    """Run a server until the end of the block, which comes like a kill."""
    async with trio.open_nursery() as nursery:
        it = House(nursery, database, everywhere, **limits)
        await it.lasting.load()
        nursery.start_soon(it.lasting.run)  # noqa: ASYNC113
        await nursery.start(it.writer.run)
        try:
            yield it
        finally:
            nursery.cancel_scope.cancel()
            for kept in it.kept.values():  # what dies does not say goodbye
                kept.journal.park()


def count(conn: sa.Connection, table: sa.Table) -> int:
    return conn.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
