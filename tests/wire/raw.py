"""A client of bytes: sends what it is told, right or wrong, and takes apart what comes back.

It shares no code with the server. Nothing is answered by itself, not even a close frame, so a
test says all that its client does. Every wait has a deadline, hence a test never hangs.
"""

import base64
import json
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, Self
from urllib.parse import urlencode

import attrs
import trio

from tests.wire.process import Address, Server

PATIENCE: Final = 20.0
"""Seconds for anything that should come at once; long, for machines that are busy."""

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
FIN: Final = 0x80
_MASK: Final = b"\x11\x22\x33\x44"

TYPES: Final = frozenset(
    {
        "CREATE_ROOM",
        "ROOM_JOIN_UPDATES",
        "ROOM_CAPACITY_REACHED",
        "BEGIN_VOTING_PROMPT",
        "ASK_FOR_VOTE",
        "VOTING_COMPLETED",
        "REVEAL_VOTES_PROMPT",
        "VOTES_REVEALED",
        "AWAITING_ADMIN_VOTE_START",
    }
)
"""All that a server may send; the published client exits on any other."""


def frame(
    payload: str | bytes = b"", opcode: int = TEXT, *, first: int | None = None, masked: bool = True
) -> bytes:
    """Make a frame as clients send them; ``first`` replaces its first byte."""
    data = payload.encode() if isinstance(payload, str) else payload
    head = bytes([FIN | opcode if first is None else first])
    bit = 0x80 if masked else 0
    if len(data) <= 125:
        head += bytes([bit | len(data)])
    elif len(data) < 1 << 16:
        head += bytes([bit | 126]) + len(data).to_bytes(2, "big")
    else:
        head += bytes([bit | 127]) + len(data).to_bytes(8, "big")
    if not masked:
        return head + data
    key = (_MASK * (len(data) // 4 + 1))[: len(data)]
    mixed = int.from_bytes(data, "big") ^ int.from_bytes(key, "big")
    return head + _MASK + mixed.to_bytes(len(data), "big")


def event(kind: str, **data: object) -> bytes:
    """Make a frame with an event."""
    return frame(json.dumps({"type": kind, "data": data}))


def close_frame(code: int = 1000, reason: str = "") -> bytes:
    return frame(code.to_bytes(2, "big") + reason.encode(), CLOSE)


@attrs.frozen
class Event:
    type: str
    data: dict[str, Any]


@attrs.frozen
class Closed:
    """The end of a stream: the close frame, if there was one."""

    code: int | None = None
    reason: str = ""


@attrs.frozen
class Answer:
    """To an HTTP request."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@attrs.define
class Raw:
    """One TCP connection."""

    stream: trio.SocketStream
    buffer: bytearray = attrs.Factory(bytearray)

    async def send(self, *pieces: bytes) -> None:
        with trio.fail_after(PATIENCE):
            await self.stream.send_all(b"".join(pieces))

    async def say(self, kind: str, **data: object) -> None:
        await self.send(event(kind, **data))

    def reset(self) -> None:
        """Break the connection off, without a goodbye."""
        self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.stream.socket.close()

    async def read(self) -> bool:
        """Read once; tell whether anything came. A reset counts as an end."""
        try:
            with trio.fail_after(PATIENCE):
                data = await self.stream.receive_some(1 << 16)
        except trio.BrokenResourceError:
            return False
        self.buffer += data
        return bool(data)

    async def rest(self) -> bytes:
        """Read until the server ends the connection."""
        while await self.read():
            pass
        return bytes(self.buffer)

    async def head(self) -> tuple[str, dict[str, str]]:
        """Read the status line and the headers of an answer."""
        while b"\r\n\r\n" not in self.buffer:
            assert await self.read(), bytes(self.buffer)
        head, _, rest = bytes(self.buffer).partition(b"\r\n\r\n")
        self.buffer[:] = rest
        status, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        return status, {name.lower(): value.strip() for name, _, value in pairs}

    async def answer(self) -> Answer:
        """Read an answer with a body of known length."""
        status, headers = await self.head()
        size = int(headers["content-length"])
        while len(self.buffer) < size:
            assert await self.read(), bytes(self.buffer)
        body = bytes(self.buffer[:size])
        del self.buffer[:size]
        return Answer(int(status.split()[1]), headers, body)

    async def frame(self) -> tuple[int, bytes] | None:
        """Read a frame, which must be whole and unmasked; ``None`` at the end of the stream."""
        while (found := self._cut()) is None:
            if not await self.read():
                return None
        return found

    def frames_here(self) -> list[tuple[int, bytes]]:
        """Take the frames that were read already."""
        frames = []
        while (found := self._cut()) is not None:
            frames.append(found)
        return frames

    async def next(self) -> Event | str | Closed:
        """Read the next message; pings and pongs are passed over."""
        while True:
            found = await self.frame()
            if found is None:
                return Closed()
            opcode, payload = found
            if opcode == TEXT:
                return parse(payload)
            if opcode == CLOSE:
                return Closed(int.from_bytes(payload[:2], "big"), payload[2:].decode())
            assert opcode in {PING, PONG}

    async def wait_for(self, kind: str) -> Event:
        """Read up to an event of this type."""
        while True:
            found = await self.next()
            assert not isinstance(found, Closed), found
            if isinstance(found, Event) and found.type == kind:
                return found

    async def wait_for_update(self, message: str) -> None:
        """Read up to this one."""
        while (await self.wait_for("ROOM_JOIN_UPDATES")).data["message"] != message:
            pass

    async def all(self, *, answer: bool = True) -> list[Event | str | Closed]:
        """Read to the end of the stream; a close frame is answered, if ``answer``."""
        found: list[Event | str | Closed] = []
        while True:
            found.append(await self.next())
            last = found[-1]
            if isinstance(last, Closed):
                if last.code is not None:
                    if answer:
                        await self.try_to_send(close_frame(last.code))
                    assert await self.rest() == b"", "there is something behind the close frame"
                return found

    async def try_to_send(self, data: bytes) -> bool:
        """Send to a server that may have gone; tell whether that succeeded."""
        try:
            await self.send(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return False
        return True

    def _cut(self) -> tuple[int, bytes] | None:
        buffer = self.buffer
        if len(buffer) < 2:
            return None
        assert buffer[0] & FIN, "Parley never fragments"
        assert not buffer[0] & 0x70, "a reserved bit is set"
        size, body = buffer[1], 2
        if size > 125:
            assert size < 128, "a server must not mask"
            body = 4 if size == 126 else 10
            if len(buffer) < body:
                return None
            size = int.from_bytes(buffer[2:body], "big")
        if len(buffer) < body + size:
            return None
        found = (buffer[0] & 0x0F, bytes(buffer[body : body + size]))
        del buffer[: body + size]
        return found

    def close(self) -> None:
        """Close the socket; harmless if repeated."""
        self.stream.socket.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()


def parse(payload: bytes) -> Event | str:
    """Read a text as the published client does: a JSON object is an event."""
    text = payload.decode()
    if not text.startswith("{"):
        return text
    message = json.loads(text)
    assert set(message) == {"type", "data"}, text
    assert message["type"] in TYPES, text
    return Event(message["type"], message["data"])


async def connect(server: Address, *, receive_buffer: int | None = None) -> Raw:
    """Open a TCP connection."""
    family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
    sock = trio.socket.socket(family, socket.SOCK_STREAM)
    try:
        if receive_buffer is not None:  # before connecting: it limits the window announced
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        with trio.fail_after(PATIENCE):
            await sock.connect((server.host, server.port))
    except BaseException:
        sock.close()
        raise
    return Raw(trio.SocketStream(sock))


def upgrade(path: str = "/ws", *, query: str = "", **replaced: str | None) -> bytes:
    """Make a request for a WebSocket; headers may be replaced, or with ``None`` left out."""
    headers: dict[str, str | None] = {
        "Host": "parley.test",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        "Sec-WebSocket-Version": "13",
    }
    headers |= {name.replace("_", "-"): value for name, value in replaced.items()}
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    target = f"{path}?{query}" if query else path
    return "\r\n".join([f"GET {target} HTTP/1.1", *lines, "", ""]).encode()


def creating(name: str = "Ada", capacity: object = 2) -> bytes:
    """Make the request that opens a room."""
    wish = {"action": "CREATE_ROOM", "name": name, "max_room_capacity": capacity}
    return upgrade(query=urlencode(wish))


def joining(room_id: str, name: str) -> bytes:
    """Make the request that enters a room."""
    return upgrade(query=urlencode({"action": "JOIN_ROOM", "name": name, "room_id": room_id}))


async def open_websocket(
    server: Address, request: bytes, *, receive_buffer: int | None = None
) -> Raw:
    """Connect and shake hands."""
    raw = await connect(server, receive_buffer=receive_buffer)
    try:
        await raw.send(request)
        status, _ = await raw.head()
        assert status.startswith("HTTP/1.1 101 "), status
    except BaseException:
        raw.close()
        raise
    return raw


@attrs.define
class Room:
    """A room with its members, the admin first; all have announced themselves."""

    room_id: str
    members: list[Raw]

    @property
    def admin(self) -> Raw:
        return self.members[0]

    @property
    def others(self) -> list[Raw]:
        return self.members[1:]


async def create(server: Address, name: str = "Ada", capacity: int = 2) -> tuple[Raw, str]:
    """Open a room; gives the admin, who has not announced itself, and the room's id."""
    admin = await open_websocket(server, creating(name, capacity))
    created = await admin.next()
    assert isinstance(created, Event)
    assert created.type == "CREATE_ROOM"
    return admin, created.data["room_id"]


async def join(
    server: Address, room_id: str, name: str, *, receive_buffer: int | None = None
) -> Raw:
    """Enter a room and announce oneself; gives up what is said about that."""
    member = await open_websocket(server, joining(room_id, name), receive_buffer=receive_buffer)
    await member.say("JOIN_ROOM", room_id=room_id)
    await member.wait_for_update(f"{name} has joined the room")
    return member


@asynccontextmanager
async def full_room(server: Address, size: int, capacity: int | None = None) -> AsyncIterator[Room]:
    """Fill a room; nothing that was said so far is left to be read.

    With a ``capacity`` some seats stay free. In the end all connections are closed.
    """
    admin, room_id = await create(server, "Admin", capacity or size)
    room = Room(room_id, [admin])
    try:
        await admin.say("JOIN_ROOM", room_id=room_id)
        await admin.wait_for_update("Admin (admin) has joined the room")
        for number in range(1, size):
            name = f"Member {number}"
            newcomer = await join(server, room_id, name)
            for member in room.members:
                await member.wait_for_update(f"{name} has joined the room")
            room.members.append(newcomer)
        if capacity is None:
            for member in room.members:
                await member.wait_for("ROOM_CAPACITY_REACHED")
            await admin.wait_for("BEGIN_VOTING_PROMPT")
        yield room
    finally:
        for member in room.members:
            member.close()


async def fetch(server: Address, target: str) -> Answer:
    """Get something by HTTP, on a connection of its own."""
    async with await connect(server) as raw:
        request = f"GET {target} HTTP/1.1\r\nHost: parley.test\r\nConnection: close\r\n\r\n"
        await raw.send(request.encode())
        answer = await raw.answer()
        assert await raw.rest() == b""
        return answer


async def metrics(server: Address) -> dict[str, float]:
    """Read the server's own metrics, named as in its code, those by cause ``closed_too_slow``."""
    text = (await fetch(server, "/metrics")).body.decode()
    found = {}
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        name, _, label = name.removesuffix('"}').partition('{cause="')
        if name.startswith("parley_") and "{" not in name:
            name = name.removeprefix("parley_").removesuffix("_total")
            found[f"{name}_{label}" if label else name] = float(value)
    return found


async def wait_until(condition: Callable[[], bool]) -> None:
    """Look until it holds: from outside nothing else tells when that is so."""
    with trio.fail_after(PATIENCE):
        while True:
            await trio.sleep(0.02)
            if condition():
                return


async def wait_for_metrics(server: Address, **wanted: float) -> dict[str, float]:
    """Look until the metrics are as wanted."""
    found: dict[str, float] = {}
    with trio.move_on_after(PATIENCE):
        while True:
            found = await metrics(server)
            if found.items() >= wanted.items():
                return found
            await trio.sleep(0.02)
    raise AssertionError({name: found.get(name) for name in wanted}, wanted)


EMPTY: Final = {
    "rooms_current": 0,
    "members_current": 0,
    "websockets_current": 0,
    "connections_current": 1,  # the one that asks
}
"""Metrics of a server without visitors."""


async def works(server: Server) -> None:
    """Make sure that the server still serves: a session of two members and one ticket."""
    async with full_room(server, 2) as room:
        await room.admin.say("BEGIN_VOTING", ticket_id="T")
        for member in room.members:
            await member.wait_for("ASK_FOR_VOTE")
            await member.say("MEMBER_VOTED", ticket_id="T", vote="3")
        await room.admin.wait_for("REVEAL_VOTES_PROMPT")
        await room.admin.say("REVEAL_VOTES", ticket_id="T")
        for member in room.members:
            revealed = await member.wait_for("VOTES_REVEALED")
            votes = revealed.data["client_vote_choice_map"].values()
            assert [vote["Value"] for vote in votes] == ["3", "3"]
    assert not server.trouble()
