"""The door of an estimation room: its lock, its passcode, and who may not come in.

A passcode is compared by whoever lets people in; here it is known as a seal alone, so that neither
the log nor a snapshot of the room gives it away. Members that end with their connections cannot
say one.

Whoever has a seat already, and comes back to it, passes no door; the owner's key opens any.
"""

from protocol.changes import DoorChanged
from protocol.effects import TellAll
from protocol.errors import ErrorCode
from protocol.estimation_state import Seat, State
from protocol.estimation_telling import next_seq
from protocol.ids import MemberId
from protocol.lasting import Join, Lock, SealPasscode
from protocol.refusals import Effects, refuse_unless, turn_away


def lock(state: State, request: Lock, member: MemberId, seat: Seat, now: float) -> Effects:
    """Let nobody new in any more, or again; nothing is told if nothing is another."""
    refusal = refuse_unless(state, member, "lock")
    if refusal:
        return refusal
    if request.locked == state.locked:
        return []
    state.locked = request.locked
    return _tell_door(state)


def seal_passcode(
    state: State, request: SealPasscode, member: MemberId, seat: Seat, now: float
) -> Effects:
    """Have newcomers say a passcode, another one, or none; another one is told to nobody."""
    refusal = refuse_unless(state, member, "passcode")
    if refusal:
        return refusal
    had, state.seal = state.seal, request.seal
    return [] if (had is None) is (state.seal is None) else _tell_door(state)


def turn_away_visitor(state: State, member: MemberId) -> Effects:
    """Refuse a seat to a newcomer that ends with its connection, where it may not have one."""
    if state.locked:
        return turn_away(member, ErrorCode.LOCKED)
    return [] if state.seal is None else turn_away(member, ErrorCode.NEEDS_PASSCODE)


def turn_away_newcomer(state: State, command: Join, member: MemberId) -> Effects:
    """Refuse a seat to a newcomer without the owner's key, where it may not have one."""
    if state.banned and (
        member in state.banned
        or (command.account is not None and command.account in state.banned.values())
    ):
        return turn_away(member, ErrorCode.BANNED)
    return turn_away(member, ErrorCode.LOCKED) if state.locked else []


def _tell_door(state: State) -> Effects:
    change = DoorChanged(next_seq(state), state.locked, state.seal is not None)
    return [TellAll(change)]
