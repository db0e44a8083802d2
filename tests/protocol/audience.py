"""Carries out what the rules ask for, as a room would, and remembers who heard what.

What holds for every effect in whatever situation is asserted here, so that each test of the
rules checks it as well.
"""

from typing import Final

from protocol.deck import DEFAULT_DECK, Deck
from protocol.effects import (
    ClearTimer,
    Disconnect,
    Effect,
    End,
    Own,
    Record,
    SetTimer,
    Sleep,
    Subscribe,
    Tell,
    TellAll,
    TellOthers,
)
from protocol.errors import CloseCode, ErrorCode
from protocol.estimation import Estimation, Phase
from protocol.ids import MemberId, RoomId
from protocol.messages import (
    Announce,
    BeginVoting,
    CastVote,
    Command,
    Enter,
    Event,
    Leave,
    RevealVotes,
    TicketId,
    TicketResult,
    TimeUp,
)

ROOM: Final = RoomId("Room42")
OTHER_ROOM: Final = RoomId("Room43")


class Audience:
    """An estimation room with people in it, but without connections and without time."""

    def __init__(self, capacity: int, *, deck: Deck = DEFAULT_DECK, room_id: RoomId = ROOM) -> None:
        """Open a room; ``now`` stands still unless a test moves it."""
        self.rules = Estimation(room_id, capacity, deck=deck)
        self.now = 1000.0
        self.connected: set[str] = set()
        self.present: list[str] = []
        self.heard: dict[str, list[Event]] = {}
        self.timers: dict[str, float] = {}
        self.dismissed: dict[str, tuple[CloseCode, ErrorCode]] = {}
        self.recorded: list[TicketResult] = []
        self.owner: str | None = None
        self.end: str | None = None

    # --- what people do ---------------------------------------------------------------------

    def say(self, member: str, command: Command) -> list[Effect[TicketResult]]:
        """Give ``member``'s command to the rules and carry out what they ask for."""
        dead = self.end is not None
        if isinstance(command, Enter):
            self.connected.add(member)
            self.heard[member] = []
        effects = self.rules.apply(command, MemberId(member), self.now)
        if isinstance(command, Leave):
            self.connected.discard(member)
            if member in self.present:
                self.present.remove(member)
            self.timers.pop(member, None)
        assert not (dead and effects), "a dead room speaks"
        for effect in effects:
            assert self.end is None, "something follows the end"
            self._carry_out(effect, member)
        return effects

    def enter(self, *members: str) -> None:
        """Take seats; names are the ids, capitalised."""
        for member in members:
            self.say(member, Enter(member.capitalize()))

    def announce(self, *members: str) -> None:
        """Make members known to the room they are in."""
        for member in members:
            self.say(member, Announce(self.rules.room_id))

    def join(self, *members: str) -> None:
        """Take seats and announce, one after the other."""
        for member in members:
            self.enter(member)
            self.announce(member)

    def begin(self, ticket: str = "T-1", by: str = "ann") -> None:
        """Open the vote on a ticket."""
        self.say(by, BeginVoting(TicketId(ticket)))

    def vote(self, *members: str, card: str = "5", ticket: str = "T-1") -> None:
        """Put down the same card, one after the other."""
        for member in members:
            self.say(member, CastVote(TicketId(ticket), card))

    def reveal(self, ticket: str = "T-1", by: str = "ann") -> None:
        """Turn the cards over."""
        self.say(by, RevealVotes(TicketId(ticket)))

    def leave(self, *members: str) -> None:
        """Lose connections."""
        for member in members:
            self.say(member, Leave())

    def time_up(self, *members: str) -> None:
        """Let timers run out, whether they are set or not."""
        for member in members:
            self.timers.pop(member, None)
            self.say(member, TimeUp())

    # --- what comes of it -------------------------------------------------------------------

    def phase(self) -> Phase:
        """Say what the room is waiting for; a method, lest mypy think that it stays so."""
        return self.rules.phase

    # --- what they hear ---------------------------------------------------------------------

    def hear(self) -> dict[str, list[Event]]:
        """Return what was heard since the last time, by those who heard anything."""
        heard = {member: events for member, events in self.heard.items() if events}
        for member in heard:
            self.heard[member] = []
        return heard

    def forget(self) -> "Audience":
        """Forget what was heard so far."""
        self.hear()
        return self

    def _carry_out(self, effect: Effect[TicketResult], subject: str) -> None:
        match effect:
            case Tell(member, event):
                assert member in self.connected or member == subject, "told somebody unknown"
                self.heard.setdefault(member, []).append(event)
            case TellAll(event):
                for key in self.present:
                    self.heard[key].append(event)
            case TellOthers(member, event):
                assert member in self.present, "others than somebody who is not there"
                for key in self.present:
                    if key != member:
                        self.heard[key].append(event)
            case Subscribe(member):
                assert member == subject
                assert member in self.connected
                assert member not in self.present, "attends twice"
                self.present.append(member)
            case Disconnect(member, code, problem):
                assert member == subject, "somebody else is dismissed"
                self.dismissed[member] = (code, problem.code)
            case Own(member, _):
                assert member == subject
                assert self.owner is None, "a second owner"
                self.owner = member
            case Sleep():
                assert not self.present
            case SetTimer(member, seconds):
                assert member == subject
                assert member not in self.timers, "a timer is set twice"
                self.timers[member] = self.now + seconds
            case ClearTimer(member):
                assert member == subject
                self.timers.pop(member, None)
            case Record(TicketResult() as result):
                self.recorded.append(result)
            case End(reason):
                self.end = reason
