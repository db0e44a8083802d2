"""Reads lists page by page, by the header Link."""

from typing import Any, Final

from scripts.botlib.api import Api, Unexpected, as_list, next_link

MOST_PAGES: Final = 2000  # of one list; a walk must end even if the server does not let it


async def read_all(api: Api, path: str, token: str, limit: int) -> list[Any]:
    """Read all pages of a list.

    Raises:
        Unexpected: if a page is too long or too short, or there is no end.
    """
    entries: list[Any] = []
    target = f"{path}?limit={limit}"
    for _ in range(MOST_PAGES):
        answer = await api.ask("GET", target, 200, token=token)
        page, following = as_list(answer), next_link(answer)
        entries += page
        if len(page) > limit or (following is not None and len(page) < limit):
            raise Unexpected(
                "page-size", f"{path}: {len(page)} entries of {limit}, next {following}"
            )
        if following is None:
            return entries
        target = following
    raise Unexpected("endless", f"{path}: still no end after {MOST_PAGES} pages")
