"""Identifiers of rooms, members and tickets, and how a room id looks."""

import re
from typing import Final, NewType

RoomId = NewType("RoomId", str)
"""The id of a room. That of an estimation room is drawn by the server from a secure random source
and looks as below; that of a chat room is chosen by its creator, 1 to 64 characters."""

MemberId = NewType("MemberId", str)
"""Opaque; unique over all rooms and never used again, so that a rejoiner is somebody new."""

TicketId = NewType("TicketId", str)
"""What is estimated: 1 to 100 characters, trimmed, without control characters."""

RemarkText = NewType("RemarkText", str)
"""A chat message of an estimation room: 1 to 1000 characters of one line or several."""

TicketNumber = NewType("TicketNumber", int)
"""The id of a ticket in a backlog: from 1 on, growing, and never used again in that room."""

MemberName = NewType("MemberName", str)
"""What a member of an estimation room calls itself: 1 to 50 characters, as in its first message."""

Passcode = NewType("Passcode", str)
"""What opens a room: a line of 4 to 64 characters, in the one form that is compared."""

CHAT_ROOM_ID_PATTERN: Final = "^[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,63}$"
"""Of chat rooms, whose ids people choose."""

ROOM_ID_LENGTH: Final = 6
ROOM_ID_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

_ROOM_ID = re.compile(rf"[A-Za-z0-9]{{{ROOM_ID_LENGTH}}}")


def is_room_id(text: str) -> bool:
    """Tell whether ``text`` has the form of a room id (not whether such a room exists)."""
    return _ROOM_ID.fullmatch(text) is not None
