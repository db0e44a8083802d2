"""Signals and the phases of going away."""

import signal
from collections.abc import Callable
from typing import Final

import trio

from server.support.observe import get_logger

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class Lifecycle:
    """Turns signals into phases: the first one drains, the second one ends the process at once."""

    def __init__(self) -> None:
        """Begin in the phase of serving."""
        self.draining = trio.Event()
        self.killed_by: int | None = None
        """The signal that ended the process at once."""
        self._log = get_logger("lifecycle")

    async def watch(
        self,
        kill: Callable[[], None],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Receive signals until cancelled; ``kill`` is called with the second one."""
        with trio.open_signal_receiver(*_SIGNALS) as signals:
            task_status.started()
            async for number in signals:
                name = signal.Signals(number).name
                if self.draining.is_set():
                    self._log.warning("killed", signal=name)
                    self.killed_by = number
                    kill()
                else:
                    self._log.info("draining", signal=name)
                    self.draining.set()
