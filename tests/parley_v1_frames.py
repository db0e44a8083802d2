"""Holds every message of ``parley.v1`` that passes in a test against the published schema.

``conftest.py`` calls :func:`watch`: then whatever this process says as a server, and whatever it
takes from a client, is held against it. Tests that talk to another process call
:func:`assert_valid` themselves.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import jsonschema_rs
import orjson
import pytest

from protocol.dialects import parley_v1
from protocol.schema import ENDPOINTS, Side, json_schema, messages


def assert_valid(side: str, text: str | bytes) -> None:
    """Make sure that one side may say this; the server no more than is published, either."""
    message = orjson.loads(text)
    validator = validators().get((side, message["type"]))
    assert validator is not None, f"no endpoint of protocol.schema lets the {side} say {text!r}"
    for error in validator.iter_errors(message):
        raise AssertionError(f"{error.message} at {list(error.instance_path)} in {text!r}")


@cache
def validators() -> dict[tuple[str, str], jsonschema_rs.Validator]:
    """Make what judges each type of message."""
    definitions = closed(json_schema()["$defs"])
    named: dict[tuple[str, str], set[str]] = {}
    for endpoint in ENDPOINTS:
        for each in messages(endpoint):
            named.setdefault((each.side.value, each.word), set()).add(each.name)
    return {
        said: jsonschema_rs.validator_for(
            {"anyOf": [{"$ref": f"#/$defs/{name}"} for name in names], "$defs": definitions}
            if len(names) > 1
            else {"$ref": f"#/$defs/{min(names)}", "$defs": definitions}
        )
        for said, names in named.items()
    }


def closed(schema: Any) -> Any:
    """Forbid in a schema all that it does not name: clients allow it for what may come later."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(value) for key, value in schema.items()}
    return found | {"additionalProperties": False} if schema.get("type") == "object" else found


def watch() -> None:
    """Judge every message that this process writes as a server, or takes from a client."""
    patch = pytest.MonkeyPatch()
    encode, decode = parley_v1.encode_text, parley_v1.ParleyV1.decode  # type: ignore[attr-defined]

    def encoding(payload: bytes) -> Any:
        assert_valid(Side.SERVER, payload)
        return encode(payload)

    def decoding(dialect: parley_v1.ParleyV1, text: str) -> Any:
        command = decode(dialect, text)
        assert_valid(Side.CLIENT, text)
        return command

    def greeting(hello: Callable[[str], Any]) -> Callable[[str], Any]:
        def read(text: str) -> Any:
            said = hello(text)
            assert_valid(Side.CLIENT, text)
            return said

        return read

    wrapped: list[tuple[object, str, Callable[..., Any]]] = [
        (parley_v1, "encode_text", encoding),
        (parley_v1.ParleyV1, "decode", decoding),
        (parley_v1, "read_hello", greeting(parley_v1.read_hello)),
        (parley_v1, "read_chat_hello", greeting(parley_v1.read_chat_hello)),
    ]
    for owner, name, function in wrapped:
        patch.setattr(owner, name, function)
