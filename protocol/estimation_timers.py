"""The timer of an estimation room: what facilitators ask of it, and what its end does."""

import attrs

from protocol.changes import TimeOver
from protocol.effects import ClearTimer, TellAll
from protocol.errors import ErrorCode
from protocol.estimation_clock import (
    paused,
    put,
    resumed,
    seconds_left,
    set_clock,
    started,
    take_away,
    turns_the_page,
)
from protocol.estimation_phases import REVEALING
from protocol.estimation_reveal import turn_over
from protocol.estimation_state import Seat, State, may
from protocol.estimation_telling import next_seq, tell_guests
from protocol.ids import MemberId
from protocol.lasting import (
    CLOCK,
    ExtendTimer,
    PauseTimer,
    ResumeTimer,
    StartTimer,
    StopTimer,
    TimerKind,
)
from protocol.limits import LONGEST_TIMER_SECONDS
from protocol.messages import TimerOver
from protocol.refusals import Effects, refuse, refuse_range, refuse_unless


def start_timer(
    state: State, request: StartTimer, member: MemberId, seat: Seat, now: float
) -> Effects:
    """Start a timer, in place of the one that there is."""
    running = state.phase in REVEALING
    kind = request.kind or (TimerKind.VOTING if running else TimerKind.DISCUSSION)
    refusal = refuse_unless(state, member, "start_timer") or refuse_range(
        member, "seconds", request.seconds, 1, LONGEST_TIMER_SECONDS
    )
    if refusal:
        return refusal
    if kind is TimerKind.VOTING and not running:
        return refuse(member, ErrorCode.NO_VOTE_RUNNING, "kind")
    return put(state, started(kind, request.seconds, member, now), now)


def pause_timer(
    state: State, request: PauseTimer, member: MemberId, seat: Seat, now: float
) -> Effects:
    """Let the timer stand still, with what it has left."""
    refusal = refuse_unless(state, member, "pause_timer")
    if refusal:
        return refusal
    if state.timer is None:
        return refuse(member, ErrorCode.NO_TIMER)
    if state.timer.deadline is None:
        return refuse(member, ErrorCode.TIMER_PAUSED)
    return put(state, paused(state.timer, now), now)


def resume_timer(
    state: State, request: ResumeTimer, member: MemberId, seat: Seat, now: float
) -> Effects:
    """Let the timer run for what it has left."""
    refusal = refuse_unless(state, member, "resume_timer")
    if refusal:
        return refusal
    if state.timer is None:
        return refuse(member, ErrorCode.NO_TIMER)
    if state.timer.deadline is not None:
        return refuse(member, ErrorCode.TIMER_RUNNING)
    return put(state, resumed(state.timer, now), now)


def extend_timer(
    state: State, request: ExtendTimer, member: MemberId, seat: Seat, now: float
) -> Effects:
    """Give the timer more time or less, whether it runs or is paused."""
    refusal = refuse_unless(state, member, "extend_timer")
    if refusal:
        return refusal
    timer, more = state.timer, request.seconds
    if timer is None:
        return refuse(member, ErrorCode.NO_TIMER)
    left = seconds_left(timer, now) + more
    if not 1 <= left <= LONGEST_TIMER_SECONDS:
        most = LONGEST_TIMER_SECONDS
        return refuse(member, ErrorCode.TIMER_SECONDS, "seconds", least=1, most=most)
    longer = attrs.evolve(paused(timer, now), seconds=timer.seconds + more, left=left)
    return put(state, longer if timer.deadline is None else resumed(longer, now), now)


def stop_timer(
    state: State, request: StopTimer, member: MemberId, seat: Seat, now: float
) -> Effects:
    """End the timer before its time."""
    refusal = refuse_unless(state, member, "stop_timer")
    if refusal:
        return refusal
    return refuse(member, ErrorCode.NO_TIMER) if state.timer is None else take_away(state)


def timer_up(state: State, now: float) -> Effects:
    """End the timer if its time is up, and the round with it if the team wants that.

    It may have been paused, stopped or given more time while this was on its way; then it does
    nothing but to ring again. So it does while the room rests, if its end turns the page.
    """
    timer = state.timer
    if timer is None or timer.deadline is None:
        return []
    reveals = turns_the_page(state, timer)
    if now < timer.deadline or (reveals and now < state.resting_until):
        return set_clock(state, now)
    state.timer = None
    # Whatever rang, another ring may be to come that was set later.
    effects: Effects = [ClearTimer(CLOCK)]
    effects.append(TellAll(TimeOver(next_seq(state), timer.kind, may(state))))
    effects += tell_guests(state, TimerOver(timer.kind))
    if reveals and state.votes:
        effects += turn_over(state, now)
    return effects
