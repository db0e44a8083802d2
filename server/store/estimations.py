"""Rows of estimation rooms; each function is a unit of work that can be done twice.

They take many rows at once, since a busy server reveals thousands of rounds a second.
"""

from collections.abc import Sequence
from itertools import groupby

import attrs
import sqlalchemy as sa

from protocol.ids import MemberId, RoomId
from protocol.messages import TicketId, TicketResult, Vote
from server.store.schema import estimation_rounds as rounds
from server.store.schema import estimation_sessions as sessions
from server.store.schema import estimation_votes as votes
from server.store.statements import insert_or_ignore, insert_rows, is_text


@attrs.frozen
class Session:
    """What is stored of one room."""

    opened_at: float
    closed_at: float | None
    rounds: dict[int, TicketResult]
    """By number."""


@attrs.frozen
class Round:
    """A revealed round, on its way into the database."""

    room_id: RoomId
    opened_at: float
    """Of the room."""
    number: int
    result: TicketResult


def open_sessions(conn: sa.Connection, opened: Sequence[tuple[RoomId, float]]) -> None:
    """Note that rooms have begun, each at its time."""
    rows = [{"room_id": room_id, "opened_at": at} for room_id, at in dict.fromkeys(opened)]
    conn.execute(insert_or_ignore(conn, sessions), rows)


def record(conn: sa.Connection, revealed: Sequence[Round]) -> None:
    """Keep rounds; their sessions as well, should their beginning have been dropped."""
    open_sessions(conn, [(each.room_id, each.opened_at) for each in revealed])
    insert_rows(
        conn,
        rounds,
        [
            (each.room_id, each.number, each.result.ticket_id, each.result.seconds)
            for each in revealed
        ],
    )
    insert_rows(
        conn,
        votes,
        [
            (each.room_id, each.number, position, vote.member_id, vote.name, vote.value)
            for each in revealed
            for position, vote in enumerate(each.result.votes)
        ],
    )


def close_sessions(conn: sa.Connection, closed: Sequence[tuple[RoomId, float, float]]) -> None:
    """Note that rooms have ended: id, beginning and end of each."""
    open_sessions(conn, [(room_id, opened_at) for room_id, opened_at, _ in closed])
    conn.execute(
        sa.update(sessions)
        .where(sessions.c.room_id == sa.bindparam("room"))
        .values(closed_at=sa.bindparam("at")),
        [{"room": room_id, "at": at} for room_id, _, at in closed],
    )


def close_left_open(conn: sa.Connection, at: float) -> int:
    """End what a process that was killed has left open; count the rooms."""
    left = sa.update(sessions).where(sessions.c.closed_at.is_(None)).values(closed_at=at)
    return conn.execute(left).rowcount


def fetch(conn: sa.Connection, *, room_id: RoomId) -> Session | None:
    """Read all that is stored of a room."""
    if not is_text(room_id):
        return None
    session = conn.execute(
        sa.select(sessions.c.opened_at, sessions.c.closed_at).where(sessions.c.room_id == room_id)
    ).one_or_none()
    if session is None:
        return None
    # One statement, so that no round comes in between.
    rows = conn.execute(
        sa.select(
            rounds.c.number,
            rounds.c.ticket_id,
            rounds.c.seconds,
            votes.c.member_id,
            votes.c.name,
            votes.c.value,
        )
        .join_from(
            rounds,
            votes,
            (votes.c.room_id == rounds.c.room_id) & (votes.c.number == rounds.c.number),
            isouter=True,
        )
        .where(rounds.c.room_id == room_id)
        .order_by(rounds.c.number, votes.c.position)
    )
    found = {
        number: TicketResult(
            TicketId(ticket_id),
            tuple(
                Vote(MemberId(each.member_id), each.name, each.value)
                for each in group
                if each.member_id is not None
            ),
            seconds,
        )
        for (number, ticket_id, seconds), group in groupby(rows, lambda row: row[:3])
    }
    return Session(*session, found)
