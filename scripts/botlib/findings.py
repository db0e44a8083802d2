"""What every run counts, whatever its bots do: broken rules, errors, and how they are shown."""

from abc import ABC, abstractmethod
from collections import Counter
from typing import Any, Final

import attrs
from rich.table import Table

from scripts.botlib.moves import Violation

LISTED: Final = 20  # errors and violations that are written out; all of them are counted


@attrs.define
class Findings(ABC):
    """Broken rules and errors of a run; times in seconds."""

    interrupted: bool = False
    elapsed: float = 0.0
    stopped: str = ""
    """Why there was nothing to be found out at all."""
    rules: Counter[str] = attrs.field(factory=Counter)
    errors: int = 0
    listed_errors: list[str] = attrs.field(factory=list)
    listed_violations: list[str] = attrs.field(factory=list)

    @property
    def violations(self) -> int:
        """Broken rules, all together."""
        return self.rules.total()

    @property
    def good(self) -> bool:
        """Whether no check failed and no connection broke."""
        return not self.errors and not self.violations and not self.stopped

    def error(self, text: str) -> None:
        """Count something that ended a session before its time."""
        self.errors += 1
        if len(self.listed_errors) < LISTED:
            self.listed_errors.append(text)

    def violation(self, where: str, violation: Violation) -> None:
        """Count a broken rule."""
        # The first of each rule says more than many of the same.
        fresh = violation.rule not in self.rules
        self.rules[violation.rule] += 1
        if fresh or len(self.listed_violations) < LISTED:
            self.listed_violations.append(
                f"{where}: {violation.rule}: {violation.member}: {violation.detail}"
            )

    @abstractmethod
    def as_json(self) -> dict[str, Any]:
        """Put everything into one JSON object."""

    @abstractmethod
    def as_table(self) -> Table:
        """Lay everything out for people."""

    def head(self) -> dict[str, Any]:
        """Begin a JSON object."""
        return {
            "ok": self.good,
            "interrupted": self.interrupted,
            "elapsed_seconds": round(self.elapsed, 3),
            "errors": self.errors,
            "violations": self.violations,
            "violations_by_rule": dict(self.rules),
        }

    def lists(self) -> dict[str, Any]:
        """End a JSON object."""
        return {
            "listed_errors": self.listed_errors,
            "listed_violations": self.listed_violations,
        }

    def laid_out(self, *rows: tuple[str, object]) -> Table:
        """Make a table of ``rows`` and of what every run has."""
        table = Table(title="interrupted" if self.interrupted else None, show_header=False)
        table.add_column()
        table.add_column(justify="right")
        for label, value in (
            *rows,
            ("errors", self.errors),
            ("violations", self.violations),
            ("seconds", f"{self.elapsed:.1f}"),
        ):
            table.add_row(label, str(value))
        return table
