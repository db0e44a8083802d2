"""What members are called, rule by rule; ``ann`` owns the room."""

import pytest

from protocol.changes import Ack, Renamed
from protocol.dialects.parley_v1 import PARLEY_V1
from protocol.errors import ErrorCode, Refused
from protocol.ids import MemberId, MemberName
from protocol.lasting import CastCard, Depart, Join, Numbered, Rename, RevealRound
from protocol.messages import (
    Announce,
    CastVote,
    Enter,
    MemberJoined,
    MemberLeft,
    MemberPresent,
    MemberRenamed,
    TicketId,
    VoteCast,
)
from tests.protocol.audience import ROOM
from tests.protocol.lasting_audience import LastingAudience
from tests.protocol.test_lasting import BOB, T1, code_of, room_of, seated


def come(room: LastingAudience, member: str, name: str, *, account: int | None = None) -> None:
    room.say(member, Join(name=name, account=account))


def visit(room: LastingAudience, member: str, name: str) -> None:
    room.say(member, Enter(name))
    room.say(member, Announce(ROOM))


def names(room: LastingAudience) -> list[tuple[str, int]]:
    return [(each.name, each.tag) for each in room.rules.picture().members]


def to_rename(name: str) -> Rename:
    return Rename(MemberName(name))


# --- renaming ---------------------------------------------------------------------------------


def test_a_member_calls_itself_otherwise() -> None:
    room = room_of("bob")

    assert room.ask("bob", to_rename("Robert")) == Ack(1, 3)

    assert room.heard["ann"] == [Renamed(3, BOB, "Robert", 1)]
    assert names(room) == [("Ann", 1), ("Robert", 1)]
    assert "rename" in room.may("bob")


def test_the_same_name_is_no_change() -> None:
    room = room_of("bob")
    assert room.ask("bob", to_rename("Bob")) == Ack(1, 2)


def test_a_vote_has_the_name_that_its_voter_had() -> None:
    room = room_of("bob")
    room.ask("ann", T1)
    room.ask("ann", CastCard(1, "5"))
    room.ask("ann", to_rename("Anna"))
    room.ask("bob", CastCard(1, "8"))
    room.ask("ann", RevealRound(1))

    room.ask("bob", to_rename("Robert"))

    shown = room.rules.picture().shown
    assert shown is not None
    assert [vote.name for vote in shown.votes] == ["Ann", "Bob"]
    assert [vote.name for vote in room.recorded[0].votes] == ["Ann", "Bob"]
    assert names(room) == [("Anna", 1), ("Robert", 1)]


def test_who_is_signed_in_is_called_as_its_account() -> None:
    room = room_of()
    come(room, "bob", "Bob", account=7)

    assert code_of(room.ask("bob", to_rename("Ann"))) is ErrorCode.NAME_OF_ACCOUNT
    assert names(room) == [("Ann", 1), ("Bob", 1)]


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ('""', "name must"),
        ('"' + "n" * 51 + '"', "name must"),
        (r'"A\u0000"', "name must"),
        ('"Ann (ADMIN) "', "name must not end in (admin)"),
        ("5", "name must be a string"),
    ],
)
def test_a_name_is_judged_as_in_the_first_message(name: str, complaint: str) -> None:
    with pytest.raises(Refused) as refused:
        PARLEY_V1.decode(f'{{"type": "rename", "ref": 3, "name": {name}}}')
    assert refused.value.problem.field == "name"
    assert refused.value.problem.values == {"ref": 3}
    assert refused.value.problem.message.startswith(complaint)


def test_a_name_is_cleaned_as_in_the_first_message() -> None:
    command = PARLEY_V1.decode('{"type": "rename", "ref": 3, "name": " Ann "}')
    assert command == Numbered(3, Rename(MemberName("Ann")))


# --- two of one name --------------------------------------------------------------------------


def test_the_second_one_of_a_name_is_number_two_and_stays_so() -> None:
    room = room_of()
    for member in ("ann2", "ann3"):
        come(room, member, "Ann")
    assert names(room) == [("Ann", 1), ("Ann", 2), ("Ann", 3)]

    room.ask("ann2", Depart())
    assert names(room) == [("Ann", 1), ("Ann", 3)]
    come(room, "ann4", "Ann")
    assert names(room) == [("Ann", 1), ("Ann", 3), ("Ann", 2)]

    room.restart()
    assert names(room) == [("Ann", 1), ("Ann", 3), ("Ann", 2)]


def test_who_takes_a_name_that_somebody_has_gets_a_number_and_loses_it_with_the_name() -> None:
    room = room_of("bob")

    room.ask("bob", to_rename("Ann"))
    assert seated(room, "bob").tag == 2
    room.ask("bob", to_rename("Bob"))

    assert names(room) == [("Ann", 1), ("Bob", 1)]


def test_nobody_is_called_as_somebody_elses_name_and_number() -> None:
    room = room_of("bob")
    room.ask("bob", to_rename("Ann (2)"))

    come(room, "ann3", "Ann")
    come(room, "ann4", "Ann (3)")

    assert names(room) == [("Ann", 1), ("Ann (2)", 1), ("Ann", 3), ("Ann (3)", 2)]


def test_who_has_not_announced_itself_has_no_name_yet() -> None:
    room = room_of()
    room.say("eve", Enter("Bob"))
    come(room, "bob", "Bob")

    room.say("eve", Announce(ROOM))

    assert names(room) == [("Ann", 1), ("Bob", 1), ("Bob", 2)]


def test_where_there_is_only_text_the_number_stands_behind_the_name() -> None:
    room = room_of()
    visit(room, "eve", "Ann")
    assert MemberJoined("Ann (2)", admin=False) in room.heard["eve"]
    room.ask("ann", T1)
    come(room, "ann3", "Ann")
    room.ask("ann3", CastCard(1, "5"))
    room.say("eve", CastVote(TicketId("T-1"), "8"))
    visit(room, "dee", "Dee")
    assert MemberPresent("Ann (3)", admin=False) in room.heard["dee"]
    assert VoteCast("Ann (3)", TicketId("T-1")) in room.heard["eve"]

    room.ask("ann3", to_rename("Anna"))
    room.ask("ann", RevealRound(1))
    room.ask("ann3", Depart())

    assert MemberRenamed("Ann (3)", "Anna") in room.heard["eve"]
    assert MemberLeft("Anna") in room.heard["eve"]
    assert [vote.name for vote in room.recorded[0].votes] == ["Ann (3)", "Ann (2)"]
    assert seated(room, MemberId("eve")).tag == 2
