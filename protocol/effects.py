"""What the rules ask the room to do; the room carries them out in the order given."""

from typing import Generic, TypeVar

from protocol.errors import CloseCode, Problem
from protocol.ids import MemberId
from protocol.messages import Event
from protocol.value import value

Recorded = TypeVar("Recorded")
"""What rooms of one kind give to be kept."""


@value
class Tell:
    """Send to one member."""

    member: MemberId
    event: Event


@value
class TellAll:
    """Send to the whole audience."""

    event: Event


@value
class TellOthers:
    """Send to the whole audience but one."""

    member: MemberId
    event: Event


@value
class Subscribe:
    """From now on this member belongs to the audience."""

    member: MemberId


@value
class Greet:
    """Tell this member what it needs to know first: the room, or what it has missed of it.

    It hears what is told to it or to the audience from here on, and nothing from before.
    """

    member: MemberId
    seq: int | None
    """The number of the last change that it knows; ``None`` if it knows nothing."""


@value
class Disconnect:
    """Part from this member, and its connection if it has one.

    Its :class:`~protocol.messages.Leave` follows.
    """

    member: MemberId
    code: CloseCode
    problem: Problem
    """The reason, which the member's dialect words."""


@value
class Bar:
    """Keep out whoever comes from this member's network address, for as long as this room runs."""

    member: MemberId


@value
class Own:
    """The room ends with this member's connection, even if that has ended already."""

    member: MemberId
    reason: str
    """Why the room is over then, for people."""


@value
class Release:
    """The room does not end with anybody's connection any more."""


@value
class SetTimer:
    """Say :class:`~protocol.messages.TimeUp` for this member after so many seconds."""

    member: MemberId
    seconds: float


@value
class ClearTimer:
    """Forget this member's timer, if it has one."""

    member: MemberId


@value
class Record(Generic[Recorded]):
    """Hand something to whoever keeps what rooms of this kind produce."""

    record: Recorded


@value
class Sleep:
    """Nobody is here: the room may end, unless a connection is just about to enter."""


@value
class End:
    """The room is over for everybody."""

    reason: str


Effect = (
    Tell
    | TellAll
    | TellOthers
    | Subscribe
    | Greet
    | Disconnect
    | Bar
    | Own
    | Release
    | SetTimer
    | ClearTimer
    | Record[Recorded]
    | Sleep
    | End
)
