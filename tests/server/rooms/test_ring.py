"""The latest changes of a room, against a model that forgets nothing."""

from hypothesis import given
from hypothesis import strategies as st

from server.rooms.ring import MOST_BYTES, MOST_CHANGES, Ring

MOST, BYTES = 5, 40

steps = st.lists(st.tuples(st.sampled_from([1, 1, 1, 1, 1, 2, 7]), st.integers(0, 15)), max_size=60)
"""How far each change's number lies behind the one before, and how long its frame is."""


@given(st.integers(0, 10), steps)
def test_what_is_joined_is_all_that_was_missed_or_nothing(
    start: int, changes: list[tuple[int, int]]
) -> None:
    ring = Ring(start, most=MOST, most_bytes=BYTES)
    frames: dict[int, bytes] = {}
    last = start
    for number, (step, size) in enumerate(changes):
        last += step
        frames[last] = bytes([number]) * size
        ring.add(last, frames[last])

        for seq in range(-2, last + 3):
            missed = [frames.get(each) for each in range(seq + 1, last + 1)]
            given_back = ring.since(seq)
            if given_back is not None:
                assert 0 <= seq <= last
                assert None not in missed
                assert given_back == b"".join(frame for frame in missed if frame is not None)
            elif start <= seq <= last and None not in missed:
                size_of_all = sum(len(frame) for frame in missed if frame is not None)
                assert len(missed) > MOST or size_of_all > BYTES
        assert ring.since(last) == b""


@given(steps)
def test_its_bounds_hold(changes: list[tuple[int, int]]) -> None:
    ring = Ring(most=MOST, most_bytes=BYTES)
    last = 0
    for step, size in changes:
        last += step
        ring.add(last, b"x" * size)
        reach = max(behind for behind in range(70) if ring.since(last - behind) is not None)
        joined = ring.since(last - reach)
        assert reach <= MOST
        assert joined is not None
        assert len(joined) <= BYTES


def test_it_gives_back_256_changes_and_no_more() -> None:
    ring = Ring(10)
    for seq in range(11, 11 + MOST_CHANGES + 1):
        ring.add(seq, b"%d " % seq)
    assert ring.since(10) is None
    assert ring.since(11) == b"".join(b"%d " % seq for seq in range(12, 12 + MOST_CHANGES))


def test_a_frame_above_all_bounds_leaves_nothing_but_its_number() -> None:
    ring = Ring()
    ring.add(1, b"a")
    ring.add(2, b"b" * (MOST_BYTES + 1))
    assert ring.since(1) is None
    assert ring.since(2) == b""
    ring.add(3, b"c")
    assert ring.since(2) == b"c"


def test_before_the_first_change_nothing_is_missed() -> None:
    ring = Ring(7)
    assert ring.since(7) == b""
    assert ring.since(6) is ring.since(8) is None
