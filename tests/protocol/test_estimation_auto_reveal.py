"""Rooms that reveal a round by themselves: when they do, when they wait, and that none is stuck."""

from collections.abc import Callable
from typing import Any, Final

import pytest

from protocol.changes import (
    CameBack,
    Configured,
    Joined,
    Left,
    Revealed,
    Voted,
    WentAway,
)
from protocol.ids import MemberId
from protocol.lasting import (
    NOBODY,
    RESTED,
    BeginRound,
    CastCard,
    Configure,
    Depart,
    Park,
    Retract,
    Role,
)
from protocol.limits import ASK_AGAIN_SECONDS, REST_SECONDS
from protocol.messages import (
    AwaitingTicket,
    BeginVoting,
    CastVote,
    Leave,
    RevealPrompt,
    TicketId,
    TicketPrompt,
    VotesRevealed,
    VotingCompleted,
)
from protocol.options import Options
from protocol.picture import Stage
from tests.protocol.lasting_audience import LastingAudience

T1: Final = TicketId("T-1")
AUTO: Final = Options(auto_reveal=True)


def voting(*members: str, options: Options = AUTO, **more: Any) -> LastingAudience:
    """Ann, who owns the room, and others, asked for their votes."""
    room = LastingAudience(6, options=options, **more)
    room.join("ann", owner=True)
    room.join(*members)
    room.ask("ann", BeginRound(T1))
    return room.forget()


def vote(room: LastingAudience, *members: str) -> None:
    for member in members:
        room.ask(member, CastCard(1, "5"))


def revealed(room: LastingAudience) -> bool:
    return room.rules.picture().stage is Stage.REVEALED


def last(room: LastingAudience, count: int = 2) -> list[type]:
    return [type(change) for change in room.changes[-count:]]


def test_the_last_vote_reveals_and_the_result_is_kept() -> None:
    room = voting("bob")
    vote(room, "ann")
    assert not revealed(room)
    answer = room.ask("bob", CastCard(1, "8"))

    assert last(room) == [Voted, Revealed]
    voted = room.changes[-2]
    assert isinstance(voted, Voted)
    assert voted.complete
    assert answer.seq == room.rules.seq  # type: ignore[union-attr]
    (result,) = room.recorded
    assert {vote.member_id: vote.value for vote in result.votes} == {"ann": "5", "bob": "8"}


def away(room: LastingAudience) -> None:
    room.detach("cid")


def gone(room: LastingAudience) -> None:
    room.ask("cid", Depart())


@pytest.mark.parametrize(("act", "told"), [(away, [WentAway, Revealed]), (gone, [Left, Revealed])])
def test_whoever_goes_or_is_away_holds_up_nobody(
    act: Callable[[LastingAudience], None], told: list[type]
) -> None:
    room = voting("bob", "cid")
    vote(room, "ann", "bob")
    assert not revealed(room)
    act(room)

    assert last(room) == told


def test_a_vote_reveals_when_all_others_are_away() -> None:
    room = voting("bob", "cid")
    vote(room, "bob")
    room.detach("cid")
    assert not revealed(room)
    vote(room, "ann")

    assert revealed(room)
    assert len(room.recorded) == 1


def test_a_member_that_is_its_connection_counts_as_long_as_that_lives() -> None:
    room = voting()
    room.visit("eve")
    vote(room, "ann")
    assert not revealed(room)
    room.say("eve", Leave())

    assert revealed(room)


def test_a_card_that_is_taken_back_is_waited_for_if_its_member_is_here() -> None:
    room = voting("bob", "cid")
    vote(room, "ann", "bob")
    room.ask("bob", Retract(1))
    room.detach("cid")
    assert not revealed(room)
    vote(room, "bob")

    assert revealed(room)


def test_setting_the_option_reveals_what_is_complete() -> None:
    room = voting("bob", options=Options())
    vote(room, "ann", "bob")
    assert not revealed(room)
    room.ask("ann", Configure(auto_reveal=True))

    assert last(room) == [Configured, Revealed]


def test_without_the_option_an_away_member_is_waited_for_and_blocks_nobody() -> None:
    room = voting("bob", options=Options())
    room.detach("bob")
    vote(room, "ann")

    running = room.rules.picture().round
    assert running is not None
    assert (running.complete, running.waiting_for) == (False, ("bob",))
    assert "reveal" in room.may("ann")


def test_without_a_vote_there_is_nothing_to_reveal() -> None:
    room = voting("bob")
    room.detach("bob")
    room.ask("ann", Configure(auto_reveal=True))

    assert not revealed(room)
    assert room.rules.picture().round is not None


def test_with_nobody_here_it_waits_until_somebody_is() -> None:
    room = voting("bob", "cid")
    vote(room, "bob")
    room.detach("bob", "ann", "cid")
    assert not revealed(room)
    room.come_back("bob")

    assert last(room) == [CameBack, Revealed]


def test_whoever_comes_back_without_a_vote_is_waited_for() -> None:
    room = voting("bob", "cid")
    vote(room, "bob")
    room.detach("bob", "ann", "cid")
    room.come_back("cid")
    assert not revealed(room)
    vote(room, "cid")

    assert revealed(room)


def test_a_spectator_who_comes_is_somebody_to_reveal_it_to() -> None:
    room = voting("bob")
    vote(room, "bob")
    room.detach("bob", "ann")
    room.join("cid", role=Role.SPECTATOR)

    assert last(room) == [Joined, Revealed]


def test_the_end_of_a_grace_judges_again() -> None:
    room = voting("bob", grace=20.0)
    room.join("cid", role=Role.SPECTATOR)
    vote(room, "ann")
    room.detach("cid", "ann", "bob")
    room.now += 1
    room.come_back("ann")

    assert revealed(room)


def test_in_the_other_dialect_the_cards_come_without_a_prompt_for_them() -> None:
    room = LastingAudience(5, keyed=False, options=AUTO)
    room.visit("eve", "fay")
    room.join("bob")
    room.say("eve", BeginVoting(T1))
    room.say("eve", CastVote(T1, "5"))
    room.say("fay", CastVote(T1, "5"))
    room.forget()
    vote(room, "bob")
    heard = room.hear()

    kinds = [type(event) for event in heard["eve"]]
    assert kinds.count(VotesRevealed) == kinds.count(TicketPrompt) == 1
    assert not {VotingCompleted, RevealPrompt, AwaitingTicket} & set(kinds)
    assert [type(event) for event in heard["fay"]].count(AwaitingTicket) == 1


# --- restarts -------------------------------------------------------------------------------


def test_while_the_room_rests_the_rules_reveal_nothing_and_then_they_do() -> None:
    room = voting("bob", "cid")
    vote(room, "ann", "bob")
    room.restart()
    room.come_back("ann")
    room.come_back("bob")
    assert not revealed(room)
    assert room.timers[RESTED] == room.now + REST_SECONDS
    room.ring(RESTED)

    assert revealed(room)
    assert len(room.recorded) == 1


def test_when_all_are_back_they_have_a_moment_to_ask_again() -> None:
    room = voting("bob")
    room.join("cid", role=Role.SPECTATOR)
    vote(room, "ann")
    room.detach("bob")  # which reveals; the next round is about the restart
    room.come_back("bob")
    room.ask("ann", BeginRound(TicketId("T-2")))
    room.ask("ann", CastCard(2, "5"))
    room.restart()
    room.come_back("cid")
    room.come_back("ann")
    room.come_back("bob")
    room.ask("bob", CastCard(2, "5"))
    assert not revealed(room)
    room.now += ASK_AGAIN_SECONDS / 2
    room.ring(RESTED)

    assert revealed(room)


def test_a_timer_that_rings_too_early_is_set_again() -> None:
    room = voting("bob")
    vote(room, "ann")
    room.restart()
    room.come_back("ann")
    room.timers[RESTED] = room.now + 1
    room.ring(RESTED)
    assert not revealed(room)
    assert room.timers[RESTED] == room.now + REST_SECONDS - 1
    room.ring(RESTED)

    assert revealed(room)


def test_after_a_planned_restart_who_was_here_is_waited_for_until_it_could_be_back() -> None:
    room = voting("bob")
    vote(room, "ann")
    room.say(NOBODY, Park())
    room.restart()
    room.come_back("ann")
    assert not revealed(room)
    room.come_back("bob")
    vote(room, "bob")

    assert revealed(room)


def test_a_second_restart_gives_the_time_anew() -> None:
    room = voting("bob")
    vote(room, "ann")
    for _ in range(2):
        room.say(NOBODY, Park())
        room.restart()
        room.now += REST_SECONDS / 2
    room.come_back("ann")

    assert room.timers[RESTED] == room.now + REST_SECONDS / 2


def test_members_who_end_with_a_restart_reveal_nothing_by_going() -> None:
    room = voting()
    room.visit("eve", "fay")
    vote(room, "ann")
    room.say("eve", CastVote(T1, "5"))
    room.restart()

    assert not revealed(room)
    assert room.recorded == []
    room.come_back("ann")
    assert not revealed(room)
    room.ring(RESTED)
    assert revealed(room)
    (result,) = room.recorded
    assert [vote.member_id for vote in result.votes] == [MemberId("ann"), MemberId("eve")]
