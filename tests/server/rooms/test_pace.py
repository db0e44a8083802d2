"""How fast a room talks: what its members send, it need not say at once."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
import trio.testing
from trio.testing import MockClock

from protocol.effects import Effect, Subscribe, Tell, TellAll
from protocol.errors import CloseCode, ErrorCode, Problem
from protocol.ids import MemberId, RoomId
from protocol.limits import KIB, MIB
from protocol.messages import Command, Enter, Refusal, Say, TicketResult
from server.rooms.room import Room
from server.support.counters import Counters
from server.support.limits import Limits
from tests.server.harness import FakeMember, FakeRecorder

settled = trio.testing.wait_all_tasks_blocked

LIMITS = Limits(outbox_bytes=MIB, room_rate=100 * KIB)
PORTION = MIB // 16


class Repeating:
    """Rules by which all are told what one says, and one who says it in a whisper is told alone."""

    def apply(self, command: Command, member: MemberId, now: float) -> list[Effect[TicketResult]]:
        if isinstance(command, Enter):
            return [Subscribe(member)]
        if not isinstance(command, Say):
            return []
        event = Refusal(Problem(ErrorCode.MALFORMED, command.text))
        return [Tell(member, event) if command.text.startswith("whisper") else TellAll(event)]


class Listener(FakeMember):
    """Notes when it is told how many bytes."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.told: list[tuple[float, int]] = []

    def push(self, frames: bytes, count: int) -> None:
        super().push(frames, count)
        self.told.append((trio.current_time(), len(frames)))


@attrs.define
class Talk:
    """A running room, and those who listen."""

    room: Room[TicketResult]
    members: list[Listener]

    def say(self, text: str, times: int = 1) -> None:
        for _ in range(times):
            self.room.inbox.put(self.members[0].id, Say(text))
        self.room.inbox.settle()


@asynccontextmanager
async def talk(members: int = 3) -> AsyncIterator[Talk]:
    room: Room[TicketResult] = Room(
        RoomId("a1B2c3"),
        Repeating(),
        limits=LIMITS,
        recorder=FakeRecorder(),
        counters=Counters(),
        forget=lambda _: None,
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(room.run)
        listeners = [Listener(str(number)) for number in range(members)]
        for listener in listeners:
            assert room.admit(listener)
            room.inbox.put(listener.id, Enter(listener.name))
        room.inbox.settle()
        await settled()
        yield Talk(room, listeners)
        room.end("over")


@pytest.mark.parametrize("size", [100, 5000, 100_000])
async def test_nobody_is_ever_told_more_than_who_reads_at_the_rate_can_take(
    size: int, autojump_clock: MockClock
) -> None:
    async with talk() as it:
        begin = trio.current_time()
        it.say("x" * size, times=3 * MIB // size)
        await trio.sleep(100)

        for member in it.members:
            assert sum(bytes_ for _, bytes_ in member.told) >= 3 * MIB - size
            unread, last = 0.0, begin
            for at, bytes_ in member.told:
                unread = max(0.0, unread - (at - last) * LIMITS.room_rate) + bytes_
                last = at
                assert unread <= 2 * PORTION + 1.1 * size
        assert [member.told for member in it.members] == [it.members[0].told] * 3


async def test_what_is_within_the_rate_is_said_in_the_turn_in_which_it_comes(
    autojump_clock: MockClock,
) -> None:
    async with talk() as it:
        for _ in range(200):
            start = trio.current_time()
            it.say("x" * 1000, times=9)
            await settled()
            assert [at for at, _ in it.members[-1].told][-1] == start
            await trio.sleep(0.1)


async def test_what_one_is_told_alone_does_not_make_the_others_wait(
    autojump_clock: MockClock,
) -> None:
    async with talk() as it:
        start = trio.current_time()
        it.say("whisper" * 1000, times=1000)
        it.say("loud")
        await settled()
        assert [at for at, _ in it.members[-1].told] == [start]


async def test_what_comes_while_a_room_rests_is_heard_in_its_order(
    autojump_clock: MockClock,
) -> None:
    async with talk() as it:
        it.say("x" * 100_000, times=5)
        await settled()
        told = len(it.members[0].frames)
        assert told < 5
        for number in range(10):
            it.say(str(number))
        await settled()
        assert len(it.members[0].frames) == told
        await trio.sleep(100)
        words = [frame.text.strip("!. ") for frame in it.members[0].frames]
        assert words[:5] == ["X" + "x" * 99_999] * 5 or words[:5] == ["x" * 100_000] * 5
        assert words[5:] == [str(number) for number in range(10)]


async def test_a_room_that_rests_can_be_ended_at_once(autojump_clock: MockClock) -> None:
    async with talk() as it:
        it.say("x" * 500_000, times=5)
        await settled()
        start = trio.current_time()
        it.room.end("over")
        await settled()
        assert trio.current_time() == start
        for member in it.members:
            assert [code for code, _, _ in member.closes] == [CloseCode.GOING_AWAY]
