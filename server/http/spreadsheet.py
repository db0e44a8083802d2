"""A room's results as CSV (RFC 4180) that a spreadsheet can open without harm."""

from collections.abc import Sequence
from typing import Final

from protocol.messages import Vote
from protocol.spreadsheet import harmless, write_rows
from server.http.report import TicketReport
from server.store.estimations import NumberedRound
from server.store.recording import RoomResults
from server.support.errors import StoreUnavailable

CSV_TYPE: Final = "text/csv; charset=utf-8; header=present"

COLUMNS: Final = (
    "room_id", "round", "ticket_id", "seconds", "member_id", "name", "vote",
    "mean", "median", "mode", "modes", "min", "max", "consensus",
    "deck_id", "count", "median_card", "mode_cards", "spread", "standard_deviation", "agreement",
    "suggestion", "rule", "estimate", "changed",
)  # fmt: skip


class CsvForm:
    """Writes one row per vote, with the figures of its round repeated in each.

    So every row stands for itself: filters and pivot tables need nothing else. A round without
    votes has one row with the three columns of a vote empty. Figures are plain numbers, all else
    is in quotes; a figure that does not exist is an empty cell.
    """

    content_type: Final = CSV_TYPE

    def head(self, room: RoomResults) -> bytes:
        """Write the names of the columns."""
        return write_rows([COLUMNS]).encode()

    def rounds(self, room: RoomResults, rounds: Sequence[NumberedRound], *, first: bool) -> bytes:
        """Write some rounds; they are numbered from 1."""
        rows: list[Sequence[object]] = []
        for number, result in rounds:
            ticket = TicketReport.of(result)
            head = (room.room_id, number + 1, harmless(ticket.ticket_id), ticket.seconds)
            figures = _figures(ticket)
            rows += (
                (*head, *_vote(vote), *figures, _changed(vote)) for vote in result.votes or (None,)
            )
        return write_rows(rows).encode()

    def tail(self, forgotten: int, missing: int) -> bytes:
        """Write nothing: rows have no place for what is missing.

        Raises:
            StoreUnavailable: if anything is.
        """
        if missing:
            raise StoreUnavailable("a part of the results cannot be read now")
        return b""


def _vote(vote: Vote | None) -> tuple[str, str, str]:
    if vote is None:
        return ("", "", "")
    return (harmless(vote.member_id), harmless(vote.name), harmless(vote.value))


def _changed(vote: Vote | None) -> str:
    if vote is None:
        return ""
    return "yes" if vote.changed else "no"


def _figures(ticket: TicketReport) -> tuple[float | str | None, ...]:
    suggestion = ticket.suggestion
    return (
        ticket.mean,
        ticket.median,
        ticket.mode,
        " ".join(f"{value:g}" for value in ticket.modes),
        ticket.min,
        ticket.max,
        "yes" if ticket.consensus else "no",
        ticket.deck_id,
        ticket.count,
        harmless(ticket.median_card or ""),
        harmless(" ".join(ticket.mode_cards)),
        ticket.spread,
        ticket.standard_deviation,
        ticket.agreement,
        harmless(suggestion.card if suggestion else ""),
        suggestion.rule if suggestion else "",
        harmless(ticket.estimate or ""),
    )
