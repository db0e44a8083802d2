"""The rules of an estimation room, row by row.

First the transition table in ``protocol/estimation_phases.py``, then the table of wire.md section 1
("there" is the Go server, whose behaviour must not come back), then what neither table says.
``ann`` is the admin everywhere.
"""

from collections.abc import Callable

import pytest

from protocol.deck import DEFAULT_DECK, Deck
from protocol.dialects.base import Dialect
from protocol.dialects.estimatex import ESTIMATEX
from protocol.dialects.gochat import GOCHAT
from protocol.effects import Disconnect, End, Own, Record, SetTimer, Sleep, Tell, TellAll
from protocol.errors import CloseCode, ErrorCode, IllegalMove, Problem
from protocol.estimation import Estimation, Phase
from protocol.estimation_phases import TRANSITIONS, Trigger
from protocol.ids import MemberId
from protocol.limits import ANNOUNCE_SECONDS
from protocol.messages import (
    ADMIN_LEFT,
    Announce,
    AwaitingTicket,
    BeginVoting,
    CapacityReached,
    CastVote,
    Command,
    Enter,
    Event,
    Leave,
    MemberJoined,
    MemberLeft,
    MemberPresent,
    Refusal,
    Reject,
    RevealPrompt,
    RevealVotes,
    RoomCreated,
    TicketId,
    TicketPrompt,
    TicketResult,
    TimeUp,
    Vote,
    VoteCast,
    VoteRequested,
    VotesRevealed,
    VotingCompleted,
    Welcome,
)
from tests.protocol.audience import OTHER_ROOM, ROOM, Audience

ONE, TWO = TicketId("T-1"), TicketId("T-2")
MALFORMED = Problem(ErrorCode.MALFORMED, "data.vote must be a string", "data.vote")

EVERY_COMMAND: list[Command] = [
    Enter("Eve"),
    Announce(ROOM),
    BeginVoting(ONE),
    CastVote(ONE, "5"),
    RevealVotes(ONE),
    Leave(),
    TimeUp(),
    Reject(MALFORMED),
    Reject(MALFORMED, final=True),
]


def gathering() -> Audience:
    """Three seats; Cid has taken his but not announced himself."""
    room = Audience(3)
    room.join("ann", "bob")
    room.enter("cid")
    return room.forget()


def ready() -> Audience:
    room = gathering()
    room.announce("cid")
    return room.forget()


def voting() -> Audience:
    """Ann and Bob have voted on T-1, Cid has not."""
    room = ready()
    room.begin()
    room.vote("ann", "bob")
    return room.forget()


def voted() -> Audience:
    room = voting()
    room.vote("cid", card="8")
    return room.forget()


PLACES: dict[Phase, Callable[[], Audience]] = {
    Phase.GATHERING: gathering,
    Phase.READY: ready,
    Phase.VOTING: voting,
    Phase.VOTED: voted,
}


def only_refused(room: Audience, member: str, code: ErrorCode) -> Problem:
    """Assert that ``member`` was refused and nobody heard anything else."""
    heard = room.hear()
    assert list(heard) == [member]
    (refusal,) = heard[member]
    assert isinstance(refusal, Refusal)
    assert refusal.problem.code is code
    return refusal.problem


def cards(room: Audience) -> dict[str, str]:
    """Return who is listed in the last reveal, and with which card."""
    return {vote.name: vote.value for vote in room.recorded[-1].votes}


# --- the transition table -------------------------------------------------------------------


def test_the_places_of_these_tests_are_what_they_are_called() -> None:
    assert {phase: make().phase() for phase, make in PLACES.items()} == {
        phase: phase for phase in PLACES
    }


def shown(*votes: tuple[str, str]) -> VotesRevealed:
    return VotesRevealed(
        ONE, tuple(Vote(MemberId(name), name.capitalize(), card) for name, card in votes)
    )


VOTES_OF_TWO = (("ann", "5"), ("bob", "5"))
JOINED = MemberJoined("Cid", admin=False)

Row = tuple[Phase, str, Command, Phase, list[Event], list[Event]]

ROWS: dict[str, Row] = {
    "GATHERING, every seat announced": (
        Phase.GATHERING,
        "cid",
        Announce(ROOM),
        Phase.READY,
        [JOINED, CapacityReached(3), TicketPrompt(first=True)],
        [JOINED, CapacityReached(3)],
    ),
    "GATHERING, BeginVoting": (
        Phase.GATHERING,
        "ann",
        BeginVoting(ONE),
        Phase.VOTING,
        [VoteRequested(ONE)],
        [VoteRequested(ONE)],
    ),
    "READY, BeginVoting": (
        Phase.READY,
        "ann",
        BeginVoting(ONE),
        Phase.VOTING,
        [VoteRequested(ONE)],
        [VoteRequested(ONE)],
    ),
    "VOTING, everybody has voted": (
        Phase.VOTING,
        "cid",
        CastVote(ONE, "8"),
        Phase.VOTED,
        [VoteCast("Cid", ONE), VotingCompleted(ONE), RevealPrompt(ONE)],
        [VoteCast("Cid", ONE), VotingCompleted(ONE)],
    ),
    "VOTING, whoever had not voted leaves": (
        Phase.VOTING,
        "cid",
        Leave(),
        Phase.VOTED,
        [MemberLeft("Cid"), VotingCompleted(ONE), RevealPrompt(ONE)],
        [MemberLeft("Cid"), VotingCompleted(ONE)],
    ),
    "VOTING, RevealVotes": (
        Phase.VOTING,
        "ann",
        RevealVotes(ONE),
        Phase.READY,
        [shown(*VOTES_OF_TWO), TicketPrompt(first=False)],
        [shown(*VOTES_OF_TWO), AwaitingTicket()],
    ),
    "VOTED, RevealVotes": (
        Phase.VOTED,
        "ann",
        RevealVotes(ONE),
        Phase.READY,
        [shown(*VOTES_OF_TWO, ("cid", "8")), TicketPrompt(first=False)],
        [shown(*VOTES_OF_TWO, ("cid", "8")), AwaitingTicket()],
    ),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_each_row_of_the_transition_table_leads_on_and_is_said(row: Row) -> None:
    start, who, command, goal, to_admin, to_others = row
    room = PLACES[start]()

    room.say(who, command)

    heard = room.hear()
    assert room.phase() is goal
    assert heard["ann"] == to_admin
    assert heard["bob"] == to_others
    if "cid" in room.present and who != "cid":
        assert heard["cid"] == to_others


@pytest.mark.parametrize("phase", PLACES)
def test_the_admin_leaving_ends_the_room_in_any_phase(phase: Phase) -> None:
    room = PLACES[phase]()

    (end,) = room.say("ann", Leave())

    assert isinstance(end, End)
    assert "admin" in end.reason


ELSEWHERE: list[tuple[Phase, Command, ErrorCode]] = [
    (Phase.VOTED, BeginVoting(TWO), ErrorCode.VOTE_RUNNING),
    (Phase.GATHERING, RevealVotes(ONE), ErrorCode.NO_VOTE_RUNNING),
    (Phase.READY, RevealVotes(ONE), ErrorCode.NO_VOTE_RUNNING),
    (Phase.GATHERING, CastVote(ONE, "5"), ErrorCode.NO_VOTE_RUNNING),
    (Phase.READY, CastVote(ONE, "5"), ErrorCode.NO_VOTE_RUNNING),
    (Phase.VOTING, RevealVotes(TWO), ErrorCode.WRONG_TICKET),
    (Phase.VOTED, RevealVotes(TWO), ErrorCode.WRONG_TICKET),
]


@pytest.mark.parametrize(("phase", "command", "code"), ELSEWHERE)
def test_what_the_transition_table_does_not_allow_is_refused_and_changes_nothing(
    phase: Phase, command: Command, code: ErrorCode
) -> None:
    room = PLACES[phase]()

    room.say("ann", command)

    only_refused(room, "ann", code)
    assert room.phase() is phase
    assert room.recorded == []


def test_the_table_in_the_code_has_no_row_that_is_not_tested() -> None:
    assert set(TRANSITIONS) == {
        (Phase.GATHERING, Trigger.FULL),
        (Phase.GATHERING, Trigger.BEGIN),
        (Phase.READY, Trigger.BEGIN),
        (Phase.VOTING, Trigger.COMPLETE),
        (Phase.VOTED, Trigger.RETRACT),  # in test_estimation_retraction and _roles
        (Phase.VOTING, Trigger.REVEAL),
        (Phase.VOTED, Trigger.REVEAL),
        (Phase.VOTING, Trigger.BEGIN),
        *((phase, Trigger.END) for phase in PLACES),
    }


def test_a_move_that_the_table_does_not_have_is_a_typed_error() -> None:
    error = IllegalMove(Phase.ENDED, Trigger.BEGIN)
    assert str(error) == "nothing leads from ENDED by BEGIN"
    assert not [phase for phase, _ in TRANSITIONS if phase is Phase.ENDED]


# --- wire.md section 1, "there | Parley" ----------------------------------------------------


@pytest.mark.parametrize("command", EVERY_COMMAND, ids=lambda command: type(command).__name__)
@pytest.mark.parametrize("who", ["ann", "bob", "eve"])
def test_row_dead_room_there_joinable_for_ever_here_silent_after_the_end(
    command: Command, who: str
) -> None:
    room = voting()
    room.leave("ann")
    room.forget()

    assert room.say(who, command) == []
    assert room.hear() == {}


@pytest.mark.parametrize("members", [2, 3, 10, 100])
def test_row_completion_there_two_or_three_times_here_exactly_once(members: int) -> None:
    names = ["ann", *(f"m{number}" for number in range(members - 1))]
    room = Audience(members)
    room.join(*names)
    room.begin()
    room.forget()

    room.vote(*names)
    room.vote(*reversed(names), card="8")

    for name, heard in room.hear().items():
        assert heard.count(VotingCompleted(ONE)) == 1
        assert heard.count(RevealPrompt(ONE)) == (name == "ann")


def test_row_concurrent_rounds_there_crash_everything_here_rooms_share_nothing() -> None:
    mine, theirs = voting(), Audience(3, room_id=OTHER_ROOM)
    theirs.join("ann", "bob", "dee")
    theirs.begin("X")
    theirs.vote("bob", card="100", ticket="X")
    mine.vote("cid")
    mine.forget()
    theirs.forget()

    theirs.leave("ann")
    mine.reveal()

    assert theirs.hear() == {}
    assert theirs.end is not None
    assert mine.end is None
    assert cards(mine) == {"Ann": "5", "Bob": "5", "Cid": "5"}


def test_row_voting_twice_there_counts_as_two_here_the_last_counts_alone() -> None:
    room = ready()
    room.begin()

    room.vote("bob", card="3")
    room.vote("bob", card="8")
    room.vote("bob", card="13")
    assert room.phase() is Phase.VOTING
    room.vote("ann", "cid")
    room.reveal()

    assert cards(room) == {"Bob": "13", "Ann": "5", "Cid": "5"}
    assert len(room.recorded[0].votes) == 3


def test_row_voting_twice_also_after_completion_and_without_completing_again() -> None:
    room = voted()

    room.vote("bob", card="100")
    heard = room.hear()
    room.reveal()

    assert heard == {name: [VoteCast("Bob", ONE)] for name in ("ann", "bob", "cid")}
    assert cards(room)["Bob"] == "100"


def test_row_leaver_without_a_vote_there_blocks_for_ever_here_unblocks() -> None:
    room = voting()

    room.leave("cid")

    assert room.phase() is Phase.VOTED
    assert room.hear()["ann"] == [MemberLeft("Cid"), VotingCompleted(ONE), RevealPrompt(ONE)]


def test_row_leaver_without_a_vote_leaves_the_others_waited_for() -> None:
    room = ready()
    room.begin()
    room.vote("ann")

    room.leave("cid")
    assert room.phase() is Phase.VOTING
    room.vote("bob")

    assert room.phase() is Phase.VOTED


def test_row_leaver_with_a_vote_does_not_complete_in_the_name_of_others() -> None:
    room = voting()

    room.leave("bob")

    assert room.phase() is Phase.VOTING
    assert room.hear() == {name: [MemberLeft("Bob")] for name in ("ann", "cid")}


@pytest.mark.parametrize("phase", PLACES)
@pytest.mark.parametrize("who", ["bob", "stranger"])
@pytest.mark.parametrize("command", [BeginVoting(ONE), RevealVotes(ONE)])
def test_row_anybody_begins_or_reveals_there_here_only_the_admin_and_nothing_changes(
    phase: Phase, who: str, command: Command
) -> None:
    room = PLACES[phase]()

    room.say(who, command)

    only_refused(room, who, ErrorCode.NOT_ADMIN)
    assert room.phase() is phase
    assert room.recorded == []


def test_row_anybody_begins_there_here_a_refused_begin_keeps_the_votes_that_are_down() -> None:
    room = voting()

    room.begin("T-1", by="bob")
    room.begin("T-1", by="ann")
    room.reveal("T-1", by="bob")
    room.reveal()

    assert cards(room) == {"Ann": "5", "Bob": "5"}


@pytest.mark.parametrize("make", [voting, voted])
def test_row_vote_on_another_ticket_there_stored_here_refused(make: Callable[[], Audience]) -> None:
    room = make()

    room.vote("cid", card="100", ticket="T-2")

    assert only_refused(room, "cid", ErrorCode.WRONG_TICKET).field == "ticket_id"
    room.reveal()
    assert "100" not in cards(room).values()


def test_row_votes_of_earlier_rounds_there_reappear_here_never() -> None:
    room = voted()
    room.reveal()
    room.leave("cid")

    room.begin("T-2")
    room.vote("bob", card="13", ticket="T-2")
    room.reveal("T-2")
    room.begin("T-1")
    room.vote("ann", card="1")
    room.reveal("T-1")

    assert [{vote.name: vote.value for vote in result.votes} for result in room.recorded] == [
        {"Ann": "5", "Bob": "5", "Cid": "8"},
        {"Bob": "13"},
        {"Ann": "1"},
    ]


def test_row_votes_of_people_who_left_here_stay_in_their_round() -> None:
    room = voting()
    room.leave("bob")
    room.vote("cid", card="8")

    room.reveal()

    assert cards(room) == {"Ann": "5", "Bob": "5", "Cid": "8"}


def test_row_votes_of_people_who_left_stay_apart_from_that_of_a_rejoiner_of_the_same_name() -> None:
    room = voting()
    room.leave("bob")

    room.say("bob-again", Enter("Bob"))
    room.announce("bob-again")
    room.vote("bob-again", card="13")
    room.reveal()

    assert room.recorded[0].votes[1:] == (
        Vote(MemberId("bob"), "Bob", "5"),
        Vote(MemberId("bob-again"), "Bob", "13"),
    )


@pytest.mark.parametrize("phase", PLACES)
def test_row_nobody_is_told_of_a_leave_there_here_all_who_stay_are(phase: Phase) -> None:
    room = PLACES[phase]()

    room.leave("bob")

    heard = room.hear()
    assert {who for who, events in heard.items() if MemberLeft("Bob") in events} == {
        name for name in room.present if name != "bob"
    }
    assert "bob" not in heard


def test_row_nobody_is_told_when_somebody_goes_who_never_announced_itself() -> None:
    room = gathering()

    room.leave("cid")

    assert room.hear() == {}


def test_row_admin_leaves_there_members_are_cut_off_here_the_end_has_a_reason() -> None:
    room = voting()

    room.leave("ann")

    assert "the admin" in str(room.end)


@pytest.mark.parametrize("phase", PLACES)
@pytest.mark.parametrize("who", ["ann", "cid", "stranger"])
def test_row_malformed_there_ends_in_silence_here_the_sender_alone_is_told(
    phase: Phase, who: str
) -> None:
    room = PLACES[phase]()

    assert room.say(who, Reject(MALFORMED)) == [Tell(MemberId(who), Refusal(MALFORMED))]
    assert room.phase() is phase
    assert room.dismissed == {}


def test_row_malformed_once_too_often_dismisses_with_1008_after_the_refusal() -> None:
    room = voting()

    effects = room.say("bob", Reject(MALFORMED, final=True))

    assert effects == [
        Tell(MemberId("bob"), Refusal(MALFORMED)),
        Disconnect(MemberId("bob"), CloseCode.POLICY, Problem(ErrorCode.STRUCK_OUT)),
    ]
    assert room.hear() == {"bob": [Refusal(MALFORMED)]}
    room.leave("bob")
    assert room.hear() == {name: [MemberLeft("Bob")] for name in ("ann", "cid")}


@pytest.mark.parametrize(
    "vote",
    ["", "4", "05", "5 ", " 5", "5.0", "\u0665", "1/2", "Coffee", "??", "½½", "nan", "1" * 500],
)
def test_row_any_vote_is_taken_there_here_it_must_be_a_card(vote: str) -> None:
    room = voting()

    room.vote("cid", card=vote)

    assert only_refused(room, "cid", ErrorCode.NOT_IN_DECK).field == "vote"
    assert room.phase() is Phase.VOTING


@pytest.mark.parametrize("card", DEFAULT_DECK.labels)
def test_row_any_vote_is_taken_here_every_card_of_the_deck_is(card: str) -> None:
    room = voting()

    room.vote("cid", card=card)
    room.reveal()

    assert cards(room)["Cid"] == card


def test_row_any_vote_is_taken_here_another_deck_has_other_cards() -> None:
    room = Audience(2, deck=Deck(["S", "L"]))
    room.join("ann", "bob")
    room.begin()
    room.vote("ann", card="L")
    room.forget()

    room.vote("bob", card="5")

    assert only_refused(room, "bob", ErrorCode.NOT_IN_DECK).values == {"cards": "S L"}


def test_row_seat_never_announced_there_taken_for_ever_here_given_up_after_ten_seconds() -> None:
    room = gathering()
    assert ANNOUNCE_SECONDS == 10
    assert room.timers == {"cid": room.now + 10}

    room.time_up("cid")

    (refusal,) = room.hear()["cid"]
    assert isinstance(refusal, Refusal)
    assert refusal.problem == Problem(ErrorCode.ANNOUNCED_TOO_LATE, values={"seconds": 10})
    assert room.dismissed == {"cid": (CloseCode.NORMAL, ErrorCode.ANNOUNCED_TOO_LATE)}
    room.join("dee")
    assert room.phase() is Phase.READY
    room.forget()
    room.leave("cid")
    assert room.hear() == {}


def test_row_seat_never_announced_can_be_the_admins_and_then_the_room_ends() -> None:
    room = Audience(3)
    room.enter("ann")
    room.join("bob")
    room.forget()

    room.time_up("ann")

    assert room.dismissed["ann"][0] is CloseCode.NORMAL
    assert "the admin" in str(room.end)
    assert list(room.hear()) == ["ann"]


@pytest.mark.parametrize("phase", PLACES)
@pytest.mark.parametrize("who", ["ann", "bob", "gone", "stranger"])
def test_row_seat_never_announced_a_timer_that_comes_too_late_means_nothing(
    phase: Phase, who: str
) -> None:
    room = PLACES[phase]()

    assert room.say(who, TimeUp()) == []


def test_row_seat_never_announced_takes_the_time_that_the_room_was_given() -> None:
    rules = Estimation(ROOM, 2, announce_seconds=2.5)

    assert rules.apply(Enter("Ann"), MemberId("ann"), 0.0)[1] == SetTimer(MemberId("ann"), 2.5)
    refusal = rules.apply(TimeUp(), MemberId("ann"), 0.0)[0]
    assert isinstance(refusal, Tell)
    assert refusal.event == Refusal(Problem(ErrorCode.ANNOUNCED_TOO_LATE, values={"seconds": 2.5}))


def test_row_prompts_there_resent_at_each_refill_here_one_is_outstanding() -> None:
    room = ready()
    for newcomer in ("dee", "fay"):
        room.leave(room.present[-1])
        room.join(newcomer)

    told = [event for events in room.hear().values() for event in events]
    assert {type(event) for event in told} == {MemberLeft, MemberJoined, MemberPresent, Welcome}
    assert room.phase() is Phase.READY


def test_row_prompts_somebody_who_has_left_does_not_count_for_the_capacity() -> None:
    room = Audience(3)
    room.join("ann", "bob")
    room.leave("bob")

    room.join("cid")
    assert room.phase() is Phase.GATHERING
    room.join("dee")

    assert room.phase() is Phase.READY


def test_row_prompts_the_capacity_is_told_once_also_when_the_room_fills_up_late() -> None:
    room = gathering()
    room.begin()
    room.vote("ann", "bob")
    room.reveal()
    room.forget()

    room.announce("cid")
    heard = room.hear()
    room.leave("cid")
    room.join("dee")

    assert heard["ann"] == [JOINED, CapacityReached(3)]
    assert heard["cid"][-1] == CapacityReached(3)
    assert all(CapacityReached(3) not in events for events in room.hear().values())


def test_row_results_there_absent_here_recorded_at_each_reveal_with_their_duration() -> None:
    room = ready()
    room.begin()
    room.now += 2
    room.vote("ann", card="1")
    room.vote("bob", "cid", card="?")
    room.now += 40.5

    room.reveal()

    votes = tuple(
        Vote(MemberId(who), who.capitalize(), card)
        for who, card in (("ann", "1"), ("bob", "?"), ("cid", "?"))
    )
    assert room.recorded == [TicketResult(ONE, votes, 42.5)]


def test_row_results_are_recorded_only_at_a_reveal() -> None:
    room = voted()

    room.leave("bob", "ann")

    assert room.recorded == []


def test_every_member_is_told_the_key_of_the_results() -> None:
    rules = Estimation(ROOM, 2, results_key="key")
    for name in ("ann", "bob"):
        rules.apply(Enter(name), MemberId(name), 0.0)
        effects = rules.apply(Announce(ROOM), MemberId(name), 0.0)
        assert Tell(MemberId(name), Welcome(ROOM, "key")) in effects


def test_a_room_has_a_bounded_number_of_rounds_and_then_says_so() -> None:
    rules = Estimation(ROOM, 2, most_rounds=2)
    ann = MemberId("ann")
    rules.apply(Enter("Ann"), ann, 0.0)
    rules.apply(Announce(ROOM), ann, 0.0)
    for _ in range(2):
        rules.apply(BeginVoting(ONE), ann, 0.0)
        rules.apply(CastVote(ONE, "5"), ann, 0.0)
        assert len(rules.apply(RevealVotes(ONE), ann, 0.0)) == 4

    [effect] = rules.apply(BeginVoting(TWO), ann, 0.0)

    assert isinstance(effect, Tell)
    assert isinstance(effect.event, Refusal)
    assert effect.event.problem.code is ErrorCode.TOO_MANY_ROUNDS
    assert rules.phase is Phase.READY


# --- beyond the tables ----------------------------------------------------------------------


def test_the_creator_learns_the_room_id_first_of_all_and_nobody_else_does() -> None:
    room = Audience(3)

    room.enter("ann", "bob")

    assert room.hear() == {"ann": [RoomCreated(ROOM)]}


def test_a_newcomer_learns_where_it_is_and_who_is_there_and_then_of_itself() -> None:
    room = Audience(4)
    room.join("ann", "bob")
    room.enter("dee")
    room.forget()

    room.join("cid")

    assert room.hear() == {
        "ann": [JOINED],
        "bob": [JOINED],
        "cid": [
            Welcome(ROOM),
            MemberPresent("Ann", admin=True),
            MemberPresent("Bob", admin=False),
            JOINED,
        ],
    }
    assert room.timers.keys() == {"dee"}


def test_the_admin_may_announce_itself_later_than_others_and_stays_the_admin() -> None:
    room = Audience(2)
    room.enter("ann")
    room.join("bob")
    assert room.hear()["bob"] == [Welcome(ROOM), MemberJoined("Bob", admin=False)]

    room.announce("ann")

    heard = room.hear()
    assert heard["bob"] == [MemberJoined("Ann", admin=True), CapacityReached(2)]
    assert heard["ann"][-1] == TicketPrompt(first=True)


def test_whoever_finds_the_room_full_is_turned_away_and_the_others_hear_nothing() -> None:
    room = ready()

    room.enter("dee")

    problem = only_refused(room, "dee", ErrorCode.ROOM_FULL)
    assert problem.values == {"room_id": ROOM, "capacity": 3}
    assert room.dismissed == {"dee": (CloseCode.NORMAL, ErrorCode.ROOM_FULL)}
    assert room.timers == {}
    room.announce("dee")
    room.leave("dee")
    assert room.hear() == {}


def test_a_seat_counts_from_entering_on() -> None:
    room = gathering()

    room.enter("dee")

    only_refused(room, "dee", ErrorCode.ROOM_FULL)


def test_begin_before_the_room_is_full_is_the_admins_right_and_the_prompt_is_spared() -> None:
    room = gathering()
    room.begin()
    room.forget()

    room.announce("cid")

    assert room.phase() is Phase.VOTING
    assert room.hear()["ann"] == [JOINED, CapacityReached(3)]


def test_an_admin_alone_may_vote_with_itself() -> None:
    room = Audience(2)
    room.join("ann")
    room.begin()

    room.vote("ann")

    assert room.phase() is Phase.VOTED


def test_somebody_who_comes_during_a_vote_is_asked_and_counts() -> None:
    room = gathering()
    room.begin()
    room.vote("ann")
    room.forget()

    room.announce("cid")
    heard = room.hear()
    room.vote("bob")
    assert room.phase() is Phase.VOTING
    room.vote("cid")

    assert heard["cid"][-2:] == [VoteRequested(ONE), CapacityReached(3)]
    assert VoteRequested(ONE) not in heard["bob"]
    assert room.phase() is Phase.VOTED


def test_somebody_who_comes_after_completion_does_not_undo_it_but_may_vote() -> None:
    room = gathering()
    room.begin()
    room.vote("ann", "bob")
    room.forget()

    room.announce("cid")
    heard = room.hear()
    assert room.phase() is Phase.VOTED
    room.vote("cid", card="13")
    room.reveal()

    assert VoteRequested(ONE) not in heard["cid"]
    assert cards(room) == {"Ann": "5", "Bob": "5", "Cid": "13"}


def test_somebody_who_has_not_announced_itself_is_not_waited_for() -> None:
    room = gathering()
    room.begin()

    room.vote("ann", "bob")

    assert room.phase() is Phase.VOTED
    assert "cid" not in room.hear()


def test_a_mistyped_ticket_is_replaced_while_no_vote_is_in() -> None:
    room = ready()
    room.begin("T-11")
    room.now += 30
    room.forget()

    room.begin("T-1")

    assert room.hear() == {name: [VoteRequested(ONE)] for name in ("ann", "bob", "cid")}
    assert room.phase() is Phase.VOTING
    room.vote("bob", ticket="T-11")
    only_refused(room, "bob", ErrorCode.WRONG_TICKET)
    room.now += 5
    room.vote("ann", "bob", "cid")
    room.reveal()
    assert [(each.ticket_id, each.seconds) for each in room.recorded] == [(ONE, 5)]


def test_a_ticket_is_not_replaced_once_there_is_a_vote_on_it() -> None:
    room = ready()
    room.begin()
    room.vote("bob")
    room.forget()

    room.begin("T-2")

    assert only_refused(room, "ann", ErrorCode.VOTE_RUNNING).values == {"ticket_id": "T-1"}


def test_a_ticket_is_not_begun_twice() -> None:
    room = ready()
    room.begin()
    room.forget()

    room.begin()

    only_refused(room, "ann", ErrorCode.BEGUN_TWICE)


def test_the_first_to_enter_owns_the_room_and_nobody_after() -> None:
    room = Audience(3)
    assert room.say("ann", Enter("Ann"))[0] == Own(MemberId("ann"), ADMIN_LEFT)
    room.enter("bob", "cid")
    assert room.owner == "ann"


def test_a_room_that_nobody_has_ever_entered_may_end() -> None:
    room = Audience(3)
    assert room.say("ann", Leave()) == [Sleep()]
    room.enter("bob")
    assert room.say("cid", Leave()) == []


def test_an_early_reveal_takes_one_vote_at_the_least() -> None:
    room = ready()
    room.begin()
    room.forget()

    room.reveal()
    only_refused(room, "ann", ErrorCode.NOBODY_VOTED)
    assert room.phase() is Phase.VOTING
    room.vote("bob")
    room.reveal()

    assert cards(room) == {"Bob": "5"}


def test_a_vote_after_the_reveal_comes_too_late() -> None:
    room = voted()
    room.reveal()
    room.forget()

    room.vote("bob")

    only_refused(room, "bob", ErrorCode.NO_VOTE_RUNNING)


@pytest.mark.parametrize("phase", PLACES)
def test_announcing_twice_is_refused(phase: Phase) -> None:
    room = PLACES[phase]()

    room.announce("bob")

    only_refused(room, "bob", ErrorCode.ANNOUNCED_TWICE)


@pytest.mark.parametrize("who", ["cid", "bob"])
def test_announcing_with_another_rooms_id_is_refused_and_the_seat_kept(who: str) -> None:
    room = gathering()

    room.say(who, Announce(OTHER_ROOM))

    assert only_refused(room, who, ErrorCode.WRONG_ROOM).field == "room_id"
    room.announce("cid")
    assert room.phase() is Phase.READY


def test_a_stranger_that_announces_itself_is_not_heard() -> None:
    room = gathering()

    assert room.say("stranger", Announce(ROOM)) == []


@pytest.mark.parametrize("who", ["cid", "stranger"])
def test_voting_before_announcing_is_refused(who: str) -> None:
    room = gathering()
    room.begin()
    room.forget()

    room.vote(who)

    only_refused(room, who, ErrorCode.NOT_ANNOUNCED)
    room.vote("ann", "bob")
    room.reveal()
    assert cards(room).keys() == {"Ann", "Bob"}


@pytest.mark.parametrize("command", [BeginVoting(ONE), RevealVotes(ONE), CastVote(ONE, "5")])
def test_the_admin_too_must_announce_itself_first(command: Command) -> None:
    room = Audience(2)
    room.enter("ann")
    room.forget()

    room.say("ann", command)

    only_refused(room, "ann", ErrorCode.NOT_ANNOUNCED)


def test_somebody_who_has_left_is_a_stranger() -> None:
    room = voting()
    room.leave("bob")
    room.forget()

    room.vote("bob", card="100")
    only_refused(room, "bob", ErrorCode.NOT_ANNOUNCED)
    room.leave("bob")
    room.reveal()

    assert cards(room) == {"Ann": "5", "Bob": "5"}


def test_two_members_may_share_a_name() -> None:
    room = Audience(2)
    room.say("one", Enter("Sam"))
    room.say("two", Enter("Sam"))
    room.announce("one", "two")
    room.begin(by="one")

    room.vote("one", card="1")
    room.vote("two", card="2")
    room.reveal(by="one")

    assert [(vote.member_id, vote.value) for vote in room.recorded[0].votes] == [
        ("one", "1"),
        ("two", "2"),
    ]


def test_a_round_is_revealed_recorded_and_prompted_for_in_this_order() -> None:
    room = voted()

    effects = room.say("ann", RevealVotes(ONE))

    assert [type(effect).__name__ for effect in effects] == [
        "TellAll",
        "Record",
        "Tell",
        "TellOthers",
    ]
    assert isinstance(effects[1], Record)


@pytest.mark.parametrize("dialect", [ESTIMATEX, GOCHAT])
def test_every_refusal_can_be_worded_without_a_stop(dialect: Dialect) -> None:
    room = Audience(2)
    room.enter("ann")
    for command in EVERY_COMMAND[2:5]:
        room.say("ann", command)
        room.say("bob", command)
    room.announce("ann")
    room.join("bob", "cid")
    refusals = [e for events in room.hear().values() for e in events if isinstance(e, Refusal)]

    assert refusals
    for refusal in refusals:
        assert refusal.problem.message == "", "the rules speak no dialect"
        words = dialect.word(refusal.problem)
        assert " " in words
        assert not words.endswith(".")
        assert "{" not in words


def test_votes_of_those_who_come_vote_and_go_are_bounded() -> None:
    rules = Estimation(ROOM, 2)
    ann = MemberId("ann")
    rules.apply(Enter("Ann"), ann, 0.0)
    rules.apply(Announce(ROOM), ann, 0.0)
    rules.apply(BeginVoting(ONE), ann, 0.0)
    rules.apply(CastVote(ONE, "3"), ann, 0.0)
    for number in range(100):
        guest = MemberId(str(number))
        rules.apply(Enter("Guest"), guest, 0.0)
        rules.apply(Announce(ROOM), guest, 0.0)
        rules.apply(CastVote(ONE, "5"), guest, 0.0)
        rules.apply(Leave(), guest, 0.0)

    told = rules.apply(RevealVotes(ONE), ann, 0.0)[0]

    assert isinstance(told, TellAll)
    assert isinstance(told.event, VotesRevealed)
    voters = [vote.member_id for vote in told.event.votes]
    assert voters == ["ann", *(str(number) for number in range(93, 100))]
