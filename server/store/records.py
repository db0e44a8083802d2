"""What the store hands out: plain records, detached from any connection.

Times are Unix seconds.
"""

from enum import StrEnum

import attrs

from server.store.cursors import Cursor, RoomCursor


@attrs.frozen
class User:
    """An account, without its secrets."""

    id: int
    email: str
    """As it was given."""
    username: str
    created_at: float


@attrs.frozen
class BotToken:
    """A token for a bot, without the secret."""

    id: int
    name: str
    scopes: tuple[str, ...]
    """As they were given; a later version may know others."""
    created_at: float
    used_at: float | None
    """The beginning of the hour in which it was last used."""
    expires_at: float | None
    """``None``: never."""


@attrs.frozen
class Contact(User):
    """An account in a list of followers, or of those followed."""

    since: float
    """When the following began, by which such a list is ordered."""

    @property
    def cursor(self) -> Cursor:
        """Its place in the list."""
        return Cursor(self.since, self.id)


@attrs.frozen
class Post:
    """A post, with its author's name of now."""

    id: int
    author_id: int
    author: str
    text: str
    created_at: float

    @property
    def cursor(self) -> Cursor:
        """Its place in a list of posts."""
        return Cursor(self.created_at, self.id)


@attrs.frozen
class ChatRoom:
    """A room of the chat."""

    id: str
    name: str
    creator_id: int | None
    """``None`` once the account is gone."""
    created_at: float

    @property
    def cursor(self) -> RoomCursor:
        """Its place in the list of rooms."""
        return RoomCursor(self.created_at, self.id)


class ChatKind(StrEnum):
    """What a row of a room's sequence is."""

    MESSAGE = "message"
    EDIT = "edit"
    """It gives a message another text."""
    DELETE = "delete"
    """It takes a message back."""


@attrs.frozen
class ChatMessage:
    """One message of a room, or one change of a message, with its author's name of now."""

    room_id: str
    seq: int
    """Counts up within the room from 1."""
    author_id: int | None
    """``None`` once the account is gone; ``author`` is :data:`~protocol.chat.DELETED_USER` then."""
    author: str
    text: str
    """The message's as it is now: empty if it has been taken back."""
    at: float
    changed_at: float | None = None
    """Of a message: when it was last changed."""
    kind: ChatKind = ChatKind.MESSAGE
    target: int | None = None
    """Of a change: the number of its message."""
    member: str | None = None
    """Who has asked for it by a request with a number; not read again."""
    ref: int | None = None
    """The number of the request; not read again."""
