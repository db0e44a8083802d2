"""What a run counts in which connections are cut and servers die, whatever its bots do."""

from collections import Counter
from typing import Any

import attrs

from scripts.botlib.findings import Findings


@attrs.define
class Troubles(Findings):
    """What has hit members, and how they came back; times in seconds."""

    connections: int = 0
    acknowledged: int = 0
    """Requests that a run is about."""
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

    def troubles(self) -> dict[str, Any]:
        """Give what has hit members as a part of a JSON object."""
        return {
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
        }

    def trouble_rows(self) -> tuple[tuple[str, object], ...]:
        """Give the same as rows of a table."""
        return (
            ("connections", self.connections),
            ("welcomes", _listed(self.resumes)),
            ("cuts", _listed(self.cuts)),
            ("stalls", self.stalls),
            ("repeats", self.repeats),
            ("kills / stops / restarts", f"{self.kills} / {self.stops} / {self.restarts}"),
            ("slowest return after a restart, s", _shown(self.slowest_return)),
            ("slowest welcome after a hello, s", _shown(self.slowest_welcome)),
        )


def _listed(counter: Counter[str]) -> str:
    return ", ".join(f"{times} {name}" for name, times in counter.most_common()) or "0"


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def _shown(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.2f}"
