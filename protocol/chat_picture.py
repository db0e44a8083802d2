"""A chat room as one of its members sees it."""

import attrs

from protocol.chat_records import ChatMessage
from protocol.ids import RoomId


@attrs.frozen
class Line:
    """A message."""

    seq: int
    author_id: int | None
    """``None`` once the account has been deleted."""
    author: str
    text: str
    """As it is now; empty if it has been taken back."""
    at: float
    changed_at: float | None = None
    """When it was last edited or taken back."""


@attrs.frozen
class Attendee:
    """An account that is in the room, by one connection or more, or was just now."""

    user_id: int
    name: str
    here: bool
    """Whether it has a connection; without one it is away, for its grace."""
    since: float
    """Since when it is here, or away."""


@attrs.frozen
class ReadMarker:
    """How far an account has read."""

    user_id: int
    seq: int
    """It has read everything up to this number."""
    unread: int
    """Messages of others above it; :data:`~protocol.limits.UNREAD_MOST` stands for more, too."""


@attrs.frozen
class ChatPicture:
    """A room, at one of its numbers."""

    room_id: RoomId
    name: str
    seq: int
    """The number of the last change. The next one is higher, by more than one after a crash."""
    people: tuple[Attendee, ...]
    """In order of arrival."""
    messages: tuple[Line, ...]
    """The latest, ascending."""
    mine: ReadMarker


def line(message: ChatMessage) -> Line:
    """Show a message."""
    return Line(
        message.seq,
        message.author_id,
        message.author,
        message.text,
        message.at,
        message.changed_at,
    )
