"""Reads lists of posts."""

from typing import Any

from scripts.botlib.api import Api, Unexpected
from scripts.botlib.frames import Malformed
from scripts.botlib.pages import read_all
from scripts.botlib.social.model import Post, read_post


async def read_posts(api: Api, path: str, token: str, limit: int) -> list[Post]:
    """Read all pages of a list of posts.

    Raises:
        Unexpected: as in reading all pages, or if there is something else in the list.
    """
    return posts_of(await read_all(api, path, token, limit))


def posts_of(entries: list[Any]) -> list[Post]:
    """Read the posts of a list.

    Raises:
        Unexpected: if there is something else in it.
    """
    try:
        return [read_post(entry) for entry in entries]
    except Malformed as error:
        raise Unexpected("malformed", str(error)) from None
