"""The rules of a chat room, by examples and in any interleaving."""

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from protocol.chat import DELETED_USER, HISTORY_BYTES
from protocol.effects import Disconnect, Record, Sleep, Subscribe, Tell, TellAll
from protocol.errors import CloseCode, ErrorCode, Problem
from protocol.ids import MemberId, RoomId
from protocol.limits import CHAT_HISTORY
from protocol.messages import (
    Announce,
    AnonymiseAuthor,
    BeginVoting,
    CastVote,
    ChatMessage,
    Command,
    Enter,
    EnterChat,
    Event,
    GrantNumbers,
    Leave,
    PeoplePresent,
    Person,
    PersonJoined,
    PersonLeft,
    Refusal,
    Reject,
    RevealVotes,
    Say,
    TicketId,
    TimeUp,
)
from tests.protocol.chat_audience import EPOCH, ROOM, ChatAudience

ADA = ord("a")
BOB = ord("b")


def message(seq: int, text: str = "", author_id: int = ADA, author: str = "A") -> ChatMessage:
    return ChatMessage(ROOM, seq, author_id, author, text or f"text {seq}", EPOCH + seq)


def problem_of(events: list[Event]) -> Problem:
    [refusal] = events
    assert isinstance(refusal, Refusal)
    return refusal.problem


# --- talking --------------------------------------------------------------------------------


def test_everybody_hears_what_is_said_the_author_included() -> None:
    room = ChatAudience()
    for member in ("a", "b"):
        room.enter(member)
    room.hear()
    room.now = EPOCH + 1234.5
    room.say("a", "hello")
    expected = ChatMessage(ROOM, 1, ADA, "A", "hello", EPOCH + 1234.5)
    assert room.hear() == {"a": [expected], "b": [expected]}
    assert room.recorded == [expected]


def test_messages_are_numbered_from_one_on() -> None:
    room = ChatAudience()
    room.enter("a")
    room.say("a", "x", "y", "z")
    assert [each.seq for each in room.recorded] == [1, 2, 3]
    assert room.rules.seq == 3


def test_a_room_that_was_woken_goes_on_counting() -> None:
    room = ChatAudience(last_seq=70, recent=[message(70)])
    room.enter("a")
    room.say("a", "x")
    assert [each.seq for each in room.recorded] == [71]
    assert [each.seq for each in room.rules.recent] == [70, 71]


@pytest.mark.parametrize("text", ["", " ", "\n\t ", "\u2003"])
def test_an_empty_message_is_refused_and_only_its_sender_hears_of_it(text: str) -> None:
    room = ChatAudience()
    room.enter("a")
    room.enter("b")
    room.hear()
    room.say("a", text)
    heard = room.hear()
    assert list(heard) == ["a"]
    assert problem_of(heard["a"]).code is ErrorCode.EMPTY_MESSAGE
    assert room.recorded == []
    assert room.rules.seq == 0


def test_a_null_character_is_refused_as_no_database_keeps_it() -> None:
    room = ChatAudience()
    room.enter("a")
    room.hear()
    room.say("a", "a\0b")
    assert problem_of(room.hear()["a"]).code is ErrorCode.NULL_CHARACTER
    assert room.recorded == []


def test_blanks_around_a_message_are_part_of_it() -> None:
    room = ChatAudience()
    room.enter("a")
    room.say("a", "  indented\n")
    assert room.texts("a") == ["  indented\n"]


@pytest.mark.parametrize("entered", [True, False])
def test_who_is_not_in_the_room_says_nothing(entered: bool) -> None:
    room = ChatAudience()
    room.enter("b")
    if entered:
        room.enter("a")
        room.leave("a")
    room.hear()
    room.say("a", "hello")
    assert room.hear() == {}
    assert room.recorded == []


@pytest.mark.parametrize("final", [True, False])
def test_a_message_that_was_refused_before_is_told_to_its_sender_alone(final: bool) -> None:
    room = ChatAudience()
    room.enter("a")
    room.enter("b")
    room.hear()
    problem = Problem(ErrorCode.TOO_FAST, "too many")
    room.do("a", Reject(problem, final=final))
    assert room.hear() == {"a": [Refusal(problem)]}
    assert room.dismissed == ({"a": (CloseCode.POLICY, ErrorCode.STRUCK_OUT)} if final else {})


@pytest.mark.parametrize(
    "command",
    [
        Enter("A"),
        Announce(RoomId("Room42")),
        BeginVoting(TicketId("T")),
        CastVote(TicketId("T"), "5"),
        RevealVotes(TicketId("T")),
        TimeUp(),
    ],
)
def test_commands_of_other_kinds_of_rooms_do_nothing(command: Command) -> None:
    room = ChatAudience()
    room.enter("a")
    assert room.do("a", command) == []
    assert room.do("stranger", command) == []
    assert room.rules.people == (Person(ADA, "A"),)


# --- entering -------------------------------------------------------------------------------


def test_who_enters_is_told_what_was_said_before_it_belongs_to_the_audience() -> None:
    room = ChatAudience(last_seq=2, recent=[message(1), message(2)])
    assert room.do("a", EnterChat(ADA, "A")) == [
        Tell(MemberId("a"), message(1)),
        Tell(MemberId("a"), message(2)),
        Subscribe(MemberId("a")),
        Record(PeoplePresent((Person(ADA, "A"),))),
        TellAll(PersonJoined(ROOM, "A")),
    ]


def test_the_last_fifty_messages_are_told() -> None:
    room = ChatAudience()
    room.enter("a")
    room.say("a", *(f"text {number}" for number in range(1, CHAT_HISTORY + 21)))
    room.enter("b")
    assert room.texts("b") == [f"text {number}" for number in range(21, CHAT_HISTORY + 21)]
    assert CHAT_HISTORY == 50


def test_of_more_that_was_stored_the_last_fifty_are_told() -> None:
    stored = [message(number) for number in range(1, 61)]
    room = ChatAudience(last_seq=60, recent=stored)
    room.enter("a")
    assert room.texts("a") == [each.text for each in stored[10:]]


@pytest.mark.parametrize("stored", [True, False])
def test_of_long_messages_fewer_are_told(stored: bool) -> None:
    long = "\N{PILE OF POO}" * 4096
    fitting = HISTORY_BYTES // len(long.encode())
    texts = [f"{number:02}{long[2:]}" for number in range(fitting + 5)]
    if stored:
        recent = [message(seq, text) for seq, text in enumerate(texts, 1)]
        room = ChatAudience(last_seq=len(texts), recent=recent)
    else:
        room = ChatAudience()
        room.enter("a")
        room.say("a", *texts)
    room.enter("b")
    assert room.texts("b") == texts[-fitting:]
    # Short ones take their place again.
    room.enter("c")
    room.say("c", *["short"] * CHAT_HISTORY)
    assert [each.text for each in room.rules.recent] == ["short"] * CHAT_HISTORY


def test_one_message_is_told_however_long_it_is() -> None:
    room = ChatAudience()
    room.enter("a")
    room.say("a", "short", "x" * (HISTORY_BYTES + 1))
    assert [len(each.text) for each in room.rules.recent] == [HISTORY_BYTES + 1]
    room.say("a", "short")
    assert [each.text for each in room.rules.recent] == ["short"]


def test_the_room_is_told_of_a_person_once_however_many_connections_it_has() -> None:
    room = ChatAudience()
    room.enter("b")
    room.hear()
    room.enter("a1")
    assert room.hear() == {"a1": [PersonJoined(ROOM, "A")], "b": [PersonJoined(ROOM, "A")]}
    room.enter("a2")
    assert room.hear() == {}
    assert room.rules.people == (Person(BOB, "B"), Person(ADA, "A"))
    room.say("a2", "hello")
    assert {member: len(events) for member, events in room.hear().items()} == {
        "a1": 1,
        "a2": 1,
        "b": 1,
    }


def test_a_person_has_left_with_its_last_connection() -> None:
    room = ChatAudience()
    for member in ("b", "a1", "a2"):
        room.enter(member)
    room.hear()
    room.leave("a1")
    assert room.hear() == {}
    room.leave("a2")
    assert room.hear() == {"b": [PersonLeft(ROOM, "A")]}
    assert room.rules.people == (Person(BOB, "B"),)


def test_two_people_of_one_name_are_two() -> None:
    room = ChatAudience()
    room.enter("x", 1, "Kim")
    room.enter("y", 2, "Kim")
    assert room.rules.people == (Person(1, "Kim"), Person(2, "Kim"))
    room.hear()
    room.leave("x")
    assert room.hear() == {"y": [PersonLeft(ROOM, "Kim")]}


def test_who_has_been_renamed_meanwhile_goes_by_the_latest_name() -> None:
    room = ChatAudience()
    room.enter("x1", 1, "Old")
    room.enter("x2", 1, "New")
    assert room.rules.people == (Person(1, "New"),)
    room.hear()
    room.say("x1", "hello")
    assert {each.author for each in room.recorded} == {"Old"}


def test_a_full_room_refuses_and_dismisses() -> None:
    room = ChatAudience(capacity=2)
    room.enter("a1")
    room.enter("a2")
    room.hear()
    effects = room.do("b", EnterChat(BOB, "B"))
    assert isinstance(effects[-1], Disconnect)
    assert problem_of(room.hear()["b"]).code is ErrorCode.ROOM_FULL
    assert room.dismissed["b"][0] is CloseCode.POLICY
    room.say("b", "let me in")
    assert room.do("b", Leave()) == []
    assert room.recorded == []
    assert room.rules.people == (Person(ADA, "A"),)
    room.leave("a1")
    room.enter("b2")
    assert room.present == ["a2", "b2"]


# --- deleted accounts -----------------------------------------------------------------------


def test_messages_of_a_deleted_account_are_a_deleted_users() -> None:
    room = ChatAudience(last_seq=1, recent=[message(1)])
    room.enter("a")
    room.enter("b")
    room.say("b", "from bob")
    room.say("a", "from ada")
    room.hear()
    assert room.do("", AnonymiseAuthor(ADA)) == []
    room.enter("c")
    heard = [each for each in room.heard["c"] if isinstance(each, ChatMessage)]
    assert [(each.author_id, each.author, each.text) for each in heard] == [
        (None, DELETED_USER, "text 1"),
        (BOB, "B", "from bob"),
        (None, DELETED_USER, "from ada"),
    ]


def test_after_an_account_was_deleted_the_history_is_bounded_as_before() -> None:
    room = ChatAudience(last_seq=CHAT_HISTORY, recent=[message(n) for n in range(1, 51)])
    room.enter("b")
    room.do("", AnonymiseAuthor(ADA))
    room.say("b", "one more")
    assert [each.seq for each in room.rules.recent] == [*range(2, 52)]


# --- numbers --------------------------------------------------------------------------------


def test_without_a_granted_number_nothing_is_said_and_nothing_lost() -> None:
    room = ChatAudience(last_seq=5, granted=7)
    room.enter("a")
    room.enter("b")
    room.hear()
    room.say("a", "six", "seven")
    room.hear()
    room.say("a", "eight")
    heard = room.hear()
    assert list(heard) == ["a"]
    assert problem_of(heard["a"]).code is ErrorCode.NOT_NOW
    room.do("", GrantNumbers(8))
    room.do("", GrantNumbers(3))  # an old one does no harm
    room.say("a", "eight", "nine")
    assert [each.seq for each in room.recorded] == [6, 7, 8]
    assert problem_of(room.hear()["a"][1:]).code is ErrorCode.NOT_NOW


# --- what one may make the others receive ---------------------------------------------------

CONTROLS = "\x01" * 1000  # six times as long as JSON


def test_what_the_others_receive_is_charged_to_the_sender() -> None:
    room = ChatAudience(bytes_rate=6002, bytes_burst=18_010)
    room.enter("a")
    room.enter("b")
    room.hear()
    room.say("a", *[CONTROLS] * 5)
    heard = room.hear()
    assert len(heard["b"]) == 3
    assert [each.problem.code if isinstance(each, Refusal) else None for each in heard["a"]] == [
        None
    ] * 3 + [ErrorCode.TOO_MUCH] * 2
    room.say("b", CONTROLS)  # which has said nothing yet
    assert len(room.hear()["a"]) == 1
    room.now += 1
    room.say("a", CONTROLS, CONTROLS)
    assert len(room.hear()["b"]) == 1


def test_a_message_above_the_burst_costs_all_there_is() -> None:
    room = ChatAudience(bytes_rate=100, bytes_burst=1000)
    room.enter("a")
    room.hear()
    room.say("a", CONTROLS, "x")
    assert problem_of(room.hear()["a"][1:]).code is ErrorCode.TOO_MUCH
    room.now += 10
    room.say("a", CONTROLS)
    assert room.texts("a") == [CONTROLS]


def test_a_clock_that_is_set_back_takes_nothing_from_anybody() -> None:
    room = ChatAudience(bytes_rate=100, bytes_burst=1000)
    room.enter("a")
    room.hear()
    room.now -= 86_400
    room.say("a", "x" * 500, "y" * 400)
    assert len(room.recorded) == 2
    room.now += 86_400
    room.say("a", "z" * 900)
    assert len(room.recorded) == 3


# --- seats of one account -------------------------------------------------------------------


def test_one_account_may_not_take_all_seats() -> None:
    room = ChatAudience(seats_per_account=2)
    for member in ("a1", "a2", "b1"):
        room.enter(member)
    room.hear()
    room.enter("a3")
    problem = problem_of(room.hear()["a3"])
    assert (problem.code, problem.values) == (ErrorCode.TOO_MANY_SEATS, {"seats": 2})
    assert room.dismissed == {"a3": (CloseCode.POLICY, ErrorCode.TOO_MANY_SEATS)}
    assert room.present == ["a1", "a2", "b1"]
    room.leave("a3", "a1")
    room.enter("a4")
    assert room.present == ["a2", "b1", "a4"]


def test_connections_that_are_not_counted_take_no_seat_of_the_account() -> None:
    room = ChatAudience(seats_per_account=1)
    for number in range(5):
        room.do(f"a{number}", EnterChat(ADA, "A", counted=False))
    room.enter("a5")
    assert len(room.present) == 6
    room.enter("a6")
    assert list(room.dismissed) == ["a6"]
    room.leave("a0", "a1", "a5")
    room.enter("a7")
    assert "a7" in room.present


# --- falling asleep -------------------------------------------------------------------------


def test_a_room_sleeps_when_its_last_connection_has_ended() -> None:
    room = ChatAudience()
    room.enter("a1")
    room.enter("a2")
    room.enter("b")
    room.leave("a1", "b")
    assert not room.sleepy
    assert room.do("a2", Leave()) == [
        Record(PeoplePresent(())),
        TellAll(PersonLeft(ROOM, "A")),
        Sleep(),
    ]


def test_a_room_sleeps_when_one_who_never_entered_was_the_last_to_go() -> None:
    room = ChatAudience()
    assert room.do("a", Leave()) == [Sleep()]


def test_who_never_entered_goes_unnoticed_by_the_others() -> None:
    room = ChatAudience()
    room.enter("b")
    assert room.do("a", Leave()) == []


# --- any interleaving -----------------------------------------------------------------------

CAPACITY = 4
SEATS = 2
MEMBERS = [f"{letter}{number}" for letter in "abc" for number in range(3)]
SOMEBODY = st.sampled_from(MEMBERS)


@attrs.define
class Listener:
    """A connection, by the model: whose it is and what it must have heard."""

    user_id: int
    expected: list[Event]


class ChatRoom(RuleBasedStateMachine):
    """A room that falls asleep and is woken, and a model of it: the list of all that was said."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[ChatMessage] = []
        self.granted = 0
        self.room = ChatAudience(CAPACITY)
        self.here: dict[str, Listener] = {}
        self.arrived: list[int] = []  # people, in this order
        self.waiting = 0  # recorded by rooms that sleep again

    @initialize(before=st.integers(0, 60))
    def fill(self, before: int) -> None:
        self.said = [message(seq) for seq in range(1, before + 1)]
        self.wake()

    def wake(self) -> None:
        self.waiting = len(self.said)
        self.granted = len(self.said) + 70
        self.room = ChatAudience(
            CAPACITY,
            last_seq=len(self.said),
            granted=self.granted,
            recent=self.said[-50:],
            seats_per_account=SEATS,
        )
        self.here = {}

    def tell(self, event: Event) -> None:
        for listener in self.here.values():
            listener.expected.append(event)

    @rule(member=SOMEBODY)
    def enter(self, member: str) -> None:
        if member in self.here:
            return
        user_id, name = ord(member[0]), member[0].upper()
        mine = sum(other.user_id == user_id for other in self.here.values())
        if len(self.here) == CAPACITY or mine == SEATS:
            full = len(self.here) == CAPACITY
            self.room.enter(member)
            assert problem_of(self.room.heard.pop(member)).code is (
                ErrorCode.ROOM_FULL if full else ErrorCode.TOO_MANY_SEATS
            )
            assert member in self.room.dismissed
            effects = self.room.do(member, Leave())
            assert effects == []
            return
        first = all(other.user_id != user_id for other in self.here.values())
        self.here[member] = Listener(user_id, list(self.said[-50:]))
        if first:
            self.arrived.append(user_id)
            self.tell(PersonJoined(ROOM, name))
        self.room.enter(member)

    @rule(member=SOMEBODY)
    def leave(self, member: str) -> None:
        gone = self.here.pop(member, None)
        if gone is not None:
            assert self.room.heard.pop(member) == gone.expected
            if all(other.user_id != gone.user_id for other in self.here.values()):
                self.arrived.remove(gone.user_id)
                self.tell(PersonLeft(ROOM, member[0].upper()))
        self.room.leave(member)
        assert self.room.sleepy == (not self.here)
        if self.room.sleepy:
            self.check()
            self.wake()

    @rule(member=SOMEBODY, count=st.integers(1, 3) | st.integers(40, 60))
    def talk(self, member: str, count: int) -> None:
        for _ in range(count):
            text = f"text {len(self.said) + 1}"
            self.room.now += 0.25
            if member in self.here and len(self.said) >= self.granted:
                self.here[member].expected.append(Refusal(Problem(ErrorCode.NOT_NOW)))
            elif member in self.here:
                said = ChatMessage(
                    ROOM,
                    len(self.said) + 1,
                    self.here[member].user_id,
                    member[0].upper(),
                    text,
                    self.room.now,
                )
                self.said.append(said)
                self.tell(said)
            self.room.do(member, Say(text))

    @rule(member=SOMEBODY)
    def blunder(self, member: str) -> None:
        if member in self.here:
            problem = Problem(ErrorCode.NOT_TEXT, "binary")
            self.here[member].expected.append(Refusal(problem))
            self.room.do(member, Reject(problem))

    @rule(count=st.integers(0, 50))
    def grant(self, count: int) -> None:
        self.granted += count
        self.room.do("", GrantNumbers(self.granted))

    @rule(letter=st.sampled_from("abc"))
    def delete_account(self, letter: str) -> None:
        self.said = [
            attrs.evolve(each, author_id=None, author=DELETED_USER)
            if each.author_id == ord(letter)
            else each
            for each in self.said
        ]
        self.room.do("", AnonymiseAuthor(ord(letter)))

    @invariant()
    def check(self) -> None:
        """Nobody has missed anything or heard it twice, and numbers have no gap."""
        for member, listener in self.here.items():
            assert self.room.heard[member] == listener.expected
        assert [each.seq for each in self.said] == [*range(1, len(self.said) + 1)]
        assert self.room.rules.seq == len(self.said)
        assert list(self.room.rules.recent) == self.said[-50:]
        assert [each.seq for each in self.room.recorded] == [
            each.seq for each in self.said[self.waiting :]
        ]
        assert [person.user_id for person in self.room.rules.people] == self.arrived
        assert self.room.published == self.room.rules.people


ChatRoom.TestCase.settings = settings(
    derandomize=True, database=None, deadline=None, max_examples=150, stateful_step_count=40
)
test_no_interleaving_loses_or_doubles_anything = ChatRoom.TestCase
