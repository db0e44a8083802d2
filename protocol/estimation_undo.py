"""What was done last is taken back, as an event of its own; votes and reveals never are.

There is one step: what is taken back is not brought again by a second request.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from protocol.effects import Tell
from protocol.errors import ErrorCode, Refused
from protocol.estimation_backlog import tell_added, tell_moved, tell_removed, tell_replaced
from protocol.estimation_state import Seat, State
from protocol.ids import MemberId
from protocol.lasting import Undo
from protocol.messages import Refusal
from protocol.refusals import Effects, refuse, refuse_unless
from protocol.undo import MoveBack, PutBack, Restore, TakeOut


def undo(state: State, request: Undo, member: MemberId, seat: Seat, now: float) -> Effects:
    """Take back what was done last, for anybody who might have done it."""
    refusal = refuse_unless(state, member, "undo", state.options.backlog_by)
    if refusal:
        return refusal
    inverse = state.undo
    if inverse is None or request.seq not in {None, inverse.shown.seq}:
        return refuse(member, ErrorCode.NOTHING_TO_UNDO, "seq")
    try:
        effects = _TAKE_BACK[inverse.back.__class__](state, inverse.back, inverse.shown.seq)
    except Refused as refused:
        return [Tell(member, Refusal(refused.problem))]
    state.undo = None
    return effects


def _take_out(state: State, back: TakeOut, seq: int) -> Effects:
    removed = [state.backlog.remove(ticket) for ticket in back.added]
    return tell_removed(state, removed, undo=None, undoes=seq)


def _put_back(state: State, back: PutBack, seq: int) -> Effects:
    return tell_added(state, state.backlog.put_back(back.removed), undo=None, undoes=seq)


def _restore(state: State, back: Restore, seq: int) -> Effects:
    replaced = state.backlog.restore(back.old)
    if replaced is None:
        raise AssertionError("whatever else changes a ticket takes the place of this inverse")
    return tell_replaced(state, replaced, undo=None, undoes=seq)


def _move_back(state: State, back: MoveBack, seq: int) -> Effects:
    moved = state.backlog.move(back.moved, back.before)
    if moved is None:
        raise AssertionError("whatever else moves a ticket takes the place of this inverse")
    return tell_moved(state, moved, undo=None, undoes=seq)


_TAKE_BACK: Final[Mapping[type, Callable[[State, Any, int], Effects]]] = {
    TakeOut: _take_out,
    PutBack: _put_back,
    Restore: _restore,
    MoveBack: _move_back,
}
"""What takes back each; every ticket that it names is there, since nothing was done since."""
