"""What a run has measured: counters, latencies, percentiles, and how they are shown."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import attrs
from rich.table import Table

from scripts.botlib.moves import Violation

LISTED: Final = 20  # errors and violations that are written out; all of them are counted


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
class Tally:
    """The totals of a run; times in seconds."""

    rounds: int = 0
    messages_in: int = 0
    messages_out: int = 0
    connections: int = 0
    rooms_done: int = 0
    interrupted: bool = False
    elapsed: float = 0.0
    vote_seconds: list[float] = attrs.field(factory=list)
    """From sending one's vote to hearing that one has voted."""
    round_seconds: list[float] = attrs.field(factory=list)
    """From sending BEGIN_VOTING to receiving VOTES_REVEALED."""
    rules: Counter[str] = attrs.field(factory=Counter)
    errors: int = 0
    listed_errors: list[str] = attrs.field(factory=list)
    listed_violations: list[str] = attrs.field(factory=list)
    _first_begin: float | None = None
    _last_reveal: float = 0.0

    @property
    def violations(self) -> int:
        """Broken rules, all together."""
        return self.rules.total()

    @property
    def good(self) -> bool:
        """Whether no check failed and no connection broke."""
        return not self.errors and not self.violations

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

    def error(self, text: str) -> None:
        """Count something that ended a session before its time."""
        self.errors += 1
        if len(self.listed_errors) < LISTED:
            self.listed_errors.append(text)

    def violation(self, room: str, violation: Violation) -> None:
        """Count a broken rule."""
        # The first of each rule says more than many of the same.
        fresh = violation.rule not in self.rules
        self.rules[violation.rule] += 1
        if fresh or len(self.listed_violations) < LISTED:
            self.listed_violations.append(
                f"{room}: {violation.rule}: {violation.member}: {violation.detail}"
            )

    def as_json(self) -> dict[str, Any]:
        """Put everything into one JSON object."""
        return {
            "ok": self.good,
            "interrupted": self.interrupted,
            "elapsed_seconds": round(self.elapsed, 3),
            "rooms_done": self.rooms_done,
            "rounds": self.rounds,
            "rounds_per_second": _rounded(self.rounds_per_second),
            "messages_in": self.messages_in,
            "messages_out": self.messages_out,
            "connections": self.connections,
            "errors": self.errors,
            "violations": self.violations,
            "violations_by_rule": dict(self.rules),
            "vote_ms": _latency(self.vote_seconds),
            "round_ms": _latency(self.round_seconds),
            "listed_errors": self.listed_errors,
            "listed_violations": self.listed_violations,
        }

    def as_table(self) -> Table:
        """Lay everything out for people."""
        table = Table(title="interrupted" if self.interrupted else None, show_header=False)
        table.add_column()
        table.add_column(justify="right")
        rate = _rounded(self.rounds_per_second)
        for label, value in (
            ("rooms done", self.rooms_done),
            ("rounds", self.rounds),
            ("rounds/s", "-" if rate is None else rate),
            ("messages in / out", f"{self.messages_in} / {self.messages_out}"),
            ("connections", self.connections),
            ("errors", self.errors),
            ("violations", self.violations),
            ("vote → broadcast p50 / p90 / p99, ms", _spread(self.vote_seconds)),
            ("round p50 / p90 / p99, ms", _spread(self.round_seconds)),
            ("seconds", f"{self.elapsed:.1f}"),
        ):
            table.add_row(label, str(value))
        return table


def _latency(seconds: Sequence[float]) -> dict[str, float | int | None]:
    ordered = sorted(seconds)
    values = {f"p{percent}": _milliseconds(ordered, percent) for percent in (50, 90, 99)}
    return {"count": len(ordered), **values}


def _milliseconds(ordered: Sequence[float], percent: float) -> float | None:
    value = percentile(ordered, percent)
    return None if value is None else round(1000 * value, 3)


def _spread(seconds: Sequence[float]) -> str:
    ordered = sorted(seconds)
    values = [_milliseconds(ordered, percent) for percent in (50, 90, 99)]
    return " / ".join("-" if value is None else f"{value:.2f}" for value in values)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
