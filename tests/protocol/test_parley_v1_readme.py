"""The tables of ``protocol/README.md`` about ``parley.v1``, against the code they tell of."""

import re
from pathlib import Path
from typing import Final

import attrs
import pytest

from protocol import chat_picture, greeting, limits, picture
from protocol.answers import REMEMBERED
from protocol.chat_changes import NUMBERED_CHAT
from protocol.chat_window import DELETED_USER, HISTORY_BYTES
from protocol.deck import DECKS
from protocol.deck_choice import MOST_POINTS
from protocol.dialects.parley_v1 import (
    CHANGES,
    CHAT_CHANGES,
    CHAT_NOTICES,
    CHAT_REQUESTS,
    CLOSE_CODES,
    NOTICES,
    REQUESTS,
    RETRY,
    SIGNALS,
    Error,
)
from protocol.errors import ErrorCode
from protocol.statistics import Summary
from protocol.suggestion import SHARE_PERCENT
from protocol.talk import MOST_NAMED, Emoji, Reaction

README: Final = (Path(__file__).parents[2] / "protocol" / "README.md").read_text("utf-8")
CHAPTER: Final = README.partition("\n# parley.v1\n")[2].partition("\n# Estimation rooms\n")[0]

OF_OTHER_DIALECTS: Final = {
    *(ErrorCode.NOT_ANNOUNCED, ErrorCode.ANNOUNCED_TOO_LATE, ErrorCode.ANNOUNCED_TWICE),
    *(ErrorCode.WRONG_ROOM, ErrorCode.WRONG_TICKET),
}
OF_CHAT: Final = {
    *(ErrorCode.EMPTY_MESSAGE, ErrorCode.NULL_CHARACTER, ErrorCode.TOO_MANY_SEATS),
}
OF_BOTH: Final = {
    *(ErrorCode.TOO_FAST, ErrorCode.NOT_NOW, ErrorCode.TOO_MUCH),
    *(ErrorCode.NO_SUCH_MESSAGE, ErrorCode.NOT_YOURS),
}
"""Which chat rooms have reasons of their own for."""
OF_CONNECTIONS: Final = {
    *(ErrorCode.STRUCK_OUT, ErrorCode.LEFT, ErrorCode.REPLACED, ErrorCode.TOO_MANY_ROOMS),
}
"""Said by goodbye and close codes, or over HTTP."""


def section(heading: str) -> str:
    return CHAPTER.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def rows(heading: str, column: int = 0, *, table: int = 0) -> list[list[str]]:
    """Give what is marked as code in one column of a table below a heading, row by row."""
    text = section(heading)
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


def test_every_deck_and_every_figure_has_its_row() -> None:
    told = re.findall(r"^\| `(\w+)` \| (.*) \|$", section("Decks"), re.MULTILINE)
    assert [(name, cards.partition(";")[0]) for name, cards in told[1:]] == [
        (name, deck.spelled) for name, deck in DECKS.items()
    ]
    assert set(words("Statistics")) == fields(Summary)
    assert f"at least {SHARE_PERCENT} %" in section("Statistics")
    assert f"(0 to {MOST_POINTS})" in section("Decks")
    assert f"a list of 2 to {limits.MOST_CARDS}" in section("Decks")
    assert f"1 to {limits.CARD_LENGTH} characters" in section("Decks")


def test_every_change_and_every_request_has_its_row() -> None:
    assert words("The picture", table=1) == list(CHANGES)
    assert [row[0] for row in rows("Requests")] == list(REQUESTS)
    for row in rows("Requests"):
        assert set(row[1:]) == fields(REQUESTS[row[0]])


@pytest.mark.parametrize("word", NOTICES)
def test_everything_else_that_is_said_is_spoken_of(word: str) -> None:
    assert f"`{word}`" in CHAPTER


def test_the_numbers_and_names_of_talk_are_those_of_the_code() -> None:
    text = " ".join(section("Talk").split())
    for word in [*Emoji, *fields(Reaction), *SIGNALS]:
        assert word in text
    assert f"{limits.TALK_BYTES_RATE / limits.KIB:.0f} KiB of text a second" in text
    assert f"{limits.TALK_BYTES_BURST // limits.KIB} KiB at once" in text
    assert f"first {MOST_NAMED} of them" in text
    assert 1 / limits.REACTION_SECONDS < 5
    assert f"1 to {limits.REMARK_LENGTH} characters" in section("Requests")
    assert f"the last {limits.REMARKS} are kept" in section("The picture")
    assert f"{limits.REMARKS_BYTES // limits.KIB} KiB of UTF-8" in section("The picture")


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
    assert f"once in {limits.NUDGE_SECONDS:.0f} seconds" in section("Requests")
    assert f"the last {limits.NUDGE_SECONDS:.0f} seconds" in section("Errors")


# --- chat -----------------------------------------------------------------------------------


def test_hello_and_picture_of_a_chat_room_have_these_fields() -> None:
    assert words("Chat", table=0) == [field.name for field in attrs.fields(greeting.ChatHello)]
    assert set(words("Chat", table=1)) == fields(chat_picture.ChatPicture)
    told = [set(row) for row in rows("Chat", 1, table=1)]
    for kind in (chat_picture.Attendee, chat_picture.Line, chat_picture.ReadMarker):
        assert any(fields(kind) <= row for row in told), kind


def test_every_change_of_a_chat_room_has_its_row_and_names_its_fields() -> None:
    assert words("Chat", table=2) == list(CHAT_CHANGES)
    assert tuple(CHAT_CHANGES.values())[: len(NUMBERED_CHAT)] == NUMBERED_CHAT
    told = dict(zip(CHAT_CHANGES, rows("Chat", 1, table=2), strict=True))
    same = {"deleted": set(told["edited"]), "edited": {"seq"}, "away": {"since"}}
    for word, kind in CHAT_CHANGES.items():
        assert fields(kind) <= {*told[word], "seq"} | same.get(word, set()), word


def test_every_request_of_a_chat_room_has_its_row() -> None:
    told = {row[0]: set(row[1:]) for row in rows("Chat", table=3)}
    assert told == {word: fields(kind) for word, kind in CHAT_REQUESTS.items()}


@pytest.mark.parametrize("word", CHAT_NOTICES)
def test_everything_else_that_is_said_in_chat_rooms_is_spoken_of(word: str) -> None:
    assert f"`{word}`" in CHAPTER


def test_every_error_of_chat_rooms_has_its_row() -> None:
    told = rows("Chat", table=4)
    assert {row[0] for row in told} == {str(code) for code in OF_CHAT | OF_BOTH}
    retried = [row[0] for row, more in zip(told, rows("Chat", 1, table=4), strict=True) if more]
    assert set(retried) - {"too_many_seats"} == {
        str(code) for code in (OF_CHAT | OF_BOTH) & set(RETRY)
    }


def test_the_numbers_of_chat_are_those_of_the_code() -> None:
    text = " ".join(CHAPTER.partition("\n## Chat\n")[2].partition("\n## ")[0].split())
    assert f"the last {limits.CHAT_HISTORY}, ascending" in text
    assert f"more than {HISTORY_BYTES // limits.KIB} KiB of text" in text
    assert f"{limits.UNREAD_MOST} stands for more" in text
    assert f"waits for {limits.GRACE_SECONDS:.0f} seconds" in text
    assert f"{limits.CHAT_PAGE} at most" in text
    assert f"once in {limits.TYPING_SECONDS:.0f} seconds" in text
    assert f"up to {limits.SEATS_PER_ACCOUNT} of an account" in text
    assert f"{limits.CHAT_BYTES_RATE / limits.KIB:.0f} KiB/s" in text
    assert f"burst of {limits.CHAT_BYTES_BURST // limits.KIB} KiB" in text
    assert f"`{DELETED_USER}`" in text
