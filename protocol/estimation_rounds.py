"""The rounds of an estimation room: how one begins, how cards are put down, when it is complete.

All who are present vote and are waited for, unless they are spectators. A vote may be changed until
the reveal, also in VOTED. A member that comes while a vote is running is asked to vote and counts
from then on.
"""

from typing import Final

from protocol.changes import Begun, Retracted, Voted
from protocol.effects import SetTimer, TellAll
from protocol.errors import ErrorCode
from protocol.estimation_afterwards import put_by, recast, shown_before
from protocol.estimation_clock import begin_with_round, end_with_round
from protocol.estimation_names import called
from protocol.estimation_phases import BEGINNING, VOTED, VOTING, Trigger, move
from protocol.estimation_reveal import turn_over
from protocol.estimation_state import Seat, State, earlier, may, waiting_for
from protocol.estimation_telling import next_seq, tell_admin, tell_guests
from protocol.ids import MemberId
from protocol.lasting import RESTED, BeginRound, CastCard, Retract, Role
from protocol.messages import (
    BeginVoting,
    CastVote,
    RevealPrompt,
    TicketId,
    Vote,
    VoteCast,
    VoteRequested,
    VoteRetracted,
    VotingCompleted,
)
from protocol.refusals import (
    Effects,
    refuse,
    refuse_card,
    refuse_round,
    refuse_ticket,
    refuse_unannounced,
    refuse_unless,
)

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
    return _begin(state, request.ticket, member, now)


def _begin(state: State, ticket: TicketId, member: MemberId, now: float) -> Effects:
    refusal = refuse_unless(state, member, "begin", state.options.begin_by)
    if refusal:
        return refusal
    if state.phase not in BEGINNING or state.votes:
        return refuse(member, ErrorCode.VOTE_RUNNING, ticket_id=state.ticket)
    if state.phase is VOTING and ticket == state.ticket:
        return refuse(member, ErrorCode.BEGUN_TWICE, ticket_id=state.ticket)
    if not state.rounds_left:
        return refuse(member, ErrorCode.TOO_MANY_ROUNDS)
    move(state, Trigger.BEGIN)
    if state.shown is not None:
        put_by(state, state.shown)
    state.round += 1
    state.ticket = ticket
    state.votes = {}
    state.waited_for = {
        key for key, seat in state.seats.items() if seat.announced and seat.role is _VOTER
    }
    state.began = now
    state.told_complete = state.prompted = False
    effects = tell_guests(state, VoteRequested(ticket))
    if state.numbering:
        begun = Begun(
            next_seq(state),
            state.round,
            ticket,
            now,
            waiting_for(state),
            may(state),
            earlier(state) if state.past else (),
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
        shown = state.shown
        if shown is not None and shown_before(state, ticket=command.ticket_id):
            return recast(state, shown, command.vote, member, seat, "vote")
        return refusal
    if command.vote not in state.deck:
        return refuse_card(member, state.deck, "vote")
    return _put_down(state, command.vote, member, seat, now)


def cast_card(state: State, request: CastCard, member: MemberId, seat: Seat, now: float) -> Effects:
    """Put down, or change, a card in a round."""
    if seat.role is not _VOTER:
        return refuse(member, ErrorCode.SPECTATOR)
    refusal = refuse_round(state, request.round, member)
    if refusal:
        shown = state.shown
        if shown is not None and shown_before(state, number=request.round):
            return recast(state, shown, request.card, member, seat)
        return refusal
    if request.card not in state.deck:
        return refuse_card(member, state.deck, "card")
    return _put_down(state, request.card, member, seat, now)


def _put_down(state: State, card: str, member: MemberId, seat: Seat, now: float) -> Effects:
    first = not state.votes
    name = seat.name if seat.tag == 1 else called(seat)
    state.votes[member] = Vote(member, name, card)
    if len(state.votes) > _VOTES_PER_SEAT * state.capacity:
        _forget_a_vote(state)
    state.waited_for.discard(member)
    effects: Effects = []
    if state.guests:  # asked here, since nothing is said as often as this
        effects.append(TellAll(VoteCast(name, state.ticket)))
    if state.numbering:
        complete = not state.waited_for
        changed = may(state) if first else None
        effects.append(TellAll(Voted(next_seq(state), member, complete, changed)))
    if not state.waited_for or state.options.auto_reveal:
        effects += judge_round(state, now)
    return effects


def retract(state: State, request: Retract, member: MemberId, seat: Seat, now: float) -> Effects:
    """Take a card back that is on the table, so that its member is waited for again."""
    if seat.role is not _VOTER:
        return refuse(member, ErrorCode.SPECTATOR)
    refusal = refuse_round(state, request.round, member)
    if refusal:
        return refusal
    if member not in state.votes:
        return refuse(member, ErrorCode.NO_CARD_DOWN)
    del state.votes[member]
    state.waited_for.add(member)
    if state.phase is VOTED:
        move(state, Trigger.RETRACT)
    effects = tell_guests(state, VoteRetracted(called(seat), state.ticket))
    changed = None if state.votes else may(state)
    effects.append(TellAll(Retracted(next_seq(state), member, changed)))
    return effects + judge_round(state, now)


def _forget_a_vote(state: State) -> None:
    """Drop the oldest vote of somebody who has left: come and go as they may, a round ends."""
    votes = state.votes
    del votes[next(key for key in votes if key not in state.seats)]


def judge_round(state: State, now: float) -> Effects:
    """See what follows from who has voted, who is waited for and who is here.

    To be asked whenever one of these, or an option, is another; after that has been told, since
    what follows is told too. The round is complete if nobody who is present is waited for, be it
    away; with the option ``auto_reveal`` it ends as soon as nobody who is here is.
    """
    if not state.votes:
        return []
    effects: Effects = []
    if state.options.auto_reveal and _nobody_here_is_waited_for(state):
        held_until = _held_until(state)
        if now >= held_until:
            return turn_over(state, now)
        effects.append(SetTimer(RESTED, held_until - now))
    if state.phase is VOTING and not state.waited_for:
        effects += _complete(state)
    return effects


def _complete(state: State) -> Effects:
    move(state, Trigger.COMPLETE)
    effects: Effects = []
    if not state.told_complete:
        state.told_complete = True
        effects += tell_guests(state, VotingCompleted(state.ticket))
    if not state.prompted:
        prompt = tell_admin(state, RevealPrompt(state.ticket))
        state.prompted = bool(prompt)
        effects += prompt
    return effects


def _nobody_here_is_waited_for(state: State) -> bool:
    """Tell whether all have voted who are here; if nobody is, there is nobody to reveal it to."""
    seats = state.seats
    if any(seats[member].here for member in state.waited_for):
        return False
    return any(seat.here and seat.announced for seat in seats.values())


def _held_until(state: State) -> float:
    """Say until when the rules reveal nothing: after a restart, all who were here may come back."""
    if all(seat.here for seat in state.seats.values()):
        return state.resting_until
    return max(state.resting_until, state.returning_until)
