"""The WebSocket endpoints: one table, by which the door matches and the HTTP pages are made."""

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Final
from urllib.parse import unquote

import attrs

from server.edge.accepted import AcceptedConnection

ESTIMATION_PATH: Final = "/ws"
ECHO_PATH: Final = "/ws/echo"
ROOM_PATH: Final = "/v1/rooms/{room_id}"
TALK_PATH: Final = "/v1/chats/{room_id}"
CHAT_PATH: Final = "/ws/joinRoom/{roomId}"

LONGEST_PARAMETER: Final = 1024
"""Bytes of one segment of a path, escaped, that may be a parameter; no room has so long an id."""

_PARAMETER: Final = re.compile(r"\{(\w+)\}")


@attrs.frozen
class Upgrade:
    """A valid request for a WebSocket. Whoever gets it owns the peer from then on."""

    peer: AcceptedConnection
    path: str
    query: str
    response: bytes
    """The whole answer that opens the WebSocket; not yet sent."""
    leftover: bytes
    """What came behind the head."""
    headers: Sequence[tuple[bytes, bytes]] = ()
    """The request's headers, names in lower case."""
    parameters: Mapping[str, str] = attrs.field(factory=dict)
    """What stands in the path for each ``{name}`` of the route, unescaped."""
    subprotocol: str | None = None
    """What ``response`` selects from those that the client offers."""


Handler = Callable[[Upgrade], Awaitable[None]]
"""Owns the peer, unless it raises :class:`HttpRejection`: then it must not have touched it."""


@attrs.frozen(kw_only=True)
class WebSocketRoute:
    """One endpoint."""

    path: str
    """A template; ``{name}`` stands for one segment, which is not empty."""
    handler: Handler
    how: str
    """How to connect, for those who come without an upgrade: what follows "connect … to"."""
    shared: bool = False
    """Plain HTTP has an answer of its own at this path."""
    subprotocols: tuple[str, ...] = ()
    """Those that it speaks (RFC 6455 section 1.9), the best first; with none selected, it speaks
    as if none had been offered."""

    def select(self, offered: Sequence[str]) -> str | None:
        """Choose a subprotocol from those that a client offers; ``None`` if it speaks none."""
        return next((each for each in self.subprotocols if each in offered), None)


class RouteTable:
    """All endpoints of a server."""

    def __init__(self, routes: Sequence[WebSocketRoute]) -> None:
        """Offer ``routes``, of which the first that fits a path is its own."""
        self._routes = tuple(routes)
        self._fixed = {each.path: each for each in routes if not _PARAMETER.search(each.path)}
        self._patterns = [
            (_pattern(each.path), each) for each in routes if each.path not in self._fixed
        ]

    def __iter__(self) -> Iterator[WebSocketRoute]:
        """Give all endpoints."""
        return iter(self._routes)

    def find(self, path: str) -> tuple[WebSocketRoute, dict[str, str]] | None:
        """Find the endpoint of a path, and what stands there for its parameters."""
        route = self._fixed.get(path)
        if route is not None:
            return route, {}
        for pattern, route in self._patterns:
            if (found := pattern.fullmatch(path)) is not None:
                return route, {name: unquote(text) for name, text in found.groupdict().items()}
        return None


def _pattern(template: str) -> re.Pattern[str]:
    # What is split at parameters has their names at every second place.
    parts = _PARAMETER.split(template)
    segment = f"[^/]{{1,{LONGEST_PARAMETER}}}"
    return re.compile(
        "".join(
            f"(?P<{part}>{segment})" if place % 2 else re.escape(part)
            for place, part in enumerate(parts)
        )
    )
