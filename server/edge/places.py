"""The places for connections: how many there are, how many each source may have, who gives way."""

from collections.abc import Callable
from typing import Final

import trio

from server.auth.sources import Source
from server.auth.throttle import Throttle
from server.edge.accepted import AcceptedConnection
from server.support.limits import Limits

SETTLING_SECONDS: Final = 1.0
"""Seconds that a connection is left in peace by others of its own source."""

FULL: Final = "the server has too many connections"
TOO_MANY: Final = "there are too many connections from this address"
TOO_FAST: Final = "connections from this address come too fast"


class _Holder:
    """A source that has connections. Some 600 bytes, and 100 for each connection without a seat."""

    __slots__ = ("count", "seatless")

    def __init__(self) -> None:
        self.count = 0
        # Those that may have to give way, the oldest first.
        self.seatless: dict[AcceptedConnection, None] = {}


class Places:
    """Who is connected, and who has a seat in a room; every step costs the same however many are.

    A connection is *seatless* until :meth:`keep` says that a room has it: at the door, answered
    over HTTP, refused or an echo. When all places are taken, a newcomer gets the place of the
    oldest seatless connection of the source that has the most of them. Whoever has a seat keeps
    it, and a newcomer for whom nobody gives way is turned away.
    """

    def __init__(
        self, *, most: int, limits: Limits, clock: Callable[[], float] = trio.current_time
    ) -> None:
        """Offer ``most`` places.

        Args:
            most: connections that the process can have open.
            limits: how many, and how many a second, each source may have.
            clock: seconds that never go back.
        """
        self._most = most
        self._most_each = limits.address_connections
        self._rate = Throttle(
            limits.address_burst, limits.address_burst / limits.address_rate, clock=clock
        )
        self._clock = clock
        self._open = 0  # without those that have been told to give way
        self._holders: dict[str, _Holder] = {}
        # The sources by how many seatless connections each has.
        self._ranks: dict[int, dict[_Holder, None]] = {}
        self._top = 0

    @property
    def open(self) -> int:
        """How many places are taken."""
        return self._open

    def enter(self, peer: AcceptedConnection) -> str | None:
        """Take a place for a new connection.

        Returns:
            Why there is none, in words for people; ``None`` if it has got one, which
            :meth:`leave` gives back.
        """
        source = peer.source
        if not source.unlimited and self._rate.take(source.key):
            return TOO_FAST
        problem = self._make_room(source, peer.since)
        if problem is None:
            self._add(source.key, peer)
        return problem

    def move(self, peer: AcceptedConnection, source: Source) -> str | None:
        """Count a connection for somebody else: for the client on whose behalf a proxy speaks.

        Returns:
            Why that cannot be; then nothing has changed.
        """
        if source.key == peer.source.key:
            return None
        if not source.unlimited:
            if self._rate.take(source.key):
                return TOO_FAST
            if not self._fits(source, self._clock()):
                return TOO_MANY
        holder = self._holders.get(peer.source.key)
        if holder is not None and peer in holder.seatless:
            self._remove(peer)
            peer.source = source
            self._add(source.key, peer)
        return None

    def keep(self, peer: AcceptedConnection) -> None:
        """Let a connection keep its place: it has a seat now."""
        holder = self._holders.get(peer.source.key)
        if holder is not None and peer in holder.seatless:
            self._rank(holder, -1)
            del holder.seatless[peer]
            peer.give_way = None

    def leave(self, peer: AcceptedConnection) -> None:
        """Give back the place of a connection that has one and is closed."""
        if peer.displaced:
            return
        self._remove(peer)

    def _make_room(self, source: Source, now: float) -> str | None:
        """See to it that there is a place for one more."""
        if not source.unlimited and not self._fits(source, now):
            return TOO_MANY
        if self._open < self._most:
            return None
        if not self._top:
            return FULL
        largest = next(iter(self._ranks[self._top]))
        own = self._holders.get(source.key)
        # Else two sources of the same size could drive each other out for ever.
        larger = self._top > (len(own.seatless) if own else 0) + 1
        return None if self._displace(largest, now, at_once=larger) else FULL

    def _fits(self, source: Source, now: float) -> bool:
        """Tell whether a source may have one more, perhaps in the place of one it has."""
        holder = self._holders.get(source.key)
        if holder is None or holder.count < self._most_each:
            return True
        return self._displace(holder, now)

    def _displace(self, holder: _Holder, now: float, *, at_once: bool = False) -> bool:
        """End the oldest seatless connection of a source, unless it has only just come."""
        oldest = next(iter(holder.seatless), None)
        if oldest is None or not (at_once or now - oldest.since >= SETTLING_SECONDS):
            return False
        self._remove(oldest)
        oldest.displace()
        return True

    def _add(self, key: str, peer: AcceptedConnection) -> None:
        holder = self._holders.get(key)
        if holder is None:
            holder = self._holders[key] = _Holder()
        self._open += 1
        holder.count += 1
        self._rank(holder, +1)
        holder.seatless[peer] = None

    def _remove(self, peer: AcceptedConnection) -> None:
        holder = self._holders[peer.source.key]
        self._open -= 1
        holder.count -= 1
        if peer in holder.seatless:
            self._rank(holder, -1)
            del holder.seatless[peer]
        if not holder.count:
            del self._holders[peer.source.key]

    def _rank(self, holder: _Holder, change: int) -> None:
        """Move a source to its new rank; called before its number of seatless ones changes."""
        before = len(holder.seatless)
        after = before + change
        if before:
            rank = self._ranks[before]
            del rank[holder]
            if not rank:
                del self._ranks[before]
        if after:
            self._ranks.setdefault(after, {})[holder] = None
        if after > self._top or (before == self._top and before not in self._ranks):
            self._top = after
