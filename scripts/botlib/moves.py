"""What a member of an estimation room says and waits for, and what a broken rule is."""

import json
from enum import Enum

import attrs


class Phase(Enum):
    """What a member waits for; the value is for reports."""

    CREATING = "CREATE_ROOM"
    ENTERING = "the welcome to the room"
    GREETED = "the lines about who is there, its own last"
    GATHERING = "ROOM_CAPACITY_REACHED"
    PROMPTED_SOON = "BEGIN_VOTING_PROMPT"
    READY = "ASK_FOR_VOTE"
    VOTING = "everybody's vote and VOTING_COMPLETED"
    COMPLETED = "REVEAL_VOTES_PROMPT"
    REVEALING = "VOTES_REVEALED"
    REVEALED = "AWAITING_ADMIN_VOTE_START"
    ENDING = "the end of the session"


class Act(Enum):
    """What a member says."""

    JOIN = "JOIN_ROOM"
    BEGIN = "BEGIN_VOTING"
    VOTE = "MEMBER_VOTED"
    REVEAL = "REVEAL_VOTES"


@attrs.frozen
class Violation:
    """One broken rule."""

    rule: str
    """Short and stable, to be counted by."""
    member: str
    detail: str


@attrs.frozen
class Reply:
    """A message that the member sends next."""

    act: Act
    text: str
    card: str = ""


def reply(act: Act, card: str = "", /, **data: str) -> Reply:
    """Word ``act`` for the wire."""
    return Reply(act, json.dumps({"type": act.value, "data": data}, ensure_ascii=False), card)
