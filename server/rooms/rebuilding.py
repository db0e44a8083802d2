"""How a room that outlives the server begins: by its settings, or by what its log says."""

from collections.abc import Sequence

import attrs
import orjson
from sqlalchemy import Connection

from protocol.effects import ClearTimer, Effect, Own, SetTimer
from protocol.estimation import Estimation
from protocol.journal import Unreadable, read_entries
from protocol.lasting import NOBODY, Restart
from protocol.messages import TicketResult
from protocol.ticket import Ticket
from server.store import logbook
from server.store.estimations import Session
from server.store.logbook import Kept, RoomSettings, StoredLog
from server.support.limits import Limits
from server.support.supervise import contain


@attrs.frozen
class Start:
    """How a room begins, or goes on."""

    at: float
    """Its time at this moment, in Unix seconds; it must not be given an earlier one."""
    effects: Sequence[Effect[TicketResult]]
    """To be carried out first: timers, and who is the owner."""


@attrs.frozen
class Rebuilt:
    """A room as its log has it, with everybody away."""

    rules: Estimation
    start: Start
    kept: Kept
    """How far the store knows it."""


def rebuild(stored: StoredLog, limits: Limits, now: float) -> Rebuilt:
    """Make a room of what is kept of it, and let it begin again at this Unix time.

    A room that has ended, by its log or because nobody is left whom it could wait for, is said to
    have ended; nothing may be done with it.

    Raises:
        Unreadable: if the log is not one, or has a hole.
        Exception: of many kinds, if the log is one that the rules do not understand.
    """
    settings = RoomSettings.read(stored.settings)
    if stored.snapshot is None:
        rules = new_rules(stored.session, settings, limits)
    else:
        rules = Estimation.restore(
            orjson.loads(stored.snapshot),
            announce_seconds=limits.announce_seconds,
            results_key=stored.session.key or "",
        )
    logged, last = 0, stored.session.opened_at
    for number, (row, data) in enumerate(stored.rows, stored.number + 1):
        if row != number:
            raise Unreadable(f"row {number} of a log is missing")
        entries = read_entries(data)
        for entry in entries:
            rules.apply(entry.command, entry.member, entry.at)
        if entries:
            logged, last = logged + len(entries), entries[-1].at
    kept = Kept(
        number=stored.number + len(stored.rows),
        seq=rules.seq,
        commands=logged,
        snapshot_bytes=len(stored.snapshot or b""),
        # The rules know of the last ones even if they were lost: what is told again of one of them
        # must not take the place of another one.
        rounds=max(stored.rounds, settings.most_rounds - rules.rounds_left),
    )
    at = max(now, last)
    effects = [
        effect
        for effect in rules.apply(Restart(), NOBODY, at)
        if isinstance(effect, SetTimer | ClearTimer | Own)
    ]
    return Rebuilt(rules, Start(at, effects), kept)


def stored_tickets(conn: Connection, *, session: Session, limits: Limits) -> Sequence[Ticket]:
    """Read the backlog of a room that rests, or has ended; none if it cannot be understood."""
    stored = logbook.load(conn, session_id=session.id)
    if stored is None:
        return logbook.kept_tickets(conn, session_id=session.id)
    with contain("rooms", room=session.room_id, hence="its backlog is left out"):
        return rebuild(stored, limits, session.opened_at).rules.tickets
    return ()


def tickets_of(some: Sequence[Session], limits: Limits, conn: Connection) -> dict[int, bytes]:
    """Read what is to be kept of the backlogs of rooms that rest, and are about to be ended."""
    read = (
        (each.id, logbook.write_tickets(stored_tickets(conn, session=each, limits=limits)))
        for each in some
    )
    return {session: tickets for session, tickets in read if tickets is not None}


def new_rules(session: Session, settings: RoomSettings, limits: Limits) -> Estimation:
    """Make the rules of a room that is being opened."""
    return Estimation(
        session.room_id,
        settings.capacity,
        deck=settings.deck,
        name=settings.name,
        grace_seconds=settings.grace_seconds,
        options=settings.options,
        seal=settings.seal,
        opened_at=session.opened_at,
        keyed=True,
        announce_seconds=limits.announce_seconds,
        results_key=session.key or "",
        most_rounds=settings.most_rounds,
        most_capacity=settings.most_capacity,
    )
