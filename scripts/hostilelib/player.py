"""Plays one case against a server, on a connection of its own, to the end of its answer."""

import json
import secrets
from collections.abc import Awaitable, Callable
from typing import Final

import attrs
import trio

from protocol.frames import unmask
from scripts.hostilelib.inputs import TOKEN, Case, Place, upgrade

Connect = Callable[[], Awaitable[trio.abc.Stream]]

ANSWER_SECONDS: Final = 20.0
"""The time for an answer; a server that needs longer hangs."""

_MASK: Final = b"\x11\x22\x33\x44"
_TEXT, _PING, _PONG, _CLOSE = 0x1, 0x9, 0xA, 0x8
_ROOM: Final = b"hostile"


class NoAnswer(Exception):
    """The server did not answer in time, or not as it must."""


@attrs.frozen
class Player:
    """Somebody with an account and a chat room, who sends what nobody should."""

    _connect: Connect
    _token: bytes

    @classmethod
    async def register(cls, connect: Connect) -> "Player":
        """Make an account and the room.

        Raises:
            NoAnswer: if the server does not let one.
        """
        email = f"hostile-{secrets.token_hex(8)}@example.com"
        body = {"username": "Mallory", "email": email, "password": secrets.token_urlsafe()}
        head, _ = await _ask(connect, _post(b"/register", body))
        cookie = head.partition(b"auth_token=")[2].partition(b";")[0]
        if not cookie:
            raise NoAnswer(f"cannot register: {head[:200]!r}")
        room = {"id": _ROOM.decode(), "name": "Hostile"}
        await _ask(connect, _post(b"/ws/createRoom", room).replace(TOKEN, cookie))
        return cls(connect, cookie)

    async def play(self, case: Case) -> None:
        """Send a case and wait until the server is done with it.

        Raises:
            NoAnswer: if it does not get so far.
        """
        payload = case.payload().replace(TOKEN, self._token)
        with trio.move_on_after(ANSWER_SECONDS) as scope:
            if case.input.place is Place.HTTP:
                await _ask(self._connect, payload)
            else:
                await self._say(case.input.place, payload)
        if scope.cancelled_caught:
            raise NoAnswer(case.name)

    async def _say(self, place: Place, message: bytes) -> None:
        """Send one message as a member of a room."""
        target = b"/ws?action=CREATE_ROOM&name=Mallory&max_room_capacity=2"
        if place is Place.CHAT:
            target = b"/ws/joinRoom/" + _ROOM
        stream = await self._connect()
        try:
            await stream.send_all(upgrade(target).replace(TOKEN, self._token))
            rest = await _head(stream)
            # Whoever is done with the ping is done with what came before it.
            await stream.send_all(_frame(_TEXT, message) + _frame(_PING, b""))
            await _read_until_pong(stream, rest)
        except trio.BrokenResourceError:
            pass  # closed for what was said, which is an answer
        finally:
            await trio.aclose_forcefully(stream)


def _post(path: bytes, body: dict[str, str]) -> bytes:
    raw = json.dumps(body).encode()
    return (
        b"POST %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer %s\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
    ) % (path, TOKEN, len(raw), raw)


async def _ask(connect: Connect, request: bytes) -> tuple[bytes, bytes]:
    """Send a request and read until the server ends the connection or has upgraded it."""
    stream = await connect()
    received = bytearray()
    try:
        await stream.send_all(request)
        async for more in stream:
            received += more
            if received.startswith(b"HTTP/1.1 101"):
                break
            if b"\r\n\r\n" in received and b"\r\nconnection: close" not in received.lower():
                break
    except trio.BrokenResourceError:
        pass
    finally:
        await trio.aclose_forcefully(stream)
    head, _, body = bytes(received).partition(b"\r\n\r\n")
    return head, body


async def _head(stream: trio.abc.Stream) -> bytes:
    """Read the answer to an upgrade, and give what came behind it."""
    received = bytearray()
    while b"\r\n\r\n" not in received:
        more = await stream.receive_some()
        if not more:
            raise NoAnswer(f"no upgrade: {bytes(received)[:200]!r}")
        received += more
    head, _, rest = bytes(received).partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 101"):
        raise NoAnswer(f"no upgrade: {head[:200]!r}")
    return rest


async def _read_until_pong(stream: trio.abc.Stream, received: bytes) -> None:
    """Read frames up to a pong, a close frame or the end."""
    while True:
        while (size := _frame_size(received)) is not None and len(received) >= size:
            if received[0] & 0xF in (_PONG, _CLOSE):
                return
            received = received[size:]
        more = await stream.receive_some()
        if not more:
            return
        received += more


def _frame_size(data: bytes) -> int | None:
    """Say how long the first frame of a server is, if that is known yet."""
    if len(data) < 2:
        return None
    length = data[1]
    if length < 126:
        return 2 + length
    extra = 2 if length == 126 else 8
    if len(data) < 2 + extra:
        return None
    return 2 + extra + int.from_bytes(data[2 : 2 + extra], "big")


def _frame(opcode: int, payload: bytes) -> bytes:
    size = len(payload)
    if size <= 125:
        head = bytes((0x80 | opcode, 0x80 | size))
    else:
        head = bytes((0x80 | opcode, 0x80 | 126)) + size.to_bytes(2, "big")
    return head + _MASK + unmask(payload, _MASK)
