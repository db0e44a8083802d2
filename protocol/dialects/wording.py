"""What refusals by the rules are called in English, for the dialects that tell people."""

from collections.abc import Mapping
from typing import Final

from protocol.errors import ErrorCode, Problem

_DEEDS: Final = {
    "begin": "begin a vote",
    "reveal": "reveal the votes",
    "close": "end the room",
    "estimate": "set the estimate",
    "configure": "change the room's options",
    "promote": "make facilitators",
    "demote": "let facilitators lead no longer",
    "hand_over": "hand the room over",
    "capacity": "add seats",
    "nudge": "remind others",
    "role": "say who votes and who only watches",
    "passcode": "change the passcode",
    "lock": "lock the room",
    "kick": "remove members",
    "start_timer": "start a timer",
    "pause_timer": "pause the timer",
    "resume_timer": "let the timer go on",
    "extend_timer": "change the time of the timer",
    "stop_timer": "stop the timer",
    "say": "talk here",
    "react": "react here",
}

SENTENCES: Final[Mapping[ErrorCode, str]] = {
    ErrorCode.STRUCK_OUT: "too many refused messages",
    ErrorCode.NOT_ADMIN: "only the admin may {deed}",
    ErrorCode.NOT_FACILITATOR: "only facilitators may {deed}",
    ErrorCode.NOT_ANNOUNCED: "join the room first",
    ErrorCode.ANNOUNCED_TOO_LATE: (
        "you did not join within {seconds:g} seconds; the seat is free again"
    ),
    ErrorCode.ANNOUNCED_TWICE: "you have joined this room already",
    ErrorCode.WRONG_ROOM: "you are in room {room_id}, not in {given}",
    ErrorCode.NO_VOTE_RUNNING: "no vote is running",
    ErrorCode.VOTE_RUNNING: "ticket {ticket_id} is being voted on; reveal its votes first",
    ErrorCode.BEGUN_TWICE: "ticket {ticket_id} is being voted on already",
    ErrorCode.TOO_MANY_ROUNDS: (
        "this room has had all the votes that are kept of one room; open another"
    ),
    ErrorCode.NOBODY_VOTED: "nobody has voted on ticket {ticket_id} yet",
    ErrorCode.WRONG_TICKET: "the vote is on ticket {ticket_id}, not on {given}",
    ErrorCode.NO_CARD_DOWN: "you have no card on the table to take back",
    ErrorCode.ALREADY_SHOWN: "not counted: the votes were already shown",
    ErrorCode.NOT_SHOWN: "round {given} is not the one that was shown last",
    ErrorCode.NO_ESTIMATE: "card must be one of the estimates of this deck ({cards})",
    ErrorCode.NOT_IN_DECK: "card must be one of this room's cards ({cards})",
    ErrorCode.EMPTY_MESSAGE: "a message must not be empty",
    ErrorCode.NULL_CHARACTER: "a message must not contain a null character",
    ErrorCode.TOO_MUCH: "too much at once: {rate:g} bytes a second are passed on for long",
    ErrorCode.NO_TALK: "this room does without chat and reactions",
    ErrorCode.NOT_NOW: "the room takes no messages for the moment; try again later",
    ErrorCode.NO_SUCH_MESSAGE: "there is no message {seq} here",
    ErrorCode.NOT_YOURS: "message {seq} is somebody else's",
    ErrorCode.ROOM_FULL: "room {room_id} is full, all {capacity} seats taken",
    ErrorCode.WRONG_ROUND: "the vote is in round {round}, not in round {given}",
    ErrorCode.OUT_OF_RANGE: "{what} must be from {least} to {most}",
    ErrorCode.NO_TIMER: "there is no timer",
    ErrorCode.TIMER_PAUSED: "the timer is paused already",
    ErrorCode.TIMER_RUNNING: "the timer is running already",
    ErrorCode.TIMER_SECONDS: "seconds must leave the timer from {least} to {most} seconds",
    ErrorCode.SPECTATOR: "who only watches does not vote",
    ErrorCode.NO_SUCH_MEMBER: "nobody of this id is in the room",
    ErrorCode.CANNOT_LEAD: "{name} takes part by a client that cannot lead",
    ErrorCode.IS_AWAY: "{name} is away",
    ErrorCode.OWNER_LEADS: "the owner leads the room as long as it is the owner",
    ErrorCode.IS_LED: "only a room that has lost its owner, and that nobody leads, may be claimed",
    ErrorCode.NOT_SIGNED_IN: "only those who are signed in may claim this room",
    ErrorCode.NAME_OF_ACCOUNT: "who is signed in is called as its account",
    ErrorCode.NOT_WAITED_FOR: "nobody waits for the vote of {name}",
    ErrorCode.NUDGED_ALREADY: "{name} was reminded just now; again in {seconds} s",
    ErrorCode.FORGOTTEN: "request {ref} was answered so long ago that the answer is forgotten",
    ErrorCode.LEFT: "you have left the room",
    ErrorCode.REPLACED: "another connection has taken this one's place",
    ErrorCode.WRONG_KEY: "this key is not one of this room",
    ErrorCode.NEEDS_PASSCODE: "this room has a passcode",
    ErrorCode.LOCKED: "this room is locked: nobody new comes in",
    ErrorCode.IS_OWNER: "the owner cannot be removed from the room",
    ErrorCode.IS_YOURSELF: "nobody removes themselves; leave the room instead",
    ErrorCode.TOO_MANY_BANS: "{most} members are kept out of this room, which is the most",
    ErrorCode.REMOVED: "{by} has removed you from the room",
    ErrorCode.BANNED: "you have been removed from this room for good",
    ErrorCode.RESTING: (
        "the server has just come back; wait until all are back, for {seconds} s at most"
    ),
    ErrorCode.ROOM_ENDED: "the room is over",
    ErrorCode.TOO_MANY_SEATS: "you are in this room {seats} times already",
}
"""A sentence for each code that the rules refuse with, without a final stop, around its values."""


def sentence(problem: Problem, own: Mapping[ErrorCode, str] = SENTENCES) -> str:
    """Word a problem.

    Args:
        problem: the problem, which may be worded already.
        own: the dialect's sentences, where they differ from :data:`SENTENCES`.
    """
    if problem.message:
        return problem.message
    template = own.get(problem.code) or SENTENCES.get(problem.code)
    if template is None:
        return problem.code.replace("_", " ")
    values = dict(problem.values)
    if "deed" in values:
        values["deed"] = _DEEDS[str(values["deed"])]
    return template.format_map(values)
