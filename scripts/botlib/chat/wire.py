"""The shapes that a message of the chat dialect may have; no order, no meaning."""

import json
from typing import Any, Final

import attrs

from scripts.botlib.api import is_whole
from scripts.botlib.frames import Malformed, no_constant, shown, unique_keys

COMMON: Final = ("type", "context", "roomid", "username")
"""Fields that everything has; all of them are strings."""


@attrs.frozen
class Said:
    """What somebody has said."""

    room_id: str
    seq: int
    username: str
    text: str
    user_id: int | None
    at: str


@attrs.frozen
class Notice:
    """That somebody has come or gone."""

    room_id: str
    kind: str
    """``join`` or ``leave``."""
    username: str


@attrs.frozen
class Trouble:
    """That something was refused, or that the room is closed; bots give no reason for it."""

    kind: str
    text: str


def parse(raw: str) -> Said | Notice | Trouble:
    """Read one message.

    Raises:
        Malformed: if it is none of these.
    """
    try:
        read = json.loads(raw, object_pairs_hook=unique_keys, parse_constant=no_constant)
    except (json.JSONDecodeError, RecursionError):
        raise Malformed(f"no JSON: {shown(raw)}") from None
    if not isinstance(read, dict):
        raise Malformed(f"JSON, but no object: {shown(raw)}")
    for field in COMMON:
        if not isinstance(read.get(field), str):
            raise Malformed(f"{field} must be a string: {shown(raw)}")
    return _known(read, raw)


def _known(read: dict[str, Any], raw: str) -> Said | Notice | Trouble:
    match read["type"]:
        case "message":
            seq, user_id, at = read.get("seq"), read.get("userid"), read.get("at")
            if not is_whole(seq) or read["seq"] < 1:
                raise Malformed(f"seq must be a whole number from 1 on: {shown(raw)}")
            if not (user_id is None or is_whole(user_id)) or not isinstance(at, str):
                raise Malformed(f"userid must be a number or null, at a string: {shown(raw)}")
            return Said(read["roomid"], read["seq"], read["username"], read["context"], user_id, at)
        case "join" | "leave" as kind:
            return Notice(read["roomid"], kind, read["username"])
        case "refusal" | "closed" as kind:
            return Trouble(kind, read["context"])
        case _:
            raise Malformed(f"a type that nobody has told us of: {shown(raw)}")
