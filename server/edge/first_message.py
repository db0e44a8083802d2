"""The first message of a WebSocket, where only that tells who the connection belongs to."""

from typing import Final

from protocol.errors import ErrorCode, Refused
from protocol.frames import (
    encode_close,
    encode_frame,
    frame_length,
    unmask,
)
from server.edge.accepted import AcceptedConnection
from server.edge.lane import READ_BYTES

_FIN: Final = 0x80
_MASKED: Final = 0x80
_OPCODES: Final = 0x0F
_RESERVED: Final = 0x70
_TEXT, _CLOSE, _PING, _PONG = 0x1, 0x8, 0x9, 0xA
_LONGEST_CONTROL: Final = 125
_MASK_BYTES: Final = 4
_MOST_CONTROL: Final = 16
"""Control frames before the message; nobody needs one."""

_WANTED: Final = "the first message must be a hello, in one whole text frame"


async def read_first_message(
    peer: AcceptedConnection, begun: bytes, longest: int
) -> tuple[str, bytes] | None:
    """Read text frames until the first is complete, and answer pings meanwhile.

    Args:
        peer: the connection, on which a WebSocket has been opened.
        begun: what has been read of it already.
        longest: bytes that the message may have.

    Returns:
        The message, and what came behind it; ``None`` if the peer has gone.

    Raises:
        Refused: if what comes first is no text, or too long.
        BrokenResourceError: if the connection breaks.
    """
    data = begun
    for _ in range(_MOST_CONTROL):
        while (length := frame_length(data)) is None or len(data) < length:
            if length is not None and length > longest + 14:  # the longest head
                raise Refused(ErrorCode.MALFORMED, f"the message has more than {longest} bytes")
            more = await peer.receive(READ_BYTES)
            if not more:
                return None
            data += more
        frame, data = data[:length], data[length:]
        opcode, payload = _open(frame)
        if opcode == _TEXT:
            if len(payload) > longest:
                raise Refused(ErrorCode.MALFORMED, f"the message has more than {longest} bytes")
            try:
                return payload.decode(), data
            except UnicodeDecodeError:
                raise Refused(ErrorCode.MALFORMED, "the message is not UTF-8") from None
        if opcode == _CLOSE:
            await peer.send(encode_close(1000, ""))
            return None
        if opcode == _PING:
            await peer.send(encode_frame(payload, _PONG))
    raise Refused(ErrorCode.MALFORMED, _WANTED)


def _open(frame: bytes) -> tuple[int, bytes]:
    """Take a whole frame apart (RFC 6455 section 5.2)."""
    opcode = frame[0] & _OPCODES
    short = frame[1] & ~_MASKED
    control = opcode in {_CLOSE, _PING, _PONG}
    if (
        not frame[0] & _FIN
        or frame[0] & _RESERVED
        or not frame[1] & _MASKED
        or not (opcode == _TEXT or control)
        or (control and short > _LONGEST_CONTROL)
    ):
        raise Refused(ErrorCode.MALFORMED, _WANTED)
    head = 2 + {126: 2, 127: 8}.get(short, 0)
    mask = frame[head : head + _MASK_BYTES]
    return opcode, unmask(frame[head + _MASK_BYTES :], mask)
