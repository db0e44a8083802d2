"""The shapes that a message of the estimation dialect may have; no order, no meaning."""

import json
from collections.abc import Mapping
from typing import Any, Final, NoReturn

import attrs

_MESSAGE: Final = frozenset({"message"})
_TICKET: Final = frozenset({"ticket_id"})

FIELDS: Final[Mapping[str, frozenset[str]]] = {
    "CREATE_ROOM": frozenset({"room_id"}),
    "ROOM_JOIN_UPDATES": _MESSAGE,
    "ROOM_CAPACITY_REACHED": _MESSAGE,
    "BEGIN_VOTING_PROMPT": _MESSAGE,
    "ASK_FOR_VOTE": _TICKET,
    "VOTING_COMPLETED": _TICKET | _MESSAGE,
    "REVEAL_VOTES_PROMPT": _TICKET | _MESSAGE,
    "VOTES_REVEALED": _TICKET | {"client_vote_choice_map"},
    "AWAITING_ADMIN_VOTE_START": _MESSAGE,
}
"""Every type that a server may send, with the fields of its data."""

VOTE_FIELDS: Final = frozenset({"Value", "MemberID", "MemberName"})


class Malformed(Exception):
    """A message has no shape that the dialect knows."""


@attrs.frozen
class Event:
    """A JSON event whose fields are those of its type, all of them strings but the votes."""

    type: str
    data: Mapping[str, Any]

    @property
    def message(self) -> str:
        """What it says to people; empty for a type without such a text."""
        return str(self.data.get("message", ""))


def parse(raw: str) -> Event | str:
    """Read one text message: an event, or a plain text as it is.

    Raises:
        Malformed: if it is neither; a published client would exit, or show JSON to its user.
    """
    try:
        read = json.loads(raw, object_pairs_hook=unique_keys, parse_constant=no_constant)
    except json.JSONDecodeError:
        if not raw.strip():
            raise Malformed("an empty text") from None
        if raw.lstrip().startswith("{"):
            raise Malformed(f"broken JSON: {shown(raw)}") from None
        return raw
    except RecursionError:
        raise Malformed(f"JSON without end: {shown(raw)}") from None
    if not isinstance(read, dict):
        raise Malformed(f"JSON, but no object: {shown(raw)}")
    return _event(read, raw)


def shown(text: str) -> str:
    """Shorten a text for a report."""
    return repr(text if len(text) <= 120 else text[:117] + "...")


def _event(read: dict[str, Any], raw: str) -> Event:
    kind, data = read.get("type"), read.get("data")
    if not isinstance(kind, str) or kind not in FIELDS:
        raise Malformed(f"a type that the published client does not know: {shown(raw)}")
    if not isinstance(data, dict) or read.keys() != {"type", "data"}:
        raise Malformed(f"{kind} is not of the form type and data: {shown(raw)}")
    if data.keys() != FIELDS[kind]:
        wanted = ", ".join(sorted(FIELDS[kind]))
        raise Malformed(f"{kind} must carry {wanted}, not {', '.join(sorted(data)) or 'nothing'}")
    for field, value in data.items():
        if field == "client_vote_choice_map":
            _check_votes(value)
        elif not isinstance(value, str):
            raise Malformed(f"{kind}: {field} must be a string, not {value!r}")
    return Event(kind, data)


def _check_votes(votes: object) -> None:
    if not isinstance(votes, dict):
        raise Malformed("client_vote_choice_map must be an object")
    for key, vote in votes.items():
        if not isinstance(vote, dict) or vote.keys() != VOTE_FIELDS:
            raise Malformed(f"a vote must carry Value, MemberID and MemberName: {vote!r}")
        if not all(isinstance(value, str) and value for value in vote.values()):
            raise Malformed(f"Value, MemberID and MemberName must be strings: {vote!r}")
        if vote["MemberID"] != key:
            raise Malformed(f"the vote of {vote['MemberID']!r} is listed under {key!r}")


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of a JSON text; a hook for the parser.

    Raises:
        Malformed: if a key occurs twice.
    """
    read = dict(pairs)
    if len(read) < len(pairs):
        raise Malformed(f"a key occurs twice in one object: {[key for key, _ in pairs]}")
    return read


def no_constant(name: str) -> NoReturn:
    """Refuse what Python takes for JSON but is none; a hook for the parser.

    Raises:
        Malformed: always.
    """
    raise Malformed(f"{name} is not JSON")
