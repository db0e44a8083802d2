"""What the server needs of a wire format."""

from typing import Protocol

from protocol.errors import Problem
from protocol.farewell import Ending, Farewell, Parting
from protocol.messages import Command, Event, RoomClosed


class Dialect(Protocol):
    """One wire format; has no state, so one instance serves all connections."""

    def decode(self, text: str) -> Command:
        """Read one text message of a client.

        Raises:
            Refused: if it is no command of this dialect; the field is named.
        """

    def encode(self, event: Event) -> bytes | None:
        """Write one event as a complete, unmasked WebSocket frame.

        Returns:
            The frame; ``None`` if this dialect has nothing to say about such an event.
        """

    def part(self, farewell: Farewell) -> Parting:
        """Say goodbye: what is sent last, and the close frame's code and reason."""

    def word(self, problem: Problem) -> str:
        """Say in one sentence without a final stop what was refused, for people."""


class Plain:
    """The farewell of dialects that have no codes of their own."""

    def encode(self, event: Event) -> bytes | None:
        """Write one event as a frame."""
        raise NotImplementedError

    def part(self, farewell: Farewell) -> Parting:
        """Say goodbye: why the room is closed, if it is, and a close code of RFC 6455."""
        last = b""
        if farewell.ending in {Ending.ROOM_ENDED, Ending.GOING_AWAY, Ending.FAULT}:
            last = self.encode(RoomClosed(farewell.reason)) or b""
        return Parting(last, farewell.code, farewell.reason)
