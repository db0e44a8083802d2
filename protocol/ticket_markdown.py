"""Tickets with all that was voted on them as Markdown (CommonMark, with tables as on GitHub)."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from protocol.ticket import Ticket
from protocol.ticket_export import ExportedRound, ExportedTicket, Figure

_NO_TICKET: Final = "Without a ticket"
_NOBODY: Final = "(anonymous)"

# Any ASCII punctuation may have a backslash before it; a comma and an apostrophe never mean
# anything. Also "." ":" and "@", of which some renderers make links.
_PUNCTUATION: Final = re.compile(r"""[!"#$%&()*+\-./:;<=>?@\[\\\]^_`{|}~]""")
_TICKS: Final = re.compile("`+")


def to_markdown(tickets: Sequence[ExportedTicket]) -> Iterator[str]:
    """Write a table of all tickets, then each round of each ticket with its votes and figures.

    Texts stand for themselves: nothing in them is taken for Markdown or HTML, and descriptions,
    which may be meant as Markdown, stand as they are in a block of code.
    """
    head = ("#", "Key", "Ticket", "Type", "Priority", "Status", "Estimate", "Rounds", "Seconds")
    yield _table(head, (_summary(each.ticket, each.rounds) for each in tickets if each.ticket))
    for each in tickets:
        yield "".join(_section(each))


def escape(text: str) -> str:
    """Write a text so that Markdown shows it as it is, on one line."""
    return _PUNCTUATION.sub(r"\\\g<0>", " ".join(text.split()))


def _summary(ticket: Ticket, rounds: Sequence[ExportedRound]) -> tuple[str, ...]:
    return (
        str(ticket.id),
        escape(ticket.key),
        _linked(ticket),
        escape(ticket.type),
        escape(ticket.priority),
        ticket.status,
        _or_dash(ticket.estimate),
        str(len(rounds)),
        f"{sum(each.seconds for each in rounds):.0f}",
    )


def _linked(ticket: Ticket) -> str:
    # Links have neither blanks nor any of <>|\ in them.
    return f"[{escape(ticket.title)}](<{ticket.link}>)" if ticket.link else escape(ticket.title)


def _section(exported: ExportedTicket) -> Iterator[str]:
    ticket = exported.ticket
    if ticket is None:
        yield f"\n## {_NO_TICKET}\n"
    elif exported.rounds or ticket.description:
        yield f"\n## {escape(' '.join(filter(None, (ticket.key, ticket.title))))}\n"
        if ticket.description:
            yield f"\n{_block(ticket.description)}"
    for each in exported.rounds:
        yield _round(each)


def _round(each: ExportedRound) -> str:
    figures = {
        "Deck": escape(each.deck),
        "Seconds": f"{each.seconds:.0f}",
        "Estimate": _or_dash(each.estimate),
        **{escape(name): _figure(figure) for name, figure in each.figures.items()},
    }
    votes = (
        (
            _NOBODY if vote.name is None else escape(vote.name),
            escape(vote.card),
            escape(vote.comment),
        )
        for vote in each.votes
    )
    return (
        f"\n### Round {each.number}\n\n"
        + _table(("Name", "Vote", "Comment"), votes)
        + "\n"
        + "".join(f"- {name}: {text}\n" for name, text in figures.items())
    )


def _figure(figure: Figure) -> str:
    if isinstance(figure, bool):
        return "yes" if figure else "no"
    if isinstance(figure, float):
        return f"{figure:g}"
    return _or_dash(None if figure is None else str(figure))


def _or_dash(text: str | None) -> str:
    return "–" if text is None else escape(text)  # noqa: RUF001


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = (_row(head), _row(["---"] * len(head)), *map(_row, rows))
    return "".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


def _block(text: str) -> str:
    """Fence a text by more ticks than there are in a row anywhere in it."""
    fence = "`" * max(3, *(len(ticks) + 1 for ticks in _TICKS.findall(text)), 3)
    return f"{fence}\n{text}\n{fence}\n"
