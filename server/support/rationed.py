"""Log lines that a stranger can cause: shortened, and only so many a second of each kind."""

from collections.abc import Callable
from typing import Final

import trio

from server.support.bucket import TokenBucket
from server.support.observe import get_logger

LINES_PER_SECOND: Final = 5.0
"""Lines of one kind a second for ever."""

LINES_AT_ONCE: Final = 20
"""Lines of one kind after a while of silence."""

LONGEST: Final = 200
"""Characters of one value in a line; what is longer is cut, and says so."""


class RationedLog:
    """A component's log for events that come as often as a stranger likes.

    A kind is a message together with the value of ``why``, if that is one of a fixed few. Lines
    above the ration are left out, and the next one of the kind that is written says how many were,
    in the field ``left_out``.
    """

    def __init__(self, component: str, *, clock: Callable[[], float] = trio.current_time) -> None:
        """Write as ``component``.

        Args:
            component: the part of the server that the lines are about.
            clock: seconds that never go back.
        """
        self._log = get_logger(component)
        self._clock = clock
        # One entry for each kind that the code names, hence a few.
        self._kinds: dict[object, _Kind] = {}

    def info(self, event: str, *, kind: object = None, **fields: object) -> None:
        """Write a line, if the ration of ``kind`` (by itself the event) allows."""
        left_out = self._ration(kind or event)
        if left_out is not None:
            self._log.info(event, **_shortened(fields), **left_out)

    def warning(self, event: str, *, kind: object = None, **fields: object) -> None:
        """Write a warning in the same way."""
        left_out = self._ration(kind or event)
        if left_out is not None:
            self._log.warning(event, **_shortened(fields), **left_out)

    def error(self, event: str, *, kind: object = None, **fields: object) -> None:
        """Write an error in the same way."""
        left_out = self._ration(kind or event)
        if left_out is not None:
            self._log.error(event, **_shortened(fields), **left_out)

    def _ration(self, kind: object) -> dict[str, int] | None:
        """Count a line; ``None`` if it must be left out, else what the line says of others."""
        now = self._clock()
        found = self._kinds.get(kind)
        if found is None:
            found = self._kinds[kind] = _Kind(now)
        if not found.bucket.take(1, now):
            found.left_out += 1
            return None
        if not found.left_out:
            return {}
        left_out, found.left_out = found.left_out, 0
        return {"left_out": left_out}


class _Kind:
    __slots__ = ("bucket", "left_out")

    def __init__(self, now: float) -> None:
        self.bucket = TokenBucket(LINES_PER_SECOND, LINES_AT_ONCE, now)
        self.left_out = 0


def shortened(text: str, longest: int = LONGEST) -> str:
    """Cut a text to ``longest`` characters and say how long it was, or give it as it is."""
    return text if len(text) <= longest else f"{text[:longest]}… ({len(text)} characters)"


def _shortened(fields: dict[str, object]) -> dict[str, object]:
    return {
        name: shortened(value) if isinstance(value, str) else value
        for name, value in fields.items()
    }
