"""Rounds in an open loop: each is due at a time that no slowness of the server moves.

A round begins when it is due, or as soon as its room has ended the one before. All members vote
at the same moment, a fixed time after the round was due, or as soon as they are asked if that is
later. What is measured is the time from the moment at which a vote was due until its voter reads
the announcement of it. A vote that never came counts with its age at the end: leaving it out
would make a server look the better the less it does.
"""

import heapq
import time
from collections import deque
from typing import Final

import attrs

from scripts.benchlib.crowd import Crowd
from scripts.benchlib.measure import percentile
from scripts.benchlib.seats import Room, Seat
from scripts.benchlib.wire import BEGIN, EACH, REVEAL

_THINK: Final = 0.01  # seconds from a round's due time to its votes'
_SPIN: Final = 0.001  # epoll counts in milliseconds: the last one before a due time is spun
_GRACE: Final = 0.5  # seconds after the end for what is under way


@attrs.frozen(kw_only=True)
class Latency:
    """What an open loop gave, in milliseconds."""

    p50: float
    p90: float
    p99: float
    votes: int
    unanswered: int
    late_p99: float
    """How late the generator itself sent votes that it could have sent in time."""


@attrs.define(eq=False)
class _Desk:
    """What is on in one room."""

    room: Room
    busy: bool = False
    vote_due: float = 0.0
    waiting: deque[float] = attrs.Factory(deque)  # due times of rounds that could not begin


class OpenLoop:
    """Plays in all rooms of a crowd at a fixed rate."""

    def __init__(self, crowd: Crowd, members: int, rate: float) -> None:
        """Begin ``rate`` rounds a second, spread evenly over all rooms."""
        self._crowd = crowd
        self._moves = crowd.tongue.moves
        self._members = members
        self._period = len(crowd.rooms) / rate
        self._desks = {id(room): _Desk(room) for room in crowd.rooms}
        self._begins: list[tuple[float, int]] = []  # heaps of due time and room
        self._votes: list[tuple[float, int]] = []
        self._results: list[float] = []
        self._lateness: list[float] = []
        self._counts_from = 0.0

    def run(self, warm_up: float, seconds: float) -> Latency:
        """Play for so long, and measure the rounds that are due after the warm-up."""
        crowd = self._crowd
        crowd.player, crowd.watching = self, True
        begun = time.perf_counter() + _SPIN
        step = self._period / len(self._desks)
        self._begins = [(begun + n * step, key) for n, key in enumerate(self._desks)]
        self._counts_from, end = begun + warm_up, begun + warm_up + seconds
        while (now := time.perf_counter()) < end:
            self._start_due(now)
            self._vote_due(now)
            crowd.flush()
            soon = min(heap[0][0] for heap in (self._begins, self._votes) if heap)
            # Rounded up by epoll, hence one millisecond less and then none at all.
            wait = min(soon, end) - time.perf_counter() - _SPIN
            crowd.turn(int(wait * 1000) / 1000 if wait > _SPIN else 0)
        return self._finish(end)

    def watch(self, seat: Seat, data: bytes) -> None:
        """Look for the announcement of the seat's own vote."""
        if seat.due and seat.name in data:
            if seat.due >= self._counts_from:
                self._results.append(time.perf_counter() - seat.due)
            seat.due = 0.0

    def react(self, seat: Seat, seen: int) -> None:
        """Vote if it is time, reveal at once, begin what had to wait."""
        room = seat.room
        desk = self._desks[id(room)]
        if seen & EACH:
            seat.asked = room.ticket
            if time.perf_counter() >= desk.vote_due:
                self._vote(seat, desk.vote_due)
        if seen >> REVEAL & EACH:
            room.revealed = room.ticket
            self._crowd.say(seat, self._moves(room.ticket)[3])
        if seen >> BEGIN & EACH:
            desk.busy = False
            if desk.waiting:
                self._begin(desk, desk.waiting.popleft())

    def _start_due(self, now: float) -> None:
        while self._begins[0][0] <= now:
            due, key = self._begins[0]
            heapq.heapreplace(self._begins, (due + self._period, key))
            desk = self._desks[key]
            if desk.busy:
                desk.waiting.append(due)
            else:
                self._begin(desk, due)

    def _begin(self, desk: _Desk, due: float) -> None:
        desk.busy = True
        desk.room.ticket += 1
        desk.vote_due = due + _THINK
        heapq.heappush(self._votes, (desk.vote_due, id(desk.room)))
        self._crowd.say(desk.room.seats[0], self._moves(desk.room.ticket)[0])

    def _vote_due(self, now: float) -> None:
        while self._votes and self._votes[0][0] <= now:
            due, key = heapq.heappop(self._votes)
            room = self._desks[key].room
            for seat in room.seats:
                if seat.asked == room.ticket and seat.voted != room.ticket:
                    self._lateness.append(now - due)
                    self._vote(seat, due)

    def _vote(self, seat: Seat, due: float) -> None:
        seat.due = due
        seat.voted = seat.room.ticket
        self._crowd.say(seat, self._moves(seat.room.ticket)[1 if seat.index == 0 else 2])

    def _finish(self, end: float) -> Latency:
        crowd = self._crowd
        self._vote_due(end)
        crowd.flush()
        stop = time.perf_counter() + _GRACE
        while time.perf_counter() < stop and self._missing(end):
            crowd.turn(0.01)
        now, missing = time.perf_counter(), self._missing(end)
        results = [*self._results, *(now - due for due in missing)]
        self._end_rounds()
        return Latency(
            p50=percentile(results, 0.5) * 1e3,
            p90=percentile(results, 0.9) * 1e3,
            p99=percentile(results, 0.99) * 1e3,
            votes=len(results),
            unanswered=len(missing),
            late_p99=percentile(self._lateness, 0.99) * 1e3,
        )

    def _missing(self, end: float) -> list[float]:
        """List when the votes were due of which nothing was heard."""
        due: list[float] = []
        for desk in self._desks.values():
            for seat in desk.room.seats:
                if seat.due:
                    due.append(seat.due)
                elif desk.busy and seat.voted != desk.room.ticket:
                    due.append(desk.vote_due)
            due += [each + _THINK for each in desk.waiting for _ in desk.room.seats]
        return [each for each in due if self._counts_from <= each < end]

    def _end_rounds(self) -> None:
        """Leave all rooms at rest, for whoever plays next."""
        for desk in self._desks.values():
            desk.waiting.clear()

        def rests() -> bool:
            self._vote_due(time.perf_counter())
            self._crowd.flush()
            return not any(desk.busy for desk in self._desks.values())

        self._crowd.turn_until(rests, "ending the last rounds")
        self._crowd.settle(0.05)
        self._crowd.watching = False
