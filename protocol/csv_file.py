"""CSV files that others have made: from bytes to records, or a refusal that says where and why."""

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Final

from protocol.errors import ErrorCode, Refused
from protocol.limits import IMPORT_BYTES, IMPORT_COLUMNS, KIB
from protocol.value import value

DELIMITERS: Final = (",", ";", "\t")
"""Which are looked for; where two fit as well, the first."""

_DECLARED: Final = (*DELIMITERS, "|")

# What is looked at to find the delimiter: more than the header of any file that is not refused.
_HEAD: Final = 64 * KIB
_HEAD_ROWS: Final = 50

_BREAK: Final = re.compile(r"\r\n?|\n")
_BYTE_BREAK: Final = re.compile(rb"\r\n?|\n")
_SEP: Final = re.compile(r'"?sep=([^\r\n])"?(?:\r\n?|\n|$)', re.IGNORECASE)

_UTF_8: Final = b"\xef\xbb\xbf"
_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")
_UTF_32: Final = (b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff")

_SAVE_AS: Final = "save it as CSV in UTF-8"
_OTHERS: Final = (
    (b"\xd0\xcf\x11\xe0", "is an old Excel workbook"),
    (b"\x1f\x8b", "is compressed by gzip"),
    (b"%PDF", "is a PDF"),
)


@value
class Record:
    """A row that is not empty."""

    line: int
    """Of the file, from 1 on, on which it begins."""
    cells: list[str]


@value
class Sheet:
    """A file that is text, with the character between its cells."""

    delimiter: str
    records: Iterator[Record]
    """To be gone through once. May raise :class:`Refused` up to its end, so what comes before that
    counts only with all the rest."""


def read_sheet(data: bytes, is_header: Callable[[Sequence[str]], bool]) -> Sheet:
    """Begin to read a file.

    Args:
        data: the file, whole.
        is_header: tells whether a first row has names that are known, which decides between
            delimiters.

    Raises:
        Refused: if it is too long, no text, or in another encoding than UTF-8, or UTF-16 with a
            byte order mark.
    """
    text = decode(data)
    declared = _SEP.match(text)
    if declared is None:
        delimiter = _find_delimiter(text, is_header)
        return Sheet(delimiter, _records(text, delimiter, 0))
    delimiter = declared[1]
    if delimiter not in _DECLARED:
        raise malformed(f"line 1: cells must not be separated by {delimiter!a}")
    return Sheet(delimiter, _records(text[declared.end() :], delimiter, 1))


def decode(data: bytes) -> str:
    """Give the text of a file.

    Raises:
        Refused: as :func:`read_sheet`.
    """
    if len(data) > IMPORT_BYTES:
        raise malformed(f"must have at most {IMPORT_BYTES} bytes")
    _refuse_binary(data)
    encoding, name = ("utf-16", "UTF-16") if data.startswith(_UTF_16) else ("utf-8-sig", "UTF-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        # The codec counts from behind the mark.
        place = error.start + (len(_UTF_8) if error.object != data else 0)
        raise malformed(_undecodable(data, place, name)) from None
    null = text.find("\0")
    if null >= 0:
        line = 1 + len(_BREAK.findall(text, 0, null))
        raise malformed(f"line {line}: there is a NUL, so this is no text in UTF-8; {_SAVE_AS}")
    return text


def malformed(complaint: str) -> Refused:
    """Refuse the file as a whole."""
    return Refused(ErrorCode.MALFORMED, f"file: {complaint}", "file")


def _refuse_binary(data: bytes) -> None:
    for start, what in _OTHERS:
        if data.startswith(start):
            raise malformed(f"this {what}; {_SAVE_AS}")
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        what = "is a zip archive"
        if b"xl/" in data or b"[Content_Types].xml" in data:
            what = "is an Excel workbook"
        elif b"opendocument.spreadsheet" in data:
            what = "is a LibreOffice spreadsheet"
        raise malformed(f"this {what}; {_SAVE_AS}")
    if data.startswith(_UTF_32):
        raise malformed(f"this is UTF-32; {_SAVE_AS}")


def _undecodable(data: bytes, place: int, encoding: str) -> str:
    if encoding == "UTF-16":
        return f"byte {place + 1} does not belong to UTF-16, which the file begins with; {_SAVE_AS}"
    line = 1 + len(_BYTE_BREAK.findall(data, 0, place))
    return f"line {line}: byte {place + 1} (0x{data[place]:02X}) is not UTF-8; {_SAVE_AS}"


def _find_delimiter(text: str, is_header: Callable[[Sequence[str]], bool]) -> str:
    """Take what makes a known header; else several columns in most rows; else the evenest rows."""
    head = text[:_HEAD]

    def fit(delimiter: str) -> tuple[bool, bool, float, int]:
        rows = _sample(head, delimiter)
        if len(rows) > 1 and len(head) < len(text):
            rows.pop()  # it may be cut
        if not rows:  # nothing but delimiters
            return (False, True, 1.0, 1)
        width = len(rows[0])
        even = sum(len(row) == width for row in rows) / len(rows)
        return (is_header(rows[0]), _has_columns(rows), even, width)

    return max(DELIMITERS, key=fit)


def _has_columns(rows: Sequence[Sequence[str]]) -> bool:
    """Tell whether these are columns, and not sentences, where a blank follows each comma."""
    if sum(len(row) > 1 for row in rows) * 2 <= len(rows):
        return False
    others = [cell for row in rows for cell in row[1:] if cell]
    return not others or not all(cell.startswith(" ") for cell in others)


def _sample(head: str, delimiter: str) -> list[list[str]]:
    reader = csv.reader(io.StringIO(head, newline=""), delimiter=delimiter)
    return [row for row in islice(reader, _HEAD_ROWS) if any(row)]


def _records(text: str, delimiter: str, skipped: int) -> Iterator[Record]:
    lines = io.StringIO(text, newline="")
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + skipped + 1
        start = lines.tell()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            raise malformed(_fault(text, start, line, delimiter)) from None
        if len(cells) > IMPORT_COLUMNS:
            raise malformed(
                f"line {line}: has {len(cells)} columns, and at most {IMPORT_COLUMNS} are read"
            )
        if any(cell and not cell.isspace() for cell in cells):
            yield Record(line, cells)


def _fault(text: str, start: int, line: int, delimiter: str) -> str:
    """Say where the record that begins at ``start`` is broken, which it is."""
    cell_end = re.compile(f"[{re.escape(delimiter)}\r\n]")
    column = 1
    place = start
    while True:
        begins = place
        where = f"line {line + len(_BREAK.findall(text, start, begins))}, column {column}"
        if text.startswith('"', place):
            place = _closing_quote(text, place + 1)
            if place < 0:
                return f"{where}: a quote is opened here and never closed"
            place += 1
            if place < len(text) and not cell_end.match(text, place):
                return (
                    f"{where}: the quote that is opened here is closed in the middle of the cell,"
                    f" in line {line + len(_BREAK.findall(text, start, place))}"
                )
        found = cell_end.search(text, place)
        place = found.end() if found else len(text)
        longest = csv.field_size_limit()
        if place - begins > longest or found is None:
            return f"{where}: a cell has more than {longest} characters"
        column += 1


def _closing_quote(text: str, place: int) -> int:
    """Find the quote that is not doubled; -1 if there is none."""
    while True:
        quote = text.find('"', place)
        if quote < 0 or not text.startswith('""', quote):
            return quote
        place = quote + 2
