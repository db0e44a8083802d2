"""The rounds of an estimation room: how one begins, how cards are put down, when it is complete.

All who are present vote and are waited for, unless they are spectators. A vote may be changed until
the reveal, also in VOTED. A member that comes while a vote is running is asked to vote and counts
from then on.
"""

from typing import Final

from protocol.changes import Begun, Voted
from protocol.effects import Tell, TellAll
from protocol.errors import ErrorCode, Problem
from protocol.estimation_clock import begin_with_round, end_with_round
from protocol.estimation_phases import BEGINNING, VOTED, VOTING, Trigger, move
from protocol.estimation_state import Seat, State, may, waiting_for
from protocol.estimation_telling import next_seq, tell_admin, tell_guests
from protocol.ids import MemberId, TicketNumber
from protocol.lasting import BeginRound, CastCard, Role
from protocol.messages import (
    BeginVoting,
    CastVote,
    Refusal,
    RevealPrompt,
    TicketId,
    Vote,
    VoteCast,
    VoteRequested,
    VotingCompleted,
)
from protocol.refusals import (
    Effects,
    refuse,
    refuse_round,
    refuse_ticket,
    refuse_unannounced,
    refuse_unless,
)
from protocol.ticket import spoken

_VOTES_PER_SEAT: Final = 4
"""Votes of one round that are kept for each seat: those of members who voted and left included."""

_VOTER: Final = Role.VOTER  # see protocol.estimation_phases


def begin_voting(state: State, command: BeginVoting, member: MemberId, now: float) -> Effects:
    """Open a vote."""
    return _begin(state, command.ticket_id, member, now)


def begin_round(
    state: State, request: BeginRound, member: MemberId, seat: Seat, now: float
) -> Effects:
    """Open a vote."""
    if request.ticket_id is None:
        return _begin(state, request.ticket, member, now)
    if request.ticket is not None:
        complaint = "ticket_id must not be given beside ticket"
        return [Tell(member, Refusal(Problem(ErrorCode.MALFORMED, complaint, "ticket_id")))]
    return _begin(state, None, member, now, request.ticket_id)


def _begin(
    state: State,
    ticket: TicketId | None,
    member: MemberId,
    now: float,
    number: TicketNumber | None = None,
) -> Effects:
    """Open a vote on a ticket of the backlog if it has a number, or on whatever it is called."""
    refusal = refuse_unless(state, member, "begin", state.options.begin_by)
    if refusal:
        return refusal
    if state.phase not in BEGINNING or state.votes:
        return refuse(member, ErrorCode.VOTE_RUNNING, ticket_id=state.ticket)
    named = ticket is not None or number is not None
    if number is not None:
        found = state.backlog.find(number)
        if found is None:
            return refuse(member, ErrorCode.NO_SUCH_TICKET, "ticket_id", ticket=number)
        ticket = spoken(found)
    elif ticket is None:  # in the other dialect, everything that is voted on has a name
        ticket = TicketId(f"Round {state.round + 1}")
    if state.phase is VOTING and (ticket, number) == (state.ticket, state.ticket_number):
        return refuse(member, ErrorCode.BEGUN_TWICE, ticket_id=state.ticket)
    if not state.rounds_left:
        return refuse(member, ErrorCode.TOO_MANY_ROUNDS)
    move(state, Trigger.BEGIN)
    state.round += 1
    state.ticket = ticket
    state.named = named
    state.ticket_number = number
    state.votes = {}
    state.waited_for = {
        key for key, seat in state.seats.items() if seat.announced and seat.role is _VOTER
    }
    state.began = now
    effects = tell_guests(state, VoteRequested(ticket))
    if state.numbering:
        begun = Begun(
            next_seq(state),
            state.round,
            ticket if named else "",
            now,
            waiting_for(state),
            may(state),
            number,
        )
        effects.append(TellAll(begun))
    if state.options.voting_seconds:
        effects += begin_with_round(state, now)
    elif state.timer is not None:
        effects += end_with_round(state)
    return effects


def cast_vote(state: State, command: CastVote, member: MemberId, now: float) -> Effects:
    """Put down, or change, a card on a ticket."""
    seat = state.seats.get(member)
    if seat is None or not seat.announced:
        return refuse_unannounced(member)
    if seat.role is not _VOTER:
        return refuse(member, ErrorCode.SPECTATOR)
    refusal = refuse_ticket(state, command.ticket_id, member)
    if refusal:
        return refusal
    if command.vote not in state.deck:
        return _refuse_card(state, member, "vote")
    return _put_down(state, command.vote, member, seat)


def cast_card(state: State, request: CastCard, member: MemberId, seat: Seat, now: float) -> Effects:
    """Put down, or change, a card in a round."""
    if seat.role is not _VOTER:
        return refuse(member, ErrorCode.SPECTATOR)
    refusal = refuse_round(state, request.round, member)
    if refusal:
        return refusal
    if request.card not in state.deck:
        return _refuse_card(state, member, "card")
    return _put_down(state, request.card, member, seat)


def _put_down(state: State, card: str, member: MemberId, seat: Seat) -> Effects:
    first = not state.votes
    state.votes[member] = Vote(member, seat.name, card)
    if len(state.votes) > _VOTES_PER_SEAT * state.capacity:
        _forget_a_vote(state)
    state.waited_for.discard(member)
    effects: Effects = []
    if state.guests:  # asked here, since nothing is said as often as this
        effects.append(TellAll(VoteCast(seat.name, state.ticket)))
    completed = [] if state.waited_for else judge_round(state)
    if state.numbering:
        complete = state.phase is VOTED
        changed = may(state) if first else None
        effects.append(TellAll(Voted(next_seq(state), member, complete, changed)))
    if completed:
        effects += completed
    return effects


def _forget_a_vote(state: State) -> None:
    """Drop the oldest vote of somebody who has left: come and go as they may, a round ends."""
    votes = state.votes
    del votes[next(key for key in votes if key not in state.seats)]


def judge_round(state: State) -> Effects:
    """Complete the round if nobody who is present is waited for."""
    if state.phase is not VOTING or state.waited_for or not state.votes:
        return []
    move(state, Trigger.COMPLETE)
    completed = tell_guests(state, VotingCompleted(state.ticket))
    return completed + tell_admin(state, RevealPrompt(state.ticket))


def _refuse_card(state: State, member: MemberId, field: str) -> Effects:
    return refuse(member, ErrorCode.NOT_IN_DECK, field, cards=state.deck.spelled)
