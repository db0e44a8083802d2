"""The command ``parley``: arguments in, exit code out."""

import gc
import os
import sys
from functools import partial
from pathlib import Path
from typing import Final

import trio

from server.app import serve
from server.settings.config import Settings, parse
from server.store.backup import back_up
from server.store.database import Database
from server.store.housekeeping import upgrade
from server.support.errors import DatabaseUnusable, Ousted
from server.support.observe import configure_logging, get_logger
from server.support.rlimit import raise_limit

# A thread that works for the database gives way to the rooms after so long, not after the usual
# 5 ms, which would be ten times what a vote takes to reach everybody.
_SWITCH_SECONDS: Final = 0.0005
_COLLECT_AFTER: Final = (20_000, 20, 20)  # new objects; young, and middle collections


def main() -> None:
    """Do what the process's arguments and environment ask for, and exit."""
    settings = parse(sys.argv[1:], os.environ)
    configure_logging(settings.log_level, settings.log_format)
    try:
        if settings.command != "serve":
            sys.exit(_manage(settings))
        code = trio.run(serve, settings, partial(_announce, settings))
    except OSError as error:
        address = f"{settings.host}:{settings.port}"
        sys.exit(_complain(f"cannot listen on {address}: {error.strerror or error}"))
    except (DatabaseUnusable, Ousted) as error:
        sys.exit(_complain(str(error)))
    sys.exit(code)


def _manage(settings: Settings) -> int:
    """Look after the database."""
    database = Database(settings.database_url)
    if settings.backup_file is not None:
        back_up(database.url, Path(settings.backup_file))
        return 0
    if settings.command == "db upgrade":
        trio.run(upgrade, database)
    print(database.current() or "empty")  # noqa: T201 - the answer
    return 0


def _announce(settings: Settings, url: str) -> None:
    log = get_logger("server")
    for name in settings.unknown_variables:
        log.warning("unknown variable in the environment", name=name)
    wanted = settings.limits.connections
    fitting = raise_limit(wanted)
    if fitting < wanted:
        log.warning("the limit of open files allows fewer connections", of=wanted, fit=fitting)
    # What start-up made lives as long as the process: the collector need not look at it again.
    # A connection is some hundred objects that live long and go together; looking at the young
    # ones after every 700 of them, as by default, costs a tenth of the time that joining takes.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)
    sys.setswitchinterval(_SWITCH_SECONDS)
    print(f"parley: listening on {url}", flush=True)  # noqa: T201 - the one line on stdout


def _complain(message: str) -> int:
    print(f"parley: {message}", file=sys.stderr)  # noqa: T201
    return 2


if __name__ == "__main__":
    main()
