"""Who gets a place, who gives one away, and that the books are right whatever happens."""

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from server.auth.sources import Source
from server.edge.accepted import AcceptedConnection
from server.edge.places import FULL, SETTLING_SECONDS, TOO_FAST, TOO_MANY, Places
from server.support.limits import Limits

EVIL, GOOD = Source("192.0.2.1"), Source("192.0.2.2")
NOWHERE = Source("192.0.2.9")


class Peer(AcceptedConnection):
    """A connection without anything below it."""

    def __init__(self, source: Source = EVIL) -> None:
        stream, _ = trio.testing.memory_stream_pair()
        super().__init__(stream, source=source)
        self.gave_way = False
        self.give_way = self._give

    def _give(self) -> None:
        self.gave_way = True


def make(most: int = 10, **limits: float) -> Places:
    fields = {"address_connections": 1000, "address_burst": 10_000} | limits
    return Places(most=most, limits=Limits(**fields))  # type: ignore[arg-type]


def fill(places: Places, count: int, source: Source = EVIL) -> list[Peer]:
    peers = [Peer(source) for _ in range(count)]
    assert [places.enter(peer) for peer in peers] == [None] * count
    return peers


async def test_a_newcomer_gets_the_oldest_place_of_the_address_with_the_most(  # noqa: ASYNC124 - needs the clock
    autojump_clock: MockClock,
) -> None:
    places = make(10)
    other = fill(places, 3, NOWHERE)
    evil = fill(places, 7)

    assert places.enter(Peer(GOOD)) is None
    assert places.enter(Peer(GOOD)) is None

    assert [peer.gave_way for peer in evil] == [True] * 2 + [False] * 5
    assert not any(peer.gave_way for peer in other)
    assert places.open == 10


async def test_who_has_a_seat_keeps_its_place(autojump_clock: MockClock) -> None:
    places = make(10)
    evil = fill(places, 10)
    for peer in evil[:9]:
        places.keep(peer)
    await trio.sleep(SETTLING_SECONDS)

    newcomer = Peer(GOOD)
    assert places.enter(newcomer) is None
    assert [peer.gave_way for peer in evil] == [False] * 9 + [True]

    places.keep(newcomer)
    places.keep(newcomer)  # harmless
    assert newcomer.give_way is None
    assert places.enter(Peer(GOOD)) == FULL


async def test_an_address_does_not_drive_out_its_own_that_have_just_come(
    autojump_clock: MockClock,
) -> None:
    places = make(10)
    evil = fill(places, 10)
    assert places.enter(Peer()) == FULL

    await trio.sleep(SETTLING_SECONDS)
    assert places.enter(Peer()) is None
    assert [peer.gave_way for peer in evil] == [True] + [False] * 9


async def test_addresses_of_one_connection_each_do_not_drive_each_other_out(
    autojump_clock: MockClock,
) -> None:
    places = make(10)
    peers = [Peer(Source(f"198.51.100.{number}")) for number in range(10)]
    assert [places.enter(peer) for peer in peers] == [None] * 10
    assert places.enter(Peer(GOOD)) == FULL

    await trio.sleep(SETTLING_SECONDS)
    assert places.enter(Peer(GOOD)) is None
    assert [peer.gave_way for peer in peers].count(True) == 1


async def test_an_address_at_its_own_cap_is_refused_while_others_come_in(
    autojump_clock: MockClock,
) -> None:
    places = make(1000, address_connections=5)
    evil = fill(places, 5)
    assert places.enter(Peer()) == TOO_MANY
    assert places.enter(Peer(GOOD)) is None

    for peer in evil:
        places.keep(peer)
    await trio.sleep(SETTLING_SECONDS)
    assert places.enter(Peer()) == TOO_MANY
    places.leave(evil[0])
    assert places.enter(Peer()) is None


async def test_at_its_own_cap_an_address_may_replace_its_idle_ones(
    autojump_clock: MockClock,
) -> None:
    places = make(1000, address_connections=5)
    evil = fill(places, 5)
    await trio.sleep(SETTLING_SECONDS)

    assert places.enter(Peer()) is None
    assert evil[0].gave_way
    assert places.open == 5


async def test_connections_of_one_address_may_come_only_so_fast(autojump_clock: MockClock) -> None:
    places = make(1000, address_burst=20, address_rate=10.0)
    fill(places, 20)
    assert places.enter(Peer()) == TOO_FAST
    assert places.enter(Peer(GOOD)) is None

    await trio.sleep(0.5)
    fill(places, 5)
    assert places.enter(Peer()) == TOO_FAST


async def test_no_bound_of_one_address_holds_where_it_is_unlimited(  # noqa: ASYNC124 - needs the clock
    autojump_clock: MockClock,
) -> None:
    places = make(1000, address_connections=5, address_burst=5)
    fill(places, 1000, Source(EVIL.key, unlimited=True))
    assert places.enter(Peer(GOOD)) is None


async def test_who_comes_by_way_of_a_proxy_counts_for_itself(autojump_clock: MockClock) -> None:  # noqa: ASYNC124 - needs the clock
    places = make(1000, address_connections=2)
    proxy = Source("10.0.0.1", unlimited=True)
    peers = fill(places, 4, proxy)

    assert [places.move(peer, EVIL) for peer in peers[:3]] == [None, None, TOO_MANY]
    assert [peer.source for peer in peers] == [EVIL, EVIL, proxy, proxy]
    assert places.move(peers[3], GOOD) is None
    assert places.move(peers[3], GOOD) is None
    for peer in peers:
        places.leave(peer)
    assert places.open == 0
    fill(places, 2)


async def test_who_gave_way_has_no_place_to_give_back(autojump_clock: MockClock) -> None:  # noqa: ASYNC124 - needs the clock
    places = make(2)
    first, second = fill(places, 2)
    good = Peer(GOOD)
    assert places.enter(good) is None
    assert first.gave_way
    places.keep(first)
    places.leave(first)
    assert places.open == 2
    places.leave(second)
    places.leave(good)
    assert places.open == 0


@pytest.mark.parametrize("most", [1, 5, 30])
@settings(max_examples=100, deadline=None)
@given(steps=st.lists(st.tuples(st.sampled_from("ekl"), st.integers(0, 40)), max_size=120))
def test_the_books_are_right_whatever_happens(most: int, steps: list[tuple[str, int]]) -> None:
    async def main() -> None:  # noqa: ASYNC124 - needs the clock
        places = make(most, address_connections=8)
        open_: list[Peer] = []
        kept: set[Peer] = set()
        for action, number in steps:
            if action == "e":
                peer = Peer(Source(f"192.0.2.{number % 4}", unlimited=number % 3 == 0))
                if places.enter(peer) is None:
                    open_.append(peer)
            elif open_ and action == "k":
                places.keep(open_[number % len(open_)])
                kept.add(open_[number % len(open_)])
            elif open_:
                places.leave(open_.pop(number % len(open_)))
            assert not any(peer.gave_way for peer in kept)
            open_ = [peer for peer in open_ if not peer.gave_way]
            assert places.open == len(open_) <= most
        for peer in open_:
            places.leave(peer)
        assert places.open == 0

    trio.run(main, clock=MockClock(autojump_threshold=0))
