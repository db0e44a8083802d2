"""Every rule of the chat checker, by a conversation that breaks it and one that does not."""

import json
from typing import Any

import pytest

from scripts.botlib.chat.checker import HISTORY, Checker
from scripts.botlib.chat.record import Record

ACCOUNTS = {"Ann": 1, "Zoë": 2, "Bo": 3}
AT = "2030-01-01T00:00:00.000+00:00"


def said(seq: int, text: str, username: str = "Ann", /, **more: Any) -> str:
    fields: dict[str, Any] = {
        "type": "message",
        "context": text,
        "roomid": "r",
        "username": username,
    }
    fields |= {"seq": seq, "userid": ACCOUNTS.get(username), "at": AT}
    return json.dumps(fields | more)


def notice(kind: str, username: str, /, **more: Any) -> str:
    fields = {"type": kind, "context": "!", "roomid": "r", "username": username}
    return json.dumps(fields | more)


class Talk:
    """A room in which Ann is judged, and others have sent what they have."""

    def __init__(self, *, before: int = 0, second: bool = False) -> None:
        self.record = Record("r", ACCOUNTS)
        self.other = Checker(self.record, "Zoë")
        for seq in range(1, before + 1):
            self.send(f"old {seq}")
            self.other.feed(said(seq, f"old {seq}", "Zoë"))
        self.other.violations.clear()
        self.checker = Checker(self.record, "Ann", second=second)

    def send(self, text: str, author: str = "Zoë") -> None:
        self.record.sending(text, author)

    def hear(self, *messages: str | bytes) -> "Talk":
        for message in messages:
            self.checker.feed(message)
        return self

    def history(self, first: int, last: int) -> "Talk":
        return self.hear(*(said(seq, f"old {seq}", "Zoë") for seq in range(first, last + 1)))

    def enter(self) -> "Talk":
        return self.hear(notice("join", "Ann"))

    @property
    def rules(self) -> list[str]:
        return [violation.rule for violation in self.checker.violations]


@pytest.fixture
def talk() -> Talk:
    return Talk().enter()


# --- what is right ----------------------------------------------------------------------------


def test_a_whole_conversation_is_fine(talk: Talk) -> None:
    talk.hear(notice("join", "Zoë"))
    talk.checker.sending("one")
    talk.send("two")
    talk.checker.sending("three")
    talk.hear(said(1, "one"), said(2, "two", "Zoë"), said(3, "three"))
    talk.hear(notice("leave", "Zoë"), notice("join", "Zoë"), notice("leave", "Bo"))

    assert talk.rules == []
    assert talk.checker.heard == 2
    assert talk.checker.pending == 0
    assert len(talk.checker.seen) == 8


@pytest.mark.parametrize("before", [1, HISTORY - 1, HISTORY, HISTORY + 1, 3 * HISTORY])
def test_history_and_then_live_is_fine(before: int) -> None:
    talk = Talk(before=before)
    talk.history(max(1, before - HISTORY + 1), before).enter()
    talk.send("new")
    talk.hear(said(before + 1, "new", "Zoë"))

    assert talk.rules == []
    assert talk.checker.entered
    assert talk.checker.history == min(HISTORY, before)


def test_what_was_said_since_the_connection_was_begun_may_be_history() -> None:
    talk = Talk(before=60)
    talk.send("new")
    talk.history(12, 60).hear(said(61, "new", "Zoë")).enter()

    assert talk.rules == []


def test_a_second_connection_gets_no_notice_of_its_own_joining() -> None:
    talk = Talk(before=2, second=True)
    talk.history(1, 2).hear(notice("join", "Zoë"))
    talk.send("new")
    talk.hear(said(3, "new", "Zoë"), notice("leave", "Zoë"))

    assert talk.rules == []


def test_fields_that_nobody_knows_are_ignored(talk: Talk) -> None:
    talk.send("hello")
    talk.hear(said(1, "hello", "Zoë", mood="fine"), notice("join", "Zoë", mood="fine"))

    assert talk.rules == []


# --- shapes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "hello",
        "[]",
        '"hello"',
        "{",
        '{"type": "message", "type": "message"}',
        said(1, "x", seq=float("nan")),
        said(1, "x", seq="1"),
        said(1, "x", seq=True),
        said(1, "x", seq=1.0),
        said(1, "x", seq=None),
        said(0, "x"),
        said(1, "x", context=None),
        said(1, "x", roomid=7),
        said(1, "x", username=None),
        said(1, "x", userid="1"),
        said(1, "x", at=0),
        said(1, "x", type="ping"),
        said(1, "x", type=None),
        "[" * 100_000,
    ],
    ids=lambda raw: raw[:60],
)
def test_what_is_no_message_is_malformed(talk: Talk, raw: str) -> None:
    talk.send("x", "Ann")

    assert talk.hear(raw).rules == ["malformed"]


@pytest.mark.parametrize("field", ["type", "context", "roomid", "username", "seq", "at"])
def test_a_message_without_a_field_is_malformed(talk: Talk, field: str) -> None:
    talk.send("x", "Ann")
    fields = json.loads(said(1, "x"))
    del fields[field]

    assert talk.hear(json.dumps(fields)).rules == ["malformed"]


def test_binary_messages_are_none(talk: Talk) -> None:
    assert talk.hear(b"{}").rules == ["binary"]


@pytest.mark.parametrize("kind", ["refusal", "closed"])
def test_refusals_and_closing_are_undeserved(talk: Talk, kind: str) -> None:
    assert talk.hear(notice(kind, "", roomid="")).rules == [kind]


@pytest.mark.parametrize("raw", [said(1, "x", roomid="s"), notice("join", "Zoë", roomid="s")])
def test_messages_of_another_room_do_not_belong_here(talk: Talk, raw: str) -> None:
    talk.send("x", "Ann")

    assert talk.hear(raw).rules == ["room"]


# --- numbers and contents ---------------------------------------------------------------------


def test_a_gap_is_noticed(talk: Talk) -> None:
    for text in "ab":
        talk.send(text)

    assert talk.hear(said(1, "a", "Zoë"), said(3, "b", "Zoë")).rules == ["seq-gap"]


@pytest.mark.parametrize("seq", [1, 2])
def test_a_number_that_comes_again_is_noticed(talk: Talk, seq: int) -> None:
    for text in "abc":
        talk.send(text)
    talk.hear(said(1, "a", "Zoë"), said(2, "b", "Zoë"))

    assert "seq-repeated" in talk.hear(said(seq, "c", "Zoë")).rules


def test_a_message_that_comes_twice_is_noticed(talk: Talk) -> None:
    talk.send("a")

    assert talk.hear(said(1, "a", "Zoë"), said(2, "a", "Zoë")).rules == ["doubled"]


def test_a_text_that_nobody_has_sent_is_noticed(talk: Talk) -> None:
    talk.send("a ")

    assert talk.hear(said(1, "a", "Zoë")).rules == ["unsent"]


@pytest.mark.parametrize(
    ("changed", "rule"),
    [({"username": "Bo"}, "author"), ({"userid": 3}, "author-id"), ({"userid": None}, "author-id")],
)
def test_a_wrong_author_is_noticed(talk: Talk, changed: dict[str, Any], rule: str) -> None:
    talk.send("a")

    assert talk.hear(said(1, "a", "Zoë", **changed)).rules == [rule]


@pytest.mark.parametrize("changed", [{"at": "2031-01-01T00:00:00.000+00:00"}, {"seq": 2}])
def test_others_are_told_the_same(talk: Talk, changed: dict[str, Any]) -> None:
    for text in "ab":
        talk.send(text)
    talk.other.feed(said(1, "a", "Zoë"))
    talk.other.feed(said(2, "b", "Zoë"))
    text = "b" if changed.get("seq") else "a"

    assert talk.hear(said(1, text, "Zoë") if text == "b" else said(1, "a", "Zoë", **changed)).rules


def test_another_text_under_a_number_is_a_disagreement(talk: Talk) -> None:
    for text in "ab":
        talk.send(text)
    talk.other.feed(said(1, "a", "Zoë"))

    assert talk.hear(said(1, "b", "Zoë")).rules == ["disagreement"]


def test_own_messages_come_back_in_order(talk: Talk) -> None:
    talk.checker.sending("a")
    talk.checker.sending("b")

    assert talk.hear(said(1, "b"), said(2, "a")).rules == ["own-order"]
    assert talk.checker.pending == 1


# --- history ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "first", "last"),
    [
        (10, 2, 10),  # the first is missing
        (10, 1, 9),  # the last is missing
        (60, 12, 60),  # one too few
        (60, 10, 60),  # one too many
        (60, 10, 59),  # the last is missing
        (60, 61, 60),  # none
        (0, 1, 1),  # from nowhere
    ],
)
def test_a_wrong_history_is_noticed(before: int, first: int, last: int) -> None:
    talk = Talk(before=before)
    talk.history(first, last).enter()

    assert {"history", "unsent"} & set(talk.rules)


def test_a_history_that_is_too_long_is_noticed_in_the_end() -> None:
    talk = Talk(before=60)
    talk.send("new")
    talk.history(11, 60).hear(said(61, "new", "Zoë"))
    assert talk.rules == []

    assert talk.enter().rules == ["history"]


def test_a_history_that_begins_too_late_is_noticed_at_once() -> None:
    assert Talk(before=60, second=True).history(12, 12).rules == ["history"]


def test_a_history_that_begins_too_early_is_noticed_at_once() -> None:
    assert Talk(before=60, second=True).history(10, 10).rules == ["history"]


def test_without_history_the_first_number_is_one(talk: Talk) -> None:
    for text in "ab":
        talk.send(text)

    assert talk.hear(said(2, "b", "Zoë")).rules == ["history", "history"]


def test_a_gap_between_history_and_live_is_noticed() -> None:
    talk = Talk(before=3)
    talk.history(1, 3).enter()
    for text in "ab":
        talk.send(text)

    assert talk.hear(said(5, "b", "Zoë")).rules == ["seq-gap"]


# --- coming and going -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("notices", "rules"),
    [
        ([("join", "Zoë"), ("join", "Zoë")], ["joined-twice"]),
        ([("leave", "Zoë"), ("leave", "Zoë")], ["left-twice"]),
        ([("join", "Ann")], ["joined-twice"]),
        ([("leave", "Ann")], ["left-while-there"]),
        ([("join", "Eve")], ["stranger"]),
        ([("leave", "")], ["stranger"]),
    ],
)
def test_notices_come_once_per_person(
    talk: Talk, notices: list[tuple[str, str]], rules: list[str]
) -> None:
    assert talk.hear(*(notice(*each) for each in notices)).rules == rules


@pytest.mark.parametrize(
    ("kind", "rule"), [("join", "joined-twice"), ("leave", "left-while-there")]
)
def test_a_second_connection_is_no_coming_and_going(kind: str, rule: str) -> None:
    assert Talk(second=True).hear(notice(kind, "Ann")).rules == [rule]


def test_history_has_no_notices() -> None:
    assert Talk().hear(notice("join", "Zoë")).enter().rules == ["notice-in-history"]


def test_nobody_leaves_before_joining() -> None:
    assert Talk().hear(notice("leave", "Ann")).rules == ["left-while-there"]
