"""The wire format of chat rooms: plain text in, JSON objects out."""

import json
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.chat import DELETED_USER, Chat
from protocol.dialects.gochat import GOCHAT
from protocol.effects import Tell, TellAll, TellOthers
from protocol.errors import ErrorCode, Problem
from protocol.ids import MemberId, RoomId
from protocol.messages import (
    AnonymiseAuthor,
    ChatMessage,
    EnterChat,
    Event,
    Leave,
    PersonJoined,
    PersonLeft,
    Refusal,
    Reject,
    RoomClosed,
    RoomCreated,
    Say,
)

ROOM = RoomId("lobby")
PLAIN = settings(derandomize=True, database=None, deadline=None)
# What arrives in a text message is UTF-8, hence has no halves of surrogate pairs.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


def payload(frame: bytes) -> bytes:
    """Cut off the head of a frame, which must be whole, unmasked and text."""
    assert frame[0] == 0x81
    size, at = frame[1], 2
    if size == 126:
        size, at = int.from_bytes(frame[2:4], "big"), 4
    elif size == 127:
        size, at = int.from_bytes(frame[2:10], "big"), 10
    assert len(frame) == at + size
    return frame[at:]


def encoded(event: Event) -> dict[str, Any]:
    frame = GOCHAT.encode(event)
    assert frame is not None
    found = json.loads(payload(frame))
    assert isinstance(found, dict)
    for name in ("context", "roomid", "username", "type"):
        assert isinstance(found[name], str), name
    return found


def test_a_message_has_its_content_the_room_and_the_username_and_more() -> None:
    said = ChatMessage(ROOM, 7, 3, "Ada", "hello", 1_700_000_000.25)
    assert encoded(said) == {
        "type": "message",
        "context": "hello",
        "roomid": "lobby",
        "username": "Ada",
        "userid": 3,
        "seq": 7,
        "at": "2023-11-14T22:13:20.250+00:00",
    }


def test_a_message_of_a_deleted_account_has_nobodys_number() -> None:
    said = ChatMessage(ROOM, 7, None, DELETED_USER, "hello", 0.0)
    found = encoded(said)
    assert found["userid"] is None
    assert found["username"] == "deleted user"


@pytest.mark.parametrize(
    ("seconds", "milliseconds"), [(1.0004, 0), (1.0006, 1), (1.9996, 1000), (1.9994, 999)]
)
def test_the_time_is_rounded_to_the_millisecond(seconds: float, milliseconds: int) -> None:
    at = datetime.fromisoformat(encoded(ChatMessage(ROOM, 1, 1, "A", "x", seconds))["at"])
    assert round(at.timestamp() * 1000) == 1000 + milliseconds


@pytest.mark.parametrize(
    ("event", "kind", "words"),
    [
        (PersonJoined(ROOM, "Ada"), "join", "Ada has joined the room"),
        (PersonLeft(ROOM, "Ada"), "leave", "Ada has left the room"),
    ],
)
def test_a_notice_names_whom_it_is_about(event: Event, kind: str, words: str) -> None:
    assert encoded(event) == {
        "type": kind,
        "context": words,
        "roomid": "lobby",
        "username": "Ada",
    }


def test_a_refusal_says_why_and_is_nobodys() -> None:
    found = encoded(Refusal(Problem(ErrorCode.TOO_FAST, "too many messages")))
    assert found == {
        "type": "refusal",
        "context": "too many messages",
        "roomid": "",
        "username": "",
    }


def test_the_end_of_a_room_has_a_reason() -> None:
    found = encoded(RoomClosed("it has been deleted"))
    assert found["type"] == "closed"
    assert "it has been deleted" in found["context"]


def test_events_of_other_rooms_are_declined() -> None:
    assert GOCHAT.encode(RoomCreated(ROOM)) is None


def test_the_same_dialect_speaks_to_all() -> None:
    assert GOCHAT.encode(RoomClosed("x")) == GOCHAT.encode(RoomClosed("x"))


@PLAIN
@given(text=st.text())
def test_any_text_is_what_is_said(text: str) -> None:
    assert GOCHAT.decode(text) == Say(text)


@PLAIN
@given(text=TEXTS, name=TEXTS, room=TEXTS)
def test_any_text_survives(text: str, name: str, room: str) -> None:
    found = encoded(ChatMessage(RoomId(room), 1, 1, name, text, 0.0))
    assert (found["context"], found["username"], found["roomid"]) == (text, name, room)


COMMANDS = st.one_of(
    st.builds(EnterChat, st.integers(1, 3), TEXTS),
    st.builds(Say, TEXTS),
    st.builds(AnonymiseAuthor, st.integers(1, 3)),
    st.just(Leave()),
    st.builds(Reject, st.just(Problem(ErrorCode.NOT_TEXT, "binary")), st.booleans()),
)


@PLAIN
@given(st.lists(st.tuples(st.sampled_from(["x", "y", "z"]), COMMANDS), max_size=20))
def test_whatever_the_rules_say_can_be_written(steps: list[tuple[str, Any]]) -> None:
    rules = Chat(ROOM, 2, granted=15)
    inside: set[str] = set()
    for member, command in steps:
        if isinstance(command, EnterChat):
            if member in inside:
                continue
            inside.add(member)
        if isinstance(command, Leave):
            inside.discard(member)
        for effect in rules.apply(command, MemberId(member), 0.0):
            if isinstance(effect, Tell | TellAll | TellOthers):
                assert encoded(effect.event)
