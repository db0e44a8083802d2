"""The process's limit on open file descriptors, which many systems set far too low."""

import contextlib
from typing import Final

_SPARE: Final = 64  # listeners, epolls, logs, a database


def raise_limit(connections: int) -> tuple[int, int]:
    """Raise the soft limit such that ``connections`` fit, or as far as the system allows.

    Returns:
        How many connections fit now, from 1 to ``connections``; and how many files may be open.
    """
    try:
        import resource
    except ImportError:
        return connections, connections + _SPARE
    wanted = connections + _SPARE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return connections, wanted
    if soft < wanted:
        if hard != resource.RLIM_INFINITY:
            wanted = min(wanted, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return max(min(connections, soft - _SPARE), 1), soft
