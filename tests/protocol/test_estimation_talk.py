"""Chat and reactions in an estimation room: who may, how much, who hears it, and what is kept."""

from itertools import pairwise

import orjson
import pytest

from protocol.changes import Ack, Failure, Reactions, Said, Snapshot, Unsaid
from protocol.codec import dumps
from protocol.dialects.parley_v1 import PARLEY_V1
from protocol.effects import Tell
from protocol.errors import ErrorCode, Problem, Refused
from protocol.ids import MemberId, RemarkText
from protocol.journal import read_entries, write_entries
from protocol.lasting import (
    NOBODY,
    REACTIONS,
    Configure,
    Depart,
    Join,
    Numbered,
    React,
    Role,
    SayHere,
    TellReactions,
    Unsay,
)
from protocol.limits import (
    KIB,
    REACTION_SECONDS,
    REMARK_LENGTH,
    REMARKS,
    REMARKS_BYTES,
    TALK_BYTES_BURST,
    TALK_BYTES_RATE,
)
from protocol.messages import Event, Refusal, Spoken
from protocol.options import Talkers
from protocol.talk import MOST_NAMED, Emoji, Reaction, Remark, add_remark
from tests.protocol.lasting_audience import LastingAudience, restored

HEART, COFFEE = Emoji.HEART, Emoji.COFFEE


def room_of(*others: str, capacity: int = 4) -> LastingAudience:
    """Open a room with Ann, who owns it."""
    room = LastingAudience(capacity)
    room.join("ann", owner=True)
    room.join(*others)
    return room.forget()


def says(room: LastingAudience, member: str, text: str = "Hello") -> Ack | Failure:
    return room.ask(member, SayHere(RemarkText(text)))


def code_of(answer: object) -> ErrorCode:
    assert isinstance(answer, Failure)
    return answer.problem.code


def texts(room: LastingAudience) -> list[str]:
    return [each.text for each in room.rules.picture().messages]


def changes_in(events: list[Event]) -> list[Event]:
    return [event for event in events if isinstance(event, (Said, Unsaid))]


# --- chat ---------------------------------------------------------------------------------------


def test_what_a_member_says_is_told_to_all_and_kept_with_the_room() -> None:
    room = room_of("bob")
    room.join("sue", role=Role.SPECTATOR)
    room.forget()

    answer = says(room, "sue", "Hello\nall")

    said = Said(4, 1, MemberId("sue"), "Sue", "Hello\nall", room.now)
    heard = room.hear()
    assert {member: changes_in(events) for member, events in heard.items()} == {
        "ann": [said],
        "bob": [said],
        "sue": [said],
    }
    assert answer == Ack(1, 4)
    kept = (Remark(1, MemberId("sue"), "Sue", "Hello\nall", room.now),)
    assert room.rules.picture().messages == kept
    assert restored(room.stored()).picture() == room.rules.picture()


def test_members_of_the_other_dialect_hear_what_is_said_and_what_is_taken_back_they_do_not() -> (
    None
):
    room = room_of()
    room.visit("gil")
    room.forget()

    says(room, "ann")
    assert room.hear()["gil"][0] == Spoken("Ann", "Hello")

    room.ask("ann", Unsay(1))
    assert not any(isinstance(each, Spoken) for each in room.hear()["gil"])


def test_a_message_is_said_once_however_often_it_is_asked() -> None:
    room = room_of()
    first = room.ask("ann", SayHere(RemarkText("Hello")), ref=7)

    assert room.ask("ann", SayHere(RemarkText("Hello")), ref=7) == first
    assert texts(room) == ["Hello"]


@pytest.mark.parametrize(
    ("talk_by", "ann", "bob"),
    [
        (Talkers.ALL, None, None),
        (Talkers.FACILITATORS, None, ErrorCode.NOT_FACILITATOR),
        (Talkers.NOBODY, ErrorCode.NO_TALK, ErrorCode.NO_TALK),
    ],
)
def test_who_talks_is_an_option(
    talk_by: Talkers, ann: ErrorCode | None, bob: ErrorCode | None
) -> None:
    room = room_of("bob")
    says(room, "bob", "before")
    room.ask("ann", Configure(talk_by=talk_by))

    for member, expected in (("ann", ann), ("bob", bob)):
        for deed in ("say", "react"):
            assert (deed in room.may(member)) == (expected is None)
        before = room.stored()
        told = room.say(member, React(HEART))
        answer = says(room, member)
        if expected is None:
            assert isinstance(answer, Ack)
        else:
            assert code_of(answer) is expected
            (refusal,) = told
            assert isinstance(refusal, Tell)
            assert isinstance(refusal.event, Refusal)
            assert refusal.event.problem.code is expected
            assert orjson.loads(before)["remarks"] == orjson.loads(room.stored())["remarks"]
    assert isinstance(room.ask("bob", Unsay(1)), Ack)  # as long as it is there to be read


def test_only_the_last_messages_are_kept() -> None:
    room = room_of()
    for number in range(REMARKS + 3):
        room.now += 1.0
        says(room, "ann", f"message {number}")

    assert texts(room) == [f"message {number}" for number in range(3, REMARKS + 3)]
    assert room.rules.picture().messages[-1].id == REMARKS + 3


def test_fewer_are_kept_if_they_are_long() -> None:
    room = room_of()
    text = "\U0001f600" * REMARK_LENGTH  # of four bytes each
    most = REMARKS_BYTES // len(text.encode())
    for _ in range(most + 2):
        room.now += 2.0
        assert isinstance(says(room, "ann", text), Ack)

    kept = room.rules.picture().messages
    assert [each.id for each in kept] == list(range(3, most + 3))
    assert len(dumps(texts(room))) <= 2 * REMARKS_BYTES


def test_all_that_was_said_fits_a_snapshot_however_it_looks_as_json() -> None:
    room = LastingAudience(2)
    room.say("ann", Join(name='"' * 50, owner=True))
    without = PARLEY_V1.encode(room.rules.snapshot_for(MemberId("ann")))
    for number in range(2 * REMARKS):
        room.now += 2.0
        says(room, "ann", '"' * (REMARK_LENGTH if number % 2 else 300))
    frame = PARLEY_V1.encode(room.rules.snapshot_for(MemberId("ann")))

    assert without is not None
    assert frame is not None
    assert REMARKS_BYTES < len(frame) - len(without) < 192 * KIB


def test_one_message_is_kept_even_if_it_were_larger_than_all_may_be() -> None:
    remark = Remark(1, MemberId("ann"), "Ann", "x" * REMARKS_BYTES, 1.0)
    assert add_remark((remark, remark), remark) == (remark,)


def test_who_says_too_much_is_refused_for_the_moment_alone() -> None:
    room = room_of("bob")
    text = "x" * REMARK_LENGTH
    cost = len(dumps(text))
    for _ in range(TALK_BYTES_BURST // cost):
        assert isinstance(says(room, "ann", text), Ack)
    before = room.stored()

    refused = room.ask("ann", SayHere(RemarkText(text)), ref=99)

    assert refused == Failure(99, Problem(ErrorCode.TOO_MUCH, values={"rate": TALK_BYTES_RATE}))
    assert room.stored() == before, "it has no answer yet"
    assert isinstance(says(room, "bob", text), Ack)
    room.now += cost / TALK_BYTES_RATE
    assert isinstance(room.ask("ann", SayHere(RemarkText(text)), ref=99), Ack)
    assert code_of(says(room, "ann", text)) is ErrorCode.TOO_MUCH


def test_how_much_one_has_said_outlives_the_server() -> None:
    room = room_of()
    text = "x" * REMARK_LENGTH
    while isinstance(says(room, "ann", text), Ack):
        pass
    room.restart()
    room.come_back("ann")

    assert code_of(says(room, "ann", text)) is ErrorCode.TOO_MUCH


def test_a_clock_that_was_put_back_silences_nobody() -> None:
    room = room_of()
    says(room, "ann")
    room.now -= 3600.0

    assert isinstance(says(room, "ann"), Ack)


def test_in_the_long_run_nobody_makes_the_others_receive_more_than_its_share() -> None:
    room = room_of()
    said, began = 0, room.now
    text = "x" * 500
    for _ in range(400):
        room.now += 0.0625
        said += isinstance(says(room, "ann", text), Ack)

    seconds = room.now - began
    share = TALK_BYTES_BURST + TALK_BYTES_RATE * seconds
    assert share * 0.95 < said * len(dumps(text)) <= share + KIB


# --- taking back --------------------------------------------------------------------------------


def test_the_author_takes_back_what_it_has_said() -> None:
    room = room_of("bob")
    says(room, "bob", "my password")
    says(room, "bob", "sorry")
    room.forget()

    room.ask("bob", Unsay(1))

    assert changes_in(room.hear()["ann"]) == [Unsaid(5, 1)]
    assert texts(room) == ["sorry"]
    assert b"my password" not in room.stored()


def test_a_facilitator_takes_back_what_anybody_has_said() -> None:
    room = room_of("bob")
    says(room, "bob")

    assert isinstance(room.ask("ann", Unsay(1)), Ack)
    assert texts(room) == []


def test_what_others_have_said_is_not_ones_own_to_take_back() -> None:
    room = room_of("bob")
    says(room, "ann")

    answer = room.ask("bob", Unsay(1))

    assert answer == Failure(1, Problem(ErrorCode.NOT_YOURS, field="id", values={"seq": 1}))
    assert texts(room) == ["Hello"]


@pytest.mark.parametrize("number", [0, -1, 2, 3])
def test_what_is_not_there_cannot_be_taken_back(number: int) -> None:
    room = room_of()
    says(room, "ann", "one")
    says(room, "ann", "two")
    room.ask("ann", Unsay(2))

    assert code_of(room.ask("ann", Unsay(number))) is ErrorCode.NO_SUCH_MESSAGE
    assert says(room, "ann", "three") == Ack(5, 5)
    assert [each.id for each in room.rules.picture().messages] == [1, 3]


def test_what_is_taken_back_is_not_told_again_to_who_was_away() -> None:
    room = room_of("bob", "cid")
    room.detach("bob")
    says(room, "ann", "my password")
    room.detach("cid")
    room.ask("ann", Unsay(1))
    says(room, "ann", "sorry")
    room.forget()

    room.come_back("bob")

    heard = room.hear()["bob"]
    assert any(isinstance(each, Snapshot) for each in heard)
    assert "my password" not in repr(heard)
    room.come_back("cid")
    assert "my password" not in repr(room.hear()["cid"])
    assert room.clients["cid"].picture == room.rules.picture()


def test_who_has_missed_nothing_that_was_taken_back_is_told_only_the_changes() -> None:
    room = room_of("bob")
    says(room, "ann", "my password")
    room.ask("ann", Unsay(1))
    room.detach("bob")
    says(room, "ann", "sorry")
    room.forget()

    room.come_back("bob")

    assert [type(each) for each in changes_in(room.hear()["bob"])] == [Said]
    assert room.greeted["bob"] is not None


def test_messages_stay_when_their_author_has_left() -> None:
    room = room_of("bob")
    says(room, "bob")
    room.ask("bob", Depart())

    assert [each.name for each in room.rules.picture().messages] == ["Bob"]


def test_a_room_stored_before_there_was_chat_is_understood() -> None:
    room = room_of("bob")
    plain = orjson.loads(room.stored())
    for name in ("said", "remarks", "told_anew"):
        del plain[name]
    for seat in plain["seats"].values():
        del seat["talk_paid_at"]
    del plain["options"]["talk_by"]

    assert restored(orjson.dumps(plain)).picture() == room.rules.picture()


# --- reactions ----------------------------------------------------------------------------------


def reactions(room: LastingAudience) -> dict[str, list[Event]]:
    return {
        member: [each for each in events if isinstance(each, Reactions)]
        for member, events in room.hear().items()
    }


def test_a_reaction_is_told_at_once_and_what_follows_is_gathered() -> None:
    room = room_of("bob", "cid")
    room.say("bob", React(HEART))
    first = Reactions((Reaction(HEART, 1, (MemberId("bob"),)),))
    assert reactions(room) == {"ann": [first], "bob": [first], "cid": [first]}
    assert REACTIONS not in room.timers

    for _ in range(5):
        room.say("bob", React(HEART))
        room.say("cid", React(HEART))
    room.say("ann", React(COFFEE))
    assert reactions(room) == {}

    room.ring(REACTIONS)
    both = Reaction(HEART, 2, (MemberId("bob"), MemberId("cid")))
    then = Reactions((both, Reaction(COFFEE, 1, (MemberId("ann"),))))
    assert reactions(room) == {"ann": [then], "bob": [then], "cid": [then]}
    assert REACTIONS not in room.timers
    assert room.say(NOBODY, TellReactions()) == []


def test_nobody_hears_of_reactions_more_than_five_times_a_second_whoever_floods() -> None:
    room = room_of("bob")
    told: list[float] = []
    for step in range(3000):
        room.now = 1000.0 + step / 1024
        due = room.timers.get(REACTIONS)
        if due is not None and due <= room.now:
            room.ring(REACTIONS)
        room.say("bob", React(HEART))
        told += [room.now] * len(reactions(room).get("ann", []))

    assert len(told) > 9
    assert all(later - earlier >= REACTION_SECONDS for earlier, later in pairwise(told))
    assert all(sum(begin <= each < begin + 1.0 for each in told) <= 5 for begin in told)


def test_of_many_only_the_first_are_named() -> None:
    room = LastingAudience(MOST_NAMED + 4)
    room.join("ann", owner=True)
    many = [f"m{number}" for number in range(MOST_NAMED + 2)]
    room.join(*many)
    room.say("ann", React(COFFEE))
    room.forget()
    for member in many:
        room.say(member, React(HEART))

    room.ring(REACTIONS)

    (told,) = reactions(room)["ann"]
    assert told == Reactions((Reaction(HEART, len(many), tuple(map(MemberId, many[:MOST_NAMED]))),))


def test_nothing_of_reactions_is_kept_and_without_them_there_is_no_timer() -> None:
    room = room_of("bob")
    assert room.timers == {}
    before, entries = room.stored(), list(room.log)

    for emoji in Emoji:
        room.say("bob", React(emoji))

    assert room.stored() == before
    assert room.log == entries
    room.restart()
    assert REACTIONS not in room.timers
    assert room.say(NOBODY, TellReactions()) == []


def test_who_is_not_here_by_a_lasting_seat_shows_nothing() -> None:
    room = room_of()
    room.visit("gil")

    assert room.say("gil", React(HEART)) == []
    assert room.say("stranger", React(HEART)) == []
    assert room.say("stranger", Numbered(1, SayHere(RemarkText("Hello")))) == []


def test_a_clock_that_was_put_back_keeps_no_reaction_waiting() -> None:
    room = room_of()
    room.say("ann", React(HEART))
    room.now -= 3600.0
    room.forget()

    room.say("ann", React(COFFEE))

    assert len(reactions(room)["ann"]) == 1


# --- on the wire --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "field", "complaint"),
    [
        ({"type": "say", "ref": 1}, "text", "is missing"),
        ({"type": "say", "ref": 1, "text": 5}, "text", "must be a string"),
        ({"type": "say", "ref": 1, "text": " \n"}, "text", "must not be empty"),
        ({"type": "say", "ref": 1, "text": "a\0b"}, "text", "control characters"),
        ({"type": "say", "ref": 1, "text": "\u200b"}, "text", "visible"),
        ({"type": "say", "ref": 1, "text": "x" * 1001}, "text", "at most 1000 characters"),
        ({"type": "unsay", "ref": 1, "id": "1"}, "id", "must be an integer"),
        ({"type": "react"}, "emoji", "is missing"),
        ({"type": "react", "emoji": "bomb"}, "emoji", "must be one of thumbs_up, heart"),
        ({"type": "react", "emoji": "heart", "ref": 1}, "ref", "is not known"),
        ({"type": "react", "emoji": "heart", "ref": None}, "ref", "is not known"),
        ({"type": "configure", "ref": 1, "talk_by": "some"}, "talk_by", "must be one of all"),
    ],
)
def test_what_is_wrong_is_named(message: object, field: str, complaint: str) -> None:
    with pytest.raises(Refused) as refused:
        PARLEY_V1.decode(dumps(message).decode())

    assert refused.value.problem.field == field
    assert complaint in refused.value.problem.message


def test_what_is_said_is_read_as_it_stands() -> None:
    said = PARLEY_V1.decode('{"type": "say", "ref": 3, "text": " two\\n lines "}')
    assert said == Numbered(3, SayHere(RemarkText(" two\n lines ")))
    assert PARLEY_V1.decode('{"type": "react", "emoji": "party"}') == React(Emoji.PARTY)


def test_what_is_said_is_read_from_the_log_again() -> None:
    room = room_of("bob")
    says(room, "bob", "Hello\nall")
    room.ask("bob", Unsay(1))

    assert read_entries(write_entries(room.log)) == room.log
