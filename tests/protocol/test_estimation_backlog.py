"""The backlog of a room: who changes it, what is told of it, what is taken back, what it may hold.

``ann`` has the owner's key, ``bob`` is anybody.
"""

from typing import Any, Final

import attrs
import orjson
import pytest

from protocol.backlog import Backlog
from protocol.changes import (
    Ack,
    Begun,
    Described,
    Failure,
    Revealed,
    Snapshot,
    TicketChanged,
    TicketMoved,
    TicketsAdded,
    TicketsRemoved,
)
from protocol.deck import Deck
from protocol.dialects.estimatex import ESTIMATEX
from protocol.dialects.parley_v1 import PARLEY_V1, write_request
from protocol.dialects.wording import sentence
from protocol.effects import Settle, TellAll
from protocol.errors import ErrorCode, Refused
from protocol.estimation import Estimation
from protocol.estimation_backlog import estimate, listed_bytes, listed_size
from protocol.estimation_state import State, from_plain, to_plain
from protocol.ids import MemberId, TicketNumber
from protocol.lasting import (
    NOBODY,
    AddTicket,
    BeginRound,
    CastCard,
    Configure,
    Depart,
    DescribeTicket,
    EditTicket,
    ImportTickets,
    Join,
    MoveTicket,
    Numbered,
    RemoveTicket,
    Request,
    RevealRound,
    SetEstimate,
    SkipTicket,
    Undo,
    UnskipTicket,
)
from protocol.limits import (
    BACKLOG_TICKETS,
    CARD_LENGTH,
    KIB,
    LISTED_BYTES,
    NAME_LENGTH,
    SNAPSHOT_BYTES,
    TICKET_DESCRIPTION_LENGTH,
)
from protocol.messages import (
    BeginVoting,
    CastVote,
    RevealVotes,
    TicketId,
    VoteRequested,
    VotesRevealed,
)
from protocol.options import Who
from protocol.picture import Listed, Undoable
from protocol.ticket import (
    Draft,
    TicketDescription,
    TicketKey,
    TicketLabel,
    TicketLink,
    TicketStatus,
    TicketTitle,
)
from tests.protocol.audience import ROOM
from tests.protocol.lasting_audience import LastingAudience

REF: Final = 2**53 - 1


def n(number: int) -> TicketNumber:
    return TicketNumber(number)


def add(title: str, **more: Any) -> AddTicket:
    return AddTicket(title=TicketTitle(title), **more)


def room_of(*titles: str, capacity: int = 4, guest: bool = False) -> LastingAudience:
    """Ann and Bob, and a backlog."""
    room = LastingAudience(capacity)
    room.join("ann", owner=True)
    room.join("bob")
    if guest:
        room.visit("eve")
    for title in titles:
        assert isinstance(room.ask("ann", add(title)), Ack)
    return room.forget()


def backlog(room: LastingAudience) -> tuple[Listed, ...]:
    return room.rules.picture().backlog


def titles(room: LastingAudience) -> list[str]:
    return [each.title for each in backlog(room)]


def code_of(answer: Ack | Failure) -> tuple[ErrorCode, str | None]:
    assert isinstance(answer, Failure)
    return answer.problem.code, answer.problem.field


# --- changes ----------------------------------------------------------------------------------


def test_a_ticket_is_in_the_picture_without_its_description() -> None:
    room = room_of("first")
    wish = add(
        "Pay by card",
        key=TicketKey("SHOP-1"),
        link=TicketLink("https://example.org/1"),
        description=TicketDescription("As a **customer**"),
        kind=TicketLabel("Story"),
        priority=TicketLabel("High"),
        before=n(1),
    )

    answer = room.ask("ann", wish)

    shown = Listed(
        n(2),
        "Pay by card",
        "SHOP-1",
        "https://example.org/1",
        "Story",
        "High",
        TicketStatus.OPEN,
        None,
        described=True,
    )
    undo = Undoable(answer.seq, "add", "SHOP-1", "Ann") if isinstance(answer, Ack) else None
    assert room.hear()["bob"] == [TicketsAdded(4, (shown,), n(1), undo)]
    assert titles(room) == ["Pay by card", "first"]
    assert b"customer" not in orjson.dumps(repr(room.rules.picture()))


def test_fields_are_changed_one_by_one_and_emptied() -> None:
    room = room_of()
    room.ask("ann", add("T", key=TicketKey("K-1"), description=TicketDescription("D")))

    room.ask("ann", EditTicket(ticket=n(1), title=TicketTitle("U")))
    assert (titles(room), backlog(room)[0].key, backlog(room)[0].described) == (["U"], "K-1", True)
    room.forget()
    room.ask("ann", EditTicket(ticket=n(1), description=TicketDescription(""), key=TicketKey("")))

    (change,) = room.hear()["bob"]
    assert isinstance(change, TicketChanged)
    assert (change.ticket.key, change.ticket.described) == ("", False)


def test_an_edit_that_changes_nothing_is_not_told_and_leaves_what_can_be_undone() -> None:
    room = room_of("T")
    before = room.rules.picture()

    answer = room.ask("ann", EditTicket(ticket=n(1), title=TicketTitle("T")))

    assert answer == Ack(2, before.seq)
    assert room.rules.picture() == before


def test_tickets_change_places_and_go() -> None:
    room = room_of("a", "b", "c")

    room.ask("ann", MoveTicket(n(3), n(1)))
    assert titles(room) == ["c", "a", "b"]
    room.ask("ann", MoveTicket(n(3), None))
    room.ask("ann", RemoveTicket(n(2)))

    assert titles(room) == ["a", "c"]
    moved, back, removed = room.hear()["bob"]
    assert isinstance(moved, TicketMoved)
    assert isinstance(back, TicketMoved)
    assert isinstance(removed, TicketsRemoved)
    assert ((moved.ticket, moved.before), (back.ticket, back.before)) == (
        (n(3), n(1)),
        (n(3), None),
    )
    assert removed.tickets == (n(2),)


def test_a_move_to_where_it_is_does_nothing() -> None:
    room = room_of("a", "b")

    assert room.ask("ann", MoveTicket(n(1), n(2))) == Ack(3, room.rules.seq)
    assert "bob" not in room.hear()


def test_a_ticket_is_skipped_and_taken_up() -> None:
    room = room_of("a")

    room.ask("ann", SkipTicket(n(1)))
    assert backlog(room)[0].status is TicketStatus.SKIPPED
    room.ask("ann", UnskipTicket(n(1)))

    assert backlog(room)[0].status is TicketStatus.OPEN


@pytest.mark.parametrize(
    "request_",
    [
        EditTicket(ticket=n(9), title=TicketTitle("T")),
        MoveTicket(n(9), None),
        RemoveTicket(n(9)),
        SkipTicket(n(9)),
        UnskipTicket(n(9)),
    ],
    ids=lambda request: type(request).__name__,
)
def test_a_ticket_that_is_not_there_is_refused(request_: Request) -> None:
    room = room_of("a")
    before = room.stored()

    assert code_of(room.ask("ann", request_)) == (ErrorCode.NO_SUCH_TICKET, "ticket")
    assert titles(room) == ["a"]
    assert orjson.loads(room.stored())["backlog"] == orjson.loads(before)["backlog"]


def test_a_ticket_to_follow_must_be_there() -> None:
    room = room_of("a")

    wrong = room.ask("ann", add("b", before=n(9)))

    assert code_of(wrong) == (ErrorCode.NO_SUCH_TICKET, "before")
    assert titles(room) == ["a"]


# --- who --------------------------------------------------------------------------------------

ALL_REQUESTS: Final[list[Request]] = [
    add("T"),
    EditTicket(ticket=n(1), title=TicketTitle("U")),
    MoveTicket(n(1), None),
    SkipTicket(n(1)),
    UnskipTicket(n(1)),
    RemoveTicket(n(1)),
    Undo(),
]


@pytest.mark.parametrize("request_", ALL_REQUESTS, ids=lambda it: type(it).__name__)
def test_the_backlog_is_left_to_facilitators_or_to_all(request_: Request) -> None:
    room = room_of("a", "b")
    assert not {"backlog", "undo"} & set(room.may("bob"))
    assert {"backlog", "undo"} <= set(room.may("ann"))
    assert code_of(room.ask("bob", request_))[0] is ErrorCode.NOT_FACILITATOR

    room.ask("ann", Configure(backlog_by=Who.ALL))

    assert {"backlog", "undo"} <= set(room.may("bob"))
    assert isinstance(room.ask("bob", request_), Ack)


# --- reading ----------------------------------------------------------------------------------


def test_a_description_is_told_to_whoever_asks_as_often_as_it_asks() -> None:
    room = room_of()
    room.ask("ann", add("T", description=TicketDescription("one")))
    room.forget()
    asked = Numbered(7, DescribeTicket(n(1)))

    room.say("bob", asked)
    room.ask("ann", EditTicket(ticket=n(1), description=TicketDescription("two")))
    room.say("bob", asked)

    told = [event for event in room.hear()["bob"] if isinstance(event, Described)]
    assert told == [Described(7, n(1), "one"), Described(7, n(1), "two")]


def test_of_a_ticket_that_is_not_there_nothing_is_told() -> None:
    room = room_of()

    answer = room.ask("bob", DescribeTicket(n(3)), ref=5)

    assert code_of(answer) == (ErrorCode.NO_SUCH_TICKET, "ticket")
    assert isinstance(answer, Failure)
    assert sentence(answer.problem) == "there is no ticket 3 in the backlog"
    assert isinstance(room.ask("bob", Depart(), ref=5), Ack), "the number was not used up"


# --- taking back ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "request_",
    [
        add("d"),
        add("d", before=n(2)),
        EditTicket(ticket=n(2), title=TicketTitle("B"), description=TicketDescription("D")),
        MoveTicket(n(1), None),
        MoveTicket(n(3), n(1)),
        MoveTicket(n(1), n(3)),
        RemoveTicket(n(1)),
        RemoveTicket(n(2)),
        RemoveTicket(n(3)),
        SkipTicket(n(2)),
    ],
    ids=repr,
)
def test_what_was_done_last_is_taken_back_once(request_: Request) -> None:
    room = room_of("a", "b", "c")
    before = backlog(room)
    done = room.ask("ann", request_)
    assert isinstance(done, Ack)
    assert backlog(room) != before
    offered = room.rules.picture().undo
    assert offered is not None
    assert (offered.seq, offered.by) == (done.seq, "Ann")
    room.forget()

    assert isinstance(room.ask("ann", Undo(seq=done.seq)), Ack)

    assert backlog(room) == before
    (change,) = room.hear()["bob"]
    assert isinstance(change, (TicketsAdded, TicketChanged, TicketMoved, TicketsRemoved))
    assert (change.undo, change.undoes) == (None, done.seq)
    assert room.rules.picture().undo is None
    assert code_of(room.ask("ann", Undo())) == (ErrorCode.NOTHING_TO_UNDO, "seq")


def test_what_is_not_the_last_is_not_taken_back() -> None:
    room = room_of("a")
    first = room.ask("ann", RemoveTicket(n(1)))
    assert isinstance(first, Ack)
    room.ask("ann", add("b"))

    assert code_of(room.ask("ann", Undo(seq=first.seq))) == (ErrorCode.NOTHING_TO_UNDO, "seq")
    assert titles(room) == ["b"]


def test_votes_and_reveals_are_not_taken_back_and_let_the_last_deed_stand() -> None:
    room = room_of("a")
    room.ask("ann", RemoveTicket(n(1)))
    room.ask("ann", BeginRound(TicketId("T")))
    room.ask("bob", CastCard(1, "5"))
    room.ask("ann", RevealRound(1))
    shown = room.rules.picture().shown

    room.ask("ann", Undo())

    assert titles(room) == ["a"]
    assert room.rules.picture().shown == shown


def test_what_can_be_taken_back_outlives_the_server() -> None:
    for request in (add("b"), RemoveTicket(n(1)), SkipTicket(n(1)), MoveTicket(n(1), None)):
        room = room_of("a", "z")
        before = backlog(room)
        room.ask("ann", request)
        room.restart()
        room.come_back("ann")
        room.come_back("bob")

        assert isinstance(room.ask("ann", Undo()), Ack)
        assert backlog(room) == before


# --- voting on tickets ------------------------------------------------------------------------


def test_a_round_is_about_a_ticket_of_the_backlog() -> None:
    room = room_of()
    room.ask("ann", add("Pay by card", key=TicketKey("SHOP-1")))
    room.forget()

    room.ask("ann", BeginRound(ticket_id=n(1)))
    room.ask("bob", CastCard(1, "5"))
    room.ask("ann", RevealRound(1))

    begun, *_, revealed = room.hear()["bob"]
    assert isinstance(begun, Begun)
    assert (begun.ticket, begun.ticket_id) == ("SHOP-1", n(1))
    assert isinstance(revealed, Revealed)
    assert (revealed.shown.ticket, revealed.shown.ticket_id) == ("SHOP-1", n(1))
    assert (room.recorded[0].ticket_id, room.recorded[0].ticket) == ("SHOP-1", n(1))


def test_a_ticket_typed_on_the_spot_has_no_number() -> None:
    room = room_of("a")
    room.ask("ann", BeginRound(ticket_id=n(1)))

    room.ask("ann", BeginRound(TicketId("T")))

    running = room.rules.picture().round
    assert running is not None
    assert (running.number, running.ticket, running.ticket_id) == (2, "T", None)


def test_a_vote_without_a_ticket_has_a_name_for_the_other_dialect_alone() -> None:
    room = room_of(guest=True)

    room.ask("ann", BeginRound())

    assert VoteRequested(TicketId("Round 1")) in room.heard["eve"]
    running = room.rules.picture().round
    assert running is not None
    assert (running.ticket, running.ticket_id) == ("", None)
    room.say("eve", CastVote(TicketId("Round 1"), "8"))
    room.ask("ann", RevealRound(1))
    assert any(isinstance(event, VotesRevealed) for event in room.heard["eve"])
    shown = room.rules.picture().shown
    assert shown is not None
    assert (shown.ticket, len(shown.votes)) == ("", 1)
    room.ask("ann", BeginRound())
    assert VoteRequested(TicketId("Round 2")) in room.heard["eve"]


def test_the_other_dialect_names_a_ticket_by_its_key_or_as_much_of_its_title_as_it_takes() -> None:
    room = room_of("x" * 99 + " y" * 20, "\u200b" * 120 + "z", guest=True)

    room.ask("ann", BeginRound(ticket_id=n(1)))
    room.ask("ann", BeginRound(ticket_id=n(2)))

    asked = [event for event in room.hear()["eve"] if isinstance(event, VoteRequested)]
    assert [each.ticket_id for each in asked] == ["x" * 99, "Ticket 2"]
    for each in asked:
        frame = ESTIMATEX.encode(each)
        assert frame is not None


def test_a_guest_who_owns_the_room_begins_as_ever() -> None:
    room = LastingAudience(keyed=False)
    room.visit("eve")
    room.join("bob")

    room.say("eve", BeginVoting(TicketId("T")))
    room.say("eve", CastVote(TicketId("T"), "5"))
    room.say("eve", RevealVotes(TicketId("T")))

    assert room.recorded[0].ticket is None


def test_a_round_is_not_begun_on_two_tickets_or_on_one_that_is_not_there() -> None:
    room = room_of("a")

    both = room.ask("ann", BeginRound(TicketId("T"), n(1)))
    absent = room.ask("ann", BeginRound(ticket_id=n(2)))

    assert code_of(both) == (ErrorCode.MALFORMED, "ticket_id")
    assert code_of(absent) == (ErrorCode.NO_SUCH_TICKET, "ticket_id")
    assert room.rules.picture().round is None


def test_the_same_ticket_is_not_begun_twice_but_one_of_the_same_name_is() -> None:
    room = room_of("T")
    room.ask("ann", BeginRound(ticket_id=n(1)))

    again = room.ask("ann", BeginRound(ticket_id=n(1)))
    typed = room.ask("ann", BeginRound(TicketId("T")))

    assert code_of(again)[0] is ErrorCode.BEGUN_TWICE
    assert isinstance(typed, Ack)


def test_a_round_goes_on_when_its_ticket_is_removed() -> None:
    room = room_of("a")
    room.ask("ann", BeginRound(ticket_id=n(1)))
    room.ask("bob", CastCard(1, "5"))

    room.ask("ann", RemoveTicket(n(1)))
    room.ask("ann", RevealRound(1))

    assert (room.recorded[0].ticket_id, room.recorded[0].ticket) == ("a", n(1))


# --- final estimates --------------------------------------------------------------------------


def test_the_estimate_of_a_round_is_that_of_its_ticket() -> None:
    room = room_of("a", "b")
    room.ask("ann", BeginRound(ticket_id=n(1)))
    room.ask("ann", CastCard(1, "5"))
    room.ask("ann", RevealRound(1))

    room.ask("ann", SetEstimate(1, "5"))

    picture = room.rules.picture()
    assert [(each.status, each.estimate) for each in picture.backlog] == [
        (TicketStatus.ESTIMATED, "5"),
        (TicketStatus.OPEN, None),
    ]
    assert picture.undo is None
    room.ask("ann", SetEstimate(1, None))
    assert room.rules.picture().backlog[0].status is TicketStatus.OPEN
    assert room.rules.picture() == room.clients["ann"].picture


def state_of(room: LastingAudience) -> State:
    return from_plain(orjson.loads(room.stored()))


def test_an_estimate_is_told_and_is_no_deed_of_the_backlog() -> None:
    state = state_of(room_of("a"))

    (effect,) = estimate(state, n(1), "5")

    assert isinstance(effect, TellAll)
    told = effect.event
    assert isinstance(told, TicketChanged)
    assert (told.ticket.status, told.ticket.estimate) == (TicketStatus.ESTIMATED, "5")
    assert told.undo is None
    assert state.undo is None
    assert estimate(state, n(1), "5") == []
    assert estimate(state, n(9), "5") == []
    assert state.backlog.next_open() is None


# --- imports ----------------------------------------------------------------------------------


def test_an_import_is_one_change_and_is_taken_back_as_one() -> None:
    room = room_of("a")
    drafts = (Draft(title="b"), Draft(title="c", description="D"))

    effects = room.say("ann", ImportTickets("claim", drafts))

    assert effects[-1] == Settle("claim", None)
    (change,) = room.hear()["bob"]
    assert isinstance(change, TicketsAdded)
    assert [each.title for each in change.tickets] == ["b", "c"]
    assert change.undo == Undoable(change.seq, "import", "2 tickets", "Ann")
    room.ask("ann", Undo())
    assert titles(room) == ["a"]


def test_an_import_comes_from_whoever_may_change_the_backlog_or_has_the_owner_key() -> None:
    room = room_of()
    draft = Draft(title="b")

    (bob,) = room.say("bob", ImportTickets("1", (draft,)))
    (stranger,) = room.say("who", ImportTickets("2", (draft,)))
    owner = room.say(NOBODY, ImportTickets("3", (draft,)))

    for refused in (bob, stranger):
        assert isinstance(refused, Settle)
        assert refused.problem is not None
        assert refused.problem.code is ErrorCode.NOT_FACILITATOR
    assert owner[-1] == Settle("3", None)
    undo = room.rules.picture().undo
    assert undo is not None
    assert (undo.label, undo.by) == ("b", "")


def test_an_import_that_does_not_fit_brings_nothing() -> None:
    room = room_of(*map(str, range(3)))
    before = backlog(room)
    most = BACKLOG_TICKETS - len(before)

    (settled,) = room.say("ann", ImportTickets("1", (Draft(title="T"),) * (most + 1)))

    assert isinstance(settled, Settle)
    assert settled.problem is not None
    assert settled.problem.code is ErrorCode.BACKLOG_FULL
    assert backlog(room) == before
    effects = room.say("ann", ImportTickets("2", (Draft(title="T"),) * most))
    assert effects[-1] == Settle("2", None)


# --- sizes ------------------------------------------------------------------------------------

WIDEST: Final = "\U0001d54f"  # four bytes


@pytest.mark.parametrize("capacity", [2, 200, 500])
def test_a_snapshot_fits_an_outbox_however_full_the_room_is(capacity: int) -> None:
    """With the longest names and cards, and the votes of all who are kept after they have left."""
    card = WIDEST * CARD_LENGTH
    room = Estimation(
        ROOM, capacity, deck=Deck((card, "5")), keyed=True, grace_seconds=600.0, opened_at=1e9
    )
    owner = MemberId("f" * 16)
    name = WIDEST * NAME_LENGTH
    room.apply(Join(name=name, owner=True), owner, 1e9)
    draft = Draft(title=WIDEST * 10)
    fitting = min(BACKLOG_TICKETS, listed_bytes(capacity) // listed_size(draft))
    room.apply(ImportTickets("1", (draft,) * fitting), owner, 1e9)
    room.apply(Numbered(1, BeginRound(ticket_id=n(1))), owner, 1e9)
    for generation in range(5):
        comers = [MemberId(f"{generation}{number:015x}") for number in range(capacity - 1)]
        for member in comers:
            room.apply(Join(name=name), member, 1e9)
            room.apply(Numbered(1, CastCard(1, card)), member, 1e9)
            if generation < 4:
                room.apply(Numbered(2, Depart()), member, 1e9)
    room.apply(Numbered(2, RevealRound(1)), owner, 1e9)
    room.apply(Numbered(3, BeginRound()), owner, 1e9)

    picture = room.picture()
    assert picture.shown is not None
    assert (len(picture.backlog), len(picture.members)) == (fitting, capacity)
    assert len(picture.shown.votes) == min(4 * capacity, 5 * (capacity - 1))
    snapshot = PARLEY_V1.encode(room.snapshot_for(owner))
    assert snapshot is not None
    assert len(snapshot) < SNAPSHOT_BYTES


def test_the_list_is_bounded_by_what_it_takes_in_a_snapshot() -> None:
    room = room_of()
    most = listed_bytes(4)
    assert most == LISTED_BYTES
    long = Draft(title="T", link="https://example.org/" + "x" * 1900)
    fitting = most // listed_size(long)

    (refused,) = room.say("ann", ImportTickets("1", (long,) * (fitting + 1)))
    assert isinstance(refused, Settle)
    assert refused.problem is not None
    assert refused.problem.code is ErrorCode.BACKLOG_FULL
    assert room.say("ann", ImportTickets("2", (long,) * fitting))[-1] == Settle("2", None)
    longer = EditTicket(ticket=n(1), title=TicketTitle("T" * 200), key=TicketKey("K" * 50))
    answers = [room.ask("ann", attrs.evolve(longer, ticket=n(number))) for number in range(1, 20)]
    assert code_of(answers[-1])[0] is ErrorCode.BACKLOG_FULL
    shown = room.rules.snapshot_for(MemberId("ann"))
    encoded = PARLEY_V1.encode(shown)
    assert encoded is not None
    assert len(encoded) < SNAPSHOT_BYTES


def test_a_listed_ticket_takes_no_more_than_it_is_reckoned_with() -> None:
    draft = Draft(
        title='"' * 200,
        key="\\" * 50,
        link="https://example.org/",
        description="D",
        type=WIDEST * 50,
        priority="p",
    )
    room = room_of()
    empty = PARLEY_V1.encode(room.rules.snapshot_for(MemberId("ann")))
    room.say("ann", ImportTickets("1", (draft,)))
    state = state_of(room)
    state.backlog.last_id = 2000
    estimate(state, n(1), WIDEST * 8)
    full = Estimation.restore(to_plain(state)).snapshot_for(MemberId("ann"))
    filled = PARLEY_V1.encode(full)
    assert empty is not None
    assert filled is not None
    assert len(filled) - len(empty) <= listed_size(draft) + len("0000")


def test_the_longest_description_fits_a_message_of_its_own() -> None:
    """In UTF-8; a client that escapes everything beyond ASCII must be briefer."""
    for text in (WIDEST, '"', "\n", "\\"):
        request = EditTicket(
            ticket=n(2000), description=TicketDescription(text * TICKET_DESCRIPTION_LENGTH)
        )
        message = write_request(REF, request)
        assert len(message.encode()) < 16 * KIB


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('{"type":"add","ref":1}', "title"),
        ('{"type":"add","ref":1,"title":" "}', "title"),
        ('{"type":"add","ref":1,"title":"T","link":"ftp://x"}', "link"),
        ('{"type":"add","ref":1,"title":"T","status":"open"}', "status"),
        ('{"type":"add","ref":1,"title":"T","before":"2"}', "before"),
        ('{"type":"edit","ref":1,"ticket":1,"key":"%s"}' % ("k" * 51), "key"),
        ('{"type":"edit","ref":1,"ticket":1,"description":7}', "description"),
        ('{"type":"move","ref":1,"ticket":1}', "before"),
        ('{"type":"remove","ref":1}', "ticket"),
        ('{"type":"undo","ref":1,"seq":"x"}', "seq"),
        ('{"type":"begin","ref":1,"ticket":""}', "ticket"),
        ('{"type":"configure","ref":1,"backlog_by":"me"}', "backlog_by"),
    ],
)
def test_what_is_wrong_names_its_field(text: str, field: str) -> None:
    with pytest.raises(Refused) as caught:
        PARLEY_V1.decode(text)
    assert caught.value.problem.field == field


def test_texts_are_cleaned_where_they_come_in() -> None:
    command = PARLEY_V1.decode(
        '{"type":"add","ref":1,"title":"  T ","key":" ","description":"a\\r\\nb"}'
    )

    assert command == Numbered(1, add("T", description=TicketDescription("a\nb")))


def test_a_room_of_the_former_version_has_an_empty_backlog() -> None:
    room = room_of()
    stored = orjson.loads(room.stored())
    for name in ("backlog", "undo", "named", "ticket_number"):
        del stored[name]

    again = Estimation.restore(stored)

    assert again.picture() == room.rules.picture()
    assert state_of(room).backlog == Backlog()


def test_whoever_comes_is_told_the_backlog() -> None:
    room = room_of("a")

    room.join("cid")

    (snapshot,) = room.heard["cid"]
    assert isinstance(snapshot, Snapshot)
    assert [each.title for each in snapshot.picture.backlog] == ["a"]
