"""The states of a chat room, and what is remembered of one that sleeps."""

import gc
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import IllegalMove
from protocol.ids import RoomId
from server.rooms.chat_entry import TRANSITIONS, Entry, State, Trigger
from tests.server.chat_harness import LOBBY


def test_a_room_that_sleeps_is_a_few_hundred_bytes() -> None:
    entry = Entry(RoomId("x" * 64), State.ASLEEP, last_seq=2**40, granted=2**41, remembered=True)
    seen = {id(each): each for each in (entry, *gc.get_referents(entry))}
    size = sum(sys.getsizeof(each) for each in seen.values() if not isinstance(each, type | State))
    assert size < 500


def test_a_move_that_the_table_does_not_have_is_a_typed_error() -> None:
    entry = Entry(LOBBY)
    with pytest.raises(IllegalMove, match="nothing leads from UNKNOWN by SLEEP"):
        entry.move(Trigger.SLEEP)
    assert entry.state is State.UNKNOWN


@given(st.lists(st.sampled_from(Trigger), max_size=30))
def test_whatever_is_tried_a_room_moves_as_in_the_table(triggers: list[Trigger]) -> None:
    entry = Entry(LOBBY)
    for trigger in triggers:
        before = entry.state
        try:
            entry.move(trigger)
        except IllegalMove:
            assert (before, trigger) not in TRANSITIONS
            assert entry.state is before
        else:
            assert entry.state is TRANSITIONS[before, trigger]
