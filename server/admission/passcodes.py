"""Whether whoever comes knows a room's passcode, and how often from one address it may guess."""

import math
from typing import Final

import trio

from protocol.errors import ErrorCode, Problem, Refused
from protocol.ids import Passcode
from server.auth.seats import SeatKeys
from server.auth.sources import Source
from server.auth.throttle import Throttle
from server.support.limits import Limits

SECONDS: Final = 60.0
"""In which ``passcode_limit`` wrong ones may come from one address for one room."""


class Passcodes:
    """Judges them, and counts the wrong ones: also of addresses that are unlimited otherwise.

    There is no checkpoint in it: guesses that come at once are judged one after the other.
    """

    def __init__(self, keys: SeatKeys, limits: Limits) -> None:
        """Judge by ``keys``, within ``limits.passcode_limit``."""
        self._keys = keys
        self._wrong = Throttle(limits.passcode_limit, SECONDS, clock=trio.current_time)

    def check(self, source: Source, session_id: int, seal: str, given: Passcode | None) -> None:
        """Make sure that a passcode is the one that was sealed.

        Args:
            source: who says it.
            session_id: for which life of which room.
            seal: the room's.
            given: what was said.

        Raises:
            Refused: if it is not; or if so many were wrong that not even the right one is heard.
        """
        if given is None:
            raise Refused(ErrorCode.NEEDS_PASSCODE, "this room has a passcode", "passcode")
        key = f"{session_id} {source.key}"
        wait = math.ceil(self._wrong.wait(key))
        if wait:
            message = f"too many wrong passcodes; come again in {wait} s"
            raise _refused(ErrorCode.TOO_MANY, message, retry_after=wait)
        if self._keys.opens(seal, given):
            return
        self._wrong.take(key)
        left = self._wrong.left(key)
        message = f"wrong passcode; {left} {'try' if left == 1 else 'tries'} left"
        raise _refused(ErrorCode.WRONG_PASSCODE, message, tries_left=left)


def _refused(code: ErrorCode, message: str, **values: int) -> Refused:
    refused = Refused(code, message)
    refused.problem = Problem(code, message, "passcode", values)
    return refused
