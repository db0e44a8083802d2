"""A live room of the parts of one that outlives the server: its rules, its log, its members."""

from collections.abc import Callable

from protocol.dialects.base import Dialect
from protocol.effects import Own, SetTimer
from protocol.estimation import Estimation
from protocol.ids import RoomId
from protocol.messages import TicketResult
from server.rooms.alarms import Alarms
from server.rooms.hub import digester, unix_clock
from server.rooms.journal import Journal
from server.rooms.rebuilding import Start
from server.rooms.room import Lasting, Room
from server.support.counters import Counters
from server.support.limits import Limits


class RoomMaker:
    """Makes rooms with what all of them share."""

    def __init__(self, *, limits: Limits, counters: Counters, dialect: Dialect) -> None:
        """Make rooms within ``limits``, counted by ``counters``.

        Args:
            limits: the bounds of each room.
            counters: are kept up to date.
            dialect: of members that outlive their connections.
        """
        self._limits = limits
        self._counters = counters
        self._dialect = dialect

    def __call__(
        self,
        rules: Estimation,
        journal: Journal,
        *,
        start: Start,
        forget: Callable[[RoomId], None],
        alarms: Alarms,
    ) -> Room[TicketResult]:
        """Make a room, with the members that its rules know, all of them away."""
        session = journal.session
        return Room(
            rules.room_id,
            rules,
            limits=self._limits,
            recorder=journal,
            counters=self._counters,
            forget=forget,
            clock=unix_clock(start.at),
            lasting=Lasting(
                session_id=session.id,
                epoch=f"{session.id}.{rules.generation}",
                results=f"/rooms/{session.room_id}/results?key={session.key}",
                snapshot_for=rules.snapshot_for,
                picture=rules.picture,
                door=rules,
                login_of=rules.login_of,
                seq=lambda: rules.seq,
                journal=journal,
                alarms=alarms,
                digest=digester(rules) if self._limits.digests else None,
                absent=tuple(rules.lasting_members),
                dialect=self._dialect,
                opening=tuple(
                    effect for effect in start.effects if isinstance(effect, SetTimer | Own)
                ),
            ),
        )
