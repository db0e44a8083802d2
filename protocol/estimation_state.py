"""All that an estimation room knows, as data: what is stored of it, and what is shown of it."""

from enum import Enum
from typing import Any, Final

import attrs

from protocol.answers import Answer, Answers, answer_to
from protocol.changes import Ack
from protocol.codec import CONVERTER, dumps, loads, new_converter
from protocol.deck import DEFAULT_DECK, Deck
from protocol.errors import Problem
from protocol.ids import MemberId, RoomId
from protocol.lasting import Role
from protocol.limits import ANNOUNCE_SECONDS, EARLIER_ROUNDS, ROUNDS
from protocol.messages import TicketId, Vote
from protocol.options import DEFAULTS, Options
from protocol.picture import (
    Earlier,
    May,
    Mine,
    Picture,
    Running,
    Seated,
    Shown,
    Stage,
    Timer,
    abilities,
    may_do,
)
from protocol.statistics import summarize
from protocol.talk import Gathered, Remark
from protocol.value import value

_NO_TICKET: Final = TicketId("")

STATE_VERSION: Final = 2
"""Of the form in which rooms are stored; another one is not understood."""


class Phase(Enum):
    """What the room is waiting for."""

    # There is one of each, and a room looks them up for each vote: Enum's own takes a call more.
    __hash__ = object.__hash__

    GATHERING = "gathering"
    """Members; the admin has not been prompted yet."""
    READY = "ready"
    """A ticket from the admin, who has been prompted once for it."""
    VOTING = "voting"
    """Votes."""
    VOTED = "voted"
    """The admin's word to reveal, for which it has been prompted once."""
    ENDED = "ended"
    """Nothing any more."""


@attrs.define
class Seat:
    """A member that has a place in the room."""

    name: str
    admin: bool
    """It is the room's owner."""
    facilitator: bool = False
    """It leads the room, as the admin always does."""
    announced: bool = False
    role: Role = Role.VOTER
    lasting: bool = False
    """Whether it outlives its connection."""
    here: bool = True
    since: float = 0.0
    """When it came, went away or came back, in seconds by the room's clock."""
    account: int | None = None
    login: str | None = None
    """By what it is signed in to its account."""
    tag: int = 1
    """Tells it apart from others of its name (``protocol.estimation_names``)."""
    nudged_at: float | None = None
    """When it was last reminded of its vote."""
    answers: Answers | None = None
    """To its numbered requests; ``None`` before the first one."""
    talk_paid_at: float = 0.0
    """When it may have said what it has said, had it talked without a pause at its rate."""


@value
class Past:
    """A round that was revealed, and the ticket on which it was."""

    ticket: str
    round: Earlier


@attrs.define(kw_only=True)
class State:
    """An estimation room, whole."""

    room_id: RoomId
    capacity: int
    deck: Deck = DEFAULT_DECK
    name: str = ""
    grace_seconds: float = 0.0
    options: Options = DEFAULTS
    opened_at: float = 0.0
    keyed: bool = False
    """The owner is who shows a key; otherwise, who enters first."""
    rounds_left: int = ROUNDS
    most_capacity: int = 0
    """Up to which the number of seats can be raised, if that is more than it is."""
    phase: Phase = Phase.GATHERING
    seats: dict[MemberId, Seat] = attrs.Factory(dict)
    admin: MemberId | None = None
    announced: int = 0
    guests: int = 0
    """Of those that are announced, the ones that end with their connections."""
    told_full: bool = False
    numbering: bool = False
    """Changes are numbered: somebody is here, or was, whose dialect needs it."""
    seq: int = 0
    """Of the last change."""
    generations: list[int] = attrs.Factory(lambda: [0])
    """For each time that the room has been started, the number of the last change before: of an
    earlier generation, what came after that number has never been."""
    expected: set[MemberId] = attrs.Factory(set)
    """Who was here before a restart, or in the rest after it, and has not been back since."""
    resting_until: float = 0.0
    """Until then nobody turns the page: those who are expected may have to ask again for what the
    last server acknowledged and did not keep."""
    rest_ends: float = 0.0
    """When that is over at the latest, whoever is still expected."""
    locked: bool = False
    """Nobody new comes in."""
    seal: str | None = attrs.field(default=None, repr=False)
    """By which the passcode is recognised, if there is one."""
    banned: dict[MemberId, int | None] = attrs.Factory(dict)
    """Who was put out for good, and of which account it was."""
    removed: dict[MemberId, str] = attrs.Factory(dict)
    """Who was put out last, and by whom."""
    parked: bool = False
    """The last server has kept all that it acknowledged, so nobody has to ask again."""
    # The round: the ticket, votes and times mean something in VOTING and VOTED only.
    round: int = 0
    ticket: TicketId = _NO_TICKET
    votes: dict[MemberId, Vote] = attrs.Factory(dict)
    waited_for: set[MemberId] = attrs.Factory(set)
    """Present, voters and without a vote."""
    began: float = 0.0
    unled_since: float | None = None
    """From when on it may be claimed, as nobody leads it any more."""
    told_complete: bool = False
    """Members that end with their connections know that everybody has voted."""
    prompted: bool = False
    """The admin has been asked to reveal the votes, and has not answered."""
    returning_until: float = 0.0
    """Until then who is away may be on the way back after a restart, and is waited for."""
    shown: Shown | None = None
    """The last round that was revealed, where changes are numbered."""
    past: tuple[Past, ...] = ()
    """The last of those before the one that was begun last, ascending."""
    timer: Timer | None = None
    """The one that runs or is paused."""
    said: int = 0
    """Messages that were ever said."""
    remarks: tuple[Remark, ...] = ()
    """The last of them, ascending, without those that were taken back."""
    told_anew: int = 0
    """Who knows less than the change of this number is told everything anew: before it somebody has
    said what must not be told any more."""
    # No arguments, so not stored: given anew whenever the room starts.
    announce_seconds: float = attrs.field(init=False, eq=False, default=ANNOUNCE_SECONDS)
    """That a member may take from its seat to its announcement."""
    results_key: str = attrs.field(init=False, eq=False, repr=False, default="")
    """Told to every member: it opens the room's results."""
    reactions: Gathered | None = attrs.field(init=False, eq=False, repr=False, default=None)
    """Of this moment; ``None`` before the first one."""


_VOTING, _VOTED = Phase.VOTING, Phase.VOTED  # looked up once


def seated(member: MemberId, seat: Seat, *, voted: bool) -> Seated:
    """Show a member as everybody may see it."""
    return Seated(
        member,
        seat.name,
        seat.role,
        seat.admin,
        seat.facilitator or seat.admin,
        seat.here,
        seat.since,
        voted,
        seat.account is not None,
        seat.tag,
    )


def stage(state: State) -> Stage:
    """Say what the room shows."""
    if state.phase is _VOTING or state.phase is _VOTED:
        return Stage.VOTING
    return Stage.WAITING if state.shown is None else Stage.REVEALED


def earlier(state: State) -> tuple[Earlier, ...]:
    """Give what is left in sight of earlier rounds of the ticket that was begun last."""
    ticket = state.ticket
    found = [each.round for each in state.past if each.ticket == ticket]
    return tuple(found[-EARLIER_ROUNDS:])


def waiting_for(state: State) -> tuple[MemberId, ...]:
    """List whose votes are waited for, in the order of their seats."""
    return tuple(member for member in state.seats if member in state.waited_for)


def picture(state: State) -> Picture:
    """Show the room as everybody may see it."""
    now = stage(state)
    running = None
    if now is Stage.VOTING:
        running = Running(
            state.round,
            state.ticket,
            state.began,
            state.phase is Phase.VOTED,
            waiting_for(state),
        )
    return Picture(
        seq=state.seq,
        room_id=state.room_id,
        name=state.name,
        capacity=state.capacity,
        deck_id=state.deck.id,
        cards=state.deck.cards,
        grace_seconds=state.grace_seconds,
        opened_at=state.opened_at,
        stage=now,
        members=tuple(
            seated(member, seat, voted=running is not None and member in state.votes)
            for member, seat in state.seats.items()
            if seat.announced
        ),
        round=running,
        shown=state.shown,
        earlier=earlier(state),
        options=state.options,
        may=may(state),
        unled_since=state.unled_since,
        locked=state.locked,
        needs_passcode=state.seal is not None,
        timer=state.timer,
        messages=state.remarks,
    )


def may(state: State) -> May:
    """Say what may be asked for now."""
    now = stage(state)
    return abilities(
        now,
        votes=now is Stage.VOTING and bool(state.votes),
        rounds=state.rounds_left > 0,
        options=state.options,
        led=state.unled_since is None,
        shown=state.shown is not None,
        timer=state.timer,
    )


def mine(state: State, shown: Picture, member: MemberId) -> Mine:
    """Say what only this member may know."""
    vote = state.votes.get(member) if shown.round is not None else None
    return Mine(member, None if vote is None else vote.value, may_do(shown, member))


def _pack(answers: Answers) -> list[list[Any]]:
    """Give answers without the names of their fields: they are most of what a room stores."""
    return [
        [each.ref, each.seq]
        if isinstance(each, Ack)
        else [each.ref, 0, CONVERTER.unstructure(each.problem)]
        for each in answers.given
    ]


def _unpack(packed: Any, _: object) -> Answers:
    rows = CONVERTER.structure(packed, list[list[Any]])
    return Answers([_answer(*row) for row in rows])


def _answer(ref: Any, seq: Any, problem: Any = None) -> Answer:
    return answer_to(
        CONVERTER.structure(ref, int),
        CONVERTER.structure(seq, int),
        None if problem is None else CONVERTER.structure(problem, Problem),
    )


_STORED: Final = new_converter()
_STORED.register_unstructure_hook(Answers, _pack)
_STORED.register_structure_hook(Answers, _unpack)


def to_plain(state: State) -> dict[str, Any]:
    """Give a room as plain data, which JSON can hold."""
    plain: dict[str, Any] = _STORED.unstructure(state)
    # In the order of the seats, so that equal rooms are stored alike.
    plain["waited_for"] = list(waiting_for(state))
    plain["expected"] = [member for member in state.seats if member in state.expected]
    plain["version"] = STATE_VERSION
    return plain


def _know_decks(data: dict[str, Any]) -> None:
    """Bring up to date what was stored when a deck was its labels, and statistics had less."""
    data["deck"] = data.pop("cards")
    if data.get("shown") is not None:
        cards = [vote["card"] for vote in data["shown"]["votes"]]
        summary = summarize(cards, Deck.of_plain(data["deck"]))
        told = loads(dumps(CONVERTER.unstructure(summary)).decode())
        data["shown"] = data["shown"] | {"statistics": told}


def from_plain(plain: dict[str, Any]) -> State:
    """Read what :func:`to_plain` gave.

    Raises:
        ValueError: if it is of another version.
        ClassValidationError: if it is something else altogether.
    """
    data = dict(plain)
    version = data.pop("version", None)
    if version != STATE_VERSION:
        raise ValueError(f"a room of version {version} is not understood")
    if "cards" in data:
        _know_decks(data)
    # Tickets from outside must not be empty; that of a room is, before its first round.
    ticket = data.pop("ticket", _NO_TICKET)
    state = _STORED.structure(data, State)
    state.ticket = CONVERTER.structure(ticket, TicketId) if ticket != _NO_TICKET else _NO_TICKET
    if state.options == DEFAULTS:
        state.options = DEFAULTS  # as protocol.picture knows it
    return state
