"""Tickets from a CSV file that somebody else's program has written: a preview of them."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Final

from protocol.csv_file import Record, malformed, read_sheet
from protocol.errors import Refused
from protocol.spreadsheet import as_typed
from protocol.ticket_columns import (
    EXPORT_TICKET,
    Format,
    Layout,
    follow,
    guess,
    pick,
    recognise,
)
from protocol.ticket_list import split_line
from protocol.ticket_preview import Column, Preview, Sorter, shown

_LOOKED_AT: Final = 50
"""Records from which it is guessed what a file without a known header is."""


def read_file(
    data: bytes,
    known: Collection[str] = (),
    mapping: Mapping[str, object] | None = None,
    *,
    header: bool = True,
) -> Preview:
    """Tell what of a file would be imported, and what not and why.

    Args:
        data: the file, whole.
        known: the keys that are in the backlog (see :meth:`protocol.backlog.Backlog.keys`).
        mapping: for each field the name or number of its column (see
            :func:`protocol.ticket_columns.follow`); without it the header is recognised.
        header: whether the first record is names, where there is a mapping.

    Raises:
        Refused: if the file is malformed as a whole, so that nothing of it can be trusted, if it
            has too many tickets, or if the mapping does not fit it.
    """
    sheet = read_sheet(data, lambda names: _find_layout(names, mapping, header=header) is not None)
    first = list(islice(sheet.records, _LOOKED_AT))
    if not first:
        raise malformed("line 1: there is nothing in it")
    names = first[0].cells
    if mapping is not None:
        layout = follow(mapping, names, header=header)
    else:
        layout = recognise(names) or guess(first)
    body = first[1:] if layout.header else first
    # Of the columns that a format has, the last may be missing in the first line.
    width = max(len(names), *(places[-1] + 1 for places in layout.places.values()), 0)
    names = names + [""] * (width - len(names))
    sorter = Sorter(known)
    _sort(chain(body, sheet.records), layout, width, sorter)
    return Preview(
        format=layout.format,
        delimiter=sheet.delimiter,
        columns=_columns(names, body, layout),
        drafts=tuple(sorter.drafts),
        refused=tuple(sorter.refused),
    )


def _find_layout(
    names: Sequence[str], mapping: Mapping[str, object] | None, *, header: bool
) -> Layout | None:
    if mapping is None:
        return recognise(names)
    try:
        return follow(mapping, names, header=header)
    except Refused:
        return None


def _sort(records: Iterator[Record], layout: Layout, width: int, sorter: Sorter) -> None:
    columns = {field: places[0] + 1 for field, places in layout.places.items()}
    exported: set[str] = set()
    for record in records:
        cells = record.cells
        if layout.format is Format.UNKNOWN:
            continue  # but gone through, as it may be malformed further down
        if len(cells) > width and any(cell.strip() for cell in cells[width:]):
            sorter.refuse(
                record.line, f"has {len(cells)} cells, where the file has {width} columns"
            )
            continue
        if layout.format is Format.TITLES:
            sorter.take(record.line, split_line(cells[0]), columns)
            continue
        fields = pick(cells, layout)
        if layout.format is Format.PARLEY:
            ticket = cells[EXPORT_TICKET]
            if not ticket or ticket in exported:
                continue
            exported.add(ticket)
            fields = {field: as_typed(text) for field, text in fields.items()}
        sorter.take(record.line, fields, columns)


def _columns(names: Sequence[str], body: Sequence[Record], layout: Layout) -> tuple[Column, ...]:
    fields = {place: field for field, places in layout.places.items() for place in places}

    def sample(place: int) -> str:
        cells = (record.cells[place] for record in body if place < len(record.cells))
        return next((text for text in map(shown, cells) if text), "")

    return tuple(
        Column(
            number=place + 1,
            name=shown(name) if layout.header else "",
            field=fields.get(place),
            sample=sample(place),
        )
        for place, name in enumerate(names)
    )
