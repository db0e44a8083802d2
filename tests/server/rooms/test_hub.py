"""The hub: which rooms it opens, by which ids, and where their results go."""

from collections.abc import AsyncIterator
from itertools import chain, repeat

import pytest
import trio
import trio.testing

from protocol.errors import Refused
from protocol.ids import RoomId, is_room_id
from protocol.messages import (
    Announce,
    BeginVoting,
    CastVote,
    Enter,
    RevealVotes,
    TicketId,
    TicketResult,
)
from server.rooms.hub import Hub, draw_room_id
from server.rooms.room import Room
from server.support.counters import Counters
from server.support.limits import Limits
from tests.server.harness import FakeMember
from tests.server.memory_results import MemoryResults

settled = trio.testing.wait_all_tasks_blocked
A, B = RoomId("aaaaaa"), RoomId("bbbbbb")


class Hall:
    """A hub that draws the ids it is told to."""

    def __init__(self, nursery: trio.Nursery, *ids: RoomId) -> None:
        self.results = MemoryResults()
        drawn = chain(ids, repeat(ids[-1]))
        self.hub = Hub(
            nursery,
            limits=Limits(rooms=3),
            results=self.results,
            counters=Counters(),
            draw=lambda: next(drawn),
        )

    async def enter(self, name: str) -> tuple[Room[TicketResult], FakeMember]:
        """Open a room with one member in it."""
        room = await self.hub.open(2)
        member = FakeMember(name)
        assert room.admit(member)
        room.inbox.put(member.id, Enter(name))
        room.inbox.put(member.id, Announce(room.id))
        room.inbox.settle()
        await settled()
        return room, member

    def kept(self) -> list[tuple[RoomId, list[str], bool]]:
        """Say of each room its id, its tickets, and whether it has ended."""
        return [
            (each.session.room_id, [result.ticket_id for result in each.rounds],
             each.closed_at is not None)
            for each in self.results.records
        ]  # fmt: skip


def play(room: Room[TicketResult], member: FakeMember, ticket: str) -> None:
    """Put a whole round into the inbox."""
    name = TicketId(ticket)
    for command in (BeginVoting(name), CastVote(name, "3"), RevealVotes(name)):
        room.inbox.put(member.id, command)
    room.inbox.settle()


@pytest.fixture
async def nursery() -> AsyncIterator[trio.Nursery]:
    async with trio.open_nursery() as nursery:
        yield nursery
        nursery.cancel_scope.cancel()


def test_ids_are_what_the_dialect_promises() -> None:
    ids = {draw_room_id() for _ in range(200)}

    assert len(ids) == 200
    assert all(map(is_room_id, ids))


async def test_no_live_room_has_the_id_of_another(nursery: trio.Nursery) -> None:
    hall = Hall(nursery, A, A, B)

    first, _ = await hall.enter("Ada")
    second, _ = await hall.enter("Bob")

    assert (first.id, second.id) == (A, B)
    assert (hall.hub.find(A), hall.hub.find(B)) == (first, second)


async def test_a_room_with_the_id_of_an_ended_one_has_results_of_its_own(
    nursery: trio.Nursery,
) -> None:
    hall = Hall(nursery, A)
    first, ada = await hall.enter("Ada")
    play(first, ada, "old")
    await settled()
    ada.hang_up()
    await settled()

    second, bob = await hall.enter("Bob")
    play(second, bob, "new")
    await settled()

    assert first.id == second.id
    assert hall.kept() == [(A, ["old"], True), (A, ["new"], False)]


async def test_an_id_may_come_again_before_its_room_has_handed_in_its_end(
    nursery: trio.Nursery,
) -> None:
    hall = Hall(nursery, A)
    first, ada = await hall.enter("Ada")
    play(first, ada, "old")
    await settled()
    first.end("over")  # its id is free now, its task is still to say goodbye
    room = await hall.hub.open(2)
    await settled()

    assert room.id == A
    assert hall.kept() == [(A, ["old"], True), (A, [], False)]
    assert hall.hub.find(A) is room


async def test_members_are_told_the_key_of_their_room(nursery: trio.Nursery) -> None:
    hall = Hall(nursery, A, B)
    for name, path in (
        ("Ada", f"/rooms/{A}/results?key=key1"),
        ("Bob", f"/rooms/{B}/results?key=key2"),
    ):
        _, member = await hall.enter(name)
        assert member.frames[1].data["message"].endswith(path)


async def test_too_many_rooms_are_refused(nursery: trio.Nursery) -> None:
    hall = Hall(nursery, RoomId("000000"), RoomId("111111"), RoomId("222222"))
    for _ in range(3):
        await hall.hub.open(2)

    with pytest.raises(Refused, match="no room left"):
        await hall.hub.open(2)
