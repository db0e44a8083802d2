"""The command ``parley``: takes the signals before anything else, then runs what was asked for.

Until the signals are taken, Ctrl-C is a traceback: nothing that takes time may be imported before.
"""

import sys

from server.support import stopping

_PACKAGES = ("server", "protocol")


def main() -> None:
    """Do what the process's arguments and environment ask for, and exit."""
    stopping.arm()
    _refuse_strangers()
    from server.command import run

    code = run(sys.argv[1:])
    stopping.disarm()
    sys.exit(code)


def _refuse_strangers() -> None:
    """Make sure that both packages are ours: their names are such as any project may have.

    Raises:
        SystemExit: 2 after one line on standard error.
    """
    from importlib.util import find_spec
    from pathlib import Path

    ours = Path(__file__).resolve().parent.parent
    for name in _PACKAGES:
        spec = find_spec(name)
        place = Path(spec.origin) if spec is not None and spec.origin else None
        if place is None or place.resolve().parent.parent != ours:
            where = "nowhere" if place is None else place.parent
            print(  # noqa: T201
                f"parley: the package '{name}' of {ours} is hidden by another one in {where}; "
                "start from another folder and without PYTHONPATH, or by scripts/serve",
                file=sys.stderr,
            )
            sys.exit(2)


if __name__ == "__main__":
    main()
