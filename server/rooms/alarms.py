"""The clock of rooms that wait for their record: one task for all of them, none for each."""

from collections import deque
from collections.abc import Callable
from typing import Final

import trio

HOLD_SECONDS: Final = 0.25
"""The longest time for which what turns the page waits for the record."""

SAVED_SECONDS: Final = 1.0
"""The longest time after which members are told how far the record has come."""

_SLACK: Final = 1 / 16
"""The part of its time by which an alarm may come early, with another one: it never comes late."""


class Alarm:
    """Something that is to happen in a while, unless it is cancelled."""

    __slots__ = ("due", "ring")

    def __init__(self, due: float, ring: Callable[[], None]) -> None:
        """Call ``ring`` at the time ``due`` of Trio's clock."""
        self.due = due
        self.ring: Callable[[], None] | None = ring
        """``None`` once it has happened, or will never."""

    def cancel(self) -> None:
        """Let it not happen; idempotent."""
        self.ring = None


class Delay:
    """Alarms that all take equally long, so that they are due in the order in which they are set.

    Setting and cancelling one costs next to nothing, which is the point: nearly all are cancelled,
    since the record comes sooner.
    """

    __slots__ = ("_alarms", "_any", "_seconds")

    def __init__(self, seconds: float) -> None:
        """Make alarms that are due after so many seconds."""
        self._seconds = seconds
        self._alarms: deque[Alarm] = deque()
        self._any = trio.Event()

    def set(self, ring: Callable[[], None]) -> Alarm:
        """Call ``ring`` in time, in the task of :meth:`run`; it must not raise."""
        alarm = Alarm(trio.current_time() + self._seconds, ring)
        if not self._alarms:
            self._any.set()
        self._alarms.append(alarm)
        return alarm

    async def run(self) -> None:
        """Ring until cancelled."""
        slack = self._seconds * _SLACK
        alarms = self._alarms
        while True:
            await self._any.wait()
            while alarms:
                await trio.sleep_until(alarms[0].due)
                now = trio.current_time()
                while alarms and (alarms[0].ring is None or alarms[0].due - slack <= now):
                    alarm = alarms.popleft()
                    ring, alarm.ring = alarm.ring, None
                    if ring is not None:
                        ring()
            self._any = trio.Event()


class Alarms:
    """The two times for which rooms wait."""

    def __init__(self) -> None:
        """Begin without any alarm."""
        self.hold = Delay(HOLD_SECONDS)
        self.saved = Delay(SAVED_SECONDS)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Ring until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.hold.run, name="alarms of what is held back")
            nursery.start_soon(self.saved.run, name="alarms of what is saved")
            task_status.started()
