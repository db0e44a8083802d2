"""What is published of ``parley.v1``: that it is valid, complete, and as strict as the server."""

import hashlib
import json
import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from types import NoneType
from typing import Any, Final, NewType, get_args, get_origin

import attrs
import jsonschema_rs
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import changes
from protocol.asyncapi import asyncapi
from protocol.dialects import parley_v1
from protocol.dialects.parley_v1 import PARLEY_CHAT_V1, PARLEY_V1, read_chat_hello, read_hello
from protocol.docstrings import Docstrings, attribute_docs
from protocol.errors import ErrorCode, Problem, Refused
from protocol.frames import encode_text
from protocol.schema import (
    ENDPOINTS,
    ESTIMATION,
    Endpoint,
    Message,
    Schemas,
    Side,
    json_schema,
    messages,
)
from tests.parley_v1_frames import assert_valid, validators

VENDOR: Final = Path(__file__).parent.parent / "vendor" / "asyncapi"

SCHEMA: Final = json_schema()
DOCUMENT: Final = orjson.loads(orjson.dumps(asyncapi("1.2.3")))
ALL: Final = messages(ESTIMATION)

HELLO: Final[dict[str, Any]] = {"type": "hello", "name": "Ann", "role": "voter"}
RESUME: Final[dict[str, Any]] = {
    "type": "hello",
    "resume": {"token": "m1.x", "seq": 3, "epoch": "1.0"},
}
REQUESTS: Final[list[dict[str, Any]]] = [
    {"type": "begin", "ref": 1, "ticket": "T-1"},
    {"type": "vote", "ref": 2, "round": 1, "card": "5"},
    {"type": "retract", "ref": 6, "round": 1},
    {"type": "reveal", "ref": 3, "round": 1},
    {"type": "estimate", "ref": 7, "round": 1, "card": "5"},
    {"type": "close", "ref": 4},
    {"type": "leave", "ref": 5},
    {"type": "say", "ref": 6, "text": "Hello\nall"},
    {"type": "unsay", "ref": 7, "id": 1},
    {"type": "ping"},
    {"type": "react", "emoji": "heart"},
]


def named(message: Message) -> str:
    return message.name


# --- complete -----------------------------------------------------------------------------------


def test_the_schema_is_valid_json_schema() -> None:
    jsonschema_rs.meta.validate(SCHEMA)


def test_every_type_of_the_dialect_has_a_definition() -> None:
    told = {**parley_v1.CHANGES, **parley_v1.NOTICES, "error": parley_v1.Error}

    assert {each.word: each.kind for each in ALL if each.side is Side.SERVER} == told
    assert {each.word for each in ALL if each.numbered} == set(parley_v1.REQUESTS)
    assert {each.word for each in ALL if each.side is Side.CLIENT and not each.numbered} == {
        *("hello", "ping", "react"),
    }
    for side in Side:
        group = SCHEMA["$defs"][f"estimation.{side}"]["oneOf"]
        names = [f"#/$defs/{each.name}" for each in ALL if each.side is side]
        assert [each["$ref"] for each in group] == names


@pytest.mark.parametrize("message", ALL, ids=named)
def test_every_field_is_there(message: Message) -> None:
    schema = SCHEMA["$defs"][message.name]

    fields = [field.name for field in attrs.fields(message.kind)]
    front = ["type", "ref"] if message.numbered else ["type"]
    assert list(schema["properties"]) == front + fields
    assert schema["properties"]["type"] == {"const": message.word}
    if message.side is Side.SERVER:
        assert schema["required"] == front + fields
    assert schema["description"]


def test_what_the_source_says_of_classes_fields_and_names_is_there() -> None:
    definitions = SCHEMA["$defs"]

    seq = definitions["Resume"]["properties"]["seq"]["description"]
    assert seq.endswith("`null` if it has kept no picture.")
    assert "`left`: The member has left for good" in definitions["Ending"]["description"]
    assert definitions["server.saved"]["description"].startswith("All that happened up to")
    assert "it grows" in definitions["server.begun"]["properties"]["seq"]["description"]
    assert "opaque" in definitions["server.left"]["properties"]["member"]["description"]
    assert "``" not in json.dumps(SCHEMA)


def test_a_code_may_be_one_that_is_yet_to_come() -> None:
    code = SCHEMA["$defs"]["server.error"]["properties"]["code"]

    assert code == {"type": "string", "examples": [each.value for each in ErrorCode]}


def test_strings_below_attributes_are_found_and_no_others() -> None:
    source = '''
class Ann:
    """A class."""
    one: int
    """The ``first``
    one; ``None`` of :class:`~a.b.Sort`."""
    two: int = 2
    three = 3
    """The third."""
    def four(self): """A method."""
'''
    assert attribute_docs(source) == {
        "Ann": {"one": "The `first` one; `null` of `Sort`.", "three": "The third."}
    }
    assert attribute_docs("") == {}
    assert Docstrings().of_attributes(int) == {}  # has no source


def test_what_has_no_form_in_json_is_not_described() -> None:
    with pytest.raises(TypeError, match="no form in JSON"):
        Schemas("#/").of(set[int], Side.SERVER)


# --- several kinds of rooms ---------------------------------------------------------------------


@attrs.frozen
class Other:
    """Stands for the snapshot of another kind of room."""

    inner: "Card"


@attrs.frozen
class Card:
    """Has the name of another class."""

    colour: str | None


OTHER: Final = Endpoint(
    kind="other",
    path="/v1/others/{room_id}",
    summary="Others",
    requests={},
    events={"ack": changes.Ack, "snapshot": Other},
)


def test_what_two_kinds_of_rooms_share_is_described_once_and_the_rest_kept_apart() -> None:
    both = (ESTIMATION, OTHER)

    schema = json_schema(both)

    names = [each.name for each in messages(OTHER, both)]
    assert names == [
        *("client.hello", "client.ping", "server.ack", "server.other.snapshot", "server.error"),
    ]
    assert set(names) <= set(schema["$defs"])
    assert "server.snapshot" in {each.name for each in messages(ESTIMATION, both)}
    assert list(schema["$defs"]["Card"]["properties"]) == ["label", "value", "kind"]
    inner = schema["$defs"]["server.other.snapshot"]["properties"]["inner"]
    assert inner == {"$ref": "#/$defs/CardOfServer"}
    assert schema["$defs"]["CardOfServer"]["properties"]["colour"] == {"type": ["string", "null"]}
    jsonschema_rs.meta.validate(schema)


# --- as strict as the server --------------------------------------------------------------------


def instances(wanted: Any) -> st.SearchStrategy[Any]:
    """Draw anything of a type that the server may have to write."""
    simple: dict[Any, st.SearchStrategy[Any]] = {
        str: st.text(max_size=5),
        int: st.integers(-(2**53), 2**53),
        float: st.floats(allow_nan=False, allow_infinity=False),
        bool: st.booleans(),
        NoneType: st.none(),
    }
    if wanted in simple:
        return simple[wanted]
    if isinstance(wanted, NewType):
        return st.just("Room42")  # keeps the rules of all of them
    if isinstance(wanted, type) and issubclass(wanted, StrEnum):
        return st.sampled_from(wanted)
    if isinstance(wanted, type) and attrs.has(wanted):
        fields = attrs.fields(attrs.resolve_types(wanted))
        return st.builds(wanted, **{field.name: instances(field.type) for field in fields})
    if get_origin(wanted) is tuple:
        return st.lists(instances(get_args(wanted)[0]), max_size=2).map(tuple)
    return st.one_of([instances(part) for part in get_args(wanted)])


@pytest.mark.parametrize("word", [each.word for each in ALL if each.side is Side.SERVER])
@given(data=st.data())
def test_whatever_the_server_can_write_is_valid(word: str, data: st.DataObject) -> None:
    if word == "error":
        code = data.draw(st.sampled_from(ErrorCode))
        field = data.draw(instances(str | None))
        ref = data.draw(st.integers(1, parley_v1.LARGEST_REF))
        assert PARLEY_V1.encode(changes.Failure(ref, Problem(code, "no", field))) is not None
        return
    notice = data.draw(instances(ESTIMATION.events[word]))
    frame = parley_v1.write(notice) if word in parley_v1.NOTICES else PARLEY_V1.encode(notice)
    assert frame is not None


def is_valid(message: Any) -> bool:
    validator = validators().get((Side.CLIENT.value, message.get("type")))
    return validator is not None and bool(validator.is_valid(message))


def _read_any_hello(text: str) -> None:
    """Take what either kind of room takes."""
    try:
        read_hello(text)
    except Refused:
        read_chat_hello(text)


def _decode_any(text: str) -> None:
    """Take what either kind of room takes under a name that both have, such as `say`."""
    try:
        PARLEY_V1.decode(text)
    except Refused:
        if orjson.loads(text).get("type") not in parley_v1.REQUESTS:
            raise
        PARLEY_CHAT_V1.decode(text)


def is_taken(message: Any) -> bool:
    text = orjson.dumps(message).decode()
    try:
        if message.get("type") == "hello":
            _read_any_hello(text)
        else:
            _decode_any(text)
    except Refused:
        return False
    return True


anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 2**53),
    st.just(1.5),
    st.text(max_size=3),
    st.just("x" * 101),
    st.lists(st.integers(0, 9), max_size=1),
    st.dictionaries(st.sampled_from(["token", "seq", "epoch", "more"]), st.text(max_size=2)),
)


@st.composite
def nearly_right(draw: st.DrawFn) -> dict[str, Any]:
    """Draw what a client might say, with a field changed, added or missing."""
    message = dict(draw(st.sampled_from([HELLO, RESUME, *REQUESTS])))
    fields = st.sampled_from(["ref", "owner_key", "token", "resume", "ticket", "more"])
    for field in draw(st.lists(st.sampled_from([*message]) | fields, max_size=2)):
        if draw(st.integers(0, 3)):
            message[field] = draw(anything)
        else:
            message.pop(field, None)
    return message


@settings(max_examples=1000)
@given(nearly_right())
def test_a_message_is_valid_if_and_only_if_the_server_takes_it(message: dict[str, Any]) -> None:
    if type(message.get("type")) in {str, NoneType}:
        assert is_valid(message) == is_taken(message), message


@pytest.mark.parametrize("message", [HELLO, RESUME, *REQUESTS], ids=lambda each: each["type"])
def test_an_example_of_each_message_is_valid(message: dict[str, Any]) -> None:
    assert is_valid(message)
    assert is_taken(message)
    assert not is_valid(message | {"more": 1})
    assert not is_taken(message | {"more": 1})


# --- the watch over all tests -------------------------------------------------------------------


def test_a_frame_that_is_not_as_published_fails_the_test_that_it_is_in() -> None:
    with pytest.raises(AssertionError, match=r"more.*'ack'|ack.*more|more"):
        assert_valid("server", '{"type":"ack","ref":1,"seq":1,"more":2}')
    with pytest.raises(AssertionError, match="lets the server say"):
        assert_valid("server", '{"type":"nonsense"}')
    with pytest.raises(AssertionError, match="integer"):
        PARLEY_V1.encode(changes.Saved("one"))  # type: ignore[arg-type]
    assert encode_text(b"{}")  # that of other dialects is not watched


# --- AsyncAPI -----------------------------------------------------------------------------------


def test_the_vendored_schema_is_that_of_its_manifest() -> None:
    manifest = json.loads((VENDOR / "manifest.json").read_text("utf-8"))

    assert {path.name for path in VENDOR.iterdir()} == {
        *("manifest.json", *(each["name"] for each in manifest["files"])),
    }
    for each in manifest["files"]:
        content = (VENDOR / each["name"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == each["sha256"]


def test_the_document_is_valid_asyncapi() -> None:
    published = json.loads((VENDOR / "asyncapi-3.0.0.json").read_text("utf-8"))
    validator = jsonschema_rs.validator_for(published)

    assert [error.message for error in validator.iter_errors(DOCUMENT)] == []
    assert not validator.is_valid(DOCUMENT | {"channels": 1})


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for each in value.values():
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def resolve(document: Any, reference: str) -> Any:
    for part in reference.removeprefix("#/").split("/"):
        document = document[part.replace("~1", "/")]
    return document


@pytest.mark.parametrize("document", [SCHEMA, DOCUMENT], ids=["JSON Schema", "AsyncAPI"])
def test_every_reference_leads_somewhere(document: Any) -> None:
    found = set(references(document))

    assert found
    for reference in found:
        assert resolve(document, reference)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.kind)
def test_the_document_says_where_to_connect_and_who_says_what(endpoint: Endpoint) -> None:
    channel = DOCUMENT["channels"][endpoint.kind]
    there = {"$ref": f"#/channels/{endpoint.kind}"}
    operations = [each for each in DOCUMENT["operations"].values() if each["channel"] == there]
    every = messages(endpoint)

    assert channel["address"] == endpoint.path
    assert set(channel["parameters"]) == set(re.findall(r"\{(\w+)\}", channel["address"]))
    assert set(channel["messages"]) == {each.name for each in every}
    said: dict[str, set[str]] = {"receive": set(), "send": set()}
    for operation in operations:
        found = [each["$ref"].rpartition("/")[2] for each in operation["messages"]]
        answered = operation.get("reply", {}).get("messages", ())
        said[operation["action"]].update(found)
        said["send"].update(each["$ref"].rpartition("/")[2] for each in answered)
        assert all(each["$ref"].startswith(there["$ref"] + "/") for each in answered)
    assert said == {
        "receive": {each.name for each in every if each.side is Side.CLIENT},
        "send": {each.name for each in every if each.side is Side.SERVER},
    }


def test_a_payload_is_what_the_json_schema_says() -> None:
    moved = json.loads(json.dumps(SCHEMA["$defs"]).replace("#/$defs/", "#/components/schemas/"))

    for each in ALL:
        payload = resolve(
            DOCUMENT, DOCUMENT["components"]["messages"][each.name]["payload"]["$ref"]
        )
        assert payload == moved[each.name]
