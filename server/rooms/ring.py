"""The latest changes of a room as frames, for those who come back soon."""

from typing import Final

from protocol.limits import KIB

MOST_CHANGES: Final = 256
MOST_BYTES: Final = 64 * KIB


class Ring:
    """Frames by their numbers, which have no gaps; the oldest give way."""

    __slots__ = ("_bytes", "_frames", "_last", "_most", "_most_bytes")

    def __init__(
        self, last: int = 0, *, most: int = MOST_CHANGES, most_bytes: int = MOST_BYTES
    ) -> None:
        """Begin behind a number.

        Args:
            last: the number of the last change, which is not in the ring.
            most: the number of changes that it holds.
            most_bytes: the bytes of frames that it holds.
        """
        self._last = last
        self._frames: list[bytes] = []  # an empty deque takes ten times as much
        self._bytes = 0
        self._most = most
        self._most_bytes = most_bytes

    def add(self, seq: int, frame: bytes) -> None:
        """Remember the frame of a change; where one is missing, forget what was before."""
        if seq != self._last + 1:
            self._frames.clear()
            self._bytes = 0
        self._last = seq
        self._frames.append(frame)
        self._bytes += len(frame)
        if len(self._frames) > self._most or self._bytes > self._most_bytes:
            self._drop()

    def _drop(self) -> None:
        """Let the oldest give way."""
        while len(self._frames) > self._most or self._bytes > self._most_bytes:
            self._bytes -= len(self._frames.pop(0))

    def since(self, seq: int) -> bytes | None:
        """Join the frames of all changes after a number; ``None`` if not all are here."""
        missed = self._last - seq
        if not 0 <= missed <= len(self._frames):
            return None
        start = len(self._frames) - missed
        return b"".join(self._frames[start:])
