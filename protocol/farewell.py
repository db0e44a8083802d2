"""Why somebody's connection is closed, in every dialect's terms."""

from enum import StrEnum

import attrs

from protocol.errors import CloseCode


class Ending(StrEnum):
    """What becomes of a connection, and of the member that had it."""

    GOING_AWAY = "going_away"
    """The server goes away; rooms may survive it."""
    TOO_SLOW = "too_slow"
    """What was sent was not taken in time; the member is away."""
    FAULT = "fault"
    """A defect of the server."""
    SILENT = "silent"
    """No sign of life; the member is away."""
    BUSY = "busy"
    """Too much at once, from this address or of everybody; later there may be room."""
    ROOM_ENDED = "room_ended"
    LEFT = "left"
    """The member has left for good, or was away for too long."""
    REMOVED = "removed"
    """A facilitator has put the member out, or keeps it out."""
    REPLACED = "replaced"
    """Another connection has taken this one's place."""
    NO_SUCH_ROOM = "no_such_room"
    ROOM_FULL = "room_full"
    WRONG_KEY = "wrong_key"
    """A token or key is not one of this room, or not any more."""
    REFUSED = "refused"
    """What was sent first is no greeting."""
    STRUCK_OUT = "struck_out"
    """Too many refused messages."""
    SIGNED_OUT = "signed_out"
    """The account's token is revoked."""
    LOCKED = "locked"
    """Nobody new comes into this room, for now."""


@attrs.frozen(kw_only=True)
class Farewell:
    """The last that a connection is told."""

    ending: Ending
    code: CloseCode
    """For the dialects that have no codes of their own."""
    reason: str
    """For people, without a final stop."""
    back_in: float | None = None
    """Seconds after which it is worth to come back; ``None`` if it is not."""
    survives: bool = False
    """Whether the room goes on, and this member's seat in it."""


@attrs.frozen
class Parting:
    """A farewell in a dialect."""

    last: bytes
    """Whole frames, to be sent before the close frame."""
    code: int
    reason: str
