"""What members that outlive their connections ask for, numbered, so that nothing is done twice.

Everything here is a command of estimation rooms; those of chat rooms are in ``protocol.talking``.
"""

from enum import StrEnum
from typing import Final

import attrs

from protocol.ids import MemberId, MemberName, Passcode, RemarkText, TicketId
from protocol.options import ClaimBy, OwnerAbsence, Talkers, VotingEnds, Who
from protocol.talk import Emoji
from protocol.value import value

NOBODY: Final = MemberId("")
"""The room itself, where a command or a timer needs a member."""
RESTED: Final = MemberId("*")
"""The same of the room, where a timer ends what it waits for after a restart."""

CLOCK: Final = MemberId("*clock")
"""The timer of an estimation room, where a command or a timer needs a member."""

REACTIONS: Final = MemberId("*reactions")
"""Whose timer is that of reactions which wait to be told: when it is due, it is for
:class:`TellReactions`."""


class Role(StrEnum):
    """What a member of an estimation room is there for."""

    VOTER = "voter"
    SPECTATOR = "spectator"
    """Watches, and is never waited for."""


class TimerKind(StrEnum):
    """What a timer of an estimation room is for."""

    DISCUSSION = "discussion"
    VOTING = "voting"
    """Ends with the round in which it was started, at the latest."""


@value(kw_only=True)
class Join:
    """A member takes a seat and is in the room at once; its connection may change from then on."""

    name: str
    role: Role = Role.VOTER
    owner: bool = False
    """It has shown the owner's key, and owns the room from now on."""
    account: int | None = None
    """Of whom it is, if it is signed in."""
    login: str | None = None
    """By what: whoever has given it can tell whether it still is."""


@value
class Detach:
    """A member's connection has ended: it is away, and its grace begins."""


@value
class Return:
    """A member has a connection again, which knows the room's changes up to a number."""

    seq: int | None = None
    """The number; ``None`` if it knows nothing of this room."""
    generation: int = 0
    """In which generation of the room the change of that number was."""


@value
class Restart:
    """The server has come back: nobody has a connection any more.

    It must be on record before anybody returns: a server that dies before it is would give this
    generation's number again, to another history, and clients of the first would be taken for
    clients of the second.
    """


@value
class Park:
    """The server ends as planned, and all that was acknowledged is on record before this."""


@value
class BeginRound:
    """The owner opens a vote."""

    ticket: TicketId


@value
class CastCard:
    """A member puts down, or changes, its card in a certain round."""

    round: int
    card: str


@value
class Retract:
    """A member takes its card of a certain round back."""

    round: int


@value
class RevealRound:
    """The owner turns the cards of a certain round over."""

    round: int


@value(kw_only=True)
class Configure:
    """A facilitator changes options of the room; those that are ``None`` stay as they are."""

    begin_by: Who | None = None
    reveal_by: Who | None = None
    owner_absence: OwnerAbsence | None = None
    claim_by: ClaimBy | None = None
    auto_reveal: bool | None = None
    change_after_reveal: bool | None = None

    voting_ends: VotingEnds | None = None
    voting_seconds: int | None = None
    """0 if no timer starts by itself any more."""
    talk_by: Talkers | None = None


@value(kw_only=True)
class ChangeRole:
    """A member votes or only watches from now on."""

    role: Role
    member: MemberId | None = None
    """Who, if it is not the one who asks."""


@value
class Promote:
    """A facilitator makes a member a facilitator, too."""

    member: MemberId


@value
class Demote:
    """A facilitator, perhaps this one itself, leads no longer."""

    member: MemberId


@value
class HandOver:
    """The owner makes another member the owner, and goes on as a facilitator."""

    member: MemberId


@value
class Claim:
    """A member takes a room over that nobody leads."""


@value
class Rename:
    """A member calls itself otherwise from now on."""

    name: MemberName


@value
class RaiseCapacity:
    """A facilitator lets the room have more seats."""

    capacity: int


@value
class Nudge:
    """A facilitator reminds a member whose vote is waited for."""

    member: MemberId


@value
class SetEstimate:
    """A facilitator says on which estimate the team has agreed, in the round shown last."""

    round: int
    card: str | None
    """``None`` takes the estimate back."""


@value
class StartTimer:
    """A facilitator starts a timer, in place of the one that there is."""

    seconds: int
    kind: TimerKind | None = None
    """``None``: for voting while a round runs, for discussion otherwise."""


@value
class PauseTimer:
    """A facilitator stops the timer for a while."""


@value
class ResumeTimer:
    """A facilitator lets the timer go on."""


@value
class ExtendTimer:
    """A facilitator gives the timer more time, or less."""

    seconds: int
    """Negative for less."""


@value
class StopTimer:
    """A facilitator ends the timer before its time, and nobody is told that the time is up."""


@value
class SayHere:
    """A member says something to all."""

    text: RemarkText


@value
class Unsay:
    """A member takes a message of its own back, or a facilitator anybody's."""

    id: int


@value
class SetPasscode:
    """A facilitator gives the room a passcode, or takes it away, as clients ask for it.

    The rules and the log never get it, but a :class:`SealPasscode` in its place.
    """

    passcode: Passcode | None = attrs.field(repr=False)
    """Whoever comes from now on must say it; ``None`` for no passcode."""


@value
class SealPasscode:
    """The same with a seal: by it a passcode is recognised, but not read."""

    seal: str | None = attrs.field(repr=False)


@value
class Lock:
    """A facilitator lets nobody new in any more, or lets people in again."""

    locked: bool


@value(kw_only=True)
class Kick:
    """A facilitator puts somebody out of the room."""

    member: MemberId
    """Neither the owner nor oneself."""
    ban: bool = False
    """Its account, if it has one, and its seat are kept out for as long as there is this room."""
    address: bool = False
    """So is its network address, until the server is restarted; this is a ban as well."""


@value
class CloseRoom:
    """The owner ends the room for everybody."""


@value
class Depart:
    """A member leaves for good."""


@value
class Ping:
    """A client wants to know whether anybody is there; the room hears nothing of it."""


@value
class React:
    """A member shows something for a moment; whoever is not here misses it."""

    emoji: Emoji


@value
class TellReactions:
    """It is time to tell all of the reactions that wait for it."""


Request = (
    BeginRound
    | CastCard
    | Retract
    | RevealRound
    | SetEstimate
    | Configure
    | ChangeRole
    | Promote
    | Demote
    | HandOver
    | Claim
    | Rename
    | RaiseCapacity
    | Nudge
    | SealPasscode
    | Lock
    | Kick
    | StartTimer
    | PauseTimer
    | ResumeTimer
    | ExtendTimer
    | StopTimer
    | SayHere
    | Unsay
    | CloseRoom
    | Depart
)
"""What a member of an estimation room may ask for, as the rules know it."""


@value
class Numbered:
    """A request with its number, by which it is answered once and takes effect once."""

    ref: int
    """From 1 on, growing, of this member's own choice."""
    request: Request


LastingCommand = Join | Detach | Return | Restart | Park | Numbered | Ping | React | TellReactions
