"""A server of the bots' own, which they kill and start again: never anything but this process."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import trio

from scripts.botlib.failures import Unusable
from scripts.botlib.lasting.troubles import Troubles
from scripts.botlib.moves import Violation

_ROOT: Final = Path(__file__).resolve().parents[3]
_HOST: Final = "127.0.0.1"
# Below the ports that systems give to clients: one of those could take a dead server's.
_PORTS: Final = range(20_000, 32_000)
_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 45.0
_POLL_SECONDS: Final = 0.02
_AGAIN: Final = 0.3
"""How likely a server dies again while its members are coming back."""
_IMPATIENT: Final = 0.25
"""How likely a server that is told to stop is killed before it has."""
_MARGIN: Final = 0.08
"""At both ends of a run in which nothing is killed."""


class OwnServer:
    """A server as a process of its own, with a database that outlives it."""

    def __init__(self, folder: Path, tally: Troubles) -> None:
        """Keep everything in ``folder``."""
        self.up_at = 0.0
        """When the latest one was there."""
        self.starts = 0
        self._folder = folder
        self._tally = tally
        self._port = _free_port()
        self._process: trio.Process | None = None

    @property
    def url(self) -> str:
        """Where it is, whichever it is."""
        return f"http://{_HOST}:{self._port}"

    async def start(self) -> None:
        """Start it, and wait until it listens.

        Raises:
            Unusable: if it does not.
        """
        options = {
            "host": _HOST,
            "port": str(self._port),
            "database-url": f"sqlite:///{self._folder / 'parley.db'}",
            "log-level": "warning",
            "log-format": "json",
            "inbound-rate": "100000",
            "inbound-burst": "100000",
            "max-strikes": "1000",
            "unlimited-address": _HOST,
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        # As a user starts it: no settings but these, whatever the caller's environment says.
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PARLEY_")}
        with (self._folder / "log").open("ab") as log:
            self._process = await trio.lowlevel.open_process(
                [sys.executable, "-P", "-m", "server", *arguments, "--digests"],
                env={**kept, "PYTHONPATH": str(_ROOT)},
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        said = b""
        with trio.move_on_after(_START_SECONDS):  # noqa: ASYNC912
            while not said.endswith(b"\n"):
                more = await self._out.receive_some()
                if not more:
                    break
                said += more
        if not said.endswith(b"\n"):
            raise Unusable(f"the server does not start: {self._last_words()}")
        self.up_at = trio.current_time()
        self.starts += 1
        self._tally.restarts = self.starts - 1

    async def kill(self) -> None:
        """End it as a power cut would."""
        process = self._running
        if process.poll() is None:
            self._tally.kills += 1
            process.send_signal(signal.SIGKILL)
        await self._gone()

    async def stop(self, impatience: float | None) -> None:
        """End it as an operator would, and kill it after a while if it is to be so."""
        process = self._running
        self._tally.stops += 1
        process.send_signal(signal.SIGTERM)
        with trio.move_on_after(_STOP_SECONDS if impatience is None else impatience):
            await process.wait()
        if process.returncode is None:
            if impatience is None:
                self._fault(f"has not stopped in {_STOP_SECONDS:g} s")
            await self.kill()
            return
        if process.returncode != 0:
            self._fault(f"stops with exit code {process.returncode}: {self._last_words()}")
        await self._gone()

    def complaints(self) -> Iterator[str]:
        """Give what servers have logged as errors."""
        for line in (self._folder / "log").read_text(errors="replace").splitlines():
            try:
                read = json.loads(line)
            except ValueError:
                yield line
                continue
            if str(read.get("level", "")).lower() in {"error", "critical"} or "exception" in read:
                yield line

    def end(self) -> None:
        """Kill it for good; no trace is left."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()

    async def _gone(self) -> None:
        await self._running.wait()
        await self._out.aclose()

    @property
    def _running(self) -> trio.Process:
        if self._process is None:
            raise AssertionError("started first")
        return self._process

    @property
    def _out(self) -> trio.abc.ReceiveStream:
        out = self._running.stdout
        if out is None:
            raise AssertionError("started with a pipe")
        return out

    def _last_words(self) -> str:
        lines = (self._folder / "log").read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it says nothing"

    def _fault(self, detail: str) -> None:
        self._tally.violation("server", Violation("server-end", "the server", detail))


@asynccontextmanager
async def open_server(tally: Troubles) -> AsyncIterator[OwnServer]:
    """Run a server as long as the block lasts."""
    with tempfile.TemporaryDirectory(prefix="parley-bots-") as folder:
        server = OwnServer(Path(folder), tally)
        try:
            await server.start()
            yield server
        finally:
            server.end()
            for line in server.complaints():
                tally.violation("server", Violation("server-log", "the server", line))


async def torment(
    server: OwnServer, done: Callable[[], float], *, seed: int, kills: int, stops: int
) -> None:
    """Kill and stop a server, and start it again, at moments that follow from the seed.

    Args:
        server: which.
        done: says how far the run is, from 0 to 1.
        seed: for the moments.
        kills: how often it is killed, at the least.
        stops: how often it is told to stop.
    """
    dice = random.Random(f"{seed} server")
    ends = ["kill"] * kills + ["stop"] * stops
    dice.shuffle(ends)
    share = (1 - 2 * _MARGIN) / max(1, len(ends))
    for place, end in enumerate(ends):
        moment = _MARGIN + (place + dice.random()) * share
        while done() < moment:  # noqa: ASYNC110 - it is counted, and told to nobody
            await trio.sleep(_POLL_SECONDS)
        if end == "kill":
            await server.kill()
        else:
            await server.stop(dice.uniform(0, 1) if dice.random() < _IMPATIENT else None)
        await trio.sleep(dice.uniform(0, 1))
        await server.start()
        if dice.random() < _AGAIN:
            await trio.sleep(dice.uniform(0, 2))
            await server.kill()
            await server.start()


def _free_port() -> int:
    ports = random.Random(os.urandom(8)).sample(_PORTS, 50)
    for port in ports:
        with socket.socket() as tried:
            try:
                tried.bind((_HOST, port))
            except OSError:
                continue
            return port
    raise Unusable("no port is free for a server")
