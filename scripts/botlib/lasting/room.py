"""Plays one room from opening it to judging its results."""

import random
from collections.abc import Sequence
from typing import Any, Final

import attrs
import trio

from protocol.errors import ErrorCode
from protocol.picture import Picture
from scripts.botlib.api import Api, Unexpected, as_object
from scripts.botlib.crowd import FIRST_NAMES
from scripts.botlib.failures import Broken
from scripts.botlib.lasting.guest import Guest
from scripts.botlib.lasting.member import Member, Standing
from scripts.botlib.lasting.plan import LastingPlan, cards_of
from scripts.botlib.lasting.record import judge_results
from scripts.botlib.lasting.session import Session
from scripts.botlib.lasting.stage import Stage
from scripts.botlib.lasting.tally import LastingTally
from scripts.botlib.lasting.witness import Witness
from scripts.botlib.moves import Violation
from scripts.botlib.web import NoAnswer
from server.client import CannotCreate, Declined, Opened, create_room

_GRACE_SECONDS: Final = 600
_SPARE_PER_GUEST: Final = 3
"""Seats that those have left of whose end the server has not heard yet."""
_AGAIN_SECONDS: Final = 0.5
_EARLY: Final = 0.2
"""How likely a round is revealed before everybody has voted."""
_LOOK_SECONDS: Final = 0.5
_WITH_POINTS: Final = 0.5
"""How likely the cards of a room have points; those of two members each are worth the same."""


@attrs.frozen(kw_only=True)
class House:
    """What all rooms share."""

    plan: LastingPlan
    tally: LastingTally
    stage: Stage
    api: Api
    gate: trio.Semaphore
    """Bounds the rooms that are filling up."""


class Game:
    """One room."""

    def __init__(self, house: House, number: int) -> None:
        """Prepare room ``number``."""
        plan = house.plan
        room = f"{number:0{len(str(plan.rooms))}}"
        self._house = house
        self._plan = plan
        self._label = f"room {room}"
        self._dice = random.Random(f"{plan.seed} {room}")
        wide = len(str(plan.members))
        self._names = [
            f"{self._dice.choice(FIRST_NAMES)} r{room}m{seat:0{wide}}"
            for seat in range(plan.members)
        ]
        self._tickets = [f"R{room}-T{ticket}" for ticket in range(1, plan.tickets + 1)]
        self._cards = {name: cards_of(seat, plan.members) for seat, name in enumerate(self._names)}
        self._members: list[Member] = []
        self._filling = False

    async def play(self) -> None:
        """Play it.

        Raises:
            Exception: of what made it impossible to go on; also in groups.
        """
        await self._house.gate.acquire()
        self._filling = True
        try:
            await self._play(await self._open())
        finally:
            self._filled()

    def _filled(self) -> None:
        if self._filling:
            self._filling = False
            self._house.gate.release()

    async def _play(self, opened: Opened) -> None:
        witness = Witness(self._cards, self._report)
        house = self._house
        session = Session(
            plan=self._plan,
            tally=house.tally,
            stage=house.stage,
            label=self._label,
            opened=opened,
            cards=self._cards,
            report=self._report,
            witness=witness,
        )
        apart = len(self._names) - self._plan.guests
        self._members = [
            Member(session, name, owner=not seat) for seat, name in enumerate(self._names[:apart])
        ]
        guests = [Guest(session, name) for name in self._names[apart:]]
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch, session)
                for member in self._members:
                    nursery.start_soon(member.run)
                for guest in guests:
                    nursery.start_soon(guest.run)
                await self._lead(session)
                nursery.cancel_scope.cancel()
        finally:
            witness.compare()
            house.tally.digests += witness.compared
            house.tally.searched += witness.searched

    async def _open(self) -> Opened:
        plan = self._plan
        spare = plan.guests * _SPARE_PER_GUEST if plan.chaos else 0
        points = self._dice.random() < _WITH_POINTS
        deck: list[str | dict[str, str | float]] = [
            {"label": card, "value": seat // 2} if points else card
            for seat, cards in enumerate(self._cards.values())
            for card in cards
        ]
        with trio.move_on_after(plan.deadline):
            while True:
                try:
                    return await create_room(
                        self._house.stage.url,
                        capacity=plan.members + spare,
                        name=self._label,
                        deck=deck,
                        grace_seconds=_GRACE_SECONDS,
                    )
                except CannotCreate as error:
                    if not plan.chaos or (error.status is not None and error.status < 500):
                        raise
                await trio.sleep(_AGAIN_SECONDS)
        raise Broken(f"no room could be opened in {plan.deadline:g} s")

    # --- the owner's part ---------------------------------------------------------------------

    async def _lead(self, session: Session) -> None:
        owner = self._members[0].room
        for member in self._members:
            await member.room.entered.wait()
        await owner.wait_for(self._all_seated)
        self._filled()
        for number, ticket in enumerate(self._tickets, 1):
            await owner.begin(ticket)
            await self._reveal(session, number)
            self._house.tally.rounds += 1
        for member in self._members:
            member.wires.chaos = False
        for member in self._members:
            await member.room.settled()
            await member.room.wait_for(self._all_here)
        self._judge_members()
        await self._judge_results(session)
        session.closing = True
        await owner.close()
        for member in self._members:
            await member.over.wait()

    async def _reveal(self, session: Session, number: int) -> None:
        owner = self._members[0].room
        early = self._dice.random() < _EARLY

        def ready(picture: Picture) -> bool:
            running = picture.round
            if running is None or running.number != number:
                return True  # it is over, whoever ended it
            return running.complete or (early and any(each.voted for each in picture.members))

        while True:
            await owner.wait_for(ready)
            session.witness.revealing.add(number)
            try:
                await owner.reveal()
            except Declined as declined:
                # Votes that were not on record yet are on their way again.
                if declined.error.code is not ErrorCode.NOBODY_VOTED:
                    raise Broken(f"round {number} is not revealed: {declined}") from None
                await trio.sleep(_AGAIN_SECONDS)
            else:
                return

    # --- judging ------------------------------------------------------------------------------

    def _all_seated(self, picture: Picture) -> bool:
        return {each.name for each in picture.members} >= set(self._names)

    def _all_here(self, picture: Picture) -> bool:
        return sorted(each.name for each in picture.members if each.here) == sorted(self._names)

    def _judge_members(self) -> None:
        for member in self._members:
            seen = member.room.picture
            names = [each.name for each in seen.members]
            if not self._complete(names):
                self._report(Violation("ghosts", member.name, f"sees {names}"))
            own = [each.id for each in seen.members if each.name == member.name]
            if own != [member.room.mine.member]:
                self._report(Violation("ghosts", member.name, f"is {own}"))

    def _complete(self, names: Sequence[str]) -> bool:
        """Tell whether everybody is there once; guests may just have lost their server."""
        apart = len(self._members)
        missing = set(self._names) - set(names)
        excused = set(self._names[apart:]) if self._plan.chaos else set()
        return (
            len(names) == len(set(names)) and missing <= excused and set(names) <= set(self._names)
        )

    async def _judge_results(self, session: Session) -> None:
        told = await self._ask(session.opened.results or "")
        rounds = [
            (
                each["ticket_id"],
                [(vote["member_id"], vote["name"], vote["value"]) for vote in each["votes"]],
            )
            for each in told["tickets"]
        ]
        votes = {
            member.name: {
                number: card
                for number in range(1, len(self._tickets) + 1)
                if (card := member.record.last(number)) is not None
            }
            for member in self._members
        }
        guests = frozenset(self._names[len(self._members) :])
        for rule, detail in judge_results(rounds, self._tickets, votes, guests):
            self._report(Violation(rule, "the results", detail))
        door = await self._ask(f"/v1/rooms/{session.opened.id}")
        names = sorted(each["name"] for each in door["people"])
        if not self._complete(names):
            self._report(Violation("ghosts", "the door", f"shows {names}"))

    async def _ask(self, path: str) -> dict[str, Any]:
        while True:  # whoever watches gives it up
            try:
                answer = await self._house.api.ask("GET", path, 200)
            except NoAnswer:
                if not self._plan.chaos:
                    raise
            except Unexpected as error:
                if not self._plan.chaos or error.status is None or error.status < 500:
                    raise
            else:
                return as_object(answer)
            await trio.sleep(_AGAIN_SECONDS)

    async def _watch(self, session: Session) -> None:
        while session.stuck_for < self._plan.deadline:  # noqa: ASYNC110 - it looks at the clock
            await trio.sleep(_LOOK_SECONDS)
        for member in self._members:
            standing = Standing.of(member)
            self._report(Violation("stuck", standing.name, standing.where))
        raise Broken(f"nothing has gone on for {self._plan.deadline:g} s")

    def _report(self, violation: Violation) -> None:
        self._house.tally.violation(self._label, violation)
