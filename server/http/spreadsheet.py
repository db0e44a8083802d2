"""A room's results as CSV (RFC 4180) that a spreadsheet can open without harm."""

import csv
import io
import unicodedata
from collections.abc import Sequence
from typing import Final

from protocol.messages import Vote
from server.http.report import TicketReport
from server.store.estimations import NumberedRound
from server.store.recording import RoomResults
from server.support.errors import StoreUnavailable

CSV_TYPE: Final = "text/csv; charset=utf-8; header=present"

COLUMNS: Final = (
    "room_id", "round", "ticket_id", "seconds", "member_id", "name", "vote",
    "mean", "median", "mode", "modes", "min", "max", "consensus",
    "deck_id", "count", "median_card", "mode_cards", "spread", "standard_deviation", "agreement",
    "suggestion", "rule",
)  # fmt: skip

SIGNS: Final = frozenset("=+-@＝＋－＠﹦﹢﹣﹫⁼⁺⁻₌₊₋−﬩")  # noqa: RUF001
"""What begins a formula (OWASP, CSV injection), and what Unicode takes for the same."""

# Categories of what does not show: separators but for lines, controls, marks, formats.
_UNSEEN: Final = frozenset({"Zs", "Cf", "Mn", "Me"})
_UNSEEN_LETTERS: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0")  # fillers and a blank pattern
_STARTS: Final = ("\t", "\r", "\n")


class CsvForm:
    """Writes one row per vote, with the figures of its round repeated in each.

    So every row stands for itself: filters and pivot tables need nothing else. A round without
    votes has one row with the three columns of a vote empty. Figures are plain numbers, all else
    is in quotes; a figure that does not exist is an empty cell.
    """

    content_type: Final = CSV_TYPE

    def head(self, room: RoomResults) -> bytes:
        """Write the names of the columns."""
        return _rows([COLUMNS])

    def rounds(self, room: RoomResults, rounds: Sequence[NumberedRound], *, first: bool) -> bytes:
        """Write some rounds; they are numbered from 1."""
        rows: list[Sequence[object]] = []
        for number, result in rounds:
            ticket = TicketReport.of(result)
            head = (room.room_id, number + 1, harmless(ticket.ticket_id), ticket.seconds)
            figures = _figures(ticket)
            rows += ((*head, *_vote(vote), *figures) for vote in result.votes or (None,))
        return _rows(rows)

    def tail(self, forgotten: int, missing: int) -> bytes:
        """Write nothing: rows have no place for what is missing.

        Raises:
            StoreUnavailable: if anything is.
        """
        if missing:
            raise StoreUnavailable("a part of the results cannot be read now")
        return b""


def harmless(text: str) -> str:
    """Put an apostrophe before whatever a spreadsheet could take for the start of a formula.

    That is a sign such as ``=`` at the start of the text or after any separator, since programs
    guess which character separates cells: after all but letters, digits and another sign. Blanks
    and characters that do not show may come in between. Nothing else is changed, and nothing is
    left out; a sign that has blanks on both sides, as in ``a - b``, begins no formula.
    """
    if text.startswith(_STARTS):
        return "'" + text[0] + harmless(text[1:])
    if SIGNS.isdisjoint(text):
        return text
    pieces: list[str] = []
    done = 0
    shown = ""  # the last character that was no blank
    gap = 0  # where the blanks after it begin
    for place, char in enumerate(text):
        if char in SIGNS:
            if _begins_formula(shown, text[gap:place], text[place + 1 : place + 2]):
                pieces += (text[done:gap], "'")
                done = gap
        elif _is_unseen(char):
            continue
        shown, gap = char, place + 1
    return "".join((*pieces, text[done:]))


def _begins_formula(before: str, gap: str, after: str) -> bool:
    if not before or not (before.isalnum() or before in SIGNS):
        return True
    # Where cells are separated by blanks.
    return any(map(str.isspace, gap)) and after != "" and not after.isspace()


def _is_unseen(char: str) -> bool:
    return unicodedata.category(char) in _UNSEEN or char in _UNSEEN_LETTERS


def _rows(rows: Sequence[Sequence[object]]) -> bytes:
    out = io.StringIO(newline="")
    # Quotes around all text: where the separator is a semicolon, one inside a name must not
    # begin a new cell.
    writer = csv.writer(out, lineterminator="\r\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerows(rows)
    return out.getvalue().encode()


def _vote(vote: Vote | None) -> tuple[str, str, str]:
    if vote is None:
        return ("", "", "")
    return (harmless(vote.member_id), harmless(vote.name), harmless(vote.value))


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
    )
