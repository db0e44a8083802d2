"""Lines from a file descriptor, whatever it is: a terminal, a pipe, a file."""

import os
from collections.abc import Callable
from typing import Final

import trio

_PIECE: Final = 4096  # bytes, as much as a terminal gives at once
_LONGEST: Final = 65_536  # bytes that are read without there being the end of a line


class Lines:
    """Reads lines, each in turn; the last one may be without an end.

    Reading happens in a thread that is left to itself when cancelled: neither files nor
    terminals can be waited for in one way on all systems.
    """

    def __init__(self, descriptor: int, read: Callable[[int, int], bytes] = os.read) -> None:
        """Read from ``descriptor``, which stays open."""
        self._descriptor = descriptor
        self._read = read
        self._buffer = b""
        self._ended = False

    async def next(self) -> str | None:
        """Wait for the next line; ``None`` at the end, or when reading fails."""
        while b"\n" not in self._buffer and not self._ended and len(self._buffer) < _LONGEST:
            try:
                piece = await trio.to_thread.run_sync(
                    self._read, self._descriptor, _PIECE, abandon_on_cancel=True
                )
            except OSError:
                piece = b""
            self._buffer += piece
            self._ended = not piece
        line, end, self._buffer = self._buffer.partition(b"\n")
        if not line and not end:
            return None
        return line.decode("utf-8", "replace")
