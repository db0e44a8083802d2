"""Rooms that outlive the server: rows of what happened in them; units of work, good to do twice.

A row of a room's log is all that happened in it between two transactions. The rounds that were
revealed meanwhile are written in the same one, so the log and the results never disagree. A
snapshot takes the place of the rows before it: what is kept of a room has a bound.
"""

from collections.abc import Sequence
from typing import Any, Final

import attrs
import sqlalchemy as sa
from cattrs.errors import BaseValidationError

from protocol.codec import CONVERTER, dumps, loads
from protocol.deck import DEFAULT_DECK, Deck
from protocol.errors import Refused
from protocol.ids import MemberId, RoomId
from protocol.journal import Unreadable, write_entries
from protocol.limits import GRACE_SECONDS, ROUNDS
from protocol.messages import Command
from protocol.options import DEFAULTS, Options
from protocol.value import value
from server.store import estimations
from server.store.estimations import Round, Session
from server.store.schema import estimation_rounds as rounds
from server.store.schema import estimation_sessions as sessions
from server.store.schema import lasting_rooms as rooms
from server.store.schema import room_log as log
from server.store.schema import room_people as people
from server.store.schema import users
from server.store.statements import insert_new, insert_or_ignore, insert_rows

ENDED_AT_ONCE: Final = 100
"""Rooms that one unit of work ends at the most, so that nobody waits long to write."""

Applied = tuple[float, MemberId, Command]
"""An :class:`~protocol.journal.Entry`, without the name, which costs as much as all the rest."""


@attrs.frozen(kw_only=True)
class RoomSettings:
    """As what a room was opened."""

    capacity: int
    name: str = ""
    deck: Deck = DEFAULT_DECK
    grace_seconds: float = attrs.field(default=GRACE_SECONDS, converter=float)
    options: Options = DEFAULTS
    most_rounds: int = ROUNDS
    most_capacity: int = 0
    seal: str | None = attrs.field(default=None, repr=False)
    """By which the passcode is recognised, if there is one."""

    def write(self) -> str:
        """Give this as JSON."""
        return dumps(CONVERTER.unstructure(self)).decode()

    @classmethod
    def read(cls, text: str) -> "RoomSettings":
        """Read what :meth:`write` gave.

        Raises:
            Unreadable: if it is something else.
        """
        try:
            data = loads(text)
            if "cards" in data:  # as it was called when there was nothing but labels
                data["deck"] = data.pop("cards")
            return CONVERTER.structure(data, cls)
        except (Refused, ValueError, TypeError, AttributeError, BaseValidationError) as error:
            raise Unreadable(f"the settings of a room cannot be read: {error!r}") from error


@attrs.frozen
class Opening:
    """What a request to open a room has come to."""

    session: Session
    settings: str
    closed_at: float | None
    fresh: bool
    """Whether this request has opened it, and not an earlier one with the same claim."""


@value(kw_only=True)
class Chunk:
    """What is to be written of a room at once."""

    session_id: int
    number: int
    """Of the row in the log, from 1 on and without a gap."""
    entries: Sequence[Applied] = ()
    snapshot: bytes | None = None
    """In place of all entries up to here."""
    rounds: Sequence[Round] = ()
    people: Sequence[tuple[int, float]] = ()
    """Accounts, and when they came."""
    closed_at: float | None = None
    """When the room has ended, if it has; then nothing is left of its log."""


@attrs.frozen(kw_only=True)
class StoredLog:
    """What is kept of a live room."""

    session: Session
    settings: str
    snapshot: bytes | None
    number: int
    """Of the snapshot, counted with the rows; 0 if there is none."""
    rows: Sequence[tuple[int, bytes]]
    """Since the snapshot, in order; their numbers follow its own without a gap."""
    rounds: int
    """One more than the highest number of a round."""


@attrs.frozen(kw_only=True)
class Kept:
    """How far the store knows a room; by default one that has just been opened."""

    number: int = 0
    """Of the last row of its log, or of its snapshot."""
    seq: int = 0
    """Of the last change."""
    commands: int = 0
    """Since the snapshot."""
    snapshot_bytes: int = 0
    rounds: int = 0
    """That were revealed."""


def open_room(
    conn: sa.Connection,
    *,
    session: Session,
    settings: str,
    claim: str | None,
    owner: int | None = None,
) -> Opening:
    """Keep a room that is being opened, unless one with this claim was opened before.

    Args:
        conn: to write by.
        session: a new one, of a room whose id no live room has.
        settings: as what it is opened, in JSON.
        claim: by which request; another one with the same claim gets the same room.
        owner: the account that opens it, if one does.
    """
    estimations.open_sessions(conn, [session])
    fresh = insert_new(
        conn,
        rooms,
        session_id=session.id,
        room_id=session.room_id,
        settings=settings,
        claim=claim,
        snapshot_number=0,
    )
    if fresh:
        if owner is not None:
            came = {"session": session.id, "account": owner, "at": session.opened_at}
            conn.execute(_note_person(conn), [came])
            conn.execute(
                sa.update(people).where(people.c.session_id == session.id).values(owner=True)
            )
        return Opening(session, settings, None, fresh=True)
    earlier = rooms.c.session_id == session.id
    if claim is not None:
        earlier |= rooms.c.claim == claim
    found = conn.execute(_OPENINGS.where(earlier)).one()
    if found.id != session.id:
        conn.execute(sa.delete(sessions).where(sessions.c.id == session.id))
    return _opening(found, fresh=found.id == session.id)


def claimed(conn: sa.Connection, *, claim: str) -> Opening | None:
    """Find the room that was opened with a claim."""
    found = conn.execute(_OPENINGS.where(rooms.c.claim == claim)).one_or_none()
    return None if found is None else _opening(found, fresh=False)


def append(conn: sa.Connection, chunks: Sequence[Chunk]) -> None:
    """Keep what has happened in rooms since their last chunks."""
    insert_rows(
        conn,
        log,
        [
            (each.session_id, each.number, write_entries(each.entries))
            for each in chunks
            if each.entries
        ],
    )
    whole = [
        {"session": each.session_id, "upto": each.number, "whole": each.snapshot}
        for each in chunks
        if each.snapshot is not None
    ]
    if whole:
        conn.execute(_REPLACE, whole)
        conn.execute(_FORGET, whole)
    estimations.insert_rounds(conn, [revealed for each in chunks for revealed in each.rounds])
    come = [
        {"session": each.session_id, "account": account, "at": at}
        for each in chunks
        for account, at in each.people
    ]
    if come:
        conn.execute(_note_person(conn), come)
    closed = [(each.session_id, each.closed_at) for each in chunks if each.closed_at is not None]
    if closed:
        close(conn, closed)


def close(conn: sa.Connection, closed: Sequence[tuple[int, float]]) -> None:
    """End rooms, each with its time: their logs go, and all of those that revealed nothing."""
    conn.execute(_CLOSE_SESSION, [{"session": session, "at": at} for session, at in closed])
    conn.execute(_CLOSE_ROOM, [{"session": session} for session, _ in closed])
    conn.execute(_FORGET_ALL, [{"session": session} for session, _ in closed])
    conn.execute(_FORGET_SESSION, [{"session": session} for session, _ in closed])


def load(conn: sa.Connection, *, session_id: int) -> StoredLog | None:
    """Read a live room."""
    found = conn.execute(
        sa.select(
            *_SESSION,
            rooms.c.settings,
            rooms.c.snapshot,
            rooms.c.snapshot_number,
            estimations.REVEALED,
        )
        .join_from(rooms, sessions)
        .where(rooms.c.session_id == session_id, rooms.c.room_id.is_not(None))
    ).one_or_none()
    if found is None:
        return None
    rows = conn.execute(
        sa.select(log.c.number, log.c.entries)
        .where(log.c.session_id == session_id, log.c.number > found.snapshot_number)
        .order_by(log.c.number)
    ).all()
    return StoredLog(
        session=_session(found),
        settings=found.settings,
        snapshot=found.snapshot,
        number=found.snapshot_number,
        rows=[(row.number, row.entries) for row in rows],
        rounds=found.rounds,
    )


def parked(conn: sa.Connection) -> list[Session]:
    """List all live rooms."""
    found = conn.execute(
        sa.select(*_SESSION).join_from(rooms, sessions).where(rooms.c.room_id.is_not(None))
    )
    return [_session(row) for row in found]


def forget_claims(conn: sa.Connection, before: float) -> None:
    """Let requests for rooms that were opened before this Unix time open other ones."""
    old = sa.select(sessions.c.id).where(sessions.c.opened_at < before)
    conn.execute(
        sa.update(rooms)
        .where(rooms.c.claim.is_not(None), rooms.c.session_id.in_(old))
        .values(claim=None)
    )


_SESSION: Final = (sessions.c.id, sessions.c.room_id, sessions.c.key, sessions.c.opened_at)
_OPENINGS: Final = sa.select(*_SESSION, sessions.c.closed_at, rooms.c.settings).join_from(
    rooms, sessions
)
_THIS: Final[sa.BindParameter[int]] = sa.bindparam("session")
_REPLACE: Final = (
    sa.update(rooms)
    .where(rooms.c.session_id == _THIS)
    .values(snapshot=sa.bindparam("whole"), snapshot_number=sa.bindparam("upto"))
)
_FORGET: Final = sa.delete(log).where(
    log.c.session_id == _THIS, log.c.number <= sa.bindparam("upto")
)
_FORGET_ALL: Final = sa.delete(log).where(log.c.session_id == _THIS)
_CLOSE_SESSION: Final = (
    sa.update(sessions)
    .where(sessions.c.id == _THIS, sessions.c.closed_at.is_(None))
    .values(closed_at=sa.bindparam("at"))
)
_CLOSE_ROOM: Final = (
    sa.update(rooms).where(rooms.c.session_id == _THIS).values(room_id=None, snapshot=None)
)
_FORGET_SESSION: Final = sa.delete(sessions).where(
    sessions.c.id == _THIS,
    ~sa.exists().where(rounds.c.session_id == sessions.c.id).correlate(sessions),
)


def _note_person(conn: sa.Connection) -> sa.Insert:
    """Make an insert for an account that may have been deleted meanwhile."""
    account = sa.bindparam("account", type_=users.c.id.type)
    there = (
        sa.select(
            sa.bindparam("session", type_=sessions.c.id.type),
            users.c.id,
            sa.bindparam("at", type_=sa.Double),
        )
        .where(users.c.id == account)
        .with_for_update(read=True, key_share=True)
    )
    return insert_or_ignore(conn, people).from_select(["session_id", "user_id", "joined_at"], there)


def _session(row: Any) -> Session:
    return Session(row.id, RoomId(row.room_id), row.key, row.opened_at)


def _opening(row: Any, *, fresh: bool) -> Opening:
    return Opening(_session(row), row.settings, row.closed_at, fresh=fresh)
