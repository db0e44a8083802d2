"""What is told of a room's results, as plain records for JSON."""

from datetime import UTC, datetime
from typing import Annotated, Self

import attrs
from litestar.params import Parameter

from protocol.messages import TicketResult, Vote
from protocol.statistics import summarize
from server.store.results import RoomResults

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
    """All that is kept of one room."""

    room_id: Annotated[str, Parameter(description="Six letters or digits")]
    opened_at: Annotated[datetime, Parameter(description="UTC, RFC 3339")]
    closed_at: Annotated[
        datetime | None, Parameter(description="UTC, RFC 3339; null while the room lives")
    ]
    tickets: Annotated[
        list[TicketReport],
        Parameter(description="Rounds in order; a ticket estimated twice is there twice"),
    ]
    forgotten: Annotated[
        int, Parameter(description="Earlier rounds that the server had to give up; usually 0")
    ] = 0

    @classmethod
    def of(cls, room: RoomResults) -> Self:
        """Tell of a whole room."""
        return cls(
            room_id=room.room_id,
            opened_at=time_of(room.opened_at),
            closed_at=None if room.closed_at is None else time_of(room.closed_at),
            tickets=[TicketReport.of(ticket) for ticket in room.tickets],
            forgotten=room.forgotten,
        )


def time_of(seconds: float) -> datetime:
    """Turn Unix time into a date, to the millisecond: no clock is better."""
    return datetime.fromtimestamp(round(seconds, 3), UTC)
