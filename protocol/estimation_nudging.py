"""Reminding somebody in an estimation room whose vote is waited for.

It is told to that member alone and is no change: whoever comes back later is not told of it.
"""

from math import ceil

from protocol.changes import Nudged
from protocol.effects import Tell
from protocol.errors import ErrorCode
from protocol.estimation_names import called
from protocol.estimation_phases import REVEALING
from protocol.estimation_state import Seat, State
from protocol.ids import MemberId
from protocol.lasting import Nudge
from protocol.limits import NUDGE_SECONDS
from protocol.messages import Reminded
from protocol.refusals import Effects, refuse, refuse_stranger, refuse_unless


def nudge(state: State, request: Nudge, member: MemberId, seat: Seat, now: float) -> Effects:
    """Remind a member, once in a while whoever does it."""
    whom = request.member
    refusal = refuse_unless(state, member, "nudge")
    if refusal:
        return refusal
    if state.phase not in REVEALING:
        return refuse(member, ErrorCode.NO_VOTE_RUNNING)
    refusal = refuse_stranger(state, whom, member)
    if refusal:
        return refusal
    them = state.seats[whom]
    if whom not in state.waited_for:
        return refuse(member, ErrorCode.NOT_WAITED_FOR, "member", name=called(them))
    if not them.here:
        return refuse(member, ErrorCode.IS_AWAY, "member", name=called(them))
    left = 0.0 if them.nudged_at is None else them.nudged_at + NUDGE_SECONDS - now
    if 0 < left <= NUDGE_SECONDS:
        again = ceil(left)
        return refuse(member, ErrorCode.NUDGED_ALREADY, "member", name=called(them), seconds=again)
    them.nudged_at = now
    name = called(seat)
    if them.lasting:
        return [Tell(whom, Nudged(member, name, state.round, state.ticket))]
    return [Tell(whom, Reminded(name, state.ticket))]
