"""What is to be played with members that outlive their connections, and with which cards."""

from typing import Final

import attrs

from protocol.limits import MOST_CARDS

MOST_MEMBERS: Final = MOST_CARDS
"""Of one room: each has a card of its own."""

_MOST_CARDS_EACH: Final = 3


@attrs.frozen(kw_only=True)
class LastingPlan:
    """What is to be played."""

    rooms: int
    members: int
    tickets: int
    seed: int
    timeout: float
    """Seconds for one answer over HTTP."""
    deadline: float
    """Seconds in which something must go on in each room."""
    think_time: float
    concurrency: int
    """Members that take their seats at once."""
    mixed: bool
    chaos: bool

    @property
    def guests(self) -> int:
        """Members of a room that speak the older dialect."""
        return max(1, self.members // 3) if self.mixed else 0

    @property
    def votes(self) -> int:
        """That are to be acknowledged at the least, but for rounds that are revealed early."""
        return self.rooms * self.tickets * (self.members - self.guests)


def cards_of(seat: int, members: int) -> tuple[str, ...]:
    """Give the cards that only one member uses; they stand in nothing else that is ever sent.

    Args:
        seat: of the member, from 0 on.
        members: of the room.
    """
    each = min(_MOST_CARDS_EACH, MOST_CARDS // members)
    return tuple(f"‡{seat}{letter}" for letter in "abc"[:each])
