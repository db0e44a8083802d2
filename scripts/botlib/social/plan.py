"""What social bots are to do, and what they measure."""

from typing import Any
from urllib.parse import SplitResult

import attrs
from rich.table import Table

from scripts.botlib.findings import Findings


@attrs.frozen(kw_only=True)
class Plan:
    """What is to be done."""

    url: SplitResult
    users: int
    posts: int
    """That each user writes."""
    follows: int
    """That each user begins."""
    seed: int
    timeout: float
    concurrency: int


@attrs.define
class Tally(Findings):
    """The totals of a run."""

    requests: int = 0
    accounts: int = 0
    posts: int = 0
    timelines: int = 0
    """Read to the end."""

    def as_json(self) -> dict[str, Any]:
        """Put everything into one JSON object."""
        return self.head() | {
            "requests": self.requests,
            "accounts": self.accounts,
            "posts": self.posts,
            "timelines": self.timelines,
            **self.lists(),
        }

    def as_table(self) -> Table:
        """Lay everything out for people."""
        return self.laid_out(
            ("accounts", self.accounts),
            ("posts", self.posts),
            ("timelines read", self.timelines),
            ("requests", self.requests),
        )
