"""The gate for texts: its order, what it refuses, and that its patterns say the same."""

import re
import sys
import unicodedata
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocol.codec import clean_name
from protocol.limits import NAME_LENGTH
from protocol.text import (
    LINE_PATTERN,
    MARKS_IN_A_ROW,
    NORMALISED_LENGTH,
    PROSE_PATTERN,
    SECRET_PATTERN,
    clean_line,
    clean_prose,
    clean_secret,
    normalise,
)

CONTROLS = [*map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0)), "\u2028", "\u2029"]
SURROGATES = [chr(0xD800), chr(0xDFFF)]
MARK = "\u0301"


@pytest.mark.parametrize("blank", [" ", "\t", "\n", "\r\n", "\u3000", "\u00a0", "\u2003"])
def test_a_line_is_trimmed_on_both_sides_before_it_is_judged(blank: str) -> None:
    assert clean_line(f"{blank}a b{blank}", 7) == "a b"
    with pytest.raises(ValueError, match="must not be empty"):
        clean_line(blank, 3)


def test_a_line_is_measured_in_characters_as_it_came() -> None:
    assert clean_name("😀" * NAME_LENGTH) == "😀" * 50
    for longer in ("a" * (NAME_LENGTH + 1), " " * NAME_LENGTH + "a"):
        with pytest.raises(ValueError, match="at most 50 characters"):
            clean_name(longer)


@pytest.mark.parametrize("control", [*CONTROLS, *SURROGATES, "\u202e", "\u2066"], ids=ascii)
def test_no_control_character_gets_into_a_line(control: str) -> None:
    with pytest.raises(ValueError, match="control characters"):
        clean_line(f"a{control}b", 3)


@pytest.mark.parametrize(
    "text",
    ["Zoë", "李小龍", "👩\u200d👩\u200d👧", "a\u00adb", "عمر", '<b>"&', "\\n", "Việt",
     "Vie\u0323\u0302t", "בְּרֵאשִׁ֖ית", "น้ำ", "हिन्दी", "བོད", "❤\ufe0f", "한국", "\u1112\u1161\u11ab"],
)  # fmt: skip
def test_names_from_all_over_the_world_are_taken_as_they_are(text: str) -> None:
    assert clean_name(text) == text
    assert re.search(LINE_PATTERN, text)


@pytest.mark.parametrize(
    "hidden",
    ["\u200b", "\u200b \u200d", "\u3164", "\u115f", "\u1160", "\uffa0", "\u2800", "\ufeff",
     "\u2060", "\u00ad", "\u200e", "\u180e", "\ufe0f", "\U000e0041", "\U000e0100", "\u034f",
     "\u17b4", "\u061c", "\U0001d173", MARK, MARK * 2, "\u200b\u0301", "\u3164\u20dd"],
    ids=ascii,
)  # fmt: skip
def test_a_text_of_which_nothing_is_seen_is_refused(hidden: str) -> None:
    for clean in (clean_line, clean_prose):
        with pytest.raises(ValueError, match="must contain a visible character"):
            clean(hidden, 50)
        assert clean(f"a{hidden}", 50) == f"a{hidden}"
    assert not re.search(LINE_PATTERN, hidden)
    assert not re.search(PROSE_PATTERN, hidden)


def test_every_character_without_a_shape_is_known() -> None:
    shapeless = [
        character
        for character in map(chr, range(0x110000))
        if unicodedata.category(character) in {"Zs", "Cf"}
    ]

    for character in shapeless:
        with pytest.raises(ValueError, match="must"):
            clean_line(character, 1)


@pytest.mark.parametrize("mark", [MARK, "\u0e49", "\u20dd", "\u0489", "\u05b0", "\u064b", "\u1dc0"])
def test_marks_are_not_piled_up(mark: str) -> None:
    pile = "a" + mark * MARKS_IN_A_ROW
    for clean, pattern in ((clean_line, LINE_PATTERN), (clean_prose, PROSE_PATTERN)):
        assert clean(pile, 50) == pile
        assert re.search(pattern, pile)
        with pytest.raises(ValueError, match="more than 6 combining marks in a row"):
            clean(pile + mark, 50)
        assert not re.search(pattern, pile + mark)


@given(st.text(st.characters(codec=None), max_size=8))
def test_a_clean_line_can_be_printed_and_encoded_and_stays_clean(text: str) -> None:
    try:
        line = clean_line(text, 8)
    except ValueError:
        return
    assert line.splitlines() == [line]
    assert line.encode().decode() == line
    assert clean_line(line, 8) == line


def test_prose_has_lines_and_stays_as_it_is() -> None:
    assert clean_prose(" one\r\n\ttwo\u2028\u202ethree ", 50) == " one\r\n\ttwo\u2028\u202ethree "
    for bad in ("a\0", "a\x0b", "a\x85", "a\ud800"):
        with pytest.raises(ValueError, match="control characters"):
            clean_prose(bad, 50)
    for blank in ("", " \n\t", "\u2029\u3000"):
        with pytest.raises(ValueError, match="must not be empty"):
            clean_prose(blank, 50)


def secret(text: str, longest: int) -> str:
    return clean_secret(text, 0, longest)


# What is told apart by the patterns comes often enough; everything else comes as well.
TEXTS = st.text(
    st.sampled_from(["a", " ", "\n", "\t", "\x85", MARK, "\u200b", "\u3164", "\u202e", "\u2028"])
    | st.characters(codec="utf-8"),
    max_size=12,
)


@pytest.mark.parametrize(
    ("clean", "pattern"),
    [(clean_line, LINE_PATTERN), (clean_prose, PROSE_PATTERN), (secret, SECRET_PATTERN)],
    ids=["line", "prose", "secret"],
)
@given(text=TEXTS)
@example(text="a" + MARK * 7)
@example(text=MARK * 3 + "a")
def test_the_pattern_says_what_the_function_takes(
    clean: Callable[[str, int], str], pattern: str, text: str
) -> None:
    text = text.strip()  # blanks around a line are taken and do not count
    allowed = re.search(pattern.removesuffix("$") + r"\Z", text) is not None
    try:
        clean(text, 12)
    except ValueError:
        assert not allowed
    else:
        assert allowed


@pytest.mark.parametrize(
    "judge",
    [
        lambda text: clean_line(text, 100),
        lambda text: clean_prose(text, 500),
        lambda text: clean_secret(text, 8, 128),
        normalise,
    ],
    ids=["line", "prose", "secret", "normalise"],
)
def test_the_length_is_judged_before_anything_else_is_done(judge: Callable[[str], str]) -> None:
    used: set[str] = set()

    def watch(_: FrameType, event: str, what: Any) -> None:
        if event == "c_call":
            used.add(what.__name__)

    sys.setprofile(watch)
    try:
        judge("a" + MARK * (NORMALISED_LENGTH + 1))
    except ValueError:
        sys.setprofile(None)
        assert used - {"setprofile"} == {"len"}
    else:
        pytest.fail("was not refused")
    finally:
        sys.setprofile(None)
