"""Signals and the phases of going away, each of which has its end."""

import math
import os
import signal
from collections.abc import Callable
from typing import Final

import trio

from server.support.observe import get_logger
from server.support.stopping import SIGNALS, exit_code

LAST_WRITES_SECONDS: Final = 1.0
"""Of the time to drain, or after a short one: for what rooms that have ended left to write."""

_SETTLING: Final = 0.05  # of that: for connections to the database to be closed in


class Lifecycle:
    """Turns signals into phases.

    ::

        starting ── signal ──────────────────────────────────────────────┐
           │ begin()                                                     ▼
        serving ── signal ▶ leaving ── delay ▶ draining ── signal ▶ stopped at once
                               └────────────── signal ───────────────────┘

    While *leaving*, everything is served, but whoever asks is told to go elsewhere. Then nobody
    is let in any more, and :attr:`work` is cancelled in time for the last writes. Whatever hangs
    beyond the end, such as a thread that waits for a database, does not keep the process.
    """

    def __init__(
        self,
        *,
        delay: float = 0.0,
        drain_seconds: float = 30.0,
        leave: Callable[[int], object] = os._exit,
    ) -> None:
        """Begin in the phase of starting.

        Args:
            delay: seconds from the first signal to the end of accepting.
            drain_seconds: from there to the end of the process.
            leave: ends the process without further ado; called with its exit code.
        """
        self.work = trio.CancelScope()
        """All that is not for the last writes must be inside: it is cancelled in time."""
        self.leaving = trio.Event()
        """Somebody has asked the server to go."""
        self.draining = trio.Event()
        """Nobody is to be let in any more."""
        self.killed_by: int | None = None
        """The signal that ended the start, or the process at once."""
        self._delay = delay
        self._drain_seconds = drain_seconds
        self._leave = leave
        self._serving = False
        self._end = math.inf
        self._patience = trio.CancelScope()
        self._log = get_logger("lifecycle")

    def begin(self) -> None:
        """Pass from starting to serving."""
        self._serving = True

    @property
    def seconds_to_write(self) -> float:
        """How long the last writes may take from now on."""
        return max(self._end - trio.current_time() - _SETTLING, 0.0)

    async def watch(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Receive signals and let the phases pass until cancelled.

        Must outlive all that the process does, and be cancelled when that has ended.
        """
        with trio.open_signal_receiver(*SIGNALS) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._pass)
                task_status.started()
                async for number in signals:
                    self._take(number)

    def _take(self, number: int) -> None:
        name = signal.Signals(number).name
        if self.killed_by is not None:
            self._log.warning("ended by force", signal=name)
            self._patience.cancel()
        elif self.leaving.is_set() or not self._serving:
            self._log.warning("killed" if self._serving else "stopped while starting", signal=name)
            self.killed_by = number
            self._end = trio.current_time() + LAST_WRITES_SECONDS
            self._patience.deadline = self._end
            self.work.cancel()
            self.leaving.set()
        else:
            self._log.info("draining", signal=name, delay=self._delay)
            self.leaving.set()

    async def _pass(self) -> None:
        with self._patience:
            await self.leaving.wait()
            if self.killed_by is None:
                await trio.sleep(self._delay)
                self._begin_drain()
            await trio.sleep_forever()
        if self._patience.cancelled_caught:
            self._log.error("not ended in time: something hangs")
            self._leave(1 if self.killed_by is None else exit_code(self.killed_by))

    def _begin_drain(self) -> None:
        if self.killed_by is not None:
            return
        now = trio.current_time()
        last = min(LAST_WRITES_SECONDS, self._drain_seconds / 2)
        self.work.deadline = now + self._drain_seconds - last
        self._end = now + max(self._drain_seconds, LAST_WRITES_SECONDS)
        self._patience.deadline = self._end
        self.draining.set()
