"""How the generator reads ``parley.v1``: frames as the dialect writes them, cut anywhere."""

import json
from typing import Any

import pytest

from protocol.changes import Ack, Begun, Change, Joined, Revealed, Saved, Voted
from protocol.dialects.parley_v1 import PARLEY_V1, write
from protocol.errors import ErrorCode, Problem
from protocol.farewell import Ending
from protocol.greeting import Goodbye, ServerPing
from protocol.ids import MemberId, TicketId
from protocol.lasting import BeginRound, CastCard, CloseRoom, Numbered, RevealRound, Role
from protocol.messages import Refusal
from protocol.picture import May, Seated, Shown, ShownVote
from protocol.statistics import summarize
from scripts.benchlib.wire import ASK, BEGIN, EACH, PING, REVEAL, WRONG
from scripts.benchlib.wire_v1 import closing, deliveries, moves, scan, texts

MEMBERS = [MemberId(f"{number:08x}") for number in range(150)]
MAY = May(("leave",), ("vote",), ("reveal",), ("close",))


def told(event: Any) -> bytes:
    frame = PARLEY_V1.encode(event)
    assert frame is not None
    return frame


def a_round(first: int) -> list[Change | Ack]:
    """Everything that its owner is told in one round, from this number on."""
    begun = Begun(first, 1, "T-1", 1.5, tuple(MEMBERS), MAY)
    said: list[Change | Ack] = [Ack(1, first), begun]
    for place, member in enumerate(MEMBERS):
        seq, last = first + 1 + place, member == MEMBERS[-1]
        said.append(Voted(seq, member, last, None if place else MAY))
    votes = tuple(ShownVote(member, "Ann", "5") for member in MEMBERS)
    shown = Shown(1, "T-1", votes, summarize(vote.card for vote in votes), 2.5)
    revealed = Revealed(first + 1 + len(MEMBERS), shown, MAY)
    return [*said, Ack(2, first + 1), Ack(3, first + 1 + len(MEMBERS)), revealed]


def whole(first: int) -> bytes:
    pauses = write(ServerPing(1.0)) + told(Saved(first)) + b"\x89\x02hi"
    return pauses.join(map(told, a_round(first)))


def unmasked(frame: bytes) -> dict[str, Any]:
    """Read a client's frame."""
    head = 2 if frame[1] & 0x7F < 126 else 4
    key, hidden = frame[head : head + 4], frame[head + 4 :]
    read: dict[str, Any] = json.loads(bytes(byte ^ key[at % 4] for at, byte in enumerate(hidden)))
    return read


# A completing vote whose number has one digit more has the size of those before it.
@pytest.mark.parametrize("first", [1, 5, 100_000 - len(MEMBERS)])
@pytest.mark.parametrize("paused", [False, True])
def test_changes_and_answers_are_counted_and_what_calls_for_an_answer_is_seen(
    first: int, paused: bool
) -> None:
    data = whole(first) if paused else b"".join(map(told, a_round(first)))

    frames, used, seen, last = scan(data)

    assert frames == 1 + 1 + len(MEMBERS) + 2 + 1
    assert used == len(data)
    for kind in (ASK, REVEAL, BEGIN):
        assert seen >> kind & EACH == 1
    assert seen >> WRONG & EACH == 0
    assert bool(seen >> PING & EACH) is paused
    assert last == first + 1 + len(MEMBERS)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 1000, 4099])
def test_cuts_between_reads_change_no_count(size: int) -> None:
    data = b"".join(map(told, a_round(5)))
    frames, sum_seen, number, rest = 0, 0, 0, b""
    for at in range(0, len(data), size):
        rest += data[at : at + size]
        more, used, seen, last = scan(rest)
        frames, sum_seen, rest = frames + more, sum_seen + seen, rest[used:]
        number = last or number

    once, _, seen, last = scan(data)
    assert (frames, sum_seen, number, rest) == (once, seen, last, b"")


def test_what_is_no_change_is_no_number() -> None:
    data = told(Ack(7, 99)) + told(Saved(98))

    assert scan(data) == (1, len(data), 0, 0)


@pytest.mark.parametrize(
    "frame",
    [
        told(Refusal(Problem(ErrorCode.NOT_ADMIN, values={"deed": "begin"}))),
        write(Goodbye(reason=Ending.LEFT, text="left", back_in=None, room_survives=True)),
    ],
)
def test_refusals_and_farewells_are_noticed(frame: bytes) -> None:
    assert scan(frame)[2] >> WRONG & EACH == 1


def test_somebody_who_comes_is_a_change_with_a_number() -> None:
    ann = Seated(MEMBERS[0], 'Ann "seq":7', Role.VOTER, True, True, True, 1.0, False, False)
    data = told(Joined(12, ann, False))

    assert scan(data) == (1, len(data), 0, 12)


def test_texts_are_taken_off_one_by_one() -> None:
    data = told(Ack(1, 2)) + b"\x89\x02hi" + whole(9) + b"\x81\x05cut"

    found = list(texts(data))

    assert json.loads(found[0][0]) == {"type": "ack", "ref": 1, "seq": 2}
    assert [data[:end].endswith(text) for text, end in found] == [True] * len(found)
    assert found[-1][1] == len(data) - 5


def test_requests_are_those_of_the_dialect_and_their_numbers_grow() -> None:
    owners: list[int] = []
    for ticket in (1, 2):
        begin, own, other, reveal = (
            PARLEY_V1.decode(json.dumps(unmasked(frame))) for frame in moves(ticket)
        )
        asked = [begin, own, other, reveal]
        assert all(isinstance(each, Numbered) for each in asked)
        assert begin == Numbered(3 * ticket - 2, BeginRound(TicketId(f"T-{ticket:06}")))
        assert own == Numbered(3 * ticket - 1, CastCard(ticket, "8"))
        assert other == Numbered(ticket, CastCard(ticket, "5"))
        assert reveal == Numbered(3 * ticket, RevealRound(ticket))
        owners += [3 * ticket - 2, 3 * ticket - 1, 3 * ticket]
    assert PARLEY_V1.decode(json.dumps(unmasked(closing(2)))) == Numbered(7, CloseRoom())
    assert owners == [1, 2, 3, 4, 5, 6]


def test_deliveries_of_a_round_are_its_changes_and_answers() -> None:
    begun = revealed = 3
    answers = 3 + 2

    assert deliveries(3) == begun + 3 * 3 + revealed + answers
