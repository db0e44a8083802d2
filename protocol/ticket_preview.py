"""What an import would bring: drafts and refused lines, before anything is imported."""

from collections.abc import Collection, Mapping
from typing import Final, NoReturn

import attrs

from protocol.csv_file import malformed
from protocol.errors import Refused
from protocol.limits import BACKLOG_TICKETS
from protocol.ticket import Draft, make_draft, same_key
from protocol.ticket_columns import Format
from protocol.value import value

SHOWN_LENGTH: Final = 100
"""Characters of a column's name, and of a sample from it, that are shown."""


@value(kw_only=True)
class Column:
    """A column of the file, also one that is not imported."""

    number: int
    """From 1 on."""
    name: str
    """From the header, cut; empty without one."""
    field: str | None
    """The field of tickets that it becomes, if any."""
    sample: str
    """What stands in it first, cut."""


@value
class DraftLine:
    """A ticket that would be imported."""

    line: int
    """Of the file, from 1 on, on which it begins."""
    draft: Draft


@value
class RefusedLine:
    """A ticket that would not be imported."""

    line: int
    column: int | None
    """From 1 on; ``None`` where it is not about one column."""
    why: str
    """A sentence for people, without a final stop."""


@value(kw_only=True)
class Preview:
    """Everything that an import would do, and not do."""

    format: Format
    delimiter: str = ""
    columns: tuple[Column, ...] = ()
    drafts: tuple[DraftLine, ...]
    refused: tuple[RefusedLine, ...]


@attrs.define
class Sorter:
    """Sorts the lines of one import into drafts and refused ones, as they come.

    A key that is in the backlog, or further up in the file, is refused: so a file that was
    imported once, and is exported again with more in it, brings only what is new.
    """

    known: Collection[str]
    """The keys of the backlog, as :meth:`protocol.backlog.Backlog.keys` gives them."""
    drafts: list[DraftLine] = attrs.Factory(list)
    refused: list[RefusedLine] = attrs.Factory(list)
    _lines: dict[str, int] = attrs.field(factory=dict, init=False)
    """On which line each key was."""

    def take(
        self, line: int, fields: Mapping[str, str], columns: Mapping[str, int] | None = None
    ) -> None:
        """Judge the fields of one ticket.

        Args:
            line: on which it begins.
            fields: as they came.
            columns: the number of each field's column, if there are any.

        Raises:
            Refused: if there are more tickets than a backlog has.
        """
        columns = columns or {}
        try:
            draft = make_draft(fields)
        except Refused as refused:
            field = refused.problem.field or ""
            self.refuse(line, refused.problem.message, columns.get(field))
            return
        if draft.key and (why := self._seen(line, same_key(draft.key))):
            self.refuse(line, f"key {draft.key} {why}", columns.get("key"))
            return
        self.drafts.append(DraftLine(line, draft))
        self._count(line)

    def refuse(self, line: int, why: str, column: int | None = None) -> None:
        """Leave a line out.

        Raises:
            Refused: as :meth:`take`.
        """
        self.refused.append(RefusedLine(line, column, why))
        self._count(line)

    def _seen(self, line: int, key: str) -> str:
        if key in self.known:
            return "is already in the backlog"
        earlier = self._lines.setdefault(key, line)
        return "" if earlier == line else f"is that of line {earlier} as well"

    def _count(self, line: int) -> None:
        if len(self.drafts) + len(self.refused) > BACKLOG_TICKETS:
            _too_many(line)


def shown(text: str) -> str:
    """Make a text from a file, which nobody has judged, fit to be shown on one line."""
    cut = text[:SHOWN_LENGTH]
    return "".join(char if char.isprintable() else " " for char in cut).strip()


def _too_many(line: int) -> NoReturn:
    raise malformed(f"line {line}: these are more than {BACKLOG_TICKETS} tickets")
