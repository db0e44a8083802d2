"""What the OpenAPI document says beyond what Litestar reads off the handlers.

Headers of answers, WebSocket endpoints, groups of operations, and what is true of every answer.
"""

from collections.abc import Iterator
from copy import deepcopy
from http import HTTPStatus
from typing import Any, Final

from server.http.sockets import SOCKETS

Json = dict[str, Any]

INFO: Final = """\
Planning poker and chat for a team, self-hosted.

Every error, whichever part of the server reports it, is a JSON object with `error`, one sentence
for people, and `field` if a certain parameter is at fault. Besides the answers listed with each
operation, any request may be answered 400, 408, 413, 431, 500, 501 or 505 if it is not acceptable
HTTP or the server fails, 404 if there is nothing at its path, and 405 with the header `Allow` if
the path does not support its method. `HEAD` and `OPTIONS` are answered wherever `GET` is.

Answers are not to be cached (`Cache-Control: no-store`), except for the files of this page and the
list of decks.

Lists are paged: `limit` is the size of a page, and the header `Link` leads to the next one. Only
those of decks, of all chat rooms, of the people in one, and of your tokens for bots come whole.
"""

TAGS: Final = {
    "server": "The server itself: entry page, health and metrics.",
    "websocket": "WebSocket endpoints (RFC 6455), opened by `GET` with an upgrade.",
    "rooms": "Estimation rooms: opening and ending them, and their results.",
    "accounts": "Registering, logging in and out, and your own account.",
    "sessions": "The estimation rooms of your account.",
    "tokens": "Tokens for bots, which reach no further than their scopes.",
    "users": "Other users, and who follows whom.",
    "posts": "Posts and the timeline.",
    "chat": "Chat rooms. They last until their creator deletes them.",
}


def _header(description: str, example: str, kind: str = "string") -> Json:
    return {"description": description, "schema": {"type": kind, "examples": [example]}}


HEADERS: Final = {
    "Allow": _header("The methods that the path supports", "GET, HEAD, OPTIONS"),
    "Connection": _header("Names Upgrade (RFC 9110 section 7.6.1)", "Upgrade"),
    "Content-Disposition": _header(
        "Only with format=csv: the name under which to save the file",
        'attachment; filename="parley-a1B2c3.csv"',
    ),
    "Link": _header(
        "The next page, as a relative reference (RFC 8288); absent on the last page",
        '</timeline?limit=20&before=ABC>; rel="next"',
    ),
    "Location": _header("The path of what was created", "/posts/1"),
    "Retry-After": _header("The number of seconds to wait before trying again", "5"),
    "Sec-WebSocket-Accept": _header(
        "Proves that the server has understood the handshake (RFC 6455 section 4.2.2)",
        "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
    ),
    "Sec-WebSocket-Version": _header(
        "Present if another version was asked for: the one that is spoken", "13"
    ),
    "Set-Cookie": _header(
        "The cookie auth_token: set when logging in, renewed from time to time when it was sent, "
        "emptied when logging out",
        "auth_token=…; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax",
    ),
    "Upgrade": _header("The protocol to ask for", "websocket"),
    "WWW-Authenticate": _header("How to authenticate (RFC 6750 section 3)", "Bearer"),
}

_OF_STATUS: Final = {
    "401": ["WWW-Authenticate"],
    "403": ["WWW-Authenticate"],
    "405": ["Allow"],
    "426": ["Upgrade", "Connection"],
    "429": ["Retry-After"],
    "503": ["Retry-After"],
}
"""The headers that errors have by their status."""

_OF_OPERATION: Final = {
    "registerAccount": ["Set-Cookie"],
    "logIn": ["Set-Cookie"],
    "openRoom": ["Location"],
    "writePost": ["Location"],
    "getResults": ["Content-Disposition"],
}
"""The headers that successes have, besides those that follow from an operation's parameters."""

_SUCCESS: Final = {"200": "Success", "201": "Created", "202": "Accepted", "204": "Success"}

_FAILURE: Final = "#/components/schemas/Failure"


def complete(document: Json) -> Json:
    """Add to Litestar's document, in place, what handlers do not tell.

    Args:
        document: the OpenAPI 3.1 document that Litestar has made.

    Returns:
        The same document.
    """
    document["info"] |= {"description": INFO, "license": {"name": "MIT", "identifier": "MIT"}}
    components = document.setdefault("components", {})
    components["headers"] = deepcopy(HEADERS)
    components["responses"] = {
        "MethodNotAllowed": {
            "description": "The path does not support the method",
            "headers": _references("Allow"),
            "content": {"application/json": {"schema": {"$ref": _FAILURE}}},
        }
    }
    _add_sockets(document["paths"])
    used = set()
    for operation in operations(document):
        used |= set(operation.get("tags", ()))
        if "description" in operation:
            # Docstrings mark code as reStructuredText does, OpenAPI as CommonMark does.
            operation["description"] = operation["description"].replace("``", "`")
        _add_headers(operation)
    document["tags"] = [
        {"name": name, "description": text} for name, text in TAGS.items() if name in used
    ]
    return document


def operations(document: Json) -> Iterator[Json]:
    """Give every operation of a document, whatever its path and method."""
    for item in document["paths"].values():
        yield from (found for method, found in item.items() if method != "parameters")


def _add_sockets(paths: Json) -> None:
    """Describe the WebSocket endpoints in place of what Litestar answers at their paths."""
    for socket in SOCKETS:
        if socket.path not in paths:
            continue
        how = paths[socket.path]["get"]["description"]
        operation = deepcopy(socket.operation)
        operation["description"] = f"{how}\n\n{operation['description']}"
        paths[socket.path] = {"get": operation}


def _add_headers(operation: Json) -> None:
    for status, answer in operation["responses"].items():
        names = set(_OF_STATUS.get(status, ()))
        if status.startswith("5") and not _is_failure(answer):
            names = set()  # such as the answer of /health, which has a form of its own
        if status.startswith("2"):
            if answer.get("description") == HTTPStatus(int(status)).description:
                answer["description"] = _SUCCESS.get(status, "Success")
            names |= set(_OF_OPERATION.get(operation.get("operationId", ""), ()))
            names |= {"Set-Cookie"} if {"cookie": []} in operation.get("security", ()) else set()
            names |= {"Link"} if _is_paged(operation) else set()
        if names:
            answer["headers"] = {**answer.get("headers", {}), **_references(*sorted(names))}
        elif answer.get("headers") == {}:
            del answer["headers"]


def _is_failure(answer: Json) -> bool:
    content = answer.get("content", {}).get("application/json", {})
    return bool(content.get("schema", {}).get("$ref") == _FAILURE)


def _is_paged(operation: Json) -> bool:
    names = {each.get("name") for each in operation.get("parameters", ())}
    return {"limit", "before"} <= names


def _references(*names: str) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
