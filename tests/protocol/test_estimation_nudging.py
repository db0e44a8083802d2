"""Reminding somebody of its vote, and more seats, rule by rule; ``ann`` owns the room."""

import pytest

from protocol.changes import Ack, CapacityRaised, Nudged
from protocol.dialects.wording import sentence
from protocol.errors import ErrorCode
from protocol.ids import MemberId
from protocol.lasting import CastCard, Nudge, Promote, RaiseCapacity, RevealRound
from protocol.limits import NUDGE_SECONDS
from protocol.messages import CapacityReached, Reminded, SeatsAdded, TicketId
from tests.protocol.lasting_audience import LastingAudience, restored
from tests.protocol.test_lasting import ANN, BOB, CID, code_of, room_of, voting

EVE = MemberId("eve")

# --- reminding --------------------------------------------------------------------------------


def test_who_is_waited_for_is_reminded_and_nobody_else_hears_of_it() -> None:
    room = voting("bob", "cid")
    assert "nudge" in room.may("ann")
    before = room.rules.picture()

    assert room.ask("ann", Nudge(BOB)) == Ack(2, before.seq)

    assert room.heard == {"bob": [Nudged(ANN, "Ann", 1, "T-1")], "ann": [Ack(2, before.seq)]}
    assert room.rules.picture() == before


def test_a_visitor_is_reminded_in_words() -> None:
    room = voting()
    room.visit("eve")

    room.forget().ask("ann", Nudge(EVE))

    assert room.heard["eve"] == [Reminded("Ann", TicketId("T-1"))]


def test_somebody_is_reminded_once_in_a_while_whoever_does_it() -> None:
    room = voting("bob", "cid")
    room.ask("ann", Promote(CID))
    room.ask("ann", Nudge(BOB))
    room.now += NUDGE_SECONDS - 2.5

    answer = room.ask("cid", Nudge(BOB))

    assert code_of(answer) is ErrorCode.NUDGED_ALREADY
    problem = answer.problem  # type: ignore[union-attr]
    assert problem.field == "member"
    assert sentence(problem) == "Bob was reminded just now; again in 3 s"
    assert isinstance(room.ask("cid", Nudge(ANN)), Ack)
    room.now += 2.5
    assert isinstance(room.ask("cid", Nudge(BOB)), Ack)
    assert code_of(room.ask("ann", Nudge(BOB))) is ErrorCode.NUDGED_ALREADY


def test_a_clock_that_was_put_back_keeps_nobody_from_being_reminded() -> None:
    room = voting("bob")
    room.ask("ann", Nudge(BOB))
    room.now -= 1

    assert isinstance(room.ask("ann", Nudge(BOB)), Ack)


def test_only_facilitators_remind() -> None:
    room = voting("bob")
    assert "nudge" not in room.may("bob")
    assert code_of(room.ask("bob", Nudge(ANN))) is ErrorCode.NOT_FACILITATOR


def test_between_rounds_nobody_is_waited_for() -> None:
    room = room_of("bob")
    assert "nudge" not in room.may("ann")
    assert code_of(room.ask("ann", Nudge(BOB))) is ErrorCode.NO_VOTE_RUNNING


def test_who_has_voted_or_is_away_or_not_here_is_not_reminded() -> None:
    room = voting("bob", "cid")
    room.ask("bob", CastCard(1, "5"))
    room.detach("cid")

    codes = [code_of(room.ask("ann", Nudge(MemberId(whom)))) for whom in ("bob", "cid", "dee")]

    assert codes == [ErrorCode.NOT_WAITED_FOR, ErrorCode.IS_AWAY, ErrorCode.NO_SUCH_MEMBER]
    assert isinstance(room.ask("ann", RevealRound(1)), Ack)


def test_a_room_remembers_over_a_restart_who_was_reminded() -> None:
    room = voting("bob")
    room.ask("ann", Nudge(BOB))

    assert restored(room.stored()).snapshot() == room.rules.snapshot()


# --- more seats -------------------------------------------------------------------------------


def test_a_facilitator_adds_seats_to_a_full_room() -> None:
    room = room_of("bob", capacity=2)
    room.join("cid")
    assert room.dismissed == {"cid": ErrorCode.ROOM_FULL}

    assert room.forget().ask("ann", RaiseCapacity(3)) == Ack(1, 3)

    assert room.heard["bob"] == [CapacityRaised(3, 3)]
    assert room.rules.picture().capacity == room.rules.capacity == 3
    room.join("dee")
    assert room.rules.picture().members[-1].id == "dee"
    room.join("eve")
    assert room.dismissed["eve"] is ErrorCode.ROOM_FULL


def test_as_many_seats_as_there_are_is_no_change() -> None:
    assert room_of(capacity=3).ask("ann", RaiseCapacity(3)) == Ack(1, 1)


@pytest.mark.parametrize("capacity", [2, 0, -1, 6, 10**30])
def test_seats_are_never_fewer_nor_more_than_the_server_allows(capacity: int) -> None:
    room = room_of(capacity=3, most=5)

    answer = room.ask("ann", RaiseCapacity(capacity))

    assert code_of(answer) is ErrorCode.OUT_OF_RANGE
    problem = answer.problem  # type: ignore[union-attr]
    assert problem.field == "capacity"
    assert sentence(problem) == "capacity must be from 3 to 5"
    assert isinstance(room.ask("ann", RaiseCapacity(5)), Ack)


def test_a_room_that_has_more_seats_than_the_server_allows_by_now_keeps_them() -> None:
    room = room_of(capacity=8, most=5)
    assert code_of(room.ask("ann", RaiseCapacity(9))) is ErrorCode.OUT_OF_RANGE
    assert isinstance(room.ask("ann", RaiseCapacity(8)), Ack)


def test_only_facilitators_add_seats() -> None:
    room = room_of("bob")
    assert "capacity" not in room.may("bob")
    assert code_of(room.ask("bob", RaiseCapacity(5))) is ErrorCode.NOT_FACILITATOR


def test_visitors_are_told_of_more_seats_in_words_and_once_that_all_are_taken() -> None:
    room = LastingAudience(3)
    room.join("ann", owner=True)
    room.visit("eve")

    room.ask("ann", RaiseCapacity(4))
    room.join("bob", "cid")

    assert SeatsAdded(4) in room.heard["eve"]
    full = [event for event in room.heard["eve"] if isinstance(event, CapacityReached)]
    assert full == [CapacityReached(4)]
