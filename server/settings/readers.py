"""Readers of option values: each turns text into a value, or says what could be meant."""

import ipaddress
import math
import re
from collections.abc import Callable
from typing import Final

from server.support.errors import BadValue

SWITCH: Final = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}

NONE: Final = "none"

_LONGEST_SECRET: Final = 4096


def whole(least: int, most: int) -> Callable[[str], int]:
    """Make a reader of whole numbers from ``least`` to ``most``, in decimal ASCII digits."""

    def read(text: str) -> int:
        # int() would also take 1_000, blanks and the digits of other scripts.
        if re.fullmatch(r"[+-]?[0-9]{1,15}", text) and least <= int(text) <= most:
            return int(text)
        raise BadValue(f"must be a whole number from {least} to {most}, not {_shown(text)}")

    return read


def number(least: float, most: float, *, exclusive: bool = True) -> Callable[[str], float]:
    """Make a reader of finite numbers up to ``most``, and from or above ``least``."""

    def read(text: str) -> float:
        # float() would also take 1_000, blanks, nan and the digits of other scripts.
        if re.fullmatch(r"[+-]?[0-9.]{1,30}(?:[eE][+-]?[0-9]{1,3})?", text):
            try:
                value = float(text)
            except ValueError:  # such as 1.2.3
                value = math.nan
            if least <= value <= most and not (exclusive and value == least):
                return value
        words = "above" if exclusive else "from"
        raise BadValue(f"must be a number {words} {least:g} up to {most:g}, not {_shown(text)}")

    return read


def choice(*choices: str) -> Callable[[str], str]:
    """Make a reader of one of these words, in any case."""

    def read(text: str) -> str:
        if text.lower() in choices:
            return text.lower()
        raise BadValue(f"must be one of {', '.join(choices)}, not {_shown(text)}")

    return read


def switch(text: str) -> bool:
    """Read yes or no, in any of the usual spellings."""
    try:
        return SWITCH[text.lower()]
    except KeyError:
        raise BadValue(f"must be one of {', '.join(SWITCH)}, not {_shown(text)}") from None


def host(text: str) -> str:
    """Read an address or a host name; whether it exists shows when it is listened on."""
    if re.fullmatch(r"[0-9A-Za-z_.:%-]{0,253}", text):
        return text
    raise BadValue(f"must be an address or a host name, not {_shown(text)}")


def networks(text: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    """Read addresses and networks such as ``10.0.0.0/8``, with commas between them, or none."""
    if text.lower() == NONE:
        return ()
    try:
        return tuple(ipaddress.ip_network(each.strip()) for each in text.split(","))
    except ValueError:
        raise BadValue(
            f"must be {NONE}, or addresses or networks with commas between them, not {_shown(text)}"
        ) from None


def secret(check: Callable[[str], str], form: str) -> Callable[[str], str]:
    """Make a reader of a secret, or of the name of a file that has one, or none.

    Nothing of what was given is in any message.

    Args:
        check: gives the secret, or raises ``BadValue``.
        form: what a secret looks like, for people.
    """

    def read(text: str) -> str:
        if text.lower() == NONE:
            return ""
        try:
            return check(text)
        except BadValue:
            pass
        try:
            with open(text, encoding="ascii") as file:
                return check(file.read(_LONGEST_SECRET).strip())
        except BadValue:
            raise BadValue(f"names a file that does not have {form}") from None
        except (OSError, ValueError):
            raise BadValue(f"must be {form}, or the name of a file with it") from None

    return read


def _shown(text: str) -> str:
    """Quote what was given such that it stays one line of a fair length."""
    return ascii(text if len(text) <= 60 else text[:57] + "...")
