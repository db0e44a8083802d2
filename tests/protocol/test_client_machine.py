"""Clients against the real rules, over connections that break, on a server that crashes.

Whatever happens: each request is answered once, each acknowledged one took effect exactly once in
the history that remains, and every client's picture is the server's at each number.
"""

from collections.abc import Callable

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from protocol.changes import Ack
from protocol.client_estimation import EstimationClient
from protocol.client_happenings import (
    Again,
    Answered,
    Changed,
    Complained,
    Happening,
    Misunderstood,
    Over,
    Stored,
    Undone,
    Visible,
)
from protocol.client_states import Standing
from protocol.dialects.parley_v1 import Error
from protocol.errors import ErrorCode, Problem
from protocol.fold import digest
from protocol.greeting import Hello
from protocol.ids import TicketId
from protocol.lasting import BeginRound, CastCard, Request, RevealRound
from tests.protocol.lossy_server import KEY, Link, LossyServer

PEOPLE = ("Ann", "Bob", "Cid")
WHO = st.integers(0, len(PEOPLE) - 1)
LOST_RACE = {ErrorCode.NO_VOTE_RUNNING, ErrorCode.WRONG_ROUND}
"""Why a vote that was acknowledged may be refused after a crash: the reveal came back first."""


@attrs.define(eq=False)
class Person:
    client: EstimationClient
    link: Link | None = None
    answers: dict[int, Ack | Error] = attrs.Factory(dict)
    visible: list[int] = attrs.Factory(list)
    stored: list[int] = attrs.Factory(list)
    undone: list[int] = attrs.Factory(list)


class Clients(RuleBasedStateMachine):
    """Three clients, of whom the first owns the room."""

    def __init__(self) -> None:
        super().__init__()
        self.server = LossyServer()
        self.people: list[Person] = []
        self.crashes = 0

    @initialize(jitter=st.sampled_from([0.0, 0.5, 0.999]))
    def come(self, jitter: float) -> None:
        for name in PEOPLE:
            key = KEY if name == PEOPLE[0] else None
            hello = Hello(name=name, owner_key=key)
            person = Person(EstimationClient(hello, constant(jitter)))
            self.people.append(person)
            self.connect_person(person)
            self.exchange(person)

    # --- connections ------------------------------------------------------------------------

    def connect_person(self, person: Person) -> None:
        client = person.client
        if client.standing is Standing.OFFLINE:
            if client.due is not None:
                self.server.now = max(self.server.now, client.due)
            client.opened(self.server.now)
            person.link = self.server.connect()

    @rule(who=WHO)
    def connect(self, who: int) -> None:
        self.connect_person(self.people[who])

    @rule(who=WHO, noticed=st.booleans())
    def cut(self, who: int, noticed: bool) -> None:
        """Cut a connection; half-open, the server notices later, or never."""
        person = self.people[who]
        if person.link is not None:
            link, person.link = person.link, None
            again = person.client.closed(None, self.server.now)
            assert isinstance(again, Again)
            if noticed:
                self.server.lose(link)

    @rule(number=st.integers(0, 9))
    def notice(self, number: int) -> None:
        """The server notices that a half-open connection is dead, often too late."""
        live = [each.link for each in self.people]
        dead = [each for each in self.server.links if each not in live]
        if dead:
            self.server.lose(dead[number % len(dead)])

    @rule(who=WHO)
    def send(self, who: int) -> None:
        person = self.people[who]
        if person.link is not None:
            person.link.up.extend(person.client.to_send(self.server.now))

    @rule(who=WHO, many=st.integers(1, 5))
    def arrive(self, who: int, many: int) -> None:
        """Let messages arrive at the server, from a half-open connection too."""
        link = self.people[who].link
        for _ in range(many):
            if link is not None and link.up:
                self.server.hear(link)

    @rule(who=WHO)
    def arrive_twice(self, who: int) -> None:
        link = self.people[who].link
        if link is not None and link.up and link.member is not None:
            link.up.appendleft(link.up[0])
            self.server.hear(link)
            self.server.hear(link)

    @rule(who=WHO, many=st.integers(1, 5))
    def hear(self, who: int, many: int) -> None:
        person = self.people[who]
        for _ in range(many):
            if person.link is not None and person.link.down:
                self.take(person, person.client.receive(person.link.down.popleft(), self.now()))
            if person.link is not None and self.ended(person):
                self.take(person, [person.client.closed(person.link.closed or None, self.now())])
                self.server.lose(person.link)
                person.link = None

    def ended(self, person: Person) -> bool:
        link = person.link
        if link is None:
            return False
        return person.client.hang_up or (not link.down and link.closed is not None)

    def exchange(self, person: Person) -> None:
        """Let everything be sent and arrive, both ways, until nobody has anything to say."""
        while person.link is not None:
            person.link.up.extend(person.client.to_send(self.now()))
            if person.link.up:
                self.server.hear(person.link)
            elif person.link.down or self.ended(person):
                self.hear(self.people.index(person), 1)
            else:
                return

    @rule(who=WHO)
    def talk(self, who: int) -> None:
        self.connect_person(self.people[who])
        self.exchange(self.people[who])

    # --- the server -------------------------------------------------------------------------

    @rule(tell=st.booleans() | st.just(True))
    def save(self, tell: bool) -> None:
        self.server.save(tell=tell)

    @rule()
    def crash(self) -> None:
        self.server.crash()
        self.crashes += 1

    @rule()
    def stop(self) -> None:
        self.server.stop(back_in=1.5)

    @rule(numbered=st.booleans())
    def refuse_for_the_moment(self, numbered: bool) -> None:
        values = {"ref": 0} if numbered else {}
        self.server.refuse_next = Problem(ErrorCode.TOO_FAST, "too fast", values=values)

    # --- what people ask for ----------------------------------------------------------------

    def ask(self, who: int, request: Request) -> None:
        client = self.people[who].client
        ref = client.request(request)
        assert client.pending[-1].ref == ref

    @rule(ticket=st.sampled_from(["A", "B"]), who=st.sampled_from([0, 0, 0, 1]))
    def begin(self, ticket: str, who: int) -> None:
        self.ask(who, BeginRound(TicketId(ticket)))

    @rule(who=WHO, card=st.sampled_from(["1", "2", "3", "5", "8", "none"]))
    def vote(self, who: int, card: str) -> None:
        picture = self.people[who].client.picture
        if picture is not None and picture.round is not None:
            self.ask(who, CastCard(picture.round.number, card))

    @rule(who=st.sampled_from([0, 0, 0, 1]))
    def reveal(self, who: int) -> None:
        picture = self.people[who].client.picture
        if picture is not None and picture.round is not None:
            self.ask(who, RevealRound(picture.round.number))

    @precondition(lambda self: self.people and self.people[0].client.picture is not None)
    @rule(cards=st.lists(st.sampled_from(["1", "2", "3", "5", "8"]), min_size=3, max_size=3))
    def play(self, cards: list[str]) -> None:
        """A whole round as far as the connections carry it, or little would ever happen."""
        self.begin("A", 0)
        self.everybody_talks()
        for who, card in enumerate(cards):
            self.vote(who, card)
        self.everybody_talks()
        self.reveal(0)

    @rule(cards=st.lists(st.sampled_from(["1", "2", "3", "5", "8"]), min_size=3, max_size=3))
    def votes_are_lost_in_a_crash(self, cards: list[str]) -> None:
        """The moment between being acknowledged and being saved is short, so aim at it."""
        for who, card in enumerate(cards):
            self.vote(who, card)
            self.exchange(self.people[who])
        self.crash()

    def everybody_talks(self) -> None:
        for _ in range(2):
            for person in self.people:
                self.exchange(person)
            self.server.save()

    # --- what is seen -----------------------------------------------------------------------

    def now(self) -> float:
        return self.server.now

    def take(self, person: Person, happenings: list[Happening] | list[Again | Over]) -> None:
        for happening in happenings:
            match happening:
                case Changed(picture, mine, _):
                    known = self.server.digests.get(picture.seq)
                    welcome = person.client.welcome
                    assert welcome is not None
                    if welcome.epoch == f"7.{self.server.rules.generation}":
                        assert digest(picture) == known
                    assert mine.member == welcome.member
                case Answered(ref, _, answer):
                    assert ref not in person.answers
                    assert isinstance(answer, Ack | Error)
                    person.answers[ref] = answer
                case Visible(ref):
                    assert ref not in person.visible
                    person.visible.append(ref)
                case Stored(refs):
                    assert not set(refs) & {*person.stored, *person.undone}
                    person.stored += refs
                case Undone(ref, request, error):
                    assert self.crashes
                    assert isinstance(request, CastCard)
                    assert error.code in LOST_RACE
                    person.undone.append(ref)
                case Complained() | Misunderstood() | Over():
                    raise AssertionError(happening)

    # --- in the end -------------------------------------------------------------------------

    def teardown(self) -> None:
        """Let all come back, and everything be told and saved; then look."""
        self.server.refuse_next = None
        for _ in range(1000):
            for person in self.people:
                self.connect_person(person)
                self.exchange(person)
            self.server.save()
            for person in self.people:
                self.exchange(person)
            if all(map(self.finished, self.people)):
                break
            self.server.now += 0.5
        for person in self.people:
            self.check(person)

    def finished(self, person: Person) -> bool:
        link, client = person.link, person.client
        quiet = link is not None and not link.up and not link.down and not link.held
        return quiet and client.settled and client.standing is Standing.INSIDE

    def check(self, person: Person) -> None:
        client, rules = person.client, self.server.rules
        assert self.finished(person)
        assert client.welcome is not None
        assert client.picture == rules.picture()
        assert client.mine == rules.snapshot_for(client.welcome.member).mine
        assert client.pending == ()
        assert list(person.answers) == list(range(1, len(person.answers) + 1))
        for ref, answer in person.answers.items():
            accepted = isinstance(answer, Ack) and ref not in person.undone
            effects = self.server.effects[client.welcome.member, ref]
            assert effects == (1 if accepted else 0), (ref, answer)
            assert (ref in person.stored) == accepted
            assert not accepted or ref in person.visible


def constant(number: float) -> Callable[[], float]:
    return lambda: number


TestClients = pytest.mark.timeout(180)(Clients.TestCase)
TestClients.settings = settings(max_examples=2 * settings().max_examples, stateful_step_count=50)
