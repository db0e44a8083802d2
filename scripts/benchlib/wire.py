"""The few bytes of the protocol that the generator writes and looks for; without I/O.

Reading is a walk over frame headers that looks at the first letters of an event's type and at
nothing else, because a generator that parsed would be slower than what it measures.
"""

import json
from functools import cache
from typing import Final

CLOSE_BY_US: Final = 0x88
PONG: Final = 0x8A
TEXT: Final = 0x81
_CLOSE: Final = 0x88
_PING: Final = 0x89
_MASK: Final = b"\x12\x34\x56\x78"
SHORT: Final = 125
"""The longest payload whose length fits the second byte."""

_BRACE: Final = ord("{")
_TYPE_AT: Final = len('{"type":"')
_WORTH_A_STRIDE: Final = 12  # lines of equal length before looking at all of them at once

# What scan() has seen: how often, eight bits for each kind.
EACH: Final = 0xFF
ASK: Final = 0
REVEAL: Final = 8
BEGIN: Final = 16
CLOSED: Final = 24
PING: Final = 32
WRONG: Final = 40
"""A refusal, or a farewell."""

_KINDS: Final = {b"ASK": 1 << ASK, b"REV": 1 << REVEAL, b"BEG": 1 << BEGIN}
_CONTROL: Final = {_CLOSE: 1 << CLOSED, _PING: 1 << PING}


def scan(data: bytes) -> tuple[int, int, int]:
    """Count the whole text frames at the head of ``data``.

    Returns:
        How many there are, where the first incomplete frame begins, and what was seen of the
        kinds that need an answer.
    """
    frames = at = seen = 0
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
        frames += 1
        if size and data[start] == _BRACE:
            kind = data[start + _TYPE_AT : start + _TYPE_AT + 3]
            if kind in _KINDS:
                seen += _KINDS[kind]
        elif end - after > _WORTH_A_STRIDE * (after - at) and size <= SHORT:
            equal = equal_frames(data, after, after - at, size)
            frames += equal
            after += equal * (after - at)
        at = after
    return frames, at, seen


def equal_frames(data: bytes, at: int, step: int, size: int) -> int:
    """Count the whole text frames from ``at`` on that all have payloads of ``size``."""
    heads, sizes = data[at::step], data[at + 1 :: step]
    first = len(heads) - len(heads.lstrip(bytes((TEXT,))))
    second = len(sizes) - len(sizes.lstrip(bytes((size,))))
    return min(first, second, (len(data) - at) // step)


def pings(data: bytes) -> list[bytes]:
    """Find the payloads of the pings among the whole frames of ``data``; rare, hence slow."""
    found, at = [], 0
    while at + 2 <= len(data):
        size, start = data[at + 1], at + 2
        if size > SHORT:
            start = at + (4 if size == SHORT + 1 else 10)
            size = int.from_bytes(data[at + 2 : start], "big")
        if data[at] == _PING and start + size <= len(data):
            found.append(data[start : start + size])
        at = start + size
    return found


def masked(payload: bytes, first: int = TEXT) -> bytes:
    """Make a client's frame of less than 64 KiB."""
    size = len(payload)
    length = bytes((0x80 | size,)) if size <= SHORT else b"\xfe" + size.to_bytes(2, "big")
    pad = (_MASK * (size // 4 + 1))[:size]
    hidden = int.from_bytes(payload, "big") ^ int.from_bytes(pad, "big")
    return bytes((first,)) + length + _MASK + hidden.to_bytes(size, "big")


def event(kind: str, **data: str) -> bytes:
    """Make the frame of one event."""
    return masked(json.dumps({"type": kind, "data": data}, separators=(",", ":")).encode())


@cache
def moves(ticket: int) -> tuple[bytes, bytes, bytes, bytes]:
    """Make what a room sends about its n-th ticket: begin, admin's vote, a vote, reveal."""
    name = f"T-{ticket:06}"
    return (
        event("BEGIN_VOTING", ticket_id=name),
        event("MEMBER_VOTED", ticket_id=name, vote="8"),
        event("MEMBER_VOTED", ticket_id=name, vote="5"),
        event("REVEAL_VOTES", ticket_id=name),
    )


def deliveries(members: int) -> int:
    """Count the messages that one round delivers.

    To each member a request to vote, one line per vote, the completion, the reveal and what
    comes next; to the admin the prompt to reveal besides.
    """
    return members * (members + 4) + 1
