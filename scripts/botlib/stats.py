"""What a run has measured: counters, latencies, percentiles, and how they are shown."""

import math
from collections.abc import Sequence
from typing import Any

import attrs
from rich.table import Table

from scripts.botlib.findings import Findings


def percentile(ordered: Sequence[float], percent: float) -> float | None:
    """Give the smallest value that ``percent`` of all values do not exceed (nearest rank).

    Args:
        ordered: ascending.
        percent: from 0 to 100.

    Returns:
        One of the values; ``None`` if there are none.
    """
    if not ordered:
        return None
    rank = math.ceil(percent / 100 * len(ordered))
    return ordered[max(rank, 1) - 1]


@attrs.define
class Tally(Findings):
    """The totals of a run; times in seconds."""

    rounds: int = 0
    messages_in: int = 0
    messages_out: int = 0
    connections: int = 0
    rooms_done: int = 0
    vote_seconds: list[float] = attrs.field(factory=list)
    """From sending one's vote to hearing that one has voted."""
    round_seconds: list[float] = attrs.field(factory=list)
    """From sending BEGIN_VOTING to receiving VOTES_REVEALED."""
    _first_begin: float | None = None
    _last_reveal: float = 0.0

    @property
    def rounds_per_second(self) -> float | None:
        """Over the time from the first BEGIN_VOTING to the last VOTES_REVEALED."""
        if self._first_begin is None or self._last_reveal <= self._first_begin:
            return None
        return self.rounds / (self._last_reveal - self._first_begin)

    def round_done(self, begun: float, revealed: float) -> None:
        """Count a round that was begun and revealed at these times."""
        self.rounds += 1
        self.round_seconds.append(revealed - begun)
        self._first_begin = begun if self._first_begin is None else min(self._first_begin, begun)
        self._last_reveal = max(self._last_reveal, revealed)

    def as_json(self) -> dict[str, Any]:
        """Put everything into one JSON object."""
        return self.head() | {
            "rooms_done": self.rooms_done,
            "rounds": self.rounds,
            "rounds_per_second": _rounded(self.rounds_per_second),
            "messages_in": self.messages_in,
            "messages_out": self.messages_out,
            "connections": self.connections,
            "vote_ms": latency(self.vote_seconds),
            "round_ms": latency(self.round_seconds),
            **self.lists(),
        }

    def as_table(self) -> Table:
        """Lay everything out for people."""
        rate = _rounded(self.rounds_per_second)
        return self.laid_out(
            ("rooms done", self.rooms_done),
            ("rounds", self.rounds),
            ("rounds/s", "-" if rate is None else rate),
            ("messages in / out", f"{self.messages_in} / {self.messages_out}"),
            ("connections", self.connections),
            ("vote → broadcast p50 / p90 / p99, ms", spread(self.vote_seconds)),
            ("round p50 / p90 / p99, ms", spread(self.round_seconds)),
        )


def latency(seconds: Sequence[float]) -> dict[str, float | int | None]:
    """Sum up latencies for JSON, in milliseconds."""
    ordered = sorted(seconds)
    values = {f"p{percent}": _milliseconds(ordered, percent) for percent in (50, 90, 99)}
    return {"count": len(ordered), **values}


def _milliseconds(ordered: Sequence[float], percent: float) -> float | None:
    value = percentile(ordered, percent)
    return None if value is None else round(1000 * value, 3)


def spread(seconds: Sequence[float]) -> str:
    """Sum up latencies for people, in milliseconds."""
    ordered = sorted(seconds)
    values = [_milliseconds(ordered, percent) for percent in (50, 90, 99)]
    return " / ".join("-" if value is None else f"{value:.2f}" for value in values)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
