"""Who comes into an estimation room: its lock, its passcode as a seal, and bans."""

import orjson
import pytest

from protocol.changes import Ack, DoorChanged, Failure
from protocol.effects import Disconnect
from protocol.errors import ErrorCode
from protocol.estimation import Estimation
from protocol.estimation_state import State
from protocol.ids import MemberId, TicketId
from protocol.journal import write_entries
from protocol.lasting import (
    BeginRound,
    CastCard,
    Depart,
    Join,
    Kick,
    Lock,
    Request,
    SealPasscode,
)
from protocol.messages import Enter, Refusal
from tests.protocol.audience import ROOM
from tests.protocol.lasting_audience import LastingAudience, restored

SEAL = "5a17.c0de"


def room_of(*members: str, keyed: bool = True, capacity: int = 6) -> LastingAudience:
    room = LastingAudience(capacity, keyed=keyed)
    room.join("ann", owner=True)
    room.join(*members)
    return room.forget()


def code_of(answer: Ack | Failure) -> ErrorCode:
    assert isinstance(answer, Failure)
    return answer.problem.code


# --- the lock -------------------------------------------------------------------------------


def test_nobody_new_comes_into_a_locked_room_in_either_dialect() -> None:
    room = room_of("bob")

    answer = room.ask("ann", Lock(locked=True))

    assert isinstance(answer, Ack)
    assert room.hear()["bob"] == [DoorChanged(answer.seq, locked=True, needs_passcode=False)]
    assert room.rules.picture().locked
    room.join("cid")
    room.say("eve", Enter("Eve"))
    assert room.dismissed == {"cid": ErrorCode.LOCKED, "eve": ErrorCode.LOCKED}
    [refusal] = room.hear()["eve"]
    assert isinstance(refusal, Refusal)
    assert refusal.problem.code is ErrorCode.LOCKED
    assert [each.name for each in room.rules.picture().members] == ["Ann", "Bob"]


def test_whoever_was_in_comes_back_and_the_owners_key_opens_all_the_same() -> None:
    room = room_of("bob")
    room.ask("ann", Lock(locked=True))
    room.detach("bob")

    room.come_back("bob")
    room.join("deb", owner=True)

    assert room.dismissed == {}
    assert [(each.name, each.here) for each in room.rules.picture().members] == [
        ("Ann", True),
        ("Bob", True),
        ("Deb", True),
    ]
    assert room.rules.owner == "deb"


def test_a_key_is_no_key_where_there_is_none() -> None:
    room = LastingAudience(keyed=False)
    room.visit("eve")
    locked = Estimation.restore(room.rules.snapshot() | {"locked": True})

    _, parting = locked.apply(Join(name="Bob", owner=True), MemberId("bob"), room.now)

    assert isinstance(parting, Disconnect)
    assert parting.problem.code is ErrorCode.LOCKED


def test_a_lock_holds_after_a_restart_and_ends_when_it_is_opened() -> None:
    room = room_of("bob")
    room.ask("ann", Lock(locked=True))
    room.restart()

    room.join("cid")
    room.come_back("ann")
    room.ask("ann", Lock(locked=False))
    room.join("deb")

    assert room.dismissed == {"cid": ErrorCode.LOCKED}
    assert [each.name for each in room.rules.picture().members] == ["Ann", "Bob", "Deb"]


def test_locking_what_is_locked_is_told_to_nobody() -> None:
    room = room_of("bob")
    room.ask("ann", Lock(locked=True))
    room.forget()

    answer = room.ask("ann", Lock(locked=True))

    assert isinstance(answer, Ack)
    assert "bob" not in room.hear()


# --- the passcode ---------------------------------------------------------------------------


def test_a_passcode_is_told_by_its_being_there_alone() -> None:
    room = room_of("bob")

    room.ask("ann", SealPasscode(SEAL))
    told = room.hear()["bob"]
    room.ask("ann", SealPasscode("other.seal"))
    again = room.hear().get("bob", [])
    room.ask("ann", SealPasscode(None))
    removed = room.hear()["bob"]

    assert told == [DoorChanged(3, locked=False, needs_passcode=True)]
    assert again == [], "another passcode concerns nobody who is in"
    assert removed == [DoorChanged(4, locked=False, needs_passcode=False)]
    assert room.rules.seal is None


def test_whoever_cannot_say_a_passcode_is_turned_away() -> None:
    room = room_of("bob")
    room.ask("ann", SealPasscode(SEAL))

    room.say("eve", Enter("Eve"))
    room.join("cid")  # has said it where it came in

    assert room.dismissed == {"eve": ErrorCode.NEEDS_PASSCODE}
    assert [each.name for each in room.rules.picture().members] == ["Ann", "Bob", "Cid"]


def test_a_seal_is_in_the_log_and_the_snapshot_and_in_nothing_that_is_told() -> None:
    room = room_of("bob")
    room.ask("ann", SealPasscode(SEAL))

    assert SEAL in write_entries(room.log).decode()
    assert restored(room.stored()).seal == SEAL
    assert SEAL not in repr(room.rules.picture())
    assert SEAL not in repr(room.hear())
    assert SEAL not in repr(State(room_id=ROOM, capacity=2, seal=SEAL))
    assert SEAL not in repr(SealPasscode(SEAL))


# --- who may --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "request_",
    [Lock(locked=True), SealPasscode(SEAL), Kick(member=MemberId("cid"))],
    ids=lambda each: type(each).__name__,
)
def test_the_door_is_kept_by_facilitators(request_: Request) -> None:
    room = room_of("bob", "cid")
    before = room.stored()

    refused = code_of(room.ask("bob", request_))

    assert refused is ErrorCode.NOT_FACILITATOR
    plain, now = orjson.loads(before), orjson.loads(room.stored())
    assert {**now, "seats": None} == {**plain, "seats": None}
    room.join("deb", owner=True)  # Ann, who was the owner, goes on as a facilitator
    assert isinstance(room.ask("ann", request_), Ack)


# --- bans -----------------------------------------------------------------------------------


def test_an_account_that_is_kept_out_comes_under_no_other_id() -> None:
    room = room_of()
    room.say("bob", Join(name="bob", account=7))
    room.ask("ann", Kick(member=MemberId("bob"), ban=True))

    room.say("bob2", Join(name="bob", account=7))
    room.say("bob", Join(name="Robert"))  # by the same nonce
    room.say("bob3", Join(name="Robert"))  # nobody knows him
    room.say("cid", Join(name="cid", account=8))

    assert room.dismissed["bob2"] is ErrorCode.BANNED
    assert room.dismissed["bob"] is ErrorCode.BANNED
    assert [each.name for each in room.rules.picture().members] == ["Ann", "Robert", "cid"]


def test_a_ban_holds_after_a_restart_and_the_owners_key_is_stronger() -> None:
    room = room_of()
    room.say("bob", Join(name="bob", account=7))
    room.ask("ann", Kick(member=MemberId("bob"), ban=True))
    room.restart()

    room.say("bob2", Join(name="bob", account=7))
    room.say("bob3", Join(name="bob", account=7, owner=True))

    assert room.dismissed["bob2"] is ErrorCode.BANNED
    assert "bob3" not in room.dismissed


def test_whoever_has_voted_and_comes_again_as_the_same_member_still_has_voted() -> None:
    room = room_of("bob", "cid")
    room.ask("ann", BeginRound(TicketId("T")))
    room.ask("bob", CastCard(1, "5"))
    room.ask("bob", Depart())

    room.join("bob")  # what clients fold is compared with the room

    running = room.rules.picture().round
    assert running is not None
    assert running.waiting_for == ("ann", "cid")
    assert room.rules.picture().members[-1].voted
    assert room.rules.snapshot_for(MemberId("bob")).mine.card == "5"
