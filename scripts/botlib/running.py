"""Runs bots until they are done or interrupted, shows how far they are, and tells the outcome."""

import json
import random
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import attrs
import trio
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from scripts.botlib.findings import Findings

GOOD: Final = 0
FAILED: Final = 1
INTERRUPTED: Final = 130  # as a shell reports a death by SIGINT

REDRAW_SECONDS: Final = 0.2


@attrs.frozen
class Bar:
    """Something whose progress is shown."""

    title: str
    total: int
    done: Callable[[], int]


@attrs.frozen(kw_only=True)
class Run:
    """What is to be run, and how it is told."""

    bots: str
    """As they are called on the command line."""
    play: Callable[[], Awaitable[None]]
    findings: Findings
    bars: tuple[Bar, ...]
    asked: Mapping[str, object]
    """What was asked for, the seed included; for JSON."""
    json: bool


def seed_of(given: int | None) -> int:
    """Choose a seed if none is given."""
    return random.randrange(2**32) if given is None else given


def conclude(run: Run) -> int:
    """Run it and tell the outcome.

    Returns:
        The exit code.
    """
    findings = run.findings
    trio.run(_watch, run)
    if findings.stopped and not findings.interrupted:
        print(f"scripts/bots {run.bots}: {findings.stopped}", file=sys.stderr)
        return FAILED
    if run.json:
        print(json.dumps(dict(run.asked) | findings.as_json(), ensure_ascii=False))
    else:
        _show(findings, run.asked["seed"])
    if findings.interrupted:
        return INTERRUPTED
    return GOOD if findings.good else FAILED


async def _watch(run: Run) -> None:
    started = trio.current_time()
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_heed_interrupt, nursery.cancel_scope, run.findings)
            nursery.start_soon(_draw, run.bars)
            await run.play()
            nursery.cancel_scope.cancel()
    finally:
        run.findings.elapsed = trio.current_time() - started


async def _heed_interrupt(scope: trio.CancelScope, findings: Findings) -> None:
    # By SIGTERM, too: a server of their own must not be left behind.
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            findings.interrupted = True
            scope.cancel()


async def _draw(bars: tuple[Bar, ...]) -> None:
    console = Console(stderr=True)
    if not console.is_terminal:
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    # No thread of its own for redrawing: it would fight with this one for the interpreter.
    with Progress(
        *columns, TimeElapsedColumn(), console=console, auto_refresh=False, transient=True
    ) as progress:
        tasks = [(bar, progress.add_task(bar.title, total=bar.total)) for bar in bars]
        while True:
            for bar, task in tasks:
                progress.update(task, completed=bar.done())
            progress.refresh()
            await trio.sleep(REDRAW_SECONDS)


def _show(findings: Findings, seed: object) -> None:
    # What servers and members say is no markup, and must not be cut.
    console = Console(markup=False, highlight=False, emoji=False, soft_wrap=True)
    console.print(findings.as_table())
    for title, lines in (
        ("errors", findings.listed_errors),
        ("violations", findings.listed_violations),
    ):
        if lines:
            console.print(f"{title}:")
            for line in lines:
                console.print(f"  {line}")
    for rule, times in findings.rules.most_common():
        console.print(f"{times} x {rule}")
    console.print(f"seed {seed}")
