"""The command line over the environment over the defaults, every value checked."""

import argparse
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, Final, get_args

import attrs

from server.settings.config import Command, Settings
from server.settings.options import OF_LIMITS, OPTIONS, PREFIX, Group, Option
from server.support.errors import BadValue
from server.support.limits import Limits
from server.support.one_line_parser import OneLineParser

# What a full room says to one member at once must fit its outbox, or the member is closed as too
# slow: to a newcomer one message per member, to everybody a reveal with one vote per member.
_BYTES_PER_MEMBER: Final = 512

_COMMANDS: Final[tuple[Command, ...]] = get_args(Command)


def parse(argv: Sequence[str], environ: Mapping[str, str]) -> Settings:
    """Read the settings from arguments (without the program's name) and environment.

    The arguments may begin with a command. An empty environment variable counts as absent.

    Raises:
        SystemExit: 2 after one line on standard error that names the option or the variable at
            fault; 0 after ``--help`` or ``--version``.
    """
    parser = _make_parser()
    command, words = _command(list(argv))
    backup_file = words.pop(0) if command == "db backup" and words else None
    if command == "db backup" and (not backup_file or backup_file.startswith("-")):
        parser.error("db backup: needs the name of the new FILE right behind it")
    arguments = vars(parser.parse_args(words))
    try:
        given = _given(arguments, environ)
        limits = _limits({field: value for field, value in given.items() if field in OF_LIMITS})
        if given.get("webhook_url") and not given.get("webhook_secret"):
            raise BadValue("--webhook-url: needs --webhook-secret (PARLEY_WEBHOOK_SECRET) as well")
    except BadValue as bad:
        parser.error(str(bad))
    known = {option.variable for option in OPTIONS}
    return Settings(
        command=command,
        backup_file=backup_file,
        limits=limits,
        unknown_variables=tuple(
            sorted(name for name in environ if name.startswith(PREFIX) and name not in known)
        ),
        **{field: value for field, value in given.items() if field not in OF_LIMITS},
    )


def _command(words: list[str]) -> tuple[Command, list[str]]:
    """Split off the command, which is to serve if none is given."""
    for command in _COMMANDS:
        parts = command.split()
        if words[: len(parts)] == parts:
            return command, words[len(parts) :]
    return "serve", words


def _given(arguments: Mapping[str, str | None], environ: Mapping[str, str]) -> dict[str, Any]:
    """Read all that was given, by field."""
    given: dict[str, Any] = {}
    for option in OPTIONS:
        source, text = option.flag, arguments[option.name]
        if text is None:
            source, text = option.variable, environ.get(option.variable) or None
        if text is None:
            continue
        try:
            given[option.field] = option.read(text)
        except BadValue as bad:
            raise BadValue(f"{source}: {bad}") from None
    return given


def _limits(given: dict[str, Any]) -> Limits:
    """Make limits that do not contradict each other; an outbox not given grows with the rooms."""
    limits = Limits(**given)
    seats = limits.room_capacity
    least = seats * _BYTES_PER_MEMBER
    if limits.outbox_bytes >= least:
        return limits
    if "outbox_bytes" in given:
        option = next(option for option in OPTIONS if option.field == "outbox_bytes")
        raise BadValue(
            f"{option.flag} ({option.variable}): must be at least {least} for rooms with "
            f"{seats} seats, not {given['outbox_bytes']}"
        )
    return attrs.evolve(limits, outbox_bytes=least)


def _make_parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="parley",
        usage="parley [serve | db upgrade | db current | db backup FILE] [options], "
        "parley create | join --help",
        description="Planning poker and chat for a team: one process, one port.",
        epilog="db upgrade migrates the database, which serving does as well before it begins; "
        "db current shows the revision of its schema; db backup copies an SQLite database, also "
        "one that is being served, into a new file; create and join take part in a session "
        "from this terminal. Each option may also be given by the "
        "environment variable named with it; "
        "the command line wins.",
        allow_abbrev=False,
        add_help=False,
    )
    parser.add_argument("-h", "--help", action="help", help="show this and exit")
    parser.add_argument(
        "--version",
        action="version",
        version=f"parley {version('parley-server')}",
        help="show the version and exit",
    )
    groups = {group: parser.add_argument_group(group.value) for group in Group}
    for option in OPTIONS:
        _add(groups[option.group], option)
    return parser


def _add(group: argparse._ArgumentGroup, option: Option) -> None:
    text = f"{option.meaning} (default {option.shown_default}; {option.variable})"
    # Values stay text here: one reader serves the command line and the environment alike.
    if option.unit:
        group.add_argument(option.flag, dest=option.name, metavar=option.unit, help=text)
        return
    group.add_argument(option.flag, dest=option.name, action="store_const", const="on", help=text)
    opposite = option.flag.replace("--", "--no-", 1)
    group.add_argument(
        opposite, dest=option.name, action="store_const", const="off", help="the opposite"
    )
