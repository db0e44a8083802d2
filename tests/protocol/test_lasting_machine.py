"""Any interleaving of what people, connections, clocks and crashes can do to a lasting room.

What the room shows is compared with a notebook that knows only who sits where and who has voted;
what clients fold, what a stored room does, and what the log gives, are compared with the room.
"""

import copy

import attrs
import orjson
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

from protocol.answers import REMEMBERED
from protocol.changes import (
    Ack,
    Begun,
    Estimated,
    Failure,
    Reactions,
    Recast,
    Retracted,
    Revealed,
    Said,
    Snapshot,
    TimeOver,
    Unsaid,
    Voted,
)
from protocol.deck import Deck
from protocol.effects import Record, SetTimer, Tell, TellAll
from protocol.errors import ErrorCode, Problem
from protocol.fold import digest, fold
from protocol.ids import MemberId, MemberName, RemarkText
from protocol.journal import read_entries, write_entries
from protocol.lasting import (
    CLOCK,
    NOBODY,
    REACTIONS,
    RESTED,
    BeginRound,
    CastCard,
    ChangeRole,
    Claim,
    CloseRoom,
    Configure,
    Demote,
    Depart,
    Detach,
    ExtendTimer,
    HandOver,
    Join,
    Kick,
    Lock,
    Nudge,
    Numbered,
    PauseTimer,
    Promote,
    RaiseCapacity,
    React,
    Rename,
    Request,
    ResumeTimer,
    Retract,
    Return,
    RevealRound,
    Role,
    SayHere,
    SealPasscode,
    SetEstimate,
    StartTimer,
    StopTimer,
    TimerKind,
    Unsay,
)
from protocol.limits import EARLIER_ROUNDS, PAST_ROUNDS, REACTION_SECONDS, REST_SECONDS
from protocol.messages import (
    Announce,
    BeginVoting,
    CastVote,
    Command,
    Enter,
    EstimateSet,
    Event,
    Leave,
    Refusal,
    Reject,
    RevealVotes,
    Say,
    Spoken,
    TicketId,
    TicketResult,
    TimeUp,
    VoteCast,
    VoteChanged,
    VoteRetracted,
    VotesRevealed,
)
from protocol.options import DEFAULTS, ClaimBy, Options, OwnerAbsence, Talkers, VotingEnds, Who
from protocol.picture import Picture, may_do
from protocol.talk import Emoji
from tests.protocol.audience import OTHER_ROOM, ROOM
from tests.protocol.lasting_audience import (
    CHANGES,
    Effects,
    LastingAudience,
    answers_in,
    restored,
)
from tests.protocol.test_estimation_machine import strings_in

# No name, ticket or sentence contains a §, so that a card that leaks is seen wherever it is.
SECRET = "§"
CARDS = ("§1", "§2", "§?")
NO_CARD = "§9"
MALFORMED = Problem(ErrorCode.MALFORMED, "data is missing", "data")

NAMES = st.sampled_from(["Ann", "Bob", "Cid"])
TICKETS = st.sampled_from(["A", "B"])
# Small numbers shrink towards the first who came.
PAGE_TURNERS = (BeginRound, RevealRound, CloseRoom, HandOver, Claim)
SOMEBODY = st.integers(0, 7)
SECONDS = st.sampled_from([0, -10, 15, 45, 100, 1000])


@attrs.define
class Seat:
    """What the notebook knows of somebody."""

    lasting: bool
    role: Role = Role.VOTER
    announced: bool = True
    away_since: float | None = None
    leads: bool = False
    account: int | None = None
    name: str = ""
    shown: tuple[str, int] | None = None
    nudged_at: float | None = None


@attrs.define
class Clock:
    """What the notebook knows of the timer."""

    kind: TimerKind
    deadline: float | None
    """``None`` while it is paused."""
    left: float = 0.0
    """While it is paused."""

    def rest(self, now: float) -> float:
        """Say how much time there is."""
        return self.left if self.deadline is None else max(0.0, self.deadline - now)


@attrs.define
class Notebook:
    """What should be so."""

    seats: dict[str, Seat] = attrs.Factory(dict)
    owner: str | None = None
    voting: bool = False
    complete: bool = False
    votes: dict[str, str] = attrs.Factory(dict)
    revealed: list[dict[str, str]] = attrs.Factory(list)
    answers: dict[str, dict[int, Ack | Failure]] = attrs.Factory(dict)
    over: bool = False
    options: Options = DEFAULTS
    capacity: int = 0
    unled: bool = False
    """It has lost its owner, and nobody leads it."""
    excused: set[str] = attrs.Factory(set)
    """Who came when the round was complete, and is not waited for in it."""
    missed: set[str] = attrs.Factory(set)
    """Who was waited for in vain in the round revealed last."""
    estimate: str | None = None
    played: list[tuple[str, int]] = attrs.Factory(list)
    """The ticket and the number of each round that was revealed, and told with its number."""
    earlier: list[int] = attrs.Factory(list)
    restarted: float = float("-inf")
    """When the server has come back."""

    said: int = 0
    remarks: dict[int, tuple[str, str]] = attrs.Factory(dict)
    clock: Clock | None = None
    rung: list[TimerKind] = attrs.Factory(list)
    """Of what kinds those timers were whose time was up."""
    locked: bool = False
    passcode: bool = False
    banned: set[str] = attrs.Factory(set)
    """Ids, and accounts by their numbers."""

    def turns_away(self, member: str, account: int | None, *, lasting: bool) -> ErrorCode | None:
        """Say why a newcomer without the owner's key may not come, whether there is room or not."""
        if not lasting:
            open_to = ErrorCode.NEEDS_PASSCODE if self.passcode else None
            return ErrorCode.LOCKED if self.locked else open_to
        if member in self.banned or str(account) in self.banned:
            return ErrorCode.BANNED
        return ErrorCode.LOCKED if self.locked else None

    def begin(self, now: float, ticket: str) -> None:
        """Let there be a round, with a timer of its own if the options say so."""
        self.turn_over()
        past = self.played[-PAST_ROUNDS:]
        self.earlier = [number for each, number in past if each == ticket][-EARLIER_ROUNDS:]
        self.voting = True
        seconds = self.options.voting_seconds
        if seconds:
            self.clock = Clock(TimerKind.VOTING, now + seconds)

    def turn_over(self) -> None:
        """Let there be no round any more, nor a timer for it."""
        self.voting, self.complete, self.votes = False, False, {}
        self.excused.clear()
        if self.clock is not None and self.clock.kind is TimerKind.VOTING:
            self.clock = None

    def reveals(self) -> bool:
        """Tell whether the end of the timer would end the round if there were votes."""
        ends = self.options.voting_ends is VotingEnds.REVEAL
        return ends and self.clock is not None and self.clock.kind is TimerKind.VOTING

    def allows(self, member: str, deed: str) -> bool:
        """Tell whether somebody may do a thing that is left to some, as far as it is about them."""
        if deed in {"close", "hand_over"}:
            return member == self.owner
        if deed == "claim":
            anybody = self.options.claim_by is ClaimBy.ALL
            return self.unled and (anybody or self.seats[member].account is not None)
        if deed in {"say", "react"}:
            talkers = self.options.talk_by
            leads = self.seats[member].leads
            return talkers is Talkers.ALL or (talkers is Talkers.FACILITATORS and leads)
        who = {"begin": self.options.begin_by, "reveal": self.options.reveal_by}.get(deed)
        return who is Who.ALL or self.seats[member].leads

    def waited_for(self) -> set[str]:
        """Say who is present, may vote, and has not."""
        return {
            member
            for member, seat in self.seats.items()
            if seat.announced and seat.role is Role.VOTER and member not in self.votes
        } - self.excused

    def ripe(self) -> bool:
        """Tell whether the round is to be revealed by itself, unless it is held back."""
        here = {member for member, seat in self.seats.items() if seat.away_since is None}
        return bool(
            self.options.auto_reveal
            and self.voting
            and self.votes
            and not self.waited_for() & here
            and any(self.seats[member].announced for member in here)
        )

    def held(self, now: float, resting_until: float) -> bool:
        """Tell whether somebody may be on the way back after a restart."""
        away = any(seat.away_since is not None for seat in self.seats.values())
        return now < resting_until or (away and now < self.restarted + REST_SECONDS)

    def judge(self) -> None:
        """Complete the round for good once nobody is waited for."""
        if self.voting and self.votes and not self.waited_for():
            self.complete = True

    def change_role(self, member: str, role: Role) -> None:
        """Let somebody vote, or only watch, whose card is gone then."""
        self.seats[member].role = role
        if role is Role.SPECTATOR:
            self.votes.pop(member, None)
            self.complete = self.complete and bool(self.votes)

    def drop(self, member: str) -> None:
        """Let somebody be gone."""
        if self.seats.pop(member, None) is None:
            return
        self.judge()
        if member != self.owner:
            return
        if self.options.owner_absence is OwnerAbsence.ENDS:
            self.over = True
            return
        self.owner = None
        leading = [key for key, seat in self.seats.items() if seat.leads]
        leading.sort(key=lambda key: self.seats[key].away_since is not None)
        if leading:
            self.crown(leading[0])
        else:
            self.unled = True

    def crown(self, member: str) -> None:
        """Let somebody be the owner."""
        self.owner, self.unled = member, False
        self.seats[member].leads = True


@attrs.frozen
class Save:
    """All that there was at some moment."""

    stored: bytes
    entries: int
    changes: int
    results: int
    notebook: Notebook


def gives_a_card_away(event: Event) -> bool:
    """Tell whether an event says a card, other than those of the deck and of rounds revealed."""
    match event:
        case VotesRevealed() | Revealed() | Recast() | Estimated() | VoteChanged() | EstimateSet():
            return False
        case Refusal(problem) | Failure(_, problem) if problem.code is ErrorCode.NO_ESTIMATE:
            return problem.values != {"cards": ", ".join(CARDS[:2])}
        case Begun():
            event = attrs.evolve(event, earlier=())
        case Snapshot(picture, mine):
            event = Snapshot(
                attrs.evolve(picture, cards=(), shown=None, earlier=()),
                attrs.evolve(mine, card=None),
            )
        case Refusal(problem) | Failure(_, problem) if problem.code is ErrorCode.NOT_IN_DECK:
            return problem.values != {"cards": " ".join(CARDS)}
        case _:
            pass
    return any(SECRET in text for text in strings_in(event))


TIMING = ("start_timer", "pause_timer", "resume_timer", "extend_timer", "stop_timer")
ENDS = ("voting_ends", "voting_seconds")
DOOR = ("passcode", "lock", "kick")
LEFT_TO_SOME = {
    *("begin", "reveal", "configure", "estimate", "close"),
    *("promote", "demote", "hand_over", "claim", "capacity", "nudge"),
    *("say", *TIMING, *DOOR),
}


ALWAYS_GRANTED = {"capacity", "configure", "close", "promote", "demote", "hand_over", "claim"}
"""Of these, what may be asked for at any time by those whom it is left to."""


MOST = 6
"""Seats that a room can have."""


class LastingRoom(RuleBasedStateMachine):
    """A room, its clients, and a notebook."""

    def __init__(self) -> None:
        super().__init__()
        self.open(capacity=3, keyed=True, grace=60.0, rounds=2000, members=0, auto=False)

    @initialize(
        capacity=st.integers(2, 5),
        keyed=st.sampled_from([True, True, True, False]),
        grace=st.sampled_from([60.0, 20.0, 600.0, 0.0]),
        rounds=st.sampled_from([2000, 2]),
        members=st.integers(0, 5),
        auto=st.sampled_from([False, False, True]),
    )
    def open(
        self, *, capacity: int, keyed: bool, grace: float, rounds: int, members: int, auto: bool
    ) -> None:
        """Most rooms begin with some people in them; else little would ever happen."""
        options = attrs.evolve(DEFAULTS, auto_reveal=auto)
        self.room = LastingAudience(
            capacity,
            keyed=keyed,
            grace=grace,
            deck=Deck(CARDS),
            rounds=rounds,
            most=MOST,
            options=options,
        )
        self.keyed, self.grace = keyed, grace
        self.notebook = Notebook(capacity=capacity, options=options)
        self.everybody: list[str] = []  # who ever came, in order
        self.refs: dict[str, int] = {}
        # From the moment on at which changes are numbered.
        self.first = self.room.rules.picture() if keyed else None
        self.saves: list[Save] = []
        self.started = 0  # the first of them since the server has come back
        self.shown: dict[Emoji, list[str]] = {}  # reactions that wait to be told
        self.shown_at = float("-inf")  # when some were told last
        if not keyed:
            self.enter("Eve", announce=True)
        self.save()
        for number in range(min(members, capacity - (not keyed))):
            self.join(f"Name{number}", Role.VOTER, owner=number == 0)

    # --- the notebook -----------------------------------------------------------------------

    def who(self, number: int) -> str:
        """Pick somebody who ever came, is perhaps long gone, or never was here."""
        ids = [*self.everybody[:1], *reversed(self.everybody[1:])]
        return ids[number] if number < len(ids) else "stranger"

    def lasting(self, number: int) -> str:
        """Pick somebody who has joined and is not gone, if there is anybody."""
        seats = self.notebook.seats
        found = [member for member, seat in seats.items() if seat.lasting]
        return found[number % len(found)] if found else self.who(number)

    def newcomer(self) -> str:
        self.everybody.append(f"m{len(self.everybody)}")
        return self.everybody[-1]

    def say(self, member: str, command: Command) -> Effects:
        """Give a command to the room and to one restored from what is stored of it.

        They must do the same and be the same afterwards. Nobody may learn a card.
        """
        room, book = self.room, self.notebook
        twin = restored(room.stored())
        assert twin.snapshot() == room.rules.snapshot()
        effects = room.say(member, command)
        self.after(member, command, effects)
        assert twin.apply(command, MemberId(member), room.now) == effects
        assert twin.snapshot() == room.rules.snapshot()
        if book.over:
            assert room.end is not None or not effects
        return effects

    def after(self, member: str, command: Command, effects: Effects) -> None:
        """Read what everybody has heard, and write down who has voted."""
        room, book = self.room, self.notebook
        resting_until = room.rules.snapshot()["resting_until"]
        ended = any(isinstance(effect, Record) for effect in effects)
        for key, events in room.hear().items():
            assert not any(map(gives_a_card_away, events))
            for event in events:
                if isinstance(event, Snapshot):
                    assert event.mine.member == key
                    assert event.mine.card == (None if ended else book.votes.get(key))
        told = {type(effect.event) for effect in effects if isinstance(effect, TellAll)}
        for guests, lasting in (
            (VoteCast, Voted),
            (VoteRetracted, Retracted),
            (VoteChanged, Recast),
            (EstimateSet, Estimated),
            (VotesRevealed, Revealed),
            (Spoken, Said),
        ):
            if {guests, lasting} & told:
                assert (guests in told) == any(
                    seat.announced and not seat.lasting for seat in book.seats.values()
                )
                assert (lasting in told) == (self.first is not None)
        for effect in effects:
            match effect:
                case TellAll(VoteCast() | Voted()):
                    assert book.seats[member].announced
                    assert book.seats[member].role is Role.VOTER
                    match command:
                        case CastVote(_, card) | Numbered(_, CastCard(_, card)):
                            book.votes[member] = card
                        case _:
                            raise AssertionError("a vote without a command for it")
                case TellAll(Revealed(_, shown, _)):
                    book.played.append((shown.ticket, shown.number))
                case TellAll(Retracted()):
                    del book.votes[member]
                    book.complete = False
                case TellAll(Recast(_, _, vote, _)):
                    match command:
                        case CastVote(_, card) | Numbered(_, CastCard(_, card)):
                            assert (vote.member, vote.card, vote.changed) == (member, card, True)
                        case _:
                            raise AssertionError("a vote without a command for it")
                    assert book.options.change_after_reveal
                    assert not book.voting
                    assert member in book.missed or member in book.revealed[-1]
                    book.missed.discard(member)
                    book.revealed[-1] = {**book.revealed[-1], member: card}
                case TellAll(Estimated(_, _, card)):
                    book.estimate = card
                case Record(TicketResult(replaces=True) as result):
                    voted = {vote.member_id: vote.value for vote in result.votes}
                    assert voted == book.revealed[-1]
                    assert result.estimate == book.estimate
                case Record(TicketResult(_, votes, _)):
                    asked = command.request if isinstance(command, Numbered) else command
                    if member != CLOCK and not isinstance(asked, RevealVotes | RevealRound):
                        assert book.ripe()
                        assert not book.held(room.now, resting_until)
                    assert {vote.member_id: vote.value for vote in votes} == book.votes
                    book.missed = book.waited_for()
                    book.estimate = None
                    book.revealed.append(book.votes)
                    book.turn_over()
                case TellAll(TimeOver(_, kind, _)):
                    assert member == CLOCK
                    assert kind is book.rung[-1]
                    assert book.clock is None
                case _:
                    pass
        book.judge()
        if book.ripe() and not book.over:
            # Time that is up has perhaps not been told to the rules yet.
            assert room.now <= room.timers[RESTED] <= room.now + REST_SECONDS

    def save(self) -> None:
        room = self.room
        self.saves.append(
            Save(
                room.stored(),
                len(room.log),
                len(room.changes),
                len(room.recorded),
                copy.deepcopy(self.notebook),
            )
        )

    # --- coming and going -------------------------------------------------------------------

    @rule(
        name=NAMES,
        role=st.sampled_from(Role),
        owner=st.booleans(),
        account=st.none() | st.integers(1, 3),
        again=st.none() | SOMEBODY,
    )
    def join(
        self,
        name: str,
        role: Role,
        *,
        owner: bool,
        account: int | None = None,
        again: int | None = None,
    ) -> None:
        """Somebody comes, or comes again under the id that it had: by the same nonce."""
        book = self.notebook
        member = self.newcomer() if again is None else self.who(again)
        if member in book.seats or member == "stranger":
            return  # whoever has a seat returns to it
        before = self.room.rules.picture()
        join = Join(name=name, role=role, owner=owner, account=account)
        if book.over:
            assert self.say(member, join) == []
            return
        owns = owner and self.keyed
        full = len(book.seats) >= book.capacity + owns
        refused = None if owns else book.turns_away(member, account, lasting=True)
        if refused is None and full:
            refused = ErrorCode.ROOM_FULL
        self.room.dismissed.pop(member, None)
        self.room.clients.pop(member, None)
        if refused is None:
            book.answers.pop(member, None)
            self.refs.pop(member, None)
            book.seats[member] = Seat(lasting=True, role=role, account=account, name=name)
            if book.complete:
                book.excused.add(member)
            if owns:
                book.crown(member)
        self.say(member, join)
        assert self.room.dismissed.get(member) is refused
        if refused is None and self.first is None:
            self.first = before

    @rule(name=NAMES, announce=st.booleans())
    def enter(self, name: str, *, announce: bool) -> None:
        member, book = self.newcomer(), self.notebook
        refused = book.turns_away(member, None, lasting=False)
        if not book.over and refused is None and len(book.seats) < book.capacity:
            book.seats[member] = Seat(lasting=False, announced=False, name=name)
            if book.owner is None and not self.keyed:
                book.owner = member
                book.seats[member].leads = True
        over = book.over
        self.say(member, Enter(name))
        if refused is not None and not over:
            assert self.room.dismissed[member] is refused
        if announce:
            self.announce_as(member)

    @rule(name=NAMES)
    def announce_after_somebody_who_came_later(self, name: str) -> None:
        self.enter(name, announce=False)
        member = self.everybody[-1]
        self.join(name, Role.VOTER, owner=False)
        self.announce_as(member)

    @rule(number=SOMEBODY, right=st.booleans())
    def announce(self, number: int, *, right: bool) -> None:
        if right:
            self.announce_as(self.who(number))
        else:
            self.say(self.who(number), Announce(OTHER_ROOM))

    def announce_as(self, member: str) -> None:
        book = self.notebook
        seat = book.seats.get(member)
        if seat is not None:
            if member not in self.room.connected:
                return
            if book.complete and not seat.announced:
                book.excused.add(member)
            seat.announced = True
        self.say(member, Announce(ROOM))

    @rule(number=SOMEBODY)
    def detach(self, number: int) -> None:
        """Lose a connection, which is the owner's only rarely where there is no grace."""
        member = self.lasting(number)
        seat = self.notebook.seats.get(member)
        if not self.grace and member == self.notebook.owner and number != 7:
            return
        if seat is not None and seat.lasting and seat.away_since is None:
            seat.away_since = self.room.now
            if not self.grace:
                self.notebook.drop(member)
        self.say(member, Detach())

    @rule(
        number=SOMEBODY,
        known=st.none() | st.tuples(st.integers(-1, 40), st.integers(-1, 3)),
        stranger=st.booleans(),
    )
    def come_back(self, number: int, known: tuple[int, int] | None, *, stranger: bool) -> None:
        """Return, mostly knowing what one has been told; also while one is here."""
        member = self.who(number) if stranger else self.lasting(number)
        seat = self.notebook.seats.get(member)
        client = self.room.clients.get(member)
        if known is None and client is not None:
            command = Return(client.picture.seq, client.generation)
        else:
            self.room.clients.pop(member, None)
            command = Return() if known is None else Return(*known)
        if seat is not None and seat.lasting:
            seat.away_since = None
        self.room.greeted.pop(member, None)
        self.say(member, command)
        if self.notebook.over:
            return
        if seat is None or not seat.lasting:
            assert self.room.dismissed[member] is ErrorCode.WRONG_KEY
            return
        greeted = self.room.greeted[member]
        assert greeted is None or (greeted == command.seq and greeted >= 0)
        assert member in self.room.audience
        if greeted is not None:
            missed = self.room.changes[greeted:]
            again = {each.id for each in missed if isinstance(each, Said)}
            assert not again & {each.id for each in missed if isinstance(each, Unsaid)}

    @rule()
    def everybody_comes_back(self) -> None:
        """Everybody returns with what it knows, whether it is away or not."""
        for number in range(len(self.notebook.seats)):
            self.come_back(number, None, stranger=False)

    @rule(number=SOMEBODY)
    def leave(self, number: int) -> None:
        """Leave, often for the second time or without having come."""
        member = self.who(number)
        if member != self.notebook.owner or number == 7:
            self.notebook.drop(member)
            self.say(member, Leave())

    @rule(number=SOMEBODY, due=st.booleans())
    def time_up(self, number: int, *, due: bool) -> None:
        """Run a timer out, or hear of one that has run out before it was cleared."""
        book, room = self.notebook, self.room
        waiting = sorted(set(room.timers) - ({NOBODY, REACTIONS} if number else {REACTIONS}))
        member = waiting[number % len(waiting)] if due and waiting else self.who(number)
        if member == book.owner and number < 6:
            return
        seat = book.seats.get(member)
        if due and waiting:
            room.now = max(room.now, room.timers.pop(member))
        if member == CLOCK:
            self.time_is_up(due=room.now)
            return
        if member == NOBODY:
            book.over = True
        elif seat is not None:
            since = seat.away_since
            # Also if the clock was put back, so that nobody knows for how long it has been away.
            if not seat.announced or (since is not None and not 0 <= room.now - since < self.grace):
                book.drop(member)
        self.say(member, TimeUp())

    @precondition(lambda self: self.notebook.clock is not None)
    @rule(early=st.booleans())
    def the_clock_rings(self, *, early: bool) -> None:
        """The timer runs out, or rang before it was paused, stopped or given more time."""
        room = self.room
        if CLOCK in room.timers and not early:
            room.now = max(room.now, room.timers.pop(CLOCK))
        self.time_is_up(due=room.now)

    def time_is_up(self, due: float) -> None:
        """Hear of a timer's end, at a time at which it may have one or not."""
        room, book = self.room, self.notebook
        clock = book.clock
        before = len(room.recorded)
        ends = clock is not None and clock.deadline is not None and clock.deadline <= due
        if book.reveals() and due < orjson.loads(room.stored())["resting_until"]:
            ends = False
        revealed = ends and book.reveals() and bool(book.votes)
        if ends and clock is not None and not book.over:
            book.rung.append(clock.kind)
            book.clock = None
        self.say(CLOCK, TimeUp())
        assert len(room.recorded) - before == (revealed and not book.over)

    @rule(seconds=st.integers(0, 100))
    def wait(self, seconds: int) -> None:
        """Let time pass, but no timer run out."""
        room = self.room
        due = [time for member, time in room.timers.items() if member != REACTIONS]
        room.now = min([room.now + seconds, *due])

    # --- servers ----------------------------------------------------------------------------

    @rule(seconds=SECONDS)
    def restart(self, seconds: int) -> None:
        """Stop the server in order and start it again, perhaps with its clock put back."""
        self.save()
        self.start_from(len(self.saves) - 1, seconds)

    @precondition(lambda self: len(self.saves) > 1)
    @rule(back=st.sampled_from([1, 1, 1, 2, 4]), seconds=SECONDS)
    def crash(self, back: int, seconds: int) -> None:
        """Kill the server, so that only some of what has happened is on record."""
        self.start_from(max(self.started, len(self.saves) - back), seconds)

    def start_from(self, number: int, seconds: int) -> None:
        save, room = self.saves[number], self.room
        if save.notebook.over:
            return
        del self.saves[number + 1 :]
        del room.log[save.entries :], room.changes[save.changes :]
        del room.recorded[save.results :]
        self.notebook = book = copy.deepcopy(save.notebook)
        self.shown, self.shown_at = {}, float("-inf")
        if not save.changes and not self.keyed:
            self.first = None  # whoever joined has never been there
        room.now += seconds
        here = any(seat.lasting and seat.away_since is None for seat in book.seats.values())
        if here or room.now < book.restarted + REST_SECONDS:
            book.restarted = room.now
        for member, seat in list(book.seats.items()):
            if not seat.lasting:
                book.drop(member)
            elif seat.away_since is None:
                seat.away_since = room.now
        generation = restored(save.stored).generation
        effects = room.restart(save.stored)
        self.after(NOBODY, Announce(ROOM), effects)
        if not book.over:
            assert room.rules.generation == generation + 1
            away = {member: seat.away_since or 0.0 for member, seat in book.seats.items()}
            if book.clock is not None and book.clock.deadline is not None:
                # At once if it is over already; later only if its end is that of the round.
                due = max(room.now, book.clock.deadline)
                late = room.timers[CLOCK] - due
                assert late == 0 or (book.reveals() and 0 < late <= REST_SECONDS)
            for member, since in away.items():
                left = room.timers[member] - room.now
                assert min(30.0, self.grace) <= left <= self.grace
                assert left >= min(self.grace, self.grace - (room.now - since))
        self.started = len(self.saves)
        self.save()  # before anybody returns, so that no two histories have one generation

    @precondition(lambda self: len(self.room.log) > self.saves[-1].entries + 4)
    @rule()
    def store(self) -> None:
        """Take a snapshot, as servers do it at times."""
        self.save()

    # --- rounds -----------------------------------------------------------------------------

    def request(self, number: int, deed: str, card: str, *, right: bool) -> Request:
        """Make a request, in accordance with what is shown or not."""
        picture = self.room.rules.picture()
        shown = picture.round
        if deed in {"vote", "estimate"} and (shown is None or deed == "estimate"):
            on_show = picture.shown.number if picture.shown else 1
            number = on_show if right else number
        round_number = shown.number if shown and right and deed != "estimate" else number
        match deed:
            case "estimate":
                return SetEstimate(number, card if right else None)
            case "begin":
                other = "B" if shown and shown.ticket == "A" else "A"
                return BeginRound(TicketId(other if right or shown is None else shown.ticket))
            case "vote":
                return CastCard(round_number, card if right else NO_CARD)
            case "retract":
                return Retract(round_number)
            case "reveal":
                return RevealRound(round_number)
            case "leave":
                return Depart()
            case "start_timer":
                return StartTimer(30 if right else 20_000, [None, *TimerKind][number % 3])
            case "pause_timer":
                return PauseTimer()
            case "resume_timer":
                return ResumeTimer()
            case "extend_timer":
                return ExtendTimer(-20 if number % 2 else 20)
            case "stop_timer":
                return StopTimer()
            case "voting_ends":
                return Configure(voting_ends=[*VotingEnds][number % 2])
            case "voting_seconds":
                return Configure(voting_seconds=10 * (number % 4) if right else 1)
            case "say":
                return SayHere(RemarkText(f"<{self.notebook.said}>\nHello"))
            case "unsay":
                remarks = list(self.notebook.remarks)
                return Unsay(remarks[number % len(remarks)] if remarks and right else number)
            case "configure":
                if number in {2, 5}:
                    return Configure(claim_by=ClaimBy.SIGNED_IN if right else ClaimBy.ALL)
                if number in {3, 4, 6}:
                    going_on = OwnerAbsence.CLAIM if right else OwnerAbsence.ENDS
                    return Configure(owner_absence=going_on)
                who = Who.ALL if right else Who.FACILITATORS
                if number % 3 == 0:
                    return Configure(talk_by=list(Talkers)[number // 3])
                if number == 7:
                    return Configure(auto_reveal=right)
                if number == 5:
                    return Configure(change_after_reveal=right)
                return Configure(reveal_by=who) if number % 2 else Configure(begin_by=who)
            case "role":
                whom = MemberId(self.who(number // 2)) if number % 2 else None
                return ChangeRole(role=Role.VOTER if right else Role.SPECTATOR, member=whom)
            case "promote":
                return Promote(MemberId(self.who(number // 2)))
            case "demote":
                return Demote(MemberId(self.who(number // 2)))
            case "hand_over":
                return HandOver(MemberId(self.who(number // 2)))
            case "claim":
                return Claim()
            case "rename":
                return Rename(MemberName("Ann" if right else "Ann (2)"))
            case "capacity":
                return RaiseCapacity(number)
            case "nudge":
                return Nudge(MemberId(self.lasting(number // 2) if right else self.who(number)))
            case "lock":
                return Lock(not right)
            case "passcode":
                return SealPasscode(None if right else f"seal {number}")
            case "kick":
                target = MemberId(self.lasting(number) if right else self.who(number))
                return Kick(member=target, ban=card == CARDS[0], address=card == CARDS[1])
            case _:
                return CloseRoom()

    @rule(
        number=SOMEBODY,
        deed=st.sampled_from(
            [
                *("vote", "begin", "reveal", "leave", "configure", "role", "retract", "estimate"),
                *("promote", "demote", "claim", "rename", "nudge"),
                *("say", "unsay", *TIMING, *ENDS, *DOOR),
            ]
        ),
        card=st.sampled_from(CARDS),
        right=st.sampled_from([True, True, True, False]),
        skip=st.sampled_from([1, 1, 1, 3, 10**15]),
    )
    def ask(self, number: int, deed: str, card: str, *, right: bool, skip: int) -> None:
        """Somebody asks for something under a new number."""
        member = self.lasting(number)
        if deed == "leave" and member == self.notebook.owner:
            deed = "close" if number == 7 else "vote"
        ref = self.refs.get(member, 0) + skip
        self.number(member, ref, self.request(number, deed, card, right=right))

    @precondition(lambda self: self.notebook.owner is not None and self.keyed)
    @rule(left=st.booleans())
    def the_owner_goes_and_the_room_stays(self, *, left: bool) -> None:
        """Whatever the options were, so that rooms without an owner are not rare."""
        book = self.notebook
        for request in (Configure(owner_absence=OwnerAbsence.CLAIM), Depart()):
            owner = book.owner
            if owner is None or book.over or (left and isinstance(request, Depart)):
                return
            self.number(owner, self.refs.get(owner, 0) + 1, request)

    @precondition(lambda self: self.notebook.unled)
    @rule(number=SOMEBODY)
    def somebody_claims(self, number: int) -> None:
        member = self.lasting(number)
        self.number(member, self.refs.get(member, 0) + 1, Claim())

    @rule(
        number=SOMEBODY,
        deed=st.sampled_from(
            [
                *("begin", "reveal", "configure", "estimate", "role"),
                *("promote", "demote", "hand_over", "capacity", "nudge", "nudge"),
                *("say", *TIMING, *ENDS, *DOOR),
            ]
        ),
        card=st.sampled_from(CARDS),
        right=st.sampled_from([True, True, True, False]),
    )
    def owner_asks(self, number: int, deed: str, card: str, *, right: bool) -> None:
        """The owner does what it is there for, so that rounds do begin and end."""
        owner = self.notebook.owner
        if owner is not None:
            ref = self.refs.get(owner, 0) + 1
            self.number(owner, ref, self.request(number, deed, card, right=right))

    @precondition(lambda self: self.notebook.owner is not None)
    @rule(
        ends=st.sampled_from(VotingEnds),
        kind=st.sampled_from([None, None, TimerKind.DISCUSSION]),
        votes=st.booleans(),
        then=st.sampled_from(["ring", "ring late", "reveal", "begin", "restart", "nothing"]),
    )
    def a_round_against_the_clock(
        self, ends: VotingEnds, kind: TimerKind | None, then: str, *, votes: bool
    ) -> None:
        """The owner does what else would hardly ever come together."""
        self.owner_wants(Configure(voting_ends=ends))
        self.owner_asks(0, "begin", CARDS[0], right=True)
        self.owner_wants(StartTimer(30, kind if self.notebook.voting else None))
        if votes and self.notebook.voting:
            self.most_vote(CARDS[0], 0)
        match then:
            case "ring" | "ring late" if self.notebook.clock is not None:
                self.room.now += 50 * (then == "ring late")
                self.the_clock_rings(early=False)
            case "reveal" | "begin":
                self.owner_asks(0, then, CARDS[0], right=True)
            case "restart":
                self.restart(45)
                if self.notebook.clock is not None:
                    self.the_clock_rings(early=True)
                    self.everybody_comes_back()
                    self.the_clock_rings(early=False)
            case _:
                pass

    def owner_wants(self, request: Request) -> None:
        owner = self.notebook.owner
        if owner is not None:
            self.number(owner, self.refs.get(owner, 0) + 1, request)

    @precondition(lambda self: self.notebook.voting)
    @rule(card=st.sampled_from(CARDS), but=st.integers(0, 2))
    def most_vote(self, card: str, but: int) -> None:
        """A burst, so that rounds do complete."""
        for member, seat in list(self.notebook.seats.items())[but:]:
            if seat.lasting:
                request = self.request(0, "vote", card, right=True)
                self.number(member, self.refs.get(member, 0) + 1, request)

    @precondition(lambda self: self.notebook.voting)
    @rule(card=st.sampled_from(CARDS), but=st.integers(0, 2))
    def most_vote_in_the_other_dialect(self, card: str, but: int) -> None:
        """Spectators and those who have not announced themselves, too; only they are refused."""
        running = self.room.rules.picture().round
        for member in list(self.notebook.seats)[but:]:
            if running is not None:
                self.say(member, CastVote(TicketId(running.ticket), card))

    @rule(number=SOMEBODY, back=st.integers(0, 70), card=st.sampled_from(CARDS))
    def repeat(self, number: int, back: int, card: str) -> None:
        """Somebody asks under a number that it has used, or left out, for whatever."""
        member = self.lasting(number)
        ref = max(1, self.refs.get(member, 1) - back)
        self.number(member, ref, self.request(number, "vote", card, right=True))

    @rule(number=SOMEBODY, card=st.sampled_from(CARDS))
    def stranger_asks(self, number: int, card: str) -> None:
        member = self.who(number)
        if member not in self.notebook.seats or not self.notebook.seats[member].lasting:
            request = self.request(number, "vote", card, right=True)
            assert self.say(member, Numbered(1, request)) == []

    def number(self, member: str, ref: int, request: Request) -> None:
        """Ask, and judge the answer by what the member was shown."""
        room, book = self.room, self.notebook
        seat = book.seats.get(member)
        if book.over or seat is None or not seat.lasting:
            assert self.say(member, Numbered(ref, request)) == []
            return
        given = book.answers.setdefault(member, {})
        highest = max(given, default=0)
        before = room.rules.picture()
        if ref <= highest:
            stored = room.stored()
            effects = self.say(member, Numbered(ref, request))
            (answer,) = answers_in(effects, member)
            assert len(effects) == 1
            remembered = sorted(given)[-REMEMBERED:]
            if ref in remembered:
                assert answer == given[ref]
            else:
                assert isinstance(answer, Failure)
                assert answer.problem.code is ErrorCode.FORGOTTEN
            assert room.stored() == stored
            return
        stored = room.stored()
        resting = room.now < orjson.loads(stored)["resting_until"]
        if resting and isinstance(request, PAGE_TURNERS):
            (answer,) = answers_in(self.say(member, Numbered(ref, request)), member)
            assert isinstance(answer, Failure)
            assert answer.problem.code is ErrorCode.RESTING
            assert room.stored() == stored, "what is to be asked again has not been answered"
            return
        self.refs[member] = ref
        name, refusable = self.judge(member, request, before)
        granted = name in may_do(before, MemberId(member))
        if name in LEFT_TO_SOME:
            assert book.allows(member, name) or not granted
        if name in ALWAYS_GRANTED:
            assert granted == book.allows(member, name)
        if granted and refusable is None:
            self.expect(member, request)
        effects = self.say(member, Numbered(ref, request))
        (answer,) = answers_in(effects, member)
        given[ref] = answer
        assert answer.ref == ref
        if isinstance(answer, Ack):
            assert granted
            assert refusable is None
            if isinstance(request, Unsay):
                assert f"<{request.id - 1}>" not in room.stored().decode()
            assert answer.seq == room.rules.seq
        else:
            assert room.rules.picture() == before
            assert len(effects) == 1
            assert not granted or answer.problem.code is refusable

    def stranger(self, whom: str) -> ErrorCode | None:
        """Say why nothing can be asked for about somebody, if so."""
        seat = self.notebook.seats.get(whom)
        return None if seat is not None and seat.announced else ErrorCode.NO_SUCH_MEMBER

    def no_nudge(self, whom: str) -> ErrorCode | None:
        """Say why somebody is not reminded, if so."""
        stranger, book = self.stranger(whom), self.notebook
        if stranger is not None:
            return stranger
        if book.complete or whom not in book.waited_for():
            return ErrorCode.NOT_WAITED_FOR
        seat = book.seats[whom]
        if seat.away_since is not None:
            return ErrorCode.IS_AWAY
        since = None if seat.nudged_at is None else self.room.now - seat.nudged_at
        return None if since is None or not 0 <= since < 10 else ErrorCode.NUDGED_ALREADY

    def no_leader(self, whom: str) -> ErrorCode | None:
        """Say why somebody cannot lead, if so."""
        stranger = self.stranger(whom)
        if stranger is None and not self.notebook.seats[whom].lasting:
            return ErrorCode.CANNOT_LEAD
        return stranger

    def judge(self, member: str, request: Request, shown: Picture) -> tuple[str, ErrorCode | None]:
        """Say as what a request is listed, and why it might be refused although it is."""
        running = shown.round
        match request:
            case BeginRound(ticket):
                same = running is not None and running.ticket == ticket
                return "begin", ErrorCode.BEGUN_TWICE if same else None
            case CastCard(number, card):
                if running is None:
                    if shown.shown is None or number != shown.shown.number:
                        return "vote", ErrorCode.NO_VOTE_RUNNING
                    if member not in {*self.notebook.missed, *self.notebook.revealed[-1]}:
                        return "vote", ErrorCode.ALREADY_SHOWN
                if running is not None and number != running.number:
                    return "vote", ErrorCode.WRONG_ROUND
                return "vote", None if card in CARDS else ErrorCode.NOT_IN_DECK
            case Retract(number):
                if running is not None and number != running.number:
                    return "retract", ErrorCode.WRONG_ROUND
                down = member in self.notebook.votes
                return "retract", None if down else ErrorCode.NO_CARD_DOWN
            case SetEstimate(number, chosen):
                if shown.shown is not None and number != shown.shown.number:
                    return "estimate", ErrorCode.NOT_SHOWN
                good = chosen in {None, *CARDS[:2]}
                return "estimate", None if good else ErrorCode.NO_ESTIMATE
            case RevealRound(number):
                wrong = running is not None and number != running.number
                return "reveal", ErrorCode.WRONG_ROUND if wrong else None
            case CloseRoom():
                return "close", None
            case Lock():
                return "lock", None
            case SealPasscode():
                return "passcode", None
            case Kick(member=target):
                return "kick", self.judge_kick(member, target)
            case Configure(voting_seconds=seconds):
                fits = not seconds or 5 <= seconds <= 3600
                return "configure", None if fits else ErrorCode.OUT_OF_RANGE
            case StartTimer(seconds, kind):
                if seconds > 4 * 3600:
                    return "start_timer", ErrorCode.OUT_OF_RANGE
                roundless = kind is TimerKind.VOTING and running is None
                return "start_timer", ErrorCode.NO_VOTE_RUNNING if roundless else None
            case PauseTimer():
                return "pause_timer", None
            case ResumeTimer():
                return "resume_timer", None
            case ExtendTimer(seconds):
                clock = self.notebook.clock
                short = clock is not None and clock.rest(self.room.now) + seconds < 1
                return "extend_timer", ErrorCode.TIMER_SECONDS if short else None
            case StopTimer():
                return "stop_timer", None
            case Claim():
                return "claim", None
            case Rename():
                signed_in = self.notebook.seats[member].account is not None
                return "rename", ErrorCode.NAME_OF_ACCOUNT if signed_in else None
            case RaiseCapacity(capacity):
                fits = self.notebook.capacity <= capacity <= max(self.notebook.capacity, MOST)
                return "capacity", None if fits else ErrorCode.OUT_OF_RANGE
            case Nudge(whom):
                return "nudge", self.no_nudge(whom)
            case Promote(whom):
                return "promote", self.no_leader(whom)
            case Demote(whom):
                if whom == self.notebook.owner:
                    return "demote", ErrorCode.OWNER_LEADS
                return "demote", self.stranger(whom)
            case HandOver(whom):
                problem = self.no_leader(whom)
                away = problem is None and self.notebook.seats[whom].away_since is not None
                return "hand_over", ErrorCode.IS_AWAY if away and whom != member else problem
            case ChangeRole(member=whom):
                if whom is None or whom == member:
                    return "role", None
                if not self.notebook.seats[member].leads:
                    return "role", ErrorCode.NOT_FACILITATOR
                return "role", self.stranger(whom)
            case Depart():
                return "leave", None
            case SayHere():
                return "say", None
            case Unsay(number):
                if number not in self.notebook.remarks:
                    return "unsay", ErrorCode.NO_SUCH_MESSAGE
                author, _ = self.notebook.remarks[number]
                mine = author == member or self.notebook.seats[member].leads
                return "unsay", None if mine else ErrorCode.NOT_YOURS

    def judge_kick(self, member: str, target: str) -> ErrorCode | None:
        """Say why somebody cannot be put out."""
        seat = self.notebook.seats.get(target)
        if seat is None or not seat.announced:
            return ErrorCode.NO_SUCH_MEMBER
        if target == member:
            return ErrorCode.IS_YOURSELF
        return ErrorCode.IS_OWNER if target == self.notebook.owner else None

    def expect(self, member: str, request: Request) -> None:
        """Write down what a request that must be granted does."""
        book, now = self.notebook, self.room.now
        match request:
            case BeginRound(ticket):
                book.begin(now, ticket)
            case CloseRoom():
                book.over = True
            case Depart():
                book.drop(member)
            case Lock(locked):
                book.locked = locked
            case SealPasscode(seal):
                book.passcode = seal is not None
            case Kick(member=target, ban=ban, address=address):
                if ban or address:
                    account = book.seats[target].account
                    book.banned |= {target} if account is None else {target, str(account)}
                book.drop(target)
            case SayHere(text):
                book.said += 1
                book.remarks[book.said] = (member, text)
            case Unsay(number):
                del book.remarks[number]
            case Configure():
                wished = attrs.asdict(request, filter=lambda _, wish: wish is not None)
                book.options = attrs.evolve(book.options, **wished)
            case StartTimer(seconds, kind):
                usual = TimerKind.VOTING if book.voting else TimerKind.DISCUSSION
                book.clock = Clock(kind or usual, now + seconds)
            case StopTimer():
                book.clock = None
            case PauseTimer() | ResumeTimer() | ExtendTimer():
                assert book.clock is not None
                self.expect_of_the_clock(request, book.clock)
            case ChangeRole(role=role, member=whom):
                book.change_role(whom or member, role)
            case Configure():
                given = {
                    key: wish for key, wish in attrs.asdict(request).items() if wish is not None
                }
                book.options = attrs.evolve(book.options, **given)
            case Promote(whom):
                book.seats[whom].leads = True
            case Demote(whom):
                book.seats[whom].leads = False
            case HandOver(whom):
                book.crown(whom)
            case Rename(name) if name != book.seats[member].name:
                book.seats[member].name, book.seats[member].shown = name, None
            case RaiseCapacity(capacity):
                book.capacity = capacity
            case Nudge(whom):
                book.seats[whom].nudged_at = self.room.now
            case Claim():
                book.crown(member)
            case _:
                pass

    def expect_of_the_clock(
        self, request: PauseTimer | ResumeTimer | ExtendTimer, clock: Clock
    ) -> None:
        left = clock.rest(self.room.now)
        match request:
            case PauseTimer():
                clock.deadline, clock.left = None, left
            case ResumeTimer():
                clock.deadline = self.room.now + left
            case ExtendTimer(seconds) if clock.deadline is None:
                clock.left = left + seconds
            case ExtendTimer(seconds):
                clock.deadline = self.room.now + left + seconds

    @rule(
        number=SOMEBODY,
        deed=st.sampled_from(["begin", "vote", "reveal"]),
        ticket=TICKETS,
        right=st.booleans(),
        card=st.sampled_from([*CARDS, NO_CARD]),
    )
    def other_dialect(self, number: int, deed: str, ticket: str, card: str, *, right: bool) -> None:
        """Anybody asks in the commands of members that are their connections."""
        member, shown, book = self.who(number), self.room.rules.picture().round, self.notebook
        named = TicketId(shown.ticket if shown and right else ticket)
        match deed:
            case "begin":
                before = self.room.rules.snapshot()["round"]
                self.say(member, BeginVoting(named))
                if self.room.rules.snapshot()["round"] != before:
                    assert book.allows(member, "begin")
                    book.begin(self.room.now, named)
            case "vote":
                self.say(member, CastVote(named, card))
            case _:
                self.say(member, RevealVotes(named))

    @rule(number=SOMEBODY, final=st.booleans())
    def garbage(self, number: int, *, final: bool) -> None:
        """What was refused before it came here, and what belongs into other rooms."""
        member = self.who(number)
        before = self.room.rules.snapshot()
        effects = self.say(member, Reject(MALFORMED, final=final))
        assert self.notebook.over or effects[0] == Tell(MemberId(member), Refusal(MALFORMED))
        assert self.say(member, Say("§")) == []
        assert self.room.rules.snapshot() == before

    # --- reactions --------------------------------------------------------------------------

    @rule(number=SOMEBODY, emoji=st.sampled_from(list(Emoji)[:3]), stranger=st.booleans())
    def react(self, number: int, emoji: Emoji, *, stranger: bool) -> None:
        """Somebody shows something; nothing of it is kept, and it is told at its time."""
        room, book = self.room, self.notebook
        member = self.who(number) if stranger else self.lasting(number)
        stored, entries = room.stored(), len(room.log)
        effects = room.say(member, React(emoji))
        assert (room.stored(), len(room.log)) == (stored, entries)
        seat = book.seats.get(member)
        if book.over or seat is None or not seat.lasting:
            assert effects == []
            return
        allowed = book.allows(member, "react")
        assert ("react" in room.may(member)) == allowed
        if not allowed:
            assert [type(each.event) for each in effects if isinstance(each, Tell)] == [Refusal]
            assert len(effects) == 1
            return
        waited = bool(self.shown)
        showing = self.shown.setdefault(emoji, [])
        if member not in showing:
            showing.append(member)
        if waited:
            assert effects == []
        elif room.now - self.shown_at >= REACTION_SECONDS:
            self.hear_reactions(effects)
        else:
            assert [type(each) for each in effects] == [SetTimer]

    @precondition(lambda self: REACTIONS in self.room.timers and not self.notebook.over)
    @rule()
    def tell_reactions(self) -> None:
        """It is time for those that have waited."""
        self.hear_reactions(self.room.ring(REACTIONS))

    def hear_reactions(self, effects: Effects) -> None:
        room = self.room
        (told,) = effects
        assert isinstance(told, TellAll)
        assert isinstance(told.event, Reactions)
        assert {each.emoji: list(each.members) for each in told.event.reactions} == self.shown
        assert all(each.count == len(each.members) for each in told.event.reactions)
        assert room.now - self.shown_at >= REACTION_SECONDS
        assert room.hear() == {member: [told.event] for member in room.audience}
        self.shown, self.shown_at = {}, room.now

    # --- always -----------------------------------------------------------------------------

    @invariant()
    def the_picture_is_what_should_be_so(self) -> None:
        book = self.notebook
        if book.over:
            assert self.room.end is not None
            return
        assert self.room.end is None
        picture = self.room.rules.picture()
        present = {member: seat for member, seat in book.seats.items() if seat.announced}
        shown = {each.id: each for each in picture.members}
        assert shown.keys() == present.keys()
        assert len(picture.members) == len(shown) <= book.capacity + self.keyed
        for member, seat in present.items():
            assert shown[MemberId(member)].role is seat.role
            assert shown[MemberId(member)].here == (seat.away_since is None)
            assert shown[MemberId(member)].voted == (member in book.votes)
            assert shown[MemberId(member)].owner == (member == book.owner)
            assert shown[MemberId(member)].facilitator == seat.leads
        assert picture.options == book.options
        assert (picture.locked, picture.needs_passcode) == (book.locked, book.passcode)
        assert [(each.id, (each.member, each.text)) for each in picture.messages] == list(
            book.remarks.items()
        )
        assert picture.capacity == book.capacity
        assert self.room.rules.owner == book.owner
        ends = not self.keyed or book.options.owner_absence is OwnerAbsence.ENDS
        assert self.room.owner == (book.owner if ends else None)
        assert (picture.unled_since is not None) == book.unled
        if book.owner is None:
            assert not any(seat.leads for seat in book.seats.values())

    @invariant()
    def everybody_is_told_apart(self) -> None:
        """By a number that stays as long as the name."""
        if self.notebook.over:
            return
        names = []
        for each in self.room.rules.picture().members:
            seat = self.notebook.seats[each.id]
            seat.shown = seat.shown or (seat.name, each.tag)
            assert (each.name, each.tag) == seat.shown
            names.append(each.name if each.tag == 1 else f"{each.name} ({each.tag})")
        assert len(names) == len(set(names))

    @invariant()
    def the_round_is_what_should_be_so(self) -> None:
        book = self.notebook
        running = self.room.rules.picture().round
        if book.over:
            return
        assert (running is not None) == book.voting
        if running is None:
            return
        assert running.complete == book.complete
        assert len(running.waiting_for) == len(set(running.waiting_for))
        assert set(running.waiting_for) == (set() if book.complete else book.waited_for())

    @invariant()
    def the_timer_is_what_should_be_so(self) -> None:
        book, timer = self.notebook, self.room.rules.picture().timer
        if book.over:
            return
        assert (timer is None) == (book.clock is None)
        if timer is not None and book.clock is not None:
            assert timer.kind is book.clock.kind
            assert timer.deadline == book.clock.deadline
            assert timer.left == (None if timer.deadline is not None else book.clock.left)

    @invariant()
    def a_timer_that_has_ended_is_told_exactly_once(self) -> None:
        told = [change.kind for change in self.room.changes if isinstance(change, TimeOver)]
        assert told == self.notebook.rung

    @invariant()
    def folding_everything_gives_the_room(self) -> None:
        if self.first is None or self.notebook.over:
            return
        picture = self.first
        for change in self.room.changes:
            assert isinstance(change, CHANGES)
            picture = fold(picture, change)
        assert picture == self.room.rules.picture()
        assert digest(picture) == digest(self.room.rules.picture())

    @invariant()
    def nobody_waits_for_ever(self) -> None:
        """Whoever is away or has not announced itself has a timer, and so has an empty room."""
        if self.notebook.over:
            return
        seats = self.notebook.seats
        due = {
            member
            for member, seat in seats.items()
            if not seat.announced or seat.away_since is not None
        }
        empty = {NOBODY} if self.keyed and not seats else set()
        clock = self.notebook.clock
        ticking = {CLOCK} if clock is not None and clock.deadline is not None else set()
        told = {REACTIONS} if self.shown else set()
        assert self.room.timers.keys() - {RESTED} == due | empty | ticking | told

    @invariant()
    def own_cards_are_ones_own(self) -> None:
        if self.notebook.over:
            return
        for member in self.notebook.seats:
            mine = self.room.rules.snapshot_for(MemberId(member)).mine
            assert mine.card == self.notebook.votes.get(member)

    @invariant()
    def results_are_what_was_voted(self) -> None:
        results: list[dict[str, str]] = []
        for each in self.room.recorded:
            if each.replaces:
                results.pop()
            results.append({vote.member_id: vote.value for vote in each.votes})
        assert results == self.notebook.revealed
        shown = self.room.rules.picture().shown
        if shown is not None and not self.notebook.over:
            assert {vote.member: vote.card for vote in shown.votes} == results[-1]
            assert {each.member for each in shown.missing} == self.notebook.missed
            assert shown.estimate == self.notebook.estimate
            earlier = [each.number for each in self.room.rules.picture().earlier]
            assert earlier == self.notebook.earlier

    def teardown(self) -> None:
        """Replay the log, as it is written, from each snapshot that was ever taken."""
        room = self.room
        entries = read_entries(write_entries(room.log))
        assert entries == room.log
        for save in self.saves:
            again = restored(save.stored)
            for entry in entries[save.entries :]:
                again.apply(entry.command, entry.member, entry.at)
            assert again.snapshot() == room.rules.snapshot()


# A busy machine, measuring coverage, takes several times the usual 9 s.
TestLastingRoom = pytest.mark.timeout(180)(LastingRoom.TestCase)
TestLastingRoom.settings = settings(max_examples=settings().max_examples, stateful_step_count=50)
