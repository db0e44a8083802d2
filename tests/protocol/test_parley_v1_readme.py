"""The tables of ``protocol/README.md`` about ``parley.v1``, against the code they tell of."""

import re
from pathlib import Path
from typing import Final

import attrs
import pytest

from protocol import greeting, limits, picture
from protocol.answers import REMEMBERED
from protocol.dialects.parley_v1 import CHANGES, CLOSE_CODES, NOTICES, REQUESTS, RETRY, Error
from protocol.errors import ErrorCode

README: Final = (Path(__file__).parents[2] / "protocol" / "README.md").read_text("utf-8")
CHAPTER: Final = README.partition("\n# parley.v1\n")[2].partition("\n# Estimation rooms\n")[0]

OF_OTHER_DIALECTS: Final = {
    *(ErrorCode.NOT_ANNOUNCED, ErrorCode.ANNOUNCED_TOO_LATE, ErrorCode.ANNOUNCED_TWICE),
    *(ErrorCode.WRONG_ROOM, ErrorCode.WRONG_TICKET),
}
OF_CHAT: Final = {
    *(ErrorCode.EMPTY_MESSAGE, ErrorCode.NULL_CHARACTER, ErrorCode.TOO_MUCH),
    *(ErrorCode.TOO_MANY_SEATS, ErrorCode.NO_SUCH_MESSAGE, ErrorCode.NOT_YOURS),
}
OF_CONNECTIONS: Final = {
    *(ErrorCode.STRUCK_OUT, ErrorCode.LEFT, ErrorCode.REPLACED, ErrorCode.TOO_MANY_ROOMS),
}
"""Said by goodbye and close codes, or over HTTP."""


def rows(heading: str, column: int = 0, *, table: int = 0) -> list[list[str]]:
    """Give what is marked as code in one column of a table below a heading, row by row."""
    text = CHAPTER.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    found = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)[table].splitlines()
    return [re.findall(r"`([^`]+)`", row.split("|")[column + 1]) for row in found[2:]]


def words(heading: str, column: int = 0, *, table: int = 0) -> list[str]:
    return [word for row in rows(heading, column, table=table) for word in row]


def fields(kind: type) -> set[str]:
    return {field.name for field in attrs.fields(kind)}


def test_hello_welcome_and_picture_have_these_fields() -> None:
    assert set(words("Coming in", table=0)) == fields(greeting.Hello)
    assert set(words("Coming in", table=1)) == fields(greeting.Greeting)
    assert set(words("The picture", table=0)) == fields(picture.Picture)
    assert words("Coming back", table=0) == ["replayed", "snapshot"]
    for name in fields(greeting.ClientLimits):
        assert f"`{name}`" in CHAPTER


def test_every_change_and_every_request_has_its_row() -> None:
    assert words("The picture", table=1) == list(CHANGES)
    assert [row[0] for row in rows("Requests")] == list(REQUESTS)
    for row in rows("Requests"):
        assert set(row[1:]) == fields(REQUESTS[row[0]])


@pytest.mark.parametrize("word", NOTICES)
def test_everything_else_that_is_said_is_spoken_of(word: str) -> None:
    assert f"`{word}`" in CHAPTER


def test_every_close_code_has_its_row() -> None:
    table = re.findall(r"^\| (4\d\d\d) \| `(\w+)` \|", CHAPTER, re.MULTILINE)

    assert table == [(str(code), str(ending)) for ending, code in CLOSE_CODES.items()]


def test_every_error_has_its_row_unless_it_never_comes_here() -> None:
    told = words("Errors")

    assert len(told) == len(set(told))
    expected = set(ErrorCode) - OF_OTHER_DIALECTS - OF_CHAT - OF_CONNECTIONS
    assert set(told) == {str(code) for code in expected}
    assert "`retry`" in next(row for row in CHAPTER.splitlines() if row.startswith("| `too_fast`"))
    assert ErrorCode.TOO_FAST in RETRY
    for name in fields(Error):
        assert f"`{name}`" in CHAPTER.partition("\n## Errors\n")[2].partition("\n| ")[0]


def test_the_numbers_are_those_of_the_code() -> None:
    assert f"0 to {limits.LONGEST_GRACE_SECONDS:.0f}" in CHAPTER
    assert f"1 to {limits.TICKET_LENGTH} characters" in CHAPTER
    assert f"{limits.EMPTY_SECONDS / 60:.0f} minutes without anybody" in CHAPTER
    assert f"within {limits.ANNOUNCE_SECONDS:.0f} seconds" in CHAPTER
    assert f"{limits.ROUNDS} have been revealed" in CHAPTER
    assert f'"window": {REMEMBERED}' in CHAPTER
