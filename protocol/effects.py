"""What the rules ask the room to do; the room carries them out in the order given."""

from typing import Generic, TypeVar

import attrs

from protocol.errors import CloseCode, Problem
from protocol.ids import MemberId
from protocol.messages import Event

Recorded = TypeVar("Recorded")
"""What rooms of one kind give to be kept."""


@attrs.frozen
class Tell:
    """Send to one member."""

    member: MemberId
    event: Event


@attrs.frozen
class TellAll:
    """Send to the whole audience."""

    event: Event


@attrs.frozen
class TellOthers:
    """Send to the whole audience but one."""

    member: MemberId
    event: Event


@attrs.frozen
class Subscribe:
    """From now on this member belongs to the audience."""

    member: MemberId


@attrs.frozen
class Greet:
    """Tell this member what it needs to know first: the room, or what it has missed of it.

    It hears what is told to it or to the audience from here on, and nothing from before.
    """

    member: MemberId
    seq: int | None
    """The number of the last change that it knows; ``None`` if it knows nothing."""


@attrs.frozen
class Disconnect:
    """Part from this member, and its connection if it has one.

    Its :class:`~protocol.messages.Leave` follows.
    """

    member: MemberId
    code: CloseCode
    problem: Problem
    """The reason, which the member's dialect words."""


@attrs.frozen
class Own:
    """The room ends with this member's connection, even if that has ended already."""

    member: MemberId
    reason: str
    """Why the room is over then, for people."""


@attrs.frozen
class SetTimer:
    """Say :class:`~protocol.messages.TimeUp` for this member after so many seconds."""

    member: MemberId
    seconds: float


@attrs.frozen
class ClearTimer:
    """Forget this member's timer, if it has one."""

    member: MemberId


@attrs.frozen
class Record(Generic[Recorded]):
    """Hand something to whoever keeps what rooms of this kind produce."""

    record: Recorded


@attrs.frozen
class Sleep:
    """Nobody is here: the room may end, unless a connection is just about to enter."""


@attrs.frozen
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
    | Own
    | SetTimer
    | ClearTimer
    | Record[Recorded]
    | Sleep
    | End
)
