"""Who leads an estimation room: its owner, and the facilitators beside it.

As a rule the room ends with its owner. Where the option ``owner_absence`` says ``claim`` it
*outlives* its owner instead: whoever of the facilitators has been here for longest becomes the
owner, of those with a connection if there are any; without a facilitator nobody leads the room,
until somebody claims it. Facilitators without an owner are never.

Only members that outlive their connections lead, except for the owner of a room that was opened
by a connection: nobody else is prompted in the other dialect. Such a room always ends with it.
"""

from protocol.changes import FacilitatorChanged, OwnerChanged, Unled
from protocol.effects import Own, Release, TellAll
from protocol.errors import ErrorCode
from protocol.estimation_names import called
from protocol.estimation_state import Seat, State, may
from protocol.estimation_telling import next_seq, tell_guests
from protocol.ids import MemberId
from protocol.lasting import Claim, Demote, HandOver, Promote
from protocol.messages import ADMIN_LEFT, NobodyLeads, OwnerNamed
from protocol.options import ClaimBy, OwnerAbsence
from protocol.refusals import (
    Effects,
    refuse,
    refuse_but_admin,
    refuse_stranger,
    refuse_unless,
)


def outlives_owner(state: State) -> bool:
    """Tell whether the room goes on when its owner is gone."""
    return state.options.owner_absence is OwnerAbsence.CLAIM and state.keyed


def follow_owner(state: State) -> Effects:
    """Let the room end with its owner, or with nobody, as its options say."""
    if outlives_owner(state) or state.admin is None:
        return [Release()]
    return [Own(state.admin, ADMIN_LEFT)]


def make_owner(state: State, member: MemberId) -> Effects:
    """Make a member the owner, in place of the one before if there is one."""
    seats = state.seats
    if state.admin is not None:
        seats[state.admin].admin = False
    seat = seats[member]
    seat.admin = seat.facilitator = True
    state.admin = member
    unled, state.unled_since = state.unled_since is not None, None
    return [
        *follow_owner(state),
        *tell_guests(state, OwnerNamed(called(seat))),
        TellAll(OwnerChanged(next_seq(state), member, may(state) if unled else None)),
    ]


def succeed(state: State, now: float) -> Effects:
    """Go on without the owner, whose seat has just been taken away."""
    leading = [key for key, seat in state.seats.items() if seat.facilitator]
    if leading:
        here = [key for key in leading if state.seats[key].here]
        return make_owner(state, (here or leading)[0])
    state.unled_since = now
    return [
        *tell_guests(state, NobodyLeads()),
        TellAll(Unled(next_seq(state), now, may(state))),
    ]


def promote(state: State, request: Promote, member: MemberId, seat: Seat, now: float) -> Effects:
    """Make a member a facilitator; nothing is told if it is one."""
    whom = request.member
    refusal = refuse_unless(state, member, "promote") or _refuse_as_leader(state, whom, member)
    return refusal or _set_facilitator(state, whom, facilitator=True)


def demote(state: State, request: Demote, member: MemberId, seat: Seat, now: float) -> Effects:
    """Let a facilitator lead no longer; nothing is told if it is none."""
    whom = request.member
    refusal = refuse_unless(state, member, "demote") or refuse_stranger(state, whom, member)
    if refusal:
        return refusal
    if whom == state.admin:
        return refuse(member, ErrorCode.OWNER_LEADS, "member")
    return _set_facilitator(state, whom, facilitator=False)


def hand_over(state: State, request: HandOver, member: MemberId, seat: Seat, now: float) -> Effects:
    """Make another member the owner; one that is away could end the room by not coming back."""
    whom = request.member
    refusal = refuse_but_admin(state, member, "hand_over") or _refuse_as_leader(state, whom, member)
    if refusal or whom == member:
        return refusal
    if not state.seats[whom].here:
        return refuse(member, ErrorCode.IS_AWAY, "member", name=called(state.seats[whom]))
    return make_owner(state, whom)


def claim(state: State, request: Claim, member: MemberId, seat: Seat, now: float) -> Effects:
    """Make a member the owner of a room that nobody leads."""
    if state.unled_since is None:
        return refuse(member, ErrorCode.IS_LED)
    if state.options.claim_by is ClaimBy.SIGNED_IN and seat.account is None:
        return refuse(member, ErrorCode.NOT_SIGNED_IN)
    return make_owner(state, member)


def _refuse_as_leader(state: State, whom: MemberId, member: MemberId) -> Effects:
    """Refuse to let somebody lead who is not here, or could not."""
    refusal = refuse_stranger(state, whom, member)
    if refusal or state.seats[whom].lasting:
        return refusal
    return refuse(member, ErrorCode.CANNOT_LEAD, "member", name=called(state.seats[whom]))


def _set_facilitator(state: State, whom: MemberId, *, facilitator: bool) -> Effects:
    seat = state.seats[whom]
    if seat.facilitator is facilitator:
        return []
    seat.facilitator = facilitator
    return [TellAll(FacilitatorChanged(next_seq(state), whom, facilitator))]
