"""Results in memory: what is kept, for how long, and what goes first."""

import trio
from hypothesis import given
from hypothesis import strategies as st

from protocol.ids import MemberId, RoomId
from protocol.messages import TicketId, TicketResult, Vote
from server.store.results import MemoryResults, ResultsStore, RoomResults

A, B, C = RoomId("aaaaaa"), RoomId("bbbbbb"), RoomId("cccccc")


def ticket(name: str, votes: int = 1) -> TicketResult:
    cards = tuple(Vote(MemberId(f"m{n}"), "x", "3") for n in range(votes))
    return TicketResult(TicketId(name), cards, seconds=1.0)


def ids(room: RoomResults | None) -> list[str]:
    assert room is not None
    return [each.ticket_id for each in room.tickets]


async def test_it_is_a_results_store() -> None:
    store: ResultsStore = MemoryResults(1)

    assert await store.results(A) is None


async def test_a_live_room_shows_its_rounds_in_order() -> None:
    store = MemoryResults(1)
    store.open(A, 100.0)
    for name in ("T-1", "T-2", "T-1"):
        store.record(A, ticket(name))

    room = await store.results(A)

    assert room == RoomResults(
        room_id=A, opened_at=100.0, tickets=(ticket("T-1"), ticket("T-2"), ticket("T-1"))
    )


async def test_an_ended_room_can_still_be_fetched() -> None:
    store = MemoryResults(1)
    store.open(A, 100.0)
    store.record(A, ticket("T-1"))
    store.close(A, 200.0)

    room = await store.results(A)

    assert ids(room) == ["T-1"]
    assert room is not None
    assert room.closed_at == 200.0


async def test_the_oldest_ended_room_goes_first() -> None:
    store = MemoryResults(2)
    for room_id in (A, B, C):
        store.open(room_id, 1.0)
    for room_id in (B, C, A):
        store.close(room_id, 2.0)

    assert await store.results(B) is None
    assert await store.results(C) is not None
    assert await store.results(A) is not None


async def test_nothing_is_kept_if_none_is_to_be_kept() -> None:
    store = MemoryResults(0)
    store.open(A, 1.0)
    assert await store.results(A) is not None
    store.close(A, 2.0)

    assert await store.results(A) is None


async def test_too_many_votes_make_ended_rooms_go() -> None:
    store = MemoryResults(10, keep_votes=4)
    for room_id in (A, B):
        store.open(room_id, 1.0)
        store.record(room_id, ticket("T", 2))
        store.close(room_id, 2.0)
    store.open(C, 3.0)
    store.record(C, ticket("T", 2))

    assert await store.results(A) is None
    assert ids(await store.results(B)) == ["T"]
    assert ids(await store.results(C)) == ["T"]


async def test_too_many_votes_in_live_rooms_make_rounds_of_the_recording_room_go() -> None:
    store = MemoryResults(10, keep_votes=4)
    store.open(A, 1.0)
    store.open(B, 1.0)
    store.record(A, ticket("kept", 2))
    for name in ("T-1", "T-2", "T-3"):
        store.record(B, ticket(name))

    room = await store.results(B)

    assert ids(await store.results(A)) == ["kept"]
    assert ids(room) == ["T-2", "T-3"]
    assert room is not None
    assert room.forgotten == 1


async def test_the_latest_round_is_kept_however_large() -> None:
    store = MemoryResults(10, keep_votes=4)
    store.open(A, 1.0)
    store.record(A, ticket("T-1"))
    store.record(A, ticket("T-2", 9))

    assert ids(await store.results(A)) == ["T-2"]


async def test_rounds_without_votes_do_not_pile_up() -> None:
    store = MemoryResults(10, keep_votes=4)
    store.open(A, 1.0)
    for number in range(9):
        store.record(A, ticket(f"T-{number}", 0))

    assert ids(await store.results(A)) == ["T-5", "T-6", "T-7", "T-8"]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), max_size=40))
def test_forgetting_never_miscounts(rounds: list[tuple[int, int]]) -> None:
    store = MemoryResults(2, keep_votes=6)
    live: set[RoomId] = set()
    for number, votes in rounds:
        room_id = RoomId(f"room{number:02}")
        if room_id not in live:
            store.open(room_id, 1.0)
            live.add(room_id)
        store.record(room_id, ticket("T", votes))
        if votes == 5:
            store.close(room_id, 2.0)
            live.discard(room_id)
    for room_id in live:
        store.close(room_id, 3.0)
    # If too many votes were still counted, the first of these would not fit.
    store.open(A, 4.0)
    store.open(B, 4.0)
    for number in range(6):
        store.record(A, ticket(f"T-{number}"))
    store.close(A, 5.0)
    store.close(B, 5.0)
    store.open(C, 6.0)
    store.record(C, ticket("last", 6))

    assert ids(trio.run(store.results, C)) == ["last"]
    assert trio.run(store.results, A) is None
