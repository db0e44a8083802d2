"""What chat rooms give to be kept, and what they ask of what is kept."""

import attrs

from protocol.ids import MemberId, RoomId


@attrs.frozen
class Asked:
    """By which request something was done, so that it is never done twice."""

    member: MemberId
    ref: int


@attrs.frozen
class ChatMessage:
    """To everybody in a chat room, the author included; and what is kept of it."""

    room_id: RoomId
    seq: int
    """Its number in the room, from 1 on: ascending and never given twice, over crashes too. There
    is a gap where a message was changed, and where the server did not come to an orderly end."""
    author_id: int | None
    """``None`` once the account has been deleted."""
    author: str
    text: str
    """As it is now; empty if it has been taken back."""
    at: float
    """Unix time in seconds."""
    changed_at: float | None = None
    """When it was last edited or taken back."""
    asked: Asked | None = attrs.field(default=None, eq=False, repr=False)
    """Where the request had a number."""


@attrs.frozen
class Amended:
    """An author has changed a message, or taken it back; this has a number of its own."""

    room_id: RoomId
    seq: int
    target: int
    """The number of the message."""
    author_id: int
    text: str
    """Instead of the one before; empty if the message is taken back."""
    at: float
    asked: Asked


@attrs.frozen
class ReadMark:
    """Somebody has read a room up to this number."""

    user_id: int
    seq: int


@attrs.frozen
class Person:
    """An account that is in a chat room, by one connection or more."""

    user_id: int
    name: str


@attrs.frozen
class PeoplePresent:
    """Who is in a chat room from now on, each person once, in order of arrival."""

    people: tuple[Person, ...]


# --- questions ------------------------------------------------------------------------------


@attrs.frozen
class FindPage:
    """The latest messages below a number; the latest of all if there is none."""

    before: int | None
    limit: int


@attrs.frozen
class FindMessage:
    """One message."""

    seq: int


@attrs.frozen
class CountUnread:
    """How many messages of others there are above a number."""

    user_id: int
    seq: int


Question = FindPage | FindMessage | CountUnread


@attrs.frozen
class Inquiry:
    """A question that only the store can answer.

    To each there is one :class:`~protocol.talking.Found`, whatever becomes of the store.
    """

    member: MemberId
    """For whom the rules want to know it."""
    ref: int
    """By which the rules recognise the answer."""
    question: Question


ChatRecord = ChatMessage | Amended | PeoplePresent | ReadMark | Inquiry
"""What a chat room gives to whoever keeps what happens in it: messages for ever, who is present
until that changes."""
