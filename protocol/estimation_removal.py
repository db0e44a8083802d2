"""Putting somebody out of an estimation room, for now or for good.

For good means: for as long as there is this room. Who has no account can come back under another
name, unless its network address is kept out as well; of addresses the rules know nothing.
"""

from protocol.effects import Bar, Disconnect, Tell
from protocol.errors import CloseCode, ErrorCode, Problem
from protocol.estimation_people import vacate
from protocol.estimation_state import Seat, State
from protocol.ids import MemberId
from protocol.lasting import Kick
from protocol.limits import MOST_BANS, REMOVED_KNOWN
from protocol.messages import Refusal
from protocol.refusals import Effects, refuse, refuse_stranger, refuse_unless


def kick(state: State, request: Kick, member: MemberId, seat: Seat, now: float) -> Effects:
    """Take somebody's seat away, be it here or away; what it has voted counts until the reveal."""
    refusal = refuse_unless(state, member, "kick") or _refuse_target(state, request.member, member)
    if refusal:
        return refusal
    bans = request.ban or request.address
    if bans and len(state.banned) >= MOST_BANS:
        return refuse(member, ErrorCode.TOO_MANY_BANS, most=MOST_BANS)
    target = request.member
    removed = state.seats[target]
    if bans:
        state.banned[target] = removed.account
    _note(state, target, seat.name)
    problem = Problem(ErrorCode.REMOVED, values={"by": seat.name})
    effects: Effects = [Bar(target)] if request.address else []
    effects += vacate(state, target, now, by=member)
    if not removed.lasting:  # in its dialect a farewell has no words
        effects.append(Tell(target, Refusal(problem)))
    effects.append(Disconnect(target, CloseCode.NORMAL, problem))
    return effects


def _refuse_target(state: State, target: MemberId, member: MemberId) -> Effects:
    """Refuse to put out whoever is not there, or must not be put out."""
    refusal = refuse_stranger(state, target, member)
    if refusal:
        return refusal
    if target == member:
        return refuse(member, ErrorCode.IS_YOURSELF, "member")
    return refuse(member, ErrorCode.IS_OWNER, "member") if state.seats[target].admin else []


def _note(state: State, target: MemberId, by: str) -> None:
    """Remember who has put somebody out, to be told if it comes back to its seat."""
    state.removed.pop(target, None)
    state.removed[target] = by
    if len(state.removed) > REMOVED_KNOWN:
        del state.removed[next(iter(state.removed))]
