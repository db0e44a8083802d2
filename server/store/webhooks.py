"""Webhooks of rooms, and what is still to be told to receivers; each function is a unit of work.

The deliveries of one room to one receiver go out in the order of their ids: the next one is due
only once the one before it has arrived or is given up.
"""

from collections.abc import Collection, Sequence
from typing import Any, Final

import attrs
import sqlalchemy as sa

from protocol.ids import RoomId
from server.store import estimations
from server.store.estimations import Session
from server.store.schema import estimation_sessions as sessions
from server.store.schema import lasting_rooms as rooms
from server.store.schema import webhook_deliveries as deliveries
from server.store.schema import webhooks
from server.store.statements import insert_or_ignore
from server.support.limits import DAY

KEPT_SECONDS: Final = 7 * DAY
"""For which what could not be delivered can be looked at, without what was to be told."""

_FORGOTTEN_AT_ONCE: Final = 500


@attrs.frozen(kw_only=True)
class Webhook:
    """Where to tell what happens."""

    url: str = attrs.field(repr=False)
    """May hold a secret of the receiver's."""
    secret: str = attrs.field(repr=False)
    """By which all that is told is signed."""
    events: tuple[str, ...]


@attrs.frozen(kw_only=True)
class Report:
    """Something that is to be told to one receiver."""

    message_id: str
    session_id: int
    own: bool
    """To the room's own webhook, and not to the one that the operator has set."""
    receiver: str
    event: str
    body: str
    at: float


@attrs.frozen
class Delivery:
    """A report that is due."""

    id: int
    message_id: str
    session_id: int
    own: bool
    receiver: str
    event: str
    body: str
    created_at: float
    tries: int
    url: str | None = attrs.field(repr=False)
    """Of the room's own webhook, if it is to go there, and there still is one."""
    secret: str | None = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class Due:
    """What is to be done now, and when to look again."""

    deliveries: Sequence[Delivery]
    later: float | None
    """When the next one is due that is not yet; ``None`` if there is none."""
    waiting: int
    """All that has not arrived yet and is not given up."""


@attrs.frozen(kw_only=True)
class Standing:
    """A room's own webhook, and how it goes."""

    webhook: Webhook
    waiting: int
    failed: int
    """Within the last days."""
    problem: str | None
    """Of the latest try that was in vain, as long as it matters."""


def keep(conn: sa.Connection, session_id: int, webhook: Webhook) -> None:
    """Give a room that has just been opened a webhook; one that it has stays."""
    row = {
        "session_id": session_id,
        "url": webhook.url,
        "secret": webhook.secret,
        "events": " ".join(webhook.events),
    }
    conn.execute(insert_or_ignore(conn, webhooks), row)


def hooked(conn: sa.Connection) -> list[int]:
    """Name all sessions with webhooks of their own."""
    return list(conn.execute(sa.select(webhooks.c.session_id)).scalars())


def of_sessions(conn: sa.Connection, ids: Collection[int]) -> dict[int, Webhook]:
    """Find the webhooks of some sessions."""
    if not ids:
        return {}
    found = conn.execute(sa.select(webhooks).where(webhooks.c.session_id.in_(ids)))
    return {row.session_id: _webhook(row) for row in found}


def standing(conn: sa.Connection, session_id: int) -> Standing | None:
    """Tell how it goes with the webhook of a session; ``None`` if it has none."""
    found = of_sessions(conn, [session_id])
    if not found:
        return None
    its = sa.and_(deliveries.c.session_id == session_id, deliveries.c.own)
    waiting, failed = conn.execute(
        sa.select(sa.func.count(deliveries.c.next_at), sa.func.count(deliveries.c.failed_at)).where(
            its
        )
    ).one()
    problem = conn.execute(
        sa.select(deliveries.c.problem)
        .where(its, deliveries.c.problem.is_not(None))
        .order_by(deliveries.c.id.desc())
        .limit(1)
    ).scalar()
    return Standing(webhook=found[session_id], waiting=waiting, failed=failed, problem=problem)


def remove(conn: sa.Connection, session_id: int) -> bool:
    """Take a session's webhook away with all that was for it; tell whether it had one."""
    conn.execute(
        sa.delete(deliveries).where(deliveries.c.session_id == session_id, deliveries.c.own)
    )
    return conn.execute(sa.delete(webhooks).where(webhooks.c.session_id == session_id)).rowcount > 0


def live(conn: sa.Connection, ids: Collection[int]) -> list[tuple[Session, int]]:
    """Find those of some rooms that have not ended, each with one more than its highest round."""
    found = conn.execute(
        sa.select(
            *(sessions.c[name] for name in ("id", "room_id", "key", "opened_at")),
            estimations.REVEALED,
        )
        .join_from(sessions, rooms)
        .where(sessions.c.id.in_(ids), rooms.c.room_id.is_not(None))
    )
    return [
        (Session(row.id, RoomId(row.room_id), row.key, row.opened_at), row.rounds) for row in found
    ]


def enqueue(conn: sa.Connection, reports: Sequence[Report], *, room: int, most: int) -> int:
    """Take reports to deliver, as far as there is room for them; those that wait already stay.

    Args:
        conn: to write by.
        reports: in order.
        room: deliveries of one room to one receiver that may wait.
        most: deliveries that may wait in all.

    Returns:
        How many there was no room for.
    """
    if not reports:
        return 0
    waiting = deliveries.c.next_at.is_not(None)
    count = sa.select(sa.func.count()).select_from(deliveries).where(waiting)
    left = most - conn.execute(count).scalar_one()
    pairs = {(each.session_id, each.own) for each in reports}
    rows = conn.execute(
        sa.select(deliveries.c.session_id, deliveries.c.own, sa.func.count())
        .where(waiting, deliveries.c.session_id.in_({session for session, _ in pairs}))
        .group_by(deliveries.c.session_id, deliveries.c.own)
    )
    taken: dict[tuple[int, bool], int] = {(session, own): n for session, own, n in rows}
    fitting: list[dict[str, object]] = []
    for each in reports:
        pair = each.session_id, each.own
        taken[pair] = taken.get(pair, 0) + 1
        if taken[pair] <= room and len(fitting) < left:
            fitting.append(
                {
                    "message_id": each.message_id,
                    "session_id": each.session_id,
                    "own": each.own,
                    "receiver": each.receiver,
                    "event": each.event,
                    "body": each.body,
                    "created_at": each.at,
                    "tries": 0,
                    "next_at": each.at,
                }
            )
    if fitting:
        conn.execute(insert_or_ignore(conn, deliveries), fitting)
    return len(reports) - len(fitting)


def due(
    conn: sa.Connection,
    now: float,
    *,
    underway: Collection[int],
    busy: Collection[str],
    limit: int,
) -> Due:
    """Find what is to be delivered at a Unix time.

    Args:
        conn: to read by.
        now: the time.
        underway: ids of deliveries that are being tried.
        busy: receivers that have as much to do as they may.
        limit: of the deliveries to find.
    """
    before = deliveries.alias()
    first = ~sa.exists().where(
        before.c.session_id == deliveries.c.session_id,
        before.c.own == deliveries.c.own,
        before.c.id < deliveries.c.id,
        before.c.next_at.is_not(None),
    )
    rows = conn.execute(
        sa.select(*(deliveries.c[name] for name in _COLUMNS), webhooks.c.url, webhooks.c.secret)
        .join_from(
            deliveries,
            webhooks,
            sa.and_(deliveries.c.own, webhooks.c.session_id == deliveries.c.session_id),
            isouter=True,
        )
        .where(
            deliveries.c.next_at <= now,
            deliveries.c.id.not_in(underway),
            deliveries.c.receiver.not_in(busy),
            first,
        )
        .order_by(deliveries.c.next_at, deliveries.c.id)
        .limit(limit)
    )
    found = [Delivery(*row) for row in rows]
    later, waiting = conn.execute(
        sa.select(
            sa.func.min(sa.case((deliveries.c.next_at > now, deliveries.c.next_at))),
            sa.func.count(),
        ).where(deliveries.c.next_at.is_not(None))
    ).one()
    return Due(deliveries=found, later=later, waiting=waiting)


def note_arrival(conn: sa.Connection, delivery_id: int) -> None:
    """Forget what has arrived."""
    conn.execute(sa.delete(deliveries).where(deliveries.c.id == delivery_id))


def postpone(conn: sa.Connection, delivery_id: int, *, until: float, problem: str) -> None:
    """Count a try in vain, after which there will be another one."""
    conn.execute(
        sa.update(deliveries)
        .where(deliveries.c.id == delivery_id)
        .values(tries=deliveries.c.tries + 1, next_at=until, problem=problem)
    )


def give_up(conn: sa.Connection, delivery_id: int, *, now: float, problem: str) -> None:
    """Try this no more, and forget what was to be told."""
    conn.execute(_given_up(now, problem).where(deliveries.c.id == delivery_id))


def give_up_all(conn: sa.Connection, *, session_id: int | None, now: float, problem: str) -> int:
    """Tell a receiver that wants nothing more nothing more; count what waited for it.

    Args:
        conn: to write by.
        session_id: of the room whose own webhook goes; ``None``: the one of the operator, which
            is to have nothing of what waits now.
        now: Unix time.
        problem: why.
    """
    if session_id is None:
        whose = ~deliveries.c.own
    else:
        whose = sa.and_(deliveries.c.session_id == session_id, deliveries.c.own)
        conn.execute(sa.delete(webhooks).where(webhooks.c.session_id == session_id))
    ended = _given_up(now, problem).where(whose, deliveries.c.next_at.is_not(None))
    return conn.execute(ended).rowcount


def forget_old(conn: sa.Connection, now: float) -> bool:
    """Delete some of what was given up long ago, and webhooks that will never be needed again.

    Returns:
        Whether there may be more.
    """
    old = (
        sa.select(deliveries.c.id)
        .where(deliveries.c.failed_at < now - KEPT_SECONDS)
        .limit(_FORGOTTEN_AT_ONCE)
    )
    gone = conn.execute(sa.delete(deliveries).where(deliveries.c.id.in_(old))).rowcount
    live = sa.select(rooms.c.session_id).where(rooms.c.room_id.is_not(None))
    waiting = sa.select(deliveries.c.session_id).where(
        deliveries.c.own, deliveries.c.next_at.is_not(None)
    )
    useless = (
        sa.select(webhooks.c.session_id)
        .where(webhooks.c.session_id.not_in(live), webhooks.c.session_id.not_in(waiting))
        .limit(_FORGOTTEN_AT_ONCE)
    )
    ended = conn.execute(sa.delete(webhooks).where(webhooks.c.session_id.in_(useless))).rowcount
    return max(gone, ended) >= _FORGOTTEN_AT_ONCE


_COLUMNS: Final = (
    *("id", "message_id", "session_id", "own", "receiver", "event", "body", "created_at", "tries"),
)
"""In the order of :class:`Delivery`."""


def _given_up(now: float, problem: str) -> sa.Update:
    return sa.update(deliveries).values(
        tries=deliveries.c.tries + 1, next_at=None, failed_at=now, body="", problem=problem
    )


def _webhook(row: Any) -> Webhook:
    return Webhook(url=row.url, secret=row.secret, events=tuple(row.events.split()))
