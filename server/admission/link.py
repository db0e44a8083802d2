"""A ``parley.v1`` connection of a member: what it says first, and what its end is called."""

from collections.abc import Mapping
from typing import Final, Protocol

from protocol.dialects.parley_v1 import CLOSE_CODES, ENDINGS
from protocol.errors import Problem, Refused
from protocol.farewell import Ending
from protocol.greeting import Resumed
from protocol.ids import MemberId
from protocol.messages import Command
from server.admission.session import Session
from server.edge.closing import TOLD, Cause
from server.rooms.room import Lasting

CAUSES: Final[Mapping[Ending, Cause]] = {
    Ending.GOING_AWAY: Cause.GOING_AWAY,
    Ending.FAULT: Cause.FAULT,
    Ending.ROOM_ENDED: Cause.ROOM_ENDED,
    Ending.LEFT: Cause.LEFT,
    Ending.REPLACED: Cause.REPLACED,
    Ending.STRUCK_OUT: Cause.STRUCK_OUT,
    Ending.SIGNED_OUT: Cause.LOGGED_OUT,
}
"""What the server's own counting calls an ending; all others are refusals."""

TOLD_V1: Final[Mapping[Cause, tuple[int, str]]] = {
    **TOLD,
    Cause.TOO_SLOW: (CLOSE_CODES[Ending.TOO_SLOW], TOLD[Cause.TOO_SLOW][1]),
    Cause.SILENT: (CLOSE_CODES[Ending.SILENT], TOLD[Cause.SILENT][1]),
    Cause.FLOODED: (CLOSE_CODES[Ending.STRUCK_OUT], TOLD[Cause.FLOODED][1]),
    Cause.CUT: (CLOSE_CODES[Ending.FAULT], TOLD[Cause.CUT][1]),
    Cause.FAULT: (CLOSE_CODES[Ending.FAULT], TOLD[Cause.FAULT][1]),
}
"""What such a peer is told about causes that are found at the edge."""


class Host(Protocol):
    """What a link needs of whoever has made it."""

    def welcome(self, lasting: Lasting, member: MemberId, token: str, resumed: Resumed) -> bytes:
        """Give the frames that a member is told first."""


class ParleyLink(Session):
    """A :class:`~server.admission.session.Session` that is one of several of its member."""

    __slots__ = ("host", "lasting", "token", "welcomed")

    lasting: Lasting
    """The room's, which the welcome tells of."""
    token: str
    """Opens this seat again; forgotten once it has been said."""
    welcomed: bool
    """The member has had its welcome already."""
    host: Host
    """Knows the frames that are said first."""

    @property
    def entry(self) -> Command | None:
        """By which it enters the room, as long as it has not said so."""
        return self._entry

    def welcome(self, resumed: Resumed) -> bytes:
        """Give the frames that are said first, before the room's."""
        if self.welcomed:
            return b""
        token, self.token = self.token, ""  # said once, and of no use here any more
        return self.host.welcome(self.lasting, self.id, token, resumed)

    def close(
        self, code: int, reason: str, last: bytes = b"", *, cause: Cause | None = None
    ) -> None:
        """Send ``last`` and a close frame, then nothing; the code tells the cause."""
        if cause is None and code in ENDINGS:
            cause = CAUSES.get(ENDINGS[code], Cause.REFUSED)
        super().close(code, reason, last, cause=cause)

    def _too_fast(self, text: str | bytes) -> Problem:
        """Say which request came too fast, so that it can be asked again."""
        problem = super()._too_fast(text)
        try:
            command = self.dialect.decode(text) if isinstance(text, str) else None
        except Refused as refused:
            return Problem(problem.code, problem.message, values=refused.problem.values)
        ref = getattr(command, "ref", None)
        return (
            problem if ref is None else Problem(problem.code, problem.message, values={"ref": ref})
        )
