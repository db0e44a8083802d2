"""What a run of ``parley.v1`` members has found out: counters, and how they are shown."""

from typing import Any

import attrs
from rich.table import Table

from scripts.botlib.lasting.troubles import Troubles


@attrs.define
class LastingTally(Troubles):
    """The totals of a run; its acknowledged requests are votes, changed ones included."""

    rooms_done: int = 0
    rounds: int = 0
    digests: int = 0
    """That were compared."""
    searched: int = 0
    """Bytes that were searched for others' cards."""

    def as_json(self) -> dict[str, Any]:
        """Put everything into one JSON object."""
        return self.head() | {
            "rooms_done": self.rooms_done,
            "rounds": self.rounds,
            "votes_acknowledged": self.acknowledged,
            **self.troubles(),
            "digests_compared": self.digests,
            "bytes_searched": self.searched,
            **self.lists(),
        }

    def as_table(self) -> Table:
        """Lay everything out for people."""
        return self.laid_out(
            ("rooms done", self.rooms_done),
            ("rounds", self.rounds),
            ("votes acknowledged", self.acknowledged),
            *self.trouble_rows(),
            ("digests compared", self.digests),
            ("bytes searched", self.searched),
        )
