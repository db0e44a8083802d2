"""Tickets with all that was voted on them, as CSV, as plain data for JSON, and for Markdown.

Each form comes in pieces, one for each ticket, so that no more than one is in memory; who writes
them needs to know nothing of the others. What figures there are is the caller's business.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import attrs

from protocol.codec import CONVERTER
from protocol.spreadsheet import harmless, write_rows
from protocol.ticket import CLEANERS, Ticket
from protocol.ticket_columns import EXPORT_COLUMNS
from protocol.value import value

Figure = str | int | float | bool | None
"""``None`` where there is none, such as the mean of no numbers."""


@value
class ExportedVote:
    """A card on the table."""

    name: str | None
    """``None`` where votes are anonymous; then the caller has shuffled them."""
    card: str
    comment: str = ""


@value(kw_only=True)
class ExportedRound:
    """One vote on a ticket."""

    number: int
    deck: str
    seconds: float
    """From opening the vote to revealing it."""
    votes: tuple[ExportedVote, ...]
    figures: Mapping[str, Figure] = attrs.field(factory=dict, hash=False)
    estimate: str | None = None
    """What was set as the estimate after this round."""


@value
class ExportedTicket:
    """A ticket, or what was voted on without one, with its rounds."""

    ticket: Ticket | None
    rounds: tuple[ExportedRound, ...] = ()


_ONCE: Final = "description"

# In ASCII without blanks, as links are, what `harmless` would put an apostrophe before. The code
# for it ends in a letter or digit, so that no other sign comes to be one.
_SIGN: Final = re.compile("(?<![A-Za-z0-9=+@-])[=+@-]")


def to_csv(tickets: Iterable[ExportedTicket], figures: Sequence[str]) -> Iterator[str]:
    """Write a row for each vote, with its ticket and its round; one for what has none.

    The description stands in the first row of its ticket only. What a spreadsheet could take for a
    formula gets an apostrophe (:func:`protocol.spreadsheet.harmless`), but in a link, which must
    stay one, the sign is percent-encoded.

    Args:
        tickets: in their order.
        figures: the names of those that get a column, in order.
    """
    yield write_rows([(*EXPORT_COLUMNS, *map(harmless, figures))])
    for exported in tickets:
        yield write_rows(_rows(exported, figures))


def to_plain(exported: ExportedTicket) -> dict[str, Any]:
    """Give a ticket as plain data, which JSON can hold."""
    plain: dict[str, Any] = CONVERTER.unstructure(exported)
    return plain


def _rows(exported: ExportedTicket, figures: Sequence[str]) -> Iterator[Sequence[object]]:
    ticket = _ticket_cells(exported.ticket)
    once = EXPORT_COLUMNS.index(_ONCE)
    for each in exported.rounds or (None,):
        votes = each.votes if each is not None else ()
        for vote in votes or (None,):
            yield (*ticket, *_round_cells(each), *_vote_cells(vote), *_figures(each, figures))
            ticket = (*ticket[:once], "", *ticket[once + 1 :])


def _ticket_cells(ticket: Ticket | None) -> tuple[object, ...]:
    if ticket is None:
        return ("",) * (1 + len(CLEANERS) + 2)
    texts = (
        _harmless_link(ticket.link) if name == "link" else harmless(getattr(ticket, name))
        for name in CLEANERS
    )
    return (ticket.id, *texts, str(ticket.status), _text(ticket.estimate))


def _round_cells(each: ExportedRound | None) -> tuple[object, ...]:
    if each is None:
        return ("",) * 4
    return (each.number, harmless(each.deck), each.seconds, _text(each.estimate))


def _vote_cells(vote: ExportedVote | None) -> tuple[str, str, str]:
    if vote is None:
        return ("", "", "")
    return (_text(vote.name), harmless(vote.card), harmless(vote.comment))


def _figures(each: ExportedRound | None, names: Sequence[str]) -> Iterator[object]:
    for name in names:
        figure = None if each is None else each.figures.get(name)
        if isinstance(figure, bool):
            yield "yes" if figure else "no"
        else:
            yield harmless(figure) if isinstance(figure, str) else figure


def _text(text: str | None) -> str:
    return "" if text is None else harmless(text)


def _harmless_link(link: str) -> str:
    return _SIGN.sub(lambda sign: f"%{ord(sign[0]):02X}", link)
