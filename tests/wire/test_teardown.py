"""The end of a large room: everybody is told, the id is gone at once, and nothing is left.

Each test leaves its server as it was before the room, by every measure that there is.
"""

import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
import trio
import trio.testing

from server.admission.session import Session
from server.edge.websocket import WebSocket
from server.rooms.room import Room as ServerRoom
from server.support.limits import Limits
from tests.wire.here import census, serving_here
from tests.wire.process import Address, Server, launched, running
from tests.wire.raw import (
    CLOSE,
    EMPTY,
    PATIENCE,
    TEXT,
    Closed,
    Event,
    Raw,
    close_frame,
    connect,
    create,
    event,
    joining,
    metrics,
    open_websocket,
    parse,
    wait_for_metrics,
    wait_until,
    works,
)

SEATS = 500
CLOSE_SECONDS = 1.0
SLACK_SECONDS = 8.0
"""For the work itself, under coverage and on a busy machine."""

OPTIONS = (
    "--close-seconds", f"{CLOSE_SECONDS:g}",
    # Who does not read must still be there when the room ends.
    "--write-seconds", "60",
    "--first-request-seconds", "30",
    "--announce-seconds", "60",
)  # fmt: skip


@pytest.fixture(scope="module")
def hall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("hall") / "log", *OPTIONS) as one:
        yield one


@attrs.define
class Guest:
    """A member that reads all it is told, and keeps the last of it."""

    raw: Raw
    last: bytes = b""
    texts: int = 0
    end: Closed | None = None
    told: trio.Event = attrs.Factory(trio.Event)
    """The end has come."""

    async def run(self) -> None:
        """Read to the end of the stream; a close frame is answered."""
        ended = False
        while not ended:
            ended = not await self.raw.read()
            for opcode, payload in self.raw.frames_here():
                assert self.end is None, "there is something behind the close frame"
                if opcode == TEXT:
                    self.last = payload
                    self.texts += 1
                elif opcode == CLOSE:
                    self.end = Closed(int.from_bytes(payload[:2], "big"), payload[2:].decode())
                    self.told.set()
                    await self.raw.try_to_send(close_frame(self.end.code or 1000))
        self.told.set()

    async def wait_until_told(self) -> None:
        with trio.fail_after(CLOSE_SECONDS + PATIENCE):
            await self.told.wait()

    def assert_told(self) -> None:
        """It must have been told, in words and by a close frame, that the room is gone."""
        assert self.end is not None, self.last
        assert self.end.code == 1001
        assert self.end.reason
        message = parse(self.last)
        assert isinstance(message, Event)
        assert message.type == "ROOM_JOIN_UPDATES"
        assert self.end.reason in message.data["message"]


@attrs.define
class Hall:
    """A room with many in it, and all the connections to it."""

    server: Address
    room_id: str
    admin: Raw
    nursery: trio.Nursery
    guests: list[Guest] = attrs.Factory(list)
    others: list[Raw] = attrs.Factory(list)
    _throttle: trio.CapacityLimiter = attrs.Factory(lambda: trio.CapacityLimiter(50))

    async def admit(self, count: int, *, announced: bool = True) -> None:
        """Let guests in, many at a time; returns once all are connected."""
        async with trio.open_nursery() as arriving:
            for number in range(count):
                arriving.start_soon(self._admit, f"Guest {number}", announced)

    async def _admit(self, name: str, announced: bool) -> None:
        async with self._throttle:
            raw = await open_websocket(self.server, joining(self.room_id, name))
        guest = Guest(raw)
        self.guests.append(guest)
        self.others.append(raw)
        if announced:
            await raw.say("JOIN_ROOM", room_id=self.room_id)
        self.nursery.start_soon(guest.run)

    async def is_refused(self) -> None:
        """Nobody can come any more: the upgrade is accepted, one text, closed with 1000."""
        raw = await open_websocket(self.server, joining(self.room_id, "Late"))
        self.others.append(raw)
        await assert_refused(raw, self.room_id)


async def assert_refused(raw: Raw, room_id: str) -> None:
    text, end = await raw.all()
    assert isinstance(text, str)
    assert text.startswith("! ")
    assert room_id in text
    assert isinstance(end, Closed)
    assert end.code == 1000


@asynccontextmanager
async def gathered(server: Address, capacity: int = SEATS) -> AsyncIterator[Hall]:
    """Open a room; the admin has joined it."""
    admin, room_id = await create(server, "Admin", capacity)
    async with trio.open_nursery() as nursery:
        hall = Hall(server, room_id, admin, nursery)
        try:
            await admin.say("JOIN_ROOM", room_id=room_id)
            yield hall
        finally:
            for raw in (admin, *hall.others):
                raw.close()
            nursery.cancel_scope.cancel()


async def all_told(hall: Hall) -> None:
    for guest in hall.guests:
        await guest.wait_until_told()
    for guest in hall.guests:
        guest.assert_told()


async def nothing_left(server: Server, descriptors: int, since: float) -> dict[str, float]:
    """The process is as it was before, within the time that the settings allow."""
    found = await wait_for_metrics(server, **EMPTY)
    assert time.monotonic() - since < CLOSE_SECONDS + SLACK_SECONDS
    # The connection that asked for the metrics is still being closed.
    await wait_until(lambda: server.descriptors() == descriptors)
    return found


async def settled_descriptors(server: Server) -> int:
    """Count the descriptors of a server without visitors."""
    await wait_for_metrics(server, **EMPTY)
    count = server.descriptors()
    with trio.fail_after(PATIENCE):
        while True:
            await trio.sleep(0.05)
            count, before = server.descriptors(), count
            if count == before:
                return count


async def test_a_room_of_500_is_gone_when_its_admin_says_goodbye(hall: Server) -> None:
    before = await settled_descriptors(hall)
    async with gathered(hall) as room:
        await room.admit(SEATS - 1)
        await room.admin.wait_for("BEGIN_VOTING_PROMPT")
        assert (await metrics(hall))["members_current"] == SEATS
        begin = time.monotonic()
        await room.admin.send(close_frame(1000, "bye"))
        await room.guests[0].wait_until_told()
        await room.is_refused()
        *_, end = await room.admin.all(answer=False)
        assert isinstance(end, Closed)
        assert end.code == 1000
        await all_told(room)
        found = await nothing_left(hall, before, begin)
    assert found["rooms_crashed"] == 0
    assert found["closed_unanswered"] == 0
    await works(hall)


async def test_a_room_of_500_is_gone_when_its_admins_socket_is_reset(hall: Server) -> None:
    before = await settled_descriptors(hall)
    async with gathered(hall) as room:
        await room.admit(SEATS - 1)
        await room.admin.wait_for("BEGIN_VOTING_PROMPT")
        begin = time.monotonic()
        room.admin.reset()
        await room.guests[-1].wait_until_told()
        await room.is_refused()
        await all_told(room)
        await nothing_left(hall, before, begin)
    await works(hall)


def unsent_by(server: Server, client: Raw) -> int:
    """Look up how many bytes the system has not got rid of towards a client."""
    wanted = (server.port, client.stream.socket.getsockname()[1])
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, _, queues, *_ = line.split()
        if wanted == (int(local.split(":")[1], 16), int(remote.split(":")[1], 16)):
            return int(queues.split(":")[0], 16)
    return 0


@pytest.mark.parametrize("polite", [True, False])
async def test_members_that_do_not_read_hold_up_nobody(hall: Server, polite: bool) -> None:
    deaf = 50
    before = await settled_descriptors(hall)
    earlier = (await metrics(hall))["closed_unanswered"]
    async with gathered(hall) as room:
        for number in range(deaf):
            raw = await open_websocket(
                hall, joining(room.room_id, f"Deaf {number}"), receive_buffer=2048
            )
            room.others.append(raw)
            await raw.say("JOIN_ROOM", room_id=room.room_id)
        sleepers = list(room.others)
        await room.admit(SEATS - 1 - deaf)
        await room.admin.wait_for("BEGIN_VOTING_PROMPT")
        ticket = "T" * 100
        await room.admin.say("BEGIN_VOTING", ticket_id=ticket)
        await room.admin.wait_for("ASK_FOR_VOTE")
        for guest in room.guests[:50]:
            await guest.raw.say("MEMBER_VOTED", ticket_id=ticket, vote="3")
        await room.admin.say("REVEAL_VOTES", ticket_id=ticket)
        await room.admin.wait_for("BEGIN_VOTING_PROMPT")
        assert all(unsent_by(hall, raw) > 0 for raw in sleepers)
        begin = time.monotonic()
        if polite:
            await room.admin.send(close_frame())
        else:
            room.admin.reset()
        await room.guests[0].wait_until_told()
        await room.is_refused()
        await all_told(room)
        found = await nothing_left(hall, before, begin)
        assert found["closed_unanswered"] == earlier + deaf
        for raw in sleepers:
            await raw.rest()  # comes to an end
    await works(hall)


async def test_a_room_may_end_in_the_middle_of_joining(hall: Server) -> None:
    before = await settled_descriptors(hall)
    async with gathered(hall) as room:
        await room.admit(150)
        await room.admit(100, announced=False)
        silent = [await connect(hall) for _ in range(50)]
        room.others += silent
        request = joining(room.room_id, "Slow")
        halves = [await connect(hall) for _ in range(50)]
        room.others += halves
        for raw in halves:
            await raw.send(request[:60])
        hasty = [await connect(hall) for _ in range(100)]
        room.others += hasty
        await wait_for_metrics(hall, members_current=251, connections_current=452)

        begin = time.monotonic()
        for raw in hasty[:50]:
            await raw.send(request + event("JOIN_ROOM", room_id=room.room_id))
        room.admin.reset()
        for raw in hasty[50:]:
            await raw.send(request + event("JOIN_ROOM", room_id=room.room_id))

        await all_told(room)
        await room.is_refused()
        for raw in hasty:  # they were in time, or too late
            status, _ = await raw.head()
            assert status.startswith("HTTP/1.1 101 ")
            *_, last, end = await raw.all()
            assert isinstance(end, Closed)
            if end.code == 1000:
                assert isinstance(last, str)
                assert last.startswith("! ")
            else:
                assert end.code == 1001
        for raw in halves:
            await raw.send(request[60:])
        for raw in silent:
            await raw.send(request)
        for raw in (*halves, *silent):
            status, _ = await raw.head()
            assert status.startswith("HTTP/1.1 101 ")
            await assert_refused(raw, room.room_id)
        await nothing_left(hall, before, begin)
    await works(hall)


async def test_a_signal_at_the_same_moment_changes_nothing_for_the_members(
    tmp_path: Path,
) -> None:
    with launched(tmp_path / "log", *OPTIONS) as server:
        async with gathered(server) as room:
            await room.admit(SEATS - 1)
            await room.admin.wait_for("BEGIN_VOTING_PROMPT")
            half = await connect(server)
            silent = await connect(server)
            room.others += [half, silent]
            await half.send(b"GET /ws?act")
            await wait_for_metrics(server, connections_current=SEATS + 3)
            begin = time.monotonic()
            room.admin.reset()
            server.send_signal(signal.SIGTERM)
            await all_told(room)
            with trio.fail_after(PATIENCE):
                assert await trio.to_thread.run_sync(server.exit_code) == 0
            assert time.monotonic() - begin < CLOSE_SECONDS + SLACK_SECONDS
            for raw in (half, silent):
                await raw.rest()
        assert not server.trouble()


KINDS = (
    ServerRoom,
    Session,
    WebSocket,
    trio.MemorySendChannel,
    trio.MemoryReceiveChannel,
    trio.SocketStream,
)


async def test_no_task_no_channel_and_no_object_of_the_room_is_left(tmp_path: Path) -> None:
    limits = Limits(close_seconds=CLOSE_SECONDS)
    async with serving_here(tmp_path, limits) as server:
        await wait_for_metrics(server, **EMPTY)
        await trio.testing.wait_all_tasks_blocked(0.01)
        tasks = trio.lowlevel.current_statistics().tasks_living
        before = census(KINDS)
        assert before["Room"] == before["Session"] == before["WebSocket"] == 0

        async with gathered(server) as room:
            await room.admit(SEATS - 1)
            await room.admin.wait_for("BEGIN_VOTING_PROMPT")
            during = census(KINDS)
            assert during["Room"] == 1
            assert during["Session"] == during["WebSocket"] == SEATS
            assert trio.lowlevel.current_statistics().tasks_living > tasks + SEATS
            room.admin.reset()
            await all_told(room)
        room.guests.clear()
        room.others.clear()
        del room
        await wait_for_metrics(server, **EMPTY)
        await wait_until(lambda: trio.lowlevel.current_statistics().tasks_living == tasks)
        assert census(KINDS) == before
