"""The end of a large room whose members outlive their connections, whatever each is about to do.

Some are connected, some in their grace, some in the middle of coming back: with an open WebSocket
and no hello, with half a hello, and with one that is sent at the very moment of the end.
"""

import json
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from server.admission.link import ParleyLink
from server.edge.websocket import WebSocket
from server.rooms.member import LastingMember
from server.rooms.room import Room as ServerRoom
from server.rooms.speech import Speech
from server.support.limits import Limits
from tests.wire.here import census, serving_here
from tests.wire.process import Address, Server, launched, running
from tests.wire.raw import (
    CLOSE,
    EMPTY,
    PATIENCE,
    TEXT,
    Raw,
    close_frame,
    connect,
    frame,
    metrics,
    open_websocket,
    upgrade,
    wait_for_metrics,
    wait_until,
    works,
)

SEATS = 500
AWAY = 100
WORDLESS, HALVES, HASTY = 30, 30, 60
CLOSE_SECONDS = 1.0
SLACK_SECONDS = 8.0
"""For the work itself, under coverage and on a busy machine."""

OPTIONS = ("--close-seconds", f"{CLOSE_SECONDS:g}", "--write-seconds", "60")


@pytest.fixture(scope="module")
def hall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("lasting") / "log", *OPTIONS) as one:
        yield one


@attrs.define
class Guest:
    """A member, which reads all that it is told and answers a close frame."""

    raw: Raw
    token: str = ""
    epoch: str = ""
    last: dict[str, Any] = attrs.Factory(dict)
    seq: int = 0
    code: int | None = None
    told: trio.Event = attrs.Factory(trio.Event)
    """The end has come."""
    _sending: trio.Lock = attrs.Factory(trio.Lock)

    async def say(self, kind: str, **fields: object) -> None:
        await self.send(frame(json.dumps({"type": kind, **fields})))

    async def send(self, data: bytes) -> None:
        """Send to a server that may have gone."""
        async with self._sending:
            await self.raw.try_to_send(data)

    async def come_back(self, guest: "Guest", length: int | None = None) -> None:
        """Say who it has been before, or begin to."""
        self.seq = guest.seq
        await self.send(guest.resume[:length])

    async def run(self) -> None:
        """Read to the end of the stream, whoever ends it."""
        with suppress(trio.ClosedResourceError):
            await self._read()
        self.told.set()

    async def _read(self) -> None:
        while await self.raw.read():
            for opcode, payload in self.raw.frames_here():
                assert self.code is None, "there is something behind the close frame"
                if opcode == TEXT:
                    self._hear(json.loads(payload))
                elif opcode == CLOSE:
                    self.code = int.from_bytes(payload[:2], "big")
                    self.told.set()
                    await self.send(close_frame(self.code))

    def _hear(self, message: dict[str, Any]) -> None:
        self.last = message
        if message["type"] == "welcome":
            self.token, self.epoch = message["token"], message["epoch"]
        elif message["type"] == "snapshot":
            self.seq = message["picture"]["seq"]
        elif message["type"] not in {"ack", "saved"} and "seq" in message:
            assert message["seq"] == self.seq + 1
            self.seq = message["seq"]

    async def wait_until_told(self) -> None:
        with trio.fail_after(CLOSE_SECONDS + PATIENCE):
            await self.told.wait()

    def welcomed(self) -> bool:
        return bool(self.token)

    @property
    def resume(self) -> bytes:
        """The hello by which it comes back."""
        shown = {"token": self.token, "epoch": self.epoch, "seq": self.seq}
        return frame(json.dumps({"type": "hello", "resume": shown}))


@attrs.define
class Hall:
    """A room with many in it, and all the connections to it."""

    server: Address
    room_id: str
    owner_key: str
    nursery: trio.Nursery
    owner: Guest = attrs.field(init=False)
    guests: list[Guest] = attrs.Factory(list)
    others: list[Raw] = attrs.Factory(list)
    _throttle: trio.CapacityLimiter = attrs.Factory(lambda: trio.CapacityLimiter(50))

    async def open(self) -> Raw:
        raw = await open_websocket(
            self.server,
            upgrade(f"/v1/rooms/{self.room_id}", Sec_WebSocket_Protocol="parley.v1"),
        )
        self.others.append(raw)
        return raw

    async def enter(self, **hello: object) -> Guest:
        guest = Guest(await self.open())
        self.nursery.start_soon(guest.run)
        await guest.say("hello", **hello)
        await wait_until(lambda: bool(guest.last))
        assert guest.token, guest.last
        return guest

    async def admit(self, count: int) -> list[Guest]:
        """Let guests in, many at a time."""
        admitted: list[Guest] = []

        async def admit(number: int) -> None:
            async with self._throttle:
                admitted.append(await self.enter(name=f"Guest {number}"))

        async with trio.open_nursery() as arriving:
            for number in range(count):
                arriving.start_soon(admit, len(self.guests) + number)
        self.guests += admitted
        return admitted

    async def lose(self, guests: list[Guest]) -> None:
        """Let guests lose their connections; each does so in a way of its own."""
        for number, guest in enumerate(guests):
            if number % 2:
                guest.raw.reset()
            else:
                await guest.send(close_frame())
        await wait_until(lambda: all(guest.told.is_set() for guest in guests))
        connected = [each for each in (*self.guests, self.owner) if not each.told.is_set()]
        await wait_for_metrics(self.server, websockets_current=len(connected))

    async def bring_back(self, guests: list[Guest]) -> None:
        """Let guests come back, each by a new connection."""
        for guest in guests:
            late = Guest(await self.open())
            self.nursery.start_soon(late.run)
            await late.come_back(guest)
            await wait_until(late.welcomed)

    async def refusal(self, guest: Guest) -> tuple[str, int | None]:
        """Come back too late."""
        late = Guest(await self.open())
        self.nursery.start_soon(late.run)
        await late.come_back(guest)
        await late.wait_until_told()
        return late.last["reason"], late.code


@asynccontextmanager
async def gathered(server: Address, *, grace: int = 600) -> AsyncIterator[Hall]:
    """Open a room, whose owner has come."""
    async with await connect(server) as raw:
        body = json.dumps({"capacity": SEATS, "grace_seconds": grace})
        await raw.send(
            (
                "POST /v1/rooms HTTP/1.1\r\nHost: parley.test\r\nConnection: close\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
            ).encode()
        )
        answer = await raw.answer()
        assert answer.status == 201, answer.body
        opened = answer.json
    async with trio.open_nursery() as nursery:
        hall = Hall(server, opened["id"], opened["owner_key"], nursery)
        try:
            hall.owner = await hall.enter(name="Owner", owner_key=hall.owner_key)
            yield hall
        finally:
            for raw in hall.others:
                raw.close()
            nursery.cancel_scope.cancel()


async def nothing_left(server: Server, descriptors: int, since: float) -> None:
    """The process is as it was before, within the time that the settings allow."""
    await wait_for_metrics(server, **EMPTY)
    assert time.monotonic() - since < CLOSE_SECONDS + SLACK_SECONDS
    await wait_until(lambda: server.descriptors() == descriptors)


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


@pytest.mark.parametrize("way", ["close", "leave", "delete", "grace"])
async def test_a_room_of_500_is_gone_with_its_owner_whatever_the_others_do(
    hall: Server, way: str
) -> None:
    before = await settled_descriptors(hall)
    async with gathered(hall, grace=8 if way == "grace" else 600) as room:
        guests = await room.admit(SEATS - 1)
        away, connected = guests[:AWAY], guests[AWAY:]
        if way == "grace":  # the owner's is over first
            await room.lose([room.owner])
        await room.lose(away)
        assert (await metrics(hall))["members_current"] == SEATS
        wordless = [Guest(await room.open()) for _ in range(WORDLESS)]
        halves = [Guest(await room.open()) for _ in range(HALVES)]
        hasty = [Guest(await room.open()) for _ in range(HASTY)]
        for late in (*wordless, *halves, *hasty):
            room.nursery.start_soon(late.run)
        coming = iter(away)
        for late in halves:
            await late.come_back(next(coming), 40)
        back = [(late, next(coming)) for late in hasty]

        for late, guest in back[: HASTY // 2]:
            await late.come_back(guest)
        begin = time.monotonic()
        if way == "close":
            await room.owner.say("close", ref=1)
        elif way == "leave":
            await room.owner.say("leave", ref=1)
        elif way == "delete":
            async with await connect(hall) as raw:
                await raw.send(
                    (
                        f"DELETE /v1/rooms/{room.room_id} HTTP/1.1\r\nHost: parley.test\r\n"
                        f"Authorization: Bearer {room.owner_key}\r\nConnection: close\r\n\r\n"
                    ).encode()
                )
                assert (await raw.head())[0].startswith("HTTP/1.1 204 ")
        for late, guest in back[HASTY // 2 :]:
            await late.come_back(guest)

        staying = connected if way == "grace" else [*connected, room.owner]
        for guest in staying:
            await guest.wait_until_told()
        begin = max(begin, time.monotonic() - CLOSE_SECONDS)
        assert {guest.code for guest in staying} == {4500}
        assert {guest.last["reason"] for guest in staying} == {"room_ended"}
        assert {guest.last["room_survives"] for guest in staying} == {False}
        assert await room.refusal(away[0]) == ("no_such_room", 4504)
        for late, _ in back:  # they were in time, or too late
            await late.wait_until_told()
            assert (late.last["reason"], late.code) in {
                ("room_ended", 4500),
                ("no_such_room", 4504),
            }
        for late in (*wordless, *halves):
            late.raw.close()
        await nothing_left(hall, before, begin)
    await works(hall)


async def test_members_that_do_not_read_hold_up_nobody(hall: Server) -> None:
    before = await settled_descriptors(hall)
    async with gathered(hall) as room:
        guests = await room.admit(SEATS - 51)
        deaf = []
        for number in range(50):
            raw = await room.open()
            await raw.send(frame(json.dumps({"type": "hello", "name": f"Deaf {number}"})))
            deaf.append(raw)
        await wait_for_metrics(hall, members_current=SEATS)
        earlier = (await metrics(hall))["closed_unanswered"]
        begin = time.monotonic()
        await room.owner.say("close", ref=1)
        for guest in guests:
            await guest.wait_until_told()
        assert {guest.code for guest in guests} == {4500}
        await nothing_left(hall, before, begin)
        assert (await metrics(hall))["closed_unanswered"] == earlier + len(deaf)
        for raw in deaf:
            await raw.rest()  # comes to an end
    await works(hall)


async def test_a_signal_parks_the_room_for_everybody(tmp_path: Path) -> None:
    with launched(tmp_path / "log", *OPTIONS) as server:
        async with gathered(server) as room:
            guests = await room.admit(SEATS - 1)
            away, connected = guests[:AWAY], guests[AWAY:]
            await room.lose(away)
            coming = [Guest(await room.open()) for _ in range(HASTY)]
            for number, late in enumerate(coming):
                room.nursery.start_soon(late.run)
                await late.come_back(away[number], 40 if number % 2 else None)
            begin = time.monotonic()
            server.send_signal(signal.SIGTERM)
            for guest in (*connected, *coming, room.owner):
                await guest.wait_until_told()
                assert (guest.code, guest.last["reason"]) == (4000, "going_away")
            assert all(guest.last["room_survives"] for guest in (*connected, room.owner))
            waits = {guest.last["back_in"] for guest in connected}
            assert len(waits) > len(connected) / 2
            with trio.fail_after(PATIENCE):
                assert await trio.to_thread.run_sync(server.exit_code) == 0
            assert time.monotonic() - begin < CLOSE_SECONDS + SLACK_SECONDS
        assert not server.trouble()


KINDS = (
    ServerRoom,
    ParleyLink,
    LastingMember,
    Speech,
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
        assert before["Room"] == before["ParleyLink"] == before["LastingMember"] == 0

        async with gathered(server) as room:
            guests = await room.admit(199)
            away, back = guests[:80], guests[:40]
            await room.lose(away)
            await room.bring_back(back)
            await wait_for_metrics(server, websockets_current=160)
            during = census(KINDS)
            assert during["Room"] == during["Speech"] == 1
            assert during["LastingMember"] == 200
            assert during["ParleyLink"] == during["WebSocket"] == 160
            await room.owner.say("close", ref=1)
            await room.owner.wait_until_told()
            await wait_for_metrics(server, **EMPTY)
        room.guests.clear()
        room.others.clear()
        for some in (guests, away, back):
            some.clear()
        del room
        await wait_for_metrics(server, **EMPTY)
        await wait_until(lambda: trio.lowlevel.current_statistics().tasks_living == tasks)
        assert census(KINDS) == before
