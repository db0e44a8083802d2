"""Signals that ask the process to end, from its first moment to its last.

Python turns SIGINT into an exception wherever it may be, also in the middle of an import; so the
signals are taken before anything else is imported. Hence nothing is imported here but what the
interpreter has loaded already: no ``typing`` either.
"""

import os
import signal

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def exit_code(number: int) -> int:
    """Make the exit code of a process that a signal has ended, as shells count it."""
    return 128 + number


def arm() -> None:
    """Let either signal end the process at once, in silence: nothing has begun yet.

    Whoever has something to finish takes the signals over, and gives them back in the end.
    """
    for number in SIGNALS:
        signal.signal(number, _end)


def disarm() -> None:
    """Ignore both from now on: all has ended, and the exit code stands."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _end(number: int, _: object) -> None:
    os._exit(exit_code(number))
