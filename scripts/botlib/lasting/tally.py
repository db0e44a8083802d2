"""What a run of ``parley.v1`` members has found out: counters, and how they are shown."""

from collections import Counter
from typing import Any

import attrs
from rich.table import Table

from scripts.botlib.findings import Findings


@attrs.define
class LastingTally(Findings):
    """The totals of a run; times in seconds."""

    rooms_done: int = 0
    rounds: int = 0
    connections: int = 0
    acknowledged: int = 0
    """Votes, changed ones included."""
    repeats: int = 0
    """Requests that were sent again on top of what the client library sends again."""
    cuts: Counter[str] = attrs.field(factory=Counter)
    """Connections cut, by where they were."""
    stalls: int = 0
    kills: int = 0
    """Deaths by SIGKILL."""
    stops: int = 0
    """Ends by SIGTERM."""
    restarts: int = 0
    resumes: Counter[str] = attrs.field(factory=Counter)
    """Welcomes, by what follows them."""
    digests: int = 0
    """That were compared."""
    searched: int = 0
    """Bytes that were searched for others' cards."""
    slowest_return: float | None = None
    """From a server's coming back to a member's being welcomed by it."""
    slowest_welcome: float | None = None
    """From a member's hello to its welcome, with what brings a resting room back."""

    def returned(self, seconds: float) -> None:
        """Note how long after a restart a member is there again."""
        self.slowest_return = max(self.slowest_return or 0.0, seconds)

    def welcomed(self, seconds: float) -> None:
        """Note how long a member waited for its welcome."""
        self.slowest_welcome = max(self.slowest_welcome or 0.0, seconds)

    def as_json(self) -> dict[str, Any]:
        """Put everything into one JSON object."""
        return self.head() | {
            "rooms_done": self.rooms_done,
            "rounds": self.rounds,
            "votes_acknowledged": self.acknowledged,
            "connections": self.connections,
            "resumes": dict(self.resumes),
            "cuts": self.cuts.total(),
            "cuts_by_place": dict(self.cuts),
            "stalls": self.stalls,
            "repeats": self.repeats,
            "kills": self.kills,
            "stops": self.stops,
            "restarts": self.restarts,
            "slowest_return_seconds": _rounded(self.slowest_return),
            "slowest_welcome_seconds": _rounded(self.slowest_welcome),
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
            ("connections", self.connections),
            ("welcomes", _listed(self.resumes)),
            ("cuts", _listed(self.cuts)),
            ("stalls", self.stalls),
            ("repeats", self.repeats),
            ("kills / stops / restarts", f"{self.kills} / {self.stops} / {self.restarts}"),
            ("slowest return after a restart, s", _shown(self.slowest_return)),
            ("slowest welcome after a hello, s", _shown(self.slowest_welcome)),
            ("digests compared", self.digests),
            ("bytes searched", self.searched),
        )


def _listed(counter: Counter[str]) -> str:
    return ", ".join(f"{times} {name}" for name, times in counter.most_common()) or "0"


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def _shown(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.2f}"
