"""Who votes and who only watches, rule by rule; ``ann`` owns the room."""

import pytest

from protocol.changes import Ack, RoleChanged
from protocol.dialects.estimatex import ESTIMATEX
from protocol.errors import ErrorCode
from protocol.estimation import Phase
from protocol.ids import MemberId
from protocol.lasting import BeginRound, CastCard, ChangeRole, RevealRound, Role
from protocol.messages import (
    BeginVoting,
    CastVote,
    Enter,
    Event,
    RevealPrompt,
    RoleTaken,
    TicketId,
    VoteRequested,
    VotingCompleted,
)
from protocol.options import Options, Who
from tests.protocol.lasting_audience import LastingAudience
from tests.protocol.test_lasting import (
    ANN,
    BOB,
    CID,
    code_of,
    room_of,
    seated,
    voting,
    waiting_for,
)

WATCH, VOTE = ChangeRole(role=Role.SPECTATOR), ChangeRole(role=Role.VOTER)


def for_visitors(room: LastingAudience) -> list[Event]:
    """Give what ``eve`` has heard that her dialect has words for."""
    return [event for event in room.heard["eve"] if ESTIMATEX.encode(event) is not None]


def complete(room: LastingAudience) -> bool:
    running = room.rules.picture().round
    assert running is not None
    return running.complete


def test_who_only_watches_from_now_on_is_not_waited_for() -> None:
    room = voting("bob")

    answer = room.ask("bob", WATCH)

    assert answer == Ack(1, 4)
    assert room.heard["ann"] == [RoleChanged(4, BOB, Role.SPECTATOR, (ANN,), False, None)]
    assert seated(room, "bob").role is Role.SPECTATOR
    assert "vote" not in room.may("bob")
    assert code_of(room.ask("bob", CastCard(1, "5"))) is ErrorCode.SPECTATOR


def test_the_last_one_who_is_waited_for_may_complete_the_round_by_only_watching() -> None:
    room = voting("bob")
    room.ask("ann", CastCard(1, "5"))

    room.ask("bob", WATCH)

    assert complete(room)
    assert room.phase() is Phase.VOTED
    room.ask("ann", RevealRound(1))
    assert [vote.name for vote in room.recorded[0].votes] == ["Ann"]


def test_a_card_counts_until_its_owner_only_watches() -> None:
    room = voting("bob", "cid")
    room.ask("bob", CastCard(1, "8"))
    room.ask("ann", CastCard(1, "5"))

    room.ask("bob", WATCH)

    assert not seated(room, "bob").voted
    assert room.rules.snapshot_for(BOB).mine.card is None
    room.ask("ann", RevealRound(1))
    assert [vote.name for vote in room.recorded[0].votes] == ["Ann"]


def test_a_card_that_is_revealed_already_stays() -> None:
    room = voting("bob")
    room.ask("bob", CastCard(1, "8"))
    room.ask("ann", RevealRound(1))

    room.forget().ask("bob", WATCH)

    assert room.heard["ann"] == [RoleChanged(6, BOB, Role.SPECTATOR, None, False, None)]
    shown = room.rules.picture().shown
    assert shown is not None
    assert [vote.name for vote in shown.votes] == ["Bob"]


def test_without_any_card_there_is_nothing_to_reveal_any_more() -> None:
    room = voting("bob")
    room.ask("bob", CastCard(1, "8"))
    assert "reveal" in room.may("ann")

    room.ask("bob", WATCH)

    assert "reveal" not in room.may("ann")
    assert "begin" in room.may("ann")
    assert isinstance(room.ask("ann", BeginRound(TicketId("T-2"))), Ack)


def test_a_complete_round_whose_last_card_is_taken_waits_for_those_who_came_later() -> None:
    room = room_of("bob")
    room.ask("ann", WATCH)
    room.ask("ann", BeginRound(TicketId("T-1")))
    room.ask("bob", CastCard(1, "8"))
    room.join("cid")
    assert complete(room)
    assert waiting_for(room) == ()

    room.ask("bob", WATCH)

    assert not complete(room)
    assert waiting_for(room) == (CID,)
    room.ask("cid", CastCard(1, "5"))
    assert complete(room)


def test_a_round_without_any_voter_is_no_dead_end() -> None:
    room = voting()
    room.ask("ann", CastCard(1, "8"))
    assert complete(room)

    room.ask("ann", WATCH)

    assert not complete(room)
    assert isinstance(room.ask("ann", BeginRound(TicketId("T-2"))), Ack)


def test_who_votes_from_now_on_is_waited_for_in_its_place() -> None:
    room = room_of("bob", "cid")
    room.ask("bob", WATCH)
    room.ask("ann", BeginRound(TicketId("T-1")))

    room.forget().ask("bob", VOTE)

    assert waiting_for(room) == (ANN, BOB, CID)
    assert room.heard["cid"] == [RoleChanged(6, BOB, Role.VOTER, (ANN, BOB, CID), False, None)]
    assert isinstance(room.ask("bob", CastCard(1, "5")), Ack)


def test_who_votes_again_when_all_have_voted_is_not_waited_for_and_may_vote() -> None:
    room = voting("bob")
    room.ask("bob", WATCH)
    room.ask("ann", CastCard(1, "5"))

    room.ask("bob", VOTE)

    assert complete(room)
    assert waiting_for(room) == ()
    assert isinstance(room.ask("bob", CastCard(1, "8")), Ack)


def test_a_role_that_one_has_is_no_change() -> None:
    room = voting("bob")

    assert room.ask("bob", VOTE) == Ack(1, 3)
    assert list(room.heard) == ["bob"]


def test_a_facilitator_says_who_votes() -> None:
    room = voting("bob")
    room.ask("ann", CastCard(1, "5"))

    answer = room.ask("ann", ChangeRole(role=Role.SPECTATOR, member=BOB))

    assert isinstance(answer, Ack)
    assert seated(room, "bob").role is Role.SPECTATOR
    assert complete(room)


@pytest.mark.parametrize("options", [Options(), Options(begin_by=Who.ALL, reveal_by=Who.ALL)])
def test_others_say_it_of_themselves_alone(options: Options) -> None:
    room = room_of("bob", options=options)

    refused = room.ask("bob", ChangeRole(role=Role.SPECTATOR, member=ANN))

    assert code_of(refused) is ErrorCode.NOT_FACILITATOR
    assert isinstance(room.ask("bob", ChangeRole(role=Role.SPECTATOR, member=BOB)), Ack)


@pytest.mark.parametrize("whom", ["dee", "", "eve"])
def test_nobody_says_it_of_who_is_not_here(whom: str) -> None:
    room = room_of()
    room.say("eve", Enter("Eve"))  # and does not announce itself

    answer = room.ask("ann", ChangeRole(role=Role.SPECTATOR, member=MemberId(whom)))

    assert code_of(answer) is ErrorCode.NO_SUCH_MEMBER
    assert answer.problem.field == "member"  # type: ignore[union-attr]


# --- with visitors ----------------------------------------------------------------------------


def test_a_visitor_is_told_in_words_and_asked_to_vote_when_it_does_again() -> None:
    room = room_of("bob")
    room.visit("eve")
    eve = MemberId("eve")
    room.ask("ann", BeginRound(TicketId("T-1")))
    room.forget().ask("ann", ChangeRole(role=Role.SPECTATOR, member=eve))

    assert for_visitors(room) == [RoleTaken("Eve", votes=False)]
    assert waiting_for(room) == (ANN, BOB)
    room.forget().say("eve", CastVote(TicketId("T-1"), "5"))
    assert "voted" not in repr(room.heard)

    room.forget().ask("ann", ChangeRole(role=Role.VOTER, member=eve))

    asked = VoteRequested(TicketId("T-1"))
    assert for_visitors(room) == [RoleTaken("Eve", votes=True), asked]
    assert waiting_for(room) == (ANN, BOB, eve)


def test_visitors_are_told_of_others_in_words_that_are_no_event() -> None:
    watches, votes = RoleTaken("Bob", votes=False), RoleTaken("Bob", votes=True)

    assert str(ESTIMATEX.encode(watches)).endswith("* Bob only watches from now on'")
    assert str(ESTIMATEX.encode(votes)).endswith("* Bob votes from now on'")


def test_a_room_of_a_visitor_whose_round_is_completed_so_prompts_its_owner() -> None:
    room = LastingAudience(keyed=False)
    room.visit("eve")
    room.join("bob")
    room.say("eve", BeginVoting(TicketId("T-1")))
    room.say("eve", CastVote(TicketId("T-1"), "5"))

    room.forget().ask("bob", WATCH)

    kinds = [type(event) for event in for_visitors(room)]
    assert kinds == [RoleTaken, VotingCompleted, RevealPrompt]


def test_a_round_is_completed_before_the_owner_has_ever_come() -> None:
    room = LastingAudience(options=Options(begin_by=Who.ALL, reveal_by=Who.ALL))
    room.join("bob")
    room.ask("bob", BeginRound(TicketId("T-1")))

    assert isinstance(room.ask("bob", CastCard(1, "5")), Ack)
    assert isinstance(room.ask("bob", RevealRound(1)), Ack)
