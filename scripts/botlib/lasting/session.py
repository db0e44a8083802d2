"""What the members of one room share."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import attrs
import trio

from scripts.botlib.lasting.plan import LastingPlan
from scripts.botlib.lasting.proxy import Proxy
from scripts.botlib.lasting.tally import LastingTally
from scripts.botlib.lasting.witness import Witness
from scripts.botlib.moves import Violation
from server.client import Opened, RoomOver


@attrs.define(eq=False, kw_only=True)
class Session:
    """One room, from its opening to its end."""

    plan: LastingPlan
    tally: LastingTally
    proxy: Proxy
    url: str
    label: str
    opened: Opened
    cards: Mapping[str, tuple[str, ...]]
    """Of each member."""
    report: Callable[[Violation], None]
    witness: Witness
    up_at: Callable[[], float]
    """When the server was last started."""
    starts: Callable[[], int]
    """How often it was; 0 if it is nobody's here."""
    closing: bool = False
    """The owner has asked for the end."""
    _progress: float = attrs.Factory(trio.current_time)

    def go_on(self) -> None:
        """Something has gone on."""
        self._progress = trio.current_time()

    @property
    def stuck_for(self) -> float:
        """Seconds since anything went on, with a server that was there."""
        return trio.current_time() - max(self._progress, self.up_at())

    @contextmanager
    def as_its_end(self) -> Iterator[None]:
        """Take the end of the room for an end of the block, once the owner has asked for it."""
        try:
            yield
        except RoomOver:
            if not self.closing:
                raise
