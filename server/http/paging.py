"""Lists page by page: where a page begins, how long it is, and the way to the next."""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Protocol, TypeVar
from urllib.parse import urlencode

import attrs
from litestar import Request
from litestar.exceptions import ValidationException
from litestar.openapi.spec import Example
from litestar.params import PathParameter, QueryParameter

from server.store.cursors import Cursor

MOST: Final = 100
USUAL: Final = 20

LARGEST_ID: Final = 2**53 - 1
"""Of what JavaScript, and JSON Schema by way of it, counts exactly; no id comes near it."""

# Two numbers of 8 bytes in base64; the first, a time, is neither infinite nor NaN.
_CURSOR: Final = "^([A-Za-eg-z0-9-][A-Za-z0-9_-]|[f_][A-Za-z0-9-])[A-Za-z0-9_-]{19}[AQgw]$"

Limit = Annotated[
    int,
    QueryParameter(description="Entries in a page", ge=1, le=MOST, examples=[Example(value=USUAL)]),
]
Before = Annotated[
    str | None,
    QueryParameter(
        description="Where the page before has ended; taken from the Link header of that page",
        schema_extra={"pattern": _CURSOR},
    ),
]
Id = Annotated[
    int,
    PathParameter(
        description="As told by the server", ge=1, le=LARGEST_ID, examples=[Example(value=1)]
    ),
]


class Entry(Protocol):
    """What lists are made of."""

    @property
    def cursor(self) -> Cursor:
        """Its place in the list."""


T = TypeVar("T", bound=Entry)


@attrs.frozen
class Page:
    """What is asked for."""

    limit: int
    before: Cursor | None

    @property
    def fetch(self) -> int:
        """How many to ask the store for: one more shows that there is another page."""
        return self.limit + 1


def page(limit: int, before: str | None) -> Page:
    """Read what is asked for.

    Raises:
        ValidationException: if the cursor is none of ours.
    """
    if before is None:
        return Page(limit, None)
    try:
        return Page(limit, Cursor.decode(before))
    except ValueError:
        message = "must be taken from the Link header of the page before"
        raise ValidationException(extra=[{"key": "before", "message": message}]) from None


def cut(
    request: Request[Any, Any, Any], asked: Page, found: Sequence[T]
) -> tuple[Sequence[T], dict[str, str]]:
    """Cut what the store has found to the page, and make its headers (RFC 8288).

    Args:
        request: whose path the next page has as well.
        asked: what was asked for.
        found: up to ``asked.fetch`` entries.
    """
    headers = {"Cache-Control": "no-store"}
    if len(found) <= asked.limit:
        return found, headers
    shown = found[: asked.limit]
    headers["Link"] = next_page(request, asked.limit, shown[-1].cursor.encode())
    return shown, headers


def next_page(request: Request[Any, Any, Any], limit: int, before: str) -> str:
    """Make the header ``Link`` that leads to what comes after ``before``."""
    query = urlencode({"limit": limit, "before": before})
    return f'<{request.url.path}?{query}>; rel="next"'
