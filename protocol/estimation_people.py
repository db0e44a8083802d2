"""Who is in an estimation room: how its members come, and how they leave for good.

The *admin* is the room's owner: the first to enter or, in a room that was opened without a
connection, the last to show its key, unless it has passed on (``protocol.estimation_leading``).

There are two kinds of members. Those that :class:`~protocol.messages.Enter` are in the room with
their connection and no longer; they announce themselves. Those that
:class:`~protocol.lasting.Join` are announced at once and outlive their connection; see
``protocol.estimation_absence``. Only for these are changes numbered (``protocol.changes``), from
the first of them on, and both kinds are told of everything, each in its own events.

*Present* is who has announced itself and not left, whether away or not; only they are the
audience, vote, and count for completion, unless they are spectators.
"""

from typing import Final

from protocol.changes import Joined, Left
from protocol.effects import (
    ClearTimer,
    Disconnect,
    End,
    Greet,
    Own,
    SetTimer,
    Sleep,
    Subscribe,
    Tell,
    TellAll,
)
from protocol.errors import CloseCode, ErrorCode, Problem
from protocol.estimation_door import turn_away_newcomer, turn_away_visitor
from protocol.estimation_leading import follow_owner, make_owner, outlives_owner, succeed
from protocol.estimation_names import called, tell_apart
from protocol.estimation_phases import ENDED, GATHERING, REVEALING, VOTING, Trigger, move
from protocol.estimation_rounds import judge_round
from protocol.estimation_state import Seat, State, seated
from protocol.estimation_telling import next_seq, tell_admin, tell_guests
from protocol.ids import MemberId
from protocol.lasting import NOBODY, CloseRoom, Depart, Join, Role
from protocol.limits import EMPTY_SECONDS
from protocol.messages import (
    ADMIN_LEFT,
    Announce,
    CapacityReached,
    Enter,
    Leave,
    MemberJoined,
    MemberLeft,
    MemberPresent,
    RoomCreated,
    TicketPrompt,
    VoteRequested,
    Welcome,
)
from protocol.refusals import Effects, refuse, refuse_but_admin, turn_away

CLOSED: Final = "its owner has ended it"

# --- coming -------------------------------------------------------------------------------------


def enter(state: State, command: Enter, member: MemberId, now: float) -> Effects:
    """Give a seat to a member that ends with its connection, and time to announce itself."""
    refusal = turn_away_visitor(state, member)
    if refusal:
        return refusal
    if len(state.seats) >= state.capacity:
        return _turn_away_full(state, member)
    timer = SetTimer(member, state.announce_seconds)
    if state.admin is not None or state.keyed:
        state.seats[member] = Seat(command.name, admin=False, since=now)
        return [ClearTimer(NOBODY), timer] if state.keyed else [timer]
    state.seats[member] = Seat(command.name, admin=True, facilitator=True, since=now)
    state.admin = member
    return [Own(member, ADMIN_LEFT), timer, Tell(member, RoomCreated(state.room_id))]


def announce(state: State, command: Announce, member: MemberId, now: float) -> Effects:
    """Let a member that has entered be present."""
    seat = state.seats.get(member)
    if seat is None:
        return []
    if command.room_id != state.room_id:
        return refuse(
            member,
            ErrorCode.WRONG_ROOM,
            "room_id",
            room_id=state.room_id,
            given=command.room_id,
        )
    if seat.announced:
        return refuse(member, ErrorCode.ANNOUNCED_TWICE)
    effects: Effects = [
        ClearTimer(member),
        Tell(member, Welcome(state.room_id, state.results_key, state.deck)),
        *(
            Tell(member, MemberPresent(called(other), other.admin))
            for other in state.seats.values()
            if other.announced
        ),
        Subscribe(member),
        *_appear(state, member, seat),
    ]
    if state.phase is VOTING:
        effects.append(Tell(member, VoteRequested(state.ticket)))
    return effects + _judge_capacity(state) + judge_round(state, now)


def join(state: State, command: Join, member: MemberId, now: float) -> Effects:
    """Give a seat to a member that outlives its connection, and let it be present."""
    owns = command.owner and state.keyed
    refusal = [] if owns else turn_away_newcomer(state, command, member)
    if refusal:
        return refusal
    # One more than there are: whoever holds the key must not be kept out by its own old seat.
    if len(state.seats) >= state.capacity + owns:
        return _turn_away_full(state, member)
    # A room that may be claimed was led before, so that its new owner is a change.
    first = owns and state.admin is None and state.unled_since is None
    seat = Seat(
        command.name,
        admin=first,
        facilitator=first,
        role=command.role,
        lasting=True,
        since=now,
        account=command.account,
        login=command.login,
    )
    state.numbering = True
    state.seats[member] = seat
    effects = [ClearTimer(NOBODY), *_appear(state, member, seat)]
    if first:
        state.admin = member
        effects += follow_owner(state)
    elif owns:
        effects += make_owner(state, member)
    # Before it is greeted, as it is told the room as it is after all that.
    effects += [*judge_round(state, now), Greet(member, None), Subscribe(member)]
    return effects + _judge_capacity(state)


def _appear(state: State, member: MemberId, seat: Seat) -> Effects:
    """Let a member be present from now on, and tell the audience."""
    tell_apart(state, seat)
    seat.announced = True
    state.announced += 1
    if state.numbering:  # whoever folds shows the latest last, however long it had its seat
        state.seats[member] = state.seats.pop(member)
    # Who has voted and left may come again as the same member: its vote still counts.
    voted = state.phase in REVEALING and member in state.votes
    waited_for = state.phase is VOTING and seat.role is Role.VOTER and not voted
    if waited_for:
        state.waited_for.add(member)
    state.guests += not seat.lasting
    effects = tell_guests(state, MemberJoined(called(seat), seat.admin))
    if state.numbering:
        shown = seated(member, seat, voted=voted)
        effects.append(TellAll(Joined(next_seq(state), shown, waited_for)))
    return effects


def _judge_capacity(state: State) -> Effects:
    """Say once that every seat is taken and announced, and prompt if nothing else did."""
    if state.told_full or state.announced < state.capacity:
        return []
    state.told_full = True
    effects = tell_guests(state, CapacityReached(state.capacity))
    if state.phase is GATHERING and state.admin is not None:
        move(state, Trigger.FULL)
        effects += tell_admin(state, TicketPrompt(first=True))
    return effects


def _turn_away_full(state: State, member: MemberId) -> Effects:
    return turn_away(member, ErrorCode.ROOM_FULL, room_id=state.room_id, capacity=state.capacity)


# --- going --------------------------------------------------------------------------------------


def leave(state: State, command: Leave, member: MemberId, now: float) -> Effects:
    """Let a member go whose connection has ended, and that ends with it."""
    return vacate(state, member, now)


def depart(state: State, request: Depart, member: MemberId, seat: Seat, now: float) -> Effects:
    """Let a member go that asks for it."""
    return part_with(state, member, now)


def close_room(
    state: State, request: CloseRoom, member: MemberId, seat: Seat, now: float
) -> Effects:
    """End the room for everybody."""
    refusal = refuse_but_admin(state, member, "close")
    if refusal:
        return refusal
    move(state, Trigger.END)
    return [End(CLOSED)]


def part_with(state: State, member: MemberId, now: float, *, expired: bool = False) -> Effects:
    """Take a member's seat away, and its connection, unless that ends with the room."""
    effects = vacate(state, member, now, expired=expired)
    if state.phase is not ENDED:
        effects.append(Disconnect(member, CloseCode.NORMAL, Problem(ErrorCode.LEFT)))
    return effects


def vacate(
    state: State,
    member: MemberId,
    now: float,
    *,
    expired: bool = False,
    by: MemberId | None = None,
) -> Effects:
    """Take a member's seat away, if it has one, and tell the audience.

    Args:
        state: the room.
        member: whose seat.
        now: the time.
        expired: it has been away for too long.
        by: who has put it out, if somebody has.
    """
    seat = state.seats.pop(member, None)
    if seat is None:
        # Where nobody has ever entered, nobody knows the room's id.
        return [Sleep()] if state.admin is None and not state.keyed else []
    if member == state.admin and not outlives_owner(state):
        move(state, Trigger.END)
        return [End(ADMIN_LEFT)]
    effects: Effects = [ClearTimer(member)]
    owned = member == state.admin
    if owned:
        state.admin = None
    if seat.announced:
        state.announced -= 1
        state.guests -= not seat.lasting
        state.waited_for.discard(member)
        state.expected.discard(member)
        remover = None if by is None else called(state.seats[by])
        effects += tell_guests(state, MemberLeft(called(seat), remover))
    if seat.announced and state.numbering:
        complete = bool(state.votes) and not state.waited_for
        effects.append(TellAll(Left(next_seq(state), member, expired, complete, by)))
    effects += judge_round(state, now)
    if owned:
        effects += succeed(state, now)
    if not state.seats and state.keyed:
        # Who has only looked in must not end what its owner has yet to come to.
        effects.append(SetTimer(NOBODY, EMPTY_SECONDS))
    return effects
