"""What the server needs of a wire format."""

from typing import Protocol

from protocol.errors import Problem
from protocol.messages import Command, Event


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

    def word(self, problem: Problem) -> str:
        """Say in one sentence without a final stop what was refused, for people."""
