"""The command: which servers are measured, and what is said about it."""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import attrs
import trio

from scripts.hostilelib.inputs import Case, cases
from scripts.hostilelib.player import Connect, NoAnswer, Player
from scripts.hostilelib.watch import CLIENT, Lock, Probe, Steps
from server.app import serve
from server.settings.arguments import parse
from server.support.observe import configure_logging

_ROOT: Final = Path(__file__).resolve().parents[2]
_START_SECONDS: Final = 30.0
_SWITCH_SECONDS: Final = 0.0005  # so that what holds the interpreter is one call, not its habit
_OPTIONS: Final = (
    *("--host", "127.0.0.1", "--port", "0", "--log-level", "error"),
    *("--login-limit", "0", "--register-limit", "0", "--first-request-seconds", "30"),
)


@attrs.frozen
class Order:
    """What was asked for."""

    cases: list[Case]
    bound: float
    """Seconds for which a case may hold a server up."""
    repeat: int
    worst: int


@attrs.frozen
class Finding:
    """One case and the least time, of several tries, for which it held a server up."""

    case: Case
    seconds: float


def main(argv: Sequence[str]) -> int:
    """Measure, print the worst cases, and return 1 if one of them is above the bound."""
    arguments = _parser().parse_args(argv)
    chosen = [each for each in cases() if arguments.only.lower() in each.name.lower()]
    if not chosen:
        print(f"hostile: no case has {arguments.only!r} in its name", file=sys.stderr)
        return 2
    order = Order(chosen, arguments.bound / 1000, arguments.repeat, arguments.worst)
    try:
        if arguments.url:
            url = urlsplit(arguments.url)
            connect = partial(trio.open_tcp_stream, url.hostname or "", url.port or 80)
            return _report(f"at {arguments.url}", trio.run(_outside, connect, order), order)
        bad = _report("inside of the server", trio.run(_inside, order), order)
        return max(bad, _report("beside the server", trio.run(_started, order), order))
    except (OSError, NoAnswer) as error:
        print(f"hostile: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/hostile",
        description="Sends hostile texts to every input and measures for how long each of them "
        "holds the server up. Exit code 1: one did so for longer than the bound.",
    )
    parser.add_argument(
        "--url",
        help="a running server, where an account and a room are made; without it, a server in "
        "this process and then one of its own are measured",
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="cases with this in their name")
    parser.add_argument("--bound", type=float, default=20.0, metavar="MS", help="default 20")
    parser.add_argument(
        "--repeat", type=int, default=3, metavar="N", help="tries, of which the best counts"
    )
    parser.add_argument("--worst", type=int, default=10, metavar="N", help="cases to be printed")
    return parser


def _report(where: str, findings: list[Finding], order: Order) -> int:
    findings.sort(key=lambda each: each.seconds, reverse=True)
    bad = [each for each in findings if each.seconds > order.bound]
    print(f"{where}: {len(findings)} cases, {len(bad)} above {order.bound * 1000:g} ms; the worst:")
    for each in findings[: max(order.worst, len(bad))]:
        print(f"  {each.seconds * 1000:8.2f} ms  {each.case.name}")
    return 1 if bad else 0


# --- inside -----------------------------------------------------------------------------------


async def _inside(order: Order) -> list[Finding]:
    """Measure a server in this process: steps of its loop, and the interpreter's lock."""
    configure_logging("error", "text")
    sys.setswitchinterval(_SWITCH_SECONDS)
    with tempfile.TemporaryDirectory() as folder:
        settings = parse([*_OPTIONS, "--database-url", f"sqlite:///{folder}/parley.db"], {})
        address, found = trio.open_memory_channel[str](1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve, settings, address.send_nowait)
            port = urlsplit(await found.receive()).port or 0
            connect = partial(trio.open_tcp_stream, "127.0.0.1", port)
            player = await Player.register(connect)
            findings = [await _inside_case(player, case, order) for case in order.cases]
            nursery.cancel_scope.cancel()
    return findings


async def _inside_case(player: Player, case: Case, order: Order) -> Finding:
    least = float("inf")
    for _ in range(order.repeat):
        steps, lock = Steps(), Lock()
        trio.lowlevel.add_instrument(steps)
        with lock.watching():
            async with trio.open_nursery() as nursery:  # noqa: ASYNC112 - names the task
                nursery.start_soon(player.play, case, name=CLIENT)
        trio.lowlevel.remove_instrument(steps)
        least = min(least, max(steps.longest, lock.longest))
        if least < order.bound / 4:
            break
    return Finding(case, least)


# --- outside ----------------------------------------------------------------------------------


async def _started(order: Order) -> list[Finding]:
    """Measure a server that is started for it."""
    async with _running() as port:
        return await _outside(partial(trio.open_tcp_stream, "127.0.0.1", port), order)


@asynccontextmanager
async def _running() -> AsyncIterator[int]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "server", *_OPTIONS]
        command += ["--database-url", f"sqlite:///{folder}/parley.db"]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PARLEY_")}
        process = await trio.lowlevel.open_process(
            command, cwd=_ROOT, env=environment, stdout=subprocess.PIPE
        )
        if process.stdout is None:
            raise AssertionError("started with a pipe")
        try:
            with trio.fail_after(_START_SECONDS):
                line = b""
                while not line.endswith(b"\n"):
                    more = await process.stdout.receive_some()
                    if not more:
                        raise NoAnswer("the server did not start")
                    line += more
            yield int(line.rpartition(b":")[2])
        finally:
            process.terminate()
            with trio.CancelScope(shield=True), trio.move_on_after(_START_SECONDS):
                await process.wait()


async def _outside(connect: Connect, order: Order) -> list[Finding]:
    """Measure a server by how long an innocent client waits meanwhile."""
    player = await Player.register(connect)
    return [await _outside_case(player, connect, case, order) for case in order.cases]


async def _outside_case(player: Player, connect: Connect, case: Case, order: Order) -> Finding:
    least = float("inf")
    for _ in range(order.repeat):
        probe = Probe(connect)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(probe.run)
            await probe.answered()
            probe.longest = 0.0
            await player.play(case)
            await probe.answered()  # who waits when the case is over has waited for it
            nursery.cancel_scope.cancel()
        least = min(least, probe.longest)
        if least < order.bound / 4:
            break
    return Finding(case, least)
