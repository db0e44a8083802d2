"""One person in a chat room: when it comes, talks, leaves and comes back."""

import random
from functools import partial
from typing import Final

import attrs
import trio

from scripts.botlib.api import Account, Api, as_list
from scripts.botlib.chat.checker import Checker
from scripts.botlib.chat.plan import Plan, Tally
from scripts.botlib.chat.record import Record
from scripts.botlib.chat.verdict import judge_clients
from scripts.botlib.chat.visit import Visit
from scripts.botlib.chat.wire import Notice

SETTLE_SECONDS: Final = 0.05
"""How long everybody listens for something superfluous before it leaves."""


@attrs.frozen
class Role:
    """What a person does beside talking."""

    late: bool = False
    rejoins: bool = False
    second: bool = False


@attrs.define(eq=False)
class Room:
    """What the people in one room share."""

    plan: Plan
    tally: Tally
    gate: trio.CapacityLimiter
    api: Api
    record: Record
    early: int
    """Messages of all who do not come late."""
    host: Visit
    visits: dict[str, list[Checker]] = attrs.field(factory=dict)
    """Of everybody but the host, in order."""
    seconds: list[Checker] = attrs.field(factory=list)
    """Of all second connections."""
    opened: trio.Event = attrs.field(factory=trio.Event)
    """Set once the host is there."""
    finished: trio.Event = attrs.field(factory=trio.Event)
    """Set once everybody has heard everything."""
    over: trio.Event = attrs.field(factory=trio.Event)
    """Set once everybody may leave."""
    ready: int = 0

    def has_heard_everything(self) -> None:
        """Note that one more has."""
        self.ready += 1
        if self.ready == self.plan.members:
            self.finished.set()

    def gone(self, name: str) -> int:
        """Count how often the host was told that somebody has left."""
        notice = Notice(self.record.room_id, "leave", name)
        return self.host.checker.seen.count(notice)


class Member:
    """One person but the host."""

    def __init__(
        self, room: Room, account: Account, role: Role, texts: list[str], dice: random.Random
    ) -> None:
        """Prepare to say ``texts``."""
        self._room = room
        self._plan = room.plan
        self._account = account
        self._role = role
        self._dice = dice
        half = len(texts) // 2
        self._shares = [texts[:half], texts[half:]] if role.rejoins else [texts]
        room.visits[account.name] = []

    async def run(self) -> None:
        """Come, talk and go.

        Raises:
            ExceptionGroup: of what made it impossible to go on.
        """
        room, name = self._room, self._account.name
        await room.opened.wait()
        if self._role.late:
            enough = round(room.early * self._dice.uniform(0.2, 0.8))
            await room.host.until(
                lambda: room.host.checker.last_seq >= enough, f"{enough} messages before {name}"
            )
        for number, texts in enumerate(self._shares, 1):
            visit = self._visit()
            room.visits[name].append(visit.checker)
            last = number == len(self._shares)
            await visit.attend(partial(self._stay, visit, texts, last=last))
            if not last:
                # Or the server might, rightly, take one for there all the time.
                gone = partial(self._is_gone, number)
                await room.host.until(gone, f"the notice that {name} has left")
                await trio.sleep(3 * self._dice.random() / self._plan.rate)

    async def _stay(self, visit: Visit, texts: list[str], *, last: bool) -> None:
        room, checker = self._room, visit.checker
        await trio.sleep(self._dice.random() / self._plan.rate)
        async with trio.open_nursery() as nursery:
            if self._role.second and len(room.visits[self._account.name]) == 1:
                nursery.start_soon(self._come_twice)
            await visit.say(texts)
            await visit.until(lambda: not checker.pending, "its own messages")
        if last:
            await hear_all(room, visit)

    async def _come_twice(self) -> None:
        """Have a second connection for a while, which only listens."""
        await trio.sleep(3 * self._dice.random() / self._plan.rate)
        visit = self._visit(second=True)
        self._room.seconds.append(visit.checker)
        stay = self._dice.uniform(1, 4) / self._plan.rate
        await visit.attend(partial(trio.sleep, stay))

    def _visit(self, *, second: bool = False) -> Visit:
        room = self._room
        checker = Checker(room.record, self._account.name, second=second)
        return Visit(self._plan, room.tally, room.gate, self._account, checker)

    def _is_gone(self, times: int) -> bool:
        return self._room.gone(self._account.name) >= times


async def host(room: Room, account: Account, texts: list[str]) -> None:
    """Be there first, talk, and leave last.

    Raises:
        ExceptionGroup: of what made it impossible to go on.
    """

    async def stay() -> None:
        visit, checker = room.host, room.host.checker
        room.opened.set()
        await visit.say(texts)
        await visit.until(lambda: not checker.pending, "its own messages")
        await hear_all(room, visit)
        # Whether all these notices have come is judged in the end.
        await visit.heard(
            lambda: all(room.gone(name) >= len(visits) for name, visits in room.visits.items())
        )
        await trio.sleep(SETTLE_SECONDS)

    async def look_around() -> None:
        await room.finished.wait()
        path = f"/ws/getClients/{room.record.room_id}"
        answer = await room.api.ask("GET", path, 200, token=account.token)
        for rule, detail in judge_clients(room.record.accounts, as_list(answer)):
            room.host.checker.fault(rule, detail)
        room.over.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(look_around)
        await room.host.attend(stay)


async def hear_all(room: Room, visit: Visit) -> None:
    """Stay until everybody has heard every message, and a moment longer."""
    total, checker = room.plan.total, visit.checker
    await visit.until(lambda: checker.last_seq >= total, f"all {total} messages")
    room.has_heard_everything()
    await room.over.wait()
    await trio.sleep(SETTLE_SECONDS)
