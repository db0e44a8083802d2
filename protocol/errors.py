"""Everything that can be refused: its code on the wire and the close code that goes with it."""

from collections.abc import Mapping
from enum import Enum, IntEnum, StrEnum

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
    """Machine-readable names of refusals; stable, for logs and for dialects that carry them.

    Where the rules refuse, the names in parentheses are the values that come with the code.
    """

    MALFORMED = "malformed"
    """Not JSON, a field missing, unknown, of the wrong type or out of range."""
    NOT_TEXT = "not_text"
    """A binary message where only text is understood."""
    TOO_FAST = "too_fast"
    """Above the inbound rate."""
    STRUCK_OUT = "struck_out"
    """So many messages were refused that the connection ends."""
    NOT_ADMIN = "not_admin"
    """Only the admin may do that (``deed``, such as ``close``)."""
    NOT_FACILITATOR = "not_facilitator"
    """Only facilitators may do that (``deed``, such as ``begin`` or ``reveal``)."""
    NOT_ANNOUNCED = "not_announced"
    """The member has not yet announced itself in the room."""
    ANNOUNCED_TOO_LATE = "announced_too_late"
    """The member has not announced itself in time, and loses its seat (``seconds``)."""
    ANNOUNCED_TWICE = "announced_twice"
    WRONG_ROOM = "wrong_room"
    """The room named is not the one that the member is in (``room_id``, ``given``)."""
    NO_VOTE_RUNNING = "no_vote_running"
    VOTE_RUNNING = "vote_running"
    """Another ticket is voted on, and there are votes on it (``ticket_id``)."""
    BEGUN_TWICE = "begun_twice"
    """This very ticket is voted on (``ticket_id``)."""
    NOBODY_VOTED = "nobody_voted"
    """There is nothing to reveal (``ticket_id``)."""
    WRONG_TICKET = "wrong_ticket"
    """The ticket named is not the one being voted on (``ticket_id``, ``given``)."""
    NO_CARD_DOWN = "no_card_down"
    """The member has put down no card in this round, so there is none to take back."""
    ALREADY_SHOWN = "already_shown"
    """The cards of the round were turned over, and the room does not let them be changed."""
    NOT_SHOWN = "not_shown"
    """The round is not the one that was shown last (``given``)."""
    NO_ESTIMATE = "no_estimate"
    """The card is no estimate of the deck (``cards``, those that are)."""
    NOT_IN_DECK = "not_in_deck"
    """The vote is no card of the room's deck (``cards``)."""
    EMPTY_MESSAGE = "empty_message"
    """A chat message of nothing but blanks."""
    NULL_CHARACTER = "null_character"
    """A chat message that no database could keep."""
    TOO_MUCH = "too_much"
    """A member makes the others receive more than its share (``rate``, bytes a second)."""
    NO_TALK = "no_talk"
    """The estimation room does without chat and reactions."""
    NOT_NOW = "not_now"
    """The room has no number for a chat message, as the database has not been there for long."""
    NO_SUCH_MESSAGE = "no_such_message"
    """There is no chat message of this number, or it has been taken back (``seq``)."""
    NOT_YOURS = "not_yours"
    """A chat message is changed by its author alone (``seq``)."""
    NO_SUCH_ROOM = "no_such_room"
    ROOM_FULL = "room_full"
    """Every seat is taken (``room_id``, ``capacity``)."""
    TOO_MANY_SEATS = "too_many_seats"
    """The account has as many connections in the room as it may have (``seats``)."""
    TOO_MANY_ROOMS = "too_many_rooms"
    TOO_MANY_ROUNDS = "too_many_rounds"
    TOO_MANY = "too_many"
    """Above what one address or one account may have, or try, at once."""
    SHUTTING_DOWN = "shutting_down"
    WRONG_ROUND = "wrong_round"
    """The round named is not the one being voted in (``round``, ``given``)."""
    OUT_OF_RANGE = "out_of_range"
    """A number is too small or too large (``what``, ``least``, ``most``)."""
    NO_TIMER = "no_timer"
    """No timer runs or is paused."""
    TIMER_PAUSED = "timer_paused"
    TIMER_RUNNING = "timer_running"
    """What is to go on is not paused."""
    TIMER_SECONDS = "timer_seconds"
    """The timer would have too little time left, or too much (``least``, ``most``)."""
    SPECTATOR = "spectator"
    """Somebody who only watches does not vote."""
    NO_SUCH_MEMBER = "no_such_member"
    """Nobody of this id is in the room."""
    CANNOT_LEAD = "cannot_lead"
    """The member takes part in a dialect in which only a creator leads (``name``)."""
    IS_AWAY = "is_away"
    """The member has no connection (``name``)."""
    OWNER_LEADS = "owner_leads"
    """The owner is a facilitator as long as it is the owner."""
    IS_LED = "is_led"
    """The room has somebody who leads it, or its owner has yet to come, so nobody may claim it."""
    NOT_SIGNED_IN = "not_signed_in"
    """Only those who are signed in may claim this room."""
    NAME_OF_ACCOUNT = "name_of_account"
    """Who is signed in is called as its account."""
    NOT_WAITED_FOR = "not_waited_for"
    """The member's vote is not waited for (``name``)."""
    NUDGED_ALREADY = "nudged_already"
    """The member was reminded just now (``name``, ``seconds``: after which it may be again)."""
    FORGOTTEN = "forgotten"
    """A request of this number was answered so long ago that the answer is forgotten (``ref``)."""
    LEFT = "left"
    """The member has left of its own accord."""
    REPLACED = "replaced"
    """The member has opened another connection."""
    WRONG_KEY = "wrong_key"
    """The key or token is not one of this room."""
    MISSING_SCOPE = "missing_scope"
    """A token for bots does not reach so far; the sentence names the scope."""
    NEEDS_PASSCODE = "needs_passcode"
    """Whoever comes must say the room's passcode."""
    WRONG_PASSCODE = "wrong_passcode"
    """That is not the room's passcode (``tries_left``)."""
    LOCKED = "locked"
    """Nobody new comes in."""
    IS_OWNER = "is_owner"
    """The owner is not put out of its room."""
    IS_YOURSELF = "is_yourself"
    """Nobody puts itself out; that is leaving."""
    TOO_MANY_BANS = "too_many_bans"
    """As many are kept out of this room as can be (``most``)."""
    REMOVED = "removed"
    """Somebody has put the member out of the room (``by``, a name)."""
    BANNED = "banned"
    """The member was put out of the room for good."""
    RESTING = "resting"
    """The server has just come back, and everybody may ask again before the page is turned."""
    ROOM_ENDED = "room_ended"
    """The room is over."""


@attrs.frozen
class Problem:
    """Why something was refused."""

    code: ErrorCode
    message: str = ""
    """One sentence for people, without a final stop, where whoever refuses knows the wire format.
    The rules know none: they leave it empty, and the dialect words ``code`` and ``values``."""
    field: str | None = None
    """The offending field: a path such as ``data.vote`` from whoever knows the wire format, a plain
    name such as ``vote`` from the rules."""
    values: Mapping[str, str | int | float] = attrs.field(factory=dict, hash=False)
    """What the sentence is about; which there are depends on ``code``."""


class ParleyError(Exception):
    """Base of every error of our own; ``server.support.errors`` shows the tree."""


class Refused(ParleyError):
    """Raised where input is judged; carries the :class:`Problem` to tell the sender."""

    def __init__(self, code: ErrorCode, message: str, field: str | None = None) -> None:
        """Refuse with ``code`` and a sentence for people, naming ``field`` if there is one."""
        super().__init__(message)
        self.problem = Problem(code, message, field)


class IllegalMove(ParleyError):
    """A state machine was told to make a move that its table does not have: a defect of ours."""

    def __init__(self, state: Enum, trigger: Enum) -> None:
        """Name the state that it is in, and what was to move it."""
        super().__init__(f"nothing leads from {state.name} by {trigger.name}")


def close_reason(text: str) -> str:
    """Cut ``text`` to what fits a close frame, never inside a character."""
    return text.encode()[:CLOSE_REASON_BYTES].decode(errors="ignore")
