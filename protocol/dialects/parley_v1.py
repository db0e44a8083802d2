"""The wire format ``parley.v1``: JSON objects in text frames, each with its ``type``.

What a client says is refused if it has a field that is not known; what the server says may get
more fields and more types, which clients ignore.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeVar

import attrs

from protocol import changes, chat_changes, codec, greeting, lasting, messages, talking
from protocol.dialects.wording import sentence
from protocol.errors import ErrorCode, Problem, Refused
from protocol.farewell import Ending, Farewell, Parting
from protocol.frames import encode_text
from protocol.messages import Command, Event
from protocol.names import NOT_ADMIN, looks_like_admin

SUBPROTOCOL: Final = "parley.v1"

LARGEST_REF: Final = 2**53 - 1
"""The largest integer that every JSON parser keeps (RFC 8259 section 6)."""

SHORTEST_NONCE: Final = 16
LONGEST_NONCE: Final = 64
"""Characters of what a client draws, so that its hello can be repeated."""

CLOSE_CODES: Final[Mapping[Ending, int]] = {
    Ending.GOING_AWAY: 4000,
    Ending.TOO_SLOW: 4001,
    Ending.SILENT: 4002,
    Ending.FAULT: 4003,
    Ending.BUSY: 4004,
    Ending.ROOM_ENDED: 4500,
    Ending.LEFT: 4501,
    Ending.REMOVED: 4502,
    Ending.REPLACED: 4503,
    Ending.NO_SUCH_ROOM: 4504,
    Ending.ROOM_FULL: 4505,
    Ending.WRONG_KEY: 4506,
    Ending.REFUSED: 4507,
    Ending.STRUCK_OUT: 4508,
    Ending.SIGNED_OUT: 4509,
    Ending.LOCKED: 4510,
}
"""Below 4500 it is worth to come back, from 4500 on it is not (RFC 6455 section 7.4.2)."""

ENDINGS: Final[Mapping[int, Ending]] = {code: ending for ending, code in CLOSE_CODES.items()}

RETRY: Final = frozenset(
    {
        ErrorCode.TOO_FAST,
        ErrorCode.TOO_MUCH,
        ErrorCode.NOT_NOW,
        ErrorCode.RESTING,
        ErrorCode.SHUTTING_DOWN,
    }
)
"""Refusals that depend on the moment alone: the same request may be sent again later."""

REQUESTS: Final[Mapping[str, type]] = {
    "begin": lasting.BeginRound,
    "vote": lasting.CastCard,
    "retract": lasting.Retract,
    "reveal": lasting.RevealRound,
    "estimate": lasting.SetEstimate,
    "configure": lasting.Configure,
    "role": lasting.ChangeRole,
    "promote": lasting.Promote,
    "demote": lasting.Demote,
    "hand_over": lasting.HandOver,
    "claim": lasting.Claim,
    "rename": lasting.Rename,
    "capacity": lasting.RaiseCapacity,
    "nudge": lasting.Nudge,
    "passcode": lasting.SetPasscode,
    "lock": lasting.Lock,
    "kick": lasting.Kick,
    "start_timer": lasting.StartTimer,
    "pause_timer": lasting.PauseTimer,
    "resume_timer": lasting.ResumeTimer,
    "extend_timer": lasting.ExtendTimer,
    "stop_timer": lasting.StopTimer,
    "say": lasting.SayHere,
    "unsay": lasting.Unsay,
    "close": lasting.CloseRoom,
    "leave": lasting.Depart,
}
"""What a member of an estimation room may ask for, each with a ``ref``."""

SIGNALS: Final[Mapping[str, type]] = {
    "react": lasting.React,
}
"""What a member of an estimation room may say without a ``ref``: it is of the moment, and answered
only if it is refused."""

CHANGES: Final[Mapping[str, type]] = {
    "joined": changes.Joined,
    "left": changes.Left,
    "away": changes.WentAway,
    "back": changes.CameBack,
    "owner": changes.OwnerChanged,
    "configured": changes.Configured,
    "door": changes.DoorChanged,
    "begun": changes.Begun,
    "voted": changes.Voted,
    "retracted": changes.Retracted,
    "revealed": changes.Revealed,
    "role": changes.RoleChanged,
    "facilitator": changes.FacilitatorChanged,
    "unled": changes.Unled,
    "renamed": changes.Renamed,
    "capacity": changes.CapacityRaised,
    "recast": changes.Recast,
    "estimated": changes.Estimated,
    "timer": changes.TimerChanged,
    "time_up": changes.TimeOver,
    "said": changes.Said,
    "unsaid": changes.Unsaid,
}
"""What happens in an estimation room, each with a ``seq``."""

_NOTICES: Final[Mapping[str, type]] = {
    "welcome": greeting.Greeting,
    "ack": changes.Ack,
    "saved": changes.Saved,
    "ping": greeting.ServerPing,
    "pong": greeting.Pong,
    "goodbye": greeting.Goodbye,
}

NOTICES: Final[Mapping[str, type]] = {
    **_NOTICES,
    "snapshot": changes.Snapshot,
    "digest": changes.Digest,
    "nudged": changes.Nudged,
    "reactions": changes.Reactions,
}
"""What the server says in estimation rooms beside changes and errors."""

CHAT_REQUESTS: Final[Mapping[str, type]] = {
    "say": talking.SayOnce,
    "edit": talking.EditMessage,
    "delete": talking.DeleteMessage,
    "read": talking.MarkRead,
    "typing": talking.Typing,
    "history": talking.ReadHistory,
    "leave": lasting.Depart,
}
"""What a member of a chat room may ask for, each with a ``ref``."""

CHAT_CHANGES: Final[Mapping[str, type]] = {
    "said": chat_changes.Said,
    "edited": chat_changes.Edited,
    "deleted": chat_changes.Deleted,
    "here": chat_changes.PersonHere,
    "away": chat_changes.PersonAway,
    "gone": chat_changes.PersonGone,
    "author_gone": chat_changes.AuthorGone,
    "typing": chat_changes.IsTyping,
    "read": chat_changes.ReadUpTo,
    "present": chat_changes.Present,
}
"""What happens in a chat room; the first three have a ``seq``."""

CHAT_NOTICES: Final[Mapping[str, type]] = {
    **_NOTICES,
    "snapshot": chat_changes.ChatSnapshot,
    "history": chat_changes.History,
}
"""What the server says in chat rooms beside changes and errors."""

Said = TypeVar("Said")
Writer = Callable[[Any], bytes]
"""Gives a message as JSON."""

_REFUSALS: Final = frozenset({changes.Failure, messages.Refusal})


@attrs.frozen(kw_only=True)
class Error:
    """On the wire, whatever is refused."""

    code: ErrorCode | str
    text: str
    """For people."""
    field: str | None = None
    """The offending field, if there is one."""
    ref: int | None = None
    """Of the request that was refused, if it has one."""
    retry: bool = False
    """Whether the same request may be sent again later: it counts as not answered yet."""
    tries_left: int | None = None
    """How many more wrong passcodes are taken now, after one."""
    retry_after: int | None = None
    """Seconds after which it is worth to try again, where that is known."""


def read_hello(text: str) -> greeting.Hello:
    """Read a client's first message.

    Raises:
        Refused: if it is none; the field is named.
    """
    hello = _first(text, greeting.Hello)
    if hello.resume is not None:
        _refuse_beside_resume(hello)
    elif (hello.name is None) is (hello.token is None):
        complaint = "name, token or resume must say who comes, and one of them alone"
        raise Refused(ErrorCode.MALFORMED, complaint, "name")
    nonce = hello.nonce
    if nonce is not None and not SHORTEST_NONCE <= len(nonce) <= LONGEST_NONCE:
        complaint = f"nonce must be {SHORTEST_NONCE} to {LONGEST_NONCE} characters long"
        raise Refused(ErrorCode.MALFORMED, complaint, "nonce")
    if hello.name is None:
        return hello
    try:
        name = codec.clean_name(hello.name)
    except ValueError as error:
        raise Refused(ErrorCode.MALFORMED, f"name {error}", "name") from None
    if looks_like_admin(name):
        raise Refused(ErrorCode.MALFORMED, f"name {NOT_ADMIN}", "name")
    return attrs.evolve(hello, name=name)


def _refuse_beside_resume(hello: greeting.Hello) -> None:
    """Let whoever comes back show nothing that would be ignored: it is who it was."""
    plain = greeting.Hello(resume=hello.resume)
    for field in attrs.fields(greeting.Hello):
        if getattr(hello, field.name) != getattr(plain, field.name):
            complaint = f"{field.name} is not for a member that comes back by resume"
            raise Refused(ErrorCode.MALFORMED, complaint, field.name)


def read_chat_hello(text: str) -> greeting.ChatHello:
    """Read a client's first message to a chat room.

    Raises:
        Refused: if it is none; the field is named.
    """
    return _first(text, greeting.ChatHello)


def _first(text: str, wanted: type[Said]) -> Said:
    message = _object(text)
    if message.pop("type", None) != "hello":
        raise Refused(ErrorCode.MALFORMED, "the first message must be of type hello", "type")
    return codec.structure(message, wanted, "")


def _ack(ack: changes.Ack) -> bytes:
    return b'{"type":"ack","ref":%d,"seq":%d}' % (ack.ref, ack.seq)


def _voted(voted: changes.Voted) -> bytes:
    said = b'{"type":"voted","seq":%d,"member":%b,"complete":%b,"may":%b}'
    may = b"null" if voted.may is None else codec.dumps(codec.CONVERTER.unstructure(voted.may))
    return said % (voted.seq, codec.dumps(voted.member), _BOOLEANS[voted.complete], may)


_BOOLEANS: Final = (b"false", b"true")
_OFTEN: Final[Mapping[type, Writer]] = {changes.Ack: _ack, changes.Voted: _voted}
"""Writers of what is said once for each vote, and by itself would take half of its time."""


def _writer(name: str, kind: type) -> Writer:
    """Make what gives events of one kind as JSON."""
    if not attrs.fields(kind):
        raise AssertionError(f"nothing would follow the type of {name}")
    plain = codec.CONVERTER.get_unstructure_hook(kind)
    # Put together as text, which takes less time than a dictionary made of another one.
    head = codec.dumps({"type": name})[:-1] + b","
    return lambda event: head + codec.dumps(plain(event))[1:]


def _read_card(fields: Mapping[str, Any]) -> lasting.CastCard | None:
    """Read what is asked for most often, in a fifth of the time; ``None`` for cattrs to judge."""
    number, card = fields.get("round"), fields.get("card")
    if len(fields) == 2 and type(number) is int and type(card) is str:
        return lasting.CastCard(number, card)
    return None


class ParleyV1:
    """A :class:`~protocol.dialects.base.Dialect`."""

    def __init__(
        self,
        requests: Mapping[str, type],
        events: Mapping[str, type],
        numbered: Callable[[int, Any], Command] = lasting.Numbered,
        seals: Mapping[type, Callable[[Any], object]] | None = None,
        signals: Mapping[str, type] = MappingProxyType({}),
    ) -> None:
        """Speak of one kind of room.

        Args:
            requests: what may be asked for, by type.
            events: what is told, by type.
            numbered: makes the command of a request and its number.
            seals: for requests with a secret, what gives the request that goes on in its place.
            signals: what may be said without a number, by type, beside the ping.
        """
        self._signals = signals
        self._requests = requests
        self._numbered = numbered
        self._seals = seals or {}
        self._writers: Mapping[type, Writer] = {
            kind: _OFTEN.get(kind) or _writer(name, kind) for name, kind in events.items()
        }

    def decode(self, text: str) -> Command:
        """Read ``{"type": T, "ref": N, ...}``.

        Raises:
            Refused: if it is no request; the field is named, and the problem's values have the
                ``ref`` if there is one.
        """
        message = _object(text)
        kind = message.pop("type", None)
        if kind == "ping" and not message:
            return lasting.Ping()
        ref = message.pop("ref", None)
        numbered = type(ref) is int and 0 < ref <= LARGEST_REF
        try:
            wanted = self._requests.get(kind) if type(kind) is str else None
            if wanted is None:
                if type(kind) is str and kind in self._signals:
                    return self._signal(text, self._signals[kind])
                known = (*self._requests, *self._signals, "ping")
                complaint = "type must be one of " + ", ".join(known)
                raise Refused(ErrorCode.MALFORMED, complaint, "type")
            if not numbered:
                complaint = f"ref must be an integer from 1 to {LARGEST_REF}"
                raise Refused(ErrorCode.MALFORMED, complaint, "ref")
            request: Any = _read_card(message) if wanted is lasting.CastCard else None
            if request is None:
                request = codec.structure(message, wanted, "")
                if wanted in self._seals:
                    request = self._seals[wanted](request)
            return self._numbered(ref, request)
        except Refused as refused:
            if numbered:
                values = {"ref": ref}
                refused.problem = attrs.evolve(refused.problem, values=values)
            raise

    def _signal(self, text: str, wanted: type[Said]) -> Said:
        message = _object(text)
        del message["type"]
        return codec.structure(message, wanted, "")

    def encode(self, event: Event) -> bytes | None:
        """Write one event as a complete, unmasked WebSocket frame.

        Returns:
            The frame; ``None`` for an event that has no place in this dialect.
        """
        kind = type(event)
        write = self._writers.get(kind)
        if write is not None:
            return encode_text(write(event))
        if kind not in _REFUSALS:
            return None
        if isinstance(event, changes.Failure):
            return self._error(event.problem, event.ref)
        if isinstance(event, messages.Refusal):
            ref = event.problem.values.get("ref")
            return self._error(event.problem, ref if isinstance(ref, int) else None)
        return None

    def word(self, problem: Problem) -> str:
        """Say in one sentence what was refused."""
        return sentence(problem)

    def part(self, farewell: Farewell) -> Parting:
        """Say goodbye: a last message, and a close code that tells whether to come back."""
        goodbye = greeting.Goodbye(
            reason=farewell.ending,
            text=farewell.reason,
            back_in=farewell.back_in,
            room_survives=farewell.survives,
        )
        return Parting(write(goodbye), CLOSE_CODES[farewell.ending], farewell.reason)

    def _error(self, problem: Problem, ref: int | None) -> bytes:
        said = Error(
            code=problem.code,
            text=self.word(problem),
            field=problem.field,
            ref=ref,
            retry=problem.code in RETRY,
            tries_left=_whole(problem, "tries_left"),
            retry_after=_whole(problem, "retry_after"),
        )
        return encode_text(codec.dumps({"type": "error", **codec.CONVERTER.unstructure(said)}))


def _whole(problem: Problem, name: str) -> int | None:
    number = problem.values.get(name)
    return number if isinstance(number, int) else None


PARLEY_V1: Final = ParleyV1(REQUESTS, {**CHANGES, **NOTICES}, signals=SIGNALS)
"""The dialect of estimation rooms."""


def sealing(seal: Callable[[str], str]) -> ParleyV1:
    """Make the dialect of estimation rooms for whoever reads what members ask for.

    Args:
        seal: gives what is kept in place of a passcode, which goes nowhere else.
    """

    def sealed(wish: lasting.SetPasscode) -> lasting.SealPasscode:
        return lasting.SealPasscode(None if wish.passcode is None else seal(wish.passcode))

    seals: Mapping[type, Callable[[Any], object]] = {lasting.SetPasscode: sealed}
    return ParleyV1(REQUESTS, {**CHANGES, **NOTICES}, signals=SIGNALS, seals=seals)


PARLEY_CHAT_V1: Final = ParleyV1(
    CHAT_REQUESTS, {**CHAT_CHANGES, **CHAT_NOTICES}, talking.NumberedTalk
)
"""The dialect of chat rooms."""


def write(notice: object) -> bytes:
    """Write what the server says of itself, such as a welcome, as a frame."""
    kind = _NOTICE_TYPES[type(notice)]
    return encode_text(codec.dumps({"type": kind, **codec.CONVERTER.unstructure(notice)}))


_NOTICE_TYPES: Final = {kind: name for name, kind in NOTICES.items()}


# --- the client's side ------------------------------------------------------------------------


@attrs.frozen
class Unknown:
    """Something that a newer server says; a numbered one counts all the same."""

    type: str
    seq: int | None


def write_hello(hello: greeting.Hello | greeting.ChatHello) -> str:
    """Write a client's first message, without what is not given."""
    plain = codec.CONVERTER.unstructure(hello)
    return codec.dumps({"type": "hello", **_without_none(plain)}).decode()


def write_request(ref: int, request: object) -> str:
    """Write a request."""
    kind = _REQUEST_TYPES[type(request)]
    plain = codec.CONVERTER.unstructure(request)
    return codec.dumps({"type": kind, "ref": ref, **plain}).decode()


def write_signal(signal: object) -> str:
    """Write what is said without a number."""
    plain = codec.CONVERTER.unstructure(signal)
    return codec.dumps({"type": _SIGNAL_TYPES[type(signal)], **plain}).decode()


def read(text: str, events: Mapping[str, type] = {**CHANGES, **NOTICES}) -> Any:
    """Read what a server says, as a client: a change, a notice, an :class:`Error`.

    Raises:
        Refused: if it is no message of this dialect.
    """
    message = _object(text)
    kind = message.pop("type", None)
    if kind == "error":
        return _structure(message, Error)
    wanted = events.get(kind) if type(kind) is str else None
    if wanted is None:
        seq = message.get("seq")
        return Unknown(str(kind), seq if type(seq) is int else None)
    return _structure(message, wanted)


_REQUEST_TYPES: Final = {kind: name for name, kind in (*CHAT_REQUESTS.items(), *REQUESTS.items())}
_SIGNAL_TYPES: Final = {kind: name for name, kind in SIGNALS.items()}


def _structure(message: object, wanted: type[Said]) -> Said:
    try:
        return codec.LENIENT.structure(message, wanted)
    except Exception as error:
        complaint = f"the server's {wanted.__name__} is not understood: {error!r}"
        raise Refused(ErrorCode.MALFORMED, complaint) from error


def _without_none(plain: Any) -> Any:
    if type(plain) is dict:
        return {key: _without_none(value) for key, value in plain.items() if value is not None}
    return plain


def _object(text: str) -> dict[str, Any]:
    message = codec.loads(text)
    if type(message) is not dict:
        raise Refused(ErrorCode.MALFORMED, "the message must be a JSON object")
    return message
