"""What chat bots are to do, and what they measure."""

from typing import Any
from urllib.parse import SplitResult

import attrs
from rich.table import Table

from scripts.botlib.findings import Findings
from scripts.botlib.stats import latency, spread


@attrs.frozen(kw_only=True)
class Plan:
    """What is to be done."""

    url: SplitResult
    rooms: int
    members: int
    messages: int
    """That each member sends."""
    rate: float
    """Messages a second and member."""
    late: float
    """Share of the members that join later."""
    rejoin: float
    """Share of the members that leave and come back."""
    second: float
    """Share of the members that have a second connection for a while."""
    seed: int
    timeout: float
    connect_concurrency: int
    accounts: str
    """Name of accounts to be used again; empty for new ones."""

    @property
    def total(self) -> int:
        """Messages in one room."""
        return self.members * self.messages

    @property
    def patience(self) -> float:
        """Seconds in which something must be heard while others may pause."""
        return self.timeout + 5 / self.rate


@attrs.define
class Tally(Findings):
    """The totals of a run; times in seconds."""

    accounts: int = 0
    connections: int = 0
    rooms_done: int = 0
    messages_in: int = 0
    messages_out: int = 0
    back_seconds: list[float] = attrs.field(factory=list)
    """From sending a message to receiving it oneself."""

    def as_json(self) -> dict[str, Any]:
        """Put everything into one JSON object."""
        return self.head() | {
            "accounts": self.accounts,
            "connections": self.connections,
            "rooms_done": self.rooms_done,
            "messages_in": self.messages_in,
            "messages_out": self.messages_out,
            "back_ms": latency(self.back_seconds),
            **self.lists(),
        }

    def as_table(self) -> Table:
        """Lay everything out for people."""
        return self.laid_out(
            ("rooms done", self.rooms_done),
            ("messages in / out", f"{self.messages_in} / {self.messages_out}"),
            ("accounts", self.accounts),
            ("connections", self.connections),
            ("message → back p50 / p90 / p99, ms", spread(self.back_seconds)),
        )
