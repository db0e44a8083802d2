"""How a room that outlives the server begins: by its settings, or by what its log says."""

from collections.abc import Sequence

import attrs
import orjson

from protocol.effects import ClearTimer, Effect, Own, SetTimer
from protocol.estimation import Estimation
from protocol.journal import Unreadable, read_entries
from protocol.lasting import NOBODY, Restart
from protocol.messages import TicketResult
from server.store.estimations import Session
from server.store.logbook import Kept, RoomSettings, StoredLog
from server.support.limits import Limits


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
