"""Takes the bytes of one direction of a WebSocket connection apart; without I/O."""

from typing import Final

import attrs

_TEXT: Final = 0x1
_LARGEST_HEAD: Final = 64 * 1024  # of a handshake, arbitrary


@attrs.frozen
class Frame:
    """A whole frame."""

    raw: bytes
    """As it stood on the wire."""
    text: bytes | None
    """What it says; ``None`` if it is no text."""


class Reader:
    """Follows one direction from the first byte of its handshake on."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.opened = False
        """The handshake is over."""
        self._buffer = bytearray()

    @property
    def rest(self) -> bytes:
        """The beginning of what is not whole yet."""
        return bytes(self._buffer)

    def feed(self, data: bytes) -> list[Frame]:
        """Take what comes next; give the frames that are whole now."""
        self._buffer += data
        if not self.opened:
            _, found, rest = self._buffer.partition(b"\r\n\r\n")
            if not found:
                del self._buffer[_LARGEST_HEAD:]
                return []
            self.opened, self._buffer = True, rest
        frames: list[Frame] = []
        while (frame := self._next()) is not None:
            frames.append(frame)
        return frames

    def _next(self) -> Frame | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        masked, size, body = buffer[1] & 0x80, buffer[1] & 0x7F, 2
        if size > 125:
            body += 2 if size == 126 else 8
            if len(buffer) < body:
                return None
            size = int.from_bytes(buffer[2:body], "big")
        mask = body
        body += 4 if masked else 0
        if len(buffer) < body + size:
            return None
        raw = bytes(buffer[: body + size])
        del buffer[: body + size]
        payload = raw[body:]
        if masked:
            payload = _unmask(payload, raw[mask:body])
        return Frame(raw, payload if raw[0] & 0x0F == _TEXT else None)


def _unmask(data: bytes, key: bytes) -> bytes:
    size = len(data)
    keys = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "big") ^ int.from_bytes(keys, "big")).to_bytes(size, "big")
