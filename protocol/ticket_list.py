"""Tickets from a list that is pasted: one on each line, as people write them."""

import re
from collections.abc import Collection
from typing import Final

from protocol.csv_file import malformed
from protocol.limits import (
    IMPORT_BYTES,
    TICKET_DESCRIPTION_LENGTH,
    TICKET_LINK_LENGTH,
    TICKET_TITLE_LENGTH,
)
from protocol.ticket_columns import Format
from protocol.ticket_preview import Preview, Sorter

_BREAK: Final = re.compile(r"\r\n?|\n")
_BULLET: Final = re.compile(r"(?:[-*+•‣◦–—]|\d{1,4}[.)])[ \t]+(?:\[[ xX]\][ \t]+)?")  # noqa: RUF001
_MARKDOWN_LINK: Final = re.compile(
    r"\[([^\[\]]*)\]\(<?(https?://[^\s<>()]*(?:\([^\s<>()]*\)[^\s<>()]*)?)>?\)"
)
_URL: Final = re.compile(r"<?(https?://[^\s<>]+)>?")
_KEY: Final = r"[A-Za-z][A-Za-z0-9_]{0,19}-\d{1,10}|\#\d{1,10}"
_KEYED: Final = re.compile(rf"(?:\[({_KEY})\]|({_KEY})(?![\w-]))[ \t]*[:–—-]?[ \t]*(?=\S|$)")  # noqa: RUF001
_KEY_AT_END: Final = re.compile(rf"/({_KEY})/?(?:[?#]|$)")
_SENTENCE_END: Final = ".,;:!?)"


def read_list(text: str, known: Collection[str] = ()) -> Preview:
    """Tell which tickets a pasted text would bring; blank lines bring none.

    Args:
        text: as it came.
        known: the keys that are in the backlog.

    Raises:
        Refused: if it is too long, has too many lines, or nothing in it.
    """
    # A character is one byte at least, and a text from outside may have lone surrogates.
    if len(text) > IMPORT_BYTES or len(text.encode(errors="replace")) > IMPORT_BYTES:
        raise malformed(f"must have at most {IMPORT_BYTES} bytes")
    sorter = Sorter(known)
    for number, line in enumerate(_BREAK.split(text), 1):
        if line.strip():
            sorter.take(number, split_line(line))
    if not sorter.drafts and not sorter.refused:
        raise malformed("line 1: there is nothing in it")
    return Preview(format=Format.LIST, drafts=tuple(sorter.drafts), refused=tuple(sorter.refused))


def split_line(line: str) -> dict[str, str]:
    """Take a line apart: a bullet goes, a link and a key in front get fields of their own.

    The rest is the title; where nothing else is left, the key, or the link. Nothing is judged.
    """
    if len(line) > _LONGEST:
        return {"title": line}  # will be refused, without looking for anything in it
    text = line.replace("\t", " ").strip()
    text = _BULLET.sub("", text, count=1) if _BULLET.match(text) else text
    text, link = _take_link(text)
    fields = {"title": text}
    if link:
        fields["link"] = link
    found = _KEYED.match(text)
    if found:
        fields["key"] = found[1] or found[2]
        fields["title"] = text[found.end() :] or fields["key"]
    elif not text:
        at_end = _KEY_AT_END.search(link)
        if at_end:
            fields["key"] = fields["title"] = at_end[1]
        else:
            fields["title"] = link.partition("://")[2][:TICKET_TITLE_LENGTH]
    return fields


_LONGEST: Final = TICKET_TITLE_LENGTH + TICKET_LINK_LENGTH + TICKET_DESCRIPTION_LENGTH


def _take_link(text: str) -> tuple[str, str]:
    found = _MARKDOWN_LINK.search(text)
    if found:
        return _join(text[: found.start()], found[1], text[found.end() :]), found[2]
    found = _URL.search(text)
    if not found:
        return text, ""
    link = found[1].rstrip(_SENTENCE_END)
    if link.count("(") > link.count(")") and found[1].startswith(link + ")"):
        link += ")"
    before = text[: found.start()]
    if found[1].startswith(link + ")"):
        before = before.removesuffix("(")
    return _join(before, text[found.end() :]), link


def _join(*pieces: str) -> str:
    return " ".join(filter(None, map(str.strip, pieces)))
