"""What happens in a chat room, as members are told that outlive their connections.

What must not be missed is numbered, ascending; :func:`protocol.chat_fold.fold_chat` over the
picture at one number gives the picture at the next. Who is present is not numbered: whoever comes
back is told of it as it is then.
"""

import attrs

from protocol.chat_picture import Attendee, ChatPicture, Line

# --- numbered, to everybody -------------------------------------------------------------------


@attrs.frozen
class Said:
    """Somebody has said something; the author hears it too."""

    seq: int
    author_id: int | None
    author: str
    text: str
    """Told later, it is what the message was changed to: empty if it has been taken back."""
    at: float


@attrs.frozen
class Edited:
    """An author has given a message another text."""

    seq: int
    target: int
    """The message's number."""
    text: str
    at: float


@attrs.frozen
class Deleted:
    """An author has taken a message back."""

    seq: int
    target: int
    at: float


NUMBERED_CHAT = (Said, Edited, Deleted)
"""Changes that are told again to those who have missed them."""

# --- not numbered, to everybody ---------------------------------------------------------------


@attrs.frozen
class PersonHere:
    """Somebody has come or come back, or goes by another name now."""

    person: Attendee


@attrs.frozen
class PersonAway:
    """The last connection of somebody has ended; it stays listed for its grace."""

    user_id: int
    since: float


@attrs.frozen
class PersonGone:
    """Somebody is not in the room any more."""

    user_id: int


@attrs.frozen
class AuthorGone:
    """An account has been deleted: its messages are nobody's from now on."""

    user_id: int


@attrs.frozen
class IsTyping:
    """Somebody is writing something: told once in some seconds, and never taken back."""

    user_id: int


# --- to one account or one member -------------------------------------------------------------


@attrs.frozen
class ReadUpTo:
    """The own account has read the room up to this number, by whichever connection."""

    seq: int
    unread: int
    """Messages of others above it."""


@attrs.frozen
class Present:
    """To a member that has come back, after what it has missed: all that has no number."""

    seq: int
    """Every change up to this number has been told; there may be none of just this number."""
    people: tuple[Attendee, ...]
    read: int
    unread: int


@attrs.frozen
class History:
    """A page of older messages; there is one answer to each request."""

    ref: int
    messages: tuple[Line, ...]
    more: bool
    """Whether there are messages before these."""


@attrs.frozen
class ChatSnapshot:
    """The whole room, as one member may see it."""

    picture: ChatPicture


ChatChange = (
    Said
    | Edited
    | Deleted
    | PersonHere
    | PersonAway
    | PersonGone
    | AuthorGone
    | IsTyping
    | ReadUpTo
    | Present
)
"""What changes a picture."""

ChatNotice = ChatChange | History | ChatSnapshot
