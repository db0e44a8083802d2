"""Rooms whose members outlive their connections, rule by rule.

``ann`` has the owner's key everywhere, unless a test says otherwise.
"""

from typing import Any, Final

import orjson
import pytest

from protocol.answers import REMEMBERED
from protocol.backoff import MOST_SECONDS
from protocol.changes import (
    Ack,
    Begun,
    CameBack,
    Configured,
    Failure,
    Joined,
    Left,
    OwnerChanged,
    Revealed,
    Snapshot,
    Voted,
    WentAway,
)
from protocol.deck import CUSTOM, DECKS, Deck
from protocol.dialects.estimatex import ESTIMATEX
from protocol.dialects.wording import sentence
from protocol.effects import ClearTimer, Disconnect, End, Greet, Own, SetTimer, Subscribe, Tell
from protocol.errors import CloseCode, ErrorCode, Problem
from protocol.estimation import CLOSED, NOBODY_CAME, Estimation, Phase
from protocol.ids import MemberId
from protocol.lasting import (
    NOBODY,
    BeginRound,
    CastCard,
    CloseRoom,
    Configure,
    Depart,
    Detach,
    Join,
    Numbered,
    Park,
    Request,
    Return,
    RevealRound,
    Role,
)
from protocol.limits import ASK_AGAIN_SECONDS, COMEBACK_SECONDS, EMPTY_SECONDS, REST_SECONDS
from protocol.messages import (
    ADMIN_LEFT,
    Announce,
    AwaitingTicket,
    BeginVoting,
    CapacityReached,
    CastVote,
    Enter,
    Leave,
    MemberPresent,
    Refusal,
    RevealVotes,
    TicketId,
    TimeUp,
    VoteCast,
    VoteRequested,
    VotesRevealed,
    VotingCompleted,
    Welcome,
)
from protocol.options import DEFAULTS, Options, Who
from protocol.picture import Seated, Stage
from protocol.statistics import summarize
from protocol.suggestion import Rule, Suggestion
from tests.protocol.audience import ROOM
from tests.protocol.lasting_audience import LastingAudience, restored

ANN, BOB, CID = MemberId("ann"), MemberId("bob"), MemberId("cid")
T1 = BeginRound(TicketId("T-1"))
TALK = ("say", "react", "unsay")


def room_of(*members: str, capacity: int = 4, grace: float = 60.0, **more: Any) -> LastingAudience:
    """Ann, who owns the room, and others."""
    room = LastingAudience(capacity, grace=grace, **more)
    room.join("ann", owner=True)
    room.join(*members)
    return room.forget()


def voting(*members: str, capacity: int = 4, grace: float = 60.0) -> LastingAudience:
    """The same, asked for their votes on T-1."""
    room = room_of(*members, capacity=capacity, grace=grace)
    room.ask("ann", T1)
    return room.forget()


def code_of(answer: Ack | Failure) -> ErrorCode:
    assert isinstance(answer, Failure)
    return answer.problem.code


def seated(room: LastingAudience, member: str) -> Seated:
    (found,) = (each for each in room.rules.picture().members if each.id == member)
    return found


def members(room: LastingAudience) -> list[str]:
    return [each.id for each in room.rules.picture().members]


def waiting_for(room: LastingAudience) -> tuple[str, ...]:
    running = room.rules.picture().round
    assert running is not None
    return running.waiting_for


# --- coming -----------------------------------------------------------------------------------


def test_who_joins_is_in_the_room_at_once_and_gets_the_whole_of_it() -> None:
    room = room_of()
    room.now = 1007.0

    room.join("bob")

    shown = Seated(BOB, "Bob", Role.VOTER, False, False, True, 1007.0, False, False)
    (snapshot,) = room.heard["bob"]
    assert isinstance(snapshot, Snapshot)
    assert snapshot.picture.members[1] == shown
    assert snapshot.mine.member == BOB
    assert room.heard["ann"] == [Joined(2, shown, False)]


def test_the_greeting_comes_before_anything_that_is_told_to_the_audience() -> None:
    effects = LastingAudience().join("bob")

    assert effects[-2:] == [Greet(BOB, None), Subscribe(BOB)]


def test_the_owner_key_opens_one_seat_more_in_a_full_room() -> None:
    room = room_of(capacity=2)
    room.join("bob")

    room.join("ann2", owner=True)

    assert room.dismissed == {}
    assert room.owner == "ann2"
    room.join("ann3", owner=True)
    assert room.dismissed == {"ann3": ErrorCode.ROOM_FULL}
    assert room.owner == "ann2"


def test_a_full_room_turns_away() -> None:
    room = room_of("bob", capacity=2)

    room.join("cid")

    assert room.dismissed == {"cid": ErrorCode.ROOM_FULL}
    assert members(room) == ["ann", "bob"]
    assert "ann" not in room.heard


def test_whoever_is_away_keeps_its_seat_from_others() -> None:
    room = room_of("bob", capacity=2)
    room.detach("bob")

    room.join("cid")

    assert room.dismissed == {"cid": ErrorCode.ROOM_FULL}


def test_who_joins_during_a_vote_is_waited_for() -> None:
    room = voting()

    room.join("bob")

    assert waiting_for(room) == ("ann", "bob")
    assert "vote" in room.may("bob")


def test_who_joins_when_all_have_voted_is_not_waited_for_and_may_vote() -> None:
    room = voting()
    room.ask("ann", CastCard(1, "5"))

    room.join("bob")

    assert waiting_for(room) == ()
    assert isinstance(room.ask("bob", CastCard(1, "8")), Ack)


def test_being_signed_in_is_shown_and_the_account_is_not() -> None:
    room = room_of()
    room.say("bob", Join(name="Bob", account=4711))

    assert seated(room, "bob").signed_in
    assert "4711" not in repr(room.rules.picture())


# --- owners -----------------------------------------------------------------------------------


def test_nobody_owns_a_room_before_its_key_is_shown() -> None:
    room = LastingAudience()

    room.join("bob")

    assert room.owner is None
    assert not seated(room, "bob").owner
    assert code_of(room.ask("bob", T1)) is ErrorCode.NOT_FACILITATOR


def test_who_shows_the_key_owns_the_room() -> None:
    room = LastingAudience()
    room.join("bob")

    effects = room.join("ann", owner=True)

    assert Own(ANN, ADMIN_LEFT) in effects
    assert seated(room, "ann").owner
    assert isinstance(room.ask("ann", T1), Ack)


def test_a_key_that_is_shown_again_hands_the_room_over() -> None:
    room = room_of("cid")

    effects = room.join("bob", owner=True)

    assert Own(BOB, ADMIN_LEFT) in effects
    assert room.heard["cid"][-1] == OwnerChanged(4, BOB)
    assert [each.owner for each in room.rules.picture().members] == [False, False, True]
    assert [each.facilitator for each in room.rules.picture().members] == [True, False, True]
    assert code_of(room.ask("ann", CloseRoom())) is ErrorCode.NOT_ADMIN
    assert isinstance(room.ask("bob", T1), Ack)


def test_after_a_handing_over_the_room_ends_with_the_new_owner_and_not_with_the_old_one() -> None:
    room = room_of()
    room.join("bob", owner=True)

    room.ask("ann", Depart())
    assert room.end is None
    room.ask("bob", Depart())

    assert room.end == ADMIN_LEFT


def test_a_room_may_be_handed_over_in_the_middle_of_a_vote() -> None:
    room = voting()
    room.ask("ann", CastCard(1, "5"))
    room.join("bob", owner=True)

    room.ask("bob", CastCard(1, "8"))

    assert isinstance(room.ask("bob", RevealRound(1)), Ack)
    assert len(room.recorded[0].votes) == 2


def test_in_a_room_without_a_key_nobody_takes_it_from_who_came_first() -> None:
    room = LastingAudience(keyed=False)
    room.visit("eve")

    room.join("ann", owner=True)

    assert room.owner == "eve"
    assert not seated(room, "ann").owner


# --- away and back ----------------------------------------------------------------------------


def test_who_loses_its_connection_is_away_for_the_grace() -> None:
    room = room_of("bob", grace=45.0)
    room.now = 1010.0

    effects = room.say("bob", Detach())

    assert SetTimer(BOB, 45.0) in effects
    assert room.heard["ann"] == [WentAway(3, BOB, 1010.0)]
    assert (seated(room, "bob").here, seated(room, "bob").since) == (False, 1010.0)


def test_who_comes_back_is_told_what_it_has_missed() -> None:
    room = room_of("bob")
    room.detach("bob")
    room.ask("ann", T1)
    room.forget().now = 1020.0

    effects = room.come_back("bob")

    assert ClearTimer(BOB) in effects
    assert room.greeted["bob"] == 2
    assert [type(event) for event in room.heard["bob"]] == [WentAway, Begun, CameBack]
    assert room.heard["ann"] == [CameBack(5, BOB, 1020.0)]


def test_who_comes_back_knowing_nothing_is_told_all() -> None:
    room = room_of("bob")
    room.detach("bob")

    room.forget().say("bob", Return())

    (snapshot,) = room.heard["bob"]
    assert isinstance(snapshot, Snapshot)


def test_a_newer_connection_takes_the_place_of_the_older_one_without_a_change() -> None:
    room = room_of("bob")
    before = room.rules.picture()

    effects = room.come_back("bob")

    assert effects == [Greet(BOB, 2), Subscribe(BOB)]
    assert room.rules.picture() == before


@pytest.mark.parametrize(
    ("seq", "generation"), [(99, 0), (-1, 0), (1, 1), (1, -1), (1, -2), (0, 10**30), (10**30, 0)]
)
def test_what_was_never_a_state_of_the_room_is_answered_with_all_of_it(
    seq: int, generation: int
) -> None:
    room = room_of("bob")

    room.say("bob", Return(seq, generation))

    assert room.greeted["bob"] is None


def test_a_loss_of_the_server_makes_what_came_after_its_record_unknown() -> None:
    room = room_of("bob")
    stored = room.stored()
    room.ask("ann", T1)  # the third change, which is not on record
    del room.changes[2:], room.log[2:]

    room.restart(stored)

    assert room.rules.generation == 1
    for known, greeted in {(3, 0): None, (2, 0): 2, (3, 1): 3, (4, 1): 4}.items():
        effects = room.rules.apply(Return(*known), BOB, room.now)
        assert Greet(BOB, greeted) in effects


@pytest.mark.parametrize("stranger", ["eve", "visitor"])
def test_only_who_has_joined_can_come_back(stranger: str) -> None:
    room = room_of()
    room.visit("visitor")

    effects = room.rules.apply(Return(0), MemberId(stranger), room.now)

    wrong = Disconnect(MemberId(stranger), CloseCode.NORMAL, Problem(ErrorCode.WRONG_KEY))
    assert effects == [wrong]


def test_who_is_away_for_longer_than_its_grace_is_gone() -> None:
    room = room_of("bob")
    room.detach("bob")
    room.forget()

    effects = room.ring("bob")

    assert room.heard["ann"] == [Left(4, BOB, True, False)]
    assert effects[-1] == Disconnect(BOB, CloseCode.NORMAL, Problem(ErrorCode.LEFT))
    assert members(room) == ["ann"]


def test_the_room_goes_on_while_its_owner_is_away_and_ends_with_its_grace() -> None:
    room = voting("bob")
    room.detach("ann")

    assert isinstance(room.ask("bob", CastCard(1, "5")), Ack)
    assert room.end is None
    room.ring("ann")

    assert room.end == ADMIN_LEFT


def test_an_alarm_that_was_on_its_way_when_its_member_came_back_does_nothing() -> None:
    room = room_of("bob")
    room.detach("bob")
    room.come_back("bob")

    assert room.say("bob", TimeUp()) == []


def test_an_alarm_of_an_earlier_absence_does_not_end_a_later_one() -> None:
    room = room_of("bob")
    room.detach("bob")
    room.now += 59.0
    room.come_back("bob")
    room.detach("bob")
    room.now += 1.0

    assert room.say("bob", TimeUp()) == [SetTimer(BOB, 59.0)]
    assert members(room) == ["ann", "bob"]
    room.ring("bob")
    assert members(room) == ["ann"]


def test_where_there_is_no_grace_a_member_goes_with_its_connection() -> None:
    room = room_of("bob", grace=0.0)

    room.detach("bob")

    assert room.heard["ann"] == [Left(3, BOB, True, False)]
    room.detach("ann")
    assert room.end == ADMIN_LEFT


def test_losing_the_connection_twice_is_losing_it_once() -> None:
    room = room_of("bob")
    room.detach("bob")

    assert room.say("bob", Detach()) == []


def test_a_visitor_is_its_connection_and_is_never_away() -> None:
    room = room_of()
    room.visit("eve")

    assert room.say("eve", Detach()) == []
    assert members(room) == ["ann", "eve"]


def test_who_is_away_is_still_waited_for_and_what_it_voted_counts() -> None:
    room = voting("bob", "cid")
    room.ask("bob", CastCard(1, "5"))

    room.detach("bob", "cid")
    room.ask("ann", CastCard(1, "8"))

    assert waiting_for(room) == ("cid",)
    room.ring("cid")
    assert room.phase() is Phase.VOTED
    room.ask("ann", RevealRound(1))
    assert [vote.value for vote in room.recorded[0].votes] == ["5", "8"]


def test_ones_own_card_is_in_ones_snapshot_and_in_nobody_elses() -> None:
    room = voting("bob")
    room.ask("bob", CastCard(1, "5"))

    assert room.rules.snapshot_for(BOB).mine.card == "5"
    assert room.rules.snapshot_for(ANN).mine.card is None
    room.ask("ann", RevealRound(1))
    assert room.rules.snapshot_for(BOB).mine.card is None


# --- spectators -------------------------------------------------------------------------------


def test_a_spectator_is_not_waited_for_and_may_not_vote() -> None:
    room = room_of()
    room.join("sue", role=Role.SPECTATOR)

    room.ask("ann", T1)

    assert waiting_for(room) == ("ann",)
    assert "vote" not in room.may("sue")
    assert code_of(room.ask("sue", CastCard(1, "5"))) is ErrorCode.SPECTATOR


def test_a_spectator_cannot_vote_in_the_words_of_another_dialect() -> None:
    room = voting()
    room.join("sue", role=Role.SPECTATOR)

    room.forget().say("sue", CastVote(TicketId("T-1"), "5"))

    assert room.heard == {"sue": [Refusal(Problem(ErrorCode.SPECTATOR))]}
    assert not seated(room, "sue").voted


def test_a_spectator_takes_a_seat_and_does_not_keep_a_round_from_completion() -> None:
    room = voting(capacity=2)
    room.join("sue", role=Role.SPECTATOR)

    room.ask("ann", CastCard(1, "5"))

    assert room.phase() is Phase.VOTED
    room.join("bob")
    assert room.dismissed == {"bob": ErrorCode.ROOM_FULL}


def test_an_owner_may_be_a_spectator() -> None:
    room = LastingAudience()
    room.join("ann", role=Role.SPECTATOR, owner=True)
    room.join("bob")

    room.ask("ann", T1)
    room.ask("bob", CastCard(1, "5"))

    assert isinstance(room.ask("ann", RevealRound(1)), Ack)


def test_a_round_of_spectators_waits_for_a_voter() -> None:
    room = LastingAudience()
    room.join("ann", role=Role.SPECTATOR, owner=True)
    room.ask("ann", T1)

    assert room.phase() is Phase.VOTING
    room.join("bob")
    room.ask("bob", CastCard(1, "5"))

    assert room.phase() is Phase.VOTED


# --- rounds -----------------------------------------------------------------------------------


def test_a_round_by_numbered_requests() -> None:
    room = room_of("bob")
    room.now = 1010.0
    assert room.ask("ann", T1) == Ack(1, 3)
    assert room.ask("ann", CastCard(1, "5")) == Ack(2, 4)
    assert room.ask("bob", CastCard(1, "8")) == Ack(1, 5)
    room.now = 1030.0
    assert room.ask("ann", RevealRound(1)) == Ack(3, 6)

    begun, first, second, revealed = room.changes[2:]
    assert isinstance(begun, Begun)
    assert (begun.number, begun.ticket, begun.began_at) == (1, "T-1", 1010.0)
    assert isinstance(first, Voted)
    assert isinstance(second, Voted)
    assert (first.member, first.complete, second.complete) == (ANN, False, True)
    assert isinstance(revealed, Revealed)
    assert [vote.card for vote in revealed.shown.votes] == ["5", "8"]
    assert (revealed.shown.statistics.mean, revealed.shown.seconds) == (6.5, 20.0)
    assert room.rules.picture().stage is Stage.REVEALED


def test_a_vote_may_be_changed_until_the_reveal() -> None:
    room = voting()
    room.ask("ann", CastCard(1, "5"))
    room.ask("ann", CastCard(1, "8"))
    room.ask("ann", RevealRound(1))

    assert [vote.value for vote in room.recorded[0].votes] == ["8"]
    assert code_of(room.ask("ann", CastCard(1, "5"))) is ErrorCode.ALREADY_SHOWN


@pytest.mark.parametrize(
    ("request_", "code", "field"),
    [
        (CastCard(1, "nonsense"), ErrorCode.NOT_IN_DECK, "card"),
        (CastCard(0, "5"), ErrorCode.WRONG_ROUND, "round"),
        (CastCard(2, "5"), ErrorCode.WRONG_ROUND, "round"),
        (RevealRound(2), ErrorCode.WRONG_ROUND, "round"),
        (RevealRound(1), ErrorCode.NOBODY_VOTED, None),
        (T1, ErrorCode.BEGUN_TWICE, None),
    ],
)
def test_a_refusal_names_the_field_and_changes_nothing(
    request_: Request, code: ErrorCode, field: str | None
) -> None:
    room = voting("bob")
    before = room.rules.picture()

    answer = room.ask("ann", request_)

    assert isinstance(answer, Failure)
    assert (answer.problem.code, answer.problem.field) == (code, field)
    assert room.rules.picture() == before
    assert list(room.heard) == ["ann"]


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (T1, ErrorCode.NOT_FACILITATOR),
        (RevealRound(1), ErrorCode.NOT_FACILITATOR),
        (Configure(begin_by=Who.ALL), ErrorCode.NOT_FACILITATOR),
        (CloseRoom(), ErrorCode.NOT_ADMIN),
    ],
)
def test_what_is_left_to_some_is_refused_to_others(request_: Request, code: ErrorCode) -> None:
    room = voting("bob")
    room.ask("bob", CastCard(1, "5"))

    assert code_of(room.ask("bob", request_)) is code


# --- options ----------------------------------------------------------------------------------


def test_options_that_are_changed_are_told_with_what_one_may_do() -> None:
    room = room_of("bob")

    answer = room.ask("ann", Configure(begin_by=Who.ALL))

    told = Configured(3, Options(begin_by=Who.ALL), room.rules.picture().may)
    assert answer == Ack(1, 3)
    assert room.heard["bob"][-1] == told
    assert "begin" in room.may("bob")
    assert "begin" in room.may("ann")
    assert isinstance(room.ask("bob", T1), Ack)


def test_options_that_stay_as_they_are_are_no_change() -> None:
    room = room_of("bob")
    before = room.rules.picture()

    answer = room.ask("ann", Configure(begin_by=Who.FACILITATORS))

    assert answer == Ack(1, before.seq)
    assert room.rules.picture() == before


def test_who_may_reveal_can_be_all() -> None:
    room = voting("bob")
    room.ask("ann", Configure(reveal_by=Who.ALL))
    assert "reveal" not in room.may("bob")

    room.ask("bob", CastCard(1, "5"))

    assert "reveal" in room.may("bob")
    assert isinstance(room.ask("bob", RevealRound(1)), Ack)


def test_options_are_changed_one_by_one_and_back() -> None:
    room = room_of("bob")
    usual = room.rules.picture().may

    room.ask("ann", Configure(begin_by=Who.ALL))
    room.ask("ann", Configure(reveal_by=Who.ALL))
    assert room.rules.picture().options == Options(begin_by=Who.ALL, reveal_by=Who.ALL)
    room.ask("ann", Configure(begin_by=Who.FACILITATORS, reveal_by=Who.FACILITATORS))

    assert room.rules.picture().options == DEFAULTS
    assert room.rules.picture().may is usual


def test_after_the_last_round_nothing_begins_and_what_one_may_do_says_so() -> None:
    room = room_of(rounds=1)
    room.ask("ann", T1)
    room.ask("ann", CastCard(1, "5"))

    room.ask("ann", RevealRound(1))

    assert "begin" not in room.may("ann")
    assert code_of(room.ask("ann", BeginRound(TicketId("T-2")))) is ErrorCode.TOO_MANY_ROUNDS


@pytest.mark.parametrize(
    ("requests", "may"),
    [
        ([], {"ann": ["begin"], "bob": []}),
        ([T1], {"ann": ["vote", "begin"], "bob": ["vote"]}),
        (
            [T1, CastCard(1, "5")],
            {"ann": ["vote", "retract", "reveal"], "bob": ["vote", "retract"]},
        ),
        ([T1, CastCard(1, "5"), RevealRound(1)], {"ann": ["begin", "estimate"], "bob": []}),
        (
            [T1, CastCard(1, "5"), RevealRound(1), BeginRound(TicketId("T-2")), CastCard(2, "5")],
            {"ann": ["vote", "retract", "reveal", "estimate"], "bob": ["vote", "retract"]},
        ),
    ],
)
def test_what_one_may_do_follows_the_round(
    requests: list[Request], may: dict[str, list[str]]
) -> None:
    room = room_of("bob")
    for request in requests:
        room.ask("ann", request)

    of_rounds = {"begin", "vote", "retract", "reveal", "estimate"}
    for member, deeds in may.items():
        assert [each for each in room.may(member) if each in of_rounds] == deeds
    assert room.may("stranger") == ()


# --- numbered requests ------------------------------------------------------------------------


def test_a_request_that_is_repeated_has_no_second_effect_and_gets_the_same_answer() -> None:
    room = voting("bob")
    first = room.ask("ann", CastCard(1, "5"), ref=7)
    room.ask("bob", CastCard(1, "5"))
    before, changes = room.stored(), len(room.changes)

    again = room.ask("ann", CastCard(1, "8"), ref=7)

    assert again == first
    assert room.stored() == before
    assert len(room.changes) == changes


def test_a_refusal_is_repeated_too_even_when_the_request_would_be_granted_by_now() -> None:
    room = voting()
    first = room.ask("ann", RevealRound(1), ref=3)
    room.ask("ann", CastCard(1, "5"), ref=4)

    assert code_of(first) is ErrorCode.NOBODY_VOTED
    assert room.ask("ann", RevealRound(1), ref=3) == first


def test_answers_are_kept_while_their_member_is_away_and_over_a_restart() -> None:
    room = voting("bob")
    first = room.ask("bob", CastCard(1, "5"))
    room.detach("bob")
    room.restart()
    room.come_back("bob")

    assert room.ask("bob", CastCard(1, "5"), ref=1) == first


def test_each_member_counts_for_itself() -> None:
    room = voting("bob")

    assert isinstance(room.ask("bob", CastCard(1, "5"), ref=1), Ack)
    assert seated(room, "bob").voted


def test_numbers_may_be_left_out() -> None:
    room = voting()

    assert room.ask("ann", CastCard(1, "5"), ref=1000) == Ack(1000, 3)


def test_a_number_below_the_latest_that_was_left_out_is_refused() -> None:
    room = voting()
    room.ask("ann", CastCard(1, "5"), ref=10)

    answer = room.ask("ann", CastCard(1, "8"), ref=9)

    assert code_of(answer) is ErrorCode.FORGOTTEN
    room.ask("ann", RevealRound(1))
    assert room.recorded[0].votes[0].value == "5"


def test_an_answer_is_forgotten_after_many_others() -> None:
    room = voting()
    for ref in range(2, REMEMBERED + 3):
        room.ask("ann", CastCard(1, "5"), ref=ref)

    assert code_of(room.ask("ann", CastCard(1, "5"), ref=2)) is ErrorCode.FORGOTTEN
    assert isinstance(room.ask("ann", CastCard(1, "5"), ref=3), Ack)


@pytest.mark.parametrize("member", ["eve", "stranger"])
def test_only_who_has_joined_is_answered(member: str) -> None:
    room = voting()
    room.say("eve", Enter("Eve"))
    before = room.rules.picture()

    assert room.say(member, Numbered(1, CastCard(1, "5"))) == []
    assert room.rules.picture() == before


# --- leaving and closing ----------------------------------------------------------------------


def test_who_departs_is_answered_and_gone_without_a_grace() -> None:
    room = room_of("bob")

    effects = room.say("bob", Numbered(1, Depart()))

    assert effects[0] == Tell(BOB, Ack(1, 3))
    assert effects[-1] == Disconnect(BOB, CloseCode.NORMAL, Problem(ErrorCode.LEFT))
    assert room.heard["ann"] == [Left(3, BOB, False, False)]
    assert room.say("bob", Leave()) == []


def test_who_has_departed_cannot_come_back() -> None:
    room = room_of("bob")
    room.ask("bob", Depart())

    room.say("bob", Return(3))

    assert room.dismissed == {"bob": ErrorCode.WRONG_KEY}


def test_the_vote_of_who_departs_stays_and_the_round_goes_on_without_it() -> None:
    room = voting("bob", "cid")
    room.ask("ann", CastCard(1, "5"))
    room.ask("bob", CastCard(1, "8"))

    room.ask("bob", Depart())
    room.ask("cid", Depart())

    assert room.changes[-1] == Left(8, CID, False, True)
    room.ask("ann", RevealRound(1))
    assert [vote.name for vote in room.recorded[0].votes] == ["Ann", "Bob"]


def test_the_owner_departs_and_the_room_ends() -> None:
    room = room_of("bob")

    effects = room.say("ann", Numbered(1, Depart()))

    assert effects == [Tell(ANN, Ack(1, 2)), End(ADMIN_LEFT)]
    assert room.phase() is Phase.ENDED


def test_the_owner_closes_the_room_and_is_answered_first() -> None:
    room = voting("bob")

    effects = room.say("ann", Numbered(2, CloseRoom()))

    assert effects == [Tell(ANN, Ack(2, 3)), End(CLOSED)]
    assert room.say("bob", Numbered(1, CastCard(1, "5"))) == []


# --- restarts ---------------------------------------------------------------------------------


def test_after_a_restart_everybody_is_away_with_the_whole_grace_from_then_on() -> None:
    room = room_of("bob", grace=45.0)
    room.now = 5000.0

    effects = room.restart()

    assert room.timers == {"ann": 5045.0, "bob": 5045.0}
    assert room.changes[-2:] == [WentAway(3, ANN, 5000.0), WentAway(4, BOB, 5000.0)]
    assert effects[-1] == Own(ANN, ADMIN_LEFT)


@pytest.mark.parametrize(
    ("grace", "stopped", "left"),
    [
        (600.0, 100.0, 500.0),
        (600.0, 590.0, COMEBACK_SECONDS),
        (600.0, 90_000.0, COMEBACK_SECONDS),
        (20.0, 5.0, 20.0),
        (20.0, 90_000.0, 20.0),
    ],
)
def test_who_was_away_has_what_is_left_of_its_grace_but_time_enough_to_come_back(
    grace: float, stopped: float, left: float
) -> None:
    room = room_of("bob", grace=grace)
    room.detach("bob")
    room.now += stopped

    room.restart()

    assert room.timers["bob"] == room.now + left
    room.ring("bob")
    assert "bob" not in members(room)


def test_a_clock_that_was_put_back_gives_nobody_more_than_its_grace() -> None:
    room = room_of("bob")
    room.detach("bob")
    room.now -= 500.0

    room.restart()

    assert room.timers["bob"] == room.now + 60.0
    room.ring("bob")
    assert members(room) == ["ann"]


def test_a_restart_takes_those_who_were_their_connection() -> None:
    room = voting()
    room.visit("eve")
    room.say("eve", CastVote(TicketId("T-1"), "8"))

    room.restart()

    assert members(room) == ["ann"]
    room.come_back("ann")
    room.now += ASK_AGAIN_SECONDS
    room.ask("ann", RevealRound(1))
    assert [vote.name for vote in room.recorded[0].votes] == ["Eve"]


def test_no_page_is_turned_before_all_have_had_time_to_ask_again() -> None:
    room = voting("bob", "cid")
    room.ask("bob", CastCard(1, "5"))
    room.detach("cid")
    room.restart()

    room.come_back("ann")
    assert code_of(room.ask("ann", RevealRound(1))) is ErrorCode.RESTING
    room.come_back("bob")  # cid was away before, and is not waited for
    assert code_of(room.ask("ann", RevealRound(1))) is ErrorCode.RESTING
    room.ask("bob", CastCard(1, "8"))
    room.now += ASK_AGAIN_SECONDS
    room.ask("ann", RevealRound(1))

    assert [vote.value for vote in room.recorded[0].votes] == ["8"]


def test_who_was_not_back_yet_when_the_server_died_again_is_still_expected() -> None:
    room = voting("bob")
    room.ask("ann", CastCard(1, "5"))
    room.restart()
    room.come_back("ann")
    room.restart()

    room.come_back("ann")
    room.now += ASK_AGAIN_SECONDS
    assert code_of(room.ask("ann", RevealRound(1))) is ErrorCode.RESTING
    room.come_back("bob")
    room.ask("bob", CastCard(1, "8"))
    room.now += ASK_AGAIN_SECONDS
    room.ask("ann", RevealRound(1))

    assert [vote.value for vote in room.recorded[0].votes] == ["5", "8"]


def test_who_does_not_come_back_holds_a_page_for_a_while_only() -> None:
    room = voting("bob")
    room.ask("ann", CastCard(1, "5"))
    room.restart()
    room.come_back("ann")
    room.now += REST_SECONDS - 0.1
    assert code_of(room.ask("ann", RevealRound(1))) is ErrorCode.RESTING
    room.now += 0.1
    room.ask("ann", RevealRound(1))
    assert len(room.recorded) == 1


def test_whoever_comes_back_as_late_as_a_client_may_has_its_say_in_time() -> None:
    assert REST_SECONDS > MOST_SECONDS + ASK_AGAIN_SECONDS
    room = voting("bob")
    room.ask("ann", CastCard(1, "5"))
    room.restart()
    room.come_back("ann")
    room.now += MOST_SECONDS
    room.come_back("bob")
    refused = room.ask("ann", RevealRound(1))
    assert isinstance(refused, Failure)
    assert refused.problem == Problem(ErrorCode.RESTING, values={"seconds": 2})
    room.ask("bob", CastCard(1, "8"))
    room.now += ASK_AGAIN_SECONDS
    room.ask("ann", RevealRound(1))
    assert [vote.value for vote in room.recorded[0].votes] == ["5", "8"]


def test_after_a_planned_stop_nobody_is_waited_for() -> None:
    room = voting("bob")
    room.ask("ann", CastCard(1, "5"))
    assert room.say(NOBODY, Park()) == []
    room.restart()
    room.come_back("ann")
    room.ask("ann", RevealRound(1))
    assert len(room.recorded) == 1


def test_a_planned_stop_does_not_make_up_for_a_kill_before() -> None:
    room = voting("bob")
    room.ask("ann", CastCard(1, "5"))
    room.restart()
    room.say(NOBODY, Park())
    room.restart()
    room.come_back("ann")
    assert code_of(room.ask("ann", RevealRound(1))) is ErrorCode.RESTING
    room.come_back("bob")
    room.restart()  # and what was kept in the planned stop says nothing of this kill
    room.come_back("ann")
    assert code_of(room.ask("ann", RevealRound(1))) is ErrorCode.RESTING


def test_nobody_votes_twice_because_of_a_restart() -> None:
    room = voting("bob")
    room.ask("bob", CastCard(1, "5"))

    room.restart()
    room.come_back("bob")

    assert room.rules.snapshot_for(BOB).mine.card == "5"
    assert waiting_for(room) == ("ann",)


def test_a_restart_ends_a_room_that_was_its_owners_connection_and_says_nothing_after() -> None:
    room = LastingAudience(keyed=False)
    room.visit("eve", "kim")
    room.join("ann")

    room.restart()

    assert room.end == ADMIN_LEFT


# --- empty rooms ------------------------------------------------------------------------------


def test_a_room_to_which_nobody_comes_ends() -> None:
    room = LastingAudience()

    room.ring(NOBODY)

    assert room.end == NOBODY_CAME


@pytest.mark.parametrize("announced", [False, True])
def test_who_comes_stops_the_patience_with_an_empty_room(*, announced: bool) -> None:
    room = LastingAudience()

    room.say("eve", Enter("Eve"))
    if announced:
        room.say("eve", Announce(ROOM))

    assert NOBODY not in room.timers
    assert room.say(NOBODY, TimeUp()) == []


def test_who_only_looks_in_leaves_the_room_to_its_owner() -> None:
    room = LastingAudience()
    room.join("bob")
    room.now = 1100.0

    room.ask("bob", Depart())

    assert room.timers == {NOBODY: 1100.0 + EMPTY_SECONDS}
    room.join("ann", owner=True)
    assert room.timers == {}
    assert room.owner == "ann"


def test_who_does_not_announce_itself_in_time_leaves_an_empty_room() -> None:
    room = LastingAudience()
    room.say("eve", Enter("Eve"))

    room.ring("eve")

    assert room.dismissed == {"eve": ErrorCode.ANNOUNCED_TOO_LATE}
    assert room.timers == {NOBODY: room.now + EMPTY_SECONDS}


def test_an_empty_room_waits_anew_after_a_restart() -> None:
    room = LastingAudience()
    room.now = 1599.0

    room.restart()

    assert room.timers == {NOBODY: 1599.0 + EMPTY_SECONDS}


# --- both kinds in one room -------------------------------------------------------------------


def test_both_kinds_hear_of_a_round_in_their_own_events() -> None:
    room = room_of()
    room.visit("eve")
    room.forget()

    room.ask("ann", T1)
    room.say("eve", CastVote(TicketId("T-1"), "8"))
    room.ask("ann", CastCard(1, "5"))
    room.ask("ann", RevealRound(1))

    seen = [type(event) for event in room.heard["eve"]]
    assert [kind for kind in seen if kind.__module__ == "protocol.messages"] == [
        *(VoteRequested, VoteCast, VoteCast, VotingCompleted, VotesRevealed, AwaitingTicket)
    ]
    shown = room.clients["ann"].picture.shown
    assert shown is not None
    assert [(vote.member, vote.card) for vote in shown.votes] == [("eve", "8"), ("ann", "5")]


def test_a_visitor_is_told_of_those_who_have_joined_away_or_not() -> None:
    room = room_of("bob")
    room.detach("bob")

    room.visit("eve")

    assert room.heard["eve"][:3] == [
        Welcome(ROOM),
        MemberPresent("Ann", admin=True),
        MemberPresent("Bob", admin=False),
    ]


def test_a_visitor_learns_of_other_cards_on_coming_and_on_each_vote_with_none_of_them() -> None:
    room = room_of("bob", deck=DECKS["tshirt"])

    room.visit("eve")
    room.ask("ann", T1)
    room.say("eve", CastVote(TicketId("T-1"), "5"))

    said = [frame[2:] for event in room.heard["eve"] if (frame := ESTIMATEX.encode(event))]
    assert b'You are in room Room42; its cards: XXS XS S M L XL XXL ?"' in said[0]
    words = "! data.vote must be a card of this room (XXS XS S M L XL XXL ?)."
    assert said[-1].decode() == words
    room.forget()

    room.say("eve", CastVote(TicketId("T-1"), "M"))
    assert VoteCast("Eve", TicketId("T-1")) in room.heard["eve"]


def test_a_member_learns_which_cards_there_are_from_a_refusal() -> None:
    room = room_of(deck=Deck(["1", "too big"]))
    room.ask("ann", T1)

    answer = room.ask("ann", CastCard(1, "5"))

    assert isinstance(answer, Failure)
    assert sentence(answer.problem) == "card must be one of this room's cards (1, too big)"


def test_a_round_is_shown_and_recorded_with_its_deck() -> None:
    deck = DECKS["tshirt"]
    room = room_of("bob", deck=deck)
    room.ask("ann", T1)
    room.ask("ann", CastCard(1, "S"))
    room.ask("bob", CastCard(1, "S"))

    room.ask("ann", RevealRound(1))

    shown = room.clients["bob"].picture.shown
    assert shown is not None
    assert shown.statistics == summarize(["S", "S"], deck)
    assert shown.statistics.suggestion == Suggestion("S", Rule.MODE)
    [result] = room.recorded
    assert result.deck is deck


def test_who_announces_itself_late_is_shown_last_by_the_room_and_by_who_folds() -> None:
    room = room_of()
    room.say("eve", Enter("Eve"))
    room.join("bob")

    room.say("eve", Announce(ROOM))

    assert members(room) == ["ann", "bob", "eve"]


def test_a_visitor_in_a_room_with_a_key_owns_nothing() -> None:
    room = LastingAudience()

    room.visit("eve")

    assert room.owner is None
    room.forget().say("eve", BeginVoting(TicketId("T-1")))
    assert room.heard == {
        "eve": [Refusal(Problem(ErrorCode.NOT_FACILITATOR, values={"deed": "begin"}))]
    }


def test_a_room_of_a_visitor_ends_with_it_whoever_has_joined() -> None:
    room = LastingAudience(keyed=False)
    room.visit("eve")
    room.join("ann")

    room.say("eve", Leave())

    assert room.end == ADMIN_LEFT


def test_what_a_visitor_owns_is_numbered_from_the_first_who_joins() -> None:
    room = LastingAudience(keyed=False)
    room.visit("eve")
    room.say("eve", BeginVoting(TicketId("T-1")))
    assert room.rules.seq == 0

    room.join("bob")
    room.ask("bob", CastCard(1, "5"))
    room.say("eve", RevealVotes(TicketId("T-1")))

    assert [type(change) for change in room.changes] == [Joined, Voted, Revealed]
    assert room.clients["bob"].picture.stage is Stage.REVEALED


def test_all_seats_taken_is_said_to_visitors_once() -> None:
    room = room_of(capacity=2)

    room.visit("eve")

    assert room.heard["eve"][-1] == CapacityReached(2)
    room.say("eve", Leave())
    room.forget().join("bob")
    assert CapacityReached(2) not in room.heard["ann"]


# --- storing ----------------------------------------------------------------------------------


@pytest.mark.parametrize("requests", [[], [T1], [T1, CastCard(1, "½")]])
def test_a_room_is_restored_as_it_was(requests: list[Request]) -> None:
    room = room_of("bob")
    for request in requests:
        room.ask("ann", request)

    again = restored(room.stored())

    assert again.snapshot() == room.rules.snapshot()
    assert again.picture() == room.rules.picture()
    assert again.lasting_members == room.rules.lasting_members
    assert again.owner == ANN


def test_whole_numbers_of_seconds_are_stored_like_others() -> None:
    room = Estimation(ROOM, 2, keyed=True, grace_seconds=60, opened_at=1000)

    assert Estimation.restore(room.snapshot()).picture() == room.picture()


OF_BEFORE_DECKS: Final = """\
{"room_id":"Room42","capacity":4,"cards":["S","M","L","?"],"name":"Planning",
"grace_seconds":60.0,"opened_at":1000.0,"keyed":true,"rounds_left":1999,"phase":"voting",
"seats":{"ann":{"name":"Ann","admin":true,"announced":true,"role":"voter","lasting":true,
"here":true,"since":1000.0,"account":null,"login":null,"answers":[[1,3],[2,4],[3,6],[4,7]]},
"bob":{"name":"Bob","admin":false,"announced":true,"role":"voter","lasting":true,"here":true,
"since":1000.0,"account":null,"login":null,"answers":[[1,5],[2,8]]}},"admin":"ann",
"announced":2,"guests":0,"told_full":false,"numbering":true,"seq":8,"generations":[0],
"expected":[],"resting_until":0.0,"rest_ends":0.0,"parked":false,"round":2,"ticket":"T-2",
"votes":{"bob":{"member_id":"bob","name":"Bob","value":"M"}},"waited_for":["ann"],
"began":1000.0,"shown":{"number":1,"ticket":"T-1","votes":[{"member":"ann","name":"Ann",
"card":"S"},{"member":"bob","name":"Bob","card":"L"}],"statistics":{"mean":null,"median":null,
"mode":null,"modes":[],"min":null,"max":null,"consensus":false},"seconds":0.0},"version":2}"""
"""What was stored of a room when a deck was its labels, and statistics had less."""


@pytest.mark.parametrize("revealed", [True, False])
def test_a_room_that_was_stored_before_there_were_named_decks_is_restored(revealed: bool) -> None:
    plain = orjson.loads(OF_BEFORE_DECKS)
    if not revealed:
        plain["shown"] = None

    room = Estimation.restore(plain)

    picture = room.picture()
    deck = Deck(["S", "M", "L", "?"])
    assert (picture.deck_id, picture.cards) == (CUSTOM, deck.cards)
    assert picture.stage is Stage.VOTING
    assert room.snapshot_for(BOB).mine.card == "M"
    if revealed:
        assert picture.shown is not None
        assert picture.shown.statistics == summarize(["S", "L"], deck)
        assert picture.shown.statistics.median_card == "L"
    room.apply(Numbered(5, CastCard(2, "L")), ANN, 1001.0)
    assert room.snapshot_for(ANN).mine.card == "L"
    assert restored(orjson.dumps(room.snapshot())).picture() == room.picture()


def test_a_room_of_before_with_the_default_cards_has_the_default_deck() -> None:
    room = LastingAudience(4)
    room.join("ann", owner=True)
    plain = orjson.loads(room.stored())
    plain["cards"] = plain.pop("deck")

    again = Estimation.restore(plain)

    assert again.picture() == room.rules.picture()
    assert again.picture().deck_id == "classic"


@pytest.mark.parametrize("deck", [DECKS["tshirt"], Deck(["S", "M"], {"M": 2.0})])
def test_a_deck_is_restored_with_its_id_and_points(deck: Deck) -> None:
    room = Estimation(ROOM, 2, keyed=True, deck=deck)

    picture = restored(orjson.dumps(room.snapshot())).picture()

    assert (picture.deck_id, picture.cards) == (deck.id, deck.cards)


@pytest.mark.parametrize("version", [None, 1, 3, "2"])
def test_a_room_of_another_version_is_not_understood(version: object) -> None:
    plain = LastingAudience().rules.snapshot() | {"version": version}

    with pytest.raises(ValueError, match="version"):
        Estimation.restore(plain)
