"""One bot: a member on the client library, and what it makes of what it is told."""

import random

import attrs
import trio

from protocol.changes import Ack, Begun, Joined, Revealed, Voted
from protocol.client_estimation import EstimationClient
from protocol.client_happenings import (
    Answered,
    Changed,
    Complained,
    Happening,
    Misunderstood,
    Over,
    Undone,
    Welcomed,
)
from protocol.dialects.parley_v1 import Error
from protocol.errors import ErrorCode
from protocol.greeting import Hello, Resumed
from protocol.lasting import CastCard
from scripts.botlib.failures import Broken
from scripts.botlib.lasting.proxy import Wires
from scripts.botlib.lasting.record import Record
from scripts.botlib.lasting.session import Session
from scripts.botlib.moves import Violation
from server.client import Declined, Lagging, Room, RoomOver
from server.client.followers import Follower
from server.client.streams import parse_address

_VOTE_AGAIN = 0.4
_PROGRESS = Begun | Voted | Revealed | Joined


class Member:
    """A seat in the room, from coming to the room's end."""

    def __init__(self, session: Session, name: str, *, owner: bool) -> None:
        """Take the seat called ``name``."""
        seed = f"{session.plan.seed} {session.label}"
        dice = random.Random(f"{seed} {name}")
        self.name = name
        self.record = Record()
        self.over = trio.Event()
        self.wires = Wires(name, session.witness, seed=seed, chaos=session.plan.chaos)
        hello = Hello(
            name=name,
            owner_key=session.opened.owner_key if owner else None,
            nonce=f"{dice.getrandbits(128):032x}",
        )
        self.room = Room(
            EstimationClient(hello, random.Random(f"{seed} {name} delays").random),
            session.stage.proxy.dial_for(self.wires),
            parse_address(session.stage.url),
            session.opened.socket,
        )
        self._session = session
        self._dice = dice
        self._epoch = ""
        self._welcomed = 0
        """By which start of the server."""

    async def run(self) -> None:
        """Vote in every round until cancelled.

        Raises:
            ExceptionGroup: of what made it impossible to go on.
        """
        follower = aiter(self.room)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._follow, follower)
            nursery.start_soon(self.room.run)
            await self.room.entered.wait()
            if self.room.over is None:
                await self._play()

    async def _play(self) -> None:
        room, number = self.room, 0
        with self._session.as_its_end():
            while True:
                seen = number
                await room.wait_for(lambda p, seen=seen: p.round and p.round.number > seen)  # type: ignore[misc]
                await self._think()
                for _ in range(1 + (self._dice.random() < _VOTE_AGAIN)):
                    number = max(number, await self._vote())
                    await self._think()

    async def _vote(self) -> int:
        """Put a card down; give the round."""
        running = self.room.picture.round
        if running is None:
            return 0
        number = running.number
        card = self._dice.choice(self._session.cards[self.name])
        self.record.ask(number, card)
        try:
            await self.room.vote(card)
        except Declined as declined:
            if number not in self._session.witness.revealing:
                self._fault("vote-refused", f"round {number}: {declined}")
        return number

    async def _think(self) -> None:
        mean = self._session.plan.think_time
        await trio.sleep(min(self._dice.expovariate(1 / mean), 5 * mean) if mean else 0)

    # --- what it is told ----------------------------------------------------------------------

    async def _follow(self, follower: Follower) -> None:
        try:
            async for happening in follower:
                self._hear(happening)
        except Lagging as error:
            raise Broken(f"{self.name}: {error}") from None

    def _hear(self, happening: Happening) -> None:
        session, tally = self._session, self._session.tally
        for rule, detail in self.record.hear(happening):
            self._fault(rule, detail)
        match happening:
            case Welcomed(welcome):
                self._epoch = welcome.epoch
                first = not self._welcomed and welcome.resumed is Resumed.NO
                tally.resumes["first" if first else welcome.resumed.value] += 1
                if session.stage.starts() > self._welcomed > 0:
                    tally.returned(trio.current_time() - session.stage.up_at())
                self._welcomed = max(1, session.stage.starts())
                if not self.wires.chaos:
                    session.go_on()
            case Changed(picture, _, change):
                session.witness.see(self.name, self._epoch, picture)
                if isinstance(change, _PROGRESS):
                    session.go_on()
            case Answered(_, request, Ack()):
                session.go_on()
                tally.acknowledged += isinstance(request, CastCard)
            case Undone(ref, request, error):
                since = trio.current_time() - session.stage.up_at()
                detail = f"{ref} {request}: {error.code} {since:.1f} s after the start"
                self._fault("undone", detail)
            case Misunderstood(why):
                self._fault("misunderstood", why)
            case Complained(error):
                if not self._may_be_lost(error):
                    self._fault("complaint", f"{error}")
            case Over():
                self.over.set()
                if not session.closing:
                    self._fault("thrown-out", f"{happening}")
                    raise Broken(f"{self.name}: {RoomOver(happening)}")

    def _may_be_lost(self, error: Error) -> bool:
        """Tell whether this says no more than that a server died before the welcome was on record.

        Then the client comes again as somebody new; if it does not, it is over, which is judged.
        """
        lost = error.code == ErrorCode.WRONG_KEY and bool(self._session.stage.starts())
        return lost or (error.code == ErrorCode.NO_SUCH_ROOM and self._session.closing)

    def _fault(self, rule: str, detail: str) -> None:
        self._session.report(Violation(rule, self.name, detail))


@attrs.frozen
class Standing:
    """Where a member is, for a report of what is stuck."""

    name: str
    where: str

    @classmethod
    def of(cls, member: Member) -> "Standing":
        """Look at a member."""
        room = member.room
        waiting = ", ".join(f"{each.ref} {each.request}" for each in room.pending)
        seen = room.picture if room.entered.is_set() and room.over is None else None
        stage = f"at {seen.seq} {seen.stage} {seen.round}" if seen is not None else "outside"
        return cls(member.name, f"{stage}; asks {waiting or 'nothing'}; {room.trouble}")
