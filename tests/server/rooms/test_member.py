"""A member and its connections, of which there is one at the most, and none is left behind."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
import trio.testing
from trio.testing import MockClock

from protocol.dialects.parley_v1 import CLOSE_CODES, PARLEY_V1
from protocol.farewell import Ending
from protocol.greeting import Resumed
from protocol.ids import MemberId
from protocol.lasting import Return
from server.rooms.member import LastingMember
from tests.server.harness import Cutter, sweep, tasks
from tests.server.links import ADA, PARLEY_WELCOME, FakeLink

REPLACED = CLOSE_CODES[Ending.REPLACED]
FRAME = b"\x81\x01x"

settled = trio.testing.wait_all_tasks_blocked


@attrs.define
class Host:
    """A room with one member."""

    nursery: trio.Nursery
    detachments: list[MemberId] = attrs.Factory(list)
    ends: int = 0
    member: LastingMember = attrs.field(init=False)
    gone: trio.Event = attrs.Factory(trio.Event)

    def __attrs_post_init__(self) -> None:
        self.member = LastingMember(ADA, PARLEY_V1, room=self, on_end=self._end)

    def _end(self) -> None:
        self.ends += 1

    def spawn(self, task: Callable[[], Awaitable[object]]) -> None:
        self.nursery.start_soon(task)

    def detached(self, member_id: MemberId) -> None:
        self.detachments.append(member_id)

    async def run(self) -> None:
        try:
            await self.member.run()
        finally:
            self.gone.set()

    def start(self) -> None:
        self.nursery.start_soon(self.run)

    async def attach(self, *, answers: bool = True, crash: bool = False) -> FakeLink:
        """Give it a connection that is welcomed."""
        link = FakeLink(answers=answers, crash=crash)
        self.member.attach(link)
        await settled()
        self.member.greet(Resumed.NO)
        return link


@asynccontextmanager
async def hosted(*, started: bool = True) -> AsyncIterator[Host]:
    """A member whose task runs; in the end nothing of it is left."""
    before = tasks()
    async with trio.open_nursery() as nursery:
        host = Host(nursery)
        if started:
            host.start()
        yield host
        nursery.cancel_scope.cancel()
    assert host.gone.is_set()
    assert host.ends == 1
    assert tasks() == before


def heard(link: FakeLink) -> bytes:
    return b"".join(frames for frames, _ in link.pushes)


async def test_its_first_connection_may_come_before_its_task_runs(
    autojump_clock: MockClock,
) -> None:
    async with hosted(started=False) as it:
        link = FakeLink()
        it.member.attach(link)
        assert it.member.connected
        it.start()
        await settled()
        assert (link.running, link.runs) == (True, 1)


async def test_it_hears_nothing_before_it_is_welcomed(autojump_clock: MockClock) -> None:
    async with hosted() as it:
        link = FakeLink()
        entry = link.entry
        it.member.attach(link)
        await settled()
        it.member.push(FRAME, 1)
        assert it.member.awaits(entry) is True
        assert it.member.greet(Resumed.NO) == PARLEY_WELCOME
        assert it.member.greeted
        assert it.member.hears
        assert it.member.awaits(entry) is False
        assert link.pushes == []
        it.member.push(FRAME, 1)
        assert link.pushes == [(FRAME, 1)]
        assert link.welcomes == [Resumed.NO]


async def test_without_a_connection_it_stays_and_can_get_another_one(
    autojump_clock: MockClock,
) -> None:
    async with hosted() as it:
        for number in range(1, 4):
            link = await it.attach()
            link.hang_up()
            await settled()
            assert it.detachments == [ADA] * number
            assert not link.running
            assert not it.member.connected
            assert not it.member.hears
            it.member.push(FRAME, 1)  # into the void
            assert it.member.greet(Resumed.SNAPSHOT) == b""
        assert not it.gone.is_set()
        assert it.ends == 0


@pytest.mark.parametrize("answers", [True, False])
async def test_a_newer_connection_takes_the_place_of_the_older(
    answers: bool, autojump_clock: MockClock
) -> None:
    async with hosted() as it:
        old = await it.attach(answers=answers)
        new = await it.attach()
        assert old.code == REPLACED
        assert old.heard[-1]["reason"] == "replaced"
        assert old.heard[-1]["back_in"] is None
        assert old.heard[-1]["room_survives"] is True
        assert old.running is not answers
        assert new.running
        it.member.push(FRAME, 1)
        assert (heard(old), heard(new)) == (b"", FRAME)
        old.hang_up()
        await settled()
        assert it.detachments == []
        assert new.running
        new.hang_up()
        await settled()
        assert it.detachments == [ADA]


async def test_one_that_is_half_open_holds_up_nobody(autojump_clock: MockClock) -> None:
    async with hosted() as it:
        old = await it.attach(answers=False)
        for _ in range(3):  # whose ends come before the old one's
            link = await it.attach()
            assert link.running
            link.hang_up()
            await settled()
            assert not it.member.connected
        assert it.detachments == [ADA] * 3
        assert old.running
        old.hang_up()
        await settled()
        assert (await it.attach()).running


async def test_of_several_at_once_the_last_one_stays(autojump_clock: MockClock) -> None:
    async with hosted() as it:
        first = await it.attach(answers=False)
        links = [FakeLink(answers=answers) for answers in (True, False, True)]
        for link in links:
            it.member.attach(link)
        await settled()
        *others, last = links
        assert [link.code for link in (first, *others)] == [REPLACED] * 3
        assert [link.runs for link in links] == [1, 1, 1]
        assert last.running
        assert last.closes == []
        for link in (first, *others):
            link.hang_up()
        await settled()
        assert it.detachments == []
        assert it.member.connected


async def test_several_may_come_before_its_task_runs(autojump_clock: MockClock) -> None:
    async with hosted(started=False) as it:
        links = [FakeLink() for _ in range(3)]
        for link in links:
            it.member.attach(link)
        it.start()
        await settled()
        assert [link.runs for link in links] == [1, 1, 1]
        assert [link.running for link in links] == [False, False, True]


async def test_several_may_come_to_one_that_is_away(autojump_clock: MockClock) -> None:
    async with hosted() as it:
        await settled()
        links = [FakeLink() for _ in range(3)]
        for link in links:
            it.member.attach(link)
        await settled()
        assert [link.runs for link in links] == [1, 1, 1]
        assert [link.running for link in links] == [False, False, True]


async def test_what_an_older_connection_said_welcomes_no_newer_one(
    autojump_clock: MockClock,
) -> None:
    async with hosted() as it:
        older, newer = FakeLink(entry=Return(9)), FakeLink(entry=Return(9))
        older_entry, newer_entry = older.entry, newer.entry
        assert older_entry == newer_entry
        it.member.attach(older)
        it.member.attach(newer)
        assert not it.member.awaits(older_entry)
        assert it.member.awaits(newer_entry)
        assert not it.member.awaits(None)


@pytest.mark.parametrize("running", [True, False])
async def test_it_may_be_parted_from_while_it_is_connected(
    running: bool, autojump_clock: MockClock
) -> None:
    async with hosted(started=running) as it:
        link = FakeLink(answers=False)
        it.member.attach(link)
        if running:
            await settled()
        it.member.close(4500, "over", FRAME)
        it.member.close(4501, "again", FRAME)
        assert it.member.over
        if not running:
            it.start()
        await settled()
        assert link.closes[0] == (4500, "over", FRAME)
        assert not it.gone.is_set()
        link.hang_up()
        await it.gone.wait()
        assert it.detachments == []


@pytest.mark.parametrize("running", [True, False])
async def test_it_may_be_parted_from_while_it_is_away(
    running: bool, autojump_clock: MockClock
) -> None:
    async with hosted(started=False) as it:
        if running:
            it.start()
            (await it.attach()).hang_up()
            await settled()
        it.member.close(4500, "over")
        if not running:
            it.start()
        await it.gone.wait()
        assert it.ends == 1


async def test_it_may_be_parted_from_while_an_older_connection_still_says_goodbye(
    autojump_clock: MockClock,
) -> None:
    async with hosted() as it:
        old = await it.attach(answers=False)
        new = await it.attach(answers=False)
        it.member.close(4500, "over")
        assert (old.code, new.code) == (REPLACED, 4500)
        new.hang_up()
        await settled()
        old.hang_up()
        await it.gone.wait()
        assert it.detachments == []


async def test_a_defect_of_a_connection_is_not_swallowed(autojump_clock: MockClock) -> None:
    with pytest.RaisesGroup(ValueError):
        async with hosted() as it:
            link = await it.attach(crash=True)
            link.hang_up()
            await trio.sleep_forever()


# --- cancelling -----------------------------------------------------------------------------


async def nothing(it: Host) -> list[FakeLink]:
    await settled()
    return []


async def not_even_run(it: Host) -> list[FakeLink]:  # noqa: ASYNC124 - as the others are
    link = FakeLink()
    it.member.attach(link)
    return [link]


async def connected(it: Host) -> list[FakeLink]:
    return [await it.attach(answers=False)]


async def attached_but_not_greeted(it: Host) -> list[FakeLink]:
    link = FakeLink(answers=False)
    it.member.attach(link)
    await settled()
    return [link]


async def away(it: Host) -> list[FakeLink]:
    link = await it.attach()
    link.hang_up()
    await settled()
    return [link]


async def replaced(it: Host) -> list[FakeLink]:
    return [await it.attach(answers=False), await it.attach(answers=False)]


async def replaced_but_not_run(it: Host) -> list[FakeLink]:
    links = [await it.attach(answers=False), FakeLink(), FakeLink()]
    for link in links[1:]:
        it.member.attach(link)
    return links


async def carried_while_it_sleeps(it: Host) -> list[FakeLink]:
    links = [await it.attach(answers=False), await it.attach(answers=False)]
    links[0].hang_up()
    await settled()
    return links


async def closing(it: Host) -> list[FakeLink]:
    link = await it.attach(answers=False)
    it.member.close(4500, "over")
    return [link]


async def roused_but_not_run(it: Host) -> list[FakeLink]:
    first = await it.attach()
    first.hang_up()
    await settled()
    link = FakeLink()
    it.member.attach(link)
    return [first, link]


STATES = [
    nothing,
    not_even_run,
    connected,
    attached_but_not_greeted,
    away,
    replaced,
    replaced_but_not_run,
    carried_while_it_sleeps,
    closing,
    roused_but_not_run,
]
State = Callable[[Host], Awaitable[list[FakeLink]]]


@pytest.mark.parametrize("state", STATES)
async def test_cancelling_its_nursery_ends_it_in_every_state(
    state: State, autojump_clock: MockClock
) -> None:
    async with hosted() as it:
        links = await state(it)
        it.nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            await it.gone.wait()
            await settled()
        assert [link.running for link in links] == [False] * len(links)
        assert [link.runs for link in links] == [1] * len(links)
        assert not it.nursery.child_tasks


async def test_a_connection_that_comes_when_it_is_just_cancelled_is_run_and_ends(
    autojump_clock: MockClock,
) -> None:
    async with hosted() as it:
        await settled()  # it sleeps
        it.nursery.cancel_scope.cancel()
        link = FakeLink()
        it.member.attach(link)
        with trio.CancelScope(shield=True):
            await it.gone.wait()
        assert (link.runs, link.running) == (1, False)
        assert it.ends == 1


@pytest.mark.parametrize("state", STATES)
def test_it_may_be_cancelled_at_any_step(state: State) -> None:
    async def scenario(cutter: Cutter) -> None:
        links: list[FakeLink] = []
        async with hosted() as it:
            cutter.arm(it.nursery.cancel_scope)
            links += await state(it)
            last = FakeLink()
            it.member.attach(last)
            links.append(last)
            await trio.lowlevel.checkpoint()
            it.member.close(4500, "over")
            for link in links:
                link.hang_up()
            await it.gone.wait()
        assert [link.running for link in links] == [False] * len(links)

    assert sweep(scenario, least=2)
