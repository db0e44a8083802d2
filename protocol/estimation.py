"""The rules of an estimation room, as a state machine without I/O.

Two rules keep this file readable: every change of phase is in the table, and nothing here
knows how a message looks on the wire or how it gets to a member.

===========  ==========================  ==========  =========================================
phase        trigger                     next phase  said
===========  ==========================  ==========  =========================================
GATHERING    every seat announced        READY       CapacityReached to all, TicketPrompt to admin
GATHERING    BeginVoting (admin)         VOTING      VoteRequested to all
READY        BeginVoting (admin)         VOTING      VoteRequested to all
VOTING       BeginVoting (admin) [1]     VOTING      VoteRequested to all
VOTING       everybody has voted         VOTED       VotingCompleted to all, RevealPrompt to admin
VOTING       RevealVotes (admin) [2]     READY       VotesRevealed to all, then as below
VOTED        RevealVotes (admin)         READY       VotesRevealed to all, TicketPrompt to admin,
                                                     AwaitingTicket to the others
any          Leave of the admin          ENDED       End
===========  ==========================  ==========  =========================================

[1] Another ticket, while there is no vote on the one before: it was mistyped, or thought better of.

[2] Early, so that somebody who is away from the keyboard cannot hold up the team; there must
be one vote at the least.

The *admin* is the first to enter, and the room's owner: the room ends with its connection.

*Present* is who has announced itself and not left; only they are the audience, vote, and count
for completion. A vote may be changed until the reveal, also in VOTED. A member that comes
while a vote is running is asked to vote and counts from then on. Whoever voted and left is
still listed in the reveal.
"""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final

import attrs

from protocol.deck import DEFAULT_DECK, Deck
from protocol.effects import (
    ClearTimer,
    Disconnect,
    Effect,
    End,
    Own,
    Record,
    SetTimer,
    Sleep,
    Subscribe,
    Tell,
    TellAll,
    TellOthers,
)
from protocol.errors import CloseCode, ErrorCode, IllegalMove, Problem
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

_VOTES_PER_SEAT: Final = 4
"""Votes of one round that are kept for each seat: those of members who voted and left included."""


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
    ENDED = auto()
    """Nothing any more."""


class Trigger(Enum):
    """What moves a room from phase to phase."""

    FULL = auto()
    BEGIN = auto()
    COMPLETE = auto()
    REVEAL = auto()
    END = auto()


TRANSITIONS: Final[Mapping[tuple[Phase, Trigger], Phase]] = {
    (Phase.GATHERING, Trigger.FULL): Phase.READY,
    (Phase.GATHERING, Trigger.BEGIN): Phase.VOTING,
    (Phase.READY, Trigger.BEGIN): Phase.VOTING,
    (Phase.VOTING, Trigger.BEGIN): Phase.VOTING,
    (Phase.VOTING, Trigger.COMPLETE): Phase.VOTED,
    (Phase.VOTING, Trigger.REVEAL): Phase.READY,
    (Phase.VOTED, Trigger.REVEAL): Phase.READY,
    **{(phase, Trigger.END): Phase.ENDED for phase in Phase if phase is not Phase.ENDED},
}

_Effects = list[Effect[TicketResult]]


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
        """Open a room; the first to enter is its admin.

        Args:
            room_id: the room's id, as members must name it.
            capacity: the number of seats.
            deck: the cards that may be voted with.
            announce_seconds: the seconds that a member may take from its seat to its announcement.
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

    def apply(self, command: Command, member: MemberId, now: float) -> _Effects:
        """Apply one command.

        Args:
            command: the thing asked for; commands of other kinds of rooms do nothing.
            member: the one who asks.
            now: the monotonic time in seconds.

        Returns:
            What is to be done, in order; empty once the room has ended.
        """
        if self._phase is Phase.ENDED:
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

    def _enter(self, command: Enter, member: MemberId) -> _Effects:
        if len(self._seats) >= self.capacity:
            return _turn_away(
                member, ErrorCode.ROOM_FULL, room_id=self.room_id, capacity=self.capacity
            )
        timer = SetTimer(member, self._announce_seconds)
        if self._admin is not None:
            self._seats[member] = _Seat(command.name, admin=False)
            return [timer]
        self._seats[member] = _Seat(command.name, admin=True)
        self._admin = member
        return [Own(member, ADMIN_LEFT), timer, Tell(member, RoomCreated(self.room_id))]

    def _announce(self, command: Announce, member: MemberId) -> _Effects:
        seat = self._seats.get(member)
        if seat is None:
            return []
        if command.room_id != self.room_id:
            return _refuse(
                member,
                ErrorCode.WRONG_ROOM,
                "room_id",
                room_id=self.room_id,
                given=command.room_id,
            )
        if seat.announced:
            return _refuse(member, ErrorCode.ANNOUNCED_TWICE)
        seat.announced = True
        self._announced += 1
        effects: _Effects = [
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

    def _leave(self, member: MemberId) -> _Effects:
        seat = self._seats.pop(member, None)
        if seat is None:
            # Where nobody has ever entered, nobody knows the room's id.
            return [Sleep()] if self._admin is None else []
        if member == self._admin:
            self._move(Trigger.END)
            return [End(ADMIN_LEFT)]
        effects: _Effects = [ClearTimer(member)]
        if seat.announced:
            self._announced -= 1
            self._waited_for.discard(member)
            effects.append(TellAll(MemberLeft(seat.name)))
        return effects + self._judge_round()

    def _time_up(self, member: MemberId) -> _Effects:
        seat = self._seats.get(member)
        if seat is None or seat.announced:
            return []
        effects = _turn_away(member, ErrorCode.ANNOUNCED_TOO_LATE, seconds=self._announce_seconds)
        return effects + self._leave(member)

    def _judge_capacity(self) -> _Effects:
        """Say once that every seat is taken and announced, and prompt if nothing else did."""
        if self._told_full or self._announced < self.capacity:
            return []
        self._told_full = True
        effects: _Effects = [TellAll(CapacityReached(self.capacity))]
        if self._phase is Phase.GATHERING:
            self._move(Trigger.FULL)
            effects.append(self._tell_admin(TicketPrompt(first=True)))
        return effects

    # --- rounds -----------------------------------------------------------------------------

    def _begin(self, command: BeginVoting, member: MemberId, now: float) -> _Effects:
        refusal = self._refuse_but_admin(member, "begin")
        if refusal:
            return refusal
        if (self._phase, Trigger.BEGIN) not in TRANSITIONS or self._votes:
            return _refuse(member, ErrorCode.VOTE_RUNNING, ticket_id=self._ticket)
        if self._phase is Phase.VOTING and command.ticket_id == self._ticket:
            return _refuse(member, ErrorCode.BEGUN_TWICE, ticket_id=self._ticket)
        if not self._rounds_left:
            return _refuse(member, ErrorCode.TOO_MANY_ROUNDS)
        self._move(Trigger.BEGIN)
        self._ticket = command.ticket_id
        self._votes = {}
        self._waited_for = {key for key, seat in self._seats.items() if seat.announced}
        self._began = now
        return [TellAll(VoteRequested(self._ticket))]

    def _cast(self, command: CastVote, member: MemberId) -> _Effects:
        seat = self._seats.get(member)
        if seat is None or not seat.announced:
            return self._refuse_unannounced(member)
        if (self._phase, Trigger.REVEAL) not in TRANSITIONS:
            return _refuse(member, ErrorCode.NO_VOTE_RUNNING)
        if command.ticket_id != self._ticket:
            return self._refuse_ticket(member, command.ticket_id)
        if command.vote not in self._deck:
            cards = " ".join(self._deck.cards)
            return _refuse(member, ErrorCode.NOT_IN_DECK, "vote", cards=cards)
        self._votes[member] = Vote(member, seat.name, command.vote)
        if len(self._votes) > _VOTES_PER_SEAT * self.capacity:
            self._forget_a_vote()
        self._waited_for.discard(member)
        effects: _Effects = [TellAll(VoteCast(seat.name, self._ticket))]
        if not self._waited_for:
            effects += self._judge_round()
        return effects

    def _forget_a_vote(self) -> None:
        """Drop the oldest vote of somebody who has left: come and go as they may, a round ends."""
        del self._votes[next(key for key in self._votes if key not in self._seats)]

    def _reveal(self, command: RevealVotes, member: MemberId, now: float) -> _Effects:
        refusal = self._refuse_but_admin(member, "reveal")
        if refusal:
            return refusal
        if (self._phase, Trigger.REVEAL) not in TRANSITIONS:
            return _refuse(member, ErrorCode.NO_VOTE_RUNNING)
        if command.ticket_id != self._ticket:
            return self._refuse_ticket(member, command.ticket_id)
        if not self._votes:
            return _refuse(member, ErrorCode.NOBODY_VOTED, ticket_id=self._ticket)
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

    def _judge_round(self) -> _Effects:
        """Complete the round if nobody who is present is waited for."""
        if self._phase is not Phase.VOTING or self._waited_for or not self._votes:
            return []
        self._move(Trigger.COMPLETE)
        return [
            TellAll(VotingCompleted(self._ticket)),
            self._tell_admin(RevealPrompt(self._ticket)),
        ]

    # --- refusals ---------------------------------------------------------------------------

    def _reject(self, command: Reject, member: MemberId) -> _Effects:
        effects: _Effects = [Tell(member, Refusal(command.problem))]
        if command.final:
            struck_out = Problem(ErrorCode.STRUCK_OUT)
            effects.append(Disconnect(member, CloseCode.POLICY, struck_out))
        return effects

    def _refuse_but_admin(self, member: MemberId, deed: str) -> _Effects:
        if member != self._admin:
            return _refuse(member, ErrorCode.NOT_ADMIN, deed=deed)
        if not self._seats[member].announced:
            return self._refuse_unannounced(member)
        return []

    def _refuse_unannounced(self, member: MemberId) -> _Effects:
        return _refuse(member, ErrorCode.NOT_ANNOUNCED)

    def _refuse_ticket(self, member: MemberId, given: TicketId) -> _Effects:
        return _refuse(
            member, ErrorCode.WRONG_TICKET, "ticket_id", ticket_id=self._ticket, given=given
        )

    # --- small change -----------------------------------------------------------------------

    def _move(self, trigger: Trigger) -> None:
        try:
            self._phase = TRANSITIONS[self._phase, trigger]
        except KeyError:
            raise IllegalMove(self._phase, trigger) from None

    def _tell_admin(self, event: TicketPrompt | RevealPrompt) -> Tell:
        if self._admin is None:
            raise AssertionError("nobody is prompted before the admin has entered")
        return Tell(self._admin, event)


def _refuse(
    member: MemberId, code: ErrorCode, field: str | None = None, **values: str | int | float
) -> _Effects:
    return [Tell(member, Refusal(Problem(code, field=field, values=values)))]


def _turn_away(member: MemberId, code: ErrorCode, **values: str | int | float) -> _Effects:
    problem = Problem(code, values=values)
    return [Tell(member, Refusal(problem)), Disconnect(member, CloseCode.NORMAL, problem)]
