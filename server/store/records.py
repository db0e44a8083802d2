"""What the store hands out: plain records, detached from any connection.

Times are Unix seconds.
"""

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


@attrs.frozen
class ChatMessage:
    """One message of a room, with its author's name of now."""

    room_id: str
    seq: int
    """Counts up within the room from 1."""
    author_id: int | None
    """``None`` once the account is gone; ``author`` is :data:`~protocol.chat.DELETED_USER` then."""
    author: str
    text: str
    at: float
