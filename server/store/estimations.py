"""Rows of estimation rooms; each function is a unit of work that can be done twice.

Writing takes many rows at once, since a busy server reveals thousands of rounds a second; reading
and forgetting go in pages, since one room may have a million votes.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Final

import attrs
import sqlalchemy as sa

from protocol.codec import dumps, loads
from protocol.deck import DEFAULT_DECK, Deck
from protocol.ids import MemberId, RoomId
from protocol.messages import TicketId, TicketResult, Vote
from protocol.value import value
from server.store.schema import estimation_rounds as rounds
from server.store.schema import estimation_sessions as sessions
from server.store.schema import estimation_votes as votes
from server.store.schema import lasting_rooms
from server.store.statements import insert_or_ignore, insert_rows, is_text

FORGET_ROWS: Final = 2_000
"""Rows that one unit of work forgets at most: some 20 ms, for which others wait to write."""

NumberedRound = tuple[int, TicketResult]
"""The rounds of a session count from 0."""

_FORGET_SESSIONS: Final = 100
REVEALED: Final = (
    sa.func.coalesce(
        sa.select(sa.func.max(rounds.c.number))
        .where(rounds.c.session_id == sessions.c.id)
        .scalar_subquery(),
        -1,
    )
    + 1
).label("rounds")
"""A column of a query of sessions: one more than the highest number of a round."""

NOWHERE: Final = ""
"""The id of no room: of sessions that nobody finds any more, and whose rows are to go."""


@attrs.frozen
class Session:
    """One room's life, as it is stored; ``closed_at`` is apart, for it comes later."""

    id: int
    """Unlike the room's, never the same for two."""
    room_id: RoomId
    key: str | None
    """Must be shown to read the results; ``None``: the room's id is enough."""
    opened_at: float
    """Unix time in seconds."""


@attrs.frozen
class StoredSession:
    """A session that was found."""

    session: Session
    closed_at: float | None
    rounds: int
    """One more than the highest number of a round."""


@value
class Round:
    """A revealed round, on its way into the database."""

    session: Session
    number: int
    result: TicketResult


def record(conn: sa.Connection, revealed: Sequence[Round]) -> None:
    """Keep rounds, and the sessions that they belong to."""
    open_sessions(conn, [each.session for each in revealed])
    insert_rounds(conn, revealed)


def insert_rounds(conn: sa.Connection, revealed: Sequence[Round]) -> None:
    """Keep rounds of sessions that are there; of those that replace others, the last ones."""
    replacing = [each for each in revealed if each.result.replaces]
    if replacing:
        revealed = list({(each.session.id, each.number): each for each in revealed}.values())
        keys = [{"session": each.session.id, "round": each.number} for each in replacing]
        conn.execute(_REMOVE_VOTES, keys)
        conn.execute(_REMOVE_ROUND, keys)
    insert_rows(
        conn,
        rounds,
        [
            (
                each.session.id,
                each.number,
                each.result.ticket_id,
                each.result.seconds,
                _written(each.result.deck),
                each.result.estimate,
            )
            for each in revealed
        ],
    )
    insert_rows(
        conn,
        votes,
        [
            (
                each.session.id,
                each.number,
                position,
                vote.member_id,
                vote.name,
                vote.value,
                vote.changed or None,
            )
            for each in revealed
            for position, vote in enumerate(each.result.votes)
        ],
    )


def close_sessions(conn: sa.Connection, closed: Sequence[tuple[Session, float]]) -> None:
    """Note the end of sessions, each with its time; their rounds may be written later."""
    open_sessions(conn, [session for session, _ in closed])
    conn.execute(
        sa.update(sessions)
        .where(sessions.c.id == sa.bindparam("session"))
        .values(closed_at=sa.bindparam("at")),
        [{"session": session.id, "at": at} for session, at in closed],
    )


def close_left_open(conn: sa.Connection, at: float) -> int:
    """End what a process that was killed has left open, but for what lasts; count the rooms."""
    last = sa.select(lasting_rooms.c.session_id).where(lasting_rooms.c.room_id.is_not(None))
    left = sa.update(sessions).where(sessions.c.closed_at.is_(None), sessions.c.id.not_in(last))
    return conn.execute(left.values(closed_at=at)).rowcount


def find(conn: sa.Connection, *, room_id: RoomId) -> list[StoredSession]:
    """Find all sessions of rooms that had this id, the latest first."""
    if not is_text(room_id):
        return []
    rows = conn.execute(
        sa.select(
            sessions.c.id,
            sessions.c.key,
            sessions.c.opened_at,
            sessions.c.closed_at,
            REVEALED,
        )
        .where(sessions.c.room_id == room_id)
        .order_by(sessions.c.id.desc())
    )
    return [
        StoredSession(Session(id_, room_id, key, opened_at), closed_at, count)
        for id_, key, opened_at, closed_at, count in rows
    ]


def page(
    conn: sa.Connection, *, session_id: int, start: int, stop: int, rows: int
) -> tuple[list[NumberedRound], int]:
    """Read rounds in order of their numbers, whole ones only.

    Args:
        conn: to read by.
        session_id: whose rounds.
        start: the first number.
        stop: one more than the last number.
        rows: votes that are read; of more only if the first round has more.

    Returns:
        The rounds with their numbers, and the number to go on with: ``stop`` if there are no more.
    """
    found = _rounds(conn, session_id, start, stop, limit=rows + 1)
    if sum(max(1, len(result.votes)) for _, result in found) <= rows:
        return found, stop
    # The last one may have been cut off in the middle.
    number, _ = found.pop()
    if not found:
        return _rounds(conn, session_id, number, number + 1), number + 1
    return found, number


def hide(conn: sa.Connection, ids: Sequence[int]) -> None:
    """Let nobody find some sessions any more; :func:`forget_old` deletes the rows themselves."""
    conn.execute(sa.update(sessions).where(sessions.c.id.in_(ids)).values(room_id=NOWHERE))


def forget_old(
    conn: sa.Connection, now: float, *, seconds: float | None, rows: int = FORGET_ROWS
) -> bool:
    """Delete some of the sessions that are hidden or ended long ago, so few that nobody waits long.

    A session of which not all is gone yet cannot be found any more.

    Args:
        conn: to write by.
        now: Unix time in seconds.
        seconds: how long sessions are kept after their end; ``None`` for ever.
        rows: the most that are deleted of either table.

    Returns:
        Whether there may be more.
    """
    some = sa.select(sessions.c.id).limit(_FORGET_SESSIONS)
    # Two statements, each with an index: for both at once, SQLite would read all there are.
    ids = conn.execute(some.where(sessions.c.room_id == NOWHERE)).scalars().all()
    if not ids and seconds is not None:
        old = some.where(sessions.c.closed_at < now - seconds).order_by(sessions.c.closed_at)
        ids = conn.execute(old).scalars().all()
        if ids:
            hide(conn, ids)
    if not ids:
        return False
    for table in (votes, rounds):
        key = tuple(table.primary_key)
        part = sa.select(*key).where(table.c.session_id.in_(ids)).limit(rows)
        if conn.execute(sa.delete(table).where(sa.tuple_(*key).in_(part))).rowcount >= rows:
            return True
    conn.execute(sa.delete(sessions).where(sessions.c.id.in_(ids)))
    return True


def open_sessions(conn: sa.Connection, opened: Sequence[Session]) -> None:
    """Keep sessions, those that are there as they are."""
    rows = [
        {"id": each.id, "room_id": each.room_id, "key": each.key, "opened_at": each.opened_at}
        for each in {each.id: each for each in opened}.values()
    ]
    conn.execute(insert_or_ignore(conn, sessions), rows)


def _rounds(
    conn: sa.Connection, session_id: int, start: int, stop: int, limit: int | None = None
) -> list[NumberedRound]:
    """Read rounds; the last one without some of its votes if there are more rows."""
    decks = _Decks()
    # One statement, so that no round comes in between.
    rows = conn.execute(
        sa.select(
            rounds.c.number,
            rounds.c.ticket_id,
            rounds.c.seconds,
            rounds.c.deck,
            rounds.c.estimate,
            votes.c.member_id,
            votes.c.name,
            votes.c.value,
            votes.c.changed,
        )
        .join_from(
            rounds,
            votes,
            (votes.c.session_id == rounds.c.session_id) & (votes.c.number == rounds.c.number),
            isouter=True,
        )
        .where(
            rounds.c.session_id == session_id,
            rounds.c.number >= start,
            rounds.c.number < stop,
        )
        .order_by(rounds.c.number, votes.c.position)
        .limit(limit)
    )
    return [
        (
            number,
            TicketResult(
                TicketId(ticket_id),
                tuple(
                    Vote(
                        MemberId(each.member_id), each.name, each.value, changed=bool(each.changed)
                    )
                    for each in group
                    if each.member_id is not None
                ),
                seconds,
                decks[deck],
                estimate=estimate,
            ),
        )
        for (number, ticket_id, seconds, deck, estimate), group in groupby(
            rows, lambda row: row[:5]
        )
    ]


_REMOVE_VOTES: Final = sa.delete(votes).where(
    votes.c.session_id == sa.bindparam("session"), votes.c.number == sa.bindparam("round")
)
_REMOVE_ROUND: Final = sa.delete(rounds).where(
    rounds.c.session_id == sa.bindparam("session"), rounds.c.number == sa.bindparam("round")
)


def _written(deck: Deck) -> str | None:
    return None if deck is DEFAULT_DECK else dumps(deck.plain()).decode()


class _Decks(dict[str | None, Deck]):
    """Reads each deck once, as the rounds of a room have few."""

    def __missing__(self, written: str | None) -> Deck:
        deck = DEFAULT_DECK if written is None else Deck.of_plain(loads(written))
        self[written] = deck
        return deck
