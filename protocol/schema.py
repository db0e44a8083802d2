"""JSON Schema (2020-12) of every message of ``parley.v1``, made from the classes it is written in.

The tables of the dialect say which messages there are. What a client says is closed, as the
server refuses fields that it does not know; what the server says is open, as it may say more.
"""

from collections.abc import Iterator, Mapping
from enum import Enum, StrEnum
from types import NoneType, UnionType
from typing import Any, Final, NewType, Union, get_args, get_origin

import attrs

from protocol import chat_picture, greeting, lasting
from protocol.dialects import parley_v1
from protocol.docstrings import Docstrings
from protocol.ids import (
    CHAT_ROOM_ID_PATTERN,
    ROOM_ID_LENGTH,
    MemberId,
    MemberName,
    Passcode,
    RemarkText,
    RoomId,
    TicketId,
)
from protocol.limits import (
    NAME_LENGTH,
    PASSCODE_LENGTH,
    REMARK_LENGTH,
    SHORTEST_PASSCODE,
    TICKET_LENGTH,
)
from protocol.text import LINE_PATTERN, PROSE_PATTERN

Json = dict[str, Any]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


class Side(StrEnum):
    """Who says something."""

    CLIENT = "client"
    SERVER = "server"


@attrs.frozen(kw_only=True)
class Endpoint:
    """Where rooms of one kind are, and what is said in them."""

    kind: str
    path: str
    summary: str
    requests: Mapping[str, type]
    events: Mapping[str, type]
    """Changes and notices."""
    signals: Mapping[str, type] = {}
    """What is said without a ``ref``, beside the ping."""
    hello: type = greeting.Hello
    """What a client says first."""


ESTIMATION: Final = Endpoint(
    kind="estimation",
    path="/v1/rooms/{room_id}",
    summary="Estimation rooms",
    requests=parley_v1.REQUESTS,
    events={**parley_v1.CHANGES, **parley_v1.NOTICES},
    signals=parley_v1.SIGNALS,
)

CHAT: Final = Endpoint(
    kind="chat",
    path="/v1/chats/{room_id}",
    summary="A chat room",
    requests=parley_v1.CHAT_REQUESTS,
    events={**parley_v1.CHAT_CHANGES, **parley_v1.CHAT_NOTICES},
    hello=greeting.ChatHello,
)

ENDPOINTS: Final = (ESTIMATION, CHAT)
"""All that speak ``parley.v1``."""


@attrs.frozen
class Message:
    """One message, as it is named in the documents."""

    name: str
    side: Side
    word: str
    """Its ``type`` on the wire."""
    kind: type
    numbered: bool = False
    """Whether it has a ``ref``, and is answered."""


_SCALARS: Final[Mapping[object, Json]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    NoneType: {"type": "null"},
}

_NEW_TYPES: Final[Mapping[object, Json]] = {
    RoomId: {"pattern": f"^[A-Za-z0-9]{{{ROOM_ID_LENGTH}}}$"},
    MemberId: {"description": "Of a member; opaque, and never used again."},
    MemberName: {"minLength": 1, "maxLength": NAME_LENGTH, "pattern": LINE_PATTERN},
    TicketId: {"minLength": 1, "maxLength": TICKET_LENGTH, "pattern": LINE_PATTERN},
    Passcode: {
        "minLength": SHORTEST_PASSCODE,
        "maxLength": PASSCODE_LENGTH,
        "pattern": LINE_PATTERN,
    },
    RemarkText: {"minLength": 1, "maxLength": REMARK_LENGTH, "pattern": PROSE_PATTERN},
}

_BOUNDS: Final[Mapping[tuple[type, str], Json]] = {
    (chat_picture.ChatPicture, "room_id"): {"pattern": CHAT_ROOM_ID_PATTERN},
    (greeting.Hello, "nonce"): {
        "minLength": parley_v1.SHORTEST_NONCE,
        "maxLength": parley_v1.LONGEST_NONCE,
    },
    (greeting.Hello, "name"): {
        "minLength": 1,
        "maxLength": NAME_LENGTH,
        "pattern": LINE_PATTERN,
    },
}
"""Of single fields, beyond what their types say."""

_ABOUT: Final[Mapping[str, str]] = {
    "ref": "The client's number of the request; the answer has the same.",
    "seq": "The number of a change: it grows, in estimation rooms by 1; in chat there are gaps.",
}
"""What is said of fields of these names, where their sources say nothing."""

_TELLS_WHO: Final = ("name", "token")


def json_schema(endpoints: tuple[Endpoint, ...] = ENDPOINTS) -> Json:
    """Make the schema of all messages.

    Each has a definition, such as ``client.vote`` and ``server.begun``; so has all that one side
    says in one kind of room, such as ``estimation.client``.
    """
    schemas = Schemas("#/$defs/")
    groups = {}
    for endpoint in endpoints:
        found = messages(endpoint, endpoints)
        for side in Side:
            said = [schemas.message(each) for each in found if each.side is side]
            groups[f"{endpoint.kind}.{side}"] = {"oneOf": said}
    return {
        "$schema": DIALECT,
        "title": parley_v1.SUBPROTOCOL,
        "description": (
            "Every message of the WebSocket subprotocol parley.v1: one JSON object in one text "
            "frame. Types and fields that are not here may be added to what the server says; "
            "clients ignore them."
        ),
        "anyOf": [{"$ref": f"#/$defs/{name}"} for name in groups],
        "$defs": groups | schemas.definitions,
    }


def messages(
    endpoint: Endpoint, endpoints: tuple[Endpoint, ...] = ENDPOINTS
) -> tuple[Message, ...]:
    """List what is said in rooms of one kind.

    A type that stands for another class in another kind of room has the kind in its name.
    """
    elsewhere = {
        (side, word): kind
        for other in reversed(endpoints)
        for side, word, kind, _ in _spoken(other)
    }
    return tuple(
        Message(
            f"{side}.{word}"
            if elsewhere.get((side, word), kind) is kind
            else f"{side}.{endpoint.kind}.{word}",
            side,
            word,
            kind,
            numbered,
        )
        for side, word, kind, numbered in _spoken(endpoint)
    )


def _spoken(endpoint: Endpoint) -> Iterator[tuple[Side, str, type, bool]]:
    yield Side.CLIENT, "hello", endpoint.hello, False
    for word, kind in endpoint.requests.items():
        yield Side.CLIENT, word, kind, True
    yield Side.CLIENT, "ping", lasting.Ping, False
    for word, kind in endpoint.signals.items():
        yield Side.CLIENT, word, kind, False
    for word, kind in endpoint.events.items():
        yield Side.SERVER, word, kind, False
    yield Side.SERVER, "error", parley_v1.Error, False


class Schemas:
    """Makes schemas, and collects the definitions to which they refer."""

    def __init__(self, prefix: str) -> None:
        """Have none yet; ``prefix`` is that of every reference."""
        self.definitions: dict[str, Json] = {}
        self._prefix = prefix
        self._docs = Docstrings()
        self._owners: dict[str, object] = {}

    def message(self, message: Message) -> Json:
        """Define a message, and refer to it."""
        name = message.name
        if name not in self.definitions:
            schema = self._object(message.kind, message.side)
            schema["properties"] = {
                "type": {"const": message.word},
                **(_REF if message.numbered else {}),
                **schema["properties"],
            }
            front = ["type", "ref"] if message.numbered else ["type"]
            schema["required"] = front + schema["required"]
            if message.kind is greeting.Hello:
                alone = _alone(schema["properties"])
                schema["oneOf"] = [*map(_given, _TELLS_WHO), {"allOf": [_given("resume"), alone]}]
            self.definitions[name] = schema
        return {"$ref": self._prefix + name}

    def of(self, wanted: Any, side: Side) -> Json:
        """Make the schema of a type, in what one side says.

        Raises:
            TypeError: if it has no form in JSON.
        """
        if wanted in _SCALARS:
            return dict(_SCALARS[wanted])
        if isinstance(wanted, NewType):
            return self.of(wanted.__supertype__, side) | _NEW_TYPES.get(wanted, {})
        if isinstance(wanted, type) and issubclass(wanted, StrEnum):
            return self._defined(wanted, side, self._enumeration)
        if isinstance(wanted, type) and attrs.has(wanted):
            return self._defined(wanted, side, self._object)
        origin, parts = get_origin(wanted), get_args(wanted)
        if origin in {Union, UnionType}:
            return self._union(parts, side)
        if origin is tuple and parts[1:] == (...,):
            return {"type": "array", "items": self.of(parts[0], side)}
        raise TypeError(f"{wanted} has no form in JSON")

    def _union(self, parts: tuple[Any, ...], side: Side) -> Json:
        names = [part for part in parts if isinstance(part, type) and issubclass(part, StrEnum)]
        if str in parts:  # an enumeration that may get more members
            known = [member.value for each in names for member in each]
            parts = tuple(part for part in parts if part not in names)
        else:
            known = []
        found = [self.of(part, side) for part in parts if part is not NoneType]
        if len(found) == 1 and "type" in found[0]:
            schema = found[0] | ({"examples": known} if known else {})
            if NoneType in parts:
                schema["type"] = [schema["type"], "null"]
            return schema
        if NoneType in parts:
            found.append({"type": "null"})
        return {"anyOf": found}

    def _object(self, kind: type, side: Side) -> Json:
        attrs.resolve_types(kind)
        docs = self._docs.of_attributes(kind)
        properties, required = {}, []
        for field in attrs.fields(kind):
            schema = self.of(field.type, side) | _BOUNDS.get((kind, field.name), {})
            properties[field.name] = _described(
                schema, docs.get(field.name, _ABOUT.get(field.name, ""))
            )
            # The server writes every field, be it null.
            if side is Side.SERVER or field.default is attrs.NOTHING:
                required.append(field.name)
        schema = {"type": "object", "properties": properties, "required": required}
        if side is Side.CLIENT:
            schema["additionalProperties"] = False
        return _described(schema, self._docs.of_class(kind))

    def _enumeration(self, kind: type[Enum], side: Side) -> Json:
        del side
        docs = self._docs.of_attributes(kind)
        said = [
            f"`{member.value}`: {docs[name]}"
            for name, member in kind.__members__.items()
            if name in docs
        ]
        about = "\n\n".join([self._docs.of_class(kind), *said])
        return _described({"enum": [member.value for member in kind]}, about)

    def _defined(self, kind: type, side: Side, make: Any) -> Json:
        """Refer to the definition of a class, which is made the first time."""
        closed = side is Side.CLIENT and attrs.has(kind)
        name = self._name((kind, closed), kind, side)
        if name not in self.definitions:
            self.definitions[name] = {}  # lest a class that contains itself be made for ever
            self.definitions[name] |= make(kind, side)
        return {"$ref": self._prefix + name}

    def _name(self, owner: object, kind: type, side: Side) -> str:
        """Give a name that no other class has, nor this one in what the other side says."""
        module = "".join(part.title() for part in kind.__module__.split(".")[-1].split("_"))
        plain = kind.__name__
        for name in (plain, f"{plain}Of{side.title()}", module + plain):
            if self._owners.setdefault(name, owner) == owner:
                return name
        raise ValueError(f"there are too many classes {plain}")


_REF: Final[Json] = {
    "ref": {
        "type": "integer",
        "minimum": 1,
        "maximum": parley_v1.LARGEST_REF,
        "description": _ABOUT["ref"],
    }
}


def _described(schema: Json, text: str) -> Json:
    if not text:
        return schema
    if "$ref" in schema:  # what stands beside it counts in this draft, but not in earlier ones
        return {"allOf": [schema], "description": text}
    return {**schema, "description": text}


def _alone(properties: Json) -> Json:
    """Say that nothing may be given beside a resume that would be ignored."""
    others = sorted(set(properties) - {"type", "resume", "role"})
    return {
        "properties": {name: {"type": "null"} for name in others}
        | {"role": {"const": lasting.Role.VOTER}}
    }


def _given(field: str) -> Json:
    """Say that a field is there, and not null; the other schemas say what it then must be."""
    return {"required": [field], "properties": {field: {"not": {"type": "null"}}}}
