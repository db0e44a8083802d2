"""Whole rounds in a closed loop: each room begins its next as soon as the last one has ended."""

from scripts.benchlib.crowd import Crowd
from scripts.benchlib.seats import Misbehaved, Seat
from scripts.benchlib.wire import ASK, BEGIN, EACH, REVEAL


class ClosedLoop:
    """Plays in all rooms of a crowd, as fast as the server allows.

    In each room a round must be able to begin. Every prompt must come exactly once.
    """

    def __init__(self, crowd: Crowd, members: int) -> None:
        """Take over what the crowd answers."""
        self._crowd = crowd
        self._moves = crowd.tongue.moves
        self.per_round = crowd.tongue.deliveries(members)
        self._target = 0  # rounds that a room plays before it rests
        self._resting = len(crowd.rooms)
        self._expected = 0  # messages that all rounds begun so far deliver
        crowd.player = self
        crowd.heard = 0

    def play(self, rounds: int) -> None:
        """Let each room play so many rounds more, or fewer once :meth:`rest` is called."""
        for room in self._crowd.rooms:
            self._target = room.ticket + rounds
        self._resting = 0
        for room in self._crowd.rooms:
            self._begin(room.seats[0])
        self._crowd.flush()

    def rest(self) -> None:
        """Let each room end its round and begin none; then count.

        Raises:
            Misbehaved: if not exactly as many messages came as the rounds played deliver.
        """
        self._target = 0
        self.wait()

    def wait(self) -> None:
        """Wait until all rooms rest; then count, as :meth:`rest` does."""
        crowd = self._crowd
        crowd.turn_until(lambda: self._resting == len(crowd.rooms), "playing")
        crowd.settle(0.05)
        if crowd.heard != self._expected:
            raise Misbehaved(f"{crowd.heard} messages came instead of {self._expected}")

    def watch(self, seat: Seat, data: bytes) -> None:
        """See nothing: latency is not measured here."""

    def react(self, seat: Seat, seen: int) -> None:
        """Vote, reveal, or begin the next round."""
        room = seat.room
        if seen & EACH:
            if seen & EACH > 1 or seat.asked == room.ticket:
                raise Misbehaved("a member was asked twice for one vote")
            seat.asked = room.ticket
            self._crowd.say(seat, self._moves(room.ticket)[1 if seat.index == 0 else 2])
        if seen >> REVEAL & EACH:
            if seen >> REVEAL & EACH > 1 or seat.index or room.revealed == room.ticket:
                raise Misbehaved("a prompt to reveal came twice")
            room.revealed = room.ticket
            self._crowd.say(seat, self._moves(room.ticket)[3])
        if seen >> BEGIN & EACH:
            if seen >> BEGIN & EACH > 1 or seat.index or room.done == room.revealed:
                raise Misbehaved("a prompt to begin came twice")
            room.done = room.revealed
            if room.ticket < self._target:
                self._begin(seat)
            else:
                self._resting += 1

    def _begin(self, admin: Seat) -> None:
        admin.room.ticket += 1
        self._expected += self.per_round
        self._crowd.say(admin, self._moves(admin.room.ticket)[0])


assert ASK == 0  # noqa: S101 - the hot path above does not shift
