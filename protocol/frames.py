"""RFC 6455 frames: encode once for all, and split off what needs no WebSocket library.

:class:`Splitter` follows the byte stream of one client. Complete, unfragmented, masked text
frames within the size limit are *fast*: they are unmasked and handed out as text. Complete
pongs are left out, since nothing is to be done about one. All other bytes are *slow* and come
out untouched and in order, for a full implementation to judge. To keep messages in order, no
text is fast from the first byte of a slow message until its last fragment has passed and the
receiver says that it has dealt with it; and everything is slow after a close frame and after
anything that violates the RFC.

What may become of a message is known from the heads of its frames, so a message with too many
bytes or too many fragments is told by :attr:`Splitter.excess` before its payload comes.
"""

from enum import Enum, auto
from typing import Final

from protocol.errors import close_reason

_FIN: Final = 0x80
_RESERVED: Final = 0x70
_MASKED: Final = 0x80
_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_FIN_TEXT: Final = _FIN | _TEXT
_FIN_CLOSE: Final = _FIN | _CLOSE
_FIN_PONG: Final = _FIN | _PONG

_SHORT: Final = 125  # the longest payload whose length fits the second byte, section 5.2
_LENGTH_16, _LENGTH_64 = 126, 127
_LONGEST_HEAD: Final = 14
_NO_CODE: Final = 1005  # section 7.4.1

PING: Final = bytes((_FIN | _PING, 0))
"""An unmasked ping without a payload; any pong answers it."""


def encode_frame(payload: bytes, opcode: int) -> bytes:
    """Make one unmasked, unfragmented frame, as servers send them (section 5.1)."""
    size = len(payload)
    if size <= _SHORT:
        return bytes((_FIN | opcode, size)) + payload
    if size < 1 << 16:
        return bytes((_FIN | opcode, _LENGTH_16)) + size.to_bytes(2, "big") + payload
    return bytes((_FIN | opcode, _LENGTH_64)) + size.to_bytes(8, "big") + payload


_SHORT_TEXT: Final = tuple(bytes((_FIN_TEXT, size)) for size in range(_SHORT + 1))


def encode_text(payload: bytes) -> bytes:
    """Make one text frame of a payload that is UTF-8 already."""
    size = len(payload)
    if size <= _SHORT:
        return _SHORT_TEXT[size] + payload
    return encode_frame(payload, _TEXT)


def encode_binary(payload: bytes) -> bytes:
    """Make one binary frame."""
    return encode_frame(payload, _BINARY)


def encode_close(code: int, reason: str) -> bytes:
    """Make a close frame; ``reason`` is cut to what fits (section 5.5.1)."""
    return encode_frame(code.to_bytes(2, "big") + close_reason(reason).encode(), _CLOSE)


def decode_close(frame: bytes) -> tuple[int, str]:
    """Read a close frame as servers send them: its code, 1005 if it has none, and its reason."""
    return _code_and_reason(frame[2:])


def is_close(frame: bytes | bytearray | memoryview) -> bool:
    """Tell whether bytes that begin with a frame's head begin with a close frame."""
    return len(frame) > 0 and frame[0] == _FIN_CLOSE


def frame_length(data: bytes) -> int | None:
    """Tell how long the frame is that ``data`` begins with; ``None`` if that is not known yet.

    The head must be there, with the length (RFC 6455 section 5.2) and the mask if there is one.
    """
    if len(data) < 2:
        return None
    size = _head_size(data)
    return size + _payload_size(data[:size]) if len(data) >= size else None


def unmask(payload: bytes, mask: bytes) -> bytes:
    """Apply a four-byte mask (section 5.3) from the payload's first byte on; its own inverse."""
    size = len(payload)
    key = (mask * (size // 4 + 1))[:size]
    # One wide XOR: several times faster here than a loop or a table per lane.
    return (int.from_bytes(payload, "little") ^ int.from_bytes(key, "little")).to_bytes(
        size, "little"
    )


class Excess(Enum):
    """Of what a client's message has too much."""

    BYTES = auto()
    FRAGMENTS = auto()


class Splitter:
    """Splits one client's byte stream into fast texts and slow bytes."""

    __slots__ = (
        "_bytes",
        "_close_frame",
        "_fragments",
        "_head",
        "_longest",
        "_most_fragments",
        "_open",
        "_raw",
        "_skip",
        "_slow",
        "closed",
        "excess",
        "slow_frames",
    )

    def __init__(self, longest: int, most_fragments: int) -> None:
        """Follow a stream from its first frame on.

        Args:
            longest: bytes in the payload of one message, all of its fragments together.
            most_fragments: frames of one message; an empty one counts like any other.
        """
        self._longest = longest
        self._most_fragments = most_fragments
        self._bytes = 0  # announced for the slow message that was begun last
        self._fragments = 0  # the same in frames
        self._close_frame = b""  # from its mask on, as far as seen
        self._head = b""  # of a slow frame, as far as seen
        self._skip = 0  # bytes of a slow frame's payload still to come
        self._open = False  # within a fragmented message
        self._slow = 0  # slow messages begun and not yet dealt with
        self._raw = False  # nothing is fast ever again
        self.closed = False
        """A close frame has begun."""
        self.excess: Excess | None = None
        """A message is, or announces to be, above a bound; its bytes come out all the same."""
        self.slow_frames = 0
        """Begun so far; each costs its receiver many times what a fast one does."""

    @property
    def close(self) -> tuple[int, str] | None:
        """Code and reason of the close frame, once all of it has passed.

        1005 stands for a missing code (section 7.1.5). ``None`` also for a payload of one byte,
        which is no code; whether the code is one that may be sent is for others to judge.
        """
        if not self.closed or self._skip > 0:
            return None
        payload = unmask(self._close_frame[4:], self._close_frame[:4])
        return None if len(payload) == 1 else _code_and_reason(payload)

    def dealt_with(self) -> None:
        """Count one slow message as dealt with by its receiver."""
        self._slow -= 1

    def feed(self, data: bytes) -> tuple[list[str], bytes]:
        """Take the next bytes of the stream, cut anywhere.

        Returns:
            The fast texts among them, in order, and the slow bytes, joined. No text comes
            after a slow message that is in the same bytes.
        """
        texts: list[str] = []
        end = len(data)
        at = 0
        slow: list[bytes] = []
        while at < end:
            if not (self._skip or self._head or self._raw):
                taken = 0 if self._slow else self._fast(data, at, end, texts)
                taken = taken or _pong(data, at, end)
                if taken:
                    at += taken
                    continue
            taken = self._follow(data, at, end)
            slow.append(data[at : at + taken])
            at += taken
        return texts, b"".join(slow)

    def _fast(self, data: bytes, at: int, end: int, texts: list[str]) -> int:
        """Append the text of the frame at ``at`` if it is fast; return its size, else 0."""
        if end - at < 6 or data[at] != _FIN_TEXT:
            return 0
        size = data[at + 1] - _MASKED
        body = at + 6
        if size == _LENGTH_16:
            size = int.from_bytes(data[at + 2 : at + 4], "big")
            body = at + 8
            if size <= _SHORT:  # not the shortest form, section 5.2
                return 0
        elif not 0 <= size <= _SHORT:
            return 0
        if size > self._longest or body + size > end:
            return 0
        payload = data[body : body + size]
        try:
            texts.append(unmask(payload, data[body - 4 : body]).decode())
        except UnicodeDecodeError:
            return 0
        return body + size - at

    def _follow(self, data: bytes, at: int, end: int) -> int:
        """Say how many bytes from ``at`` on belong to the slow frame there; 1 at the least."""
        if self._raw:
            if self.closed and self._skip:
                part = data[at : at + self._skip]
                self._close_frame += part
                self._skip -= len(part)
            return end - at
        if self._skip:
            taken = min(self._skip, end - at)
            self._skip -= taken
            return taken
        seen = len(self._head)
        self._head += data[at : min(at + _LONGEST_HEAD - seen, end)]
        size = _head_size(self._head)
        if size > len(self._head):
            return len(self._head) - seen
        head, self._head = self._head[:size], b""
        self._enter(head)
        return size - seen

    def _enter(self, head: bytes) -> None:
        """Judge a slow frame by its complete head."""
        opcode = head[0] & 0x0F
        size = _payload_size(head)
        self._skip = size
        self.slow_frames += 1
        if opcode in {_PING, _PONG}:
            self._raw = not _well_formed(head, size) or size > _SHORT or not head[0] & _FIN
        elif opcode in {_TEXT, _BINARY} and not self._open:
            self._raw = not _well_formed(head, size)
            self._open = not head[0] & _FIN
            self._slow += 1
            self._bytes = self._fragments = 0
            self._measure(size)
        elif opcode == _CONTINUATION and self._open:
            self._raw = not _well_formed(head, size)
            self._open = not head[0] & _FIN
            self._measure(size)
        else:  # a close frame, or what is no frame
            self._raw = True
            whole = bool(head[0] & _FIN) and size <= _SHORT
            self.closed = opcode == _CLOSE and whole and _well_formed(head, size)
            self._close_frame = head[-4:]

    def _measure(self, size: int) -> None:
        """Add a frame with so many bytes to the message; one that is no frame is not measured."""
        self._bytes += size
        self._fragments += 1
        if self._raw or self.excess is not None:
            return
        if self._bytes > self._longest:
            self.excess = Excess.BYTES
        elif self._fragments > self._most_fragments:
            self.excess = Excess.FRAGMENTS


def _code_and_reason(payload: bytes) -> tuple[int, str]:
    """Read a close frame's payload (section 5.5.1); 1005 stands for a missing code."""
    if len(payload) < 2:
        return _NO_CODE, ""
    return int.from_bytes(payload[:2], "big"), payload[2:].decode(errors="replace")


def _pong(data: bytes, at: int, end: int) -> int:
    """Size of the frame at ``at`` if it is a complete and correct pong, else 0."""
    if end - at < 6 or data[at] != _FIN_PONG:
        return 0
    size = data[at + 1] - _MASKED
    return 6 + size if 0 <= size <= _SHORT and at + 6 + size <= end else 0


def _head_size(seen: bytes) -> int:
    """Bytes in the head that begins with ``seen``, as far as ``seen`` tells."""
    if len(seen) < 2:
        return 2
    extended = {_LENGTH_16: 2, _LENGTH_64: 8}.get(seen[1] & 0x7F, 0)
    return 2 + extended + (4 if seen[1] & _MASKED else 0)


def _payload_size(head: bytes) -> int:
    size = head[1] & 0x7F
    if size == _LENGTH_16:
        return int.from_bytes(head[2:4], "big")
    if size == _LENGTH_64:
        return int.from_bytes(head[2:10], "big")
    return size


def _well_formed(head: bytes, size: int) -> bool:
    """Masked, no reserved bit, and the length in its shortest form (section 5.2)."""
    short = head[1] & 0x7F
    shortest = (short <= _SHORT) or (
        size > _SHORT if short == _LENGTH_16 else 1 << 16 <= size < 1 << 63
    )
    return bool(head[1] & _MASKED) and not head[0] & _RESERVED and shortest
