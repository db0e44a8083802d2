"""The timer of an estimation room: when it rings, and what rounds do to it.

There is one at the most. Its deadline is absolute, by the server's clock, so it runs on while there
is no server; whoever starts the room again asks :func:`set_clock` for what is left of it.
"""

from math import ceil

import attrs

from protocol.changes import TimerChanged
from protocol.effects import ClearTimer, SetTimer, TellAll
from protocol.estimation_state import State, may
from protocol.estimation_telling import next_seq, tell_guests
from protocol.ids import MemberId
from protocol.lasting import CLOCK, TimerKind
from protocol.messages import TimerSet
from protocol.options import VotingEnds
from protocol.picture import Timer
from protocol.refusals import Effects


def seconds_left(timer: Timer, now: float) -> float:
    """Say how much time a timer has left; none if it is only about to ring."""
    if timer.deadline is None:
        return timer.left or 0.0
    return max(0.0, timer.deadline - now)


def started(kind: TimerKind, seconds: int, by: MemberId | None, now: float) -> Timer:
    """Make a timer that starts now."""
    return Timer(kind, seconds, now + seconds, None, by)


def set_clock(state: State, now: float) -> Effects:
    """Have the timer ring when it is due; nothing if there is none, or if it is paused."""
    timer = state.timer
    if timer is None or timer.deadline is None:
        return []
    due = timer.deadline
    if turns_the_page(state, timer):
        due = max(due, state.resting_until)
    return [SetTimer(CLOCK, max(0.0, due - now))]


def turns_the_page(state: State, timer: Timer) -> bool:
    """Tell whether the end of this timer may be that of a round, which waits while the room rests.

    Also if nobody has voted: those who have may yet have to ask again.
    """
    ends = state.options.voting_ends
    return timer.kind is TimerKind.VOTING and ends is VotingEnds.REVEAL


def put(state: State, timer: Timer, now: float) -> Effects:
    """Let a timer be the room's, in place of the one before, and tell everybody."""
    state.timer = timer
    effects: Effects = [TellAll(TimerChanged(next_seq(state), timer, may(state)))]
    if timer.deadline is None:
        return [ClearTimer(CLOCK), *effects]
    if state.guests:
        effects += tell_guests(state, TimerSet(timer.kind, ceil(seconds_left(timer, now))))
    return [*set_clock(state, now), *effects]


def take_away(state: State) -> Effects:
    """Let there be no timer any more, before its time, and tell everybody."""
    state.timer = None
    return [ClearTimer(CLOCK), TellAll(TimerChanged(next_seq(state), None, may(state)))]


def paused(timer: Timer, now: float) -> Timer:
    """Make of a timer one that stands still."""
    return attrs.evolve(timer, deadline=None, left=seconds_left(timer, now))


def resumed(timer: Timer, now: float) -> Timer:
    """Make of a timer that stands still one that runs."""
    return attrs.evolve(timer, deadline=now + seconds_left(timer, now), left=None)


# --- rounds -------------------------------------------------------------------------------------


def begin_with_round(state: State, now: float) -> Effects:
    """Start the timer that the room's options ask for in each round."""
    return put(state, started(TimerKind.VOTING, state.options.voting_seconds, None, now), now)


def end_with_round(state: State) -> Effects:
    """Take the timer away that is for voting in a round that is over; others go on."""
    if state.timer is None or state.timer.kind is not TimerKind.VOTING:
        return []
    return take_away(state)
