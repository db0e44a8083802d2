"""What receivers are told: the kinds of events, and their bodies.

A body has the type, the time and the data, as the Standard Webhooks specification recommends.
"""

import hashlib
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

import orjson

from server.store.estimations import Round, Session


class Event(StrEnum):
    """Each kind of event, by the name that receivers know it by."""

    ROOM_OPENED = "room.opened"
    ROUND_REVEALED = "round.revealed"
    ROOM_ENDED = "room.ended"


EVERY: Final = tuple(Event)


def body_of(event: Event, at: float, **data: Any) -> str:
    """Write the body that tells an event."""
    told = {"type": event, "timestamp": _time(at), "data": data}
    return orjson.dumps(told, option=orjson.OPT_UTC_Z).decode()


def message_id(session_id: int, own: bool, event: Event, number: int = 0) -> str:
    """Name one event for one receiver; twice the same for what is written twice."""
    what = f"{session_id} {own:d} {event} {number}"
    return "msg_" + hashlib.sha256(what.encode()).hexdigest()[:32]


def opened(session: Session, name: str) -> str:
    """Tell that a room is open."""
    return body_of(
        Event.ROOM_OPENED,
        session.opened_at,
        room_id=session.room_id,
        name=name,
        opened_at=_time(session.opened_at),
        link=f"/r/{session.room_id}",
    )


def revealed(row: Round, at: float, told: bytes) -> str:
    """Tell of a round.

    Args:
        row: the round.
        at: when its reveal was put on record.
        told: the round in JSON, as in the results.
    """
    return body_of(
        Event.ROUND_REVEALED,
        at,
        room_id=row.session.room_id,
        number=row.number,
        round=orjson.Fragment(told),
    )


def ended(session: Session, at: float, rounds: int, results: str | None) -> str:
    """Tell that a room has ended, and where its results are, if there are any."""
    return body_of(
        Event.ROOM_ENDED,
        at,
        room_id=session.room_id,
        opened_at=_time(session.opened_at),
        closed_at=_time(at),
        rounds=rounds,
        results=results,
    )


def _time(seconds: float) -> datetime:
    """Turn Unix time into a date, to the millisecond."""
    return datetime.fromtimestamp(round(seconds, 3), UTC)
