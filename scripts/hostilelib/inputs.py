"""The one list of inputs of the server, and of texts that are bad for one of them or another.

Whoever adds a field, a parameter or a kind of message adds a line here. An input says how a text
is written into it and how many bytes fit, so that every text comes as long as the server's
documented limits let it through to whatever judges it.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import Final
from urllib.parse import quote

import attrs

from server.support.limits import Limits

_LIMITS: Final = Limits()
_MARGIN: Final = 512  # bytes of a head, a body or a message beside the text

HEAD: Final = _LIMITS.head_bytes - _MARGIN
BODY: Final = _LIMITS.body_bytes - _MARGIN
SHORT: Final = 250  # such a text is not too long for an address or a password, and gets further
MESSAGE: Final = _LIMITS.message_bytes - _MARGIN


class Place(Enum):
    """What a text is sent to."""

    HTTP = "http"
    """A connection: the case is a whole request."""
    ESTIMATION = "estimation"
    """A member of an estimation room: the case is one message."""
    CHAT = "chat"
    """A member of a chat room: the case is one message."""


# --- texts ----------------------------------------------------------------------------------


@attrs.frozen
class Text:
    """A text of any length: ``unit`` repeated between ``before`` and ``after``."""

    name: str
    unit: str
    before: str = ""
    after: str = ""
    dear: bool = False
    """Whether it is known to cost the square of its length somewhere in Python."""

    def fill(self, encode: Callable[[str], bytes], size: int) -> bytes:
        """Make the longest one that has at most ``size`` bytes once it is encoded."""
        ends = len(encode(self.before + self.after))
        each = (len(encode(self.unit * 100)) - len(encode(""))) / 100 or size  # 0: nothing is left
        return encode(self.before + self.unit * max(0, int((size - ends) / each)) + self.after)


TEXTS: Final = (
    Text("combining marks", "\u0301", "e", dear=True),
    Text("marks in the wrong order", "\u0315\u0300", "e", dear=True),
    Text("marks, then an @", "\u0301", "e", "@example.com"),
    Text("pairs of letter and mark", "e\u0301"),
    Text("Hangul in parts", "\u1112\u1161\u11ab"),
    Text("what grows when normalised", "\ufb2c\U0001d160"),
    Text("what grows in lower case", "\u0130"),
    Text("no width", "\u200b"),
    Text("Hangul fillers", "\u3164"),
    Text("right to left", "\u202e\u2067"),
    Text("blanks", " ", "a", "b"),
    Text("wide blanks", "\u3000\u00a0", "a", "b"),
    Text("control characters", "\x01"),
    Text("line breaks", "\r\n"),
    Text("zeros", "\0"),
    Text("half a surrogate pair", "\ud800"),
    Text("punycode", "a", "xn--", "-"),
    Text("punycode of many letters", "g", "xn--4gq", dear=True),
    Text("punycode of marks", "\u0301", "xn--e", "-qxa"),
    Text("labels", "\u00e4\u3002", "xn--"),
    Text("dots", "a."),
    Text("hyphens", "a-", "a@a"),
    Text("an address without an end", "a.", "a@"),
    Text("many @", "@a"),
    Text("digits", "9", dear=True),
    Text("digits of another script", "\u0669"),
    Text("a number with an exponent", "9", "1e"),
    Text("quotes", '"\\'),
    Text("brackets", "["),
    Text("objects in objects", '{"a":'),
    Text("objects in data", '{"data":', '{"type":"MEMBER_VOTED","data":'),
    Text("many fields", '"a":1,', "{", '"b":1}'),
    Text("many parameters", "a=1&", "?"),
    Text("percent signs", "%"),
    Text("half a percent encoding", "%f"),
    Text("commas", "1,"),
    Text("addresses", "10.0.0.1,"),
    Text("colons", "1:"),
    Text("semicolons", "a=b; "),
    Text("slashes", "/.."),
    Text("emoji of many parts", "\U0001f469\u200d"),
    Text("plain", "a"),
)


# --- how a text is written ------------------------------------------------------------------


def _json(text: str) -> bytes:
    try:
        return json.dumps(text, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # which only an escape can say
        return json.dumps(text).encode()


def _percent(text: str) -> bytes:
    return quote(text, safe="", errors="surrogatepass").encode()


def _raw(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


def _line(text: str) -> bytes:
    # What ends a line would begin another header, which is not what this is about.
    return _raw(text).replace(b"\r", b"").replace(b"\n", b"")


# --- inputs ---------------------------------------------------------------------------------


@attrs.frozen
class Input:
    """A place in a request or in a message where somebody can put a text."""

    name: str
    place: Place
    size: int
    """The bytes of text that fit."""
    encode: Callable[[str], bytes]
    build: Callable[[bytes], bytes]
    """Makes the whole request, or the whole message, of an encoded text."""


TOKEN: Final = b"{token}"
"""Stands in requests for the token of whoever sends them."""


def _request(method: str, target: bytes, *headers: bytes, body: bytes | None = None) -> bytes:
    lines = [method.encode() + b" " + target + b" HTTP/1.1", *headers]
    if not any(line.lower().startswith(b"host:") for line in headers):
        lines.append(b"Host: localhost")
    if not any(line.lower().startswith(b"authorization:") for line in headers):
        lines.append(b"Authorization: Bearer " + TOKEN)
    if not any(line.lower().startswith(b"connection:") for line in headers):
        lines.append(b"Connection: close")
    if body is not None:
        lines += [b"Content-Type: application/json", b"Content-Length: %d" % len(body)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + (body or b"")


_UPGRADE: Final = (
    b"Connection: Upgrade",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Version: 13",
)
_KEY: Final = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="


def upgrade(target: bytes, *headers: bytes) -> bytes:
    """Make the request for a WebSocket."""
    return _request("GET", target, *_UPGRADE, _KEY, *headers)


def _field(
    method: str, path: str, fields: Mapping[str, object], field: str, *, short: bool = False
) -> Input:
    """Make the input of one field of a body whose others are right."""

    def build(text: bytes) -> bytes:
        parts = [
            json.dumps(name).encode()
            + b":"
            + (text if name == field else json.dumps(value).encode())
            for name, value in {**fields, field: ""}.items()
        ]
        return _request(method, path.encode(), body=b"{" + b",".join(parts) + b"}")

    name = f"{method} {path}: {'short ' if short else ''}{field}"
    return Input(name, Place.HTTP, SHORT if short else BODY, _json, build)


def _within(name: str, method: str, path: str, before: str, after: str) -> Input:
    """Make the input of a text somewhere in a body."""

    def build(text: bytes) -> bytes:
        return _request(method, path.encode(), body=before.encode() + text + after.encode())

    return Input(f"{method} {path}: {name}", Place.HTTP, BODY, _json, build)


def _body(method: str, path: str) -> Input:
    def build(text: bytes) -> bytes:
        return _request(method, path.encode(), body=text)

    return Input(f"{method} {path}: the whole body", Place.HTTP, BODY, _raw, build)


def _target(name: str, method: str, before: str, after: str = "") -> Input:
    def build(text: bytes) -> bytes:
        return _request(method, before.encode() + text + after.encode())

    return Input(name, Place.HTTP, HEAD, _percent, build)


def _query(path: str, before: str) -> Input:
    """Make the input of a parameter of a request for a WebSocket."""

    def build(text: bytes) -> bytes:
        return upgrade(f"{path}?{before}".encode() + text)

    return Input(f"upgrade {path}: ?{before}", Place.HTTP, HEAD, _percent, build)


def _header(name: str, *, before: str = "", upgrades: bool = False) -> Input:
    def build(text: bytes) -> bytes:
        line = f"{name}: {before}".encode() + text
        # The path needs a token, so that cookies and the like are looked at.
        return upgrade(b"/ws/joinRoom/hostile", line) if upgrades else _post(line)

    kind = "upgrade" if upgrades else "request"
    return Input(f"{kind}: {name}", Place.HTTP, HEAD, _line, build)


def _post(line: bytes) -> bytes:
    return _request("PATCH", b"/users/me", line, body=b"{}")


def _message(
    place: Place, name: str, before: str, after: str, encode: Callable[[str], bytes]
) -> Input:
    def build(text: bytes) -> bytes:
        return before.encode() + text + after.encode()

    return Input(f"{place.value}: {name}", place, MESSAGE, encode, build)


_NEW: Final = {"username": "Ada", "email": "ada@example.com", "password": "correct horse"}
_EVENTS: Final = {
    "JOIN_ROOM": ("room_id",),
    "BEGIN_VOTING": ("ticket_id",),
    "MEMBER_VOTED": ("ticket_id", "vote"),
    "REVEAL_VOTES": ("ticket_id",),
}


def _events() -> Iterator[Input]:
    for kind, fields in _EVENTS.items():
        for field in fields:
            others = "".join(f'"{each}":"x",' for each in fields if each != field)
            before = f'{{"type":"{kind}","data":{{{others}"{field}":'
            yield _message(Place.ESTIMATION, f"{kind} {field}", before, "}}", _json)


INPUTS: Final[tuple[Input, ...]] = (
    *(_field("POST", "/register", _NEW, field) for field in _NEW),
    *(_field("POST", "/login", {"email": "a@b", "password": "x"}, field)
      for field in ("email", "password", "unknown")),
    *(_field("POST", "/register", _NEW, field, short=True) for field in ("email", "password")),
    *(_field("POST", "/login", {"email": "a@b", "password": "x"}, field, short=True)
      for field in ("email", "password")),
    *(_field("PATCH", "/users/me", {"password": "correct horse", "old_password": "x"}, field,
             short=True) for field in ("password", "old_password")),
    *(_field("PATCH", "/users/me", {"password": "correct horse", "old_password": "x"}, field)
      for field in ("username", "password", "old_password")),
    _field("POST", "/posts", {}, "text"),
    *(_field("POST", "/ws/createRoom", {"id": "x", "name": "x"}, field)
      for field in ("id", "name")),
    *(_field("POST", "/v1/rooms", {"capacity": 2}, field)
      for field in ("capacity", "name", "deck", "grace_seconds", "webhook")),
    *(_within(f"{field} of a webhook", "POST", "/v1/rooms",
              f'{{"capacity":2,"webhook":{{{others}"{field}":', "}}")
      for field, others in (("url", ""), ("secret", '"url":"http://a",'),
                            ("events", '"url":"http://a",'))),
    *(_field("POST", "/v1/tokens", {"name": "x", "scopes": ["posts:read"]}, field)
      for field in ("name", "scopes", "expires_in_days")),
    _field("PATCH", "/v1/sessions/1", {}, "name"),
    *(_target(f"{method} /v1/sessions/…", method, "/v1/sessions/")
      for method in ("PATCH", "DELETE")),
    _within("a scope", "POST", "/v1/tokens", '{"name":"x","scopes":["posts:read",', "]}"),
    _within("a card", "POST", "/v1/rooms", '{"capacity":2,"deck":["1",', "]}"),
    *(_within(f"{field} of a card", "POST", "/v1/rooms",
              f'{{"capacity":2,"deck":["1",{{{others}"{field}":', "}]}")
      for field, others in (("label", ""), ("value", '"label":"2",'))),
    *(_body("POST", path)
      for path in ("/register", "/login", "/posts", "/ws/createRoom", "/v1/rooms", "/v1/tokens")),
    _body("PATCH", "/users/me"),
    _target("GET /…", "GET", "/"),
    _target("GET /users/…", "GET", "/users/"),
    _target("GET /rooms/…/results", "GET", "/rooms/", "/results"),
    _target("GET /rooms/…/messages", "GET", "/rooms/", "/messages"),
    *(_target(f"{method} /v1/rooms/…", method, "/v1/rooms/") for method in ("GET", "DELETE")),
    *(_target(f"{method} /v1/rooms/…/webhook", method, "/v1/rooms/", "/webhook")
      for method in ("GET", "DELETE")),
    _target("DELETE /v1/tokens/…", "DELETE", "/v1/tokens/"),
    *(_target(f"GET /v1/sessions?{name}=", "GET", f"/v1/sessions?{name}=")
      for name in ("limit", "before")),
    _target("GET /ws/getClients/…", "GET", "/ws/getClients/"),
    _target("GET /timeline?limit=", "GET", "/timeline?limit="),
    _target("GET /timeline?before=", "GET", "/timeline?before="),
    _target("GET /timeline?…", "GET", "/timeline?"),
    _target("GET /rooms/hostile/messages?before=", "GET", "/rooms/hostile/messages?before="),
    _target("GET /rooms/abcdef/results?format=", "GET", "/rooms/abcdef/results?format="),
    _target("GET /rooms/abcdef/results?key=", "GET", "/rooms/abcdef/results?key="),
    _target("POST /follow?toFollowId=", "POST", "/follow?toFollowId="),
    _target("POST /unfollow?toUnfollowId=", "POST", "/unfollow?toUnfollowId="),
    *(_header(name) for name in (
        "Host", "Origin", "Cookie", "Content-Type", "X-Forwarded-For", "X-Forwarded-Proto",
        "Idempotency-Key", "Accept", "If-None-Match", "Transfer-Encoding", "X-Unknown")),
    _header("Cookie", before="auth_token="),
    _header("Authorization", before="Bearer "),
    _header("Origin", before="http://"),
    *(_header(name, upgrades=True) for name in (
        "Host", "Origin", "Cookie", "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions",
        "X-Forwarded-For")),
    _header("Origin", before="http://", upgrades=True),
    _query("/ws", "action="),
    _query("/ws", "action=CREATE_ROOM&name="),
    _query("/ws", "action=CREATE_ROOM&name=Ann&max_room_capacity="),
    _query("/ws", "action=JOIN_ROOM&name=Ann&room_id="),
    _query("/ws", ""),
    _query("/ws/joinRoom/hostile", "name="),
    Input("upgrade /ws/joinRoom/…", Place.HTTP, HEAD, _percent,
          lambda text: upgrade(b"/ws/joinRoom/" + text)),
    *_events(),
    _message(Place.ESTIMATION, "type", '{"type":', ',"data":{}}', _json),
    _message(Place.ESTIMATION, "name of a field",
             '{"type":"BEGIN_VOTING","data":{', ":1}}", _json),
    _message(Place.ESTIMATION, "name beside data",
             '{"type":"BEGIN_VOTING","data":{},', ":1}", _json),
    _message(Place.ESTIMATION, "a value that is no text",
             '{"type":"BEGIN_VOTING","data":{"ticket_id":', "}}", _raw),
    _message(Place.ESTIMATION, "the whole message", "", "", _raw),
    _message(Place.CHAT, "the whole message", "", "", _raw),
)  # fmt: skip


@attrs.frozen
class Case:
    """One text in one input."""

    input: Input
    text: Text

    @property
    def name(self) -> str:
        """The names of both."""
        return f"{self.input.name} <- {self.text.name}"

    def payload(self) -> bytes:
        """Make the request or the message."""
        return self.input.build(self.text.fill(self.input.encode, self.input.size))


def cases(place: Place | None = None, *, thinned: int = 1) -> Iterator[Case]:
    """Give every text in every input.

    Args:
        place: the place whose inputs are meant; by default all.
        thinned: n, to give only every nth text of each input, and the dear ones; each input begins
            with another text.
    """
    for row, each in enumerate(INPUTS):
        if place is None or each.place is place:
            for column, text in enumerate(TEXTS):
                if text.dear or (row + column) % thinned == 0:
                    yield Case(each, text)
