"""What the terminal client is asked to do: its command line."""

import argparse
import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import SplitResult, urlencode, urlsplit

import attrs

from protocol.limits import NAME_LENGTH, SMALLEST_CAPACITY
from server.support.one_line_parser import OneLineParser

DEFAULT_URL: Final = "ws://localhost:8080"

_SCHEMES: Final = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}


@attrs.frozen(kw_only=True)
class Plan:
    """Which seat in which room to take."""

    server: str
    """Where Parley is, such as ``ws://localhost:8080``: without ``/ws``."""
    name: str
    room_id: str | None = None
    """The room to join; ``None`` creates one."""
    seats: int = SMALLEST_CAPACITY
    """Of the room to create."""

    @property
    def url(self) -> str:
        """The address of the seat."""
        query: dict[str, object] = {"name": self.name}
        if self.room_id is None:
            query |= {"action": "CREATE_ROOM", "max_room_capacity": self.seats}
        else:
            query |= {"action": "JOIN_ROOM", "room_id": self.room_id}
        return f"{self.server}/ws?{urlencode(query)}"

    @property
    def invitation(self) -> str:
        """What to add to ``parley join ROOM`` to come here as well."""
        return "" if self.server == DEFAULT_URL else f" {self.server}"


def parse(argv: Sequence[str]) -> Plan:
    """Read the arguments, the first of which is ``create`` or ``join``.

    Raises:
        SystemExit: 2 after one line on standard error; 0 after ``--help``.
    """
    command, *rest = argv
    parser = OneLineParser(prog=f"parley {command}", allow_abbrev=False)
    if command == "create":
        parser.description = "Open a room for planning poker, and lead its session from here."
        parser.add_argument(
            "--seats",
            type=_seats,
            default=SMALLEST_CAPACITY,
            metavar="N",
            help="how many take part, you included; voting begins when all are there "
            f"(default {SMALLEST_CAPACITY})",
        )
    else:
        parser.description = "Take a seat in a room for planning poker."
        parser.add_argument("room_id", type=_room, metavar="ROOM", help="as its creator was told")
    parser.add_argument("--name", type=_name, required=True, help="what the others call you")
    parser.add_argument(
        "server",
        type=_server,
        nargs="?",
        default=DEFAULT_URL,
        metavar="URL",
        help=f"where Parley is (default {DEFAULT_URL}); https:// and wss:// are encrypted",
    )
    return Plan(**vars(parser.parse_intermixed_args(rest)))


def _seats(text: str) -> int:
    if re.fullmatch(r"[0-9]{1,6}", text) and int(text) >= SMALLEST_CAPACITY:
        return int(text)
    raise argparse.ArgumentTypeError(f"must be a whole number from {SMALLEST_CAPACITY} on")


def _name(text: str) -> str:
    name = text.strip()
    if not 1 <= len(name) <= NAME_LENGTH or not name.isprintable():
        raise argparse.ArgumentTypeError(f"must be 1 to {NAME_LENGTH} printable characters")
    return name


def _room(text: str) -> str:
    if re.fullmatch(r"[0-9A-Za-z]{1,64}", text):
        return text
    raise argparse.ArgumentTypeError("must be letters and digits, as the room's creator was told")


def _server(text: str) -> str:
    try:
        url = urlsplit(text)
        scheme = _SCHEMES.get(url.scheme)
        fits = scheme is not None and url.hostname and url.port != 0
    except ValueError:
        fits = scheme = None
        url = SplitResult("", "", "", "", "")
    if not fits or url.query or url.fragment or url.username or not text.isascii():
        raise argparse.ArgumentTypeError(f"must be an address such as {DEFAULT_URL}")
    path = url.path.rstrip("/").removesuffix("/ws")
    return f"{scheme}://{url.netloc}{path}"
