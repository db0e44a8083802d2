"""Being away from an estimation room: connections end and come back, and so does the server.

A member that outlives its connection is *away* without one, for the room's grace; then it is gone.
:class:`~protocol.messages.TimeUp` ends what is waited for in vain: a member's announcement, its
return, or that anybody comes at all.

After a restart the room *rests*: nobody turns the page until those who were here have had the time
to come back, and to ask again for what the last server acknowledged and did not keep.
"""

from typing import Final

from protocol.changes import CameBack, WentAway
from protocol.effects import ClearTimer, Disconnect, End, Greet, Own, SetTimer, Subscribe, TellAll
from protocol.errors import CloseCode, ErrorCode, Problem
from protocol.estimation_clock import set_clock
from protocol.estimation_leading import outlives_owner
from protocol.estimation_people import part_with, vacate
from protocol.estimation_phases import ENDED, Trigger, move
from protocol.estimation_rounds import judge_round
from protocol.estimation_state import State
from protocol.estimation_telling import next_seq
from protocol.estimation_timers import timer_up
from protocol.ids import MemberId
from protocol.lasting import CLOCK, NOBODY, RESTED, Detach, Park, Restart, Return
from protocol.limits import ASK_AGAIN_SECONDS, COMEBACK_SECONDS, EMPTY_SECONDS, REST_SECONDS
from protocol.messages import ADMIN_LEFT, TimeUp
from protocol.refusals import Effects, turn_away

NOBODY_CAME: Final = "nobody has come"


def detach(state: State, command: Detach, member: MemberId, now: float) -> Effects:
    """Let a member be away that has no connection any more."""
    seat = state.seats.get(member)
    if seat is None or not seat.lasting or not seat.here:
        return []
    if not state.grace_seconds:
        return _expire(state, member, now)
    seat.here, seat.since = False, now
    if now < state.resting_until:  # perhaps it has not asked for everything again
        state.expected.add(member)
        state.resting_until = state.rest_ends
    return [
        SetTimer(member, state.grace_seconds),
        TellAll(WentAway(next_seq(state), member, now)),
        *judge_round(state, now),
    ]


def come_back(state: State, command: Return, member: MemberId, now: float) -> Effects:
    """Let a member be here that has a connection again, and tell it what it has missed."""
    seat = state.seats.get(member)
    if seat is None or not seat.lasting:
        problem = Problem(ErrorCode.WRONG_KEY)
        return [Disconnect(member, CloseCode.NORMAL, problem)]
    effects: Effects = []
    if not seat.here:
        seat.here, seat.since = True, now
        effects += [ClearTimer(member), TellAll(CameBack(next_seq(state), member, now))]
    if now < state.resting_until:
        _welcome_back(state, member, now)
        effects += set_clock(state, now)  # what waits for the rest may be due earlier
    effects += judge_round(state, now)
    return [*effects, Greet(member, _known(state, command)), Subscribe(member)]


def _welcome_back(state: State, member: MemberId, now: float) -> None:
    """Take note that somebody is back; the last one has a moment to ask again."""
    state.expected.discard(member)
    if not state.expected:
        state.resting_until = min(state.rest_ends, now + ASK_AGAIN_SECONDS)


def _known(state: State, command: Return) -> int | None:
    """Give the number up to which whoever returns knows this room; ``None`` if it does not."""
    generations, seq = state.generations, command.seq
    following = command.generation + 1
    if seq is None or not state.told_anew <= seq <= state.seq:
        return None
    if not 0 < following <= len(generations):
        return None
    if following < len(generations) and seq > generations[following]:
        return None
    return seq


def time_up(state: State, command: TimeUp, member: MemberId, now: float) -> Effects:
    """Wait no longer for a member, or for anybody to come."""
    if member == RESTED:
        return judge_round(state, now)
    if member == NOBODY:
        if state.seats:
            return []
        move(state, Trigger.END)
        return [End(NOBODY_CAME)]
    if member == CLOCK:
        return timer_up(state, now)
    seat = state.seats.get(member)
    if seat is None:
        return []
    if not seat.announced:
        effects = turn_away(member, ErrorCode.ANNOUNCED_TOO_LATE, seconds=state.announce_seconds)
        return effects + vacate(state, member, now)
    if seat.here:
        return []
    left = state.grace_seconds - (now - seat.since)
    if 0 < left <= state.grace_seconds:
        # It has come back and gone away again while this was on its way.
        return [SetTimer(member, left)]
    return _expire(state, member, now)


def _expire(state: State, member: MemberId, now: float) -> Effects:
    """Let a member go that has been away for too long."""
    return part_with(state, member, now, expired=True)


def park(state: State, command: Park, member: MemberId, now: float) -> Effects:
    """Take note that nobody has to ask again after the restart that follows."""
    state.parked = True
    return []


def restart(state: State, command: Restart, member: MemberId, now: float) -> Effects:
    """Let everybody be away, those whose connection was their membership for good."""
    state.generations.append(state.seq)
    # Also who had not come back yet when the server died again: it has had no time to ask.
    state.expected = {
        key
        for key, seat in state.seats.items()
        if seat.lasting and ((seat.here and not state.parked) or key in state.expected)
    }
    state.parked = False
    state.rest_ends = now + REST_SECONDS if state.expected else 0.0
    state.resting_until = state.rest_ends
    were_here = {key for key, seat in state.seats.items() if seat.lasting and seat.here}
    if were_here or now < state.returning_until:
        state.returning_until = now + REST_SECONDS
    for seat in state.seats.values():
        seat.here = False  # all at once, so that nobody is there to whom a round could be revealed
    effects = set_clock(state, now)
    if not state.seats:
        return [*effects, SetTimer(NOBODY, EMPTY_SECONDS)]
    for key, seat in list(state.seats.items()):
        if not seat.lasting:
            effects += vacate(state, key, now)
            if state.phase is ENDED:
                return effects
            continue
        left = state.grace_seconds
        if key in were_here:
            seat.since = now
            effects.append(TellAll(WentAway(next_seq(state), key, now)))
        else:
            left -= max(0.0, now - seat.since)
        patience = max(left, min(COMEBACK_SECONDS, state.grace_seconds))
        effects.append(SetTimer(key, patience))
    if state.admin is not None and not outlives_owner(state):
        effects.append(Own(state.admin, ADMIN_LEFT))
    return effects
