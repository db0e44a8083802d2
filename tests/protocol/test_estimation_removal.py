"""Putting somebody out of an estimation room: who can be, when, and what becomes of the round."""

import pytest

from protocol.changes import Ack, Failure, Left
from protocol.effects import Bar
from protocol.errors import ErrorCode
from protocol.ids import MemberId, TicketId
from protocol.lasting import BeginRound, CastCard, Detach, Kick, Numbered, Return, RevealRound
from protocol.limits import MOST_BANS, REMOVED_KNOWN
from protocol.messages import Enter, MemberLeft, Refusal
from tests.protocol.lasting_audience import LastingAudience
from tests.protocol.test_estimation_door import code_of, room_of

BOB = MemberId("bob")


def test_whoever_is_put_out_is_gone_and_all_know_by_whom() -> None:
    room = room_of("bob", "cid")

    answer = room.ask("ann", Kick(member=BOB))

    assert isinstance(answer, Ack)
    left = Left(answer.seq, BOB, expired=False, complete=False, by=MemberId("ann"))
    assert room.hear() == {"ann": [left, answer], "bob": [left], "cid": [left]}
    assert room.dismissed == {"bob": ErrorCode.REMOVED}
    assert room.rules.removed_by(BOB) == "Ann"
    assert room.rules.removed_by(MemberId("cid")) is None


def test_a_member_that_is_its_connection_is_told_in_words() -> None:
    room = room_of("cid")
    room.visit("bob", "eve")
    room.forget()

    room.ask("ann", Kick(member=BOB))

    heard = room.hear()
    assert [type(each) for each in heard["bob"]] == [MemberLeft, Left, Refusal]
    refusal = heard["bob"][-1]
    assert isinstance(refusal, Refusal)
    assert (refusal.problem.code, refusal.problem.values) == (ErrorCode.REMOVED, {"by": "Ann"})
    assert heard["eve"][0] == MemberLeft("Bob", "Ann")
    assert room.dismissed == {"bob": ErrorCode.REMOVED}


@pytest.mark.parametrize(
    ("asker", "target", "code"),
    [
        ("ann", "nobody", ErrorCode.NO_SUCH_MEMBER),
        ("ann", "eve", ErrorCode.NO_SUCH_MEMBER),
        ("ann", "ann", ErrorCode.IS_YOURSELF),
        ("deb", "deb", ErrorCode.IS_YOURSELF),
        ("ann", "deb", ErrorCode.IS_OWNER),
    ],
)
def test_some_are_not_put_out(asker: str, target: str, code: ErrorCode) -> None:
    room = room_of("bob")
    room.join("deb", owner=True)  # Ann, who was the owner, goes on as a facilitator
    room.say("eve", Enter("Eve"))  # has not announced herself
    before = room.rules.picture()

    answer = room.ask(asker, Kick(member=MemberId(target), ban=True, address=True))

    assert code_of(answer) is code
    assert isinstance(answer, Failure)
    assert answer.problem.field == "member"
    assert room.rules.picture() == before
    assert room.rules.removed_by(MemberId(target)) is None
    assert room.dismissed == {}


def test_a_facilitator_can_be_put_out_by_another() -> None:
    room = room_of()
    room.join("deb", owner=True)

    assert isinstance(room.ask("deb", Kick(member=MemberId("ann"))), Ack)


def test_a_round_is_judged_again_when_the_last_one_waited_for_is_put_out() -> None:
    room = room_of("bob", "cid")
    room.ask("ann", BeginRound(TicketId("T")))
    room.ask("ann", CastCard(1, "5"))
    room.ask("cid", CastCard(1, "8"))
    room.forget()

    room.ask("ann", Kick(member=BOB))

    assert room.hear()["cid"] == [
        Left(7, BOB, expired=False, complete=True, by=MemberId("ann")),
    ]
    running = room.rules.picture().round
    assert running is not None
    assert running.complete
    assert running.waiting_for == ()


def test_the_vote_of_whoever_is_put_out_counts_as_that_of_whoever_leaves() -> None:
    room = room_of("bob")
    room.ask("ann", BeginRound(TicketId("T")))
    room.ask("bob", CastCard(1, "8"))
    room.ask("ann", Kick(member=BOB))

    room.ask("ann", RevealRound(1))

    shown = room.rules.picture().shown
    assert shown is not None
    assert [(vote.name, vote.card) for vote in shown.votes] == [("Bob", "8")]


def test_somebody_who_is_away_is_put_out_and_its_grace_is_over() -> None:
    room = room_of("bob", "cid")
    room.detach("bob")
    assert "bob" in room.timers

    room.ask("ann", Kick(member=BOB))

    assert room.timers == {}
    assert room.dismissed == {"bob": ErrorCode.REMOVED}
    room.say("bob", Return())
    assert room.dismissed == {"bob": ErrorCode.WRONG_KEY}
    assert room.say("bob", Detach()) == []


@pytest.mark.parametrize("ban", [True, False])
def test_a_kick_is_carried_out_once_however_often_it_is_asked(ban: bool) -> None:
    room = room_of("bob", "cid")
    kick = Kick(member=BOB, ban=ban)
    first = room.ask("ann", kick, ref=1)
    if not ban:
        room.join("bob")  # by the same nonce

    again = room.ask("ann", kick, ref=1)

    assert again == first
    assert len(room.rules.picture().members) == 2 + (not ban)


@pytest.mark.parametrize("address", [True, False])
def test_of_addresses_the_rules_say_only_whose_is_meant(address: bool) -> None:
    room = room_of("bob")

    effects = room.say("ann", Numbered(1, Kick(member=BOB, address=address)))

    assert (Bar(BOB) in effects) is address
    assert (effects[0] == Bar(BOB)) is address, "while it is still a member"
    room.join("bob")
    assert (room.dismissed["bob"] is ErrorCode.BANNED) is address


def test_there_is_an_end_to_those_who_are_kept_out() -> None:
    room = LastingAudience(capacity=3)
    room.join("ann", owner=True)
    for number in range(MOST_BANS):
        room.join(f"m{number}")
        room.ask("ann", Kick(member=MemberId(f"m{number}"), ban=True))
    room.join("bob")

    assert code_of(room.ask("ann", Kick(member=BOB, ban=True))) is ErrorCode.TOO_MANY_BANS
    assert isinstance(room.ask("ann", Kick(member=BOB)), Ack)
    known = [number for number in range(MOST_BANS) if room.rules.removed_by(MemberId(f"m{number}"))]
    assert known == list(range(MOST_BANS - REMOVED_KNOWN + 1, MOST_BANS))
