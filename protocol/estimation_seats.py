"""How many seats an estimation room has: more, if a facilitator wants it, and never fewer."""

from protocol.changes import CapacityRaised
from protocol.effects import TellAll
from protocol.estimation_state import Seat, State
from protocol.estimation_telling import next_seq, tell_guests
from protocol.ids import MemberId
from protocol.lasting import RaiseCapacity
from protocol.messages import SeatsAdded
from protocol.refusals import Effects, refuse_range, refuse_unless


def raise_capacity(
    state: State, request: RaiseCapacity, member: MemberId, seat: Seat, now: float
) -> Effects:
    """Let the room have more seats; nothing is told if it has so many."""
    least, capacity = state.capacity, request.capacity
    most = max(least, state.most_capacity)
    refusal = refuse_unless(state, member, "capacity") or refuse_range(
        member, "capacity", capacity, least, most
    )
    if refusal or capacity == least:
        return refusal
    state.capacity = capacity
    return [
        *tell_guests(state, SeatsAdded(capacity)),
        TellAll(CapacityRaised(next_seq(state), capacity)),
    ]
