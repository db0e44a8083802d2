"""E-mail addresses: which are acceptable, and when two are the same."""

import re
import unicodedata
from typing import Final

EMAIL_LENGTH: Final = 254
"""Characters of an address at the most (RFC 5321 section 4.5.3.1.3, without its brackets)."""

_ATOM: Final = r"[^\x00-\x20\x7f-\xa0\s\"(),.:;<>@\[\\\]]"
_HYPHEN_OR_LETTER: Final = r"[^\x00-,./:-@\[-`{-\xa0\s]"
_LETTER: Final = r"[^\x00-/:-@\[-`{-\xa0\s]"
_LABEL: Final = rf"{_LETTER}(?:{_HYPHEN_OR_LETTER}{{0,61}}{_LETTER})?"

EMAIL_PATTERN: Final = rf"^{_ATOM}+(?:\.{_ATOM}+)*@{_LABEL}(?:\.{_LABEL})*$"
"""A dot-atom before the sign and the labels of a host name behind it, in any script.

A name without a dot is a host of the operator's own network. Whether mail arrives is not known
before it is sent.
"""

_EMAIL: Final = re.compile(EMAIL_PATTERN)


def clean_email(text: str) -> str:
    """Bring an address into the form that is shown.

    Raises:
        ValueError: if it cannot be one.
    """
    text = unicodedata.normalize("NFC", text.strip())
    if len(text) > EMAIL_LENGTH:
        raise ValueError(f"must be at most {EMAIL_LENGTH} characters long")
    if not _EMAIL.fullmatch(text):
        raise ValueError("must be an e-mail address")
    return text


def email_key(text: str) -> str:
    """Bring an address into the form in which it is unique, whatever its case.

    In theory the part before the sign may tell upper from lower case; no provider does.
    """
    lower = unicodedata.normalize("NFC", text.strip()).lower()
    return unicodedata.normalize("NFC", lower)
