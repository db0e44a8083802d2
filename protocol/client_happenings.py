"""What a client of a room learns, for whoever uses it."""

import attrs

from protocol.changes import Ack, Change, Nudged
from protocol.chat_changes import ChatChange, History
from protocol.chat_picture import ChatPicture
from protocol.dialects.parley_v1 import Error
from protocol.farewell import Ending
from protocol.greeting import Greeting
from protocol.lasting import Request, SetPasscode
from protocol.picture import Mine, Picture
from protocol.talk import Reaction
from protocol.talking import TalkRequest

AnyRequest = Request | SetPasscode | TalkRequest
"""What may be asked for in a room of some kind."""


@attrs.frozen
class Welcomed:
    """The server knows this member; its picture is there, or follows at once."""

    welcome: Greeting


@attrs.frozen
class Changed:
    """The estimation room is another than before."""

    picture: Picture
    mine: Mine
    change: Change | None
    """What has happened; ``None`` if the whole room was told anew, or if this version of the client
    does not know such a change."""


@attrs.frozen
class Reminded:
    """Somebody waits for this member's vote."""

    nudge: Nudged


@attrs.frozen
class ChatChanged:
    """The chat room is another than before."""

    picture: ChatPicture
    change: ChatChange | None
    """What has happened; ``None`` if the whole room was told anew: then what was said since the
    picture before may be missing from this one. Also ``None`` if this version of the client does
    not know such a change."""


@attrs.frozen
class Reacted:
    """Members of the estimation room have shown something."""

    reactions: tuple[Reaction, ...]


@attrs.frozen
class Answered:
    """A request has its answer, once."""

    ref: int
    request: AnyRequest
    answer: Ack | Error | History


@attrs.frozen
class Visible:
    """What an acknowledged request did is in the picture."""

    ref: int


@attrs.frozen
class Stored:
    """What these acknowledged requests did outlives the server."""

    refs: tuple[int, ...]


@attrs.frozen
class Undone:
    """A request was acknowledged, but the server has lost it, and refuses it now.

    It came back to an older state, in which somebody else was faster.
    """

    ref: int
    request: AnyRequest
    error: Error


@attrs.frozen
class Complained:
    """The server refuses something that is no request."""

    error: Error


@attrs.frozen
class Misunderstood:
    """The server said something that this client cannot read, or that does not fit its picture."""

    why: str


@attrs.frozen
class Again:
    """The connection is gone; it is worth to open another one."""

    seconds: float
    """After which."""
    reason: Ending | None
    """Why the server has closed it, if it said so."""
    text: str
    """The same, for people; may be empty."""


@attrs.frozen
class Over:
    """This member is not in the room any more, or never was; another connection is of no use."""

    reason: Ending | None
    """Why, if the server said so."""
    text: str
    """The same, for people."""
    error: Error | None = None
    """What the server refused last, if the first message was refused."""


Happening = (
    Welcomed
    | Changed
    | Reminded
    | ChatChanged
    | Reacted
    | Answered
    | Visible
    | Stored
    | Undone
    | Complained
    | Misunderstood
    | Again
    | Over
)
