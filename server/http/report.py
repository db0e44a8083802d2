"""What is told of a room's results, as plain records for JSON."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Self

import attrs
from litestar.params import Parameter
from litestar.serialization import encode_json

from protocol.messages import TicketResult, Vote
from protocol.statistics import summarize
from protocol.suggestion import Suggestion
from server.http.outputs import time_of
from server.store.estimations import NumberedRound
from server.store.recording import RoomResults

_NONE: Final = "; null if no card had points"
_ORDINAL: Final = "In decks without points: "


@attrs.frozen
class SuggestionReport:
    """What the votes suggest."""

    card: Annotated[str, Parameter(description="An estimate of the deck")]
    rule: Annotated[
        str,
        Parameter(
            description="`mode`: at least 60 % of the estimates are this card; `median`: it is "
            "their median, rounded up to a card"
        ),
    ]

    @classmethod
    def of(cls, suggestion: Suggestion) -> Self:
        """Tell of a suggestion."""
        return cls(suggestion.card, suggestion.rule)


@attrs.frozen
class VoteReport:
    """One card on the table."""

    member_id: Annotated[str, Parameter(description="Opaque, unique among all members")]
    name: Annotated[str, Parameter(description="As the member gave it")]
    value: Annotated[str, Parameter(description="The card, such as 8, ½ or ?")]
    changed: Annotated[bool, Parameter(description="It was put down, or changed, after the reveal")]

    @classmethod
    def of(cls, vote: Vote) -> Self:
        """Tell of one vote."""
        return cls(vote.member_id, vote.name, vote.value, vote.changed)


@attrs.frozen(kw_only=True)
class TicketReport:
    """One revealed round; ``?``, ∞ and ``coffee`` count in no figure."""

    ticket_id: Annotated[str, Parameter(description="As the admin gave it")]
    seconds: Annotated[float, Parameter(description="From opening the vote to revealing it")]
    deck_id: Annotated[
        str, Parameter(description="What was voted with: one of `/v1/decks`, or `custom`")
    ]
    votes: Annotated[list[VoteReport], Parameter(description="Of everybody who voted")]
    count: Annotated[int, Parameter(description="Votes that are estimates")]
    mean: Annotated[float | None, Parameter(description="In points" + _NONE)]
    median: Annotated[float | None, Parameter(description="In points" + _NONE)]
    median_card: Annotated[
        str | None,
        Parameter(description=_ORDINAL + "the middle card, the higher one of two; else null"),
    ]
    mode: Annotated[
        float | None, Parameter(description="The most frequent points; null if there are several")
    ]
    modes: Annotated[
        list[float], Parameter(description="All of the most frequent points, ascending")
    ]
    mode_cards: Annotated[
        list[str],
        Parameter(description=_ORDINAL + "all of the most frequent cards, in the deck's order"),
    ]
    min: Annotated[float | None, Parameter(description="In points" + _NONE)]
    max: Annotated[float | None, Parameter(description="In points" + _NONE)]
    spread: Annotated[float | None, Parameter(description="`max` less `min`" + _NONE)]
    standard_deviation: Annotated[
        float | None, Parameter(description="Of the population, in points" + _NONE)
    ]
    agreement: Annotated[
        float | None,
        Parameter(description="Part of the estimates that are the most frequent one, up to 1"),
    ]
    consensus: Annotated[
        bool, Parameter(description="Everybody put down the same card, and it is an estimate")
    ]
    suggestion: Annotated[
        SuggestionReport | None,
        Parameter(description="What the votes suggest; null if there is no estimate"),
    ]
    estimate: Annotated[
        str | None,
        Parameter(description="The card on which the team has agreed; null if it has not"),
    ]

    @classmethod
    def of(cls, ticket: TicketResult) -> Self:
        """Tell of one round, figures included."""
        summary = summarize([vote.value for vote in ticket.votes], ticket.deck)
        suggestion = summary.suggestion
        return cls(
            ticket_id=ticket.ticket_id,
            seconds=round(ticket.seconds, 3),
            deck_id=ticket.deck.id,
            votes=[VoteReport.of(vote) for vote in ticket.votes],
            count=summary.count,
            mean=summary.mean,
            median=summary.median,
            median_card=summary.median_card,
            mode=summary.mode,
            modes=list(summary.modes),
            mode_cards=list(summary.mode_cards),
            min=summary.min,
            max=summary.max,
            spread=summary.spread,
            standard_deviation=summary.standard_deviation,
            agreement=summary.agreement,
            consensus=summary.consensus,
            suggestion=None if suggestion is None else SuggestionReport.of(suggestion),
            estimate=ticket.estimate,
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


@attrs.frozen(kw_only=True)
class ExportedVoteReport:
    """A card on the table."""

    name: Annotated[
        str | None, Parameter(description="Of the voter; null where votes are anonymous")
    ]
    card: Annotated[str, Parameter(description="Such as 8, ½ or ?")]
    comment: Annotated[str, Parameter(description="Of the voter; may be empty")]


@attrs.frozen(kw_only=True)
class ExportedRoundReport:
    """One vote on a ticket."""

    number: Annotated[int, Parameter(description="Among all rounds of the room, from 1 on")]
    deck: Annotated[str, Parameter(description="One of `/v1/decks`, or `custom`")]
    seconds: Annotated[float, Parameter(description="From opening the vote to revealing it")]
    votes: Annotated[
        list[ExportedVoteReport], Parameter(description="In the order in which they were shown")
    ]
    figures: Annotated[
        dict[str, Any], Parameter(description="As in `getResults`, lists being joined by blanks")
    ]
    estimate: Annotated[str | None, Parameter(description="What was set after this round")]


@attrs.frozen(kw_only=True)
class BacklogTicketReport:
    """A ticket of the backlog, or something else that was voted on."""

    id: Annotated[int, Parameter(description="Its number; 0 if it was never in the backlog")]
    title: Annotated[str, Parameter(description="On one line")]
    key: Annotated[
        str, Parameter(description="What other systems call it; may be empty, as all that follows")
    ]
    link: Annotated[str, Parameter(description="An http or https URL")]
    description: Annotated[str, Parameter(description="Plain text, or the source of CommonMark")]
    type: Annotated[str, Parameter(description="Such as story or bug")]
    priority: Annotated[str, Parameter(description="In words")]
    status: Annotated[str, Parameter(description="`open`, `estimated` or `skipped`")]
    estimate: Annotated[str | None, Parameter(description="The label of a card")]


@attrs.frozen(kw_only=True)
class ExportedTicketReport:
    """A ticket with its rounds."""

    ticket: Annotated[BacklogTicketReport, Parameter(description="What was to be estimated")]
    rounds: Annotated[
        list[ExportedRoundReport], Parameter(description="That were revealed, in order")
    ]


@attrs.frozen(kw_only=True)
class TicketsReport:
    """A room's results ticket by ticket; sent in slices."""

    room_id: Annotated[str, Parameter(description="Six letters or digits")]
    opened_at: Annotated[datetime, Parameter(description="UTC, RFC 3339")]
    closed_at: Annotated[
        datetime | None, Parameter(description="UTC, RFC 3339; null while the room lives")
    ]
    tickets: Annotated[
        list[ExportedTicketReport],
        Parameter(description="The backlog in order, then what else was voted on"),
    ]
    missing: Annotated[
        int, Parameter(description="Rounds that cannot be read at this moment; usually 0")
    ]


def round_json(ticket: TicketResult) -> bytes:
    """Write one round as a :class:`TicketReport`."""
    return encode_json(TicketReport.of(ticket))


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
        written = b",".join(round_json(ticket) for _, ticket in rounds)
        return written if first else b"," + written

    def tail(self, forgotten: int, missing: int) -> bytes:
        """Write what comes after the rounds."""
        return b'],"forgotten":%d,"missing":%d}' % (forgotten, missing)
