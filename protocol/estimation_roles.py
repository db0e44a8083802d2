"""Who votes in an estimation room and who only watches, also in the middle of a round.

A card counts until its owner only watches: then it is taken from the round, which is judged again.
Whoever votes from now on is waited for in a round that is not complete, as somebody who has just
come would be.
"""

from protocol.changes import RoleChanged
from protocol.effects import Tell, TellAll
from protocol.estimation_names import called
from protocol.estimation_phases import VOTED, VOTING, Trigger, move
from protocol.estimation_rounds import judge_round
from protocol.estimation_state import Seat, State, may, waiting_for
from protocol.estimation_telling import next_seq, tell_guests
from protocol.ids import MemberId
from protocol.lasting import ChangeRole, Role
from protocol.messages import RoleTaken, VoteRequested
from protocol.refusals import Effects, refuse_stranger, refuse_unless


def change_role(
    state: State, request: ChangeRole, member: MemberId, seat: Seat, now: float
) -> Effects:
    """Let a member vote, or only watch; nothing is told if it does so already."""
    who, role = request.member, request.role
    if who is None or who == member:
        who = member
    else:
        refusal = refuse_unless(state, member, "role") or refuse_stranger(state, who, member)
        if refusal:
            return refusal
        seat = state.seats[who]
    if seat.role is role:
        return []
    before = may(state)
    seat.role = role
    votes = role is Role.VOTER
    effects = tell_guests(state, RoleTaken(called(seat), votes))
    if votes:
        effects += _ask_to_vote(state, who, seat)
    else:
        _take_card(state, who)
    running = state.phase is VOTING or state.phase is VOTED
    after = may(state)
    change = RoleChanged(
        next_seq(state),
        who,
        role,
        waiting_for(state) if running else None,
        running and bool(state.votes) and not state.waited_for,
        after if after != before else None,
    )
    return [*effects, TellAll(change), *judge_round(state, now)]


def _ask_to_vote(state: State, who: MemberId, seat: Seat) -> Effects:
    if state.phase is not VOTING:
        return []
    state.waited_for.add(who)
    return [] if seat.lasting else [Tell(who, VoteRequested(state.ticket))]


def _take_card(state: State, who: MemberId) -> None:
    state.waited_for.discard(who)
    if state.votes.pop(who, None) is None or state.votes or state.phase is not VOTED:
        return
    # Nothing is left to reveal, so those are asked who came when all had voted.
    move(state, Trigger.RETRACT)
    state.waited_for = {
        key for key, seat in state.seats.items() if seat.announced and seat.role is Role.VOTER
    }
