"""``parley.v1`` as an AsyncAPI 3 document: where to connect, and who says what."""

import re
from collections.abc import Collection, Iterable
from typing import Any, Final

from protocol.dialects.parley_v1 import SUBPROTOCOL
from protocol.schema import ENDPOINTS, Endpoint, Json, Message, Schemas, Side, messages

VERSION: Final = "3.0.0"
"""Of AsyncAPI."""

_WEBSOCKET_BINDING: Final = "0.1.0"

_ABOUT: Final = """\
Members open a WebSocket with the subprotocol `parley.v1` and say `hello`; the server answers with
`welcome`, then tells what the room is and what happens in it. `protocol/README.md` in the sources
tells the whole story; this document is for tools. It describes what the server receives and sends.
"""

_PARAMETERS: Final = {"room_id": "The room's id, as whoever opened it was told."}

_HOST: Final[Json] = {
    "host": "{host}",
    "variables": {
        "host": {"default": "localhost:8080", "description": "Where this document was found."}
    },
}


def asyncapi(release: str, endpoints: tuple[Endpoint, ...] = ENDPOINTS) -> Json:
    """Make the document.

    Args:
        release: the server's.
        endpoints: what is described.
    """
    schemas = Schemas("#/components/schemas/")
    channels: Json = {}
    operations: Json = {}
    described: Json = {}
    for endpoint in endpoints:
        said = messages(endpoint, endpoints)
        channels[endpoint.kind] = _channel(endpoint, said)
        operations |= _operations(endpoint, said)
        for each in said:
            payload = schemas.message(each)
            described[each.name] = _message(each, payload, schemas.definitions[each.name])
    return {
        "asyncapi": VERSION,
        "info": {
            "title": f"Parley: {SUBPROTOCOL}",
            "version": release,
            "description": _ABOUT,
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "plain": {**_HOST, "protocol": "ws"},
            "behindTls": {
                **_HOST,
                "protocol": "wss",
                "description": "If the operator has put TLS before it.",
            },
        },
        "channels": channels,
        "operations": operations,
        "components": {"messages": described, "schemas": schemas.definitions},
    }


def _channel(endpoint: Endpoint, said: Iterable[Message]) -> Json:
    return {
        "address": endpoint.path,
        "title": endpoint.summary,
        "messages": {each.name: {"$ref": f"#/components/messages/{each.name}"} for each in said},
        "parameters": {
            name: {"description": _PARAMETERS[name]}
            for name in re.findall(r"\{(\w+)\}", endpoint.path)
        },
        "bindings": {
            "ws": {
                "method": "GET",
                "headers": {
                    "type": "object",
                    "properties": {"Sec-WebSocket-Protocol": {"const": SUBPROTOCOL}},
                    "required": ["Sec-WebSocket-Protocol"],
                },
                "bindingVersion": _WEBSOCKET_BINDING,
            }
        },
    }


def _operations(endpoint: Endpoint, said: tuple[Message, ...]) -> Json:
    """Describe what the server does; ``receive`` is what clients send."""
    name = endpoint.kind.title()
    by_type = {(each.side, each.word): each for each in said}

    def of_server(*types: str) -> list[Message]:
        return [by_type[Side.SERVER, each] for each in types]

    def operation(
        action: str, summary: str, what: Iterable[Message], reply: Collection[Message] = ()
    ) -> Json:
        channel = {"$ref": f"#/channels/{endpoint.kind}"}

        def references(some: Iterable[Message]) -> list[Any]:
            return [{"$ref": f"{channel['$ref']}/messages/{each.name}"} for each in some]

        answered = {"reply": {"channel": channel, "messages": references(reply)}} if reply else {}
        return {
            "action": action,
            "channel": channel,
            "summary": summary,
            "messages": references(what),
            **answered,
        }

    requests = [each for each in said if each.numbered]
    answers = of_server("welcome", "ack", "error", "pong")
    events = [each for each in said if each.side is Side.SERVER and each not in answers]
    return {
        f"greet{name}": operation(
            "receive",
            "A client says who it is, first of all",
            [by_type[Side.CLIENT, "hello"]],
            of_server("welcome", "error"),
        ),
        f"answer{name}": operation(
            "receive",
            "A member asks for something, and is answered once",
            requests,
            of_server("ack", "error"),
        ),
        f"echo{name}": operation(
            "receive",
            "A client wants to know whether the server is there",
            [by_type[Side.CLIENT, "ping"]],
            of_server("pong"),
        ),
        **(
            {
                f"hear{name}": operation(
                    "receive",
                    "A member shows something, and is answered only if that is refused",
                    [by_type[Side.CLIENT, word] for word in endpoint.signals],
                    of_server("error"),
                )
            }
            if endpoint.signals
            else {}
        ),
        f"tell{name}": operation("send", "Members are told what happens", events),
    }


def _message(message: Message, payload: Json, schema: Json) -> Json:
    described: Json = {"name": message.word, "title": message.word, "payload": payload}
    if "description" in schema:
        described["summary"] = schema["description"].partition("\n")[0]
    if message.numbered or message.word in {"ack", "error"}:
        described["correlationId"] = {
            "location": "$message.payload#/ref",
            "description": "A request's number, which its answer has too.",
        }
    return described
