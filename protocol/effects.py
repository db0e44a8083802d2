"""What the rules ask the room to do; the room carries them out in the order given."""

import attrs

from protocol.errors import CloseCode
from protocol.ids import MemberId
from protocol.messages import ChatMessage, Event, TicketResult


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
class Disconnect:
    """Close this member's connection; its :class:`~protocol.messages.Leave` follows."""

    member: MemberId
    code: CloseCode
    reason: str


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
class Record:
    """Keep the result of a round, or a chat message."""

    result: TicketResult | ChatMessage


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
    | Disconnect
    | SetTimer
    | ClearTimer
    | Record
    | Sleep
    | End
)
