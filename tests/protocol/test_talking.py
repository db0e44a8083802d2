"""Members of chat rooms that outlive their connections, by examples."""

import pytest

from protocol.changes import Ack, Failure
from protocol.chat_changes import (
    AuthorGone,
    ChatSnapshot,
    Deleted,
    Edited,
    History,
    IsTyping,
    PersonAway,
    PersonGone,
    PersonHere,
    Present,
    ReadUpTo,
    Said,
)
from protocol.chat_fold import fold_chat
from protocol.chat_picture import Attendee, Line, ReadMarker
from protocol.chat_window import DELETED_USER
from protocol.errors import CloseCode, ErrorCode
from protocol.fold import OutOfOrder
from protocol.ids import MemberId
from protocol.lasting import Depart, Return
from protocol.limits import CHAT_HISTORY, CHAT_PAGE, TYPING_SECONDS, UNREAD_MOST
from protocol.messages import ChatMessage, Event, GrantNumbers, PersonJoined, PersonLeft, Refusal
from protocol.talking import (
    DeleteMessage,
    EditMessage,
    JoinChat,
    MarkRead,
    ReadHistory,
    SayOnce,
    TalkRequest,
    Typing,
    Unavailable,
)
from tests.protocol.talk_audience import EPOCH, ROOM, Guest, Store, TalkAudience, account

ADA = ord("a")
BOB = ord("b")


def changes(events: list[Event]) -> list[Event]:
    """Leave out what is said to members of the other kind."""
    return [
        each for each in events if not isinstance(each, ChatMessage | PersonJoined | PersonLeft)
    ]


def room_of(*members: str, **options: float) -> TalkAudience:
    room = TalkAudience(**options)  # type: ignore[arg-type]
    for member in members:
        room.join(member)
    for member in members:
        room.hear(member)
    return room


def line(seq: int, text: str, changed_at: float | None = None, member: str = "a") -> Line:
    return Line(seq, account(member), member.upper(), text, EPOCH, changed_at)


# --- saying ---------------------------------------------------------------------------------


def test_what_is_said_is_told_to_all_and_acknowledged_with_its_number() -> None:
    room = room_of("a", "b")

    room.ask("a", 1, SayOnce("hello"))

    said = Said(1, ADA, "A", "hello", EPOCH)
    assert changes(room.hear("b")) == [said]
    assert changes(room.hear("a")) == [said, Ack(1, 1)]


def test_what_is_asked_again_is_said_once_and_answered_alike() -> None:
    room = room_of("a", "b")
    room.ask("a", 7, SayOnce("hello"))
    room.say("b", "other")
    for member in "ab":
        room.hear(member)

    room.ask("a", 7, SayOnce("hello"))

    assert room.hear("a") == [Ack(7, 1)]
    assert room.hear("b") == []
    assert [row.text for row in room.store.rows] == ["hello", "other"]


def test_what_is_kept_says_by_which_request_it_came() -> None:
    room = room_of("a")
    room.ask("a", 3, SayOnce("hello"))
    room.ask("a", 4, EditMessage(1, "hi"))
    asked = [row.asked and (row.asked.member, row.asked.ref) for row in room.store.rows]
    assert asked == [("a", 3), ("a", 4)]


@pytest.mark.parametrize(
    ("request_", "code", "field"),
    [
        (SayOnce(" "), ErrorCode.EMPTY_MESSAGE, "text"),
        (SayOnce("a\0b"), ErrorCode.NULL_CHARACTER, "text"),
        (EditMessage(1, "\n"), ErrorCode.EMPTY_MESSAGE, "text"),
        (EditMessage(1, "\0"), ErrorCode.NULL_CHARACTER, "text"),
        (EditMessage(2, "x"), ErrorCode.NOT_YOURS, "seq"),
        (DeleteMessage(2), ErrorCode.NOT_YOURS, "seq"),
        (EditMessage(3, "x"), ErrorCode.NO_SUCH_MESSAGE, "seq"),
        (DeleteMessage(3), ErrorCode.NO_SUCH_MESSAGE, "seq"),
        (DeleteMessage(0), ErrorCode.NO_SUCH_MESSAGE, "seq"),
        (DeleteMessage(-5), ErrorCode.NO_SUCH_MESSAGE, "seq"),
        (EditMessage(2**70, "x"), ErrorCode.NO_SUCH_MESSAGE, "seq"),
    ],
)
def test_what_cannot_be_done_is_refused_with_its_field_and_changes_nothing(
    request_: TalkRequest, code: ErrorCode, field: str
) -> None:
    room = room_of("a", "b")
    room.say("a", "mine")
    room.say("b", "yours")
    before = list(room.store.rows)
    room.hear("a"), room.hear("b")

    for _ in range(2):
        room.ask("a", 9, request_)

        [failure] = room.hear("a")
        assert isinstance(failure, Failure)
        assert (failure.ref, failure.problem.code, failure.problem.field) == (9, code, field)
    assert room.hear("b") == []
    assert room.store.rows == before


def test_edits_cost_what_messages_do() -> None:
    room = room_of("a", bytes_rate=10.0, bytes_burst=22.0)
    room.ask("a", 1, SayOnce("x" * 8))
    room.ask("a", 2, EditMessage(1, "y" * 8))
    room.ask("a", 3, EditMessage(1, "z" * 8))
    assert room.guests["a"].answers == {1: 1, 2: 2, 3: ErrorCode.TOO_MUCH}


def test_what_was_refused_for_the_moment_alone_may_be_asked_again_and_takes_effect_once() -> None:
    room = room_of("a", granted=2)
    room.ask("a", 1, SayOnce("x"))
    room.ask("a", 2, SayOnce("y"))
    room.ask("a", 3, SayOnce("z"))
    room.ask("a", 4, EditMessage(9, "?"))
    refused = {3: ErrorCode.NOT_NOW, 4: ErrorCode.NO_SUCH_MESSAGE}
    assert room.guests["a"].answers == {1: 1, 2: 2} | refused
    room.do("a", GrantNumbers(10))
    for _ in range(2):
        room.ask("a", 3, SayOnce("z"))
        assert room.guests["a"].answers == {1: 1, 2: 2, 3: 3, 4: ErrorCode.NO_SUCH_MESSAGE}
    room.ask("a", 5, SayOnce("!"))
    assert room.guests["a"].answers[5] == 4


def test_without_a_granted_number_nothing_is_changed_either() -> None:
    room = room_of("a", granted=1)
    room.ask("a", 1, SayOnce("x"))
    room.ask("a", 2, DeleteMessage(1))
    assert room.guests["a"].answers == {1: 1, 2: ErrorCode.NOT_NOW}


# --- editing and taking back ----------------------------------------------------------------


def test_an_edit_and_a_deletion_have_numbers_and_everybody_follows() -> None:
    room = room_of("a", "b")
    room.say("a", "helo")
    room.now += 5
    room.ask("a", 2, EditMessage(1, "hello"))
    picture = room.guests["b"].picture
    assert picture is not None
    assert picture.messages == (line(1, "hello", EPOCH + 5),)
    room.ask("a", 3, DeleteMessage(1))
    room.ask("a", 4, EditMessage(1, "too late"))

    assert changes(room.hear("b")) == [
        Said(1, ADA, "A", "helo", EPOCH),
        Edited(2, 1, "hello", EPOCH + 5),
        Deleted(3, 1, EPOCH + 5),
    ]
    assert room.guests["a"].answers == {1: 1, 2: 2, 3: 3, 4: ErrorCode.NO_SUCH_MESSAGE}


def test_who_speaks_the_old_dialect_hears_messages_alone_and_sees_them_as_they_are_later() -> None:
    room = room_of("a")
    room.enter("b")
    room.say("a", "helo")
    room.ask("a", 2, EditMessage(1, "hello"))
    room.say("b", "hi")

    messages = [each for each in room.hear("b") if isinstance(each, ChatMessage)]
    assert [(each.seq, each.text) for each in messages] == [(1, "helo"), (3, "hi")]
    room.enter("c")
    messages = [each for each in room.hear("c") if isinstance(each, ChatMessage)]
    assert [(each.seq, each.text) for each in messages] == [(1, "hello"), (3, "hi")]


def test_an_account_changes_what_it_has_said_by_another_connection() -> None:
    room = room_of("a1", "a2")
    room.ask("a1", 1, SayOnce("x"))
    room.ask("a2", 1, EditMessage(1, "y"))
    assert room.guests["a2"].answers == {1: 2}


def old_message() -> TalkAudience:
    """Make a room whose first message is not among the last ones."""
    room = room_of("a", "b")
    room.say("a", "old")
    room.say("b", *(f"text {n}" for n in range(CHAT_HISTORY + 5)))
    for member in "ab":
        room.hear(member)
    return room


def test_an_old_message_is_looked_up_first() -> None:
    room = old_message()
    last = room.rules.seq

    room.ask("a", 2, EditMessage(1, "older"))
    room.ask("a", 2, EditMessage(1, "older"))
    assert room.hear("a") == []
    room.ask("a", 3, SayOnce("meanwhile"))
    [_] = room.inquiries
    room.answer()

    assert room.guests["a"].answers == {1: 1, 2: last + 2, 3: last + 1}
    assert changes(room.hear("b"))[-1] == Edited(last + 2, 1, "older", EPOCH)
    room.ask("a", 2, EditMessage(1, "older"))
    assert not room.inquiries
    assert room.rules.seq == last + 2


def test_an_old_message_that_was_taken_back_while_it_was_looked_up_stays_so() -> None:
    room = old_message()
    room.ask("a", 2, DeleteMessage(1))
    room.ask("a", 3, EditMessage(1, "too late"))
    room.answer()
    room.answer()
    assert room.guests["a"].answers[3] is ErrorCode.NO_SUCH_MESSAGE
    assert [row.text for row in room.store.rows if row.seq == room.rules.seq] == [""]


def test_somebody_elses_old_message_is_not_changed() -> None:
    room = old_message()
    room.ask("b", 100, DeleteMessage(1))
    room.answer()
    assert room.guests["b"].answers[100] is ErrorCode.NOT_YOURS


def test_without_a_store_old_messages_are_not_changed_and_not_shown() -> None:
    room = old_message()
    room.ask("a", 2, DeleteMessage(1))
    room.ask("a", 3, ReadHistory(before=5))
    room.answer(Unavailable())
    room.answer(Unavailable())
    assert room.guests["a"].answers == {1: 1, 2: ErrorCode.NOT_NOW, 3: ErrorCode.NOT_NOW}
    room.ask("a", 3, ReadHistory(before=5))
    room.answer()
    assert room.guests["a"].answers[3] == 0


def test_a_member_has_only_so_much_looked_up_at_once() -> None:
    room = old_message()
    for ref in range(2, 8):
        room.ask("a", ref, ReadHistory(before=5))
    refused = [ref for ref, answer in room.guests["a"].answers.items() if answer != 1]
    assert len(room.inquiries) == 4
    assert refused == [6, 7]
    assert room.guests["a"].answers[6] is ErrorCode.TOO_FAST


def test_who_has_left_is_told_nothing_that_it_wanted_to_know() -> None:
    room = old_message()
    room.ask("a", 2, ReadHistory(before=5))
    room.leave("a")
    room.answer()
    assert [type(each) for each in changes(room.hear("b"))] == [PersonGone]


# --- history --------------------------------------------------------------------------------


def test_history_is_read_page_by_page() -> None:
    room = old_message()
    seen: list[int] = []
    before: int | None = None
    for ref in range(2, 9):
        room.ask("a", ref, ReadHistory(before, limit=10))
        room.answer()
        [page] = room.hear("a")
        assert isinstance(page, History)
        seen = [each.seq for each in page.messages] + seen
        before = page.messages[0].seq
        if not page.more:
            break
    assert seen == list(range(1, CHAT_HISTORY + 7))


@pytest.mark.parametrize(
    ("asked", "granted"), [(0, 1), (-3, 1), (CHAT_PAGE, CHAT_PAGE), (10**9, CHAT_PAGE)]
)
def test_a_page_has_a_bound(asked: int, granted: int) -> None:
    room = room_of("a")
    room.ask("a", 1, ReadHistory(before=2**70, limit=asked))
    [(inquiry, _)] = room.inquiries
    assert inquiry.question.limit == granted  # type: ignore[union-attr]
    assert inquiry.question.before is None  # type: ignore[union-attr]


def test_a_page_shows_what_was_changed_while_it_was_read() -> None:
    room = old_message()
    room.ask("b", 100, ReadHistory(before=2))
    room.ask("a", 2, EditMessage(1, "older"))
    (page, message) = room.inquiries
    room.inquiries.reverse()
    room.answer()
    room.hear("b")
    room.answer()
    [history] = room.hear("b")
    assert isinstance(history, History)
    assert [each.text for each in history.messages] == ["older"]
    assert page != message


# --- away and back --------------------------------------------------------------------------


def test_who_loses_the_connection_is_away_and_comes_back_to_what_was_missed() -> None:
    room = room_of("a", "b")
    room.now += 1
    room.detach("a")
    assert room.timers == {"a": 60.0}
    assert changes(room.hear("b")) == [PersonAway(ADA, EPOCH + 1)]
    assert [person.user_id for person in room.rules.people] == [ADA, BOB]
    room.say("b", "where are you?")
    room.hear("b")
    room.now += 1

    room.come_back("a")

    assert room.timers == {}
    back = Attendee(ADA, "A", here=True, since=EPOCH + 2)
    there = Attendee(BOB, "B", here=True, since=EPOCH)
    assert changes(room.hear("b")) == [PersonHere(back)]
    assert changes(room.hear("a")) == [
        Said(1, BOB, "B", "where are you?", EPOCH + 1),
        Present(1, (back, there), 0, 1),
    ]


def test_who_does_not_come_back_in_time_is_gone() -> None:
    room = room_of("a", "b")
    room.detach("a")
    room.hear("b")
    room.let_grace_pass("a")
    heard = room.hear("b")
    assert changes(heard) == [PersonGone(ADA)]
    assert PersonLeft(ROOM, "A") in heard
    assert "a" not in room.guests


def test_without_a_grace_a_member_ends_with_its_connection() -> None:
    room = room_of("a", "b", grace=0.0)
    room.detach("a")
    assert changes(room.hear("b")) == [PersonGone(ADA)]
    room.detach("b")
    assert room.asleep


def test_a_room_sleeps_once_the_last_has_been_away_for_too_long() -> None:
    room = room_of("a")
    room.detach("a")
    assert not room.asleep
    room.let_grace_pass("a")
    assert room.asleep


def test_who_leaves_of_its_own_accord_has_no_grace() -> None:
    room = room_of("a", "b")
    room.ask("a", 1, Depart())
    assert changes(room.hear("b")) == [PersonGone(ADA)]
    assert "a" not in room.guests


def test_a_person_with_another_connection_is_not_away() -> None:
    room = room_of("a1", "b")
    room.enter("a2")
    room.detach("a1")
    assert changes(room.hear("b")) == []
    room.leave("a2")
    assert changes(room.hear("b")) == [PersonAway(ADA, EPOCH)]


def test_whoever_is_nobody_here_cannot_come_back() -> None:
    room = room_of("a")
    [effect] = room.rules.apply(Return(0, 0), MemberId("x"), EPOCH)
    assert (effect.code, effect.problem.code) == (CloseCode.NORMAL, ErrorCode.WRONG_KEY)  # type: ignore[union-attr]


def test_who_knows_another_history_is_shown_the_room() -> None:
    room = room_of("a")
    room.say("a", "x")
    for seq, generation in [(5, 0), (1, 3), (-1, 0), (None, 0)]:
        room.hear("a")
        room.do("a", Return(seq, generation))
        assert [type(each) for each in changes(room.hear("a"))] == [ChatSnapshot]


def test_a_member_that_joins_twice_has_come_back() -> None:
    room = room_of("a", "b")
    room.detach("a")
    room.join("a", seq=0)
    assert len(room.rules.people) == 2
    assert room.timers == {}


def test_after_a_restart_requests_that_are_in_the_store_are_not_carried_out_again() -> None:
    room = room_of("a")
    for ref in (1, 2, 3):
        room.ask("a", ref, SayOnce(f"text {ref}"))
    lost = room.store.rows.pop()
    later = TalkAudience(store=room.store, last_seq=100)
    later.join("a")
    for ref in (1, 2, 3):
        later.ask("a", ref, SayOnce(f"text {ref}"))
    assert later.guests["a"].answers == {1: 1, 2: 2, 3: 101}
    assert lost.text == "text 3"
    assert [row.text for row in later.store.rows] == ["text 1", "text 2", "text 3"]


def test_who_comes_again_at_once_is_known_by_more_than_the_store() -> None:
    room = room_of("a", "b")
    room.ask("a", 1, SayOnce("x"))
    room.detach("a")
    room.let_grace_pass("a")
    written, room.store.rows = room.store.rows, []
    room.join("a")
    room.store.rows = written
    room.ask("a", 1, SayOnce("x"))
    assert room.guests["a"].answers == {1: 1}
    assert len(room.store.rows) == 1


def test_members_that_are_away_take_seats() -> None:
    room = room_of("a1", "a2", seats_per_account=2)
    room.detach("a1")
    room.join("a3")
    assert "a3" not in room.guests
    room.let_grace_pass("a1")
    room.join("a3")
    assert "a3" in room.guests


def test_a_full_room_refuses() -> None:
    room = room_of("a", capacity=1)
    [refusal] = room.join("b").heard
    assert isinstance(refusal, Refusal)
    assert refusal.problem.code is ErrorCode.ROOM_FULL


# --- reading and typing ---------------------------------------------------------------------


def test_all_of_an_account_learn_how_far_it_has_read_and_nobody_else() -> None:
    room = room_of("a1", "a2", "b")
    room.say("b", "1", "2", "3")
    for member in room.guests:
        room.hear(member)

    room.ask("a1", 1, MarkRead(2))
    room.ask("a2", 1, MarkRead(1))

    assert room.hear("a1") == [ReadUpTo(2, 1), Ack(1, 3)]
    assert room.hear("a2") == [ReadUpTo(2, 1), Ack(1, 3)]
    assert room.hear("b") == []
    assert room.store.marks == {ADA: 2}


def test_what_one_has_said_oneself_is_not_unread() -> None:
    room = room_of("a", "b")
    room.say("a", "mine")
    room.say("b", "other")
    picture = room.guests["a"].picture
    assert picture is not None
    assert picture.mine == ReadMarker(ADA, 0, 1)


def test_nobody_has_read_what_is_yet_to_be_said() -> None:
    room = room_of("a", "b")
    room.say("b", "1")
    room.ask("a", 1, MarkRead(2**70))
    room.say("b", "2")
    assert room.store.marks == {ADA: 1}
    assert room.rules.snapshot_for(MemberId("a")).picture.mine == ReadMarker(ADA, 1, 1)


def test_what_lies_further_back_is_counted_by_the_store() -> None:
    room = old_message()
    room.say("b", "more")
    room.ask("a", 2, MarkRead(2))
    room.say("b", "later")
    room.answer()
    picture = room.guests["a"].picture
    assert picture is not None
    assert picture.mine == ReadMarker(ADA, 2, CHAT_HISTORY + 6)


def test_when_much_was_said_meanwhile_it_is_counted_anew() -> None:
    room = old_message()
    room.ask("a", 2, MarkRead(2))
    room.say("b", *("x" for _ in range(CHAT_HISTORY + 5)))
    room.answer()
    room.answer()
    picture = room.guests["a"].picture
    assert picture is not None
    assert picture.mine == ReadMarker(ADA, 2, 2 * CHAT_HISTORY + 9)
    assert not room.inquiries


def test_unread_messages_are_counted_up_to_a_bound() -> None:
    room = room_of("a", "b")
    room.say("b", *("x" for _ in range(UNREAD_MOST + 3)))
    picture = room.guests["a"].picture
    assert picture is not None
    assert picture.mine.unread == UNREAD_MOST


def test_the_others_are_told_of_typing_once_in_a_while() -> None:
    room = room_of("a", "b")
    for ref, seconds in enumerate((0.0, TYPING_SECONDS - 0.1, 0.1, 0.1), 1):
        room.now += seconds
        room.ask("a", ref, Typing())
    assert room.hear("b") == [IsTyping(ADA), IsTyping(ADA)]
    assert room.hear("a") == [Ack(ref, 0) for ref in range(1, 5)]
    assert room.store.rows == []


# --- deleted accounts -----------------------------------------------------------------------


def test_a_deleted_account_is_nobody_to_all_who_fold() -> None:
    room = room_of("a", "b")
    room.say("a", "x")
    room.hear("b")

    room.delete_account("a")

    assert changes(room.hear("b")) == [AuthorGone(ADA), PersonGone(ADA)]
    picture = room.guests["b"].picture
    assert picture is not None
    assert [(each.author, each.author_id) for each in picture.messages] == [(DELETED_USER, None)]
    assert "a" not in room.guests


def test_who_was_away_when_an_account_was_deleted_is_shown_everything_anew() -> None:
    room = room_of("a", "b", "c")
    room.say("a", "x")
    room.detach("b")
    room.delete_account("a")
    room.hear("b")
    room.come_back("b")
    assert [type(each) for each in changes(room.hear("b"))] == [ChatSnapshot]


# --- folding --------------------------------------------------------------------------------


def test_a_change_that_was_seen_is_not_folded_again() -> None:
    room = room_of("a")
    room.say("a", "x")
    picture = room.guests["a"].picture
    assert picture is not None
    with pytest.raises(OutOfOrder, match="after 1 comes a higher number, not 1"):
        fold_chat(picture, Said(1, ADA, "A", "x", EPOCH))


def test_what_was_missed_over_a_restart_folds_to_what_is_there() -> None:
    room = room_of("a", "b")
    room.say("a", "x", "y")
    room.detach("b")
    room.ask("a", 3, EditMessage(1, "z"))
    room.ask("a", 4, DeleteMessage(2))
    picture = room.guests["b"].picture
    assert picture is not None
    for change in room.store.missed(picture.seq):
        picture = fold_chat(picture, change)
    later = TalkAudience(store=Store(room.store.rows), last_seq=100)
    later.join("b")
    assert picture.messages == later.rules.snapshot_for(MemberId("b")).picture.messages


# --- beyond the usual -----------------------------------------------------------------------


def test_who_goes_by_another_name_now_is_told_of_and_still_there_since_then() -> None:
    room = room_of("a1", "b")
    room.now += 5
    room.guests["a2"] = Guest(lasting=True, connected=False)
    room.do("a2", JoinChat(user_id=ADA, name="Ada"))
    assert changes(room.hear("b")) == [PersonHere(Attendee(ADA, "Ada", here=True, since=EPOCH))]
    room.join("a3")
    room.hear("b")
    room.join("a4")
    assert changes(room.hear("b")) == []


def test_what_was_said_between_looking_up_and_joining_is_unread_however_much() -> None:
    room = room_of("b")
    room.say("b", "x")
    known = room.store.standing("a")
    room.say("b", *("x" for _ in range(CHAT_HISTORY + 9)))
    room.guests["a"] = Guest(lasting=True, connected=False)
    room.do("a", JoinChat(user_id=ADA, name="A", standing=known))
    room.answer()
    picture = room.guests["a"].picture
    assert picture is not None
    assert picture.mine == ReadMarker(ADA, 0, CHAT_HISTORY + 10)
