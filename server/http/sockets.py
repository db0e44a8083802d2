"""What the OpenAPI document says of the WebSocket endpoints, which Litestar never sees."""

from typing import Any, Final

import attrs

from protocol.limits import NAME_LENGTH, SMALLEST_CAPACITY
from server.admission.routes import CHAT_PATH, ECHO_PATH, ESTIMATION_PATH
from server.auth.scopes import Scope

_FAILURE: Final = {"$ref": "#/components/schemas/Failure"}


@attrs.frozen(kw_only=True)
class Socket:
    """One endpoint; ``GET`` with an upgrade opens it (RFC 6455 section 4.1)."""

    path: str
    """As in the server's table of endpoints, which tells whether it exists and how to connect."""
    operation: dict[str, Any]
    queries: tuple[str, ...] = ()


def _answer(description: str, *headers: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "description": description,
        "content": {"application/json": {"schema": _FAILURE}},
    }
    if headers:
        found["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in headers}
    return found


def _answers(**more: dict[str, Any]) -> dict[str, Any]:
    """Describe all answers, those that every endpoint gives included."""
    found = {
        "101": {
            "description": "The connection is a WebSocket from here on",
            "headers": {
                name: {"$ref": f"#/components/headers/{name}"}
                for name in ("Upgrade", "Connection", "Sec-WebSocket-Accept")
            },
        },
        "400": _answer("The request is not a valid WebSocket handshake (RFC 6455 section 4.2.1)"),
        "403": _answer("A page of another site asks, or a token for bots lacks the scope"),
        "426": _answer(
            "The request does not ask for a WebSocket, or not for version 13",
            "Sec-WebSocket-Version",
        ),
        "503": _answer("The server is full or shutting down"),
        **{status.removeprefix("http_"): answer for status, answer in more.items()},
    }
    return dict(sorted(found.items()))


def _query(name: str, description: str, *, required: bool = False, **schema: Any) -> dict[str, Any]:
    return {
        "name": name,
        "in": "query",
        "required": required,
        "description": description,
        "schema": schema,
    }


ESTIMATION: Final = Socket(
    path=ESTIMATION_PATH,
    queries=("action", "name", "max_room_capacity", "room_id"),
    operation={
        "operationId": "openEstimationRoom",
        "tags": ["websocket"],
        "summary": "Create or join an estimation room (WebSocket)",
        "description": (
            'Messages are JSON objects `{"type", "data"}` in text frames. The client sends '
            "`JOIN_ROOM`, `BEGIN_VOTING`, `MEMBER_VOTED` and `REVEAL_VOTES`; the server sends "
            "`CREATE_ROOM`, `ROOM_JOIN_UPDATES`, `ROOM_CAPACITY_REACHED`, `BEGIN_VOTING_PROMPT`, "
            "`ASK_FOR_VOTE`, `VOTING_COMPLETED`, `REVEAL_VOTES_PROMPT`, `VOTES_REVEALED` and "
            "`AWAITING_ADMIN_VOTE_START`. Text that is not a JSON object is for people. If a "
            "parameter is wrong, the upgrade is accepted, one plain text names the parameter, and "
            "the connection is closed with code 1000. The rules, limits and close codes are in "
            "`protocol/README.md`."
        ),
        "parameters": [
            _query(
                "action",
                "Whether to create a room or to join one; case does not matter",
                required=True,
                type="string",
                enum=["CREATE_ROOM", "JOIN_ROOM"],
            ),
            _query(
                "name",
                "The member's name; control characters are refused",
                required=True,
                type="string",
                minLength=1,
                maxLength=NAME_LENGTH,
            ),
            _query(
                "max_room_capacity",
                "With CREATE_ROOM: the number of seats; the operator sets the maximum",
                type="integer",
                minimum=SMALLEST_CAPACITY,
            ),
            _query(
                "room_id",
                "With JOIN_ROOM, required: the id of the room",
                type="string",
                pattern="^[A-Za-z0-9]{6}$",
            ),
        ],
        "responses": _answers(),
    },
)

CHAT: Final = Socket(
    path=CHAT_PATH,
    operation={
        "operationId": "joinChatRoom",
        "tags": ["chat", "websocket"],
        "summary": "Join a chat room (WebSocket)",
        "description": (
            "Each text frame that the client sends is one message. The server sends JSON objects "
            "in text frames, with `type` (`message`, `join`, `leave`, `refusal` or `closed`), "
            "`context`, `roomid` and `username`; a message also has `userid`, `seq` and `at`. The "
            "last 50 messages come first. The limits and close codes are in `protocol/README.md`."
        ),
        "security": [
            {"cookie": []},
            {"bearer": []},
            {"botToken": [Scope.CHAT_READ, Scope.CHAT_WRITE]},
        ],
        "parameters": [
            {
                "name": "roomId",
                "in": "path",
                "required": True,
                "description": "The id given when the room was created",
                "schema": {"type": "string"},
            }
        ],
        "responses": _answers(
            http_401=_answer("The token is missing or invalid"),
            http_404=_answer("There is no such room"),
            http_429=_answer("Too many seats, or too many guesses at rooms, for one address"),
        ),
    },
)

ECHO: Final = Socket(
    path=ECHO_PATH,
    operation={
        "operationId": "openEcho",
        "tags": ["websocket"],
        "summary": "Get every message back (WebSocket)",
        "description": (
            "Returns each text and binary message unchanged, up to 16 MiB. For diagnosis; the "
            "endpoint exists only where the operator has enabled it."
        ),
        "responses": _answers(),
    },
)

SOCKETS: Final = (ESTIMATION, CHAT, ECHO)
