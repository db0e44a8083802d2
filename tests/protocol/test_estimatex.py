"""The dialect of EstimateX, against wire.md section 1: queries, commands and events."""

import json
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, get_args
from urllib.parse import quote, urlencode

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import TextMessage

from protocol import messages
from protocol.deck import Deck
from protocol.dialects.base import Dialect
from protocol.dialects.estimatex import (
    ESTIMATEX,
    CreateRoom,
    JoinRoom,
    no_such_room,
    parse_query,
    refusal_text,
)
from protocol.errors import ErrorCode, Problem, Refused
from protocol.ids import MemberId, RoomId
from protocol.lasting import TimerKind
from protocol.messages import (
    Announce,
    BeginVoting,
    CastVote,
    Command,
    EstimationEvent,
    Event,
    RevealVotes,
    TicketId,
    Vote,
)

ROOM = RoomId("Room42")
T1 = TicketId("T-1")
LARGEST = 500

P = ParamSpec("P")
R = TypeVar("R")


def attempt(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R | Problem:
    """Call, and let nothing through but a result or what was refused."""
    try:
        return function(*args, **kwargs)
    except Refused as caught:
        return caught.problem


# --- the query ------------------------------------------------------------------------------


def query(**parameters: object) -> str:
    """Make a query that creates a room, but for ``parameters``; ``None`` leaves one out."""
    given_ = {"action": "CREATE_ROOM", "name": "Ann", "max_room_capacity": 5, **parameters}
    return urlencode({key: value for key, value in given_.items() if value is not None})


def join(**parameters: object) -> str:
    return query(
        **{"action": "JOIN_ROOM", "max_room_capacity": None, "room_id": ROOM, **parameters}
    )


def refused(text: str) -> Problem:
    with pytest.raises(Refused) as caught:
        parse_query(text, LARGEST)
    return caught.value.problem


@pytest.mark.parametrize("action", ["CREATE_ROOM", "create_room", "Create_Room", "  CREATE_ROOM\t"])
def test_create_room_in_any_case_and_trimmed(action: str) -> None:
    assert parse_query(query(action=action), LARGEST) == CreateRoom("Ann", 5)


@pytest.mark.parametrize("action", ["JOIN_ROOM", "join_room", "jOiN_rOoM", "\u00a0JOIN_ROOM "])
def test_join_room_in_any_case_and_trimmed(action: str) -> None:
    assert parse_query(join(action=action), LARGEST) == JoinRoom("Ann", ROOM)


@pytest.mark.parametrize(
    "action",
    [None, "", "JOIN", "JOIN ROOM", "JOIN-ROOM", "JOIN_ROOMS", "jo\u0131n_room", "JOIN_ROOM\0"],
)
def test_no_other_action_is_taken(action: str | None) -> None:
    assert refused(join(action=action)).field == "action"


@pytest.mark.parametrize(
    "text", ["", "&", "&&=&", "=", "?", "%", "a", "\0", "/ws?action=JOIN_ROOM"]
)
def test_a_query_without_an_action_says_so(text: str) -> None:
    assert refused(text).field == "action"


@pytest.mark.parametrize(
    "text", ["action=%ff", "%ff=1", "action=%c3%28", "name=%ed%a0%80", "a=%80"]
)
def test_a_query_that_is_no_utf_8_is_refused(text: str) -> None:
    assert refused(f"{text}&{join()}").field == "query"


def test_a_query_of_very_many_parameters_is_refused() -> None:
    assert refused(join() + "&a=1" * 20).field == "query"
    assert parse_query(join() + "&a=1" * 17, LARGEST) == JoinRoom("Ann", ROOM)


def test_parameters_that_are_not_known_are_ignored() -> None:
    assert parse_query(join(max_room_capacity="many", lang="en"), LARGEST) == JoinRoom("Ann", ROOM)
    assert parse_query(query(room_id="?", x=""), LARGEST) == CreateRoom("Ann", 5)


def test_of_a_parameter_given_twice_the_first_counts() -> None:
    text = join() + "&name=Bob&room_id=Room43&action=CREATE_ROOM"

    assert parse_query(text, LARGEST) == JoinRoom("Ann", ROOM)
    assert refused("name=&" + join()).field == "name"


@pytest.mark.parametrize(
    ("given_", "name"),
    [
        ("Ann", "Ann"),
        ("%20Ann+B%C3%A4r%20", "Ann Bär"),
        ("%F0%9F%98%80", "😀"),
        ("a%26b%3Dc%25", "a&b=c%"),
        ("100%", "100%"),
        ("%zz", "%zz"),
        ("a;b", "a;b"),
        ("Bär", "Bär"),
        ("a" * 50, "a" * 50),
        ("+" + "a" * 50 + "+", "a" * 50),
        (quote("😀" * 50), "😀" * 50),
    ],
)
def test_a_name_is_percent_decoded_and_trimmed(given_: str, name: str) -> None:
    assert parse_query(f"name={given_}&{join(name=None)}", LARGEST) == JoinRoom(name, ROOM)


@pytest.mark.parametrize(
    "name",
    [
        *(None, "", " ", "\t\n", "\u3000", "a" * 51, "😀" * 51, "a\0b", "a\nb", "a\x7fb", "a\x85b"),
        *("a\u2028b", "a\x1b[2Jb"),
    ],
)
def test_a_name_that_does_not_do_is_refused(name: str | None) -> None:
    for text in (query(name=name), join(name=name)):
        problem = refused(text)
        assert problem.code is ErrorCode.MALFORMED
        assert problem.field == "name"
        assert problem.message.startswith("name must ")


def test_a_lone_surrogate_in_a_query_is_refused() -> None:
    assert refused(f"name=a\ud800&{join(name=None)}").field == "name"


@pytest.mark.parametrize(
    ("text", "capacity"),
    [("2", 2), ("500", 500), (" 7 ", 7), ("+7", 7), ("007", 7), ("0" * 16_000 + "2", 2)],
)
def test_a_capacity_is_an_integer_within_the_limits(text: str, capacity: int) -> None:
    assert parse_query(query(max_room_capacity=text), LARGEST) == CreateRoom("Ann", capacity)


@pytest.mark.parametrize(
    "text",
    [
        *(None, "", "0", "1", "501", "-2", "++2", "+", "+ 2", "2.0", "2e1", "0x10", "1_0", "1 0"),
        *("1,0", "\u0663", "\uff13", "²", "½", "ten", "nan", "inf", "2\0"),
        *("1" * 10, "9" * 16_000, "0" * 16_000),
    ],
)
def test_any_other_capacity_is_refused_with_the_limits(text: str | None) -> None:
    problem = refused(query(max_room_capacity=text))

    assert problem.field == "max_room_capacity"
    assert problem.message == "max_room_capacity must be an integer from 2 to 500"


def test_the_largest_capacity_is_the_operators() -> None:
    assert parse_query(query(max_room_capacity=501), 501) == CreateRoom("Ann", 501)
    with pytest.raises(Refused, match="from 2 to 4"):
        parse_query(query(), 4)


@pytest.mark.parametrize("room_id", ["abcdef", "ABCDEF", "012345", " Room42 "])
def test_a_room_id_is_taken_as_it_is_but_trimmed(room_id: str) -> None:
    assert parse_query(join(room_id=room_id), LARGEST) == JoinRoom("Ann", RoomId(room_id.strip()))


@pytest.mark.parametrize("room_id", [None, "", "  "])
def test_joining_takes_a_room_id(room_id: str | None) -> None:
    problem = refused(join(room_id=room_id))

    assert (problem.code, problem.field) == (ErrorCode.MALFORMED, "room_id")


@pytest.mark.parametrize(
    "room_id", ["abcde", "abcdefg", "abc-ef", "abcdé1", "٣٣٣٣٣٣", "a b c ", "\0" * 6]
)
def test_a_room_id_that_can_be_nobodys_is_that_of_no_room(room_id: str) -> None:
    problem = refused(join(room_id=room_id))

    assert (problem.code, problem.field) == (ErrorCode.NO_SUCH_ROOM, "room_id")
    assert problem.message == "there is no room of this id"


def test_a_room_that_does_not_exist_is_named() -> None:
    assert no_such_room(ROOM).problem.message == "there is no room Room42"


@given(st.text() | st.text("%0123456789abcdefACTIONaction_=&+; "), st.integers(2, 10**6))
def test_any_query_is_parsed_or_refused_with_a_field(text: str, largest: int) -> None:
    assert isinstance(attempt(parse_query, text, largest), (CreateRoom, JoinRoom, Problem))


@given(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.sampled_from(["create_room", "JOIN_ROOM"]),
)
def test_any_values_are_taken_or_refused_by_the_rules(name: str, other: str, action: str) -> None:
    text = query(name=name, action=action, max_room_capacity=other, room_id=other)
    wish = attempt(parse_query, text, LARGEST)
    if isinstance(wish, Problem):
        assert wish.field in {"name", "max_room_capacity", "room_id"}
    else:
        assert wish.name == name.strip()
        assert 0 < len(wish.name) <= 50


# --- commands -------------------------------------------------------------------------------

VALID: dict[str, tuple[dict[str, Any], Command]] = {
    "JOIN_ROOM": ({"room_id": "Room42"}, Announce(ROOM)),
    "BEGIN_VOTING": ({"ticket_id": "T-1"}, BeginVoting(T1)),
    "MEMBER_VOTED": ({"ticket_id": "T-1", "vote": "½"}, CastVote(T1, "½")),
    "REVEAL_VOTES": ({"ticket_id": "T-1"}, RevealVotes(T1)),
}
FIELDS = [(kind, field) for kind, (data, _) in VALID.items() for field in data]


def complaint(text: str | object) -> Problem:
    with pytest.raises(Refused) as caught:
        ESTIMATEX.decode(text if isinstance(text, str) else json.dumps(text))
    assert caught.value.problem.code is ErrorCode.MALFORMED
    return caught.value.problem


@pytest.mark.parametrize("kind", VALID)
def test_each_command_of_the_table_is_understood(kind: str) -> None:
    data, command = VALID[kind]

    assert ESTIMATEX.decode(json.dumps({"type": kind, "data": data})) == command
    assert ESTIMATEX.decode(json.dumps({"data": data, "type": kind}, indent=4)) == command
    assert ESTIMATEX.decode(json.dumps({"type": kind, "data": data}, ensure_ascii=False)) == command


@pytest.mark.parametrize("text", ["null", "true", "5", '"JOIN_ROOM"', "[]", '[{"type":1}]', "1e5"])
def test_json_that_is_no_object_is_refused(text: str) -> None:
    assert complaint(text) == Problem(ErrorCode.MALFORMED, "the message must be a JSON object")


@pytest.mark.parametrize("text", ["", "hello", "{", "\ufeff{}", "NaN", '{"type":NaN}', '"\\ud800"'])
def test_what_is_no_json_is_refused(text: str) -> None:
    assert complaint(text).message == "the message is not valid JSON"


@pytest.mark.parametrize(
    "kind",
    [
        *(None, True, 5, 1.5, [], ["JOIN_ROOM"], {}, {"JOIN_ROOM": 1}),
        *("", "join_room", "JOIN_ROOM ", "CREATE_ROOM", "VOTES_REVEALED", "__class__"),
    ],
)
def test_an_unknown_type_is_refused_and_the_known_ones_are_listed(kind: object) -> None:
    problem = complaint({"type": kind, "data": {}})

    assert problem.field == "type"
    assert all(known in problem.message for known in VALID)


def test_type_and_data_must_be_there() -> None:
    assert complaint({}).message == "type is missing"
    assert complaint({"data": {}}).message == "type is missing"
    assert complaint({"type": "JOIN_ROOM"}) == Problem(
        ErrorCode.MALFORMED, "data is missing", "data"
    )


@pytest.mark.parametrize("kind", VALID)
@pytest.mark.parametrize("data", [None, True, 5, 1.5, "", "room_id", [], ["room_id"], [{}]])
def test_data_must_be_an_object(kind: str, data: object) -> None:
    assert complaint({"type": kind, "data": data}) == Problem(
        ErrorCode.MALFORMED, "data must be an object", "data"
    )


@pytest.mark.parametrize(("kind", "field"), FIELDS)
def test_a_missing_field_is_named(kind: str, field: str) -> None:
    data = {key: value for key, value in VALID[kind][0].items() if key != field}

    problem = complaint({"type": kind, "data": data})

    assert problem == Problem(ErrorCode.MALFORMED, f"data.{field} is missing", f"data.{field}")


@pytest.mark.parametrize(("kind", "field"), FIELDS)
@pytest.mark.parametrize("value", [None, True, False, 5, 0, 1.5, [], ["5"], {}, {"a": "5"}])
def test_a_field_that_is_no_string_is_named(kind: str, field: str, value: object) -> None:
    problem = complaint({"type": kind, "data": {**VALID[kind][0], field: value}})

    assert problem.field == f"data.{field}"
    assert problem.message == f"data.{field} must be a string"


@pytest.mark.parametrize("number", ["9" * 30, "-0", "1e308", "0." + "1" * 5000, "9" * 300])
def test_huge_numbers_are_refused_like_small_ones(number: str) -> None:
    text = f'{{"type":"MEMBER_VOTED","data":{{"ticket_id":"T","vote":{number}}}}}'

    assert complaint(text).field in {"data.vote", None}


@pytest.mark.parametrize("kind", VALID)
def test_unknown_fields_are_refused_at_both_levels(kind: str) -> None:
    data = VALID[kind][0]

    assert complaint({"type": kind, "data": data, "id": 1, "z": 2}).field == "id"
    assert complaint({"type": kind, "data": {**data, "member_id": "x"}}) == Problem(
        ErrorCode.MALFORMED, "data.member_id is not known", "data.member_id"
    )
    long = complaint({"type": kind, "data": data, "x" * 16_000: 1})
    assert len(long.message) < 200


def test_of_a_field_given_twice_the_last_counts() -> None:
    text = '{"type":"BEGIN_VOTING","type":"REVEAL_VOTES","data":{"ticket_id":1,"ticket_id":"T-1"}}'

    assert ESTIMATEX.decode(text) == RevealVotes(T1)


@pytest.mark.parametrize("depth", [100, 1000, 7000])
def test_deep_nesting_is_refused_wherever_it_is(depth: int) -> None:
    deep = "[" * depth + "]" * depth

    for text in (
        deep,
        f'{{"type":{deep},"data":{{}}}}',
        f'{{"type":"JOIN_ROOM","data":{deep}}}',
        f'{{"type":"JOIN_ROOM","data":{{"room_id":{deep}}}}}',
        f'{{"type":"JOIN_ROOM","data":{{"room_id":"Room42","x":{deep}}}}}',
    ):
        complaint(text)


@pytest.mark.parametrize("kind", ["BEGIN_VOTING", "MEMBER_VOTED", "REVEAL_VOTES"])
def test_a_ticket_id_is_trimmed_and_bounded(kind: str) -> None:
    def ticket_of(ticket: str) -> object:
        data = {**VALID[kind][0], "ticket_id": ticket}
        command = ESTIMATEX.decode(json.dumps({"type": kind, "data": data}))
        return attrs.asdict(command)["ticket_id"]

    assert ticket_of(" \tT-1\n") == "T-1"
    assert ticket_of("é" * 100) == "é" * 100
    assert ticket_of("https://tickets.example/browse/PROJ-12?x=1#y z") != ""
    for ticket in ("", "  ", "a" * 101, "a\nb", "a\0b", "a\x7fb", "a\u2028b", "a\u009bb"):
        with pytest.raises(Refused) as caught:
            ticket_of(ticket)
        assert caught.value.problem.field == "data.ticket_id"


def test_a_vote_is_not_trimmed_for_the_rules_compare_it_with_the_deck() -> None:
    text = json.dumps({"type": "MEMBER_VOTED", "data": {"ticket_id": "T-1", "vote": " 5 "}})

    assert ESTIMATEX.decode(text) == CastVote(T1, " 5 ")


@pytest.mark.parametrize("room_id", ["", "abc", "abcdefg", "abcdé1", " Room42", "Room42\n"])
def test_a_room_id_must_look_like_one(room_id: str) -> None:
    assert complaint({"type": "JOIN_ROOM", "data": {"room_id": room_id}}).field == "data.room_id"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
NEARLY = st.fixed_dictionaries(
    {"type": st.sampled_from([*VALID]) | JSON},
    optional={
        "data": JSON
        | st.fixed_dictionaries(
            {}, optional={key: st.text() | JSON for key in ("room_id", "ticket_id", "vote", "x")}
        ),
        "x": JSON,
    },
)


@given(st.text() | JSON.map(json.dumps) | NEARLY.map(json.dumps))
def test_any_text_is_a_command_or_refused(text: str) -> None:
    command = attempt(ESTIMATEX.decode, text)
    if isinstance(command, Problem):
        assert command.code is ErrorCode.MALFORMED
        # Whatever it quotes can be sent.
        assert ESTIMATEX.encode(messages.Refusal(command))
    else:
        assert isinstance(command, (Announce, BeginVoting, CastVote, RevealVotes))


# --- events ---------------------------------------------------------------------------------

PROBLEM = Problem(ErrorCode.NOT_ADMIN, "only the admin may begin a vote")
VOTES = (
    Vote(MemberId("m1"), "Ann", "½"),
    Vote(MemberId("m2"), "Bob", "?"),
    Vote(MemberId("m3"), "Bob", "13"),
)

EXAMPLES: dict[type, Event] = {
    type(event): event
    for event in (
        messages.RoomCreated(ROOM),
        messages.Welcome(ROOM),
        messages.MemberPresent("Ann", admin=True),
        messages.MemberJoined("Bob", admin=False),
        messages.MemberLeft("Bob"),
        messages.CapacityReached(5),
        messages.TicketPrompt(first=True),
        messages.VoteRequested(T1),
        messages.VoteCast("Bob", T1),
        messages.VoteRetracted("Bob", T1),
        messages.VoteChanged("Bob", T1, "5"),
        messages.EstimateSet(T1, "5"),
        messages.Spoken("Bob", "Hello"),
        messages.VotingCompleted(T1),
        messages.RevealPrompt(T1),
        messages.VotesRevealed(T1, VOTES),
        messages.AwaitingTicket(),
        messages.RoleTaken("Bob", votes=False),
        messages.OwnerNamed("Bob"),
        messages.NobodyLeads(),
        messages.MemberRenamed("Bob", "Ann (2)"),
        messages.SeatsAdded(9),
        messages.Reminded("Ann", T1),
        messages.TimerSet(TimerKind.VOTING, 90),
        messages.TimerOver(TimerKind.DISCUSSION),
        messages.Refusal(PROBLEM),
        messages.RoomClosed("the admin has left"),
    )
}

# wire.md's message table, server to client.
DATA_FIELDS = {
    "CREATE_ROOM": {"room_id"},
    "ROOM_JOIN_UPDATES": {"message"},
    "ROOM_CAPACITY_REACHED": {"message"},
    "BEGIN_VOTING_PROMPT": {"message"},
    "ASK_FOR_VOTE": {"ticket_id"},
    "VOTING_COMPLETED": {"ticket_id", "message"},
    "REVEAL_VOTES_PROMPT": {"ticket_id", "message"},
    "VOTES_REVEALED": {"ticket_id", "client_vote_choice_map"},
    "AWAITING_ADMIN_VOTE_START": {"message"},
}
TYPE_OF: dict[type, str | None] = {
    messages.RoomCreated: "CREATE_ROOM",
    messages.Welcome: "ROOM_JOIN_UPDATES",
    messages.MemberPresent: "ROOM_JOIN_UPDATES",
    messages.MemberJoined: "ROOM_JOIN_UPDATES",
    messages.MemberLeft: "ROOM_JOIN_UPDATES",
    messages.CapacityReached: "ROOM_CAPACITY_REACHED",
    messages.TicketPrompt: "BEGIN_VOTING_PROMPT",
    messages.VoteRequested: "ASK_FOR_VOTE",
    messages.VoteCast: None,
    messages.VoteRetracted: None,
    messages.VoteChanged: None,
    messages.EstimateSet: None,
    messages.Spoken: None,
    messages.VotingCompleted: "VOTING_COMPLETED",
    messages.RevealPrompt: "REVEAL_VOTES_PROMPT",
    messages.VotesRevealed: "VOTES_REVEALED",
    messages.AwaitingTicket: "AWAITING_ADMIN_VOTE_START",
    messages.RoleTaken: None,
    messages.OwnerNamed: None,
    messages.NobodyLeads: None,
    messages.MemberRenamed: None,
    messages.SeatsAdded: None,
    messages.Reminded: None,
    messages.TimerSet: None,
    messages.TimerOver: None,
    messages.Refusal: None,
    messages.RoomClosed: "ROOM_JOIN_UPDATES",
}


def sent(event: Event) -> str:
    """Encode an event and read it as a client does, with a library that is not ours."""
    client = Connection(ConnectionType.CLIENT)
    client.receive_data(ESTIMATEX.encode(event) or b"")
    (message,) = client.events()
    assert isinstance(message, TextMessage)
    assert message.message_finished
    return message.data


def told(event: Event) -> dict[str, Any]:
    message = json.loads(sent(event))
    assert set(message) == {"type", "data"}
    data = message["data"]
    assert isinstance(data, dict)
    return data


def test_every_event_there_is_has_an_example_here_and_an_encoding() -> None:
    # An event added to the union fails here until the dialect and these tests know it.
    assert set(get_args(EstimationEvent)) == set(EXAMPLES) == set(TYPE_OF)
    for event in EXAMPLES.values():
        assert sent(event)


def test_the_instance_for_all_is_a_dialect() -> None:
    dialect: Dialect = ESTIMATEX

    assert dialect.decode('{"type":"JOIN_ROOM","data":{"room_id":"Room42"}}') == Announce(ROOM)


@pytest.mark.parametrize("event", EXAMPLES.values(), ids=lambda event: type(event).__name__)
def test_each_event_has_its_type_and_fields_or_is_plain_text(event: Event) -> None:
    text = sent(event)
    kind = TYPE_OF[type(event)]

    if kind is None:
        with pytest.raises(json.JSONDecodeError):
            json.loads(text)
    else:
        message = json.loads(text)
        assert list(message) == ["type", "data"]
        assert message["type"] == kind
        assert set(message["data"]) == DATA_FIELDS[kind]


def test_no_type_but_the_nine_is_sent_and_each_of_them_is() -> None:
    assert {kind for kind in TYPE_OF.values() if kind} == set(DATA_FIELDS)
    assert len(DATA_FIELDS) == 9


def test_the_messages_say_who_and_where() -> None:
    assert told(messages.RoomCreated(ROOM)) == {"room_id": "Room42"}
    assert told(messages.Welcome(ROOM)) == {"message": "You are in room Room42"}
    assert told(messages.Welcome(ROOM, "k-3_y")) == {
        "message": "You are in room Room42; its results: /rooms/Room42/results?key=k-3_y"
    }
    assert told(messages.Welcome(ROOM, "k-3_y", Deck(["S", "XL"], {"XL": 8.0}))) == {
        "message": "You are in room Room42; its cards: S XL; "
        "its results: /rooms/Room42/results?key=k-3_y",
        "cards": ["S", ["XL", 8.0]],
    }
    assert "Ann (admin)" in told(messages.MemberPresent("Ann", admin=True))["message"]
    assert "admin" not in told(messages.MemberPresent("Bob", admin=False))["message"]
    assert "Ann (admin)" in told(messages.MemberJoined("Ann", admin=True))["message"]
    assert "Bob" in told(messages.MemberLeft("Bob"))["message"]
    assert "5" in told(messages.CapacityReached(5))["message"]
    assert "first" in told(messages.TicketPrompt(first=True))["message"]
    assert "next" in told(messages.TicketPrompt(first=False))["message"]
    assert "T-1" in told(messages.VotingCompleted(T1))["message"]
    assert told(messages.RevealPrompt(T1))["ticket_id"] == "T-1"
    assert "gone" in told(messages.RoomClosed("the admin is gone"))["message"]


def test_votes_are_a_map_from_member_id_with_capitals_as_written() -> None:
    assert told(messages.VotesRevealed(T1, VOTES)) == {
        "ticket_id": "T-1",
        "client_vote_choice_map": {
            "m1": {"Value": "½", "MemberID": "m1", "MemberName": "Ann"},
            "m2": {"Value": "?", "MemberID": "m2", "MemberName": "Bob"},
            "m3": {"Value": "13", "MemberID": "m3", "MemberName": "Bob"},
        },
    }


def test_a_vote_cast_says_who_and_on_what() -> None:
    assert sent(messages.VoteCast("Bob", T1)) == "* Bob has voted on ticket T-1"


def test_a_timer_is_told_in_words() -> None:
    assert sent(messages.TimerSet(TimerKind.VOTING, 5)) == "* 0:05 min are left for voting"
    assert (
        sent(messages.TimerSet(TimerKind.DISCUSSION, 3_725))
        == "* 62:05 min are left for the discussion"
    )
    assert sent(messages.TimerOver(TimerKind.VOTING)) == "* The time for voting is up"


def test_what_is_said_is_one_line_whatever_lines_it_has() -> None:
    assert sent(messages.Spoken("Bob", "Hello")) == "* Bob: Hello"
    forged = "Hi\n! The room is closed\r\n\t* Ann\u2028has voted"
    assert sent(messages.Spoken("Bob", forged)) == "* Bob: Hi ! The room is closed * Ann has voted"


def test_events_of_other_rooms_are_declined() -> None:
    assert ESTIMATEX.encode(messages.PersonLeft(RoomId("lobby"), "Ada")) is None


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (Problem(ErrorCode.NOT_ANNOUNCED), "! Join the room with JOIN_ROOM first."),
        (
            Problem(ErrorCode.NOT_IN_DECK, field="vote", values={"cards": "S {L}"}),
            "! data.vote must be a card of this room (S {L}).",
        ),
        (
            Problem(
                ErrorCode.WRONG_TICKET,
                field="ticket_id",
                values={"ticket_id": "{given}", "given": "{0}"},
            ),
            "! The vote is on ticket {given}, not on {0}.",
        ),
        (Problem(ErrorCode.NOT_ADMIN, values={"deed": "reveal"}), "! Only the admin may reveal "),
    ],
)
def test_this_dialect_words_what_the_rules_refuse(problem: Problem, words: str) -> None:
    assert refusal_text(problem).startswith(words)
    assert sent(messages.Refusal(problem)) == refusal_text(problem)


@pytest.mark.parametrize(
    "name",
    [
        "Ann (admin)",
        "(ADMIN)",
        "Ann ( Admin )",
        "Ann \N{FULLWIDTH LEFT PARENTHESIS}admin\N{FULLWIDTH RIGHT PARENTHESIS}",
        "Ann (ad\N{ZERO WIDTH SPACE}min)",
        "Ann (\uff41\uff44\uff4d\uff49\uff4e)\N{WORD JOINER}",
    ],
)
def test_nobody_is_called_as_the_admin_is_shown(name: str) -> None:
    problem = attempt(parse_query, urlencode({"action": "CREATE_ROOM", "name": name}), 500)
    assert isinstance(problem, Problem)
    assert (problem.field, problem.code) == ("name", ErrorCode.MALFORMED)
    assert "(admin)" in problem.message


@pytest.mark.parametrize("name", ["Admin", "Ann (admins)", "(admin) Ann", "admin)"])
def test_who_is_only_called_something_like_it_may_come(name: str) -> None:
    query = urlencode({"action": "JOIN_ROOM", "name": name, "room_id": ROOM})
    assert parse_query(query, 500) == JoinRoom(name, ROOM)


def test_a_refusal_is_a_sentence() -> None:
    assert refusal_text(PROBLEM) == "! Only the admin may begin a vote."
    assert sent(messages.Refusal(PROBLEM)) == refusal_text(PROBLEM)
    assert refusal_text(Problem(ErrorCode.MALFORMED)) == "! Malformed."


LINE = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(
    ['{"type":"X","data":{}}', "{}", '"', "5", "null", "[]", "\n{}", '","type":"X', "\\"]
)


@given(LINE, LINE)
def test_plain_text_never_reads_as_json_whatever_names_are_chosen(name: str, other: str) -> None:
    for event in (
        messages.VoteCast(name, TicketId(other)),
        messages.Spoken(name, other),
        messages.Refusal(Problem(ErrorCode.MALFORMED, name, other)),
    ):
        text = sent(event)
        assert text[0] in "*!"
        with pytest.raises(json.JSONDecodeError):
            json.loads(text)


@given(LINE, LINE, LINE, st.booleans())
def test_no_name_or_ticket_breaks_out_of_its_field(
    name: str, other: str, value: str, admin: bool
) -> None:
    vote = Vote(MemberId(other), name, value)
    ticket = TicketId(other)

    assert name in told(messages.MemberPresent(name, admin))["message"]
    assert name in told(messages.MemberJoined(name, admin))["message"]
    assert name in told(messages.MemberLeft(name))["message"]
    assert told(messages.VoteRequested(ticket)) == {"ticket_id": other}
    assert told(messages.VotesRevealed(ticket, (vote,))) == {
        "ticket_id": other,
        "client_vote_choice_map": {other: {"Value": value, "MemberID": other, "MemberName": name}},
    }
