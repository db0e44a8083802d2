"""Tickets that are brought into a room from outside of it: the way in, and the answer."""

import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import attrs
import trio

from protocol.errors import ErrorCode, Problem, Refused
from protocol.ids import MemberId, RoomId
from protocol.lasting import NOBODY, ImportTickets
from protocol.picture import Picture
from protocol.ticket import Draft
from server.rooms.room import Room
from server.support.errors import StoreUnavailable

ANSWER_SECONDS: Final = 5.0
"""To wait for a room that is busy, and for the record of what was brought."""

_CLAIM_BYTES: Final = 16

Judge = Callable[[int], MemberId | None]
"""Says who asks, by a room's session: a member, :data:`NOBODY` for its owner, or no one of it."""


@attrs.frozen
class Visit:
    """Somebody who may bring tickets, as it seems; the rules will judge it again."""

    room: Room[Any]
    member: MemberId
    picture: Picture
    """As it was when the visit began."""

    async def bring(self, drafts: Sequence[Draft]) -> Problem | None:
        """Bring tickets, all or none; give the reason if it is none.

        Returns once what was brought is on record, in a room that outlives the server.

        Raises:
            StoreUnavailable: if that takes too long, or the room ends meanwhile. What was given to
                the room may be in it all the same.
        """
        room, claim = self.room, secrets.token_hex(_CLAIM_BYTES)
        told: list[Problem | None] = []
        settled = trio.Event()

        def note(problem: Problem | None) -> None:
            told.append(problem)
            settled.set()

        with trio.move_on_after(ANSWER_SECONDS):
            await room.inbox.wait_for_space()
            room.outcomes[claim] = note
            try:
                room.inbox.put(self.member, ImportTickets(claim, tuple(drafts)))
                room.inbox.settle()
                await settled.wait()
            finally:
                room.outcomes.pop(claim, None)
            journal = None if room.lasting is None else room.lasting.journal
            if journal is not None and told == [None]:
                await journal.flushed()
            return told[0]
        raise StoreUnavailable("the room does not answer in time")


class TicketImports:
    """The way into the backlogs of all rooms; one import of a room at a time."""

    def __init__(self, wake: Callable[[RoomId], Awaitable[Room[Any] | None]]) -> None:
        """Find rooms by ``wake``, which makes them live again if they are parked."""
        self._wake = wake

    async def visit(self, room_id: RoomId, whose: Judge) -> Visit | None:
        """Find a room, and whether somebody may bring tickets.

        Returns:
            ``None`` if there is no such room.

        Raises:
            Refused: ``WRONG_KEY`` if it is nobody of this room, ``LEFT`` if the member has left or
                is away, ``NOT_FACILITATOR`` if the backlog is not left to it; or as by ``wake``.
            StoreUnavailable: if the room is parked, and the database does not answer.
        """
        room = await self._wake(room_id)
        if room is None or room.lasting is None or room.lasting.picture is None:
            return None
        member = whose(room.lasting.session_id)
        if member is None:
            raise Refused(ErrorCode.WRONG_KEY, "this is no key or token of this room")
        picture = room.lasting.picture()
        if member != NOBODY:
            _judge(member, picture)
        return Visit(room, member, picture)


def _judge(member: MemberId, picture: Picture) -> None:
    """Let members bring tickets while they are connected: whoever is has been judged at the door.

    Raises:
        Refused: if somebody is not, or if the backlog is not left to it.
    """
    seat = next((each for each in picture.members if each.id == member), None)
    if seat is None or not seat.here:
        raise Refused(ErrorCode.LEFT, "you must be connected to the room")
    leading = picture.may.facilitators if seat.facilitator else ()
    if "backlog" not in (*picture.may.everybody, *leading):
        raise Refused(ErrorCode.NOT_FACILITATOR, "only facilitators may change the backlog")
