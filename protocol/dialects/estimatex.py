"""The wire format of EstimateX: JSON events in text frames, and plain text for people.

The published client exits on a ``type`` that it does not know, so nothing but the nine types
below and plain text is ever sent. Plain text begins with ``*`` or ``!``, so that no name that a
member chose can make it look like an event.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, cast
from urllib.parse import parse_qs

import attrs

from protocol import codec, messages
from protocol.deck import DEFAULT_DECK
from protocol.dialects.base import Plain
from protocol.dialects.wording import sentence
from protocol.errors import ErrorCode, Problem, Refused
from protocol.frames import encode_text
from protocol.ids import RoomId, is_room_id
from protocol.lasting import TimerKind
from protocol.limits import SMALLEST_CAPACITY
from protocol.messages import Command, Event
from protocol.names import ADMIN_MARK, NOT_ADMIN, looks_like_admin

_LONGEST_INTEGER: Final = 9  # digits; int() of unbounded text is quadratic


@attrs.frozen
class CreateRoom:
    """A connection that opens a room."""

    name: str
    capacity: int


@attrs.frozen
class JoinRoom:
    """A connection that enters a room."""

    name: str
    room_id: RoomId


def parse_query(query: str, largest_capacity: int) -> CreateRoom | JoinRoom:
    """Read what a connection wants from the query of its ``/ws`` request.

    Args:
        query: still percent-encoded, without the question mark. Of a parameter given twice
            the first counts.
        largest_capacity: seats that may be asked for at the most.

    Raises:
        Refused: naming the parameter.
    """
    try:
        given = parse_qs(query, keep_blank_values=True, errors="strict", max_num_fields=20)
    except ValueError:
        raise Refused(
            ErrorCode.MALFORMED, "the query of the address is not valid UTF-8 or too long", "query"
        ) from None
    parameters = {key: values[0].strip() for key, values in given.items()}
    action = parameters.get("action", "").lower()  # upper() would take a dotless i for an I
    if action not in {"create_room", "join_room"}:
        raise Refused(ErrorCode.MALFORMED, "action must be CREATE_ROOM or JOIN_ROOM", "action")
    try:
        name = codec.clean_name(parameters.get("name", ""))
    except ValueError as error:
        raise Refused(ErrorCode.MALFORMED, f"name {error}", "name") from None
    if looks_like_admin(name):
        raise Refused(ErrorCode.MALFORMED, f"name {NOT_ADMIN}", "name")
    if action == "create_room":
        return CreateRoom(name, _capacity(parameters, largest_capacity))
    room_id = parameters.get("room_id", "")
    if not room_id:
        raise Refused(ErrorCode.MALFORMED, "room_id must be given to join a room", "room_id")
    if not is_room_id(room_id):
        raise no_such_room(room_id)
    return JoinRoom(name, RoomId(room_id))


def no_such_room(room_id: str) -> Refused:
    """Make the refusal of a room that does not exist, or not any more."""
    shown = room_id if is_room_id(room_id) else "of this id"
    return Refused(ErrorCode.NO_SUCH_ROOM, f"there is no room {shown}", "room_id")


def _capacity(parameters: Mapping[str, str], largest: int) -> int:
    text = parameters.get("max_room_capacity", "")
    digits = text.removeprefix("+").lstrip("0")
    if digits.isascii() and digits.isdigit() and len(digits) <= _LONGEST_INTEGER:
        capacity = int(digits)
        if SMALLEST_CAPACITY <= capacity <= largest:
            return capacity
    raise Refused(
        ErrorCode.MALFORMED,
        f"max_room_capacity must be an integer from {SMALLEST_CAPACITY} to {largest}",
        "max_room_capacity",
    )


class EstimateX(Plain):
    """A :class:`~protocol.dialects.base.Dialect`."""

    def decode(self, text: str) -> Command:
        """Read ``{"type": T, "data": {...}}``.

        Raises:
            Refused: if it is no command; the field is named.
        """
        message = codec.loads(text)
        if type(message) is not dict:
            raise Refused(ErrorCode.MALFORMED, "the message must be a JSON object")
        kind = message.get("type")
        wanted = _COMMANDS.get(kind) if type(kind) is str else None
        if wanted is None:
            complaint = (
                "must be one of " + ", ".join(_COMMANDS) if "type" in message else "is missing"
            )
            raise Refused(ErrorCode.MALFORMED, f"type {complaint}", "type")
        if "data" not in message:
            raise Refused(ErrorCode.MALFORMED, "data is missing", "data")
        if len(message) > len(("type", "data")):
            unknown = sorted(message.keys() - {"type", "data"})[0][:100]
            raise Refused(ErrorCode.MALFORMED, f"{unknown} is not known", unknown)
        return cast("Command", codec.structure(message["data"], wanted, "data"))

    def encode(self, event: Event) -> bytes | None:
        """Write one event as a complete, unmasked WebSocket frame.

        Returns:
            The frame; ``None`` for an event that has no place among the nine types.
        """
        encoder = _ENCODERS.get(type(event))
        return encoder and encode_text(encoder(event))

    def word(self, problem: Problem) -> str:
        """Say in one sentence what was refused; fields are called as in its messages."""
        return sentence(problem, _SENTENCES)


ESTIMATEX: Final = EstimateX()

_COMMANDS: Final[dict[str, type]] = {
    "JOIN_ROOM": messages.Announce,
    "BEGIN_VOTING": messages.BeginVoting,
    "MEMBER_VOTED": messages.CastVote,
    "REVEAL_VOTES": messages.RevealVotes,
}


# Fields and messages have names here that the rules do not know.
_SENTENCES: Final = {
    ErrorCode.NOT_ANNOUNCED: "join the room with JOIN_ROOM first",
    ErrorCode.NEEDS_PASSCODE: (
        "this room has a passcode, which cannot be said in this dialect; come with a client of "
        "parley.v1"
    ),
    ErrorCode.NOT_IN_DECK: "data.vote must be a card of this room ({cards})",
}


def _event(kind: str, **data: object) -> bytes:
    return codec.dumps({"type": kind, "data": data})


def refusal_text(problem: Problem) -> str:
    """Word a refusal for people."""
    message = sentence(problem, _SENTENCES)
    if not message.startswith(("data.", problem.field or "data.")):  # names keep their case
        message = message[:1].upper() + message[1:]
    return f"! {message}."


def _named(name: str, *, admin: bool) -> str:
    return f"{name} {ADMIN_MARK}" if admin else name


def _created(event: messages.RoomCreated) -> bytes:
    return _event("CREATE_ROOM", room_id=event.room_id)


def _update(message: str) -> bytes:
    return _event("ROOM_JOIN_UPDATES", message=message)


def _welcome(event: messages.Welcome) -> bytes:
    message = f"You are in room {event.room_id}"
    cards = {}
    if event.deck != DEFAULT_DECK:  # which all know who speak this dialect
        message += f"; its cards: {event.deck.spelled}"
        cards = {"cards": event.deck.plain()}
    if event.results_key:
        path = f"/rooms/{event.room_id}/results?key={event.results_key}"
        message += f"; its results: {path}"
    return _event("ROOM_JOIN_UPDATES", message=message, **cards)


def _present(event: messages.MemberPresent) -> bytes:
    return _update(f"{_named(event.name, admin=event.admin)} is in the room")


def _joined(event: messages.MemberJoined) -> bytes:
    return _update(f"{_named(event.name, admin=event.admin)} has joined the room")


def _left(event: messages.MemberLeft) -> bytes:
    removed = f": {event.by} has removed them" if event.by is not None else ""
    return _update(f"{event.name} has left the room{removed}")


def _capacity_reached(event: messages.CapacityReached) -> bytes:
    return _event("ROOM_CAPACITY_REACHED", message=f"All {event.capacity} seats are taken")


def _ticket_prompt(event: messages.TicketPrompt) -> bytes:
    which = "first" if event.first else "next"
    return _event("BEGIN_VOTING_PROMPT", message=f"Enter the id of the {which} ticket:")


def _vote_requested(event: messages.VoteRequested) -> bytes:
    return _event("ASK_FOR_VOTE", ticket_id=event.ticket_id)


def _vote_cast(event: messages.VoteCast) -> bytes:
    return f"* {event.name} has voted on ticket {event.ticket_id}".encode()


def _vote_retracted(event: messages.VoteRetracted) -> bytes:
    return f"* {event.name} has taken back the vote on ticket {event.ticket_id}".encode()


def _vote_changed(event: messages.VoteChanged) -> bytes:
    return f"* The vote of {event.name} on ticket {event.ticket_id} is now {event.card}".encode()


def _estimate_set(event: messages.EstimateSet) -> bytes:
    if event.card is None:
        return f"* Ticket {event.ticket_id} has no estimate any more".encode()
    return f"* The estimate of ticket {event.ticket_id} is {event.card}".encode()


def _spoken(event: messages.Spoken) -> bytes:
    return f"* {event.name}: {' '.join(event.text.split())}".encode()


def _voting_completed(event: messages.VotingCompleted) -> bytes:
    message = f"Everybody has voted on ticket {event.ticket_id}; the admin may reveal the votes"
    return _event("VOTING_COMPLETED", ticket_id=event.ticket_id, message=message)


def _reveal_prompt(event: messages.RevealPrompt) -> bytes:
    message = f"Reveal the votes on ticket {event.ticket_id}?"
    return _event("REVEAL_VOTES_PROMPT", ticket_id=event.ticket_id, message=message)


def _votes_revealed(event: messages.VotesRevealed) -> bytes:
    votes = {
        vote.member_id: {
            "Value": vote.value,
            "MemberID": vote.member_id,
            "MemberName": vote.name,
        }
        for vote in event.votes
    }
    return _event("VOTES_REVEALED", ticket_id=event.ticket_id, client_vote_choice_map=votes)


def _awaiting_ticket(event: messages.AwaitingTicket) -> bytes:
    return _event("AWAITING_ADMIN_VOTE_START", message="The admin will name the next ticket")


def _role_taken(event: messages.RoleTaken) -> bytes:
    does = "votes" if event.votes else "only watches"
    return f"* {event.name} {does} from now on".encode()


def _owner_named(event: messages.OwnerNamed) -> bytes:
    return f"* {event.name} leads the room from now on".encode()


def _nobody_leads(event: messages.NobodyLeads) -> bytes:
    return b"* Nobody leads the room any more"


def _renamed(event: messages.MemberRenamed) -> bytes:
    return f"* {event.before} is called {event.name} from now on".encode()


def _seats_added(event: messages.SeatsAdded) -> bytes:
    return f"* The room has {event.capacity} seats from now on".encode()


def _reminded(event: messages.Reminded) -> bytes:
    return f"* {event.by} waits for your vote on ticket {event.ticket_id}".encode()


def _timer_set(event: messages.TimerSet) -> bytes:
    minutes, seconds = divmod(event.seconds, 60)
    return f"* {minutes}:{seconds:02} min are left for {_TIMED[event.kind]}".encode()


def _timer_over(event: messages.TimerOver) -> bytes:
    return f"* The time for {_TIMED[event.kind]} is up".encode()


_TIMED: Final = {TimerKind.DISCUSSION: "the discussion", TimerKind.VOTING: "voting"}


def _refusal(event: messages.Refusal) -> bytes:
    return refusal_text(event.problem).encode()


def _closed(event: messages.RoomClosed) -> bytes:
    return _update(f"The room is closed: {event.reason}")


_ENCODERS: Final[dict[type, Callable[[Any], bytes]]] = {
    messages.RoomCreated: _created,
    messages.Welcome: _welcome,
    messages.MemberPresent: _present,
    messages.MemberJoined: _joined,
    messages.MemberLeft: _left,
    messages.CapacityReached: _capacity_reached,
    messages.TicketPrompt: _ticket_prompt,
    messages.VoteRequested: _vote_requested,
    messages.VoteCast: _vote_cast,
    messages.VoteRetracted: _vote_retracted,
    messages.VoteChanged: _vote_changed,
    messages.EstimateSet: _estimate_set,
    messages.Spoken: _spoken,
    messages.VotingCompleted: _voting_completed,
    messages.RevealPrompt: _reveal_prompt,
    messages.VotesRevealed: _votes_revealed,
    messages.AwaitingTicket: _awaiting_ticket,
    messages.RoleTaken: _role_taken,
    messages.OwnerNamed: _owner_named,
    messages.NobodyLeads: _nobody_leads,
    messages.MemberRenamed: _renamed,
    messages.SeatsAdded: _seats_added,
    messages.Reminded: _reminded,
    messages.TimerSet: _timer_set,
    messages.TimerOver: _timer_over,
    messages.Refusal: _refusal,
    messages.RoomClosed: _closed,
}
