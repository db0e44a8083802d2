"""The process's limit on open file descriptors, which many systems set far too low."""

import contextlib
from typing import Final

_SPARE: Final = 64  # listeners, epolls, logs, a database


def raise_limit(connections: int) -> int:
    """Raise the soft limit such that ``connections`` fit, or as far as the system allows.

    Returns:
        How many connections fit now, ``connections`` at the most.
    """
    try:
        import resource
    except ImportError:
        return connections
    wanted = connections + _SPARE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        if hard != resource.RLIM_INFINITY:
            wanted = min(wanted, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
        return min(connections, soft - _SPARE)
    return connections
