"""How a round ends: its cards are turned over, and its result is given to be kept.

Whoever voted and left is still listed.
"""

from protocol.changes import Revealed
from protocol.effects import Record, TellAll, TellOthers
from protocol.errors import ErrorCode
from protocol.estimation_clock import end_with_round
from protocol.estimation_phases import Trigger, move
from protocol.estimation_state import Seat, State, may, waiting_for
from protocol.estimation_telling import next_seq, tell_admin, tell_guests
from protocol.ids import MemberId
from protocol.lasting import RevealRound
from protocol.messages import (
    AwaitingTicket,
    RevealVotes,
    TicketPrompt,
    TicketResult,
    VotesRevealed,
)
from protocol.picture import Missed, Shown, ShownVote
from protocol.refusals import Effects, refuse, refuse_round, refuse_ticket, refuse_unless
from protocol.statistics import summarize


def reveal_votes(state: State, command: RevealVotes, member: MemberId, now: float) -> Effects:
    """Turn the cards on a ticket over."""
    return (
        refuse_unless(state, member, "reveal", state.options.reveal_by)
        or refuse_ticket(state, command.ticket_id, member)
        or (turn_over(state, now) if state.votes else _refuse_empty(state, member))
    )


def reveal_round(
    state: State, request: RevealRound, member: MemberId, seat: Seat, now: float
) -> Effects:
    """Turn the cards of a round over."""
    return (
        refuse_unless(state, member, "reveal", state.options.reveal_by)
        or refuse_round(state, request.round, member)
        or (turn_over(state, now) if state.votes else _refuse_empty(state, member))
    )


def _refuse_empty(state: State, member: MemberId) -> Effects:
    if member == state.admin:
        state.prompted = False  # whatever it was asked, this was the answer
    return refuse(member, ErrorCode.NOBODY_VOTED, ticket_id=state.ticket)


def turn_over(state: State, now: float) -> Effects:
    """Turn the cards over of a round in which there is a vote, whoever wants it."""
    move(state, Trigger.REVEAL)
    state.rounds_left -= 1
    votes = tuple(state.votes.values())
    missing: tuple[Missed, ...] = ()
    if state.waited_for:
        missing = tuple(Missed(key, state.seats[key].name) for key in waiting_for(state))
    state.votes, state.waited_for = {}, set()
    seconds = now - state.began
    effects = tell_guests(state, VotesRevealed(state.ticket, votes))
    if state.numbering:
        state.shown = Shown(
            state.round,
            state.ticket,
            tuple(ShownVote(vote.member_id, vote.name, vote.value) for vote in votes),
            summarize([vote.value for vote in votes], state.deck),
            seconds,
            missing,
        )
        effects.append(TellAll(Revealed(next_seq(state), state.shown, may(state))))
    if state.timer is not None:
        effects += end_with_round(state)
    effects.append(Record(TicketResult(state.ticket, votes, seconds, state.deck)))
    effects += tell_admin(state, TicketPrompt(first=False))
    if state.guests:
        admin, awaiting = state.admin, AwaitingTicket()
        effects.append(TellAll(awaiting) if admin is None else TellOthers(admin, awaiting))
    return effects
