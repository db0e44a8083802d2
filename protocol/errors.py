"""Everything that can be refused: its code on the wire and the close code that goes with it."""

from enum import IntEnum, StrEnum

import attrs

from protocol.limits import CLOSE_REASON_BYTES


class CloseCode(IntEnum):
    """Close codes that Parley sends (RFC 6455 section 7.4.1)."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    INVALID_DATA = 1007
    POLICY = 1008
    TOO_BIG = 1009
    INTERNAL = 1011


class ErrorCode(StrEnum):
    """Machine-readable names of refusals; stable, for logs and for dialects that carry them."""

    MALFORMED = "malformed"
    """Not JSON, a field missing, unknown, of the wrong type or out of range."""
    NOT_TEXT = "not_text"
    """A binary message where only text is understood."""
    TOO_FAST = "too_fast"
    """Above the inbound rate."""
    NOT_ADMIN = "not_admin"
    """Only the admin may do that."""
    NOT_ANNOUNCED = "not_announced"
    """The member has not yet announced itself in the room."""
    OUT_OF_TURN = "out_of_turn"
    """Understood, but not now: no vote running, one running already, announced twice."""
    WRONG_TICKET = "wrong_ticket"
    """The ticket named is not the one being voted on."""
    NOT_IN_DECK = "not_in_deck"
    """The vote is no card of the room's deck."""
    NO_SUCH_ROOM = "no_such_room"
    ROOM_FULL = "room_full"
    TOO_MANY_ROOMS = "too_many_rooms"
    TOO_MANY = "too_many"
    """Above what one address or one account may have, or try, at once."""
    SHUTTING_DOWN = "shutting_down"


@attrs.frozen
class Problem:
    """Why something was refused."""

    code: ErrorCode
    message: str
    """For people: one sentence, without a final stop."""
    field: str | None = None
    """Path of the offending field, such as ``data.ticket_id``."""


class ParleyError(Exception):
    """Base of every error of our own; ``server.support.errors`` shows the tree."""


class Refused(ParleyError):
    """Raised where input is judged; carries the :class:`Problem` to tell the sender."""

    def __init__(self, code: ErrorCode, message: str, field: str | None = None) -> None:
        """Refuse with ``code`` and a sentence for people, naming ``field`` if there is one."""
        super().__init__(message)
        self.problem = Problem(code, message, field)


def close_reason(text: str) -> str:
    """Cut ``text`` to what fits a close frame, never inside a character."""
    return text.encode()[:CLOSE_REASON_BYTES].decode(errors="ignore")
