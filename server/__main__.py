"""The command ``parley``: arguments in, exit code out."""

import gc
import os
import sys
from functools import partial

import trio

from server.app import serve
from server.config import Settings, parse
from server.descriptors import raise_limit
from server.observe import configure_logging, get_logger


def main() -> None:
    """Run the server with the process's arguments and environment, and exit."""
    settings = parse(sys.argv[1:], os.environ)
    configure_logging(settings.log_level, settings.log_format)
    try:
        code = trio.run(serve, settings, partial(_announce, settings))
    except OSError as error:
        address = f"{settings.host}:{settings.port}"
        sys.exit(_complain(f"cannot listen on {address}: {error.strerror or error}"))
    sys.exit(code)


def _announce(settings: Settings, url: str) -> None:
    log = get_logger("server")
    for name in settings.unknown_variables:
        log.warning("unknown variable in the environment", name=name)
    wanted = settings.limits.connections
    fitting = raise_limit(wanted)
    if fitting < wanted:
        log.warning("the limit of open files allows fewer connections", of=wanted, fit=fitting)
    # What start-up made lives as long as the process: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    print(f"parley: listening on {url}", flush=True)  # noqa: T201 - the one line on stdout


def _complain(message: str) -> int:
    print(f"parley: {message}", file=sys.stderr)  # noqa: T201
    return 2


if __name__ == "__main__":
    main()
