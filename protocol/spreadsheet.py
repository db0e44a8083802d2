"""Cells of CSV (RFC 4180) that a spreadsheet can open without harm."""

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final

SIGNS: Final = frozenset("=+-@＝＋－＠﹦﹢﹣﹫⁼⁺⁻₌₊₋−﬩")  # noqa: RUF001
"""What begins a formula (OWASP, CSV injection), and what Unicode takes for the same."""

# Categories of what does not show: separators but for lines, controls, marks, formats.
_UNSEEN: Final = frozenset({"Zs", "Cf", "Mn", "Me"})
_UNSEEN_LETTERS: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0")  # fillers and a blank pattern
_STARTS: Final = "\t\r\n"
_LEAD: Final = re.compile("(?:'[\t\r\n])+")


def harmless(text: str) -> str:
    """Put an apostrophe before whatever a spreadsheet could take for the start of a formula.

    That is a sign such as ``=`` at the start of the text or after any separator, since programs
    guess which character separates cells: after all but letters, digits and another sign. Blanks
    and characters that do not show may come in between. Nothing else is changed, and nothing is
    left out; a sign that has blanks on both sides, as in ``a - b``, begins no formula.
    """
    rest = text.lstrip(_STARTS)
    lead = "".join("'" + char for char in text[: len(text) - len(rest)])
    return lead + _harmless(rest)


def as_typed(written: str) -> str:
    """Take back what :func:`harmless` has put in, where a cell is known to come from it.

    Nothing is lost but an apostrophe that stands before a tab or line break at the very start.
    """
    lead = _LEAD.match(written)
    pieces = [lead[0].replace("'", "")] if lead else []
    done = 0
    shown = ""
    gap = 0
    written = written[lead.end() :] if lead else written
    for place, char in enumerate(written):
        if char in SIGNS:
            if shown == "'":
                pieces.append(written[done : gap - 1])
                done = gap
        elif _is_unseen(char):
            continue
        shown, gap = char, place + 1
    return "".join((*pieces, written[done:]))


def _harmless(text: str) -> str:
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


def write_rows(rows: Iterable[Sequence[object]]) -> str:
    """Write rows; numbers stand as they are, all text is in quotes."""
    out = io.StringIO(newline="")
    # Quotes around all text: where the separator is a semicolon, one inside a name must not
    # begin a new cell.
    writer = csv.writer(out, lineterminator="\r\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerows(rows)
    return out.getvalue()
