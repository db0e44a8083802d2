"""Cards that are taken back: who is waited for then, and what is said of it in either dialect."""

import pytest

from protocol.changes import Ack, Failure, Retracted, Voted
from protocol.dialects.estimatex import ESTIMATEX
from protocol.errors import ErrorCode
from protocol.estimation import Estimation, Phase
from protocol.ids import MemberId
from protocol.lasting import BeginRound, CastCard, Depart, Retract, RevealRound, Role
from protocol.messages import (
    AwaitingTicket,
    BeginVoting,
    CastVote,
    Refusal,
    RevealPrompt,
    RevealVotes,
    TicketId,
    VoteRetracted,
    VotingCompleted,
)
from protocol.options import Options, Who
from tests.protocol.lasting_audience import LastingAudience

ANN, BOB = MemberId("ann"), MemberId("bob")
T1 = TicketId("T-1")


def voting(*members: str) -> LastingAudience:
    """Ann, who owns the room, and others, asked for their votes."""
    room = LastingAudience(5)
    room.join("ann", owner=True)
    room.join(*members)
    room.ask("ann", BeginRound(T1))
    return room.forget()


def created() -> LastingAudience:
    """A room that Eve has created with an EstimateX client, with Bob in it, asked for votes."""
    room = LastingAudience(5, keyed=False)
    room.visit("eve")
    room.join("bob")
    room.say("eve", BeginVoting(T1))
    return room.forget()


def code_of(answer: Ack | Failure) -> ErrorCode:
    assert isinstance(answer, Failure)
    return answer.problem.code


def waiting(room: LastingAudience) -> tuple[str, ...]:
    running = room.rules.picture().round
    assert running is not None
    return running.waiting_for


def test_whoever_takes_a_card_back_is_waited_for_in_the_order_of_seats() -> None:
    room = voting("bob", "cid")
    for member in ("ann", "bob"):
        room.ask(member, CastCard(1, "5"))

    room.ask("ann", Retract(1))

    assert waiting(room) == ("ann", "cid")
    assert room.changes[-1] == Retracted(len(room.changes), ANN, None)
    assert [each.voted for each in room.rules.picture().members] == [False, True, False]
    assert room.rules.snapshot_for(ANN).mine.card is None


def test_without_any_vote_left_nothing_can_be_revealed_and_the_next_round_may_begin() -> None:
    room = voting("bob")
    room.ask("bob", CastCard(1, "5"))
    room.ask("bob", Retract(1))

    change = room.changes[-1]
    assert isinstance(change, Retracted)
    assert change.may == room.rules.picture().may
    assert {"vote", "begin"} <= set(room.may("ann"))
    assert not {"retract", "reveal"} & set(room.may("ann"))
    assert code_of(room.ask("ann", RevealRound(1))) is ErrorCode.NOBODY_VOTED


def test_a_round_that_was_complete_is_complete_again_only_with_the_last_vote() -> None:
    room = voting("bob")
    for member in ("ann", "bob"):
        room.ask(member, CastCard(1, "5"))
    assert room.phase() is Phase.VOTED

    room.ask("bob", Retract(1))

    assert room.phase() is Phase.VOTING
    assert waiting(room) == ("bob",)
    room.ask("bob", CastCard(1, "8"))
    change = room.changes[-1]
    assert isinstance(change, Voted)
    assert change.complete
    assert room.phase() is Phase.VOTED


def test_who_came_to_a_complete_round_is_not_waited_for_when_a_card_is_taken_back() -> None:
    room = voting()
    room.ask("ann", CastCard(1, "5"))
    room.join("bob")
    room.ask("ann", Retract(1))

    assert waiting(room) == ("ann",)


def test_the_round_is_complete_if_who_took_a_card_back_leaves() -> None:
    room = voting("bob")
    for member in ("ann", "bob"):
        room.ask(member, CastCard(1, "5"))
    room.ask("bob", Retract(1))
    room.ask("bob", Depart())

    assert room.phase() is Phase.VOTED


def test_what_is_taken_back_is_in_no_result() -> None:
    room = voting("bob")
    for member in ("ann", "bob"):
        room.ask(member, CastCard(1, "5"))
    room.ask("bob", Retract(1))
    room.ask("ann", RevealRound(1))

    (result,) = room.recorded
    assert [vote.member_id for vote in result.votes] == ["ann"]


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (Retract(1), ErrorCode.NO_CARD_DOWN),
        (Retract(2), ErrorCode.WRONG_ROUND),
    ],
)
def test_only_a_card_that_is_down_in_this_round_is_taken_back(
    request_: Retract, code: ErrorCode
) -> None:
    room = voting("bob")
    room.ask("ann", CastCard(1, "5"))
    before = room.rules.picture()

    assert code_of(room.ask("bob", request_)) is code
    assert room.rules.picture() == before


def test_a_card_that_has_been_turned_over_stays() -> None:
    room = voting("bob")
    room.ask("ann", CastCard(1, "5"))
    room.ask("ann", RevealRound(1))

    assert code_of(room.ask("ann", Retract(1))) is ErrorCode.NO_VOTE_RUNNING


def test_who_only_watches_has_no_card_to_take_back() -> None:
    room = voting()
    room.join("bob", role=Role.SPECTATOR)

    assert code_of(room.ask("bob", Retract(1))) is ErrorCode.SPECTATOR
    assert "retract" not in room.may("bob")


def test_members_of_the_other_dialect_are_told_in_words() -> None:
    room = voting("bob")
    room.visit("eve")
    room.ask("bob", CastCard(1, "5"))
    room.forget()
    room.ask("bob", Retract(1))

    told = VoteRetracted("Bob", T1)
    assert room.hear()["eve"][0] == told
    frame = ESTIMATEX.encode(told)
    assert frame is not None
    assert frame[2:] == b"* Bob has taken back the vote on ticket T-1"


def test_they_are_told_and_prompted_of_one_completion_only() -> None:
    room = created()
    room.say("eve", CastVote(T1, "5"))
    room.ask("bob", CastCard(1, "5"))
    heard = room.hear()["eve"]
    assert heard[-2:] == [VotingCompleted(T1), RevealPrompt(T1)]

    room.ask("bob", Retract(1))
    room.ask("bob", CastCard(1, "8"))

    assert room.phase() is Phase.VOTED
    kinds = {type(event) for event in room.hear()["eve"]}
    assert not kinds & {VotingCompleted, RevealPrompt}


def test_an_admin_who_has_answered_the_prompt_in_vain_is_prompted_again() -> None:
    room = created()
    plain = room.rules.snapshot()
    plain["seats"]["eve"]["role"] = "spectator"
    plain["waited_for"] = ["bob"]
    room.rules = Estimation.restore(plain)
    room.clients.clear()  # they have been told nothing of it
    room.ask("bob", CastCard(1, "5"))
    assert RevealPrompt(T1) in room.hear()["eve"]
    room.ask("bob", Retract(1))
    room.say("eve", RevealVotes(T1))
    (refusal,) = [each for each in room.hear()["eve"] if isinstance(each, Refusal)]
    assert refusal.problem.code is ErrorCode.NOBODY_VOTED

    room.ask("bob", CastCard(1, "5"))

    assert RevealPrompt(T1) in room.hear()["eve"]


def test_nobody_is_prompted_in_a_room_whose_owner_has_not_come() -> None:
    room = LastingAudience(5, options=Options(begin_by=Who.ALL, reveal_by=Who.ALL))
    room.join("bob")
    room.visit("eve")
    room.ask("bob", BeginRound(T1))
    room.ask("bob", CastCard(1, "5"))
    room.say("eve", CastVote(T1, "5"))
    assert room.phase() is Phase.VOTED

    room.ask("bob", RevealRound(1))

    assert AwaitingTicket() in room.hear()["eve"]
