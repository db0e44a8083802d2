"""What the members of an estimation room are called, and how two of one name are told apart.

Each has a number beside its name, its *tag*: 1, or the lowest by which nobody else is called so.
It stays the same for as long as the name does, whoever leaves. Where there is nothing but text,
as in results and in the other dialect, it stands behind the name: ``Ann (2)``.
"""

from protocol.changes import Renamed
from protocol.effects import TellAll
from protocol.errors import ErrorCode
from protocol.estimation_state import Seat, State
from protocol.estimation_telling import next_seq, tell_guests
from protocol.ids import MemberId
from protocol.lasting import Rename
from protocol.messages import MemberRenamed
from protocol.refusals import Effects, refuse


def called(seat: Seat) -> str:
    """Give a member's name as text, with its tag if it has one to speak of."""
    return seat.name if seat.tag == 1 else _label(seat.name, seat.tag)


def _label(name: str, tag: int) -> str:
    return name if tag == 1 else f"{name} ({tag})"


def tell_apart(state: State, seat: Seat) -> None:
    """Give a member, whose seat is not that of anybody present yet or has a new name, its tag."""
    taken = {
        other.name if other.tag == 1 else called(other)
        for other in state.seats.values()
        if other.announced and other is not seat
    }
    tag = 1
    while _label(seat.name, tag) in taken:
        tag += 1
    seat.tag = tag


def rename(state: State, request: Rename, member: MemberId, seat: Seat, now: float) -> Effects:
    """Let a member be called otherwise; nothing is told if that is its name."""
    if seat.account is not None:
        return refuse(member, ErrorCode.NAME_OF_ACCOUNT)
    if request.name == seat.name:
        return []
    before = called(seat)
    seat.name = request.name
    tell_apart(state, seat)
    return [
        *tell_guests(state, MemberRenamed(before, called(seat))),
        TellAll(Renamed(next_seq(state), member, seat.name, seat.tag)),
    ]
