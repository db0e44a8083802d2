"""The options of an estimation room: how the team wants it to work, as facilitators decide."""

import attrs

from protocol.changes import Configured
from protocol.effects import TellAll
from protocol.estimation_leading import follow_owner
from protocol.estimation_rounds import judge_round
from protocol.estimation_state import Seat, State, may
from protocol.estimation_telling import next_seq
from protocol.ids import MemberId
from protocol.lasting import Configure
from protocol.limits import VOTING_SECONDS
from protocol.options import DEFAULTS
from protocol.refusals import Effects, refuse_range, refuse_unless


def configure(
    state: State, request: Configure, member: MemberId, seat: Seat, now: float
) -> Effects:
    """Change options, those that are given; nothing is told if nothing is another."""
    refusal = refuse_unless(state, member, "configure")
    if refusal:
        return refusal
    if request.voting_seconds:
        refusal = refuse_range(member, "voting_seconds", request.voting_seconds, *VOTING_SECONDS)
        if refusal:
            return refusal
    given = attrs.asdict(request, recurse=False, filter=lambda _, wish: wish is not None)
    options = attrs.evolve(state.options, **given)
    before = state.options
    if options == before:
        return []
    state.options = DEFAULTS if options == DEFAULTS else options
    told: Effects = [TellAll(Configured(next_seq(state), options, may(state)))]
    if options.owner_absence is not before.owner_absence:
        told += follow_owner(state)
    return told + judge_round(state, now)
