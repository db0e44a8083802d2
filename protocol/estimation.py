"""The rules of an estimation room, as a state machine without I/O: its public face.

Nothing in the rules knows how a message looks on the wire or how it gets to a member. They are
functions that change a :class:`~protocol.estimation_state.State` and give what is to be done about
it, in modules of which each imports only those below it:

=========================  =======================================================================
module                     rules
=========================  =======================================================================
``estimation_requests``    numbered requests: carried out once, and answered whenever asked
``estimation_absence``     being away, coming back, time that is up, the server's restart
``estimation_removal``     putting somebody out
``estimation_timers``      the room's timer: what is asked of it, and its end
``estimation_people``      coming, leaving, ending the room
``estimation_door``        the lock, the passcode, and who may not come in
``estimation_leading``     who leads it: owners, facilitators, and what comes after them
``estimation_seats``       how many there are
``estimation_nudging``     reminding somebody of its vote
``estimation_options``     how the team wants the room to work
``estimation_roles``       who votes, and who only watches
``estimation_talk``        chat and reactions
``estimation_rounds``      a round: its beginning, its cards, its completion
``estimation_reveal``      a round's end
``estimation_afterwards``  what becomes of it then: votes that are changed, the final estimate
``estimation_names``       what members are called
``estimation_clock``       when the timer rings, and rounds that begin and end with it
``estimation_telling``     who is told, and by which number
``refusals``               saying no
``estimation_phases``      the table of phases
``estimation_state``       what is known; how it is stored and shown
=========================  =======================================================================

A new command is a function in one of them, and a row in :data:`COMMANDS`; a new request, a row in
``estimation_requests.REQUESTS``.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from protocol import estimation_state
from protocol.changes import Snapshot
from protocol.deck import DEFAULT_DECK, Deck
from protocol.effects import Disconnect, Tell
from protocol.errors import CloseCode, ErrorCode, Problem
from protocol.estimation_absence import NOBODY_CAME as NOBODY_CAME
from protocol.estimation_absence import come_back, detach, park, restart, time_up
from protocol.estimation_people import CLOSED as CLOSED
from protocol.estimation_people import announce, enter, join, leave
from protocol.estimation_phases import ENDED
from protocol.estimation_requests import answer
from protocol.estimation_reveal import reveal_votes
from protocol.estimation_rounds import begin_voting, cast_vote
from protocol.estimation_state import Phase as Phase
from protocol.estimation_state import Seat, State
from protocol.estimation_talk import react, tell_reactions
from protocol.greeting import Pong
from protocol.ids import MemberId, RoomId
from protocol.lasting import (
    Detach,
    Join,
    Numbered,
    Park,
    Ping,
    React,
    Restart,
    Return,
    TellReactions,
)
from protocol.limits import ANNOUNCE_SECONDS, ROUNDS
from protocol.messages import (
    Announce,
    BeginVoting,
    CastVote,
    Command,
    Enter,
    Leave,
    Refusal,
    Reject,
    RevealVotes,
    TimeUp,
)
from protocol.options import DEFAULTS, Options
from protocol.picture import Picture
from protocol.refusals import Effects


def _reject(state: State, command: Reject, member: MemberId, now: float) -> Effects:
    effects: Effects = [Tell(member, Refusal(command.problem))]
    if command.final:
        struck_out = Problem(ErrorCode.STRUCK_OUT)
        effects.append(Disconnect(member, CloseCode.POLICY, struck_out))
    return effects


def _pong(state: State, command: Ping, member: MemberId, now: float) -> Effects:
    return [Tell(member, Pong(now))]


COMMANDS: Final[Mapping[type, Callable[[State, Any, MemberId, float], Effects]]] = {
    Numbered: answer,
    CastVote: cast_vote,
    BeginVoting: begin_voting,
    RevealVotes: reveal_votes,
    Enter: enter,
    Announce: announce,
    Leave: leave,
    Join: join,
    Detach: detach,
    Return: come_back,
    TimeUp: time_up,
    Reject: _reject,
    Ping: _pong,
    React: react,
    TellReactions: tell_reactions,
    Park: park,
    Restart: restart,
}
"""What carries out each command, while the room has not ended; others do nothing."""


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
        options: Options = DEFAULTS,
        seal: str | None = None,
        opened_at: float = 0.0,
        keyed: bool = False,
        announce_seconds: float = ANNOUNCE_SECONDS,
        results_key: str = "",
        most_rounds: int = ROUNDS,
        most_capacity: int = 0,
    ) -> None:
        """Open a room.

        Args:
            room_id: the room's id, as members must name it.
            capacity: the number of seats.
            deck: the cards that may be voted with.
            name: what people call the room.
            grace_seconds: the seconds for which a member that joins keeps its seat without a
                connection.
            options: how the team wants it to work.
            seal: by which its passcode is recognised, if it has one.
            opened_at: when the room was opened, in seconds by its clock.
            keyed: whether the owner is who shows a key, and not who enters first.
            announce_seconds: the seconds that a member may take from its seat to its announcement.
            results_key: told to every member: it opens the room's results.
            most_rounds: rounds that can be revealed; after them no vote begins.
            most_capacity: seats up to which facilitators can raise the number of them.
        """
        self._state = State(
            room_id=room_id,
            capacity=capacity,
            deck=deck,
            name=name,
            grace_seconds=float(grace_seconds),
            options=options,
            seal=seal,
            opened_at=float(opened_at),
            keyed=keyed,
            numbering=keyed,
            rounds_left=most_rounds,
            most_capacity=most_capacity,
        )
        self._state.announce_seconds = announce_seconds
        self._state.results_key = results_key

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
        state.announce_seconds = announce_seconds
        state.results_key = results_key
        room = cls(state.room_id, state.capacity)
        room._state = state
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
    def rounds_left(self) -> int:
        """How many more rounds can be revealed."""
        return self._state.rounds_left

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
    def seal(self) -> str | None:
        """By which the room's passcode is recognised; ``None`` if it has none."""
        return self._state.seal

    def removed_by(self, member: MemberId) -> str | None:
        """Say who has put somebody out, as far as it is remembered; ``None`` if nobody has."""
        return self._state.removed.get(member)

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
        state = self._state
        if state.phase is ENDED:
            return []
        carry_out = COMMANDS.get(command.__class__)
        return carry_out(state, command, member, now) if carry_out is not None else []
