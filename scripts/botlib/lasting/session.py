"""What the members of one room share."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import attrs

from scripts.botlib.lasting.plan import LastingPlan
from scripts.botlib.lasting.stage import Watched
from scripts.botlib.lasting.tally import LastingTally
from scripts.botlib.lasting.witness import Witness
from scripts.botlib.moves import Violation
from server.client import Opened, RoomOver


@attrs.define(eq=False, kw_only=True)
class Session(Watched):
    """One room, from its opening to its end."""

    plan: LastingPlan
    tally: LastingTally
    label: str
    opened: Opened
    cards: Mapping[str, tuple[str, ...]]
    """Of each member."""
    report: Callable[[Violation], None]
    witness: Witness

    @contextmanager
    def as_its_end(self) -> Iterator[None]:
        """Take the end of the room for an end of the block, once the owner has asked for it."""
        try:
            yield
        except RoomOver:
            if not self.closing:
                raise
