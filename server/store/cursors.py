"""Places in a list that is read page by page, newest first."""

import base64
import binascii
import math
import struct
from collections.abc import Callable
from typing import Final, TypeVar

import attrs

_AT: Final = struct.Struct(">d")
_ID: Final = struct.Struct(">q")

Value = TypeVar("Value")


@attrs.frozen
class Cursor:
    """The last entry of the page before: the next one begins below it.

    Entries are ordered by time, those of one moment by id, so no two have the same place.
    """

    at: float
    id: int

    def encode(self) -> str:
        """Write as text that fits into a URL as it is."""
        return _to_text(_AT.pack(self.at) + _ID.pack(self.id))

    @classmethod
    def decode(cls, text: str) -> "Cursor":
        """Read what :meth:`encode` wrote.

        Raises:
            ValueError: if it did not.
        """
        at, rest = _split(text)
        return cls(at, _unpacked(lambda: int(_ID.unpack(rest)[0])))


@attrs.frozen
class RoomCursor:
    """The same in the list of chat rooms, whose ids are texts; never leaves the server."""

    at: float
    id: str


def _to_text(packed: bytes) -> str:
    return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


def _split(text: str) -> tuple[float, bytes]:
    """Decode the time; return the rest as it is."""
    padding = "=" * (-len(text) % 4)
    # ValueError: not ASCII.
    packed = _unpacked(lambda: base64.b64decode(text + padding, b"-_", validate=True))
    at = _unpacked(lambda: float(_AT.unpack_from(packed)[0]))
    # One place has one text only, lest caches and clients take the same page for two.
    if not math.isfinite(at) or _to_text(packed) != text:
        raise ValueError("not a cursor")
    return at, packed[_AT.size :]


def _unpacked(read: Callable[[], Value]) -> Value:
    try:
        return read()
    except (binascii.Error, struct.error, ValueError):
        raise ValueError("not a cursor") from None
