"""What becomes of a round after its reveal: who was missing, votes that change, the estimate."""

from typing import Final

import attrs
import pytest

from protocol.changes import Ack, Estimated, Failure, Recast
from protocol.deck import DECKS
from protocol.dialects.estimatex import ESTIMATEX
from protocol.dialects.wording import sentence
from protocol.errors import ErrorCode
from protocol.ids import MemberId
from protocol.lasting import BeginRound, CastCard, Configure, Depart, RevealRound, Role, SetEstimate
from protocol.limits import EARLIER_ROUNDS, PAST_ROUNDS
from protocol.messages import CastVote, EstimateSet, Refusal, TicketId, VoteChanged
from protocol.options import Options
from protocol.picture import Earlier, Missed, Shown, ShownVote
from protocol.statistics import summarize
from tests.protocol.lasting_audience import LastingAudience, restored

ANN, BOB, CID, EVE = map(MemberId, ("ann", "bob", "cid", "eve"))
T1: Final = TicketId("T-1")
LATE: Final = Options(change_after_reveal=True)


def shown_round(options: Options = LATE) -> LastingAudience:
    """Ann and Bob have voted 5 and 8, Cid has not; Eve is of the other dialect, and voted 5."""
    room = LastingAudience(6, options=options)
    room.join("ann", owner=True)
    room.join("bob", "cid")
    room.visit("eve")
    room.ask("ann", BeginRound(T1))
    room.ask("ann", CastCard(1, "5"))
    room.ask("bob", CastCard(1, "8"))
    room.say("eve", CastVote(T1, "5"))
    room.now += 10
    room.ask("ann", RevealRound(1))
    return room.forget()


def code_of(answer: Ack | Failure) -> ErrorCode:
    assert isinstance(answer, Failure)
    return answer.problem.code


def shown(room: LastingAudience) -> Shown:
    found = room.rules.picture().shown
    assert found is not None
    return found


# --- who was missing --------------------------------------------------------------------------


def test_who_was_waited_for_in_vain_is_named_also_when_gone() -> None:
    room = shown_round()
    room.ask("cid", Depart())

    assert shown(room).missing == (Missed(CID, "Cid"),)


def test_nobody_is_missing_who_only_watches_or_came_to_a_complete_round() -> None:
    room = LastingAudience(6)
    room.join("ann", owner=True)
    room.join("bob", role=Role.SPECTATOR)
    room.ask("ann", BeginRound(T1))
    room.ask("ann", CastCard(1, "5"))
    room.join("cid")
    room.ask("ann", RevealRound(1))

    assert shown(room).missing == ()


# --- votes that change ------------------------------------------------------------------------


def test_a_vote_is_changed_in_place_marked_and_counted_anew() -> None:
    room = shown_round()
    room.ask("bob", CastCard(1, "5"))

    vote = ShownVote(BOB, "Bob", "5", changed=True)
    statistics = summarize(["5", "5", "5"])
    assert room.changes[-1] == Recast(len(room.changes), 1, vote, statistics)
    assert [(each.card, each.changed) for each in shown(room).votes] == [
        ("5", False),
        ("5", True),
        ("5", False),
    ]
    assert shown(room).statistics == statistics


def test_the_result_is_told_again_and_takes_the_place_of_the_first() -> None:
    room = shown_round()
    room.ask("bob", CastCard(1, "5"))

    first, again = room.recorded
    assert (first.replaces, again.replaces) == (False, True)
    assert (again.ticket_id, again.seconds, again.deck) == (T1, first.seconds, first.deck)
    assert [(each.value, each.changed) for each in again.votes] == [
        ("5", False),
        ("5", True),
        ("5", False),
    ]


def test_who_was_missing_may_still_vote_and_is_missing_no_more() -> None:
    room = shown_round()
    room.ask("cid", CastCard(1, "13"))

    assert shown(room).missing == ()
    assert shown(room).votes[-1] == ShownVote(CID, "Cid", "13", changed=True)


def test_the_same_card_again_changes_nothing() -> None:
    room = shown_round()
    before = room.rules.picture()
    answer = room.ask("bob", CastCard(1, "8"))

    assert isinstance(answer, Ack)
    assert room.rules.picture() == before
    assert len(room.recorded) == 1


def test_without_the_option_it_is_not_counted_and_says_why() -> None:
    room = shown_round(Options())
    answer = room.ask("bob", CastCard(1, "5"))

    assert code_of(answer) is ErrorCode.ALREADY_SHOWN
    assert isinstance(answer, Failure)
    assert sentence(answer.problem) == "not counted: the votes were already shown"
    assert "vote" not in room.may("bob")
    room.ask("ann", Configure(change_after_reveal=True))
    assert "vote" in room.may("bob")


def test_who_was_not_asked_for_a_vote_has_none_to_change() -> None:
    room = shown_round()
    room.join("dot")

    assert code_of(room.ask("dot", CastCard(1, "5"))) is ErrorCode.ALREADY_SHOWN


def test_it_must_be_a_card() -> None:
    room = shown_round()

    assert code_of(room.ask("bob", CastCard(1, "7"))) is ErrorCode.NOT_IN_DECK


def test_the_next_round_ends_it() -> None:
    room = shown_round()
    room.ask("ann", BeginRound(TicketId("T-2")))

    assert code_of(room.ask("bob", CastCard(1, "5"))) is ErrorCode.WRONG_ROUND
    assert shown(room).votes[1].card == "8"


def test_the_other_dialect_changes_votes_too_and_is_told_in_words() -> None:
    room = shown_round()
    room.say("eve", CastVote(T1, "13"))

    assert shown(room).votes[-1] == ShownVote(EVE, "Eve", "13", changed=True)
    told = VoteChanged("Eve", T1, "13")
    assert room.hear()["eve"][0] == told
    frame = ESTIMATEX.encode(told)
    assert frame is not None
    assert frame[2:] == b"* The vote of Eve on ticket T-1 is now 13"


def test_a_vote_of_the_other_dialect_that_comes_too_late_is_refused_in_the_same_words() -> None:
    room = shown_round(Options())
    room.say("eve", CastVote(T1, "13"))

    (refusal,) = room.hear()["eve"]
    assert isinstance(refusal, Refusal)
    assert refusal.problem.code is ErrorCode.ALREADY_SHOWN


# --- the estimate -----------------------------------------------------------------------------


def test_a_facilitator_sets_the_estimate_and_takes_it_back() -> None:
    room = shown_round()
    for card in ("8", None):
        room.ask("ann", SetEstimate(1, card))

        assert shown(room).estimate == card
        assert room.changes[-1] == Estimated(len(room.changes), 1, card)
        assert room.recorded[-1].estimate == card
        assert room.recorded[-1].replaces
    assert restored(room.stored()).picture() == room.rules.picture()


def test_an_estimate_that_is_set_already_is_not_told_again() -> None:
    room = shown_round()
    room.ask("ann", SetEstimate(1, "8"))
    before = len(room.changes)
    room.ask("ann", SetEstimate(1, "8"))

    assert len(room.changes) == before
    assert len(room.recorded) == 2


def test_it_may_be_set_while_the_next_round_runs_and_is_none_in_that() -> None:
    room = shown_round()
    room.ask("ann", BeginRound(TicketId("T-2")))
    room.ask("ann", SetEstimate(1, "8"))
    assert room.recorded[-1].ticket_id == T1
    room.ask("ann", CastCard(2, "5"))
    room.ask("ann", RevealRound(2))

    assert shown(room).estimate is None
    assert room.recorded[-1].estimate is None
    assert not room.recorded[-1].replaces


@pytest.mark.parametrize(
    ("member", "round_", "card", "code"),
    [
        ("bob", 1, "8", ErrorCode.NOT_FACILITATOR),
        ("ann", 2, "8", ErrorCode.NOT_SHOWN),
        ("ann", 1, "7", ErrorCode.NO_ESTIMATE),
        ("ann", 1, "?", ErrorCode.NO_ESTIMATE),
        ("ann", 1, "coffee", ErrorCode.NO_ESTIMATE),
    ],
)
def test_an_estimate_is_refused_for_a_reason(
    member: str, round_: int, card: str, code: ErrorCode
) -> None:
    room = shown_round()
    before = room.rules.picture()

    answer = room.ask(member, SetEstimate(round_, card))

    assert code_of(answer) is code
    assert isinstance(answer, Failure)
    assert sentence(answer.problem)
    assert room.rules.picture() == before


def test_before_the_first_reveal_there_is_nothing_to_estimate() -> None:
    room = LastingAudience(3, deck=DECKS["tshirt"])
    room.join("ann", owner=True)

    assert code_of(room.ask("ann", SetEstimate(1, "M"))) is ErrorCode.NOT_SHOWN
    room.ask("ann", BeginRound(T1))
    room.ask("ann", CastCard(1, "?"))
    room.ask("ann", RevealRound(1))
    room.ask("ann", SetEstimate(1, "M"))
    assert shown(room).estimate == "M"


def test_a_change_of_a_vote_leaves_the_estimate() -> None:
    room = shown_round()
    room.ask("ann", SetEstimate(1, "8"))
    room.ask("bob", CastCard(1, "5"))

    assert room.recorded[-1].estimate == "8"
    assert shown(room).estimate == "8"


@pytest.mark.parametrize(
    ("card", "text"),
    [
        ("5", b"* The estimate of ticket T-1 is 5"),
        (None, b"* Ticket T-1 has no estimate any more"),
    ],
)
def test_the_other_dialect_is_told_of_estimates_in_words(card: str | None, text: bytes) -> None:
    frame = ESTIMATEX.encode(EstimateSet(T1, card))
    assert frame is not None
    assert frame[2:] == text


def test_a_room_stored_before_there_were_estimates_is_understood() -> None:
    room = shown_round()
    plain = room.rules.snapshot()
    for field in ("missing", "estimate"):
        del plain["shown"][field]
    for vote in plain["shown"]["votes"]:
        del vote["changed"]
    for field in ("told_complete", "prompted", "returning_until"):
        del plain[field]

    again = type(room.rules).restore(plain)

    expected = attrs.evolve(shown(room), missing=())
    assert again.picture().shown == expected


# --- earlier rounds ---------------------------------------------------------------------------


def play(room: LastingAudience, ticket: str, card: str) -> int:
    """Play a round, and give its number."""
    room.ask("ann", BeginRound(TicketId(ticket)))
    running = room.rules.picture().round
    assert running is not None
    room.ask("ann", CastCard(running.number, card))
    room.ask("ann", RevealRound(running.number))
    return running.number


def alone() -> LastingAudience:
    room = LastingAudience(3)
    room.join("ann", owner=True)
    return room


def test_a_ticket_that_is_voted_on_again_shows_its_earlier_rounds() -> None:
    room = alone()
    play(room, "A", "3")
    play(room, "B", "5")
    assert room.rules.picture().earlier == ()
    play(room, "A", "8")

    earlier = [Earlier(1, summarize(["3"]), None)]
    assert room.rules.picture().earlier == tuple(earlier)
    room.ask("ann", SetEstimate(3, "8"))
    room.ask("ann", BeginRound(TicketId("A")))
    earlier.append(Earlier(3, summarize(["8"]), "8"))
    assert room.rules.picture().earlier == tuple(earlier)
    assert restored(room.stored()).picture() == room.rules.picture()


def test_an_estimate_that_is_set_later_shows_in_the_earlier_round_too() -> None:
    room = alone()
    play(room, "A", "3")
    room.ask("ann", BeginRound(TicketId("A")))
    room.ask("ann", SetEstimate(1, "5"))

    assert room.rules.picture().earlier == (Earlier(1, summarize(["3"]), "5"),)


def test_a_beginning_in_place_of_another_one_shows_those_of_its_own_ticket_once() -> None:
    room = alone()
    play(room, "A", "3")
    room.ask("ann", BeginRound(TicketId("B")))
    assert room.rules.picture().earlier == ()
    room.ask("ann", BeginRound(TicketId("A")))

    assert [each.number for each in room.rules.picture().earlier] == [1]


def test_earlier_rounds_are_bounded_for_a_ticket_and_for_a_room() -> None:
    room = alone()
    numbers = [play(room, "A", "3") for _ in range(EARLIER_ROUNDS + 2)]
    room.ask("ann", BeginRound(TicketId("A")))
    assert [each.number for each in room.rules.picture().earlier] == numbers[-EARLIER_ROUNDS:]
    for _ in range(PAST_ROUNDS):
        play(room, "B", "3")
    room.ask("ann", BeginRound(TicketId("A")))

    assert room.rules.picture().earlier == ()
    assert len(room.rules.snapshot()["past"]) == PAST_ROUNDS
