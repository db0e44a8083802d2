"""What the proxy tells whoever watches what servers send."""

from typing import Protocol

import attrs

from scripts.botlib.lasting.wire import Frame


@attrs.define
class Line:
    """One connection, as whoever watches it knows it."""

    name: str
    """Of its member."""
    epoch: str = ""


class Listener(Protocol):
    """Watches all connections of one room; sets the epoch of each when its welcome comes."""

    def hear(self, line: Line, frame: Frame) -> None:
        """Judge a whole frame of a server."""

    def hear_rest(self, line: Line, rest: bytes) -> None:
        """Judge what a server sent of a frame that never became whole."""
