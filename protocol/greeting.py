"""The first and the last messages of a ``parley.v1`` connection, and its signs of life."""

from enum import StrEnum

import attrs

from protocol.farewell import Ending
from protocol.ids import MemberId, Passcode
from protocol.lasting import Role


@attrs.frozen(kw_only=True)
class Resume:
    """What a client that has been here before knows."""

    token: str
    """As the last welcome gave it."""
    seq: int | None = None
    """The number of the last change that it has folded; ``None`` if it has kept no picture."""
    epoch: str = ""
    """As the last welcome gave it."""


@attrs.frozen(kw_only=True)
class Hello:
    """The client's first message: who comes. One of ``name``, ``token`` and ``resume`` is given."""

    name: str | None = None
    role: Role = Role.VOTER
    owner_key: str | None = None
    """Makes the member the owner; given to whoever opened the room."""
    token: str | None = None
    """Of an account: its name is the member's."""
    passcode: Passcode | None = attrs.field(default=None, repr=False)
    """The room's, if it has one; not needed with the owner's key."""
    nonce: str | None = None
    """A secret of the client's own, drawn at random for this room: the same one again is the same
    member, for whoever has lost its connection before the welcome."""
    resume: Resume | None = None


@attrs.frozen(kw_only=True)
class ChatHello:
    """The client's first message at the door of a chat room: which account comes."""

    token: str
    """Of the account."""
    resume: Resume | None = None
    """If it has been in the room before, as the same member."""


class Resumed(StrEnum):
    """How a member comes to know the room."""

    NO = "no"
    """It is new; a snapshot follows."""
    REPLAYED = "replayed"
    """What it has missed follows."""
    SNAPSHOT = "snapshot"
    """It has missed too much, or knows another history; a snapshot follows."""


@attrs.frozen(kw_only=True)
class ClientLimits:
    """What a client must keep to."""

    message_bytes: int
    """In one message."""
    rate: float
    """Messages a second, for ever."""
    burst: int
    """Messages at once."""
    window: int
    """Requests that may be unanswered or not yet saved at once."""


@attrs.frozen(kw_only=True)
class Greeting:
    """The server's first message."""

    member: MemberId
    token: str
    """Opens this seat again, from another connection; it is a secret."""
    epoch: str
    """Of the room's history; another one means that what came last may never have been."""
    resumed: Resumed
    lasting: bool
    """Whether the room outlives the server. If not, nothing is ever ``saved``: what is acknowledged
    holds as long as the room."""
    at: float
    """The server's clock, in Unix seconds."""
    ping_seconds: float
    """The server says something at least so often."""
    limits: ClientLimits
    release: str
    """Of the server."""
    features: tuple[str, ...] = ()
    """What this server can beyond the first version of this dialect."""
    results: str | None = None
    """The path of the room's results."""


@attrs.frozen(kw_only=True)
class Goodbye:
    """The server's last message."""

    reason: Ending
    text: str
    """For people."""
    back_in: float | None
    """Seconds after which to come back; ``None``: do not."""
    room_survives: bool
    """Whether this member's seat waits for it."""


@attrs.frozen
class ServerPing:
    """A sign of life of the server."""

    at: float
    """The server's clock, in Unix seconds."""


@attrs.frozen
class Pong:
    """The answer to a client's ping."""

    at: float
    """The server's clock, in Unix seconds."""
