"""Numbered requests to an estimation room: carried out once, and answered whenever asked."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from protocol.answers import Answers, answer_to
from protocol.changes import Failure
from protocol.effects import Tell
from protocol.errors import ErrorCode, Problem
from protocol.estimation_afterwards import set_estimate
from protocol.estimation_door import lock, seal_passcode
from protocol.estimation_leading import claim, demote, hand_over, promote
from protocol.estimation_names import rename
from protocol.estimation_nudging import nudge
from protocol.estimation_options import configure
from protocol.estimation_people import close_room, depart
from protocol.estimation_removal import kick
from protocol.estimation_reveal import reveal_round
from protocol.estimation_roles import change_role
from protocol.estimation_rounds import begin_round, cast_card, retract
from protocol.estimation_seats import raise_capacity
from protocol.estimation_state import Seat, State
from protocol.estimation_talk import say, unsay
from protocol.estimation_timers import (
    extend_timer,
    pause_timer,
    resume_timer,
    start_timer,
    stop_timer,
)
from protocol.ids import MemberId
from protocol.lasting import (
    BeginRound,
    CastCard,
    ChangeRole,
    Claim,
    CloseRoom,
    Configure,
    Demote,
    Depart,
    ExtendTimer,
    HandOver,
    Kick,
    Lock,
    Nudge,
    Numbered,
    PauseTimer,
    Promote,
    RaiseCapacity,
    Rename,
    ResumeTimer,
    Retract,
    RevealRound,
    SayHere,
    SealPasscode,
    SetEstimate,
    StartTimer,
    StopTimer,
    Unsay,
)
from protocol.refusals import Effects, refusal_in

REQUESTS: Final[Mapping[type, Callable[[State, Any, MemberId, Seat, float], Effects]]] = {
    CastCard: cast_card,
    Retract: retract,
    BeginRound: begin_round,
    RevealRound: reveal_round,
    SetEstimate: set_estimate,
    CloseRoom: close_room,
    Configure: configure,
    ChangeRole: change_role,
    Promote: promote,
    Demote: demote,
    HandOver: hand_over,
    Claim: claim,
    Rename: rename,
    RaiseCapacity: raise_capacity,
    Nudge: nudge,
    SealPasscode: seal_passcode,
    Lock: lock,
    Kick: kick,
    StartTimer: start_timer,
    PauseTimer: pause_timer,
    ResumeTimer: resume_timer,
    ExtendTimer: extend_timer,
    StopTimer: stop_timer,
    SayHere: say,
    Unsay: unsay,
    Depart: depart,
}
"""What carries out each: it changes the state and says so, or refuses and does nothing else."""

PAGE_TURNING: Final = (BeginRound, RevealRound, CloseRoom, HandOver, Claim)
"""What is not done while the room rests after a restart (``protocol.estimation_absence``)."""

_PARTING: Final = (CloseRoom, Depart)
"""What is answered before it is carried out, while whoever asks is still there."""


def answer(state: State, command: Numbered, member: MemberId, now: float) -> Effects:
    """Carry out a request once, and answer it, whenever it is asked."""
    seat = state.seats.get(member)
    if seat is None or not seat.lasting:
        return []
    answers, ref = seat.answers, command.ref
    known = answers.find(ref) if answers is not None else None
    if known is not None:
        return [Tell(member, known)]
    request = command.request
    kind = request.__class__
    if now < state.resting_until and kind in PAGE_TURNING:
        # Not remembered: it is to be asked again.
        left = int(state.resting_until - now) + 1
        resting = Problem(ErrorCode.RESTING, values={"seconds": left})
        return [Tell(member, Failure(ref, resting))]
    effects = REQUESTS[kind](state, request, member, seat, now)
    problem = refusal_in(effects, member)
    if problem is not None and problem.code is ErrorCode.TOO_MUCH:
        return [Tell(member, Failure(ref, problem))]  # as above
    answered = answer_to(ref, state.seq, problem)
    if answers is None:
        answers = seat.answers = Answers()
    answers.remember(answered)
    if problem is not None:
        return [Tell(member, answered)]
    if kind in _PARTING:
        return [Tell(member, answered), *effects]
    effects.append(Tell(member, answered))
    return effects
