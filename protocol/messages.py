"""What members say to rooms (commands) and what rooms say to them (events)."""

from typing import Final

from protocol.changes import Notice
from protocol.chat_changes import ChatNotice
from protocol.chat_records import ChatMessage as ChatMessage
from protocol.chat_records import ChatRecord as ChatRecord
from protocol.chat_records import PeoplePresent as PeoplePresent
from protocol.chat_records import Person as Person
from protocol.deck import DEFAULT_DECK, Deck
from protocol.errors import Problem
from protocol.ids import MemberId, RoomId
from protocol.ids import TicketId as TicketId
from protocol.lasting import LastingCommand, TimerKind
from protocol.talking import TalkCommand
from protocol.value import value

ADMIN_LEFT: Final = "the admin has left"
"""Why most rooms end."""

# --- commands -------------------------------------------------------------------------------


@value
class Enter:
    """A connection takes a seat; the first to enter is the admin."""

    name: str


@value
class Announce:
    """A seated member makes itself known to the room."""

    room_id: RoomId


@value
class BeginVoting:
    """The admin opens the vote on a ticket."""

    ticket_id: TicketId


@value
class CastVote:
    """A member puts down, or changes, its card."""

    ticket_id: TicketId
    vote: str


@value
class RevealVotes:
    """The admin turns the cards over."""

    ticket_id: TicketId


@value
class EnterChat:
    """A connection of a person enters a chat room."""

    user_id: int
    name: str
    counted: bool = True
    """Whether it counts among the seats that one account may take."""


@value
class Say:
    """A member speaks in a chat room."""

    text: str


@value
class AnonymiseAuthor:
    """An account has been deleted: its messages are nobody's from now on."""

    user_id: int


@value
class GrantNumbers:
    """Chat messages may be given sequence numbers up to this one, which is on record."""

    up_to: int


@value
class Leave:
    """A member's connection has ended."""


@value
class TimeUp:
    """The timer of this member, set by the rules earlier, has run out."""


@value
class Reject:
    """A message that was refused before it became a command; only its sender is told."""

    problem: Problem
    final: bool = False
    """It was one too many: the sender is dismissed."""


Command = (
    Enter
    | Announce
    | BeginVoting
    | CastVote
    | RevealVotes
    | EnterChat
    | Say
    | AnonymiseAuthor
    | GrantNumbers
    | Leave
    | TimeUp
    | Reject
    | LastingCommand
    | TalkCommand
)

# --- events ---------------------------------------------------------------------------------


@value
class RoomCreated:
    """To the creator, first of all."""

    room_id: RoomId


@value
class Welcome:
    """To a member that has announced itself, before it learns who is there."""

    room_id: RoomId
    results_key: str = ""
    """Opens the room's results; empty if nothing is kept."""
    deck: Deck = DEFAULT_DECK
    """The room's cards."""


@value
class MemberPresent:
    """To a member that has announced itself, once per member already there."""

    name: str
    admin: bool


@value
class MemberJoined:
    """To everybody, the newcomer included."""

    name: str
    admin: bool


@value
class MemberLeft:
    """To everybody who stays."""

    name: str
    by: str | None = None
    """Who has put it out, if somebody has."""


@value
class CapacityReached:
    """To everybody, once: every seat is taken and announced."""

    capacity: int


@value
class TicketPrompt:
    """To the admin: name the next ticket."""

    first: bool


@value
class VoteRequested:
    """To everybody, the admin included: put down a card."""

    ticket_id: TicketId


@value
class VoteCast:
    """To everybody: who voted, never what."""

    name: str
    ticket_id: TicketId


@value
class VoteRetracted:
    """To everybody: who has taken a vote back."""

    name: str
    ticket_id: TicketId


@value
class VoteChanged:
    """To everybody: what a vote is now that was shown as another one, or was missing."""

    name: str
    ticket_id: TicketId
    card: str


@value
class EstimateSet:
    """To everybody: on which estimate the team has agreed, or that it has not after all."""

    ticket_id: TicketId
    card: str | None


@value
class Spoken:
    """To everybody: somebody has said something."""

    name: str
    text: str


@value
class VotingCompleted:
    """To everybody, once per round: all who are present have voted."""

    ticket_id: TicketId


@value
class RevealPrompt:
    """To the admin: confirm that the cards may be turned over."""

    ticket_id: TicketId


@value
class Vote:
    """One card on the table."""

    member_id: MemberId
    name: str
    value: str
    changed: bool = False
    """It was put down, or changed, after the reveal."""


@value
class VotesRevealed:
    """To everybody: every vote of the round, those of members who left since included."""

    ticket_id: TicketId
    votes: tuple[Vote, ...]


@value
class AwaitingTicket:
    """To everybody but the admin: the next ticket is the admin's to name."""


@value
class OwnerNamed:
    """To everybody: a member owns the room from now on."""

    name: str


@value
class NobodyLeads:
    """To everybody: the owner is gone, and nobody has taken its place."""


@value
class RoleTaken:
    """To everybody: a member votes, or only watches, from now on."""

    name: str
    votes: bool


@value
class MemberRenamed:
    """To everybody: a member is called otherwise from now on."""

    before: str
    name: str


@value
class SeatsAdded:
    """To everybody: there are more seats."""

    capacity: int


@value
class Reminded:
    """To a member whose vote somebody waits for."""

    by: str
    ticket_id: TicketId


@value
class TimerSet:
    """To everybody: a timer has started, goes on, or has got another time."""

    kind: TimerKind
    seconds: int
    """That are left, rounded up."""


@value
class TimerOver:
    """To everybody: the time of a timer is up."""

    kind: TimerKind


@value
class PersonJoined:
    """To everybody in a chat room, once per person."""

    room_id: RoomId
    name: str


@value
class PersonLeft:
    """To everybody who stays in a chat room, once the last connection of a person has ended."""

    room_id: RoomId
    name: str


@value
class Refusal:
    """To the sender of something that was refused."""

    problem: Problem


@value
class RoomClosed:
    """To everybody, last of all."""

    reason: str


EstimationEvent = (
    RoomCreated
    | Welcome
    | MemberPresent
    | MemberJoined
    | MemberLeft
    | CapacityReached
    | TicketPrompt
    | VoteRequested
    | VoteCast
    | VoteRetracted
    | VoteChanged
    | EstimateSet
    | Spoken
    | VotingCompleted
    | RevealPrompt
    | VotesRevealed
    | AwaitingTicket
    | RoleTaken
    | OwnerNamed
    | NobodyLeads
    | MemberRenamed
    | SeatsAdded
    | Reminded
    | TimerSet
    | TimerOver
    | Refusal
    | RoomClosed
)

ChatEvent = ChatMessage | PersonJoined | PersonLeft | Refusal | RoomClosed

Event = EstimationEvent | ChatEvent | Notice | ChatNotice

# --- what is recorded -----------------------------------------------------------------------


@value
class TicketResult:
    """One revealed round: what was voted on, by whom and how."""

    ticket_id: TicketId
    votes: tuple[Vote, ...]
    seconds: float
    """From the opening of the vote to its reveal."""
    deck: Deck = DEFAULT_DECK
    """By which the votes count."""
    estimate: str | None = None
    """On which the team has agreed, if it has."""
    replaces: bool = False
    """It takes the place of what was recorded last: the same round, as it has become since."""
