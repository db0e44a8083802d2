"""Owners and facilitators, rule by rule; ``ann`` owns the room at first."""

import orjson
import pytest

from protocol.changes import Ack, FacilitatorChanged, Left, OwnerChanged, Unled
from protocol.dialects.estimatex import ESTIMATEX
from protocol.effects import Disconnect, Own, Release
from protocol.errors import ErrorCode
from protocol.estimation import NOBODY_CAME, Estimation
from protocol.ids import MemberId
from protocol.lasting import (
    NOBODY,
    BeginRound,
    CastCard,
    ChangeRole,
    Claim,
    CloseRoom,
    Configure,
    Demote,
    Depart,
    HandOver,
    Join,
    Numbered,
    Promote,
    Request,
    RevealRound,
    Role,
)
from protocol.limits import EMPTY_SECONDS
from protocol.messages import ADMIN_LEFT, Leave, NobodyLeads, OwnerNamed, TicketId
from protocol.options import DEFAULTS, ClaimBy, Options, OwnerAbsence, Who
from tests.protocol.audience import ROOM
from tests.protocol.lasting_audience import LastingAudience, restored
from tests.protocol.test_lasting import ANN, BOB, CID, T1, code_of, room_of, seated

GOES_ON = Options(owner_absence=OwnerAbsence.CLAIM)
SIGNED_IN = Options(owner_absence=OwnerAbsence.CLAIM, claim_by=ClaimBy.SIGNED_IN)


def leaders(room: LastingAudience) -> list[str]:
    return [each.id for each in room.rules.picture().members if each.facilitator]


def ends_with(room: LastingAudience) -> str | None:
    """Say with whom; a function, lest mypy think that it stays so."""
    return room.owner


def unled_since(room: LastingAudience) -> float | None:
    return room.rules.picture().unled_since


def unled(*members: str, options: Options = GOES_ON) -> LastingAudience:
    """Give a room whose owner has left, and nobody leads."""
    room = room_of(*members, options=options)
    room.ask("ann", Depart())
    return room.forget()


# --- facilitators -----------------------------------------------------------------------------


def test_a_facilitator_makes_others_facilitators_and_they_lead() -> None:
    room = room_of("bob", "cid")

    assert room.ask("ann", Promote(BOB)) == Ack(1, 4)

    assert room.heard["cid"] == [FacilitatorChanged(4, BOB, True)]
    assert leaders(room) == ["ann", "bob"]
    assert {"begin", "promote", "demote"} <= set(room.may("bob"))
    assert "hand_over" not in room.may("bob")
    assert isinstance(room.ask("bob", T1), Ack)
    assert isinstance(room.ask("bob", Promote(CID)), Ack)


def test_who_is_demoted_leads_no_longer_and_may_demote_itself() -> None:
    room = room_of("bob", "cid")
    room.ask("ann", Promote(BOB))
    room.ask("ann", Promote(CID))

    room.forget().ask("bob", Demote(CID))
    assert room.heard["ann"] == [FacilitatorChanged(6, CID, False)]
    room.ask("bob", Demote(BOB))

    assert leaders(room) == ["ann"]
    assert code_of(room.ask("bob", T1)) is ErrorCode.NOT_FACILITATOR


def test_what_is_so_already_is_no_change() -> None:
    room = room_of("bob")

    assert room.ask("ann", Promote(ANN)) == Ack(1, 2)
    assert room.ask("ann", Demote(BOB)) == Ack(2, 2)
    assert room.ask("ann", HandOver(ANN)) == Ack(3, 2)
    assert list(room.heard) == ["ann"]


def test_the_owner_cannot_be_demoted_so_somebody_always_leads() -> None:
    room = room_of("bob")
    room.ask("ann", Promote(BOB))

    for whoever in ("ann", "bob"):
        answer = room.ask(whoever, Demote(ANN))
        assert code_of(answer) is ErrorCode.OWNER_LEADS
    assert leaders(room) == ["ann", "bob"]


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (Promote(BOB), ErrorCode.NOT_FACILITATOR),
        (Demote(ANN), ErrorCode.NOT_FACILITATOR),
        (HandOver(BOB), ErrorCode.NOT_ADMIN),
        (Claim(), ErrorCode.IS_LED),
    ],
)
def test_who_does_not_lead_makes_no_leaders(request_: Request, code: ErrorCode) -> None:
    room = room_of("bob", options=Options(begin_by=Who.ALL, reveal_by=Who.ALL))
    assert code_of(room.ask("bob", request_)) is code


@pytest.mark.parametrize("kind", [Promote, Demote, HandOver])
def test_who_is_not_here_is_no_leader(kind: type[Promote | Demote | HandOver]) -> None:
    answer = room_of().ask("ann", kind(MemberId("dee")))
    assert code_of(answer) is ErrorCode.NO_SUCH_MEMBER
    assert answer.problem.field == "member"  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", [Promote, HandOver])
def test_a_visitor_whom_nobody_would_prompt_does_not_lead(kind: type[Promote | HandOver]) -> None:
    room = room_of()
    room.visit("eve")

    answer = room.ask("ann", kind(MemberId("eve")))

    assert code_of(answer) is ErrorCode.CANNOT_LEAD
    assert answer.problem.values == {"name": "Eve"}  # type: ignore[union-attr]


# --- handing over -----------------------------------------------------------------------------


def test_the_owner_hands_the_room_over_and_goes_on_as_a_facilitator() -> None:
    room = room_of("bob")
    room.visit("eve")

    room.forget().ask("ann", HandOver(BOB))

    assert room.heard["bob"][-1] == OwnerChanged(4, BOB)
    assert ESTIMATEX.encode(OwnerNamed("Bob")) in map(ESTIMATEX.encode, room.heard["eve"])
    assert room.owner == "bob"
    assert (seated(room, "bob").owner, seated(room, "ann").owner) == (True, False)
    assert leaders(room) == ["ann", "bob"]
    room.ask("ann", Depart())
    assert room.end is None
    room.ask("bob", Depart())
    assert room.end == ADMIN_LEFT


def test_a_room_is_not_handed_over_to_who_is_away() -> None:
    room = room_of("bob")
    room.detach("bob")

    assert code_of(room.ask("ann", HandOver(BOB))) is ErrorCode.IS_AWAY
    assert isinstance(room.ask("ann", Promote(BOB)), Ack)


# --- without an owner -------------------------------------------------------------------------


def test_as_a_rule_the_room_ends_with_its_owner_whoever_else_leads() -> None:
    room = room_of("bob")
    room.ask("ann", Promote(BOB))

    room.ask("ann", Depart())

    assert room.end == ADMIN_LEFT


@pytest.mark.parametrize("way", ["leave", "grace", "task"])
def test_a_room_may_go_on_without_its_owner_and_everybody_is_told(way: str) -> None:
    room = room_of("bob", options=GOES_ON)
    room.visit("eve")
    room.forget()
    room.now = 1010.0

    if way == "leave":
        room.ask("ann", Depart())
    elif way == "task":
        room.say("ann", Leave())
    else:
        room.detach("ann")
        assert "claim" not in room.may("bob")
        room.ring("ann")

    assert room.end is None
    assert room.owner is None
    seq, now = room.rules.seq, room.now
    changes = [event for event in room.heard["bob"] if isinstance(event, Left | Unled)]
    assert changes == [
        Left(seq - 1, ANN, way == "grace", False),
        Unled(seq, now, room.rules.picture().may),
    ]
    assert NobodyLeads() in room.heard["eve"]
    assert unled_since(room) == now
    assert "claim" in room.may("bob")


def test_who_leaves_such_a_room_is_parted_from_as_anybody_is() -> None:
    room = room_of("bob", options=GOES_ON)
    assert isinstance(room.ask("ann", Depart()), Ack)
    assert room.dismissed == {"ann": ErrorCode.LEFT}


def test_a_claim_makes_an_owner() -> None:
    room = unled("bob", "cid")
    room.visit("eve")

    assert isinstance(room.ask("bob", Claim()), Ack)

    assert room.heard["cid"][-1] == OwnerChanged(7, BOB, room.rules.picture().may)
    assert OwnerNamed("Bob") in room.heard["eve"]
    assert seated(room, "bob").owner
    assert leaders(room) == ["bob"]
    assert unled_since(room) is None
    assert "claim" not in room.may("cid")
    assert code_of(room.ask("cid", Claim())) is ErrorCode.IS_LED
    assert isinstance(room.ask("bob", CloseRoom()), Ack)
    assert room.end is not None


def test_a_room_that_was_claimed_can_lose_its_owner_again() -> None:
    room = unled("bob", "cid")
    room.ask("bob", Claim())

    room.ask("bob", Depart())

    assert room.end is None
    assert isinstance(room.ask("cid", Claim()), Ack)


def test_only_who_is_signed_in_may_claim_if_the_room_says_so() -> None:
    room = room_of("bob", options=SIGNED_IN)
    room.say("cid", Join(name="Cid", account=7))
    room.ask("ann", Depart())

    assert "claim" not in room.may("bob")
    assert "claim" in room.may("cid")
    assert code_of(room.ask("bob", Claim())) is ErrorCode.NOT_SIGNED_IN
    assert isinstance(room.ask("cid", Claim()), Ack)


def test_the_facilitator_who_has_been_here_for_longest_becomes_the_owner_by_itself() -> None:
    room = room_of("bob", "cid", "dee", capacity=5, options=GOES_ON)
    for whom in ("dee", "cid"):
        room.ask("ann", Promote(MemberId(whom)))

    room.forget().ask("ann", Depart())

    assert room.heard["bob"][-1] == OwnerChanged(8, CID)
    assert seated(room, "cid").owner
    assert unled_since(room) is None
    assert code_of(room.ask("bob", Claim())) is ErrorCode.IS_LED


def test_who_is_away_becomes_the_owner_only_if_no_other_facilitator_is_here() -> None:
    room = room_of("bob", "cid", options=GOES_ON)
    room.ask("ann", Promote(BOB))
    room.ask("ann", Promote(CID))
    room.detach("bob")

    room.ask("ann", Depart())
    assert seated(room, "cid").owner
    room.ask("cid", Depart())
    assert seated(room, "bob").owner

    room.ring("bob")
    assert room.end is None
    assert leaders(room) == []


def test_the_key_makes_an_owner_of_a_room_that_nobody_leads_and_everybody_is_told() -> None:
    room = unled("bob")

    room.join("ann2", owner=True)

    joined, owner = room.heard["bob"]
    assert owner == OwnerChanged(6, MemberId("ann2"), room.rules.picture().may)
    assert not joined.member.owner  # type: ignore[union-attr]
    assert unled_since(room) is None
    assert "claim" not in room.may("bob")


def test_before_its_owner_has_ever_come_nobody_claims_a_room() -> None:
    room = LastingAudience(options=GOES_ON)
    room.join("bob")

    assert "claim" not in room.may("bob")
    assert code_of(room.ask("bob", Claim())) is ErrorCode.IS_LED


def test_an_empty_room_of_this_kind_ends_after_its_usual_wait() -> None:
    room = unled()

    assert room.timers == {NOBODY: room.now + EMPTY_SECONDS}
    room.ring(NOBODY)

    assert room.end == NOBODY_CAME


def test_a_vote_that_waits_for_the_owner_alone_is_complete_without_it() -> None:
    room = room_of("bob", options=GOES_ON)
    room.ask("ann", T1)
    room.ask("bob", CastCard(1, "5"))

    room.ask("ann", Depart())

    running = room.rules.picture().round
    assert running is not None
    assert running.complete
    assert code_of(room.ask("bob", RevealRound(1))) is ErrorCode.NOT_FACILITATOR
    room.ask("bob", Claim())
    assert isinstance(room.ask("bob", RevealRound(1)), Ack)


def test_without_an_owner_rounds_go_on_if_all_may_begin_and_reveal() -> None:
    options = Options(begin_by=Who.ALL, reveal_by=Who.ALL, owner_absence=OwnerAbsence.CLAIM)
    room = unled("bob", options=options)
    room.visit("eve")

    room.ask("bob", ChangeRole(role=Role.VOTER))
    for request in (BeginRound(TicketId("T-1")), CastCard(1, "5"), RevealRound(1)):
        assert isinstance(room.ask("bob", request), Ack)


# --- the option -------------------------------------------------------------------------------


def test_the_option_is_changed_and_the_end_of_the_room_follows() -> None:
    room = room_of("bob")
    assert ends_with(room) == "ann"

    room.ask("ann", Configure(owner_absence=OwnerAbsence.CLAIM))
    assert ends_with(room) is None
    room.ask("ann", Configure(begin_by=Who.ALL))
    room.ask("ann", HandOver(BOB))
    assert ends_with(room) is None

    room.ask("bob", Configure(owner_absence=OwnerAbsence.ENDS))
    assert ends_with(room) == "bob"
    room.ask("bob", Configure(begin_by=Who.FACILITATORS))
    assert room.rules.picture().options is DEFAULTS


def test_other_options_leave_the_owner_alone() -> None:
    room = room_of("bob")

    effects = room.say("ann", Numbered(1, Configure(begin_by=Who.ALL)))

    assert not [each for each in effects if isinstance(each, Own | Release | Disconnect)]


def test_after_a_restart_the_room_ends_with_its_owner_only_if_its_options_say_so() -> None:
    for options, owner in ((DEFAULTS, "ann"), (GOES_ON, None)):
        room = room_of("bob", options=options)
        room.restart()
        assert room.owner == owner


def test_a_room_that_nobody_leads_is_stored_and_goes_on() -> None:
    room = unled("bob")
    room.restart()
    room.come_back("bob")
    room.now += 60

    assert restored(room.stored()).picture() == room.rules.picture()
    assert isinstance(room.ask("bob", Claim()), Ack)


def test_a_room_that_was_opened_by_a_connection_ends_with_it() -> None:
    room = LastingAudience(keyed=False, options=GOES_ON)
    room.visit("eve")
    room.join("bob")

    room.say("eve", Leave())

    assert room.end == ADMIN_LEFT


def test_a_room_stored_before_there_were_such_options_is_understood() -> None:
    room = room_of("bob")
    plain = orjson.loads(room.stored())
    del plain["unled_since"], plain["options"]["owner_absence"], plain["options"]["claim_by"]

    again = Estimation.restore(plain)

    assert again.room_id == ROOM
    assert again.picture() == room.rules.picture()
