"""A room's timers: one task that sleeps until the next is due, alive only while there are any."""

from collections.abc import Callable

import trio

from protocol.ids import MemberId


class Timers:
    """At most one timer per member.

    The task is started in the room's nursery with the first timer and ends by itself once
    there is none; it holds nothing else, so cancelling it leaves nothing behind.
    """

    __slots__ = ("_due", "_nursery", "_ring", "_sleep")

    def __init__(self, nursery: trio.Nursery, ring: Callable[[MemberId], None]) -> None:
        """Call ``ring`` for each timer that runs out, from a task in ``nursery``."""
        self._nursery = nursery
        self._ring = ring
        self._due: dict[MemberId, float] = {}
        self._sleep: trio.CancelScope | None = None

    def set(self, member: MemberId, seconds: float) -> None:
        """Set, or set anew, a member's timer."""
        due = trio.current_time() + seconds
        self._due[member] = due
        if self._sleep is None:
            self._sleep = trio.CancelScope(deadline=due)
            self._nursery.start_soon(self._run, name="timers")
        elif due < self._sleep.deadline:
            self._sleep.deadline = due

    def clear(self, member: MemberId) -> None:
        """Forget a member's timer, if there is one."""
        self._due.pop(member, None)

    def stop(self) -> None:
        """Forget all timers and end the task."""
        self._due.clear()
        if self._sleep is not None:
            self._sleep.cancel()

    async def _run(self) -> None:
        while self._due:
            # Timers are many and short-lived: a cleared one costs a wake-up at most.
            self._sleep = trio.CancelScope(deadline=min(self._due.values()))
            with self._sleep:
                await trio.sleep_forever()
            now = trio.current_time()
            for member in [member for member, due in self._due.items() if due <= now]:
                del self._due[member]
                self._ring(member)
        self._sleep = None
