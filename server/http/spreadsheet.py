"""A room's results as CSV (RFC 4180) that a spreadsheet can open without harm."""

import csv
import io
from typing import Final

from server.http.report import RoomReport, TicketReport, VoteReport

CSV_TYPE: Final = "text/csv; charset=utf-8; header=present"

COLUMNS: Final = (
    "room_id", "round", "ticket_id", "seconds", "member_id", "name", "vote",
    "mean", "median", "mode", "modes", "min", "max", "consensus",
)  # fmt: skip

# What spreadsheets take for a formula at the start of a cell, the full-width forms included
# (OWASP, CSV injection).
_FORMULA: Final = tuple("=+-@\t\r\n＝＋－＠")  # noqa: RUF001


def to_csv(room: RoomReport) -> str:
    """Write one row per vote, with the figures of its round repeated in each.

    So every row stands for itself: filters and pivot tables need nothing else. A round without
    votes has one row with the three columns of a vote empty. Figures are plain numbers, all else
    is in quotes; a figure that does not exist is an empty cell. Text that would begin a formula
    gets an apostrophe in front.
    """
    out = io.StringIO(newline="")
    # Quotes around all text: where the separator is a semicolon, one inside a name must not
    # begin a new cell.
    writer = csv.writer(out, lineterminator="\r\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(COLUMNS)
    for number, ticket in enumerate(room.tickets, start=room.forgotten + 1):
        head = (room.room_id, number, _harmless(ticket.ticket_id), ticket.seconds)
        figures = _figures(ticket)
        for vote in ticket.votes or (None,):
            writer.writerow((*head, *_vote(vote), *figures))
    return out.getvalue()


def _vote(vote: VoteReport | None) -> tuple[str, str, str]:
    if vote is None:
        return ("", "", "")
    return (_harmless(vote.member_id), _harmless(vote.name), _harmless(vote.value))


def _figures(ticket: TicketReport) -> tuple[float | str | None, ...]:
    return (
        ticket.mean,
        ticket.median,
        ticket.mode,
        " ".join(f"{value:g}" for value in ticket.modes),
        ticket.min,
        ticket.max,
        "yes" if ticket.consensus else "no",
    )


def _harmless(text: str) -> str:
    # Blanks in front do not stop every program from seeing a formula.
    return "'" + text if text.startswith(_FORMULA) or text.lstrip().startswith(_FORMULA) else text
