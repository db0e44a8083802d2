"""What rooms that outlive the server do to the store, and what is reported of it, in one go.

A report is written in the same transaction as what it tells: there is none of what is not on
record, and none is lost. What is reported of no room is written by :mod:`server.store.logbook`
itself, as if this were not here.
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Final

import attrs
import sqlalchemy as sa

from protocol.messages import TicketResult
from server.store import logbook, webhooks
from server.store.database import Database
from server.store.estimations import Session
from server.store.logbook import Chunk, Opening, RoomSettings
from server.store.webhooks import Report, Standing, Webhook
from server.support.counters import Counters
from server.support.limits import Limits
from server.support.supervise import contain
from server.webhooks import events
from server.webhooks.addresses import place_of
from server.webhooks.events import Event, message_id

_LIMITS: Final = Limits()


@attrs.frozen(kw_only=True)
class Telling:
    """How what is told over HTTP is told to receivers as well."""

    round: Callable[[TicketResult], bytes]
    """Gives a round in JSON; called in worker threads."""
    results: Callable[[Session], str]
    """Gives the path of the results, with the key."""


class Reports:
    """Knows of which rooms something is reported, and writes it; wakes whoever delivers it."""

    def __init__(
        self,
        telling: Telling,
        *,
        counters: Counters,
        limits: Limits = _LIMITS,
        everywhere: Webhook | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Begin; :meth:`load` finds the rooms with webhooks of their own.

        Args:
            telling: how things are told.
            counters: where reports are counted for which there is no room.
            limits: how many may wait.
            everywhere: what is told of all rooms.
            clock: Unix time in seconds.
        """
        self._telling = telling
        self._counters = counters
        self._limits = limits
        self.everywhere = everywhere
        """What is told of all rooms; ``None`` also once its receiver wants nothing more."""
        self._clock = clock
        self._hooked: set[int] = set()
        self._left_out = 0  # by the last transaction of the writer
        self._unopened: dict[int, int] = {}  # left out of what an opening reports
        self._wake: Callable[[], None] = _nobody

    def subscribe(self, wake: Callable[[], None]) -> None:
        """Call this, in Trio's thread, whenever something may have been reported."""
        self._wake = wake

    async def load(self, database: Database) -> None:
        """Learn which rooms have webhooks of their own.

        Raises:
            StoreUnavailable: if the database does not answer.
        """
        self._hooked.update(await database.run(webhooks.hooked))

    async def standing(self, database: Database, session_id: int) -> Standing | None:
        """Tell how it goes with a room's own webhook; ``None`` if it has none.

        Raises:
            StoreUnavailable: if the database does not answer.
        """
        return await database.run(partial(webhooks.standing, session_id=session_id))

    async def remove(self, database: Database, session_id: int) -> bool:
        """Take a room's own webhook away; tell whether it had one.

        Raises:
            StoreUnavailable: if the database does not answer.
        """
        had = await database.run(partial(webhooks.remove, session_id=session_id), write=True)
        self.unhook(session_id)
        return had

    # --- in Trio's thread, before and after the transactions -----------------------------------

    def concern(self, chunk: Chunk) -> bool:
        """Tell whether something is to be reported of what is written of a room at once."""
        if not self._hooked and self.everywhere is None:
            return False
        if not chunk.rounds and chunk.closed_at is None:
            return False
        return self.everywhere is not None or chunk.session_id in self._hooked

    def settled(self, chunk: Chunk, then: Callable[[bool], None]) -> Callable[[bool], None]:
        """Make what is told whether a chunk that concerns us was written; it goes on with ``then``.

        Args:
            chunk: what is being written by :meth:`append`.
            then: who else wants to know.
        """

        def note(written: bool) -> None:
            if written:
                self.counted(self._left_out)
                self._left_out = 0
                if chunk.closed_at is not None:
                    self._hooked.discard(chunk.session_id)
            then(written)

        return note

    def opened(self, session_id: int, webhook: Webhook | None) -> None:
        """A room is on record, with this webhook of its own."""
        if webhook is not None:
            self._hooked.add(session_id)
        self.counted(self._unopened.pop(session_id, 0))

    def unhook(self, session_id: int) -> None:
        """A room has no webhook of its own any more."""
        self._hooked.discard(session_id)

    def counted(self, left_out: int) -> None:
        """Something may have been reported, but for which there was no room."""
        self._counters.webhooks_dropped += left_out
        self._wake()

    # --- units of work -------------------------------------------------------------------------

    def open_room(
        self,
        conn: sa.Connection,
        *,
        session: Session,
        settings: RoomSettings,
        claim: str | None,
        owner: int | None = None,
        webhook: Webhook | None = None,
    ) -> Opening:
        """Keep a room that is being opened, as :func:`~server.store.logbook.open_room` does."""
        opening = logbook.open_room(
            conn, session=session, settings=settings.write(), claim=claim, owner=owner
        )
        if opening.fresh and not (webhook is None and self.everywhere is None):
            own: dict[int, Webhook] = {}
            if webhook is not None:
                webhooks.keep(conn, session.id, webhook)
                own[session.id] = webhook
            body = events.opened(session, settings.name)
            at = session.opened_at
            reports = self._reports(own, session.id, Event.ROOM_OPENED, 0, at, body)
            self._unopened[session.id] = self._enqueue(conn, reports)
        return opening

    def append(self, conn: sa.Connection, chunks: Sequence[Chunk]) -> None:
        """Keep what has happened in rooms, as :func:`~server.store.logbook.append` does."""
        at = self._clock()
        own = self._own(conn, [each.session_id for each in chunks])
        reports: list[Report] = []
        for chunk in chunks:
            # A round that cannot be told must be kept all the same.
            with contain("webhooks", session=chunk.session_id):
                for row in chunk.rounds:
                    if row.result.replaces:  # what has become of a round that was told
                        continue
                    body = events.revealed(row, at, self._telling.round(row.result))
                    reports += self._reports(
                        own, chunk.session_id, Event.ROUND_REVEALED, row.number, at, body
                    )
        closed = {each.session_id: each.closed_at for each in chunks if each.closed_at is not None}
        lately = {each.session_id: each.rounds[-1].number + 1 for each in chunks if each.rounds}
        reports += self._ends(conn, own, closed, lately)
        logbook.append(conn, chunks)
        self._left_out = self._enqueue(conn, reports)

    def close(
        self,
        conn: sa.Connection,
        closed: Sequence[tuple[int, float]],
        tickets: Mapping[int, bytes] = MappingProxyType({}),
    ) -> int:
        """End rooms, as :func:`~server.store.logbook.close` does.

        Returns:
            For how many reports of that there was no room.
        """
        own = self._own(conn, [session for session, _ in closed])
        reports = list(self._ends(conn, own, dict(closed), {}))  # before all of it is gone
        logbook.close(conn, closed, tickets)
        return self._enqueue(conn, reports)

    def _own(self, conn: sa.Connection, ids: Sequence[int]) -> Mapping[int, Webhook]:
        """Find the webhooks that rooms have of their own."""
        return webhooks.of_sessions(conn, self._hooked.intersection(ids))

    def _ends(
        self,
        conn: sa.Connection,
        own: Mapping[int, Webhook],
        closed: Mapping[int, float],
        lately: Mapping[int, int],
    ) -> Iterator[Report]:
        """Report the ends of rooms that are live yet, of which all may be gone in a moment."""
        concerned: Collection[int] = closed if self.everywhere is not None else own.keys() & closed
        for session, rounds in webhooks.live(conn, list(concerned)) if concerned else ():
            at, count = closed[session.id], max(rounds, lately.get(session.id, 0))
            results = self._telling.results(session) if count else None
            body = events.ended(session, at, count, results)
            yield from self._reports(own, session.id, Event.ROOM_ENDED, 0, self._clock(), body)

    def _reports(
        self,
        own: Mapping[int, Webhook],
        session_id: int,
        event: Event,
        number: int,
        at: float,
        body: str,
    ) -> Iterator[Report]:
        """Report an event to everybody who wants to be told."""
        for is_own, webhook in ((False, self.everywhere), (True, own.get(session_id))):
            if webhook is not None and event in webhook.events:
                yield Report(
                    message_id=message_id(session_id, is_own, event, number),
                    session_id=session_id,
                    own=is_own,
                    receiver=place_of(webhook.url).receiver,
                    event=event,
                    body=body,
                    at=at,
                )

    def _enqueue(self, conn: sa.Connection, reports: Iterable[Report]) -> int:
        return webhooks.enqueue(
            conn,
            list(reports),
            room=self._limits.room_webhooks_waiting,
            most=self._limits.webhooks_waiting,
        )


def _nobody() -> None:
    """Wake nobody."""
