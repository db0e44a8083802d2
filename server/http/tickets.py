"""A room's results ticket by ticket, in pieces of a bounded size: JSON, CSV and Markdown.

The rounds of a ticket are read when it is its turn, so each form first learns which they are.
"""

from collections.abc import Sequence
from typing import Final, Protocol

import attrs

from protocol.codec import CONVERTER, dumps
from protocol.ids import TicketNumber
from protocol.messages import TicketResult
from protocol.ticket import Ticket
from protocol.ticket_export import (
    ExportedRound,
    ExportedTicket,
    ExportedVote,
    Figure,
    to_csv,
    to_plain,
)
from protocol.ticket_markdown import to_markdown
from server.http.outputs import time_of
from server.http.report import TicketReport
from server.store.estimations import NumberedRound
from server.store.recording import RoomResults
from server.support.errors import StoreUnavailable

FIGURES: Final = (
    *("count", "mean", "median", "median_card", "mode", "modes", "mode_cards", "min", "max"),
    *("spread", "standard_deviation", "agreement", "consensus", "suggestion"),
)
"""In the order of their columns."""

NO_NUMBER: Final = TicketNumber(0)
"""Of what was voted on without being in the backlog."""


@attrs.frozen
class Entry:
    """A ticket and its rounds, without the votes."""

    ticket: Ticket
    numbers: tuple[int, ...]
    seconds: tuple[float, ...]


class TicketForm(Protocol):
    """One of the forms."""

    content_type: str

    def head(self, room: RoomResults, entries: Sequence[Entry]) -> bytes:
        """Write what comes before the tickets."""

    def open(self, entry: Entry, *, first: bool) -> bytes:
        """Begin a ticket; ``first`` tells whether it is the first one."""

    def rounds(self, entry: Entry, rounds: Sequence[NumberedRound], *, first: bool) -> bytes:
        """Write some rounds of it; ``first`` tells whether none has been written."""

    def close(self, entry: Entry) -> bytes:
        """End a ticket."""

    def tail(self, missing: int) -> bytes:
        """Write what comes after the tickets.

        Raises:
            StoreUnavailable: if it cannot be told that rounds are missing.
        """


def arrange(tickets: Sequence[Ticket], rounds: Sequence[NumberedRound]) -> list[Entry]:
    """Put rounds to their tickets: those of the backlog in its order, then all others.

    What was voted on without being in the backlog, or is not in it any more, comes in the order of
    its first round.

    Args:
        tickets: the backlog.
        rounds: in their order; votes do not matter.
    """
    listed = {each.id: each for each in tickets}
    others: dict[tuple[TicketNumber, str], Ticket] = {}
    found: dict[Ticket, list[NumberedRound]] = {each: [] for each in tickets}
    for number, result in rounds:
        ticket = None if result.ticket is None else listed.get(result.ticket)
        if ticket is None:
            key = result.ticket or NO_NUMBER, result.ticket_id
            ticket = others.setdefault(key, Ticket(id=key[0], title=result.ticket_id))
        found.setdefault(ticket, []).append((number, result))
    return [
        Entry(
            ticket,
            tuple(number for number, _ in mine),
            tuple(result.seconds for _, result in mine),
        )
        for ticket, mine in found.items()
    ]


def exported(number: int, result: TicketResult) -> ExportedRound:
    """Give a round with its votes and figures; rounds are numbered from 1 on."""
    report = TicketReport.of(result)
    figures: dict[str, Figure] = {}
    for name in FIGURES:
        found = getattr(report, name)
        if name == "suggestion":
            figures[name] = None if found is None else found.card
        elif isinstance(found, list):
            figures[name] = " ".join(
                f"{each:g}" if isinstance(each, float) else each for each in found
            )
        else:
            figures[name] = found
    return ExportedRound(
        number=number + 1,
        deck=report.deck_id,
        seconds=report.seconds,
        votes=tuple(ExportedVote(vote.name, vote.value) for vote in result.votes),
        figures=figures,
    )


def _with(entry: Entry, rounds: Sequence[NumberedRound], *, first: bool) -> ExportedTicket:
    ticket = entry.ticket if first else attrs.evolve(entry.ticket, description="")
    return ExportedTicket(ticket, tuple(exported(*each) for each in rounds))


class JsonTickets:
    """One object with a list of tickets."""

    content_type = "application/json"

    def head(self, room: RoomResults, entries: Sequence[Entry]) -> bytes:
        """Write what is known of the room."""
        head = {
            "room_id": room.room_id,
            "opened_at": time_of(room.opened_at).isoformat(),
            "closed_at": None if room.closed_at is None else time_of(room.closed_at).isoformat(),
        }
        return dumps(head)[:-1] + b',"tickets":['

    def open(self, entry: Entry, *, first: bool) -> bytes:
        """Write the ticket itself."""
        plain = dumps(to_plain(ExportedTicket(entry.ticket))["ticket"])
        return (b"" if first else b",") + b'{"ticket":' + plain + b',"rounds":['

    def rounds(self, entry: Entry, rounds: Sequence[NumberedRound], *, first: bool) -> bytes:
        """Write rounds with their votes and figures."""
        plain = [dumps(CONVERTER.unstructure(exported(*each))) for each in rounds]
        return (b"" if first else b",") + b",".join(plain)

    def close(self, entry: Entry) -> bytes:
        """End the ticket."""
        return b"]}"

    def tail(self, missing: int) -> bytes:
        """Tell how many rounds are missing."""
        return b'],"missing":%d}' % missing


class _Whole:
    """A form that cannot say that rounds are missing."""

    def close(self, entry: Entry) -> bytes:
        """Write nothing."""
        return b""

    def tail(self, missing: int) -> bytes:
        """Write nothing.

        Raises:
            StoreUnavailable: if anything is missing.
        """
        if missing:
            raise StoreUnavailable("a part of the results cannot be read now")
        return b""


class CsvTickets(_Whole):
    """A row for each vote, with its ticket and its round; one for what has none."""

    content_type = "text/csv; charset=utf-8; header=present"

    def head(self, room: RoomResults, entries: Sequence[Entry]) -> bytes:
        """Write the names of the columns."""
        return "".join(to_csv((), FIGURES)).encode()

    def open(self, entry: Entry, *, first: bool) -> bytes:
        """Write a row for a ticket without rounds."""
        return b"" if entry.numbers else _rows(ExportedTicket(entry.ticket))

    def rounds(self, entry: Entry, rounds: Sequence[NumberedRound], *, first: bool) -> bytes:
        """Write the rows of some rounds; the description stands in the first one only."""
        return _rows(_with(entry, rounds, first=first))


def _rows(ticket: ExportedTicket) -> bytes:
    _, rows = to_csv([ticket], FIGURES)
    return rows.encode()


class MarkdownTickets(_Whole):
    """A table of all tickets, then each with its rounds."""

    content_type = "text/markdown; charset=utf-8"

    def head(self, room: RoomResults, entries: Sequence[Entry]) -> bytes:
        """Write the table."""
        plain = [
            ExportedTicket(
                each.ticket,
                tuple(
                    ExportedRound(number=number, deck="", seconds=seconds, votes=())
                    for number, seconds in zip(each.numbers, each.seconds, strict=True)
                ),
            )
            for each in entries
        ]
        return next(to_markdown(plain)).encode()

    def open(self, entry: Entry, *, first: bool) -> bytes:
        """Write the section of a ticket without rounds, if there is anything to say in it."""
        return b"" if entry.numbers else _section(ExportedTicket(entry.ticket)).encode()

    def rounds(self, entry: Entry, rounds: Sequence[NumberedRound], *, first: bool) -> bytes:
        """Write some rounds, the first of them below the ticket's heading."""
        section = _section(_with(entry, rounds, first=first))
        # Texts are escaped, and the description was left out: no other line begins like this.
        return (section if first else section[section.index("\n### ") :]).encode()


def _section(ticket: ExportedTicket) -> str:
    _, section = to_markdown([ticket])
    return section


TICKET_FORMS: Final[dict[str, type[JsonTickets | CsvTickets | MarkdownTickets]]] = {
    "json": JsonTickets,
    "csv": CsvTickets,
    "markdown": MarkdownTickets,
}
