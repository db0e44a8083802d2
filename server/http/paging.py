"""Paged lists: where a page begins, how long it is, and the link to the next one."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final, Protocol, TypeVar
from urllib.parse import urlencode

import attrs
from litestar import Request
from litestar.exceptions import ValidationException
from litestar.openapi.spec import Example
from litestar.params import PathParameter, QueryParameter

from protocol.ids import CHAT_ROOM_ID_PATTERN
from protocol.limits import KIB
from server.store.cursors import Cursor

MOST: Final = 100
"""The largest page, in entries: of posts, some 250 KB."""

USUAL: Final = 20
"""The size of a page if the request does not say, in entries."""

LARGEST_ID: Final = 2**53 - 1
"""The largest integer that JavaScript, and with it JSON Schema, represents exactly."""

# Two numbers of 8 bytes in base64; the first, a time, is neither infinite nor NaN.
_CURSOR: Final = "^([A-Za-eg-z0-9-][A-Za-z0-9_-]|[f_][A-Za-z0-9-])[A-Za-z0-9_-]{19}[AQgw]$"

ROOM_ID_PATTERN: Final = CHAT_ROOM_ID_PATTERN
"""The ids of chat rooms, which can stand in a path as they are; "." and ".." would be resolved."""

# When a room was created, in seconds, and its id.

PAGE_CHARACTERS: Final = 64 * KIB
"""The length of all texts of a page together: at most 384 KiB of JSON, however many are long."""

Limit = Annotated[
    int,
    QueryParameter(
        description="The number of entries in a page",
        ge=1,
        le=MOST,
        examples=[Example(value=USUAL)],
    ),
]
Before = Annotated[
    str | None,
    QueryParameter(
        description="Where the page begins; given by the Link header of the previous page",
        schema_extra={"pattern": _CURSOR},
    ),
]
Id = Annotated[
    int,
    PathParameter(
        description="The id given by the server", ge=1, le=LARGEST_ID, examples=[Example(value=1)]
    ),
]


class Entry(Protocol):
    """An entry of a list."""

    @property
    def cursor(self) -> Cursor:
        """Its place in the list."""


T = TypeVar("T", bound=Entry)


@attrs.frozen
class Page:
    """A page that is asked for."""

    limit: int
    before: Cursor | None

    @property
    def fetch(self) -> int:
        """The number of entries to fetch: one more than shown, to know if another page follows."""
        return self.limit + 1


def page(limit: int, before: str | None) -> Page:
    """Read the parameters of a page.

    Raises:
        ValidationException: if ``before`` is not a cursor that the server has made.
    """
    if before is None:
        return Page(limit, None)
    try:
        return Page(limit, Cursor.decode(before))
    except ValueError:
        raise _not_ours() from None


def cut(
    request: Request[Any, Any, Any], asked: Page, found: Sequence[T]
) -> tuple[Sequence[T], dict[str, str]]:
    """Cut the entries found down to the page, and make the page's headers (RFC 8288).

    Args:
        request: the request; the next page has the same path.
        asked: the page asked for.
        found: up to ``asked.fetch`` entries.

    Returns:
        The entries of the page, and the headers of the answer.
    """
    headers = {"Cache-Control": "no-store"}
    if len(found) <= asked.limit:
        return found, headers
    shown = found[: asked.limit]
    headers["Link"] = next_page(request, asked.limit, shown[-1].cursor.encode())
    return shown, headers


def fitting(texts: Iterable[str], limit: int) -> int:
    """Count the entries of a page whose entries have texts of very different lengths.

    Args:
        texts: the texts of the entries found.
        limit: the number of entries asked for.

    Returns:
        The number of entries that fit, at least one: up to ``limit`` of them, and no more than
        :data:`PAGE_CHARACTERS` unless the first is longer.
    """
    left, count = PAGE_CHARACTERS, 0
    for text in texts:
        left -= len(text)
        if count == limit or (left < 0 and count):
            break
        count += 1
    return count


def next_page(request: Request[Any, Any, Any], limit: int, before: str) -> str:
    """Make the header ``Link`` that leads to the page after ``before``."""
    query = urlencode({"limit": limit, "before": before})
    return f'<{request.url.path}?{query}>; rel="next"'


def _not_ours() -> ValidationException:
    message = "must be taken from the Link header of the previous page"
    return ValidationException(extra=[{"key": "before", "message": message}])
