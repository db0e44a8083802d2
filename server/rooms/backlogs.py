"""Where the backlog of a room is found: in the room, in its log, or with its results."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import trio

from protocol.ids import RoomId
from protocol.ticket import Ticket
from server.rooms.rebuilding import stored_tickets
from server.rooms.room import Room
from server.store.database import Database
from server.store.estimations import Session
from server.support.limits import Limits


class Backlogs:
    """Reads the backlogs of rooms, whether they live, rest or have ended; none is woken for it."""

    def __init__(
        self, database: Database, live: Callable[[RoomId], Room[Any] | None], limits: Limits
    ) -> None:
        """Ask ``live`` for the rooms that live, and ``database`` for the others."""
        self._database = database
        self._live = live
        self._limits = limits

    async def tickets(self, session: Session) -> Sequence[Ticket]:
        """Give the tickets of a room, descriptions included.

        Raises:
            StoreUnavailable: if the database must be asked, and does not answer.
        """
        room = self._live(session.room_id)
        lasting = None if room is None else room.lasting
        if lasting is not None and lasting.session_id == session.id:
            await trio.lowlevel.checkpoint()
            return lasting.tickets()
        read = partial(stored_tickets, session=session, limits=self._limits)
        return await self._database.run(read)
