"""How long a server is held up: inside of this process, and seen from outside of it."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import trio

from scripts.hostilelib.player import Connect

CLIENT: Final = "hostile client"
"""The name of tasks that are no part of the server."""

_TICK: Final = 0.0005
_PROBE: Final = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Steps(trio.abc.Instrument):
    """The longest step of any task of the server, in CPU seconds of the event loop's thread.

    CPU time, because on a busy machine others stop the clock for longer than any step lasts.
    """

    def __init__(self) -> None:
        """Begin with nothing measured."""
        self.longest = 0.0
        self._since: float | None = None

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Start the clock."""
        del task
        self._since = time.thread_time()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """Stop the clock."""
        # The step that began to watch has no beginning.
        if task.name != CLIENT and self._since is not None:
            self.longest = max(self.longest, time.thread_time() - self._since)


class Lock:
    """The longest time for which a thread that only wants to tick did not get the interpreter."""

    def __init__(self) -> None:
        """Begin with nothing measured."""
        self.longest = 0.0
        self._ended = False

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Tick as long as the block lasts."""
        thread = threading.Thread(target=self._tick, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended = True
            thread.join()

    def _tick(self) -> None:
        while not self._ended:
            before = time.perf_counter()
            time.sleep(_TICK)
            self.longest = max(self.longest, time.perf_counter() - before - _TICK)


class Probe:
    """An innocent client: the longest time in which it waited for an answer to ``/health``."""

    def __init__(self, connect: Connect) -> None:
        """Ask on connections made by ``connect``."""
        self.longest = 0.0
        self._connect = connect
        self._answered = trio.Event()

    async def answered(self) -> None:
        """Wait for the next answer."""
        await self._answered.wait()

    async def run(self) -> None:
        """Ask one question after the other until cancelled."""
        while True:
            stream = await self._connect()
            try:
                await self._ask(stream)
            except trio.BrokenResourceError:
                pass
            finally:
                await trio.aclose_forcefully(stream)

    async def _ask(self, stream: trio.abc.Stream) -> None:
        while True:
            before = time.perf_counter()
            await stream.send_all(_PROBE)
            received = bytearray()
            while not received.endswith(b"}"):
                more = await stream.receive_some()
                if not more:
                    return
                received += more
            self.longest = max(self.longest, time.perf_counter() - before)
            self._answered.set()
            self._answered = trio.Event()
            await trio.sleep(_TICK)
