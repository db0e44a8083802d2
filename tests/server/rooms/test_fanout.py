"""What each member of a room hears, against a model that keeps a list for each."""

from collections import defaultdict
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from protocol.dialects.base import Dialect
from protocol.dialects.estimatex import ESTIMATEX
from protocol.errors import Problem
from protocol.farewell import Farewell, Parting
from protocol.frames import encode_text
from protocol.ids import MemberId
from protocol.messages import Command, Event, MemberLeft
from server.rooms.fanout import Fanout
from tests.server.harness import split


class Other:
    """A second wire format."""

    def __init__(self) -> None:
        self.encoded = 0

    def decode(self, text: str) -> Command:
        raise NotImplementedError

    def encode(self, event: Event) -> bytes | None:
        assert isinstance(event, MemberLeft)
        self.encoded += 1
        if event.name.endswith(("3", "6", "9")):
            return None  # this dialect has nothing to say about it
        return encode_text(orjson.dumps({"type": "other", "data": {"message": event.name}}))

    def word(self, problem: Problem) -> str:
        raise NotImplementedError

    def part(self, farewell: Farewell) -> Parting:
        raise NotImplementedError


OTHER = Other()


class Hearer:
    """Notes what it is pushed."""

    def __init__(self, number: int) -> None:
        self.id = MemberId(str(number))
        self.dialect: Dialect = (ESTIMATEX, OTHER)[number % 2]
        self.source = None
        self.pushes: list[tuple[bytes, int]] = []

    def push(self, frames: bytes, count: int) -> None:
        self.pushes.append((frames, count))

    def close(self, code: int, reason: str, last: bytes = b"") -> None:
        raise NotImplementedError

    async def run(self) -> None:
        raise NotImplementedError


class Model:
    """The same, naively."""

    def __init__(self) -> None:
        self.audience: set[int] = set()
        self.waiting: dict[int, list[bytes]] = defaultdict(list)


MEMBERS = st.integers(0, 5)
STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from(["tell", "others", "attend", "remove", "flush_one"]),
            MEMBERS,
        ),
        st.tuples(st.sampled_from(["all", "flush"]), st.just(0)),
    ),
    max_size=60,
)


@given(STEPS)
def test_each_member_hears_what_a_naive_room_would_say_in_order(
    steps: list[tuple[str, int]],
) -> None:
    fanout = Fanout()
    model = Model()
    hearers = [Hearer(number) for number in range(6)]
    events = 0

    def say(numbers: Any) -> MemberLeft:
        nonlocal events
        events += 1
        event = MemberLeft(f"nobody {events}")
        for number in numbers:
            frame = hearers[number].dialect.encode(event)
            if frame is not None:
                model.waiting[number].append(frame)
        return event

    def flush(numbers: list[int]) -> None:
        for number in numbers:
            expected = model.waiting.pop(number, [])
            pushes = hearers[number].pushes
            assert len(pushes) == bool(expected)
            for data, count in pushes:
                assert data == b"".join(expected)
                assert count == len(expected)
                assert len(split(data)[0]) == count
            pushes.clear()

    for step, number in [*steps, ("flush", 0)]:
        hearer = hearers[number]
        match step:
            case "attend":
                if number not in model.audience:
                    model.audience.add(number)
                    fanout.attend(hearer)
            case "remove":
                model.audience.discard(number)
                model.waiting.pop(number, None)
                fanout.remove(hearer)
            case "tell":
                fanout.tell(hearer, say([number]))
            case "others":
                fanout.tell_others(hearer, say(model.audience - {number}))
            case "all":
                fanout.tell_all(say(model.audience))
            case "flush_one":
                fanout.flush_one(hearer)
                flush([number])
            case "flush":
                fanout.flush()
                flush(list(range(6)))


def attending(*numbers: int) -> tuple[Fanout, list[Hearer]]:
    fanout = Fanout()
    hearers = [Hearer(number) for number in numbers]
    for hearer in hearers:
        fanout.attend(hearer)
    fanout.flush()
    return fanout, hearers


def test_who_hears_only_what_all_hear_is_handed_the_very_same_bytes() -> None:
    fanout, (ada, bob, eve, kim) = attending(0, 2, 4, 6)

    fanout.tell_all(MemberLeft("x"))
    fanout.tell(kim, MemberLeft("alone"))
    fanout.tell_all(MemberLeft("y"))
    fanout.flush()

    [(first, count)] = ada.pushes
    assert count == 2
    assert bob.pushes[0][0] is eve.pushes[0][0] is first
    assert kim.pushes[0][1] == 3


def test_an_event_is_encoded_once_for_each_dialect() -> None:
    fanout, hearers = attending(*range(10))
    before = OTHER.encoded

    fanout.tell_all(MemberLeft("x"))
    fanout.tell_others(hearers[1], MemberLeft("y"))
    fanout.flush()

    assert OTHER.encoded == before + 2
    assert [len(hearer.pushes) for hearer in hearers] == [1] * 10


def test_who_speaks_a_dialect_that_declines_everything_is_pushed_nothing() -> None:
    fanout, (ada, bob) = attending(0, 1)
    fanout.tell_all(MemberLeft("3"))
    fanout.tell(bob, MemberLeft("6"))
    fanout.flush()
    assert [count for _, count in ada.pushes] == [1]
    assert bob.pushes == []
    fanout.tell_all(MemberLeft("9"))
    fanout.tell_others(ada, MemberLeft("4"))
    fanout.tell_others(ada, MemberLeft("6"))
    fanout.flush_one(bob)
    assert [count for _, count in bob.pushes] == [1]


def test_what_is_collected_is_at_least_what_anybody_is_sent() -> None:
    fanout, (ada, bob) = attending(0, 1)
    fanout.tell_all(MemberLeft("x"))
    fanout.tell(ada, MemberLeft("y"))
    collected = fanout.collected
    fanout.flush()
    assert fanout.collected == 0
    assert collected >= max(len(ada.pushes[0][0]), len(bob.pushes[0][0]))


def test_nobody_is_pushed_anything_when_nothing_was_said() -> None:
    fanout, (ada, bob) = attending(0, 1)
    fanout.flush()
    assert ada.pushes == bob.pushes == []


def test_who_is_the_only_one_left_out_is_pushed_nothing() -> None:
    fanout, (ada, bob) = attending(0, 2)
    fanout.tell_others(ada, MemberLeft("x"))
    fanout.flush()
    assert ada.pushes == []
    assert len(bob.pushes) == 1


def test_who_is_told_something_outside_the_audience_hears_nothing_else() -> None:
    fanout, (ada,) = attending(0)
    guest = Hearer(1)
    fanout.tell_all(MemberLeft("x"))
    fanout.tell(guest, MemberLeft("for you"))
    fanout.tell_others(guest, MemberLeft("y"))
    fanout.flush()
    assert [count for _, count in guest.pushes] == [1]
    assert [count for _, count in ada.pushes] == [2]
