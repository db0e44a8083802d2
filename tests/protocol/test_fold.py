"""What each change does to a picture; that folding follows the rules is in the state machine."""

import attrs
import pytest

from protocol.changes import (
    Begun,
    CameBack,
    CapacityRaised,
    Change,
    Configured,
    FacilitatorChanged,
    Joined,
    Left,
    OwnerChanged,
    Renamed,
    Revealed,
    RoleChanged,
    Said,
    TimeOver,
    TimerChanged,
    Unled,
    Unsaid,
    Voted,
    WentAway,
)
from protocol.deck import CUSTOM, Deck
from protocol.fold import DIGEST_LENGTH, OutOfOrder, digest, fold
from protocol.ids import MemberId
from protocol.lasting import Role, TimerKind
from protocol.options import DEFAULTS, Options, Who
from protocol.picture import (
    Earlier,
    Picture,
    Running,
    Seated,
    Shown,
    ShownVote,
    Stage,
    Timer,
    abilities,
)
from protocol.statistics import summarize
from protocol.talk import Remark
from tests.protocol.audience import ROOM

ANN, BOB, CID = MemberId("ann"), MemberId("bob"), MemberId("cid")
WAITING = abilities(Stage.WAITING, votes=False, rounds=True)
ASKED = abilities(Stage.VOTING, votes=False, rounds=True)
VOTED = abilities(Stage.VOTING, votes=True, rounds=True)
REVEALED = abilities(Stage.REVEALED, votes=False, rounds=True)


def seat(member: MemberId, *, owner: bool = False, voted: bool = False) -> Seated:
    return Seated(member, member.title(), Role.VOTER, owner, owner, True, 10.0, voted, False)


WAITING_ROOM = Picture(
    seq=7,
    room_id=ROOM,
    name="Planning",
    capacity=4,
    deck_id=CUSTOM,
    cards=Deck(("5", "8")).cards,
    grace_seconds=60.0,
    opened_at=1.0,
    stage=Stage.WAITING,
    members=(seat(ANN, owner=True), seat(BOB)),
    round=None,
    shown=None,
    earlier=(),
    options=DEFAULTS,
    may=WAITING,
    timer=None,
)
VOTING_ROOM = attrs.evolve(
    WAITING_ROOM,
    stage=Stage.VOTING,
    round=Running(2, "T-2", 20.0, complete=False, waiting_for=(ANN, BOB)),
    may=ASKED,
)
SHOWN = Shown(2, "T-2", (ShownVote(ANN, "Ann", "5"),), summarize(["5"]), 12.5)


def test_whoever_joins_is_last_and_is_waited_for_only_if_the_change_says_so() -> None:
    idle = fold(VOTING_ROOM, Joined(8, seat(CID), waited_for=False))
    asked = fold(VOTING_ROOM, Joined(8, seat(CID), waited_for=True))

    assert [each.id for each in idle.members] == [ANN, BOB, CID]
    assert idle.round == VOTING_ROOM.round
    assert asked.round is not None
    assert asked.round.waiting_for == (ANN, BOB, CID)


def test_whoever_leaves_is_not_waited_for_any_more() -> None:
    after = fold(VOTING_ROOM, Left(8, ANN, expired=False, complete=True))

    assert [each.id for each in after.members] == [BOB]
    assert after.round == Running(2, "T-2", 20.0, complete=True, waiting_for=(BOB,))


def test_who_is_away_keeps_its_place_until_it_is_back() -> None:
    away = fold(VOTING_ROOM, WentAway(8, ANN, 30.0))
    back = fold(away, CameBack(9, ANN, 40.0))

    assert away.members == (attrs.evolve(seat(ANN, owner=True), here=False, since=30.0), seat(BOB))
    assert away.round == VOTING_ROOM.round
    assert back.members == (attrs.evolve(seat(ANN, owner=True), since=40.0), seat(BOB))


def test_there_is_one_owner_at_a_time() -> None:
    after = fold(WAITING_ROOM, OwnerChanged(8, BOB))

    assert [each.owner for each in after.members] == [False, True]
    assert [each.facilitator for each in after.members] == [True, True]


def test_a_room_that_nobody_leads_says_since_when_until_somebody_owns_it() -> None:
    unled = fold(WAITING_ROOM, Unled(8, 40.0, VOTED))
    owned = fold(unled, OwnerChanged(9, BOB, WAITING))

    assert (unled.unled_since, unled.may) == (40.0, VOTED)
    assert (owned.unled_since, owned.may) == (None, WAITING)
    assert fold(WAITING_ROOM, OwnerChanged(8, BOB)).may == WAITING


def test_facilitators_come_and_go() -> None:
    more = fold(WAITING_ROOM, FacilitatorChanged(8, BOB, facilitator=True))
    less = fold(more, FacilitatorChanged(9, BOB, facilitator=False))

    assert [each.facilitator for each in more.members] == [True, True]
    assert less == attrs.evolve(WAITING_ROOM, seq=9)


def test_who_is_called_otherwise_keeps_its_place() -> None:
    after = fold(WAITING_ROOM, Renamed(8, BOB, "Ann", 2))

    assert after.members == (seat(ANN, owner=True), attrs.evolve(seat(BOB), name="Ann", tag=2))


def test_seats_are_added() -> None:
    assert fold(WAITING_ROOM, CapacityRaised(8, 9)).capacity == 9


def test_what_is_said_is_last_and_what_is_taken_back_is_gone() -> None:
    first = fold(WAITING_ROOM, Said(8, 1, ANN, "Ann", "Hello", 30.0))
    second = fold(first, Said(9, 2, BOB, "Bob", "Hi", 31.0))
    after = fold(second, Unsaid(10, 1))

    hello, hi = Remark(1, ANN, "Ann", "Hello", 30.0), Remark(2, BOB, "Bob", "Hi", 31.0)
    assert (first.messages, second.messages, after.messages) == ((hello,), (hello, hi), (hi,))
    assert fold(after, Unsaid(11, 1)).messages == (hi,)


def test_options_come_with_what_they_let_people_do() -> None:
    options = Options(begin_by=Who.ALL)

    after = fold(WAITING_ROOM, Configured(8, options, VOTED))

    assert (after.options, after.may) == (options, VOTED)


def test_a_round_begins_without_votes_and_keeps_the_last_one_in_sight() -> None:
    members = (seat(ANN, owner=True, voted=True), seat(BOB))
    before = attrs.evolve(VOTING_ROOM, members=members, shown=SHOWN)

    after = fold(before, Begun(8, 3, "T-3", 50.0, (ANN,), ASKED))

    assert after.stage is Stage.VOTING
    assert after.round == Running(3, "T-3", 50.0, complete=False, waiting_for=(ANN,))
    assert not any(each.voted for each in after.members)
    assert (after.shown, after.may) == (SHOWN, ASKED)


def test_the_first_vote_changes_what_may_be_done_and_later_ones_do_not() -> None:
    first = fold(VOTING_ROOM, Voted(8, BOB, complete=False, may=VOTED))
    second = fold(first, Voted(9, ANN, complete=True, may=None))

    assert [each.voted for each in first.members] == [False, True]
    assert first.round == Running(2, "T-2", 20.0, complete=False, waiting_for=(ANN,))
    assert second.round == Running(2, "T-2", 20.0, complete=True, waiting_for=())
    assert first.may == second.may == VOTED


def test_a_reveal_ends_the_round() -> None:
    voted = fold(VOTING_ROOM, Voted(8, ANN, complete=False, may=VOTED))

    after = fold(voted, Revealed(9, SHOWN, REVEALED))

    assert (after.stage, after.round, after.shown) == (Stage.REVEALED, None, SHOWN)
    assert not any(each.voted for each in after.members)
    assert after.may == REVEALED


def test_who_only_watches_has_no_card_and_is_not_waited_for() -> None:
    voted = fold(VOTING_ROOM, Voted(8, BOB, complete=False, may=VOTED))

    after = fold(voted, RoleChanged(9, BOB, Role.SPECTATOR, (ANN,), complete=False, may=ASKED))

    assert after.members[1] == attrs.evolve(seat(BOB), role=Role.SPECTATOR)
    assert after.round is not None
    assert after.round.waiting_for == (ANN,)
    assert after.may == ASKED


def test_a_role_without_a_round_changes_nothing_else() -> None:
    watching = fold(WAITING_ROOM, RoleChanged(8, BOB, Role.SPECTATOR, None, False, None))
    voting = fold(watching, RoleChanged(9, BOB, Role.VOTER, None, False, None))

    assert watching.round is None
    assert voting == attrs.evolve(WAITING_ROOM, seq=9)


def test_a_timer_is_told_as_a_whole_and_gone_when_its_time_is_up() -> None:
    timer = Timer(TimerKind.DISCUSSION, 60, 90.0, None, ANN)
    ticking = abilities(Stage.WAITING, votes=False, rounds=True, timer=timer)

    started = fold(WAITING_ROOM, TimerChanged(8, timer, ticking))
    over = fold(started, TimeOver(9, TimerKind.DISCUSSION, WAITING))

    assert (started.timer, started.may) == (timer, ticking)
    assert over == attrs.evolve(WAITING_ROOM, seq=9)
    assert fold(started, TimerChanged(9, None, WAITING)) == over


@pytest.mark.parametrize("seq", [6, 7, 9, 0, -1])
@pytest.mark.parametrize("kind", [WentAway, CameBack])
def test_a_change_out_of_order_is_refused(kind: type[WentAway | CameBack], seq: int) -> None:
    change: Change = kind(seq, ANN, 30.0)

    with pytest.raises(OutOfOrder, match=f"after 7 comes 8, not {seq}"):
        fold(WAITING_ROOM, change)


def test_a_picture_is_not_changed_by_folding() -> None:
    before = digest(VOTING_ROOM)

    fold(VOTING_ROOM, Voted(8, BOB, complete=False, may=VOTED))

    assert digest(VOTING_ROOM) == before


def test_every_field_counts_in_the_digest() -> None:
    other = {
        **attrs.asdict(VOTING_ROOM, recurse=False),
        "seq": 8,
        "room_id": "Room43",
        "name": "Retro",
        "capacity": 5,
        "deck_id": "classic",
        "cards": (),
        "grace_seconds": 61.0,
        "opened_at": 2.0,
        "stage": Stage.REVEALED,
        "members": VOTING_ROOM.members[::-1],
        "round": None,
        "shown": SHOWN,
        "earlier": (Earlier(1, summarize(["5"]), None),),
        "options": Options(reveal_by=Who.ALL),
        "may": VOTED,
        "unled_since": 3.0,
        "locked": True,
        "needs_passcode": True,
        "timer": Timer(TimerKind.VOTING, 60, None, 30.0, None),
        "messages": (Remark(1, ANN, "Ann", "Hello", 5.0),),
    }

    digests = {digest(attrs.evolve(VOTING_ROOM, **{name: other[name]})) for name in other}

    assert len(digests | {digest(VOTING_ROOM)}) == len(other) + 1
    assert {len(each) for each in digests} == {DIGEST_LENGTH}
