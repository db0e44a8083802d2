"""The one gate for text from outside: how long, of which characters, in which form.

Every check has the same order, and no step sees what an earlier one has not bounded:

1. the raw length, in characters (of at most 4 bytes each in UTF-8, 6 in JSON);
2. the characters, by regular expressions without nesting, so in one pass;
3. the normal form, where two spellings must be one: CPython's normalisation is quadratic in the
   length of a run of combining marks, so it must never meet a text of unknown length.

The patterns are for schemas: what one of them and the lengths allow, the function beside it takes.
"""

import re
import unicodedata
from typing import Final

MARKS_IN_A_ROW: Final = 6
"""Combining marks on one letter; Hebrew with all its points and accents needs four."""

NORMALISED_LENGTH: Final = 1024
"""Characters that :func:`normalise` takes: at worst one run of marks, sorted in some 5 ms.

Whoever calls it has a bound of its own, far below; this one is for who forgets to.
"""

# Cc but for blanks within a text of several lines. DEL and C1 stand in _C1.
_C0: Final = r"\x00-\x1f"
_C0_BESIDE_BLANKS: Final = r"\x00-\x08\x0b\x0c\x0e-\x1f"
_C1: Final = r"\x7f-\x9f"
_SEPARATORS: Final = r"\u2028\u2029"  # Zl, Zp: they forge lines as well
# Bidirectional embeddings, overrides and isolates: they reach beyond the name that holds them.
_REORDERING: Final = r"\u202a-\u202e\u2066-\u2069"
_SURROGATES: Final = r"\ud800-\udfff"  # cannot be encoded as UTF-8 again; JSON never has them

# Zs, Cf without the above, and letters that are drawn as nothing: Hangul and Khmer fillers, the
# empty Braille cell, variation selectors.
_HIDDEN: Final = (
    r" \u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
    r"\u00ad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f\u2060-\u2065"
    r"\u206a-\u206f\ufeff\ufff0-\ufffb"
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    r"\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U000e0000-\U000e0fff"
)
# Marks that are drawn above and below a letter, one on top of the other.
_STACKING: Final = (
    r"\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a"
    r"\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed\u0711\u0730-\u074a"
    r"\u07eb-\u07f3\u08ca-\u08e1\u08e3-\u0902\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc"
    r"\u0ec8-\u0ecd\u0f18\u0f19\u0f35\u0f37\u0f39\u0f71-\u0f7e\u0f80-\u0f84\u135d-\u135f"
    r"\u1ab0-\u1aff\u1cd0-\u1cd2\u1cd4-\u1ce0\u1dc0-\u1dff\u20d0-\u20f0\u2cef-\u2cf1"
    r"\u2de0-\u2dff\u302a-\u302d\u3099\u309a\ua66f-\ua672\ua674-\ua67d\ua69e\ua69f"
    r"\ua8e0-\ua8f1\ufe20-\ufe2f"
)

_UNFIT_IN_LINE: Final = _C0 + _C1 + _SEPARATORS + _REORDERING
_UNFIT_IN_PROSE: Final = _C0_BESIDE_BLANKS + _C1
_UNFIT_IN_SECRET: Final = _C0 + _C1 + _SEPARATORS
_HIDDEN_IN_PROSE: Final = _HIDDEN + r"\t\n\r" + _SEPARATORS + _REORDERING


def _shown(unfit: str, hidden: str) -> str:
    """Make the pattern of a text without ``unfit`` that shows something beside ``hidden``."""
    stack = rf"(?![\s\S]*[{_STACKING}]{{{MARKS_IN_A_ROW + 1}}})"
    return rf"^{stack}[{hidden}{_STACKING}]*[^{unfit}{hidden}{_STACKING}][^{unfit}]*$"


LINE_PATTERN: Final = _shown(_UNFIT_IN_LINE, _HIDDEN)
"""What :func:`clean_line` takes, in the schema of JSON."""

PROSE_PATTERN: Final = _shown(_UNFIT_IN_PROSE, _HIDDEN_IN_PROSE)
"""What :func:`clean_prose` takes."""

SECRET_PATTERN: Final = rf"^[^{_UNFIT_IN_SECRET}]*$"
"""What :func:`clean_secret` takes."""

_BAD_LINE: Final = re.compile(f"[{_UNFIT_IN_LINE}{_SURROGATES}]")
_BAD_PROSE: Final = re.compile(f"[{_UNFIT_IN_PROSE}{_SURROGATES}]")
_BAD_SECRET: Final = re.compile(f"[{_UNFIT_IN_SECRET}{_SURROGATES}]")
_STACK: Final = re.compile(f"[{_STACKING}]{{{MARKS_IN_A_ROW + 1}}}")
_VISIBLE: Final = re.compile(f"[^{_HIDDEN_IN_PROSE}{_STACKING}]")
_BLANK: Final = re.compile(r"[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")  # Zs but for " "


def clean_line(text: str, longest: int) -> str:
    """Trim a text that is shown to people within a line: a name, a ticket id.

    Args:
        text: the text as it came.
        longest: the most characters it may have, blanks around it included.

    Raises:
        ValueError: if it is empty or too long, if nothing of it is visible, if it contains
            control or line-separating characters, marks that reorder text or lone surrogates,
            or more than ``MARKS_IN_A_ROW`` combining marks in a row.
    """
    check_length(text, longest)
    text = text.strip()
    if text.isascii() and text.isprintable() and text:
        return text
    _judge(text, _BAD_LINE)
    return text


def clean_prose(text: str, longest: int) -> str:
    """Judge a text of several lines, such as a post, and leave it as it is.

    Args:
        text: the text as it came.
        longest: the most characters it may have.

    Raises:
        ValueError: as :func:`clean_line`, but that line breaks, tabs and marks that reorder text
            are allowed.
    """
    check_length(text, longest)
    _judge(text, _BAD_PROSE)
    return text


def clean_secret(text: str, shortest: int, longest: int) -> str:
    """Bring a password into the one form that is hashed: OpaqueString of RFC 8265 section 4.2.

    Blanks of all kinds become the ASCII one, then NFC; case and width stay. Lengths are those of
    the text as it came, each code point being one character (NIST SP 800-63B section 5.1.1.2).

    Raises:
        ValueError: if it is too short or too long, or contains control or line-separating
            characters or lone surrogates.
    """
    if not shortest <= len(text) <= longest:
        raise ValueError(f"must be {shortest} to {longest} characters long")
    if _BAD_SECRET.search(text):
        raise ValueError("must not contain control characters")
    return normalise(_BLANK.sub(" ", text))


def check_length(text: str, longest: int) -> None:
    """Make sure that ``text`` has at most ``longest`` characters.

    Raises:
        ValueError: if it has more.
    """
    if len(text) > longest:
        raise ValueError(f"must be at most {longest} characters long")


def normalise(text: str) -> str:
    """Bring a text into NFC, of at most three times its length.

    Raises:
        ValueError: if ``text`` is longer than ``NORMALISED_LENGTH``.
    """
    check_length(text, NORMALISED_LENGTH)
    return unicodedata.normalize("NFC", text)


def _judge(text: str, bad: re.Pattern[str]) -> None:
    if not text.strip():
        raise ValueError("must not be empty")
    # What is printable has no control characters; to know that costs a tenth of a search.
    if not text.isprintable() and bad.search(text):
        raise ValueError("must not contain control characters")
    if len(text) > MARKS_IN_A_ROW and _STACK.search(text):
        raise ValueError(f"must not have more than {MARKS_IN_A_ROW} combining marks in a row")
    if not _VISIBLE.search(text):
        raise ValueError("must contain a visible character")
