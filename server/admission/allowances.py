"""What one address or account may have at once: live rooms, seats, and wrong guesses at rooms."""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import trio

from protocol.errors import ErrorCode, Refused
from protocol.ids import RoomId
from server.auth.sources import Source
from server.support.limits import Limits

REMEMBERED: Final = 10_000
"""Sources whose wrong guesses are remembered, some 250 bytes each; the latest to guess stay."""

MISSES_SECONDS: Final = 60.0
"""Seconds after which wrong guesses are forgotten."""


class TakenSeat:
    """Returns a seat when it is called; smaller than a ``partial``, as there is one per member."""

    __slots__ = ("_allowances", "_source")

    def __init__(self, allowances: "Allowances", source: Source) -> None:
        """Remember whose seat it is."""
        self._allowances = allowances
        self._source = source

    def __call__(self) -> None:
        """Count the seat no more."""
        self._allowances.return_seat(self._source)


class Allowances:
    """Counts for each source; knows nothing of sources that are unlimited.

    What is counted is held by something that lives, a room or a member, so the memory for it is
    bounded by these: some 300 bytes for each source, 100 for each room.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        is_live: Callable[[RoomId], bool],
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        """Begin with nobody having anything.

        Args:
            limits: how much each may have.
            is_live: tells whether a room still exists.
            clock: seconds that never go back.
        """
        self._limits = limits
        self._is_live = is_live
        self._clock = clock
        self._rooms: dict[str, set[RoomId]] = {}
        self._rooms_counted = 0
        self._opening: Counter[str] = Counter()
        self._seats: dict[str, int] = {}
        # How many misses are left, and since when that has been so.
        self._misses: OrderedDict[str, tuple[float, float]] = OrderedDict()

    # --- rooms ------------------------------------------------------------------------------

    @contextmanager
    def opening(self, source: Source) -> Iterator[None]:
        """Make sure that a source may open one more room, and count it while it is opened.

        Raises:
            Refused: if it has too many that are live.
        """
        if source.unlimited:
            yield
            return
        key = source.key
        if self._rooms_of(key) >= self._limits.address_rooms:
            self._forget_ended(key)
        if self._rooms_of(key) >= self._limits.address_rooms:
            raise Refused(
                ErrorCode.TOO_MANY,
                f"{self._limits.address_rooms} rooms that were opened from this address are live, "
                "which is the most",
            )
        self._opening[key] += 1
        try:
            yield
        finally:
            self._opening[key] -= 1
            if not self._opening[key]:
                del self._opening[key]

    def opened(self, source: Source, room_id: RoomId) -> None:
        """Count a room that a source has opened, for as long as it lives."""
        if source.unlimited:
            return
        self._rooms.setdefault(source.key, set()).add(room_id)
        self._rooms_counted += 1
        # Rooms end without telling this; when half of those counted must have ended, look.
        if self._rooms_counted > 2 * self._limits.rooms:
            for key in list(self._rooms):
                self._forget_ended(key)

    def _rooms_of(self, key: str) -> int:
        return len(self._rooms.get(key, ())) + self._opening[key]

    def _forget_ended(self, key: str) -> None:
        before = self._rooms.get(key, set())
        live = {room_id for room_id in before if self._is_live(room_id)}
        self._rooms_counted -= len(before) - len(live)
        if live:
            self._rooms[key] = live
        else:
            self._rooms.pop(key, None)

    # --- seats ------------------------------------------------------------------------------

    def take_seat(self, source: Source) -> None:
        """Count a seat, until :meth:`return_seat`.

        Raises:
            Refused: if the source has too many; then nothing was counted.
        """
        if source.unlimited:
            return
        taken = self._seats.get(source.key, 0)
        if taken >= self._limits.address_seats:
            raise Refused(
                ErrorCode.TOO_MANY,
                f"{taken} connections from this address are in rooms, which is the most",
            )
        self._seats[source.key] = taken + 1

    def return_seat(self, source: Source) -> None:
        """Count a seat no more that was taken."""
        if source.unlimited:
            return
        left = self._seats[source.key] - 1
        if left:
            self._seats[source.key] = left
        else:
            del self._seats[source.key]

    def check_account(self, source: Source, taken: int) -> None:
        """Make sure that an account with ``taken`` seats may have one more.

        Raises:
            Refused: if not.
        """
        if not source.unlimited and taken >= self._limits.account_seats:
            raise Refused(
                ErrorCode.TOO_MANY,
                f"{taken} connections of this account are in rooms, which is the most",
            )

    # --- guesses ----------------------------------------------------------------------------

    def check_guesses(self, source: Source) -> None:
        """Make sure, before a room is looked up, that a source has not guessed wrong too often.

        Raises:
            Refused: if it has; then not even a right id gets an answer.
        """
        if source.unlimited or source.key not in self._misses:
            return
        left, wait = self._misses_left(source.key)
        if left < 1:
            raise Refused(
                ErrorCode.TOO_MANY,
                "from this address too many rooms were asked for that do not exist; "
                f"come again in {wait:.0f} seconds",
            )

    def missed(self, source: Source) -> None:
        """Count that a source has asked for a room that does not exist."""
        if source.unlimited or not self._limits.lookup_limit:
            return
        left, _ = self._misses_left(source.key)
        self._misses[source.key] = (left - 1, self._clock())
        self._misses.move_to_end(source.key)
        if len(self._misses) > REMEMBERED:
            self._misses.popitem(last=False)

    def _misses_left(self, key: str) -> tuple[float, float]:
        """How many misses a source has left, and in how many seconds, rounded up, it has one."""
        most = float(self._limits.lookup_limit)
        rate = most / MISSES_SECONDS
        left, since = self._misses.get(key, (most, 0.0))
        left = min(most, left + (self._clock() - since) * rate)
        return left, max(1.0, (1 - left) / rate)
