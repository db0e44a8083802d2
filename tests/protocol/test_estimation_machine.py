"""Any interleaving of what people, connections and clocks can do to an estimation room.

The model keeps no phases and no counters. It is a list of who sits where and a notebook of the
running round, from which what must be heard is worked out anew for each step.
"""

import itertools
from typing import Any

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from protocol.deck import Deck
from protocol.effects import Effect
from protocol.errors import CloseCode, ErrorCode, Problem
from protocol.estimation import Phase
from protocol.ids import MemberId
from protocol.messages import (
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
from tests.protocol.audience import OTHER_ROOM, ROOM, Audience

# No name, ticket or sentence contains a §, so that a card that leaks is seen wherever it is.
SECRET = "§"
CARDS = ("§1", "§2", "§?")
DECK = Deck(CARDS)
MALFORMED = Problem(ErrorCode.MALFORMED, "data is missing", "data")

NAMES = st.sampled_from(["Ann", "Bob", "Cid"])
TICKETS = st.sampled_from([TicketId("A"), TicketId("B")])
# Small numbers shrink towards the admin, who is the first to come.
SOMEBODY = st.integers(0, 7)


@attrs.define
class Seat:
    name: str
    announced: bool = False


@attrs.define
class Round:
    """The notebook of the round that is running."""

    ticket: TicketId
    began: float
    cast: list[tuple[str, str, str]]  # member, name, card, as often as somebody voted
    complete: bool = False

    def last_votes(self) -> dict[str, tuple[str, str]]:
        return {member: (name, card) for member, name, card in self.cast}


def strings_in(value: object) -> list[str]:
    """Return every string anywhere inside an event."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, (tuple, list)):
        return [text for item in value for text in strings_in(item)]
    kind = type(value)
    if attrs.has(kind):
        return [
            text for name in attrs.fields_dict(kind) for text in strings_in(getattr(value, name))
        ]
    return []


def gives_a_card_away(event: Event) -> bool:
    """Tell whether an event says a card, other than that all of the deck's are listed."""
    if isinstance(event, VotesRevealed):
        return False
    if isinstance(event, Refusal) and event.problem.code is ErrorCode.NOT_IN_DECK:
        return event.problem.values != {"cards": " ".join(CARDS)}
    return any(SECRET in text for text in strings_in(event))


class EstimationRoom(RuleBasedStateMachine):
    """A room, and a model of it."""

    def __init__(self) -> None:
        super().__init__()
        self.room = Audience(2, deck=DECK)
        self.capacity = 2
        self.everybody: list[str] = []  # who ever came, in order
        self.seats: dict[str, Seat] = {}
        self.admin: str | None = None
        self.round: Round | None = None
        self.told_full = False
        self.prompted = False  # and no ticket named since
        self.over = False
        self.revealed: list[TicketResult] = []

    @initialize(capacity=st.integers(2, 6), members=st.integers(0, 6) | st.integers(3, 6))
    def open(self, capacity: int, members: int) -> None:
        """Most rooms begin with some people in them; else little would ever happen."""
        self.room = Audience(capacity, deck=DECK)
        self.capacity = capacity
        for number in range(min(members, capacity)):
            self.enter(f"Name{number}")
            if number < members - 1:
                self.announce(number)

    # --- the model --------------------------------------------------------------------------

    def who(self, number: int) -> str:
        """Pick somebody who ever came, is perhaps long gone, or never was here."""
        ids = [*self.everybody[:1], *reversed(self.everybody[1:])]
        return ids[number] if number < len(ids) else "stranger"

    def present(self) -> list[str]:
        return [member for member, seat in self.seats.items() if seat.announced]

    def told_apart(self, name: str) -> str:
        """Say what somebody is called who comes by a name that others may have."""
        taken = {self.seats[member].name for member in self.present()}
        numbered = (f"{name} ({number})" for number in itertools.count(2))
        return next(each for each in itertools.chain([name], numbered) if each not in taken)

    def voting(self) -> bool:
        return self.round is not None and not self.round.complete

    def step(
        self, member: str, command: Command, expected: dict[str, list[Event]] | ErrorCode
    ) -> list[Effect[TicketResult]]:
        """Give a command; assert that everybody hears what the model expects, no more, no less.

        Args:
            member: the subject.
            command: is its.
            expected: what is heard by whom, or why the subject, and nobody else, is refused.
        """
        if self.over:
            expected = {}
        phase = self.room.rules.phase
        effects = self.room.say(member, command)
        heard = self.room.hear()
        for events in heard.values():
            assert not any(map(gives_a_card_away, events))
        if isinstance(expected, ErrorCode):
            assert list(heard) == [member]
            (refusal,) = heard[member]
            assert isinstance(refusal, Refusal)
            assert refusal.problem.code is expected
            assert self.room.rules.phase in {phase, Phase.ENDED}
        else:
            assert heard == {key: events for key, events in expected.items() if events}
        return effects

    def to_all(self, *events: Event) -> dict[str, list[Event]]:
        return {member: list(events) for member in self.present()}

    def add_completion(self, expected: dict[str, list[Event]]) -> None:
        """Everybody present has voted, for the first time in this round: that is said."""
        running = self.round
        if running is None or running.complete or not running.cast:
            return
        if all(member in running.last_votes() for member in self.present()):
            running.complete = True
            for member, events in expected.items():
                events.append(VotingCompleted(running.ticket))
                if member == self.admin:
                    events.append(RevealPrompt(running.ticket))

    def forget_seat(self, member: str) -> dict[str, list[Event]]:
        """Give up a seat, and say what that makes the others hear."""
        seat = self.seats.pop(member, None)
        if seat is None:
            return {}
        if member == self.admin:
            self.over = True
            self.seats.clear()
            self.round = None
            return {}
        if not seat.announced:
            return {}
        expected = self.to_all(MemberLeft(seat.name))
        self.add_completion(expected)
        return expected

    # --- coming and going -------------------------------------------------------------------

    @rule(name=NAMES)
    def enter(self, name: str) -> None:
        """Come: new ids always, names that others have or had."""
        member = f"m{len(self.everybody)}"
        self.everybody.append(member)
        if self.over:
            self.step(member, Enter(name), {})
        elif len(self.seats) == self.capacity:
            self.step(member, Enter(name), ErrorCode.ROOM_FULL)
            assert self.room.dismissed[member][0] is CloseCode.NORMAL
            assert member not in self.room.timers
        else:
            first = self.admin is None
            self.step(member, Enter(name), {member: [RoomCreated(ROOM)] if first else []})
            self.seats[member] = Seat(name)
            if first:
                self.admin = member
            assert self.room.timers[member] == self.room.now + 10

    @rule(number=SOMEBODY)
    def announce(self, number: int) -> None:
        member = self.who(number)
        seat = self.seats.get(member)
        expected: dict[str, list[Event]] | ErrorCode = {}
        if seat is not None and seat.announced:
            expected = ErrorCode.ANNOUNCED_TWICE
        elif seat is not None and not self.over:
            own: list[Event] = [Welcome(ROOM, deck=DECK)]
            own += [
                MemberPresent(self.seats[key].name, key == self.admin) for key in self.present()
            ]
            seat.name = self.told_apart(seat.name)
            seat.announced = True
            joined = MemberJoined(seat.name, member == self.admin)
            expected = self.to_all(joined)
            expected[member] = [*own, joined]
            if self.round is not None and not self.round.complete:
                expected[member].append(VoteRequested(self.round.ticket))
            if len(self.present()) == self.capacity and not self.told_full:
                self.told_full = True
                for key, events in expected.items():
                    events.append(CapacityReached(self.capacity))
                    if key == self.admin and self.round is None and not self.prompted:
                        events.append(TicketPrompt(first=True))
                        self.prompted = True
        self.step(member, Announce(ROOM), expected)

    @rule(number=SOMEBODY)
    def leave(self, number: int) -> None:
        """Leave, often for the second time or without having come."""
        member = self.who(number)
        if member != self.admin:
            self.step(member, Leave(), self.forget_seat(member))

    @precondition(lambda self: len(self.everybody) > 8)
    @rule()
    def admin_leaves(self) -> None:
        """Rarely, or no room would live long enough."""
        admin = self.admin
        if admin is not None:
            self.step(admin, Leave(), self.forget_seat(admin))
            assert self.room.end is not None

    @rule(name=NAMES, number=SOMEBODY)
    def rejoin(self, name: str, number: int) -> None:
        """Leave, and come again at once: somebody new."""
        self.leave(number)
        seat = self.seats.get(self.who(number))
        self.enter(seat.name if seat else name)
        self.announce(1)  # the latest comer

    @rule(number=SOMEBODY, due=st.booleans())
    def time_up(self, number: int, due: bool) -> None:
        """Run a timer out, or hear of one that has run out before it was cleared."""
        waiting = sorted(self.room.timers)
        member = waiting[number % len(waiting)] if due and waiting else self.who(number)
        seat = self.seats.get(member)
        if member == self.admin and number:
            return
        self.room.timers.pop(member, None)
        if self.over or seat is None or seat.announced:
            self.step(member, TimeUp(), {})
        else:
            assert self.forget_seat(member) == {}
            self.step_time_up(member)

    def step_time_up(self, member: str) -> None:
        over, self.over = self.over, False  # it is told before the room ends
        self.step(member, TimeUp(), ErrorCode.ANNOUNCED_TOO_LATE)
        self.over = over
        assert self.room.dismissed[member][0] is CloseCode.NORMAL

    @rule(seconds=st.integers(0, 100))
    def wait(self, seconds: int) -> None:
        self.room.now += seconds

    # --- rounds -----------------------------------------------------------------------------

    def refuse_but_admin(self, member: str) -> ErrorCode | None:
        if member != self.admin:
            return ErrorCode.NOT_ADMIN
        return None if member in self.present() else ErrorCode.NOT_ANNOUNCED

    @precondition(lambda self: self.round is None or not self.round.cast)
    @rule(ticket=TICKETS)
    def begin(self, ticket: TicketId) -> None:
        """Begin, or think better of the ticket while no vote is in."""
        self.begin_by(self.who(0), ticket)

    @rule(number=SOMEBODY, card=st.sampled_from(CARDS))
    def vote(self, number: int, card: str) -> None:
        """Somebody who may vote does, perhaps again, perhaps while no vote is running."""
        present = self.present()
        if present:
            ticket = self.round.ticket if self.round else TicketId("Z")
            self.vote_by(present[number % len(present)], ticket, card)

    @precondition(lambda self: self.round is not None)
    @rule(number=SOMEBODY, card=st.sampled_from(["8", *CARDS]))
    def vote_wrongly(self, number: int, card: str) -> None:
        """Vote with no card of this deck, or on another ticket."""
        present = self.present()
        if present and self.round:
            ticket = TicketId("Z") if card in CARDS else self.round.ticket
            self.vote_by(present[number % len(present)], ticket, card)

    @precondition(lambda self: self.voting())
    @rule(card=st.sampled_from(CARDS), but=st.integers(0, 2))
    def most_vote(self, card: str, but: int) -> None:
        """A burst, so that rounds do complete."""
        for member in self.present()[but:]:
            if self.round:
                self.vote_by(member, self.round.ticket, card)

    @precondition(lambda self: self.voting())
    @rule(card=st.sampled_from(CARDS))
    def all_but_the_last_vote_and_the_last_leaves(self, card: str) -> None:
        *others, last = self.present()
        for member in others:
            if self.round:
                self.vote_by(member, self.round.ticket, card)
        if last != self.admin:
            self.step(last, Leave(), self.forget_seat(last))

    @precondition(lambda self: self.round is not None)
    @rule()
    def reveal(self) -> None:
        """Turn the cards over, early or not."""
        self.reveal_by(self.who(0), self.round.ticket if self.round else TicketId("Z"))

    @rule(
        number=SOMEBODY,
        deed=st.sampled_from(["begin", "vote", "reveal", "announce", "malformed", "final"]),
        right=st.booleans(),
        card=st.sampled_from([*CARDS, "8"]),
    )
    def meddle(self, number: int, deed: str, *, right: bool, card: str) -> None:
        """Anybody at all says anything at all, which is mostly refused."""
        member = self.who(number)
        ticket = self.round.ticket if self.round and right else TicketId("Z")
        match deed:
            case "begin":
                self.begin_by(member, ticket)
            case "vote":
                self.vote_by(member, ticket, card)
            case "reveal":
                self.reveal_by(member, ticket)
            case "announce":
                seated = member in self.seats
                self.step(member, Announce(OTHER_ROOM), ErrorCode.WRONG_ROOM if seated else {})
            case _:
                final = deed == "final"
                self.room.dismissed.pop(member, None)
                self.step(member, Reject(MALFORMED, final=final), {member: [Refusal(MALFORMED)]})
                dismissed = self.room.dismissed.get(member, (None, ""))[0]
                assert dismissed is (CloseCode.POLICY if final and not self.over else None)

    def begin_by(self, member: str, ticket: TicketId) -> None:
        expected: dict[str, list[Event]] | ErrorCode
        refused = self.refuse_but_admin(member)
        if refused is not None:
            expected = refused
        elif self.round is not None and self.round.cast:
            expected = ErrorCode.VOTE_RUNNING
        elif self.round is not None and self.round.ticket == ticket:
            expected = ErrorCode.BEGUN_TWICE
        else:
            expected = self.to_all(VoteRequested(ticket))
            self.round = Round(ticket, self.room.now, [])
            self.prompted = False
        self.step(member, BeginVoting(ticket), expected)

    def vote_by(self, member: str, ticket: TicketId, card: str) -> None:
        running = self.round
        expected: dict[str, list[Event]] | ErrorCode
        if member not in self.present():
            expected = ErrorCode.NOT_ANNOUNCED
        elif running is None:
            expected = ErrorCode.NO_VOTE_RUNNING
        elif ticket != running.ticket:
            expected = ErrorCode.WRONG_TICKET
        elif card not in CARDS:
            expected = ErrorCode.NOT_IN_DECK
        else:
            name = self.seats[member].name
            expected = self.to_all(VoteCast(name, ticket))
            running.cast.append((member, name, card))
            self.add_completion(expected)
        self.step(member, CastVote(ticket, card), expected)

    def reveal_by(self, member: str, ticket: TicketId) -> None:
        running = self.round
        expected: dict[str, list[Event]] | ErrorCode
        refused = self.refuse_but_admin(member)
        if refused is not None:
            expected = refused
        elif running is None:
            expected = ErrorCode.NO_VOTE_RUNNING
        elif ticket != running.ticket:
            expected = ErrorCode.WRONG_TICKET
        elif not running.cast:
            expected = ErrorCode.NOBODY_VOTED
        else:
            votes = tuple(
                Vote(MemberId(key), name, card)
                for key, (name, card) in running.last_votes().items()
            )
            expected = self.to_all(VotesRevealed(ticket, votes), AwaitingTicket())
            expected[member][-1] = TicketPrompt(first=False)
            seconds = self.room.now - running.began
            self.revealed.append(TicketResult(ticket, votes, seconds, DECK))
            self.round = None
            assert not self.prompted, "two prompts for a ticket are outstanding"
            self.prompted = True
        self.step(member, RevealVotes(ticket), expected)

    # --- always -----------------------------------------------------------------------------

    @invariant()
    def audience_is_who_is_present(self) -> None:
        assert self.over or set(self.room.present) == set(self.present())

    @invariant()
    def capacity_is_never_exceeded(self) -> None:
        assert len(self.room.present) <= self.capacity

    @invariant()
    def who_has_not_announced_itself_has_a_timer_and_nobody_else(self) -> None:
        waiting = {member for member, seat in self.seats.items() if not seat.announced}
        assert self.over or self.room.timers.keys() == waiting

    @invariant()
    def the_owner_is_the_admin(self) -> None:
        assert self.room.owner == self.admin

    @invariant()
    def the_room_has_ended_if_and_only_if_its_admin_has_gone(self) -> None:
        assert (self.room.end is not None) == self.over

    @invariant()
    def no_round_is_stuck(self) -> None:
        phase = self.room.rules.phase
        if self.over:
            return
        assert (phase is Phase.VOTING) == self.voting()
        if self.round is not None and phase is Phase.VOTING:
            voters = self.round.last_votes()
            assert not voters or any(member not in voters for member in self.present())

    @invariant()
    def the_admin_is_prompted_if_and_only_if_a_ticket_is_its_to_name(self) -> None:
        assert self.over or (self.room.rules.phase is Phase.READY) == self.prompted

    @invariant()
    def results_are_what_was_voted(self) -> None:
        for recorded, revealed in zip(self.room.recorded, self.revealed, strict=True):
            assert recorded.ticket_id == revealed.ticket_id
            assert recorded.seconds == revealed.seconds
            assert by_member(recorded.votes) == by_member(revealed.votes)


def by_member(votes: tuple[Vote, ...]) -> dict[Any, tuple[str, str]]:
    """Return votes in no order, and make sure that nobody has two."""
    found = {vote.member_id: (vote.name, vote.value) for vote in votes}
    assert len(found) == len(votes)
    return found


# A busy machine, measuring coverage, takes several times the usual 6 s.
TestEstimationRoom = pytest.mark.timeout(180)(EstimationRoom.TestCase)
TestEstimationRoom.settings = settings(
    max_examples=4 * settings().max_examples, stateful_step_count=50
)
