"""Why a connection ended: one value, its causes, and what the peer is told about each.

To add a cause, add it to :class:`Cause`, with a row in the table if it is the edge that closes,
and name it where it happens; logs and metrics follow by themselves.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import TracebackType
from typing import Final

import attrs

from protocol.errors import CloseCode

ABNORMAL: Final = 1006
"""The code of a connection that ended without a close frame (RFC 6455 section 7.1.5)."""


class Cause(StrEnum):
    """Why a connection ended; the values are labels of a metric and stay as they are."""

    PEER_CLOSED = "peer_closed"
    """The peer sent a close frame first."""
    PEER_LOST = "peer_lost"
    """The peer ended or reset the connection without a close frame."""
    ROOM_ENDED = "room_ended"
    """The room ended: its admin left, it was deleted, the server drains."""
    REFUSED = "refused"
    """What the peer asked for was refused for good, such as a seat in a full room."""
    STRUCK_OUT = "struck_out"
    """Too many of the peer's messages were refused."""
    LOGGED_OUT = "logged_out"
    """The token by which the peer was here was revoked."""
    REPLACED = "replaced"
    """The member has opened another connection."""
    LEFT = "left"
    """The member has left for good."""
    TOO_SLOW = "too_slow"
    """The peer did not take what it was sent."""
    SILENT = "silent"
    """The peer sent nothing, not even a pong."""
    FLOODED = "flooded"
    """The peer sent too many frames that are no whole text message."""
    TOO_BIG = "too_big"
    """The peer sent, or announced, too long a message."""
    PROTOCOL_ERROR = "protocol_error"
    """The peer violated RFC 6455."""
    INVALID_DATA = "invalid_data"
    """The peer sent a text that is not UTF-8."""
    GOING_AWAY = "going_away"
    """The server drains, and the peer was in no room."""
    CUT = "cut"
    """The connection was cancelled, without a word to the peer before."""
    FAULT = "fault"
    """A defect of the server."""


TOLD: Final[Mapping[Cause, tuple[int, str]]] = {
    Cause.TOO_SLOW: (CloseCode.POLICY, "too slow: messages were not taken in time"),
    Cause.SILENT: (CloseCode.GOING_AWAY, "no sign of life"),
    Cause.FLOODED: (CloseCode.POLICY, "too many pings, fragments or binary messages"),
    Cause.TOO_BIG: (CloseCode.TOO_BIG, "the message is too long"),
    Cause.CUT: (CloseCode.GOING_AWAY, "the connection was cut"),
    Cause.FAULT: (CloseCode.INTERNAL, "internal error"),
}
"""The close code and reason that go with a cause that is found at the edge."""

CAUSE_OF_CODE: Final[Mapping[int, Cause]] = {
    CloseCode.NORMAL: Cause.REFUSED,
    CloseCode.GOING_AWAY: Cause.GOING_AWAY,
    CloseCode.PROTOCOL_ERROR: Cause.PROTOCOL_ERROR,
    CloseCode.INVALID_DATA: Cause.INVALID_DATA,
    CloseCode.POLICY: Cause.REFUSED,
    CloseCode.TOO_BIG: Cause.TOO_BIG,
    CloseCode.INTERNAL: Cause.FAULT,
}
"""The cause of a close frame of ours whose sender names none."""


@attrs.frozen
class CloseFrame:
    """What a close frame says (RFC 6455 section 5.5.1)."""

    code: int
    """1005 if the frame has none."""
    reason: str


@attrs.frozen
class Closing:
    """How a WebSocket connection ended, seen from both sides."""

    cause: Cause
    received: CloseFrame | None
    """The peer's close frame, if it sent a whole one."""
    sent: CloseFrame | None
    """Ours, if there was still anybody to send it to."""

    @property
    def received_first(self) -> bool:
        """Whether the peer began the closing handshake (RFC 6455 section 7.1.2)."""
        return self.cause is Cause.PEER_CLOSED

    @property
    def decisive(self) -> CloseFrame:
        """The close frame that came first; 1006 if there was none while anybody could hear it."""
        first = self.received if self.received_first else self.sent
        if first is None or self.cause is Cause.PEER_LOST:
            return CloseFrame(ABNORMAL, "")
        return first


class FirstCause:
    """Remembers and counts the first cause that is noted, and none that follows from it.

    A context manager around the connection's life: an :class:`Exception` that passes through
    it is a defect of the server, and is passed on.
    """

    __slots__ = ("_cause", "_totals")

    def __init__(self, totals: dict[str, int]) -> None:
        """Begin without a cause; ``totals`` is where connections are counted by it."""
        self._cause: Cause | None = None
        self._totals = totals

    def note(self, cause: Cause) -> Cause:
        """Remember ``cause`` if it is the first one; give the first one."""
        if self._cause is None:
            self._cause = cause
            self._totals[cause] = self._totals.get(cause, 0) + 1
        return self._cause

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take an :class:`Exception`, also one in a group, for a defect."""
        if isinstance(error, BaseExceptionGroup):
            error, _ = error.split(Exception)
        if isinstance(error, Exception):
            self.note(Cause.FAULT)
