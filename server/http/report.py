"""What is told of a room's results, as plain records for JSON."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Final, Self

import attrs
from litestar.params import Parameter
from litestar.serialization import encode_json

from protocol.messages import TicketResult, Vote
from protocol.statistics import summarize
from server.http.outputs import time_of
from server.store.estimations import NumberedRound
from server.store.recording import RoomResults

_NONE = "; null if no card was a number"


@attrs.frozen
class VoteReport:
    """One card on the table."""

    member_id: Annotated[str, Parameter(description="Opaque, unique among all members")]
    name: Annotated[str, Parameter(description="As the member gave it")]
    value: Annotated[str, Parameter(description="The card, such as 8, ½ or ?")]

    @classmethod
    def of(cls, vote: Vote) -> Self:
        """Tell of one vote."""
        return cls(vote.member_id, vote.name, vote.value)


@attrs.frozen(kw_only=True)
class TicketReport:
    """One revealed round; cards such as ``?`` count in no figure."""

    ticket_id: Annotated[str, Parameter(description="As the admin gave it")]
    seconds: Annotated[float, Parameter(description="From opening the vote to revealing it")]
    votes: Annotated[list[VoteReport], Parameter(description="Of everybody who voted")]
    mean: Annotated[float | None, Parameter(description="In points" + _NONE)]
    median: Annotated[float | None, Parameter(description="In points" + _NONE)]
    mode: Annotated[
        float | None, Parameter(description="The most frequent value; null if there are several")
    ]
    modes: Annotated[
        list[float], Parameter(description="All of the most frequent values, ascending")
    ]
    min: Annotated[float | None, Parameter(description="In points" + _NONE)]
    max: Annotated[float | None, Parameter(description="In points" + _NONE)]
    consensus: Annotated[
        bool, Parameter(description="Everybody put down the same card, and it is a number")
    ]

    @classmethod
    def of(cls, ticket: TicketResult) -> Self:
        """Tell of one round, figures included."""
        summary = summarize(vote.value for vote in ticket.votes)
        return cls(
            ticket_id=ticket.ticket_id,
            seconds=round(ticket.seconds, 3),
            votes=[VoteReport.of(vote) for vote in ticket.votes],
            mean=summary.mean,
            median=summary.median,
            mode=summary.mode,
            modes=list(summary.modes),
            min=summary.min,
            max=summary.max,
            consensus=summary.consensus,
        )


@attrs.frozen(kw_only=True)
class RoomReport:
    """All that is kept of one room; sent in the slices that :class:`JsonForm` makes."""

    room_id: Annotated[str, Parameter(description="Six letters or digits")]
    opened_at: Annotated[datetime, Parameter(description="UTC, RFC 3339")]
    closed_at: Annotated[
        datetime | None, Parameter(description="UTC, RFC 3339; null while the room lives")
    ]
    expires_at: Annotated[
        datetime | None,
        Parameter(
            description="Until when this is kept: UTC, RFC 3339; null while the room lives, or if "
            "it is for ever"
        ),
    ]
    tickets: Annotated[
        list[TicketReport],
        Parameter(description="Rounds in order; a ticket estimated twice is there twice"),
    ]
    forgotten: Annotated[
        int, Parameter(description="Rounds that the server had to give up; usually 0")
    ] = 0
    missing: Annotated[
        int,
        Parameter(
            description="Rounds of a live room that cannot be read at this moment, because the "
            "database is gone; usually 0"
        ),
    ] = 0


class JsonForm:
    """Writes a :class:`RoomReport` slice by slice."""

    content_type: Final = "application/json"

    def __init__(self, ends: Callable[[float | None], float | None]) -> None:
        """Tell of results that are kept until ``ends(closed_at)``."""
        self._ends = ends

    def head(self, room: RoomResults) -> bytes:
        """Write what comes before the rounds."""
        ends = self._ends(room.closed_at)
        head = {
            "room_id": room.room_id,
            "opened_at": time_of(room.opened_at),
            "closed_at": None if room.closed_at is None else time_of(room.closed_at),
            "expires_at": None if ends is None else time_of(ends),
        }
        return encode_json(head)[:-1] + b',"tickets":['

    def rounds(self, room: RoomResults, rounds: Sequence[NumberedRound], *, first: bool) -> bytes:
        """Write some rounds; ``first`` tells whether none has been written."""
        written = b",".join(encode_json(TicketReport.of(ticket)) for _, ticket in rounds)
        return written if first else b"," + written

    def tail(self, forgotten: int, missing: int) -> bytes:
        """Write what comes after the rounds."""
        return b'],"forgotten":%d,"missing":%d}' % (forgotten, missing)
