"""The timer of an estimation room: who may do what with it, and when its time is up."""

from typing import Any

import pytest

from protocol.changes import (
    PAGE_TURNING,
    Ack,
    Begun,
    Change,
    Failure,
    Revealed,
    TimeOver,
    TimerChanged,
)
from protocol.dialects.wording import sentence
from protocol.effects import ClearTimer, Record, SetTimer, TellAll
from protocol.errors import ErrorCode
from protocol.estimation import Estimation
from protocol.ids import MemberId
from protocol.lasting import (
    CLOCK,
    NOBODY,
    BeginRound,
    CastCard,
    Configure,
    ExtendTimer,
    PauseTimer,
    Request,
    Restart,
    ResumeTimer,
    RevealRound,
    StartTimer,
    StopTimer,
    TimerKind,
)
from protocol.limits import (
    ASK_AGAIN_SECONDS,
    EMPTY_SECONDS,
    LONGEST_TIMER_SECONDS,
    REST_SECONDS,
)
from protocol.messages import (
    AwaitingTicket,
    CastVote,
    TicketId,
    TicketPrompt,
    TimerOver,
    TimerSet,
    TimeUp,
    VotesRevealed,
)
from protocol.options import Options, VotingEnds, Who
from protocol.picture import Stage, Timer
from tests.protocol.audience import ROOM
from tests.protocol.lasting_audience import LastingAudience, restored

ANN = MemberId("ann")
DISCUSSION, VOTING = TimerKind.DISCUSSION, TimerKind.VOTING
T1, T2 = BeginRound(TicketId("T-1")), BeginRound(TicketId("T-2"))
REVEALS = Configure(voting_ends=VotingEnds.REVEAL)
NOW = 1000.0
"""When all rooms here are opened."""


def room_of(*requests: Request) -> LastingAudience:
    """Ann, who owns the room and has asked for this, and Bob."""
    room = LastingAudience()
    room.join("ann", owner=True)
    room.join("bob")
    for request in requests:
        assert isinstance(room.ask("ann", request), Ack)
    return room.forget()


def timer(room: LastingAudience) -> Timer | None:
    return room.rules.picture().timer


def told(room: LastingAudience, since: int) -> list[Change]:
    return room.changes[since:]


def refused(answer: Ack | Failure) -> tuple[ErrorCode, str | None]:
    assert isinstance(answer, Failure)
    assert sentence(answer.problem)
    return answer.problem.code, answer.problem.field


def over(room: LastingAudience) -> list[TimerKind]:
    """Whose time was up, each time that it was told."""
    return [change.kind for change in room.changes if isinstance(change, TimeOver)]


# --- start, pause, go on, extend, stop ----------------------------------------------------------


def test_a_timer_that_is_started_has_an_absolute_deadline_and_all_are_told() -> None:
    room = room_of()

    answer = room.ask("ann", StartTimer(90))

    started = Timer(DISCUSSION, 90, NOW + 90, None, ANN)
    change = TimerChanged(3, started, room.rules.picture().may)
    assert answer == Ack(1, 3)
    assert room.heard["bob"] == [change]
    assert timer(room) == started
    assert room.timers[CLOCK] == NOW + 90


def test_a_timer_is_for_voting_while_a_round_runs_unless_it_is_said_for_what() -> None:
    room = room_of(T1, StartTimer(90))
    found = timer(room)
    assert found is not None
    assert found.kind is VOTING

    room.ask("ann", StartTimer(60, DISCUSSION))

    assert timer(room) == Timer(DISCUSSION, 60, NOW + 60, None, ANN)


def test_there_is_one_timer_at_a_time() -> None:
    room = room_of(StartTimer(90))
    room.now += 10

    room.ask("ann", StartTimer(20))
    room.ring(CLOCK)

    assert room.now == NOW + 30
    assert over(room) == [DISCUSSION]
    assert CLOCK not in room.timers


def test_a_timer_for_voting_needs_a_round() -> None:
    room = room_of()

    answer = room.ask("ann", StartTimer(90, VOTING))

    assert refused(answer) == (ErrorCode.NO_VOTE_RUNNING, "kind")
    assert timer(room) is None


@pytest.mark.parametrize("seconds", [1, LONGEST_TIMER_SECONDS])
def test_the_bounds_of_a_timer_are_among_what_can_be_asked_for(seconds: int) -> None:
    room = room_of(StartTimer(seconds))

    assert room.timers[CLOCK] == NOW + seconds


@pytest.mark.parametrize("seconds", [0, -5, LONGEST_TIMER_SECONDS + 1, 2**63])
def test_a_timer_of_no_time_or_too_much_is_refused(seconds: int) -> None:
    room = room_of()

    answer = room.ask("ann", StartTimer(seconds))

    assert refused(answer) == (ErrorCode.OUT_OF_RANGE, "seconds")
    assert isinstance(answer, Failure)
    assert sentence(answer.problem) == "seconds must be from 1 to 14400"


def test_a_paused_timer_keeps_what_it_has_left() -> None:
    room = room_of(StartTimer(90))
    room.now += 30.5
    room.ask("ann", PauseTimer())
    assert timer(room) == Timer(DISCUSSION, 90, None, 59.5, ANN)
    assert CLOCK not in room.timers
    room.now += 1000

    room.ask("ann", ResumeTimer())

    assert timer(room) == Timer(DISCUSSION, 90, room.now + 59.5, None, ANN)
    assert room.timers[CLOCK] == room.now + 59.5


def test_a_timer_gets_more_time_or_less_whether_it_runs_or_not() -> None:
    room = room_of(StartTimer(90))
    room.now += 30

    room.ask("ann", ExtendTimer(60))
    assert timer(room) == Timer(DISCUSSION, 150, NOW + 150, None, ANN)
    room.ask("ann", PauseTimer())
    room.ask("ann", ExtendTimer(-100))
    assert timer(room) == Timer(DISCUSSION, 50, None, 20.0, ANN)
    room.ask("ann", ResumeTimer())

    assert room.timers[CLOCK] == room.now + 20


@pytest.mark.parametrize("more", [-90, -60, LONGEST_TIMER_SECONDS, 2**63, -(2**63)])
def test_a_timer_is_left_neither_without_time_nor_with_too_much(more: int) -> None:
    room = room_of(StartTimer(90))
    room.now += 30
    before = timer(room)

    answer = room.ask("ann", ExtendTimer(more))

    assert refused(answer) == (ErrorCode.TIMER_SECONDS, "seconds")
    assert timer(room) == before


@pytest.mark.parametrize("more", [-59, LONGEST_TIMER_SECONDS - 60])
def test_a_timer_can_be_left_with_hardly_any_time_and_with_the_most(more: int) -> None:
    room = room_of(StartTimer(90))
    room.now += 30

    room.ask("ann", ExtendTimer(more))

    assert room.timers[CLOCK] == NOW + 90 + more


def test_a_timer_that_is_stopped_is_gone_and_no_time_was_up() -> None:
    room = room_of(StartTimer(90))

    room.ask("ann", StopTimer())

    assert timer(room) is None
    assert CLOCK not in room.timers
    assert room.changes[-1] == TimerChanged(4, None, room.rules.picture().may)


@pytest.mark.parametrize(
    ("before", "allowed", "refusals"),
    [
        (
            [],
            ("start_timer",),
            {
                PauseTimer(): ErrorCode.NO_TIMER,
                ResumeTimer(): ErrorCode.NO_TIMER,
                ExtendTimer(5): ErrorCode.NO_TIMER,
                StopTimer(): ErrorCode.NO_TIMER,
            },
        ),
        (
            [StartTimer(90)],
            ("start_timer", "pause_timer", "extend_timer", "stop_timer"),
            {ResumeTimer(): ErrorCode.TIMER_RUNNING},
        ),
        (
            [StartTimer(90), PauseTimer()],
            ("start_timer", "resume_timer", "extend_timer", "stop_timer"),
            {PauseTimer(): ErrorCode.TIMER_PAUSED},
        ),
    ],
)
def test_what_may_be_asked_for_is_said_and_the_rest_refused(
    before: list[Request], allowed: tuple[str, ...], refusals: dict[Request, ErrorCode]
) -> None:
    room = room_of(*before)
    known = room.rules.picture()

    assert [each for each in room.may("ann") if each.endswith("_timer")] == list(allowed)
    assert not [each for each in room.may("bob") if each.endswith("_timer")]
    for request, code in refusals.items():
        assert refused(room.ask("ann", request)) == (code, None)
    assert room.rules.picture() == known


@pytest.mark.parametrize(
    "request_", [StartTimer(90), PauseTimer(), ResumeTimer(), ExtendTimer(5), StopTimer()]
)
def test_the_timer_is_the_facilitators(request_: Request) -> None:
    room = room_of(StartTimer(60))
    before = room.rules.picture()

    assert refused(room.ask("bob", request_)) == (ErrorCode.NOT_FACILITATOR, None)
    assert room.rules.picture() == before


# --- its end --------------------------------------------------------------------------------------


def test_that_the_time_is_up_is_told_once() -> None:
    room = room_of(StartTimer(90))

    effects = room.ring(CLOCK)
    again = room.say(CLOCK, TimeUp())

    told = TellAll(TimeOver(4, DISCUSSION, room.rules.picture().may))
    assert effects == [ClearTimer(CLOCK), told]
    assert again == []
    assert timer(room) is None
    assert room.heard["bob"][-1] == room.changes[-1]


def test_that_the_time_is_up_is_told_only_once_it_is_on_record() -> None:
    assert TimeOver in PAGE_TURNING


def test_a_ring_on_its_way_while_the_timer_is_paused_or_stopped_does_nothing() -> None:
    for request in (PauseTimer(), StopTimer()):
        room = room_of(StartTimer(90))
        room.now += 90
        room.ask("ann", request)
        before = room.rules.snapshot()

        assert room.say(CLOCK, TimeUp()) == []
        assert room.rules.snapshot() == before


def test_a_ring_on_its_way_while_the_timer_gets_more_time_rings_again() -> None:
    room = room_of(StartTimer(90))
    room.now += 90
    room.ask("ann", ExtendTimer(10))

    assert room.say(CLOCK, TimeUp()) == [SetTimer(CLOCK, 10.0)]
    assert over(room) == []
    room.ring(CLOCK)
    assert over(room) == [DISCUSSION]


def test_a_timer_that_is_paused_when_it_is_due_has_its_end_still_to_come() -> None:
    room = room_of(StartTimer(90))
    room.now += 91
    room.ask("ann", PauseTimer())
    assert timer(room) == Timer(DISCUSSION, 90, None, 0.0, ANN)

    room.ask("ann", ResumeTimer())
    room.ring(CLOCK)

    assert over(room) == [DISCUSSION]


def test_by_default_the_end_of_voting_is_told_and_the_round_goes_on() -> None:
    room = room_of(T1, CastCard(1, "5"), StartTimer(90))

    room.ring(CLOCK)

    assert over(room) == [VOTING]
    assert room.rules.picture().stage is Stage.VOTING
    assert room.recorded == []
    assert isinstance(room.ask("bob", CastCard(1, "8")), Ack)


def test_the_end_of_voting_reveals_if_the_team_wants_that() -> None:
    room = room_of(REVEALS, T1, CastCard(1, "5"), StartTimer(90))
    seq = room.rules.seq

    effects = room.ring(CLOCK)

    assert [type(change) for change in told(room, seq)] == [TimeOver, Revealed]
    assert room.rules.picture().stage is Stage.REVEALED
    (result,) = room.recorded
    assert ([vote.value for vote in result.votes], result.seconds) == (["5"], 90.0)
    assert sum(isinstance(effect, Record) for effect in effects) == 1
    assert (timer(room), CLOCK in room.timers) == (None, False)


def test_without_a_vote_there_is_nothing_to_reveal() -> None:
    room = room_of(REVEALS, T1, StartTimer(90))

    effects = room.ring(CLOCK)

    assert [type(effect) for effect in effects] == [ClearTimer, TellAll]
    assert over(room) == [VOTING]
    assert room.rules.picture().stage is Stage.VOTING
    assert isinstance(room.ask("ann", CastCard(1, "5")), Ack)


def test_the_end_of_a_discussion_reveals_nothing() -> None:
    room = room_of(REVEALS, T1, CastCard(1, "5"), StartTimer(90, DISCUSSION))

    room.ring(CLOCK)

    assert over(room) == [DISCUSSION]
    assert room.rules.picture().stage is Stage.VOTING


def test_the_last_round_that_is_kept_can_end_by_its_timer() -> None:
    room = LastingAudience(rounds=1)
    room.join("ann", owner=True)
    for request in (REVEALS, T1, CastCard(1, "5"), StartTimer(5)):
        room.ask("ann", request)

    room.ring(CLOCK)

    assert room.rules.picture().stage is Stage.REVEALED
    assert refused(room.ask("ann", T2)) == (ErrorCode.TOO_MANY_ROUNDS, None)


# --- rounds ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("request_", [RevealRound(1), T2])
def test_a_timer_for_voting_ends_with_its_round(request_: Request) -> None:
    votes = [CastCard(1, "5")] if isinstance(request_, RevealRound) else []
    room = room_of(T1, *votes, StartTimer(90))
    seq = room.rules.seq

    room.ask("ann", request_)

    (change, taken) = told(room, seq)
    assert isinstance(change, Revealed | Begun)
    assert taken == TimerChanged(seq + 2, None, room.rules.picture().may)
    assert CLOCK not in room.timers


@pytest.mark.parametrize("request_", [RevealRound(1), T2])
def test_a_timer_for_discussion_does_not_care_for_rounds(request_: Request) -> None:
    votes = [CastCard(1, "5")] if isinstance(request_, RevealRound) else []
    room = room_of(T1, *votes, StartTimer(90, DISCUSSION))
    before = timer(room)

    room.ask("ann", request_)

    assert timer(room) == before
    assert room.timers[CLOCK] == NOW + 90


def test_a_timer_can_start_with_each_round_in_place_of_any_other() -> None:
    room = room_of(Configure(voting_seconds=45), StartTimer(1000))
    seq = room.rules.seq

    room.ask("ann", T1)

    (begun, started) = told(room, seq)
    assert isinstance(begun, Begun)
    assert isinstance(started, TimerChanged)
    assert started.timer == timer(room) == Timer(VOTING, 45, NOW + 45, None, None)
    assert room.timers[CLOCK] == NOW + 45
    room.now += 5
    room.ask("ann", T2)
    assert timer(room) == Timer(VOTING, 45, NOW + 50, None, None)


def test_no_timer_starts_by_itself_once_the_option_is_taken_back() -> None:
    room = room_of(Configure(voting_seconds=45), Configure(voting_seconds=0), T1)

    assert timer(room) is None
    assert room.rules.picture().options == Options()


@pytest.mark.parametrize("seconds", [-1, 1, 4, 3601])
def test_a_round_has_a_sensible_time(seconds: int) -> None:
    room = room_of()

    answer = room.ask("ann", Configure(voting_seconds=seconds))

    assert refused(answer) == (ErrorCode.OUT_OF_RANGE, "voting_seconds")
    assert room.rules.picture().options == Options()


def test_rounds_begin_and_end_also_while_the_owner_has_yet_to_come() -> None:
    options = Options(begin_by=Who.ALL, voting_ends=VotingEnds.REVEAL, voting_seconds=45)
    room = LastingAudience()
    room.rules = Estimation(ROOM, 4, keyed=True, grace_seconds=60.0, options=options)
    room.join("bob", "cid")
    room.visit("eve")
    room.ask("bob", T1)
    for member in ("bob", "cid"):
        room.ask(member, CastCard(1, "5"))
    room.say("eve", CastVote(T1.ticket, "5"))
    room.ring(CLOCK)
    room.ask("bob", T2)
    room.ring(CLOCK)

    assert [len(result.votes) for result in room.recorded] == [3]
    assert over(room) == [VOTING, VOTING]
    assert of(room, "eve", VotesRevealed, AwaitingTicket) == [
        VotesRevealed(T1.ticket, room.recorded[0].votes),
        AwaitingTicket(),
    ]


@pytest.mark.parametrize("seconds", [5, 3600])
def test_the_bounds_of_a_rounds_time_are_among_what_can_be_asked_for(seconds: int) -> None:
    room = room_of(Configure(voting_seconds=seconds))

    assert room.rules.picture().options == Options(voting_seconds=seconds)


# --- servers that stop, and clocks ----------------------------------------------------------------


def test_after_a_restart_the_timer_has_what_is_left_of_it() -> None:
    room = room_of(StartTimer(90))
    room.now += 50

    room.restart()

    assert timer(room) == Timer(DISCUSSION, 90, NOW + 90, None, ANN)
    assert room.timers[CLOCK] == NOW + 90
    room.ring(CLOCK)
    assert over(room) == [DISCUSSION]


def test_a_timer_that_ran_out_while_there_was_no_server_ends_at_once() -> None:
    room = room_of(StartTimer(90))
    room.now += 500

    room.restart()
    assert room.timers[CLOCK] == room.now
    room.ring(CLOCK)

    assert over(room) == [DISCUSSION]
    assert room.now == NOW + 500


def test_a_paused_timer_is_paused_after_a_restart() -> None:
    room = room_of(StartTimer(90), PauseTimer())
    before = timer(room)

    room.restart()

    assert timer(room) == before
    assert CLOCK not in room.timers


def test_a_timer_runs_on_where_nobody_is() -> None:
    room = room_of(StartTimer(90))
    plain = room.rules.snapshot() | {"seats": {}, "admin": None, "announced": 0}
    empty = Estimation.restore(plain)

    effects = empty.apply(Restart(), NOBODY, room.now + 10)

    assert effects == [SetTimer(CLOCK, 80.0), SetTimer(NOBODY, EMPTY_SECONDS)]
    assert isinstance(empty.apply(TimeUp(), CLOCK, room.now + 90)[-1], TellAll)


def test_with_the_servers_clock_put_back_a_timer_takes_longer_and_ends() -> None:
    room = room_of(StartTimer(90))
    room.now -= 30

    room.restart()
    assert room.timers[CLOCK] == NOW + 90
    room.now += 1
    room.say(CLOCK, TimeUp())
    assert over(room) == []
    room.ring(CLOCK)

    assert over(room) == [DISCUSSION]


def test_a_room_of_a_version_without_timers_is_understood() -> None:
    plain = room_of().rules.snapshot()
    del plain["timer"]
    del plain["options"]["voting_ends"], plain["options"]["voting_seconds"]

    again = Estimation.restore(plain)

    assert again.picture().timer is None
    assert again.picture().options == Options()


def killed(*requests: Request, after: float) -> LastingAudience:
    """A room whose server was killed, with a timer of 90 s for a round that is to be revealed."""
    room = room_of(REVEALS, T1, *requests, StartTimer(90))
    room.now += after
    room.restart()
    return room


def test_while_the_room_rests_a_reveal_by_time_waits_for_the_end_of_the_rest() -> None:
    room = killed(CastCard(1, "5"), after=80)
    assert room.timers[CLOCK] == room.now + REST_SECONDS

    room.now += 15
    assert room.say(CLOCK, TimeUp()) == [SetTimer(CLOCK, REST_SECONDS - 15)]
    assert room.recorded == []
    room.ring(CLOCK)

    assert room.rules.picture().stage is Stage.REVEALED
    assert len(room.recorded) == 1


def test_a_reveal_by_time_comes_soon_after_the_last_one_is_back() -> None:
    room = killed(CastCard(1, "5"), after=200)
    room.now += 3
    room.come_back("bob")
    room.come_back("ann")

    assert room.timers[CLOCK] == room.now + ASK_AGAIN_SECONDS
    room.ring(CLOCK)

    assert room.rules.picture().stage is Stage.REVEALED
    assert [type(change) for change in room.changes[-2:]] == [TimeOver, Revealed]


def test_a_vote_that_is_asked_for_again_in_the_rest_counts_in_the_reveal_by_time() -> None:
    room = killed(after=200)
    room.come_back("bob")
    assert room.say(CLOCK, TimeUp()) != []
    assert over(room) == []
    assert isinstance(room.ask("bob", CastCard(1, "8")), Ack)

    room.ring(CLOCK)

    (result,) = room.recorded
    assert [vote.value for vote in result.votes] == ["8"]


def test_who_goes_away_again_in_the_rest_puts_the_reveal_off_and_does_not_stop_it() -> None:
    room = killed(CastCard(1, "5"), after=200)
    start = room.now
    room.come_back("bob")
    room.come_back("ann")
    room.detach("bob")

    room.ring(CLOCK)
    assert room.recorded == []
    assert room.timers[CLOCK] == start + REST_SECONDS
    room.ring(CLOCK)

    assert len(room.recorded) == 1


def test_what_is_only_told_does_not_wait_for_the_rest() -> None:
    room = room_of(T1, CastCard(1, "5"), StartTimer(90))
    room.now += 200

    room.restart()
    room.ring(CLOCK)

    assert over(room) == [VOTING]
    assert room.now == NOW + 200


def test_every_moment_of_a_timer_is_stored() -> None:
    for requests in ([], [StartTimer(90)], [T1, StartTimer(90), PauseTimer()]):
        room = room_of(*requests)

        assert restored(room.stored()).snapshot() == room.rules.snapshot()
        assert restored(room.stored()).picture() == room.rules.picture()


# --- members of the other dialect -----------------------------------------------------------------


def mixed(*requests: Request, keyed: bool = True) -> LastingAudience:
    """Ann leads, and Eve is her connection."""
    room = LastingAudience(keyed=keyed)
    room.join("ann", owner=True)
    room.visit("eve")
    for request in requests:
        room.ask("ann", request)
    return room.forget()


def of(room: LastingAudience, member: str, *kinds: type) -> list[Any]:
    return [event for event in room.heard.get(member, []) if isinstance(event, kinds)]


def test_the_others_are_told_what_time_they_have() -> None:
    room = mixed(T1, StartTimer(90))
    room.now += 30.4
    room.ask("ann", PauseTimer())
    room.ask("ann", ResumeTimer())
    room.ask("ann", ExtendTimer(10))
    room.ring(CLOCK)

    assert of(room, "eve", TimerSet, TimerOver) == [
        TimerSet(VOTING, 60),
        TimerSet(VOTING, 70),
        TimerOver(VOTING),
    ]


def test_a_reveal_by_time_reaches_the_others_like_every_reveal() -> None:
    room = mixed(REVEALS, T1, CastCard(1, "5"), StartTimer(90))

    room.ring(CLOCK)

    kinds = (TimerOver, VotesRevealed, AwaitingTicket)
    assert [type(event) for event in of(room, "eve", *kinds)] == list(kinds)


def test_an_owner_that_is_its_connection_is_prompted_after_a_reveal_by_time() -> None:
    room = LastingAudience(keyed=False)
    room.visit("eve")
    options = {"voting_ends": "reveal", "voting_seconds": 5, "begin_by": "all"}
    plain = room.rules.snapshot()
    room.rules = Estimation.restore(plain | {"options": plain["options"] | options})
    room.join("bob")
    room.ask("bob", T1)
    room.ask("bob", CastCard(1, "5"))
    room.forget()

    room.ring(CLOCK)

    kinds = (TimerOver, VotesRevealed, TicketPrompt, AwaitingTicket)
    assert [type(event) for event in of(room, "eve", *kinds)] == list(kinds[:3])
