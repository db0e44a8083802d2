"""JSON in: strictly, whatever comes, and with the offending field named."""

import json
import sys
from enum import StrEnum
from typing import Annotated

import attrs
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import codec
from protocol.errors import ErrorCode, Problem, Refused
from protocol.ids import RoomId
from protocol.limits import TICKET_LENGTH
from protocol.messages import TicketId


@attrs.frozen
class Inner:
    ticket: TicketId


AAAAAA, T = RoomId("aaaaaa"), Inner(TicketId("T"))


@attrs.frozen
class Sample:
    """Has a field of every kind that a message may have."""

    text: str
    count: int = 0
    flag: bool = False
    share: float = 0.0
    room: RoomId = AAAAAA
    inner: Inner = T
    many: list[Inner] = attrs.field(factory=list)


def problem_of(value: object) -> Problem:
    with pytest.raises(Refused) as caught:
        codec.structure(value, Sample, "data")
    assert caught.value.problem.code is ErrorCode.MALFORMED
    return caught.value.problem


# --- loads and dumps ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            "{",
            "}",
            "nul",
            "'a'",
            "{a: 1}",
            "[1,]",
            '{"a":1,}',
            "1 2",
            "// no\n1",
            "\0",
            "01",
        ),
        *("+1", "NaN", "Infinity", "-Infinity", '"\t"', '"\\x41"', "\ufeff{}", '"\\ud800"'),
        *('"\\udc00\\ud800"', "\ud800", '"\udfff"', '{"\\ud800": 1}'),
    ],
)
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="not valid JSON") as caught:
        codec.loads(text)

    assert caught.value.problem.code is ErrorCode.MALFORMED


@pytest.mark.parametrize("depth", [1025, 8000])
@pytest.mark.parametrize(("begin", "end"), [("[", "]"), ('{"a":', "}")])
def test_deep_nesting_is_refused_or_read_but_never_exhausts_the_stack(
    depth: int, begin: str, end: str
) -> None:
    text = begin * depth + "1" + end * depth

    assert depth > sys.getrecursionlimit()
    with pytest.raises(Refused):
        codec.loads(text)


def test_of_a_key_given_twice_the_last_counts() -> None:
    assert codec.loads('{"a": 1, "a": 2}') == {"a": 2}


@given(st.text() | st.text('{}[]",:\\u0d8tfnrasle1-.e ', max_size=60))
def test_reading_any_text_raises_nothing_but_refused(text: str) -> None:
    try:
        value = codec.loads(text)
    except Refused:
        return
    assert codec.loads(codec.dumps(value).decode()) == value


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_what_is_written_is_compact_utf_8_and_reads_the_same(text: str) -> None:
    written = codec.dumps({"a": [text, 1]})

    assert json.loads(written) == {"a": [text, 1]}
    assert written.startswith(b'{"a":["')
    assert orjson.loads(written)["a"][0] == text


# --- structure ------------------------------------------------------------------------------


def test_a_complete_value_becomes_its_class() -> None:
    value = {
        "text": " as it is ",
        "count": -3,
        "flag": True,
        "share": 0.5,
        "room": "Room42",
        "inner": {"ticket": " T-1 "},
        "many": [{"ticket": "T-2"}],
    }

    assert codec.structure(value, Sample, "data") == Sample(
        " as it is ",
        -3,
        flag=True,
        share=0.5,
        room=RoomId("Room42"),
        inner=Inner(TicketId("T-1")),
        many=[Inner(TicketId("T-2"))],
    )


NO_OBJECTS = [None, True, 0, 1.5, "text", "", [], ["text"], [["text", "x"]]]


@pytest.mark.parametrize("value", NO_OBJECTS)
def test_what_is_no_object_is_said_to_be_none(value: object) -> None:
    assert problem_of(value) == Problem(ErrorCode.MALFORMED, "data must be an object", "data")


@pytest.mark.parametrize("value", NO_OBJECTS)
def test_what_is_no_object_further_in_is_named_with_its_path(value: object) -> None:
    problem = problem_of({"text": "", "inner": value})

    assert problem.field == "data.inner"
    assert problem.message == "data.inner must be an object"


WRONG: dict[str, list[object]] = {
    "text": [None, 5, 1.5, True, [], {}, ["a"]],
    "count": [None, "5", 1.5, 1e300, True, [], {}],
    "flag": [None, "true", 0, 1, [], {}],
    "share": [None, "0.5", 1, True, [], {}],
    "room": [None, 5, True, [], {}, "", "abc", "abcdefg", "abcde\n", "abcdé1", "abcde ", "٣٣٣٣٣٣"],
}


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field in WRONG for value in WRONG[field]]
)
def test_nothing_is_coerced_and_the_field_is_named(field: str, value: object) -> None:
    problem = problem_of({"text": "", field: value})

    assert problem.field == f"data.{field}"
    assert problem.message.startswith(f"data.{field} must be ")


def test_an_integer_may_be_written_with_a_fraction_of_nothing() -> None:
    taken = codec.structure({"text": "", "count": 1670.0}, Sample, "data").count

    assert (taken, type(taken)) == (1670, int)


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@attrs.frozen
class Painted:
    colour: Colour


def test_a_member_of_an_enumeration_is_that_and_not_the_string_for_it() -> None:
    assert codec.structure({"colour": "red"}, Painted, "data").colour is Colour.RED


@pytest.mark.parametrize("value", ["green", "RED", ""])
def test_what_is_no_member_of_an_enumeration_is_refused_and_the_members_named(value: str) -> None:
    with pytest.raises(Refused, match=r"data\.colour must be one of red, blue"):
        codec.structure({"colour": value}, Painted, "data")
    with pytest.raises(Refused, match=r"data\.colour must be a string"):
        codec.structure({"colour": 5}, Painted, "data")


def test_a_missing_field_is_named() -> None:
    assert problem_of({}) == Problem(ErrorCode.MALFORMED, "data.text is missing", "data.text")
    assert problem_of({"text": "", "inner": {}}).field == "data.inner.ticket"


def test_an_unknown_field_is_named_the_first_of_several_and_cut_when_long() -> None:
    assert problem_of({"text": "", "z": 1, "b": 2, "": 3}).field == "data."
    assert problem_of({"text": "", "z": 1, "b": 2}).field == "data.b"
    assert problem_of({"text": "", "inner": {"ticket": "T", "x": 1}}).field == "data.inner.x"
    assert problem_of({"text": "", "x" * 16_000: 1}).field == "data." + "x" * TICKET_LENGTH


def test_a_wrong_field_comes_before_an_unknown_one() -> None:
    assert problem_of({"text": 5, "b": 2}).field == "data.text"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from([*attrs.fields_dict(Sample), "ticket", "odd"]), JSON)
    | st.fixed_dictionaries({"text": st.just("")}, optional={"inner": JSON, "many": JSON})
    | JSON
)
def test_any_data_at_all_is_structured_or_refused_with_a_field(value: object) -> None:
    try:
        codec.structure(value, Sample, "data")
    except Refused as refused:
        problem = refused.problem
        assert problem.field is not None
        assert problem.field.startswith("data")
        assert problem.message.startswith(problem.field)


@attrs.frozen
class Listing:
    words: list[str]
    maybe: list[str] | None = None


@pytest.mark.parametrize("field", ["words", "maybe"])
@pytest.mark.parametrize("value", ["ab", {"a": 1}, 5, True, {}])
def test_what_is_no_list_is_not_made_one(field: str, value: object) -> None:
    with pytest.raises(Refused) as refused:
        codec.structure({"words": [], field: value}, Listing, "data")

    message = f"data.{field} must be a list"
    assert refused.value.problem == Problem(ErrorCode.MALFORMED, message, f"data.{field}")


def test_what_is_wrong_in_a_list_is_named_with_its_place() -> None:
    with pytest.raises(Refused) as refused:
        codec.structure({"words": ["a", 5, None]}, Listing, "data")

    assert refused.value.problem.field == "data.words[1]"
    made = codec.structure({"words": ["a"], "maybe": None}, Listing, "data")
    assert made == Listing(["a"])
    assert codec.LENIENT.structure({"words": ["a"], "more": 1}, Listing) == Listing(["a"])


@attrs.frozen
class Choosing:
    """Has fields that may be one thing or another."""

    deck: str | Annotated[list[Annotated[str, "a label"] | Inner], "cards"] | None = None
    value: float | int | None = None


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ({"deck": "poker"}, Choosing("poker")),
        ({"deck": ["1", {"ticket": "T"}]}, Choosing(["1", T])),
        ({"deck": None, "value": None}, Choosing()),
        ({"value": 5}, Choosing(value=5)),
        ({"value": 0.5}, Choosing(value=0.5)),
    ],
)
def test_what_may_be_one_thing_or_another_is_taken_by_its_form(
    given: object, made: Choosing
) -> None:
    assert codec.structure(given, Choosing, "") == made


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"deck": 5}, "deck must be a string or a list or null"),
        ({"deck": {}}, "deck must be a string or a list or null"),
        ({"deck": True}, "deck must be a string or a list or null"),
        ({"deck": ["1", 2]}, "deck[1] must be a string or an object"),
        ({"deck": ["1", None]}, "deck[1] must be a string or an object"),
        ({"deck": [["1"]]}, "deck[0] must be a string or an object"),
        ({"deck": [{}]}, "deck[0].ticket is missing"),
        ({"deck": [{"ticket": 5}]}, "deck[0].ticket must be a string"),
        ({"deck": [{"ticket": "T", "more": 1}]}, "deck[0].more is not known"),
        ({"value": "5"}, "value must be a number or null"),
        ({"value": True}, "value must be a number or null"),
    ],
)
def test_another_form_is_refused_naming_those_that_there_are(given: object, message: str) -> None:
    with pytest.raises(Refused) as refused:
        codec.structure(given, Choosing, "")

    field = message.split()[0]
    assert refused.value.problem == Problem(ErrorCode.MALFORMED, message, field)
