"""The real server as a child process: started, watched from outside, stopped with a signal."""

import atexit
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

import attrs

ROOT: Final = Path(__file__).parents[2]

START_SECONDS: Final = 30.0
STOP_SECONDS: Final = 20.0
_FOLDER: Final = tempfile.mkdtemp(prefix="parley-tests-")
atexit.register(shutil.rmtree, _FOLDER, ignore_errors=True)
_TROUBLE: Final = ("Traceback", ": failed", "ResourceWarning", "never awaited")


@attrs.define
class Address:
    """Where a server is."""

    url: str

    @property
    def authority(self) -> str:
        """Host and port, as in a URL."""
        return self.url.removeprefix("http://")

    @property
    def host(self) -> str:
        return self.authority.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int(self.authority.rpartition(":")[2])


@attrs.define
class Server(Address):
    """A server in a process of its own."""

    process: "subprocess.Popen[str]"
    log: Path
    """What it writes to standard error."""

    @property
    def pid(self) -> int:
        return self.process.pid

    def descriptors(self) -> int:
        """Count the files and sockets that it has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def send_signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def exit_code(self) -> int:
        """Wait for its end."""
        return self.process.wait(STOP_SECONDS)

    def trouble(self) -> str:
        """Give the log if anything went wrong by it."""
        text = self.log.read_text()
        return text if any(word in text for word in _TROUBLE) else ""


def command(*options: str) -> list[str]:
    """Make the command line that starts the server."""
    return [sys.executable, "-W", "default::ResourceWarning", "-m", "server", *options]


def _limited(descriptors: int | None) -> list[str]:
    if descriptors is None:
        return []
    return ["sh", "-c", f'ulimit -n {descriptors} && exec "$@"', "sh"]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Make an environment without settings of ours, but for ``extra``.

    A server that is told of no database makes one in a folder that is deleted in the end, and
    not in the working directory.
    """
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PARLEY_")}
    unused = {"PARLEY_DATABASE_URL": f"sqlite:///{_FOLDER}/parley.db"}
    return ours | unused | dict(extra or {})


@contextmanager
def launched(
    log: Path,
    *options: str,
    environ: Mapping[str, str] | None = None,
    stderr: int | None = None,
    descriptors: int | None = None,
) -> Iterator[Server]:
    """Start a server on a free port; whoever asks for one this way ends it, or it is killed.

    With ``stderr`` its log goes to that descriptor instead of the file; with ``descriptors`` the
    system lets it open no more than so many.
    """
    if "--host" not in options:
        options = ("--host", "127.0.0.1", *options)
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            [*_limited(descriptors), *command("--port", "0", *options)],
            cwd=ROOT,
            env=environment(
                {"PARLEY_DATABASE_URL": f"sqlite:///{log.with_suffix('.db')}", **(environ or {})}
            ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors if stderr is None else stderr,
            text=True,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            line = _first_line(process.stdout)
            assert line.startswith("parley: listening on http://"), (line, log.read_text())
            yield Server(line.rpartition(" ")[2].rstrip(), process, log)
        finally:
            if process.poll() is None:
                process.kill()


@contextmanager
def running(
    log: Path,
    *options: str,
    environ: Mapping[str, str] | None = None,
    descriptors: int | None = None,
) -> Iterator[Server]:
    """Start a server, and stop it in the end: it must end well and have nothing to complain of."""
    with launched(log, *options, environ=environ, descriptors=descriptors) as server:
        yield server
        server.send_signal(signal.SIGTERM)
        assert server.exit_code() == 0, server.log.read_text()
    assert not server.trouble()


def _first_line(stream: IO[str]) -> str:
    """Read a line, if one comes in time."""
    lines: queue.Queue[str] = queue.Queue()
    reader = threading.Thread(target=lambda: lines.put(stream.readline()), daemon=True)
    reader.start()
    try:
        return lines.get(timeout=START_SECONDS)
    except queue.Empty:
        return "nothing"
