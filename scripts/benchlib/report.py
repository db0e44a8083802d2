"""From what the sessions found to medians, ratios, tables and JSON."""

import math
import os
import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

import attrs

from scripts.benchlib.experiments import Column, Experiment
from scripts.benchlib.server import Kind
from scripts.benchlib.sessions import Figures

FORMAT: Final = 1
"""Raised when the JSON changes its shape."""


@attrs.frozen
class Ratio:
    """One kind's figure through that of the next, over all pairs of neighbouring runs."""

    median: float
    least: float
    most: float


@attrs.define
class Results:
    """What was found in one experiment."""

    experiment: Experiment
    cases: dict[str, dict[Kind, list[Figures]]] = attrs.Factory(dict)

    def add(self, case: str, kind: Kind, figures: Figures) -> None:
        """Take the next repetition's figures."""
        self.cases.setdefault(case, {}).setdefault(kind, []).append(figures)

    def medians(self, case: str, kind: Kind) -> Figures:
        """Take the median of each figure."""
        runs = self.cases[case].get(kind, [])
        return {key: median(each[key] for each in runs) for key in (runs[0] if runs else ())}

    def ratios(self, case: str) -> dict[str, Ratio]:
        """Compare both kinds in what is to be compared."""
        measured = [self.cases[case][kind] for kind in Kind if kind in self.cases[case]]
        if len(measured) < 2:
            return {}
        ours, theirs = measured
        keys = [column.key for column in self.experiment.columns if column.compared]
        return {key: ratio for key in keys if (ratio := _ratio(ours, theirs, key)) is not None}


def table(results: Results) -> str:
    """Write an experiment's results for people."""
    found = {key for kinds in results.cases.values() for runs in kinds.values() for key in runs[0]}
    columns = [column for column in results.experiment.columns if column.key in found]
    rows = [["", "", *(column.title for column in columns)]]
    for case in results.cases:
        name = case
        for kind in results.cases[case]:
            figures = results.medians(case, kind)
            rows.append([name, kind, *(_cell(figures, column) for column in columns)])
            name = ""
        ratios = results.ratios(case)
        if ratios:
            cells = [_shown(ratios.get(column.key)) for column in columns]
            rows.append(["", "ratio", *cells])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if place < 2 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([results.experiment.title, *lines])


def as_json(everything: Sequence[Results], options: Mapping[str, Any]) -> dict[str, Any]:
    """Make what ``--json`` writes; a figure that could not be measured is ``None``."""
    read: dict[str, Any] = _finite(
        {
            "format": FORMAT,
            "machine": machine(),
            "options": dict(options),
            "experiments": {each.experiment.name: _of(each) for each in everything},
        }
    )
    return read


def machine() -> dict[str, Any]:
    """Say where this runs."""
    try:
        model = re.search(r"^model name\s*: (.*)", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        model = None
    return {
        "processor": model[1] if model else platform.machine(),
        "processors": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_average": os.getloadavg()[0],
    }


def _of(results: Results) -> dict[str, Any]:
    cases = {
        case: {
            **{
                str(kind): {"median": results.medians(case, kind), "runs": runs}
                for kind, runs in kinds.items()
            },
            "ratio": {key: attrs.asdict(value) for key, value in results.ratios(case).items()},
        }
        for case, kinds in results.cases.items()
    }
    return {"title": results.experiment.title, "cases": cases}


def _ratio(ours: Sequence[Figures], theirs: Sequence[Figures], key: str) -> Ratio | None:
    pairs = [
        our[key] / their[key]
        for our, their in zip(ours, theirs, strict=False)
        if our.keys() & their.keys() >= {key} and their[key] > 0
    ]
    return Ratio(median(pairs), min(pairs), max(pairs)) if pairs else None


def _cell(figures: Figures, column: Column) -> str:
    return f"{figures[column.key]:.{column.digits}f}" if column.key in figures else ""


def _shown(ratio: Ratio | None) -> str:
    return f"{ratio.median:.2f} ({ratio.least:.2f}-{ratio.most:.2f})" if ratio else ""


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return value
