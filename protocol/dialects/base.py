"""What the server needs of a wire format."""

from typing import Protocol

from protocol.messages import Command, Event


class Dialect(Protocol):
    """One wire format; has no state, so one instance serves all connections."""

    def decode(self, text: str) -> Command:
        """Read one text message of a client.

        Raises:
            Refused: if it is no command of this dialect; the field is named.
        """

    def encode(self, event: Event) -> bytes:
        """Write one event as a complete, unmasked WebSocket frame."""
