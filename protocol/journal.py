"""What a room's log holds: commands with their members and times, as JSON and back.

Replaying them over a snapshot gives the room as it was, since the rules are a function of these.
"""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import orjson

from protocol import lasting
from protocol.codec import CONVERTER
from protocol.errors import ParleyError
from protocol.ids import MemberId
from protocol.messages import (
    Announce,
    BeginVoting,
    CastVote,
    Command,
    Enter,
    Leave,
    RevealVotes,
    TimeUp,
)


class Unreadable(ParleyError):
    """A log or a snapshot is not what this version has written."""


class Entry(NamedTuple):
    """A command that was applied; a tuple, since a busy server makes thousands each second."""

    at: float
    """The time that the rules were given, in Unix seconds."""
    member: MemberId
    command: Command


_REQUESTS: Final[dict[str, type]] = {
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
    "passcode": lasting.SealPasscode,
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
_COMMANDS: Final[dict[str, type]] = {
    "Join": lasting.Join,
    "Detach": lasting.Detach,
    "Return": lasting.Return,
    "Restart": lasting.Restart,
    "Park": lasting.Park,
    "Enter": Enter,
    "Announce": Announce,
    "BeginVoting": BeginVoting,
    "CastVote": CastVote,
    "RevealVotes": RevealVotes,
    "Leave": Leave,
    "TimeUp": TimeUp,
}
_WRITERS: Final = {
    kind: (name, CONVERTER.get_unstructure_hook(kind))
    for name, kind in (_REQUESTS | _COMMANDS).items()
}
LOGGED: Final = frozenset({lasting.Numbered, *_COMMANDS.values()})
"""The commands that may change an estimation room; others need not be in its log."""


def write_entries(entries: Iterable[tuple[float, MemberId, Command]]) -> bytes:
    """Give entries as JSON: a list of ``[at, member, name, fields]``, with ``ref`` if numbered.

    Args:
        entries: each an :class:`Entry`, or the same as a plain tuple.
    """
    return orjson.dumps([_plain(*each) for each in entries])


def read_entries(data: bytes) -> list[Entry]:
    """Read what :func:`write_entries` gave.

    Raises:
        Unreadable: if it is something else.
    """
    try:
        return [_entry(*each) for each in orjson.loads(data)]
    except Exception as error:
        raise Unreadable(f"a log cannot be read: {error!r}") from error


def _plain(at: float, member: MemberId, command: Command) -> tuple[Any, ...]:
    if isinstance(command, lasting.Numbered):
        request = command.request
        name, fields = _WRITERS[request.__class__]
        return at, member, name, fields(request), command.ref
    name, fields = _WRITERS[command.__class__]
    return at, member, name, fields(command)


def _entry(at: Any, member: Any, name: str, fields: Any, ref: Any = None) -> Entry:
    at, member = CONVERTER.structure(at, float), CONVERTER.structure(member, MemberId)
    if ref is None:
        return Entry(at, member, CONVERTER.structure(fields, _COMMANDS[name]))
    request: lasting.Request = CONVERTER.structure(fields, _REQUESTS[name])
    return Entry(at, member, lasting.Numbered(CONVERTER.structure(ref, int), request))
