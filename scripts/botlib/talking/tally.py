"""What a run of talking members has found out: counters, and how they are shown."""

from typing import Any

import attrs
from rich.table import Table

from scripts.botlib.lasting.troubles import Troubles


@attrs.define
class TalkTally(Troubles):
    """The totals of a run; its acknowledged requests are messages."""

    accounts: int = 0
    rooms_done: int = 0
    amended: int = 0
    """Messages that were edited or taken back."""
    kept: int = 0
    """Messages that the servers have kept."""
    heard: int = 0
    """Messages that members were told, once each."""

    def as_json(self) -> dict[str, Any]:
        """Put everything into one JSON object."""
        return self.head() | {
            "accounts": self.accounts,
            "rooms_done": self.rooms_done,
            "messages_acknowledged": self.acknowledged,
            "messages_amended": self.amended,
            "messages_kept": self.kept,
            "messages_heard": self.heard,
            **self.troubles(),
            **self.lists(),
        }

    def as_table(self) -> Table:
        """Lay everything out for people."""
        return self.laid_out(
            ("rooms done", self.rooms_done),
            ("messages acknowledged", self.acknowledged),
            ("messages edited or taken back", self.amended),
            ("messages kept", self.kept),
            ("messages heard", self.heard),
            *self.trouble_rows(),
        )
