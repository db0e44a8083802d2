"""The comparison of all connections at the end."""

from typing import Any

import pytest

from scripts.botlib.chat.checker import Checker
from scripts.botlib.chat.record import Record
from scripts.botlib.chat.verdict import judge_clients, judge_reference, judge_stored, judge_visit
from scripts.botlib.chat.wire import Notice
from tests.scripts.test_chat_checker import ACCOUNTS, AT, notice, said

# In the order of the room: Zoë comes, is away once, and is gone; Bo is there to the end.
STORY = [
    notice("join", "Ann"),
    said(1, "a"),
    notice("join", "Zoë"),
    said(2, "b"),
    said(3, "c", "Zoë"),
    notice("leave", "Zoë"),
    said(4, "d"),
    notice("join", "Bo"),
    notice("join", "Zoë"),
    said(5, "e"),
    notice("leave", "Zoë"),
    notice("leave", "Bo"),
]
SENT = {"a": "Ann", "b": "Ann", "c": "Zoë", "d": "Ann", "e": "Ann"}


class Room:
    def __init__(self) -> None:
        self.record = Record("r", ACCOUNTS)
        for text, author in SENT.items():
            self.record.sending(text, author)
        self.host = Checker(self.record, "Ann")
        self.hear(self.host, STORY)

    def hear(self, checker: Checker, messages: list[str]) -> Checker:
        for message in messages:
            checker.feed(message)
        return checker

    def visit(self, name: str, messages: list[str], *, second: bool = False) -> Checker:
        checker = Checker(self.record, name, second=second)
        checker.floor = 0
        return self.hear(checker, messages)

    def rules(self, visitor: Checker, number: int = 0) -> list[str]:
        return [rule for rule, _ in judge_visit(self.host, visitor, number)]


@pytest.fixture
def room() -> Room:
    return Room()


def test_a_room_where_all_is_well(room: Room) -> None:
    before = [said(number, text, SENT[text]) for number, text in enumerate("abcd", 1)]
    first = room.visit("Zoë", [said(1, "a"), *STORY[2:5]])
    again = room.visit("Zoë", [*before, *STORY[8:10]])
    last = room.visit("Bo", [*before, *STORY[7:11]])

    assert room.rules(first) == []
    assert room.rules(again, 1) == []
    assert room.rules(last) == []
    assert list(judge_reference(room.host, {"Zoë": 2, "Bo": 1})) == []


# --- the reference ----------------------------------------------------------------------------


def test_a_lost_message_is_noticed(room: Room) -> None:
    room.record.sending("f", "Bo")

    assert [rule for rule, _ in judge_reference(room.host, {})] == ["lost"]


@pytest.mark.parametrize(
    ("visits", "rules"),
    [
        ({"Zoë": 1}, ["join-notices", "leave-notices"]),
        ({"Zoë": 3}, ["join-notices", "leave-notices"]),
        ({"Zoë": 2, "Bo": 1}, []),
    ],
)
def test_notices_are_counted(room: Room, visits: dict[str, int], rules: list[str]) -> None:
    assert [rule for rule, _ in judge_reference(room.host, visits)] == rules


@pytest.mark.parametrize("kind", ["join", "leave"])
def test_a_missing_notice_is_noticed(room: Room, kind: str) -> None:
    room.host.seen.remove(Notice("r", kind, "Bo"))

    rules = [rule for rule, _ in judge_reference(room.host, {"Zoë": 2, "Bo": 1})]
    assert rules == [f"{kind}-notices"]


# --- visits -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "messages",
    [
        [said(1, "a"), STORY[2], STORY[4], STORY[3]],  # in another order
        [said(1, "a"), STORY[2], STORY[4]],  # one is missing
        [said(1, "a"), STORY[2], STORY[3], STORY[4], STORY[6]],  # a notice is missing
        [said(1, "a"), STORY[2], notice("join", "Bo"), *STORY[3:5]],  # a notice at another place
        [said(1, "a"), STORY[2], *STORY[3:], notice("join", "Bo")],  # more than there was
    ],
)
def test_another_order_is_noticed(room: Room, messages: list[str]) -> None:
    assert room.rules(room.visit("Zoë", messages)) == ["order"]


def test_a_history_of_another_moment_is_noticed(room: Room) -> None:
    assert room.rules(room.visit("Zoë", [said(1, "a"), said(2, "b"), STORY[2]])) == ["history"]
    assert room.rules(room.visit("Zoë", [STORY[2]])) == ["history"]


def test_the_second_coming_is_compared_with_the_second(room: Room) -> None:
    assert room.rules(room.visit("Zoë", [said(1, "a"), *STORY[2:5]]), 1) == ["order"]


@pytest.mark.parametrize(
    ("messages", "rules"),
    [
        ([], []),
        ([said(1, "a"), said(2, "b"), said(3, "c", "Zoë"), STORY[5]], []),
        ([said(1, "a"), said(2, "b"), said(3, "c", "Zoë"), STORY[7]], ["order"]),
        ([said(1, "a"), said(2, "b"), STORY[5]], ["order"]),
        ([said(2, "b"), said(3, "c", "Zoë")], ["order"]),
        ([said(2, "b"), said(1, "a")], ["order"]),
        ([notice("leave", "Bo")], ["order"]),
    ],
)
def test_a_second_connection_is_told_a_piece(
    room: Room, messages: list[str], rules: list[str]
) -> None:
    assert room.rules(room.visit("Bo", messages, second=True)) == rules


def test_a_second_connection_is_told_all_since_it_has_come(room: Room) -> None:
    late = room.visit("Bo", [said(1, "a"), said(2, "b"), STORY[5]], second=True)
    late.floor = 3

    assert room.rules(late) == ["order"]


# --- what is kept, and who is there -----------------------------------------------------------


def entry(seq: int, text: str, /, **more: Any) -> dict[str, Any]:
    author = SENT[text]
    fields = {"seq": seq, "author": author, "author_id": ACCOUNTS[author], "text": text, "at": AT}
    return fields | more


KEPT = [entry(seq, text) for seq, text in zip(range(5, 0, -1), "edcba", strict=True)]


def test_what_is_kept_is_what_was_heard(room: Room) -> None:
    assert list(judge_stored(room.record, KEPT)) == []
    written = [each | {"at": AT.replace("00.000+00:00", "00Z")} for each in KEPT]
    assert list(judge_stored(room.record, written)) == []


@pytest.mark.parametrize(
    "kept",
    [
        [],
        KEPT[:-1],
        KEPT[1:],
        KEPT[::-1],
        [*KEPT, KEPT[-1]],
        [KEPT[0], *KEPT],
        *([KEPT[0] | {field: value}, *KEPT[1:]] for field, value in [
            ("seq", 6), ("seq", "5"), ("author", "Bo"), ("author_id", 3), ("author_id", None),
            ("text", "E"), ("text", None), ("at", "2031-01-01T00:00:00Z"), ("at", "soon"),
        ]),
        [None, *KEPT[1:]],
        [{"seq": 5}, *KEPT[1:]],
    ],
)  # fmt: skip
def test_what_is_kept_otherwise_is_noticed(room: Room, kept: list[Any]) -> None:
    assert [rule for rule, _ in judge_stored(room.record, kept)] == ["stored"]


ALL = [{"id": number, "username": name} for name, number in ACCOUNTS.items()]


@pytest.mark.parametrize(
    ("present", "rules"),
    [
        (ALL, []),
        (ALL[::-1], []),
        (ALL[1:], ["clients"]),
        ([*ALL, ALL[0]], ["clients"]),
        ([*ALL, {"id": 9, "username": "Eve"}], ["clients"]),
        ([{"id": 2, "username": "Ann"}, *ALL[1:]], ["clients"]),
        ([{"id": 1}, *ALL[1:]], ["clients"]),
        ([{"id": [1], "username": "Ann"}, *ALL[1:]], ["clients"]),
        (["Ann", *ALL[1:]], ["clients"]),
    ],
)
def test_everybody_is_listed_once(present: list[Any], rules: list[str]) -> None:
    assert [rule for rule, _ in judge_clients(ACCOUNTS, present)] == rules
