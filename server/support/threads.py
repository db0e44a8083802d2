"""Worker threads: what may take a while, and must not keep the rooms from the processor."""

import os
import sys
import threading
from collections.abc import Callable
from typing import Final, TypeVar, TypeVarTuple

import trio

_NICENESS: Final = 10
"""Of every worker thread. On Linux each thread has its own (setpriority(2), NOTES)."""

_A = TypeVarTuple("_A")
_R = TypeVar("_R")
_lowered: Final = threading.local()


async def run(
    work: Callable[[*_A], _R], /, *args: *_A, limiter: trio.CapacityLimiter | None = None
) -> _R:
    """Call ``work`` in a thread of low priority; cancelled, wait for its end all the same.

    A thread that computes or copies would otherwise keep a vote waiting for several
    milliseconds, wherever there are fewer processors than busy threads.
    """
    return await trio.to_thread.run_sync(lambda: _lowly(work, *args), limiter=limiter)


def _lowly(work: Callable[[*_A], _R], *args: *_A) -> _R:
    # Trio uses its threads again, and priority cannot be raised again; so all of them are low.
    if sys.platform == "linux" and not getattr(_lowered, "done", False):
        _lowered.done = True
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
    return work(*args)
