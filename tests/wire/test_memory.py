"""What people can bring about takes as much memory as server/README.md says, within 20 %.

The numbers are read from the table there, and worked out for the limits that the server was started
with. One attack follows another, and all stay: each must take what its rows say, and all together.
"""

import re
import resource
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Final

import attrs
import pytest

from server.settings.options import OPTIONS
from server.support.limits import Limits
from tests.wire.memory_table import BOUND, MEASURED, Row, evaluate, rows
from tests.wire.process import Server, running
from tests.wire.raw import (
    create,
    creating,
    event,
    fetch,
    frame,
    joining,
    open_websocket,
    wait_for_metrics,
    works,
)

_LONG: Final = 600.0
_CHANGED: Final[dict[str, float]] = {
    "connections": 6000,
    "first_request_seconds": _LONG,
    "announce_seconds": _LONG,
    "heartbeat_seconds": _LONG,
    "write_seconds": _LONG,
    "frame_burst": 100_000,
    "inbound_rate": 1_000_000.0,
    "inbound_burst": 1_000_000,
    "room_rate": 1 << 30,
    "strikes": 1000,
    "strike_seconds": 0.001,
}
"""So that what is filled stays, and fills quickly; the bounds that take memory are the defaults."""

_DESCRIPTORS: Final = 6000

SILENT, HEADS, LONE_ROOMS, FULL_ROOMS, SEATS, SLOW, STUCK = 2000, 400, 500, 20, 50, 100, 12

SILENT_ROW: Final = "silent connection, on the porch"
HEAD_ROW: Final = "connection with an open head, on the porch"
PLACE_ROW: Final = "place of a connection without a seat"
SOURCE_ROW: Final = "source that has connections"
FOUND_ROW: Final = "source worked out before"
KEY_ROW: Final = (
    "throttle keys: eight of logins and registrations, one of connections, one of look-ups"
)
MEMBER_ROW: Final = "idle member"
ROOM_ROW: Final = "room: task, rules, inbox, record of its results"
OUTBOX_ROW: Final = "… that does not read: its outbox"
GUEST_ROW: Final = "… that has sent a slow frame: trio-websocket"
MESSAGE_ROW: Final = "… its unfinished message"

FRAGMENT: Final = "a" * 27 + "\U0001f600"
"""Kept in four bytes for each character, for the sake of the last."""

REFUSED: Final = frame('{"type": "JOIN_ROOM", "data": {}, "%s": 1}' % ("\U0001f600" * 100))

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"),
    reason="only Linux tells a process's private memory (smaps_rollup), and has all of 127/8",
)


def private_bytes(pid: int) -> int:
    """Read the private memory, of which file pages, that come and go, are no part."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(r"^Anonymous:\s+(\d+) kB", text, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, enough), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@attrs.define
class Attack:
    """Everything that is open, and how much it is expected to take."""

    server: Server
    limits: Limits
    table: dict[str, Row] = attrs.Factory(rows)
    open: list[socket.socket] = attrs.Factory(list)
    kept: list[object] = attrs.Factory(list)
    members: int = 0

    def dial(self, data: bytes = b"", source: str = "127.0.0.1") -> socket.socket:
        sock = socket.socket()
        self.open.append(sock)
        sock.bind((source, 0))
        sock.connect((self.server.host, self.server.port))
        sock.sendall(data)
        return sock

    def sit_down(self, room_id: str, name: str) -> socket.socket:
        self.members += 1
        return self.dial(joining(room_id, name) + event("JOIN_ROOM", room_id=room_id))

    async def open_room(self) -> str:
        admin, room_id = await create(self.server, "Ada", 200)
        self.kept.append(admin)
        await admin.say("JOIN_ROOM", room_id=room_id)
        self.members += 1
        return room_id

    async def seated(self) -> None:
        await wait_for_metrics(self.server, members_current=self.members)

    def range_of(self, counts: dict[str, float]) -> tuple[float, float]:
        """Work out what so many of these rows take: at least, and at most.

        Only what was measured has been reached, while a bound need not be.
        """
        least = most = 0.0
        for what, many in counts.items():
            row = self.table[what]
            size = many * row.bytes_each(self.limits)
            most += size
            least += size if row.kind == MEASURED else 0.0
        return least, most

    async def silent(self) -> dict[str, float]:
        """Silent connections, each from an address of its own."""
        for number in range(SILENT):
            self.dial(source=f"127.1.{number // 100}.{number % 100 + 1}")
        await wait_for_metrics(self.server, connections_current=SILENT + 1)
        return dict.fromkeys((SILENT_ROW, PLACE_ROW, SOURCE_ROW, FOUND_ROW, KEY_ROW), SILENT)

    async def heads(self) -> dict[str, float]:
        """Heads that lack nothing but their end, sent in pieces."""
        peers = [self.dial(b"GET / HTTP/1.1\r\nX:") for _ in range(HEADS)]
        for _ in range(4):
            for peer in peers:
                peer.sendall(b"a" * (self.limits.head_bytes // 4 - 10))
            await fetch(self.server, "/health")
        return {HEAD_ROW: HEADS, PLACE_ROW: HEADS}

    async def lone_rooms(self) -> dict[str, float]:
        """Rooms with nobody but their admin."""
        for _ in range(LONE_ROOMS):
            await self.open_room()
        await self.seated()
        return {ROOM_ROW: LONE_ROOMS, MEMBER_ROW: LONE_ROOMS}

    async def full_rooms(self) -> dict[str, float]:
        """Rooms full of idle members."""
        for _ in range(FULL_ROOMS):
            room_id = await self.open_room()
            for number in range(1, SEATS):
                self.sit_down(room_id, f"P{number}")
            await self.seated()
        return {ROOM_ROW: FULL_ROOMS, MEMBER_ROW: FULL_ROOMS * SEATS}

    async def slow_messages(self) -> dict[str, float]:
        """Members in the middle of a message of as many fragments as there may be."""
        room_id = await self.open_room()
        peers = [self.sit_down(room_id, f"P{number}") for number in range(SLOW)]
        await self.seated()
        pieces = self.limits.message_fragments - 1
        for start in range(0, pieces, 50):
            for peer in peers:
                peer.sendall(
                    b"".join(
                        frame(FRAGMENT, first=0x00 if number else 0x01)
                        for number in range(start, min(start + 50, pieces))
                    )
                )
            await fetch(self.server, "/health")
        return {ROOM_ROW: 1, MEMBER_ROW: SLOW + 1, GUEST_ROW: SLOW, MESSAGE_ROW: SLOW}

    async def stuck(self) -> dict[str, float]:
        """Members that are told much and read nothing, each in a room of its own."""
        fill, push = 0.85, 256  # what an outbox counts for each push beside its bytes
        async with await open_websocket(self.server, creating()) as probe:
            await probe.wait_for("CREATE_ROOM")
            await probe.send(REFUSED)
            answer = await probe.next()
            assert isinstance(answer, str)
        count = int(fill * self.limits.outbox_bytes / (len(answer.encode()) + push))
        await self.seated()
        for _ in range(STUCK):
            peer = await open_websocket(self.server, creating(), receive_buffer=2048)
            self.kept.append(peer)
            for start in range(0, count, 100):
                await peer.send(REFUSED * min(100, count - start))
        await wait_for_metrics(self.server, messages_refused=STUCK * count + 1, closed_too_slow=0)
        return {ROOM_ROW: STUCK, MEMBER_ROW: STUCK, OUTBOX_ROW: STUCK * fill}

    def close(self) -> None:
        for sock in self.open:
            sock.close()
        for peer in self.kept:
            peer.close()  # type: ignore[attr-defined]


def test_every_row_says_what_it_takes() -> None:
    limits = Limits()
    for row in rows().values():
        assert row.bytes_each(limits) > 0, row
        assert row.kind in {MEASURED, BOUND}, row


@pytest.mark.parametrize("text", ["", "many", "1 +", "__import__('os')", "2 ** 9", "rooms.real"])
def test_what_is_no_expression_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no expression|not allowed"):
        evaluate(text, Limits())


async def test_attacks_take_as_much_memory_as_is_documented(
    tmp_path: Path, many_descriptors: None
) -> None:
    limits = attrs.evolve(Limits(), **_CHANGED)  # type: ignore[arg-type]
    options = [
        text
        for option in OPTIONS
        if option.field in _CHANGED
        for text in (option.flag, str(_CHANGED[option.field]))
    ]
    with running(tmp_path / "log", *options) as server:
        await works(server)
        attack = Attack(server, limits)
        steps: list[Callable[[], Awaitable[dict[str, float]]]] = [
            attack.silent,
            attack.heads,
            attack.lone_rooms,
            attack.full_rooms,
            attack.slow_messages,
            attack.stuck,
        ]
        first = private_bytes(server.pid)
        all_least = all_most = 0.0
        # Each attack upon those before it: what one takes alone, the allocator may still have left
        # of the one before, or round up.
        found: list[tuple[str, float, float, float]] = []
        try:
            for step in steps:
                least, most = attack.range_of(await step())
                all_least, all_most = all_least + least, all_most + most
                taken = private_bytes(server.pid) - first
                found.append((step.__name__, all_least, taken, all_most))
        finally:
            attack.close()
    wrong = [each for each in found if not 0.8 * each[1] <= each[2] <= 1.2 * each[3]]
    assert not wrong, found
