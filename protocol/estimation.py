"""The rules of an estimation room, as a state machine without I/O.

Two rules keep this file readable: every change of phase is in the table, and nothing here
knows how a message looks on the wire or how it gets to a member.

===========  =======================  ==========  ============================================
phase        trigger                  next phase  said
===========  =======================  ==========  ============================================
GATHERING    every seat announced     READY       CapacityReached to all, TicketPrompt to admin
GATHERING    BeginVoting (admin)      VOTING      VoteRequested to all
READY        BeginVoting (admin)      VOTING      VoteRequested to all
VOTING       everybody has voted      VOTED       VotingCompleted to all, RevealPrompt to admin
VOTING       RevealVotes (admin) [1]  READY       VotesRevealed to all, then as below
VOTED        RevealVotes (admin)      READY       VotesRevealed to all, TicketPrompt to admin,
                                                  AwaitingTicket to the others
any          Leave of the admin       --          End
===========  =======================  ==========  ============================================

[1] Early, so that somebody who is away from the keyboard cannot hold up the team; there must
be one vote at the least.

*Present* is who has announced itself and not left; only they are the audience, vote, and count
for completion. A vote may be changed until the reveal, also in VOTED. A member that comes
while a vote is running is asked to vote and counts from then on. Whoever voted and left is
still listed in the reveal.
"""

from enum import Enum, auto
from typing import Final

import attrs

from protocol.deck import DEFAULT_DECK, Deck
from protocol.effects import (
    ClearTimer,
    Disconnect,
    Effect,
    End,
    Record,
    SetTimer,
    Subscribe,
    Tell,
    TellAll,
    TellOthers,
)
from protocol.errors import CloseCode, ErrorCode, Problem
from protocol.ids import MemberId, RoomId
from protocol.limits import ANNOUNCE_SECONDS, ROUNDS
from protocol.messages import (
    ADMIN_LEFT,
    Announce,
    AwaitingTicket,
    BeginVoting,
    CapacityReached,
    CastVote,
    Command,
    Enter,
    Leave,
    MemberJoined,
    MemberLeft,
    MemberPresent,
    Refusal,
    Reject,
    RevealPrompt,
    RevealVotes,
    RoomCreated,
    TicketId,
    TicketPrompt,
    TicketResult,
    TimeUp,
    Vote,
    VoteCast,
    VoteRequested,
    VotesRevealed,
    VotingCompleted,
    Welcome,
)


class Phase(Enum):
    """What the room is waiting for."""

    GATHERING = auto()
    """Members; the admin has not been prompted yet."""
    READY = auto()
    """A ticket from the admin, who has been prompted once for it."""
    VOTING = auto()
    """Votes."""
    VOTED = auto()
    """The admin's word to reveal, for which it has been prompted once."""


class Trigger(Enum):
    """What moves a room from phase to phase."""

    FULL = auto()
    BEGIN = auto()
    COMPLETE = auto()
    REVEAL = auto()


TRANSITIONS: Final = {
    (Phase.GATHERING, Trigger.FULL): Phase.READY,
    (Phase.GATHERING, Trigger.BEGIN): Phase.VOTING,
    (Phase.READY, Trigger.BEGIN): Phase.VOTING,
    (Phase.VOTING, Trigger.COMPLETE): Phase.VOTED,
    (Phase.VOTING, Trigger.REVEAL): Phase.READY,
    (Phase.VOTED, Trigger.REVEAL): Phase.READY,
}


@attrs.define
class _Seat:
    name: str
    admin: bool
    announced: bool = False


class Estimation:
    """One estimation room.

    Every command goes through :meth:`apply`, which returns what is to be done about it. It
    never raises on anything a member can send, in whatever order.
    """

    def __init__(
        self,
        room_id: RoomId,
        capacity: int,
        *,
        deck: Deck = DEFAULT_DECK,
        announce_seconds: float = ANNOUNCE_SECONDS,
        results_key: str = "",
        most_rounds: int = ROUNDS,
    ) -> None:
        """Open a room with ``capacity`` seats; the first to enter is its admin.

        Args:
            room_id: the room's id.
            capacity: seats.
            deck: the cards that may be played.
            announce_seconds: the time from taking a seat to announcing oneself.
            results_key: told to every member: it opens the room's results.
            most_rounds: rounds that can be revealed; after them no vote begins.
        """
        self.room_id = room_id
        self.capacity = capacity
        self._deck = deck
        self._announce_seconds = announce_seconds
        self._results_key = results_key
        self._rounds_left = most_rounds
        self._phase = Phase.GATHERING
        self._seats: dict[MemberId, _Seat] = {}
        self._admin: MemberId | None = None
        self._ended = False
        self._announced = 0
        self._told_full = False
        # The round: these mean something in VOTING and VOTED only.
        self._ticket = TicketId("")
        self._votes: dict[MemberId, Vote] = {}
        self._waited_for: set[MemberId] = set()  # present and without a vote
        self._began = 0.0

    @property
    def phase(self) -> Phase:
        """What the room is waiting for."""
        return self._phase

    def apply(self, command: Command, member: MemberId, now: float) -> list[Effect]:
        """Apply one command.

        Args:
            command: what is asked for; those of other kinds of rooms do nothing.
            member: by whom.
            now: monotonic time in seconds.

        Returns:
            What is to be done, in order; empty once the room has ended.
        """
        if self._ended:
            return []
        match command:  # the most frequent first
            case CastVote():
                return self._cast(command, member)
            case BeginVoting():
                return self._begin(command, member, now)
            case RevealVotes():
                return self._reveal(command, member, now)
            case Enter():
                return self._enter(command, member)
            case Announce():
                return self._announce(command, member)
            case Leave():
                return self._leave(member)
            case TimeUp():
                return self._time_up(member)
            case Reject():
                return self._reject(command, member)
            case _:
                return []

    # --- coming and going -------------------------------------------------------------------

    def _enter(self, command: Enter, member: MemberId) -> list[Effect]:
        if len(self._seats) >= self.capacity:
            problem = Problem(
                ErrorCode.ROOM_FULL, f"room {self.room_id} is full, all {self.capacity} seats taken"
            )
            return _turn_away(member, problem)
        self._seats[member] = _Seat(command.name, admin=self._admin is None)
        effects: list[Effect] = [SetTimer(member, self._announce_seconds)]
        if self._admin is None:
            self._admin = member
            effects.append(Tell(member, RoomCreated(self.room_id)))
        return effects

    def _announce(self, command: Announce, member: MemberId) -> list[Effect]:
        seat = self._seats.get(member)
        if seat is None:
            return []
        if command.room_id != self.room_id:
            return _refuse(
                member,
                ErrorCode.NO_SUCH_ROOM,
                f"you are in room {self.room_id}, not in {command.room_id}",
                "data.room_id",
            )
        if seat.announced:
            return _refuse(member, ErrorCode.OUT_OF_TURN, "you have joined this room already")
        seat.announced = True
        self._announced += 1
        effects: list[Effect] = [
            ClearTimer(member),
            Tell(member, Welcome(self.room_id, self._results_key)),
            *(
                Tell(member, MemberPresent(other.name, other.admin))
                for key, other in self._seats.items()
                if other.announced and key != member
            ),
            Subscribe(member),
            TellAll(MemberJoined(seat.name, seat.admin)),
        ]
        if self._phase is Phase.VOTING:
            self._waited_for.add(member)
            effects.append(Tell(member, VoteRequested(self._ticket)))
        return effects + self._judge_capacity()

    def _leave(self, member: MemberId) -> list[Effect]:
        seat = self._seats.pop(member, None)
        if seat is None:
            return []
        if member == self._admin:
            self._ended = True
            return [End(ADMIN_LEFT)]
        effects: list[Effect] = [ClearTimer(member)]
        if seat.announced:
            self._announced -= 1
            self._waited_for.discard(member)
            effects.append(TellAll(MemberLeft(seat.name)))
        return effects + self._judge_round()

    def _time_up(self, member: MemberId) -> list[Effect]:
        seat = self._seats.get(member)
        if seat is None or seat.announced:
            return []
        message = (
            f"you did not join within {self._announce_seconds:g} seconds; the seat is free again"
        )
        effects = _turn_away(member, Problem(ErrorCode.NOT_ANNOUNCED, message))
        return effects + self._leave(member)

    def _judge_capacity(self) -> list[Effect]:
        """Say once that every seat is taken and announced, and prompt if nothing else did."""
        if self._told_full or self._announced < self.capacity:
            return []
        self._told_full = True
        effects: list[Effect] = [TellAll(CapacityReached(self.capacity))]
        if self._phase is Phase.GATHERING:
            self._move(Trigger.FULL)
            effects.append(self._tell_admin(TicketPrompt(first=True)))
        return effects

    # --- rounds -----------------------------------------------------------------------------

    def _begin(self, command: BeginVoting, member: MemberId, now: float) -> list[Effect]:
        refusal = self._refuse_but_admin(member, "begin a vote")
        if refusal:
            return refusal
        if (self._phase, Trigger.BEGIN) not in TRANSITIONS:
            message = f"ticket {self._ticket} is being voted on; reveal its votes first"
            return _refuse(member, ErrorCode.OUT_OF_TURN, message)
        if not self._rounds_left:
            message = "this room has had all the votes that are kept of one room; open another"
            return _refuse(member, ErrorCode.TOO_MANY_ROUNDS, message)
        self._move(Trigger.BEGIN)
        self._ticket = command.ticket_id
        self._votes = {}
        self._waited_for = {key for key, seat in self._seats.items() if seat.announced}
        self._began = now
        return [TellAll(VoteRequested(self._ticket))]

    def _cast(self, command: CastVote, member: MemberId) -> list[Effect]:
        seat = self._seats.get(member)
        if seat is None or not seat.announced:
            return self._refuse_unannounced(member)
        if (self._phase, Trigger.REVEAL) not in TRANSITIONS:
            return _refuse(member, ErrorCode.OUT_OF_TURN, "no vote is running")
        if command.ticket_id != self._ticket:
            message = f"the vote is on ticket {self._ticket}, not on {command.ticket_id}"
            return _refuse(member, ErrorCode.WRONG_TICKET, message, "data.ticket_id")
        if command.vote not in self._deck:
            message = f"data.vote must be one of {' '.join(self._deck.cards)}"
            return _refuse(member, ErrorCode.NOT_IN_DECK, message, "data.vote")
        self._votes[member] = Vote(member, seat.name, command.vote)
        self._waited_for.discard(member)
        effects: list[Effect] = [TellAll(VoteCast(seat.name, self._ticket))]
        if not self._waited_for:
            effects += self._judge_round()
        return effects

    def _reveal(self, command: RevealVotes, member: MemberId, now: float) -> list[Effect]:
        refusal = self._refuse_but_admin(member, "reveal the votes")
        if refusal:
            return refusal
        if (self._phase, Trigger.REVEAL) not in TRANSITIONS:
            return _refuse(member, ErrorCode.OUT_OF_TURN, "no vote is running")
        if command.ticket_id != self._ticket:
            message = f"the vote is on ticket {self._ticket}, not on {command.ticket_id}"
            return _refuse(member, ErrorCode.WRONG_TICKET, message, "data.ticket_id")
        if not self._votes:
            message = f"nobody has voted on ticket {self._ticket} yet"
            return _refuse(member, ErrorCode.OUT_OF_TURN, message)
        self._move(Trigger.REVEAL)
        self._rounds_left -= 1
        votes = tuple(self._votes.values())
        self._votes, self._waited_for = {}, set()
        return [
            TellAll(VotesRevealed(self._ticket, votes)),
            Record(TicketResult(self._ticket, votes, now - self._began)),
            self._tell_admin(TicketPrompt(first=False)),
            TellOthers(member, AwaitingTicket()),
        ]

    def _judge_round(self) -> list[Effect]:
        """Complete the round if nobody who is present is waited for."""
        if self._phase is not Phase.VOTING or self._waited_for or not self._votes:
            return []
        self._move(Trigger.COMPLETE)
        return [
            TellAll(VotingCompleted(self._ticket)),
            self._tell_admin(RevealPrompt(self._ticket)),
        ]

    # --- refusals ---------------------------------------------------------------------------

    def _reject(self, command: Reject, member: MemberId) -> list[Effect]:
        effects: list[Effect] = [Tell(member, Refusal(command.problem))]
        if command.final:
            effects.append(Disconnect(member, CloseCode.POLICY, "too many refused messages"))
        return effects

    def _refuse_but_admin(self, member: MemberId, deed: str) -> list[Effect]:
        if member != self._admin:
            return _refuse(member, ErrorCode.NOT_ADMIN, f"only the admin may {deed}")
        if not self._seats[member].announced:
            return self._refuse_unannounced(member)
        return []

    def _refuse_unannounced(self, member: MemberId) -> list[Effect]:
        return _refuse(member, ErrorCode.NOT_ANNOUNCED, "join the room with JOIN_ROOM first")

    # --- small change -----------------------------------------------------------------------

    def _move(self, trigger: Trigger) -> None:
        self._phase = TRANSITIONS[self._phase, trigger]

    def _tell_admin(self, event: TicketPrompt | RevealPrompt) -> Effect:
        if self._admin is None:
            raise AssertionError("nobody is prompted before the admin has entered")
        return Tell(self._admin, event)


def _refuse(
    member: MemberId, code: ErrorCode, message: str, field: str | None = None
) -> list[Effect]:
    return [Tell(member, Refusal(Problem(code, message, field)))]


def _turn_away(member: MemberId, problem: Problem) -> list[Effect]:
    return [Tell(member, Refusal(problem)), Disconnect(member, CloseCode.NORMAL, problem.message)]
