"""The measured servers as processes of their own, on a processor of their own."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import IO, Final

import attrs

_ROOT: Final = Path(__file__).resolve().parents[2]
_START_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 3.0
_UNBOUNDED: Final = {"PARLEY_INBOUND_RATE": "1000000", "PARLEY_INBOUND_BURST": "1000000"}


class Kind(StrEnum):
    """Which server, in which dialect; what comes first is compared with what comes later."""

    PARLEY_V1 = "parley.v1"
    """Parley, in the dialect of that name."""
    PARLEY = "parley"
    """Parley, in the dialect EstimateX, as the peer."""
    PEER = "peer"


_PARLEY: Final = ["-m", "server", "--host", "127.0.0.1", "--port", "0"]
_COMMANDS: Final = {
    Kind.PARLEY_V1: _PARLEY,
    Kind.PARLEY: _PARLEY,
    Kind.PEER: ["-m", "scripts.benchlib.peer"],
}


class NotStarted(Exception):
    """A server did not come up."""


@attrs.frozen
class Processors:
    """Which processor is whose; the same one twice if there is no other."""

    server: int
    generator: int


def share_out() -> Processors:
    """Choose a processor for the server and move this process to another one."""
    allowed = sorted(os.sched_getaffinity(0))
    processors = Processors(allowed[0], allowed[-1] if len(allowed) == 1 else allowed[1])
    os.sched_setaffinity(0, {processors.generator})
    return processors


@attrs.frozen
class Home:
    """What outlives a server's process."""

    database: Path
    """Its SQLite file, if it makes one."""
    log: IO[bytes]


@attrs.frozen
class Server:
    """A running server."""

    pid: int
    port: int
    database: Path
    _process: "subprocess.Popen[bytes]"

    def stop(self) -> None:
        """Send SIGTERM, and wait for nothing."""
        self._process.terminate()

    def gone(self) -> bool:
        """Say whether the process has ended."""
        return self._process.poll() is not None


@contextlib.contextmanager
def running(kind: Kind, processors: Processors) -> Iterator[Server]:
    """Run a server; it has ended when the block is left.

    Raises:
        NotStarted: with the last line of its log.
    """
    with home() as place, started(kind, processors, place) as server:
        yield server


@contextlib.contextmanager
def home() -> Iterator[Home]:
    """Make a place for a server, or for one after the other; it is deleted in the end."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as log:
        yield Home(Path(folder) / "parley.db", log)


@contextlib.contextmanager
def started(kind: Kind, processors: Processors, place: Home) -> Iterator[Server]:
    """Run a server with what an earlier one has left behind, as :func:`running` does."""
    with contextlib.ExitStack() as end:
        with _held_back(signal.SIGTERM, signal.SIGINT):
            process = _spawn(kind, processors, place)
            end.callback(_end, process)
        port = _port(kind, process, place.log)
        yield Server(process.pid, port, place.database, process)


@contextlib.contextmanager
def _held_back(*numbers: signal.Signals) -> Iterator[None]:
    """Let signals take effect at the end of the block.

    Their handlers raise, and between the start of a process and the first line of the block that
    ends it that would leave the process behind. They are not blocked, since a child inherits that.
    """
    came: list[int] = []
    before = {each: signal.signal(each, lambda got, _: came.append(got)) for each in numbers}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
        for number in came:
            signal.raise_signal(number)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _spawn(kind: Kind, processors: Processors, place: Home) -> "subprocess.Popen[bytes]":
    # As a user starts it: no settings but these, whatever the caller's environment says.
    ours = {**_UNBOUNDED, "PARLEY_DATABASE_URL": f"sqlite:///{place.database}"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PARLEY_")}
    path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
    os.sched_setaffinity(0, {processors.server})  # inherited, from the first instruction on
    try:
        return subprocess.Popen(
            [sys.executable, "-P", *_COMMANDS[kind]],
            env={**kept, **ours, "PYTHONPATH": path},
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=place.log,
        )
    finally:
        os.sched_setaffinity(0, {processors.generator})


def _port(kind: Kind, process: "subprocess.Popen[bytes]", log: IO[bytes]) -> int:
    """Wait for the line that says where it listens."""
    if process.stdout is None:
        raise AssertionError("started with a pipe")
    deadline = time.monotonic() + _START_SECONDS
    line = b""
    while not line.endswith(b"\n"):
        left = max(0.0, deadline - time.monotonic())
        ready, _, _ = select.select([process.stdout], [], [], left)
        more = os.read(process.stdout.fileno(), 1000) if ready else b""
        if not more:
            log.seek(0)
            said = log.read().decode(errors="replace").strip().splitlines()[-1:]
            raise NotStarted(f"{kind} did not start: {''.join(said) or 'it said nothing'}")
        line += more
    return int(line.rpartition(b":")[2])
