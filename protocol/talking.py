"""What members of chat rooms that outlive their connections ask for, numbered.

Commands of both kinds of rooms, such as :class:`~protocol.lasting.Detach`, are in
``protocol.lasting``.
"""

from typing import Final

import attrs

from protocol.changes import Ack
from protocol.chat_records import ChatMessage
from protocol.lasting import Depart


@attrs.frozen(kw_only=True)
class Standing:
    """What was known of a member and its account before it joined."""

    answers: tuple[Ack, ...] = ()
    """Its latest answers, ascending; no request of them takes effect again."""
    read: int = 0
    """The account has read the room up to this number."""
    unread: int = 0
    """Messages of others above it, among those up to ``counted_to``."""
    counted_to: int = 0


NEWCOMER: Final = Standing()


@attrs.frozen(kw_only=True)
class JoinChat:
    """A member takes a seat, perhaps again; its connection may change from then on."""

    user_id: int
    name: str
    counted: bool = True
    """Whether it counts among the seats that one account may take."""
    seq: int | None = None
    """It knows the room's changes up to this number; ``None`` if it knows nothing of this room."""
    generation: int = 0
    """In which generation of the room the change of that number was."""
    standing: Standing = NEWCOMER


@attrs.frozen
class SayOnce:
    """A member speaks."""

    text: str


@attrs.frozen
class EditMessage:
    """A member gives a message of its own another text."""

    seq: int
    text: str


@attrs.frozen
class DeleteMessage:
    """A member takes a message of its own back."""

    seq: int


@attrs.frozen
class MarkRead:
    """Everything up to a number has been read by this member's account."""

    seq: int


@attrs.frozen
class Typing:
    """A member is writing something."""


@attrs.frozen
class ReadHistory:
    """A member wants to see older messages: the latest of those below a number."""

    before: int | None = None
    """The number; ``None`` for the latest of all."""
    limit: int = 50


Keeping = SayOnce | EditMessage | DeleteMessage
"""Requests that leave something in the room, and must therefore never be carried out twice."""

TalkRequest = Keeping | MarkRead | Typing | ReadHistory | Depart
"""What a member of a chat room may ask for."""


@attrs.frozen
class NumberedTalk:
    """A request with its number, by which it is answered once and takes effect once."""

    ref: int
    """From 1 on, growing, of this member's own choice."""
    request: TalkRequest


# --- answers of the store -------------------------------------------------------------------


@attrs.frozen
class Page:
    """Messages, ascending."""

    messages: tuple[ChatMessage, ...]
    more: bool
    """Whether there are messages before these."""


@attrs.frozen
class Target:
    """A message, if there is one of this number."""

    message: ChatMessage | None


@attrs.frozen
class Unread:
    """A number of unread messages."""

    count: int
    counted_to: int
    """Later messages are not among them."""


@attrs.frozen
class Unavailable:
    """The store is gone."""


Finding = Page | Target | Unread | Unavailable


@attrs.frozen
class Found:
    """The answer to an :class:`~protocol.chat_records.Inquiry` of this member."""

    ref: int
    finding: Finding


TalkCommand = JoinChat | NumberedTalk | Found
