"""What the kernel knows of a process: processor time and memory; and slices of a run."""

import math
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Final

import attrs

SLICE_SECONDS: Final = 0.2
MOST_FOREIGN: Final = 0.2
_FEWEST: Final = 3  # slices of a run
_TICK: Final = 100.0  # USER_HZ, the same everywhere that Linux runs


def cpu_seconds(pid: int) -> float:
    """Read the processor time of all threads, which the kernel keeps in nanoseconds."""
    total = 0
    for each in Path(f"/proc/{pid}/task").iterdir():
        try:
            total += int((each / "schedstat").read_text().split()[0])
        except (FileNotFoundError, ProcessLookupError):
            continue  # the thread has ended
    return total / 1e9


def user_system(pid: int) -> tuple[float, float]:
    """Read the processor time outside of and inside the kernel; in hundredths of a second."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) / _TICK, int(fields[12]) / _TICK


def anonymous_kib(pid: int) -> float:
    """Read the private memory, of which file pages, that come and go, are no part."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(r"^Anonymous:\s+(\d+) kB", text, re.MULTILINE)
    if found is None:
        raise OSError("smaps_rollup without a line Anonymous")
    return float(found[1])


def busy_seconds(processor: int) -> tuple[float, float]:
    """Read how long the processor was at work, and how long the hypervisor took it away."""
    text = Path("/proc/stat").read_text()
    found = re.search(rf"^cpu{processor} ([\d ]+)", text, re.MULTILINE)
    if found is None:
        return 0.0, 0.0
    user, nice, system, _, _, irq, soft, stolen = (int(each) for each in found[1].split()[:8])
    return (user + nice + system + irq + soft) / _TICK, stolen / _TICK


def percentile(values: Sequence[float], share: float) -> float:
    """Take the smallest value that at least ``share`` of all values do not exceed."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


@attrs.frozen
class Slice:
    """A short stretch of a run."""

    seconds: float
    cpu: float
    """Of the server."""
    busy: float
    """Of its processor, with whatever else ran there."""
    stolen: float
    units: int
    """Messages delivered."""

    @property
    def clean(self) -> bool:
        """Whether the processor was the server's alone, or nearly so."""
        others = max(0.0, self.busy - self.cpu)
        return max(self.stolen, others) <= MOST_FOREIGN * self.seconds


def typical(slices: Sequence[Slice]) -> tuple[float, int]:
    """Say what a unit costs in microseconds: the median of the clean slices, else of all.

    Returns:
        The cost, and how many slices were not clean.
    """
    clean = [each for each in slices if each.clean]
    costs = [each.cpu * 1e6 / each.units for each in clean or slices if each.units]
    return (median(costs) if costs else math.nan), len(slices) - len(clean)


def sampled(
    pid: int,
    processor: int,
    *,
    seconds: float,
    least: int,
    step: Callable[[], object],
    units: Callable[[], int],
) -> list[Slice]:
    """Repeat ``step`` for some time and cut that time into slices.

    A slice has at least ``least`` units, so that each sees every part of a round; there are at
    least a few, however long that takes.
    """
    slices: list[Slice] = []
    begun = last = time.monotonic()
    cpu, busy, had = cpu_seconds(pid), busy_seconds(processor), units()
    while len(slices) < _FEWEST or last - begun < seconds:
        step()
        now = time.monotonic()
        if now - last < SLICE_SECONDS or units() - had < least:
            continue
        cpu_now, busy_now, have = cpu_seconds(pid), busy_seconds(processor), units()
        slices.append(
            Slice(
                seconds=now - last,
                cpu=cpu_now - cpu,
                busy=busy_now[0] - busy[0],
                stolen=busy_now[1] - busy[1],
                units=have - had,
            )
        )
        last, cpu, busy, had = now, cpu_now, busy_now, have
    return slices
