"""A room whose members outlive their connections: carries out what its rules ask for.

Each member with a connection has a client, which folds what it is told; after every command each
client's picture must be the room's. Everything that a server would keep is kept here: the log,
the changes by their numbers, the timers.
"""

from typing import Final, get_args

import attrs
import orjson

from protocol.changes import Ack, Change, Failure, Snapshot
from protocol.deck import DEFAULT_DECK, Deck
from protocol.effects import (
    ClearTimer,
    Disconnect,
    Effect,
    End,
    Greet,
    Own,
    Record,
    Release,
    SetTimer,
    Sleep,
    Subscribe,
    Tell,
    TellAll,
    TellOthers,
)
from protocol.errors import ErrorCode
from protocol.estimation import Estimation, Phase
from protocol.fold import digest, fold
from protocol.ids import MemberId
from protocol.journal import LOGGED, Entry
from protocol.lasting import (
    NOBODY,
    REACTIONS,
    Detach,
    Join,
    Numbered,
    Request,
    Restart,
    Return,
    Role,
    TellReactions,
)
from protocol.limits import EMPTY_SECONDS
from protocol.messages import Announce, Command, Enter, Event, Leave, TicketResult, TimeUp
from protocol.options import DEFAULTS, Options
from protocol.picture import Mine, Picture
from tests.protocol.audience import ROOM

Effects = list[Effect[TicketResult]]
CHANGES: Final = get_args(Change)


@attrs.define
class Client:
    """What somebody's page knows, with or without a connection."""

    picture: Picture
    generation: int
    mine: Mine


class LastingAudience:
    """An estimation room with people in it, but without connections and without time."""

    def __init__(
        self,
        capacity: int = 4,
        *,
        keyed: bool = True,
        grace: float = 60.0,
        deck: Deck = DEFAULT_DECK,
        rounds: int = 2000,
        options: Options = DEFAULTS,
        most: int = 6,
    ) -> None:
        """Open a room; ``now`` stands still unless a test moves it."""
        self.now = 1000.0
        self.rules = Estimation(
            ROOM,
            capacity,
            deck=deck,
            name="Planning",
            grace_seconds=grace,
            options=options,
            opened_at=self.now,
            keyed=keyed,
            most_rounds=rounds,
            most_capacity=most,
        )
        self.timers: dict[str, float] = {NOBODY: self.now + EMPTY_SECONDS} if keyed else {}
        self.log: list[Entry] = []
        self.changes: list[Change] = []
        self.connected: set[str] = set()
        self.audience: list[str] = []
        self.heard: dict[str, list[Event]] = {}
        self.clients: dict[str, Client] = {}
        self.greeted: dict[str, int | None] = {}
        self.dismissed: dict[str, ErrorCode] = {}
        self.recorded: list[TicketResult] = []
        self.owner: str | None = None
        self.end: str | None = None
        self._refs: dict[str, int] = {}

    # --- what people do ---------------------------------------------------------------------

    def say(self, member: str, command: Command) -> Effects:
        """Give a command to the rules, log it, and carry out what they ask for."""
        dead = self.end is not None
        if isinstance(command, (Join, Enter, Return)):
            self._disconnect(member)  # a newer connection takes the place of the older one
            self.connected.add(member)
        elif isinstance(command, (Detach, Leave)):
            self._disconnect(member)
        effects = self.rules.apply(command, MemberId(member), self.now)
        if type(command) in LOGGED:
            self.log.append(Entry(self.now, MemberId(member), command))
        assert not (dead and effects), "a dead room speaks"
        for effect in effects:
            assert self.end is None, "something follows the end"
            self._carry_out(effect)
        if self.end is None:
            self._compare()
        return effects

    def join(self, *members: str, role: Role = Role.VOTER, owner: bool = False) -> Effects:
        """Come to stay; names are the ids, capitalised."""
        effects: Effects = []
        for member in members:
            effects = self.say(member, Join(name=member.capitalize(), role=role, owner=owner))
        return effects

    def visit(self, *members: str) -> None:
        """Enter and announce as a member that is its connection."""
        for member in members:
            self.say(member, Enter(member.capitalize()))
            self.say(member, Announce(ROOM))

    def ask(self, member: str, request: Request, ref: int | None = None) -> Ack | Failure:
        """Make a request with the next number, or a certain one, and give the answer to it."""
        number = self._refs.get(member, 0) + 1 if ref is None else ref
        self._refs[member] = max(number, self._refs.get(member, 0))
        effects = self.say(member, Numbered(number, request))
        (answer,) = answers_in(effects, member)
        assert answer.ref == number
        return answer

    def detach(self, *members: str) -> None:
        """Lose connections."""
        for member in members:
            self.say(member, Detach())

    def come_back(self, member: str) -> Effects:
        """Return with what the client of this member knows."""
        client = self.clients[member]
        return self.say(member, Return(client.picture.seq, client.generation))

    def ring(self, member: str) -> Effects:
        """Let the time pass until a timer that is set runs out."""
        self.now = max(self.now, self.timers.pop(member))
        return self.say(member, TellReactions() if member == REACTIONS else TimeUp())

    def restart(self, stored: bytes | None = None) -> Effects:
        """Lose the server, and build the room anew, from an earlier state if one is given.

        Whoever gives an earlier state cuts ``log``, ``changes`` and ``recorded`` to its length.
        """
        self.connected.clear()
        self.audience.clear()
        self.timers.clear()
        self.owner = self.end = None
        self.rules = restored(stored or self.stored())
        return self.say(NOBODY, Restart())

    # --- what comes of it -------------------------------------------------------------------

    def phase(self) -> Phase:
        """Say what the room is waiting for; a method, lest mypy think that it stays so."""
        return self.rules.phase

    def stored(self) -> bytes:
        """Give the room as a server stores it."""
        return orjson.dumps(self.rules.snapshot())

    def hear(self) -> dict[str, list[Event]]:
        """Return what was heard since the last time, by those who heard anything."""
        heard = {member: events for member, events in self.heard.items() if events}
        self.heard = {}
        return heard

    def forget(self) -> "LastingAudience":
        """Forget what was heard so far."""
        self.hear()
        return self

    def may(self, member: str) -> tuple[str, ...]:
        """Say what a member may do now."""
        return self.rules.snapshot_for(MemberId(member)).mine.may

    def _carry_out(self, effect: Effect[TicketResult]) -> None:
        match effect:
            case Tell(member, event):
                self._tell(member, event)
            case TellAll(event):
                if isinstance(event, CHANGES):
                    assert event.seq == len(self.changes) + 1, "a gap, or a number given twice"
                    self.changes.append(event)
                for key in self.audience:
                    self._tell(key, event)
            case TellOthers(member, event):
                for key in self.audience:
                    if key != member:
                        self._tell(key, event)
            case Greet(member, seq):
                self._greet(member, seq)
            case Subscribe(member):
                assert member in self.connected
                assert member not in self.audience, "attends twice"
                self.audience.append(member)
            case Disconnect(member, _, problem):
                self._disconnect(member)
                self.dismissed[member] = problem.code
            case Own(member, _):
                self.owner = member
            case Release():
                self.owner = None
            case SetTimer(member, seconds):
                assert seconds >= 0
                self.timers[member] = self.now + seconds
            case ClearTimer(member):
                self.timers.pop(member, None)
            case Record(TicketResult() as result):
                self.recorded.append(result)
            case Sleep():
                assert not self.audience
            case End(reason):
                self.end = reason

    def _disconnect(self, member: str) -> None:
        self.connected.discard(member)
        if member in self.audience:
            self.audience.remove(member)

    def _greet(self, member: str, seq: int | None) -> None:
        """Tell what was missed, or all: as a server does it, whose ring reaches back for ever."""
        assert member in self.connected
        self.greeted[member] = seq
        if seq is None:
            self._tell(member, self.rules.snapshot_for(MemberId(member)))
            return
        for change in self.changes[seq:]:
            self._tell(member, change)
        if member in self.clients:
            self.clients[member].generation = self.rules.generation

    def _tell(self, member: str, event: Event) -> None:
        self.heard.setdefault(member, []).append(event)
        if isinstance(event, Snapshot):
            self.clients[member] = Client(event.picture, self.rules.generation, event.mine)
        elif isinstance(event, CHANGES) and member in self.clients:
            client = self.clients[member]
            client.picture = fold(client.picture, event)

    def _compare(self) -> None:
        """Make sure that whoever has listened knows what there is to know."""
        picture = self.rules.picture()
        assert picture.seq == self.rules.seq == len(self.changes)
        for member in self.audience:
            if member in self.clients:
                assert self.clients[member].picture == picture
                assert digest(self.clients[member].picture) == digest(picture)


def answers_in(effects: Effects, member: str) -> list[Ack | Failure]:
    """Give the answers among effects; all of them are for this member."""
    told = [each for each in effects if isinstance(each, Tell)]
    answers = [(each.member, each.event) for each in told if isinstance(each.event, (Ack, Failure))]
    assert all(key == member for key, _ in answers)
    return [event for _, event in answers]


def restored(stored: bytes) -> Estimation:
    """Give the room that was stored."""
    return Estimation.restore(orjson.loads(stored))
