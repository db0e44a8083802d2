"""Tickets of a backlog, and the one gate through which their texts come in."""

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final, NewType
from urllib.parse import urlsplit

from protocol.errors import ErrorCode, Refused
from protocol.ids import TicketId, TicketNumber
from protocol.limits import (
    TICKET_DESCRIPTION_LENGTH,
    TICKET_KEY_LENGTH,
    TICKET_LABEL_LENGTH,
    TICKET_LENGTH,
    TICKET_LINK_LENGTH,
    TICKET_TITLE_LENGTH,
)
from protocol.text import check_length, clean_line, clean_prose
from protocol.value import value

TicketTitle = NewType("TicketTitle", str)
TicketKey = NewType("TicketKey", str)
TicketLink = NewType("TicketLink", str)
TicketDescription = NewType("TicketDescription", str)
TicketLabel = NewType("TicketLabel", str)


class TicketStatus(StrEnum):
    """What has become of a ticket."""

    OPEN = "open"
    ESTIMATED = "estimated"
    SKIPPED = "skipped"
    """Not to be voted on for now; an estimate that it had is kept."""


@value(kw_only=True)
class Draft:
    """What people say of a ticket, cleaned; not yet in any backlog."""

    title: str
    key: str = ""
    """What other systems call it, such as SHOP-412."""
    link: str = ""
    """An http or https URL in ASCII."""
    description: str = ""
    """Plain text or the source of CommonMark; lines end in LF."""
    type: str = ""
    priority: str = ""


@value(kw_only=True)
class Ticket(Draft):
    """A ticket in a backlog."""

    id: TicketNumber
    status: TicketStatus = TicketStatus.OPEN
    estimate: str | None = None
    """The label of a card."""


def numbered(draft: Draft, number: TicketNumber) -> Ticket:
    """Make an open ticket of a draft."""
    return Ticket(
        id=number,
        title=draft.title,
        key=draft.key,
        link=draft.link,
        description=draft.description,
        type=draft.type,
        priority=draft.priority,
    )


# What RFC 3986 allows, and so no blanks, quotes, backslashes, controls, or anything beyond ASCII
# that looks like something else.
_URL: Final = re.compile(r"(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*")
_SCHEME: Final = re.compile(r"https?://", re.IGNORECASE)
_NETLOC: Final = re.compile(
    r"(?:[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?", re.IGNORECASE
)
_BAD_HOST: Final = "must be a URL with a valid host and port"
_BREAK: Final = re.compile(r"\r\n?")


def clean_link(text: str) -> str:
    """Trim a link, and judge it more strictly than any browser does.

    Raises:
        ValueError: if it is too long, is no absolute http or https URL in ASCII, or contains a
            name or password, which would be shown to the whole room.
    """
    check_length(text, TICKET_LINK_LENGTH)
    text = text.strip(" ")
    if not text:
        return text
    if not _SCHEME.match(text):
        raise ValueError("must begin with http:// or https://")
    if not _URL.fullmatch(text):
        raise ValueError("must be a URL in ASCII, with anything else percent-encoded")
    try:
        parts = urlsplit(text)
        valid = _NETLOC.fullmatch(parts.netloc) is not None and parts.port != 0
    except ValueError:
        raise ValueError(_BAD_HOST) from None
    if "@" in parts.netloc:
        raise ValueError("must not contain a user name or password")
    if not valid:
        raise ValueError(_BAD_HOST)
    return text


def _line(longest: int) -> Callable[[str], str]:
    def clean(text: str) -> str:
        check_length(text, longest)
        return clean_line(text, longest) if text.strip() else ""

    return clean


def _title(text: str) -> str:
    return clean_line(text, TICKET_TITLE_LENGTH)


def _description(text: str) -> str:
    check_length(text, TICKET_DESCRIPTION_LENGTH)
    return _BREAK.sub("\n", clean_prose(text, len(text))) if text.strip() else ""


CLEANERS: Final[Mapping[str, Callable[[str], str]]] = {
    "title": _title,
    "key": _line(TICKET_KEY_LENGTH),
    "link": clean_link,
    "description": _description,
    "type": _line(TICKET_LABEL_LENGTH),
    "priority": _line(TICKET_LABEL_LENGTH),
}
"""The fields of a draft, in order; each raises :class:`ValueError` on what it does not take."""


def clean_fields(fields: Mapping[str, object], path: str = "") -> dict[str, str]:
    """Clean some fields of a ticket, those alone that are given.

    Args:
        fields: as they came.
        path: where they stood, such as ``data``, for the names in refusals.

    Raises:
        Refused: naming the first field that is not known, no string, or not taken.
    """
    for name in fields:
        if name not in CLEANERS:
            raise _refusal(path, str(name)[:TICKET_LENGTH], "is not known")
    cleaned = {}
    for name, clean in CLEANERS.items():
        if name not in fields:
            continue
        text = fields[name]
        if type(text) is not str:
            raise _refusal(path, name, "must be a string")
        try:
            cleaned[name] = clean(text)
        except ValueError as error:
            raise _refusal(path, name, str(error)) from None
    return cleaned


def make_draft(fields: Mapping[str, object], path: str = "") -> Draft:
    """Make a draft of fields from outside; all but the title may be missing or empty.

    Raises:
        Refused: as :func:`clean_fields`, and if there is no title.
    """
    cleaned = clean_fields(fields, path)
    if "title" not in cleaned:
        raise _refusal(path, "title", "is missing")
    return Draft(**cleaned)


def spoken(ticket: Ticket) -> TicketId:
    """Say what is voted on, to those who know no backlog: its key, or as much of the title."""
    if ticket.key:
        return TicketId(ticket.key)
    try:
        return TicketId(clean_line(ticket.title[:TICKET_LENGTH], TICKET_LENGTH))
    except ValueError:  # nothing of the title is visible so early
        return TicketId(f"Ticket {ticket.id}")


def text_size(draft: Draft) -> int:
    """Count the bytes that a ticket's texts have in UTF-8."""
    texts = (draft.title, draft.key, draft.link, draft.description, draft.type, draft.priority)
    return len("".join(texts).encode())


def same_key(key: str) -> str:
    """Give what two keys share that are one to people: case makes no difference."""
    return key.casefold()


def _refusal(path: str, name: str, complaint: str) -> Refused:
    field = f"{path}.{name}" if path else name
    return Refused(ErrorCode.MALFORMED, f"{field} {complaint}", field)


TEXTS: Final[Mapping[object, Callable[[str], str]]] = {
    TicketTitle: CLEANERS["title"],
    TicketKey: CLEANERS["key"],
    TicketLink: CLEANERS["link"],
    TicketDescription: CLEANERS["description"],
    TicketLabel: CLEANERS["type"],
}
"""What cleans the texts of each kind."""
