"""E-mail addresses: which are acceptable, and when two are the same."""

import re
from typing import Final

from protocol.text import check_length, normalise

EMAIL_LENGTH: Final = 254
"""The most characters of an address, blanks around it included.

RFC 5321 section 4.5.3.1.3 has 256, with the angle brackets.
"""

# U+037E and U+1FEF are a semicolon and a grave accent in NFC.
_ATOM: Final = r"[^\x00-\x20\x7f-\xa0\s\u037e\"(),.:;<>@\[\\\]]"
_HYPHEN_OR_LETTER: Final = r"[^\x00-,./:-@\[-`{-\xa0\s\u037e\u1fef]"
_LETTER: Final = r"[^\x00-/:-@\[-`{-\xa0\s\u037e\u1fef]"
_LABEL: Final = rf"{_LETTER}(?:{_HYPHEN_OR_LETTER}{{0,61}}{_LETTER})?"

EMAIL_PATTERN: Final = rf"^{_ATOM}+(?:\.{_ATOM}+)*@{_LABEL}(?:\.{_LABEL})*$"
"""A dot-atom before the @ and the labels of a host name behind it, in any script.

A name without a dot is a host of the operator's own network. Whether mail arrives is not known
before it is sent.
"""

_EMAIL: Final = re.compile(EMAIL_PATTERN)


def clean_email(text: str) -> str:
    """Bring an address into the form that is shown: without blanks around it, in NFC.

    Raises:
        ValueError: if it cannot be one.
    """
    check_length(text, EMAIL_LENGTH)
    text = text.strip()
    if not _EMAIL.fullmatch(text):
        raise ValueError("must be an e-mail address")
    return normalise(text)


def email_key(text: str) -> str:
    """Bring an address into the form in which it is unique, whatever its case.

    In theory the part before the @ may tell upper from lower case; no provider does.

    Raises:
        ValueError: if it is longer than any address.
    """
    check_length(text, EMAIL_LENGTH)
    return normalise(normalise(text.strip()).lower())
