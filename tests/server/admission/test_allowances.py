"""How many rooms, seats and wrong guesses one address or account may have."""

import pytest

from protocol.errors import ErrorCode, Refused
from protocol.ids import RoomId
from server.admission.allowances import MISSES_SECONDS, REMEMBERED, Allowances
from server.auth.sources import Source
from server.support.limits import Limits

EVIL, GOOD = Source("192.0.2.1"), Source("192.0.2.2")
OURS = Source("127.0.0.1", unlimited=True)


class World:
    """Rooms that live until they are ended, and a clock."""

    def __init__(self, **limits: int) -> None:
        self.live: set[RoomId] = set()
        self.looked = 0
        self.now = 0.0
        self.allowances = Allowances(
            Limits(**limits),  # type: ignore[arg-type]
            is_live=self.is_live,
            clock=lambda: self.now,
        )

    def is_live(self, room_id: RoomId) -> bool:
        self.looked += 1
        return room_id in self.live

    def open(self, source: Source, name: str) -> None:
        with self.allowances.opening(source):
            self.live.add(RoomId(name))
            self.allowances.opened(source, RoomId(name))


def test_an_address_has_only_so_many_live_rooms() -> None:
    world = World(address_rooms=3)
    for number in range(3):
        world.open(EVIL, f"room {number}")
    with pytest.raises(Refused) as refused:
        world.open(EVIL, "one more")
    assert refused.value.problem.code is ErrorCode.TOO_MANY
    assert "3 rooms" in refused.value.problem.message
    world.open(GOOD, "another's")

    world.live.discard(RoomId("room 1"))
    world.open(EVIL, "in its place")
    with pytest.raises(Refused):
        world.open(EVIL, "one more")


def test_rooms_that_are_being_opened_count() -> None:
    world = World(address_rooms=2)
    with (
        world.allowances.opening(EVIL),
        world.allowances.opening(EVIL),
        pytest.raises(Refused),
        world.allowances.opening(EVIL),
    ):
        raise AssertionError("it may not be opened")
    world.open(EVIL, "now it may")


def test_rooms_that_have_ended_are_not_remembered_for_ever() -> None:
    world = World(address_rooms=1000, rooms=10)
    for number in range(10_000):
        source = Source(f"10.0.{number // 100}.{number % 100}")
        world.open(source, f"room {number}")
        world.live.clear()
    assert world.looked < 2 * 10_000


def test_an_address_has_only_so_many_seats() -> None:
    allowances = World(address_seats=2).allowances
    allowances.take_seat(EVIL)
    allowances.take_seat(EVIL)
    with pytest.raises(Refused):
        allowances.take_seat(EVIL)
    allowances.take_seat(GOOD)
    allowances.return_seat(EVIL)
    allowances.take_seat(EVIL)
    for _ in range(2):
        allowances.return_seat(EVIL)
    with pytest.raises(KeyError):
        allowances.return_seat(EVIL)


def test_an_account_has_only_so_many_seats() -> None:
    allowances = World(account_seats=2).allowances
    allowances.check_account(EVIL, 1)
    with pytest.raises(Refused):
        allowances.check_account(EVIL, 2)
    allowances.check_account(OURS, 1000)


def test_who_guesses_wrong_too_often_learns_nothing_more_for_a_while() -> None:
    world = World(lookup_limit=60)
    for _ in range(60):
        world.allowances.check_guesses(EVIL)
        world.allowances.missed(EVIL)
    with pytest.raises(Refused, match="come again in 1 second"):
        world.allowances.check_guesses(EVIL)
    world.allowances.check_guesses(GOOD)

    world.now += MISSES_SECONDS / 60
    world.allowances.check_guesses(EVIL)
    world.allowances.missed(EVIL)
    with pytest.raises(Refused):
        world.allowances.check_guesses(EVIL)

    world.now += MISSES_SECONDS
    for _ in range(60):
        world.allowances.check_guesses(EVIL)
        world.allowances.missed(EVIL)
    with pytest.raises(Refused):
        world.allowances.check_guesses(EVIL)


def test_who_only_asks_for_rooms_that_exist_is_never_refused() -> None:
    world = World(lookup_limit=1)
    for _ in range(1000):
        world.allowances.check_guesses(EVIL)


def test_only_the_latest_to_guess_are_remembered() -> None:
    world = World(lookup_limit=1)
    world.allowances.missed(EVIL)
    for number in range(REMEMBERED):
        world.allowances.missed(Source(str(number)))
    world.allowances.check_guesses(EVIL)
    with pytest.raises(Refused):
        world.allowances.check_guesses(Source(str(REMEMBERED - 1)))


def test_nothing_is_counted_for_whoever_is_unlimited() -> None:
    world = World(address_rooms=1, address_seats=1, lookup_limit=1)
    for number in range(10):
        world.open(OURS, f"room {number}")
        world.allowances.take_seat(OURS)
        world.allowances.missed(OURS)
        world.allowances.check_guesses(OURS)
    world.allowances.return_seat(OURS)
