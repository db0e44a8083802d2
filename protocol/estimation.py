"""The rules of an estimation room, as a state machine without I/O.

Two rules keep this file readable: every change of phase is in the table, and nothing here
knows how a message looks on the wire or how it gets to a member.

===========  ==========================  ==========  =========================================
phase        trigger                     next phase  said
===========  ==========================  ==========  =========================================
GATHERING    every seat announced        READY       CapacityReached to all, TicketPrompt to admin
GATHERING    BeginVoting (admin)         VOTING      VoteRequested to all
READY        BeginVoting (admin)         VOTING      VoteRequested to all
VOTING       BeginVoting (admin) [1]     VOTING      VoteRequested to all
VOTING       everybody has voted         VOTED       VotingCompleted to all, RevealPrompt to admin
VOTING       RevealVotes (admin) [2]     READY       VotesRevealed to all, then as below
VOTED        RevealVotes (admin)         READY       VotesRevealed to all, TicketPrompt to admin,
                                                     AwaitingTicket to the others
any          Leave of the admin          ENDED       End
any          CloseRoom of the admin      ENDED       End
any          TimeUp, with no seat taken  ENDED       End
===========  ==========================  ==========  =========================================

[1] Another ticket, while there is no vote on the one before: it was mistyped, or thought better of.

[2] Early, so that somebody who is away from the keyboard cannot hold up the team; there must
be one vote at the least.

The *admin* is the room's owner, with whom it ends: the first to enter or, in a room that was
opened without a connection, the last to show its key.

There are two kinds of members. Those that :class:`~protocol.messages.Enter` are in the room with
their connection and no longer; they announce themselves. Those that
:class:`~protocol.lasting.Join` are announced at once and outlive their connection: without one they
are *away*, for the room's grace. Only for these are changes numbered (``protocol.changes``), from
the first of them on, and both kinds are told of everything, each in its own events.

*Present* is who has announced itself and not left, whether away or not; only they are the
audience, vote, and count for completion, unless they are spectators. A vote may be changed until
the reveal, also in VOTED. A member that comes while a vote is running is asked to vote and counts
from then on. Whoever voted and left is still listed in the reveal.
"""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Any, Final

from protocol import estimation_state
from protocol.answers import Answers, answer_to
from protocol.changes import (
    Begun,
    CameBack,
    Failure,
    Joined,
    Left,
    OwnerChanged,
    Revealed,
    Snapshot,
    Voted,
    WentAway,
)
from protocol.deck import DEFAULT_DECK, Deck
from protocol.effects import (
    ClearTimer,
    Disconnect,
    End,
    Greet,
    Own,
    Record,
    SetTimer,
    Sleep,
    Subscribe,
    Tell,
    TellAll,
    TellOthers,
)
from protocol.errors import CloseCode, ErrorCode, IllegalMove, Problem
from protocol.estimation_state import Phase as Phase
from protocol.estimation_state import Seat, State
from protocol.greeting import Pong
from protocol.ids import MemberId, RoomId
from protocol.lasting import (
    NOBODY,
    BeginRound,
    CastCard,
    CloseRoom,
    Depart,
    Detach,
    Join,
    Numbered,
    Park,
    Ping,
    Restart,
    Return,
    RevealRound,
    Role,
)
from protocol.limits import (
    ANNOUNCE_SECONDS,
    ASK_AGAIN_SECONDS,
    COMEBACK_SECONDS,
    EMPTY_SECONDS,
    REST_SECONDS,
    ROUNDS,
)
from protocol.messages import (
    ADMIN_LEFT,
    Announce,
    AwaitingTicket,
    BeginVoting,
    CapacityReached,
    CastVote,
    Command,
    Enter,
    Event,
    Leave,
    MemberJoined,
    MemberLeft,
    MemberPresent,
    Refusal,
    Reject,
    RevealPrompt,
    RevealVotes,
    RoomCreated,
    TicketId,
    TicketPrompt,
    TicketResult,
    TimeUp,
    Vote,
    VoteCast,
    VoteRequested,
    VotesRevealed,
    VotingCompleted,
    Welcome,
)
from protocol.picture import Picture, Shown, ShownVote, Stage, abilities
from protocol.refusals import Effects, refusal_in, refuse, turn_away
from protocol.statistics import summarize

NOBODY_CAME: Final = "nobody has come"
CLOSED: Final = "its owner has ended it"

_VOTES_PER_SEAT: Final = 4
"""Votes of one round that are kept for each seat: those of members who voted and left included."""


class Trigger(Enum):
    """What moves a room from phase to phase."""

    FULL = auto()
    BEGIN = auto()
    COMPLETE = auto()
    REVEAL = auto()
    END = auto()


TRANSITIONS: Final[Mapping[tuple[Phase, Trigger], Phase]] = {
    (Phase.GATHERING, Trigger.FULL): Phase.READY,
    (Phase.GATHERING, Trigger.BEGIN): Phase.VOTING,
    (Phase.READY, Trigger.BEGIN): Phase.VOTING,
    (Phase.VOTING, Trigger.BEGIN): Phase.VOTING,
    (Phase.VOTING, Trigger.COMPLETE): Phase.VOTED,
    (Phase.VOTING, Trigger.REVEAL): Phase.READY,
    (Phase.VOTED, Trigger.REVEAL): Phase.READY,
    **{(phase, Trigger.END): Phase.ENDED for phase in Phase if phase is not Phase.ENDED},
}

# Looking a member of an enumeration up by its class takes longer than all else that is asked of it.
_GATHERING, _VOTING, _VOTED, _ENDED = Phase.GATHERING, Phase.VOTING, Phase.VOTED, Phase.ENDED
_VOTER: Final = Role.VOTER
_PAGE_TURNING: Final = (BeginRound, RevealRound, CloseRoom)
_BEGINNING: Final = frozenset(phase for phase, trigger in TRANSITIONS if trigger is Trigger.BEGIN)
_REVEALING: Final = frozenset(phase for phase, trigger in TRANSITIONS if trigger is Trigger.REVEAL)


class Estimation:
    """One estimation room.

    Every command goes through :meth:`apply`, which returns what is to be done about it. It
    never raises on anything a member can send, in whatever order.
    """

    def __init__(
        self,
        room_id: RoomId,
        capacity: int,
        *,
        deck: Deck = DEFAULT_DECK,
        name: str = "",
        grace_seconds: float = 0.0,
        opened_at: float = 0.0,
        keyed: bool = False,
        announce_seconds: float = ANNOUNCE_SECONDS,
        results_key: str = "",
        most_rounds: int = ROUNDS,
    ) -> None:
        """Open a room.

        Args:
            room_id: the room's id, as members must name it.
            capacity: the number of seats.
            deck: the cards that may be voted with.
            name: what people call the room.
            grace_seconds: the seconds for which a member that joins keeps its seat without a
                connection.
            opened_at: when the room was opened, in seconds by its clock.
            keyed: whether the owner is who shows a key, and not who enters first.
            announce_seconds: the seconds that a member may take from its seat to its announcement.
            results_key: told to every member: it opens the room's results.
            most_rounds: rounds that can be revealed; after them no vote begins.
        """
        self._state = State(
            room_id=room_id,
            capacity=capacity,
            deck=deck,
            name=name,
            grace_seconds=float(grace_seconds),
            opened_at=float(opened_at),
            keyed=keyed,
            numbering=keyed,
            rounds_left=most_rounds,
        )
        self._deck = deck
        self._announce_seconds = announce_seconds
        self._results_key = results_key

    @classmethod
    def restore(
        cls,
        plain: dict[str, Any],
        *,
        announce_seconds: float = ANNOUNCE_SECONDS,
        results_key: str = "",
    ) -> "Estimation":
        """Make the room that gave this as its :meth:`snapshot`.

        Raises:
            ValueError: if it is of a version that is not understood.
            ClassValidationError: if it is something else altogether.
        """
        state = estimation_state.from_plain(plain)
        room = cls(
            state.room_id,
            state.capacity,
            announce_seconds=announce_seconds,
            results_key=results_key,
        )
        room._state = state
        room._deck = state.deck
        return room

    def snapshot(self) -> dict[str, Any]:
        """Give all that the room knows as plain data, secret votes included, for JSON."""
        return estimation_state.to_plain(self._state)

    @property
    def room_id(self) -> RoomId:
        """The room's id."""
        return self._state.room_id

    @property
    def capacity(self) -> int:
        """The number of seats."""
        return self._state.capacity

    @property
    def phase(self) -> Phase:
        """What the room is waiting for."""
        return self._state.phase

    @property
    def seq(self) -> int:
        """The number of the last change."""
        return self._state.seq

    @property
    def generation(self) -> int:
        """How often the room has been restarted."""
        return len(self._state.generations) - 1

    @property
    def lasting_members(self) -> Mapping[MemberId, Seat]:
        """The members that outlive their connections, for whoever makes tasks for them again."""
        return {member: seat for member, seat in self._state.seats.items() if seat.lasting}

    def login_of(self, member: MemberId) -> tuple[int, str] | None:
        """Say whose account a member is of, and by what it was signed in; ``None`` if of none."""
        seat = self._state.seats.get(member)
        if seat is None or seat.account is None or seat.login is None:
            return None
        return seat.account, seat.login

    @property
    def owner(self) -> MemberId | None:
        """The member with whom the room ends, if it has come yet."""
        return self._state.admin

    def picture(self) -> Picture:
        """Show the room as everybody in it may see it."""
        return estimation_state.picture(self._state)

    def snapshot_for(self, member: MemberId) -> Snapshot:
        """Show the room as one member may see it."""
        shown = self.picture()
        return Snapshot(shown, estimation_state.mine(self._state, shown, member))

    def apply(self, command: Command, member: MemberId, now: float) -> Effects:
        """Apply one command.

        Args:
            command: the thing asked for; commands of other kinds of rooms do nothing.
            member: the one who asks.
            now: the time by the room's clock in seconds, which never goes back.

        Returns:
            What is to be done, in order; empty once the room has ended.
        """
        if self._state.phase is _ENDED:
            return []
        match command:  # the most frequent first
            case CastVote():
                return self._cast(command, member)
            case Numbered():
                return self._answer(command, member, now)
            case BeginVoting(ticket_id):
                return self._begin(ticket_id, member, now)
            case RevealVotes():
                return self._reveal_ticket(command, member, now)
            case Enter():
                return self._enter(command, member, now)
            case Announce():
                return self._announce(command, member)
            case Join():
                return self._join(command, member, now)
            case Detach():
                return self._detach(member, now)
            case Return():
                return self._return(command, member, now)
            case Leave():
                return self._leave(member)
            case TimeUp():
                return self._time_up(member, now)
            case Reject():
                return self._reject(command, member)
            case Restart():
                return self._restart(now)
            case Park():
                self._state.parked = True
                return []
            case Ping():
                return [Tell(member, Pong(now))]
            case _:
                return []

    # --- coming and going -------------------------------------------------------------------

    def _enter(self, command: Enter, member: MemberId, now: float) -> Effects:
        state = self._state
        if len(state.seats) >= state.capacity:
            return self._turn_away_full(member)
        timer = SetTimer(member, self._announce_seconds)
        if state.admin is not None or state.keyed:
            state.seats[member] = Seat(command.name, admin=False, since=now)
            return [ClearTimer(NOBODY), timer] if state.keyed else [timer]
        state.seats[member] = Seat(command.name, admin=True, since=now)
        state.admin = member
        return [Own(member, ADMIN_LEFT), timer, Tell(member, RoomCreated(state.room_id))]

    def _announce(self, command: Announce, member: MemberId) -> Effects:
        state = self._state
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
            Tell(member, Welcome(state.room_id, self._results_key, self._deck)),
            *(
                Tell(member, MemberPresent(other.name, other.admin))
                for other in state.seats.values()
                if other.announced
            ),
            Subscribe(member),
            *self._appear(member, seat),
        ]
        if state.phase is _VOTING:
            effects.append(Tell(member, VoteRequested(state.ticket)))
        return effects + self._judge_capacity()

    def _join(self, command: Join, member: MemberId, now: float) -> Effects:
        state = self._state
        owns = command.owner and state.keyed
        # One more than there are: whoever holds the key must not be kept out by its own old seat.
        if len(state.seats) >= state.capacity + owns:
            return self._turn_away_full(member)
        first = owns and state.admin is None
        seat = Seat(
            command.name,
            admin=first,
            role=command.role,
            lasting=True,
            since=now,
            account=command.account,
            login=command.login,
        )
        state.numbering = True
        state.seats[member] = seat
        effects = [ClearTimer(NOBODY), *self._appear(member, seat)]
        if first:
            state.admin = member
            effects.append(Own(member, ADMIN_LEFT))
        elif owns:
            effects += self._hand_over(member, seat)
        effects += [Greet(member, None), Subscribe(member)]
        return effects + self._judge_capacity()

    def _appear(self, member: MemberId, seat: Seat) -> Effects:
        """Let a member be present from now on, and tell the audience."""
        state = self._state
        seat.announced = True
        state.announced += 1
        if state.numbering:  # whoever folds shows the latest last, however long it had its seat
            state.seats[member] = state.seats.pop(member)
        waited_for = state.phase is _VOTING and seat.role is _VOTER
        if waited_for:
            state.waited_for.add(member)
        state.guests += not seat.lasting
        effects = self._tell_guests(MemberJoined(seat.name, seat.admin))
        if state.numbering:
            shown = estimation_state.seated(member, seat, voted=False)
            effects.append(TellAll(Joined(self._next(), shown, waited_for)))
        return effects

    def _hand_over(self, member: MemberId, seat: Seat) -> Effects:
        """Make a member the owner in place of the one before."""
        state = self._state
        before = state.seats.get(state.admin) if state.admin is not None else None
        if before is not None:
            before.admin = False
        seat.admin = True
        state.admin = member
        return [Own(member, ADMIN_LEFT), TellAll(OwnerChanged(self._next(), member))]

    def _detach(self, member: MemberId, now: float) -> Effects:
        state = self._state
        seat = state.seats.get(member)
        if seat is None or not seat.lasting or not seat.here:
            return []
        if not state.grace_seconds:
            return self._expire(member)
        seat.here, seat.since = False, now
        if now < state.resting_until:  # perhaps it has not asked for everything again
            state.expected.add(member)
            state.resting_until = state.rest_ends
        return [
            SetTimer(member, state.grace_seconds),
            TellAll(WentAway(self._next(), member, now)),
        ]

    def _return(self, command: Return, member: MemberId, now: float) -> Effects:
        seat = self._state.seats.get(member)
        if seat is None or not seat.lasting:
            problem = Problem(ErrorCode.WRONG_KEY)
            return [Disconnect(member, CloseCode.NORMAL, problem)]
        effects: Effects = []
        if not seat.here:
            seat.here, seat.since = True, now
            effects += [ClearTimer(member), TellAll(CameBack(self._next(), member, now))]
        if now < self._state.resting_until:
            self._welcome_back(member, now)
        return [*effects, Greet(member, self._known(command)), Subscribe(member)]

    def _welcome_back(self, member: MemberId, now: float) -> None:
        """Take note that somebody is back; the last one has a moment to ask again."""
        state = self._state
        state.expected.discard(member)
        if not state.expected:
            state.resting_until = min(state.rest_ends, now + ASK_AGAIN_SECONDS)

    def _known(self, command: Return) -> int | None:
        """Give the number up to which whoever returns knows this room; ``None`` if it does not."""
        generations, seq = self._state.generations, command.seq
        following = command.generation + 1
        if seq is None or not 0 <= seq <= self._state.seq:
            return None
        if not 0 < following <= len(generations):
            return None
        if following < len(generations) and seq > generations[following]:
            return None
        return seq

    def _leave(self, member: MemberId, *, expired: bool = False) -> Effects:
        state = self._state
        seat = state.seats.pop(member, None)
        if seat is None:
            # Where nobody has ever entered, nobody knows the room's id.
            return [Sleep()] if state.admin is None and not state.keyed else []
        if member == state.admin:
            self._move(Trigger.END)
            return [End(ADMIN_LEFT)]
        effects: Effects = [ClearTimer(member)]
        if seat.announced:
            state.announced -= 1
            state.guests -= not seat.lasting
            state.waited_for.discard(member)
            state.expected.discard(member)
            effects += self._tell_guests(MemberLeft(seat.name))
        completed = self._judge_round()
        if seat.announced and state.numbering:
            complete = state.phase is _VOTED
            effects.append(TellAll(Left(self._next(), member, expired, complete)))
        effects += completed
        if not state.seats and state.keyed:
            # Who has only looked in must not end what its owner has yet to come to.
            effects.append(SetTimer(NOBODY, EMPTY_SECONDS))
        return effects

    def _time_up(self, member: MemberId, now: float) -> Effects:
        state = self._state
        if member == NOBODY:
            if state.seats:
                return []
            self._move(Trigger.END)
            return [End(NOBODY_CAME)]
        seat = state.seats.get(member)
        if seat is None:
            return []
        if not seat.announced:
            effects = turn_away(
                member, ErrorCode.ANNOUNCED_TOO_LATE, seconds=self._announce_seconds
            )
            return effects + self._leave(member)
        if seat.here:
            return []
        left = state.grace_seconds - (now - seat.since)
        if 0 < left <= state.grace_seconds:
            # It has come back and gone away again while this was on its way.
            return [SetTimer(member, left)]
        return self._expire(member)

    def _expire(self, member: MemberId) -> Effects:
        """Let a member go that has been away for too long."""
        owner = member == self._state.admin
        goodbye = Disconnect(member, CloseCode.NORMAL, Problem(ErrorCode.LEFT))
        return [*self._leave(member, expired=True), *([] if owner else [goodbye])]

    def _restart(self, now: float) -> Effects:
        """Let everybody be away, those whose connection was their membership for good."""
        state = self._state
        state.generations.append(state.seq)
        # Also who had not come back yet when the server died again: it has had no time to ask.
        state.expected = {
            member
            for member, seat in state.seats.items()
            if seat.lasting and ((seat.here and not state.parked) or member in state.expected)
        }
        state.parked = False
        state.rest_ends = now + REST_SECONDS if state.expected else 0.0
        state.resting_until = state.rest_ends
        if not state.seats:
            return [SetTimer(NOBODY, EMPTY_SECONDS)]
        effects: Effects = []
        for member, seat in list(state.seats.items()):
            if not seat.lasting:
                effects += self._leave(member)
                if state.phase is _ENDED:
                    return effects
                continue
            left = state.grace_seconds
            if seat.here:
                seat.here, seat.since = False, now
                effects.append(TellAll(WentAway(self._next(), member, now)))
            else:
                left -= max(0.0, now - seat.since)
            patience = max(left, min(COMEBACK_SECONDS, state.grace_seconds))
            effects.append(SetTimer(member, patience))
        if state.admin is not None:
            effects.append(Own(state.admin, ADMIN_LEFT))
        return effects

    def _judge_capacity(self) -> Effects:
        """Say once that every seat is taken and announced, and prompt if nothing else did."""
        state = self._state
        if state.told_full or state.announced < state.capacity:
            return []
        state.told_full = True
        effects = self._tell_guests(CapacityReached(state.capacity))
        if state.phase is _GATHERING and state.admin is not None:
            self._move(Trigger.FULL)
            effects += self._tell_admin(TicketPrompt(first=True))
        return effects

    # --- numbered requests ------------------------------------------------------------------

    def _answer(self, command: Numbered, member: MemberId, now: float) -> Effects:
        """Carry out a request once, and answer it, whenever it is asked."""
        seat = self._state.seats.get(member)
        if seat is None or not seat.lasting:
            return []
        answers, ref = seat.answers, command.ref
        known = answers.find(ref) if answers is not None else None
        if known is not None:
            return [Tell(member, known)]
        request = command.request
        if now < self._state.resting_until and isinstance(request, _PAGE_TURNING):
            # Not remembered: it is to be asked again.
            left = int(self._state.resting_until - now) + 1
            resting = Problem(ErrorCode.RESTING, values={"seconds": left})
            return [Tell(member, Failure(ref, resting))]
        if isinstance(request, CastCard):  # as a rule, and several times as fast as a match
            effects = self._cast_card(request.round, request.card, member, seat)
        else:
            effects = self._carry_out(request, member, now)
        problem = refusal_in(effects, member)
        answer = answer_to(ref, self._state.seq, problem)
        if answers is None:
            answers = seat.answers = Answers()
        answers.remember(answer)
        if problem is not None:
            return [Tell(member, answer)]
        kind = request.__class__
        if kind is Depart:
            goodbye = Disconnect(member, CloseCode.NORMAL, Problem(ErrorCode.LEFT))
            ended = any(isinstance(effect, End) for effect in effects)
            return [Tell(member, answer), *effects, *([] if ended else [goodbye])]
        if kind is CloseRoom:
            return [Tell(member, answer), *effects]
        effects.append(Tell(member, answer))
        return effects

    def _carry_out(
        self, request: BeginRound | RevealRound | CloseRoom | Depart, member: MemberId, now: float
    ) -> Effects:
        match request:
            case BeginRound(ticket):
                return self._begin(ticket, member, now)
            case RevealRound(number):
                return self._reveal_round(number, member, now)
            case CloseRoom():
                return self._refuse_but_admin(member, "close") or self._close()
            case Depart():
                return self._leave(member)

    def _close(self) -> Effects:
        self._move(Trigger.END)
        return [End(CLOSED)]

    # --- rounds -----------------------------------------------------------------------------

    def _begin(self, ticket: TicketId, member: MemberId, now: float) -> Effects:
        state = self._state
        refusal = self._refuse_but_admin(member, "begin")
        if refusal:
            return refusal
        if state.phase not in _BEGINNING or state.votes:
            return refuse(member, ErrorCode.VOTE_RUNNING, ticket_id=state.ticket)
        if state.phase is _VOTING and ticket == state.ticket:
            return refuse(member, ErrorCode.BEGUN_TWICE, ticket_id=state.ticket)
        if not state.rounds_left:
            return refuse(member, ErrorCode.TOO_MANY_ROUNDS)
        self._move(Trigger.BEGIN)
        state.round += 1
        state.ticket = ticket
        state.votes = {}
        state.waited_for = {
            key for key, seat in state.seats.items() if seat.announced and seat.role is _VOTER
        }
        state.began = now
        effects = self._tell_guests(VoteRequested(ticket))
        if state.numbering:
            may = abilities(Stage.VOTING, votes=False, rounds=True)
            waiting = estimation_state.waiting_for(state)
            begun = Begun(self._next(), state.round, ticket, now, waiting, may)
            effects.append(TellAll(begun))
        return effects

    def _cast(self, command: CastVote, member: MemberId) -> Effects:
        state = self._state
        seat = state.seats.get(member)
        if seat is None or not seat.announced:
            return self._refuse_unannounced(member)
        if seat.role is not _VOTER:
            return refuse(member, ErrorCode.SPECTATOR)
        if state.phase not in _REVEALING:
            return refuse(member, ErrorCode.NO_VOTE_RUNNING)
        if command.ticket_id != state.ticket:
            return self._refuse_ticket(member, command.ticket_id)
        if command.vote not in self._deck:
            return self._refuse_card(member, "vote")
        return self._put_down(command.vote, member, seat)

    def _cast_card(self, number: int, card: str, member: MemberId, seat: Seat) -> Effects:
        if seat.role is not _VOTER:
            return refuse(member, ErrorCode.SPECTATOR)
        refusal = self._refuse_round(number, member)
        if refusal:
            return refusal
        if card not in self._deck:
            return self._refuse_card(member, "card")
        return self._put_down(card, member, seat)

    def _put_down(self, card: str, member: MemberId, seat: Seat) -> Effects:
        state = self._state
        first = not state.votes
        state.votes[member] = Vote(member, seat.name, card)
        if len(state.votes) > _VOTES_PER_SEAT * state.capacity:
            self._forget_a_vote()
        state.waited_for.discard(member)
        effects: Effects = []
        if state.guests:  # asked here, since nothing is said as often as this
            effects.append(TellAll(VoteCast(seat.name, state.ticket)))
        completed = [] if state.waited_for else self._judge_round()
        if state.numbering:
            may = abilities(Stage.VOTING, votes=True, rounds=True) if first else None
            complete = state.phase is _VOTED
            effects.append(TellAll(Voted(self._next(), member, complete, may)))
        if completed:
            effects += completed
        return effects

    def _forget_a_vote(self) -> None:
        """Drop the oldest vote of somebody who has left: come and go as they may, a round ends."""
        votes = self._state.votes
        del votes[next(key for key in votes if key not in self._state.seats)]

    def _reveal_ticket(self, command: RevealVotes, member: MemberId, now: float) -> Effects:
        state = self._state
        refusal = self._refuse_but_admin(member, "reveal")
        if refusal:
            return refusal
        if state.phase not in _REVEALING:
            return refuse(member, ErrorCode.NO_VOTE_RUNNING)
        if command.ticket_id != state.ticket:
            return self._refuse_ticket(member, command.ticket_id)
        return self._reveal(member, now)

    def _reveal_round(self, number: int, member: MemberId, now: float) -> Effects:
        refusal = self._refuse_but_admin(member, "reveal") or self._refuse_round(number, member)
        return refusal or self._reveal(member, now)

    def _reveal(self, member: MemberId, now: float) -> Effects:
        state = self._state
        if not state.votes:
            return refuse(member, ErrorCode.NOBODY_VOTED, ticket_id=state.ticket)
        self._move(Trigger.REVEAL)
        state.rounds_left -= 1
        votes = tuple(state.votes.values())
        state.votes, state.waited_for = {}, set()
        seconds = now - state.began
        effects = self._tell_guests(VotesRevealed(state.ticket, votes))
        if state.numbering:
            state.shown = Shown(
                state.round,
                state.ticket,
                tuple(ShownVote(vote.member_id, vote.name, vote.value) for vote in votes),
                summarize([vote.value for vote in votes], self._deck),
                seconds,
            )
            may = abilities(Stage.REVEALED, votes=False, rounds=state.rounds_left > 0)
            effects.append(TellAll(Revealed(self._next(), state.shown, may)))
        effects.append(Record(TicketResult(state.ticket, votes, seconds, self._deck)))
        effects += self._tell_admin(TicketPrompt(first=False))
        if state.guests:
            effects.append(TellOthers(member, AwaitingTicket()))
        return effects

    def _judge_round(self) -> Effects:
        """Complete the round if nobody who is present is waited for."""
        state = self._state
        if state.phase is not _VOTING or state.waited_for or not state.votes:
            return []
        self._move(Trigger.COMPLETE)
        completed = self._tell_guests(VotingCompleted(state.ticket))
        return completed + self._tell_admin(RevealPrompt(state.ticket))

    # --- refusals ---------------------------------------------------------------------------

    def _reject(self, command: Reject, member: MemberId) -> Effects:
        effects: Effects = [Tell(member, Refusal(command.problem))]
        if command.final:
            struck_out = Problem(ErrorCode.STRUCK_OUT)
            effects.append(Disconnect(member, CloseCode.POLICY, struck_out))
        return effects

    def _refuse_but_admin(self, member: MemberId, deed: str) -> Effects:
        state = self._state
        if member != state.admin:
            return refuse(member, ErrorCode.NOT_ADMIN, deed=deed)
        if not state.seats[member].announced:
            return self._refuse_unannounced(member)
        return []

    def _refuse_unannounced(self, member: MemberId) -> Effects:
        return refuse(member, ErrorCode.NOT_ANNOUNCED)

    def _refuse_ticket(self, member: MemberId, given: TicketId) -> Effects:
        ticket_id = self._state.ticket
        return refuse(member, ErrorCode.WRONG_TICKET, "ticket_id", ticket_id=ticket_id, given=given)

    def _refuse_round(self, given: int, member: MemberId) -> Effects:
        state = self._state
        if state.phase not in _REVEALING:
            return refuse(member, ErrorCode.NO_VOTE_RUNNING)
        if given != state.round:
            return refuse(member, ErrorCode.WRONG_ROUND, "round", round=state.round, given=given)
        return []

    def _refuse_card(self, member: MemberId, field: str) -> Effects:
        return refuse(member, ErrorCode.NOT_IN_DECK, field, cards=self._deck.spelled)

    def _turn_away_full(self, member: MemberId) -> Effects:
        state = self._state
        return turn_away(
            member, ErrorCode.ROOM_FULL, room_id=state.room_id, capacity=state.capacity
        )

    # --- small change -----------------------------------------------------------------------

    def _move(self, trigger: Trigger) -> None:
        state = self._state
        try:
            state.phase = TRANSITIONS[state.phase, trigger]
        except KeyError:
            raise IllegalMove(state.phase, trigger) from None

    def _next(self) -> int:
        """Give the number of the change that has just been made."""
        self._state.seq += 1
        return self._state.seq

    def _tell_guests(self, event: Event) -> Effects:
        """Tell all members who end with their connections; they alone know such events."""
        return [TellAll(event)] if self._state.guests else []

    def _tell_admin(self, event: TicketPrompt | RevealPrompt) -> Effects:
        """Prompt the admin; one that outlives its connection sees by itself what to do."""
        admin = self._state.admin
        if admin is None:
            raise AssertionError("nobody is prompted before the admin has entered")
        return [] if self._state.seats[admin].lasting else [Tell(admin, event)]
