"""Reads the arguments of the bots; what makes no sense is one line and exit code 2."""

import argparse
import math
from collections.abc import Callable
from typing import Final, NoReturn, TypeAlias
from urllib.parse import SplitResult, urlsplit

NONSENSE: Final = 2


class Nonsense(Exception):
    """Arguments that do not go together; the text is the one line to show."""


class Parser(argparse.ArgumentParser):
    """An argument parser of few words."""

    def error(self, message: str) -> NoReturn:
        """Say in one line what is wrong."""
        self.exit(NONSENSE, f"{self.prog}: {message}\n")


Commands: TypeAlias = "argparse._SubParsersAction[Parser]"  # noqa: SLF001 - has no other name


def whole(least: int) -> Callable[[str], int]:
    """Make a reader of whole numbers."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(
                f"must be a whole number from {least} on, not {text!r}"
            )
        return value

    return parse


def number(*, above: bool = False) -> Callable[[str], float]:
    """Make a reader of numbers from 0 on, or above it."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or value < 0 or (above and value == 0):
            raise argparse.ArgumentTypeError(
                f"must be a number {'above' if above else 'from'} 0{'' if above else ' on'}, "
                f"not {text!r}"
            )
        return value

    return parse


def fraction(text: str) -> float:
    """Read a number from 0 to 1."""
    value = number()(text)
    if value > 1:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to 1, not {text!r}")
    return value


def ws_url(text: str) -> SplitResult:
    """Read where a WebSocket is."""
    url = _url(text, "ws")
    return url._replace(path="/ws" if url.path in {"", "/"} else url.path)


def http_url(text: str) -> SplitResult:
    """Read where a server is."""
    url = _url(text, "http")
    return url._replace(path=url.path.rstrip("/"))


def _url(text: str, scheme: str) -> SplitResult:
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no URL: {error}") from None
    if url.scheme not in {scheme, scheme + "s"} or not url.hostname or port == 0:
        raise argparse.ArgumentTypeError(f"must be like {scheme}://host:port, not {text!r}")
    if url.query or url.fragment or "@" in url.netloc or not text.isascii() or " " in text:
        raise argparse.ArgumentTypeError(f"must have host, port and path only, not {text!r}")
    return url
