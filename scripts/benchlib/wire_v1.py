"""The few bytes of ``parley.v1`` that the generator writes and looks for; without I/O.

As in :mod:`scripts.benchlib.wire`, reading is a walk over frame headers. What needs an answer is
told in the same bits, so that the same loops play both dialects.
"""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from scripts.benchlib.wire import (
    ASK,
    BEGIN,
    CLOSED,
    PING,
    REVEAL,
    SHORT,
    TEXT,
    WRONG,
    equal_frames,
    masked,
)

SUBPROTOCOL: Final = "parley.v1"

_TYPE_AT: Final = len('{"type":"')
_VOTED: Final = b"vot"
_COMPLETE: Final = b'"complete":true'
_WORTH_A_STRIDE: Final = 12  # as there

# By the first letters of their type: how they are counted, and what is to be seen of them.
_CHANGES: Final = {
    b"joi": 0,
    b"lef": 0,
    b"awa": 0,
    b"bac": 0,
    b"own": 0,
    b"beg": 1 << ASK,
    b"rev": 1 << BEGIN,
}
_ANSWER: Final = b"ack"
_SNAPSHOT: Final = b"sna"
_WRONG: Final = {b"err": 1 << WRONG, b"goo": 1 << WRONG}
_CONTROL: Final = {0x88: 1 << CLOSED, 0x89: 1 << PING}
_SEQ: Final = re.compile(rb'"seq":(\d+)')


def scan(data: bytes) -> tuple[int, int, int, int]:
    """Count the changes and answers at the head of ``data``.

    What the server says of itself (what is saved, its signs of life) comes when it comes, and is
    not counted.

    Returns:
        How many there are; where the first incomplete frame begins; what was seen of the kinds
        that need an answer, the owner's included; the number of the last change, 0 without one.
    """
    frames = at = seen = 0
    last = -1  # where the last change begins
    end = len(data)
    while at + 2 <= end:
        size = data[at + 1]
        start = at + 2
        if size > SHORT:
            start = at + (4 if size == SHORT + 1 else 10)
            if start > end:
                break
            size = int.from_bytes(data[at + 2 : start], "big")
        after = start + size
        if after > end:
            break
        if data[at] != TEXT:
            seen += _CONTROL.get(data[at], 0)
            at = after
            continue
        kind = data[start + _TYPE_AT : start + _TYPE_AT + 3]
        if kind == _VOTED:
            frames += 1
            last = start
            if data.find(_COMPLETE, start, after) >= 0:
                seen += 1 << REVEAL
            elif end - after > _WORTH_A_STRIDE * (after - at) and size <= SHORT:
                equal = _equal_votes(data, after, after - at, size)
                frames += equal
                last += equal * (after - at)
                after += equal * (after - at)
        elif kind == _ANSWER:
            frames += 1
        elif kind in _CHANGES:
            frames += 1
            last = start
            seen += _CHANGES[kind]
        elif kind == _SNAPSHOT:
            last = start
        elif kind in _WRONG:
            seen += _WRONG[kind]
        at = after
    return frames, at, seen, _number(data, last)


def _equal_votes(data: bytes, at: int, step: int, size: int) -> int:
    """Count the whole frames from ``at`` on that tell of votes, are of one size, complete nothing.

    One that completes a round may be of the same size, if its number has one digit more.
    """
    equal = equal_frames(data, at, step, size)
    kinds = data[at + 2 + _TYPE_AT : at + equal * step : step]
    equal = min(equal, len(kinds) - len(kinds.lstrip(_VOTED[:1])))
    complete = data.find(_COMPLETE, at, at + equal * step)
    return equal if complete < 0 else (complete - at) // step


def _number(data: bytes, start: int) -> int:
    found = _SEQ.search(data, start) if start >= 0 else None
    return int(found[1]) if found else 0


def texts(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Give the whole text frames at the head of ``data``, each with where it ends."""
    at = 0
    while at + 2 <= len(data):
        size, start = data[at + 1], at + 2
        if size > SHORT:
            start = at + (4 if size == SHORT + 1 else 10)
            size = int.from_bytes(data[at + 2 : start], "big")
        at_now, at = at, start + size
        if at > len(data):
            return
        if data[at_now] == TEXT:
            yield data[start:at], at


def request(kind: str, **what: Any) -> bytes:
    """Make the frame of one message."""
    return masked(json.dumps({"type": kind, **what}, separators=(",", ":")).encode())


@cache
def moves(ticket: int) -> tuple[bytes, bytes, bytes, bytes]:
    """Make what a room sends in its n-th round: begin, owner's vote, a vote, reveal.

    The owner has three requests in a round and everybody else has one, so that is how they are
    numbered.
    """
    own = 3 * ticket
    return (
        request("begin", ref=own - 2, ticket=f"T-{ticket:06}"),
        request("vote", ref=own - 1, round=ticket, card="8"),
        request("vote", ref=ticket, round=ticket, card="5"),
        request("reveal", ref=own, round=ticket),
    )


def closing(ticket: int) -> bytes:
    """Make the owner's request to end the room after so many rounds."""
    return request("close", ref=3 * ticket + 1)


def deliveries(members: int) -> int:
    """Count the messages that one round delivers.

    To each member the beginning, each vote and the reveal; and an answer to each request.
    """
    return members * (members + 2) + members + 2
