"""What ``parley`` does for its arguments: it serves, or looks after the database."""

import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import attrs
import trio

from server.app import serve
from server.settings.arguments import parse
from server.settings.config import Settings
from server.store.backup import back_up
from server.store.database import Database
from server.store.housekeeping import upgrade
from server.support.errors import CannotListen, DatabaseUnusable, Ousted, first_of
from server.support.observe import configure_logging, get_logger
from server.support.rlimit import raise_limit
from server.support.tuning import tune

_UNUSABLE = 2
"""Exit code for what the operator has to change: an option, an address, a database."""


def run(argv: Sequence[str]) -> int:
    """Do what arguments (without the program's name) and environment ask for.

    Returns:
        The exit code: 0; 1 where something was lost or the system refused; 2 for what the
        operator has to change; 128 plus the number of a signal. All but 0 have said why, in one
        line on standard error.

    Raises:
        SystemExit: from reading the arguments.
    """
    settings = parse(argv, os.environ)
    configure_logging(settings.log_level, settings.log_format)
    work = _serve if settings.command == "serve" else _manage
    code = 0
    # What is raised in a task comes in groups.
    try:
        code = work(settings)
    except* (CannotListen, DatabaseUnusable, Ousted) as failed:
        code = _complain(str(first_of(failed)), _UNUSABLE)
    except* OSError as failed:
        code = _complain(_words(first_of(failed)), 1)
    return code


def _serve(settings: Settings) -> int:
    settings = _with_open_files(settings)
    return trio.run(serve, settings, partial(_announce, settings))


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


def _with_open_files(settings: Settings) -> Settings:
    """Allow no more connections than there can be open files.

    Short of some twenty that the process itself has open, a system that allows as many files as
    connections are configured is as it should be; only less than that is worth a warning.
    """
    wanted = settings.limits.connections
    fitting, allowed = raise_limit(wanted)
    if fitting == wanted:
        return settings
    if allowed < wanted:
        get_logger("server").warning(
            "the limit on open files allows fewer connections than configured",
            configured=wanted,
            fit=fitting,
            remedy=f"ulimit -n {wanted + (allowed - fitting)} before the start, LimitNOFILE= in a "
            f"systemd unit, or --max-connections {fitting}",
        )
    return attrs.evolve(settings, limits=attrs.evolve(settings.limits, connections=fitting))


def _announce(settings: Settings, url: str) -> None:
    for name in settings.unknown_variables:
        get_logger("server").warning("unknown variable in the environment", name=name)
    tune()
    try:
        print(f"parley: listening on {url}", flush=True)  # noqa: T201 - the one line on stdout
    except OSError as error:
        raise OSError(error.errno, error.strerror, "standard output") from None


def _words(error: BaseException) -> str:
    """Say in one line what the system refused, and for which file."""
    if not isinstance(error, OSError):  # pragma: no cover - groups of OSError hold nothing else
        return str(error)
    what = error.strerror or str(error) or type(error).__name__
    return f"{error.filename}: {what}" if error.filename else f"the system refuses: {what}"


def _complain(message: str, code: int) -> int:
    print(f"parley: {message}", file=sys.stderr)  # noqa: T201
    return code
