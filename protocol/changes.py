"""What happens in an estimation room, numbered, and what a member is told beside it.

The changes are numbered from 1 on without gaps, and :func:`protocol.fold.fold` over the picture at
one number gives the picture at the next. Most commands make one change at the most; a new owner
comes with two, as does a round whose beginning or end is that of a timer, and when the server has
come back, everybody is away with one each.
"""

from protocol.errors import Problem
from protocol.greeting import Pong
from protocol.ids import MemberId
from protocol.lasting import Role, TimerKind
from protocol.options import Options
from protocol.picture import Earlier, May, Mine, Picture, Seated, Shown, ShownVote, Timer
from protocol.statistics import Summary
from protocol.talk import Reaction
from protocol.value import value

# --- changes, to everybody --------------------------------------------------------------------


@value
class Joined:
    """Somebody has come."""

    seq: int
    member: Seated
    waited_for: bool
    """Its vote is waited for in the round that is running."""


@value
class Left:
    """Somebody is gone for good."""

    seq: int
    member: MemberId
    expired: bool
    """It had been away for longer than its grace."""
    complete: bool
    """Whether nobody is waited for any more in the round that is running."""
    by: MemberId | None = None
    """Who has put it out, if somebody has."""


@value
class WentAway:
    """Somebody has no connection any more, and keeps its seat for its grace."""

    seq: int
    member: MemberId
    since: float


@value
class CameBack:
    """Somebody has a connection again."""

    seq: int
    member: MemberId
    since: float


@value
class OwnerChanged:
    """Somebody else owns the room."""

    seq: int
    member: MemberId
    may: May | None = None
    """What may be asked for now, if this has changed it."""


@value
class Configured:
    """The room works in another way from now on."""

    seq: int
    options: Options
    may: May


@value
class DoorChanged:
    """Others may come in than before."""

    seq: int
    locked: bool
    """Nobody new comes in."""
    needs_passcode: bool


@value
class Begun:
    """A round begins."""

    seq: int
    number: int
    ticket: str
    began_at: float
    waiting_for: tuple[MemberId, ...]
    may: May
    earlier: tuple[Earlier, ...] = ()
    """Rounds of the same ticket that were revealed before."""


@value
class Voted:
    """Somebody has put down or changed a card; never which."""

    seq: int
    member: MemberId
    complete: bool
    """Whether nobody is waited for any more."""
    may: May | None
    """What may be asked for now, if this vote has changed it."""


@value
class Retracted:
    """Somebody has taken its card back, and is waited for again."""

    seq: int
    member: MemberId
    may: May | None
    """What may be asked for now, if there is no vote any more."""


@value
class Revealed:
    """The cards are turned over."""

    seq: int
    shown: Shown
    may: May


@value
class RoleChanged:
    """Somebody votes or only watches from now on; a card of whoever only watches is gone."""

    seq: int
    member: MemberId
    role: Role
    waiting_for: tuple[MemberId, ...] | None
    """Whose votes are waited for now in the round that is running; ``None`` if there is none."""
    complete: bool
    """Whether nobody is waited for any more."""
    may: May | None
    """What may be asked for now, if this has changed it."""


@value
class FacilitatorChanged:
    """Somebody is a facilitator from now on, or is none any more."""

    seq: int
    member: MemberId
    facilitator: bool


@value
class Unled:
    """Nobody leads the room any more; it may be claimed."""

    seq: int
    since: float
    may: May


@value
class Renamed:
    """Somebody calls itself otherwise; what it voted before has the name before."""

    seq: int
    member: MemberId
    name: str
    tag: int
    """As in ``Seated``."""


@value
class CapacityRaised:
    """The room has more seats."""

    seq: int
    capacity: int


@value
class Recast:
    """Somebody has changed a vote after its reveal, or put down one that was missing."""

    seq: int
    round: int
    vote: ShownVote
    statistics: Summary
    """Of all votes of the round, as they are now."""


@value
class Estimated:
    """The final estimate of a round has been set, or taken back."""

    seq: int
    round: int
    card: str | None


@value
class TimerChanged:
    """A timer starts, is paused, goes on, has another time, or ends before its time."""

    seq: int
    timer: Timer | None
    may: May


@value
class TimeOver:
    """The time of the timer is up, and there is none any more; told once for each."""

    seq: int
    kind: TimerKind
    may: May


@value
class Said:
    """Somebody has said something."""

    seq: int
    id: int
    member: MemberId
    name: str
    text: str
    at: float


@value
class Unsaid:
    """What was said is taken back."""

    seq: int
    id: int


Change = (
    Joined
    | Left
    | WentAway
    | CameBack
    | OwnerChanged
    | Configured
    | DoorChanged
    | Begun
    | Voted
    | Retracted
    | Revealed
    | RoleChanged
    | FacilitatorChanged
    | Unled
    | Renamed
    | CapacityRaised
    | Recast
    | Estimated
    | TimerChanged
    | TimeOver
    | Said
    | Unsaid
)

PAGE_TURNING = (
    Begun,
    Revealed,
    OwnerChanged,
    TimeOver,
)
"""Changes that are told only once they are on record."""

# --- to one member ----------------------------------------------------------------------------


@value
class Ack:
    """A request has been carried out; there is one answer to each."""

    ref: int
    seq: int
    """The number of the change that it made, or of the last one before if it made none."""


@value
class Failure:
    """A request has been refused, and changed nothing; there is one answer to each."""

    ref: int
    problem: Problem


@value
class Nudged:
    """A facilitator reminds this member that its vote is waited for."""

    by: MemberId
    name: str
    """The facilitator's, as it is shown."""
    round: int
    ticket: str


@value
class Snapshot:
    """The whole room, as one member may see it."""

    picture: Picture
    mine: Mine


# --- beside the changes -----------------------------------------------------------------------


@value
class Saved:
    """All that happened up to this number is on record, and outlives the server."""

    seq: int


@value
class Digest:
    """What the server's own picture is at a number, for those who check their folding."""

    seq: int
    digest: str


@value
class Reactions:
    """What members have shown since all were last told; not a change, and told once."""

    reactions: tuple[Reaction, ...]


Notice = Change | Ack | Failure | Nudged | Snapshot | Saved | Digest | Reactions | Pong
