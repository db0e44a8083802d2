"""One bot: a member of a chat room on the client library, and what it makes of what it is told."""

import random
from typing import Final

import trio

from protocol.changes import Ack
from protocol.chat_changes import Said
from protocol.client_chat import ChatClient
from protocol.client_happenings import (
    Answered,
    ChatChanged,
    Complained,
    Happening,
    Misunderstood,
    Over,
    Undone,
    Welcomed,
)
from protocol.errors import ErrorCode
from protocol.greeting import ChatHello, Resumed
from protocol.talking import SayOnce
from scripts.botlib import api
from scripts.botlib.failures import Broken
from scripts.botlib.lasting.proxy import Wires
from scripts.botlib.moves import Violation
from scripts.botlib.talking.judge import Account
from scripts.botlib.talking.session import TalkSession
from server.client import Chat, Declined, Lagging, RoomOver
from server.client.followers import Follower
from server.client.streams import parse_address

_AMEND: Final = 0.1
_TYPE: Final = 0.05
_READ: Final = 0.05
_BROWSE: Final = 0.02
_PIECES: Final = (
    "Zoë",
    "花子",
    "🂡",
    "\n",
    '{"type":"leave"}',
    "<b>&amp;</b>",
    "\\u0041",
    "x" * 300,
)


class Talker:
    """A seat in the room, as long as its block lasts."""

    def __init__(self, session: TalkSession, account: api.Account) -> None:
        """Take the seat of an account."""
        seed = f"{session.plan.seed} {session.label}"
        dice = random.Random(f"{seed} {account.name}")
        self.account = Account(account.name, account.id)
        self.wires = Wires(account.name, session.witness, seed=seed, chaos=session.plan.chaos)
        self.chat = Chat(
            ChatClient(
                ChatHello(token=account.token),
                random.Random(f"{seed} {account.name} delays").random,
            ),
            session.stage.proxy.dial_for(self.wires),
            parse_address(session.stage.url),
            f"/v1/chats/{session.room_id}",
        )
        self._session = session
        self._dice = dice
        self._welcomed = 0
        """By which start of the server."""

    async def run(self) -> None:
        """Hold the seat until cancelled.

        Raises:
            ExceptionGroup: of what made it impossible to go on.
        """
        follower = aiter(self.chat)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._follow, follower)
            nursery.start_soon(self.chat.run)

    async def talk(self) -> None:
        """Say everything; also amend, read and type now and then.

        Raises:
            RoomOver: if the seat is lost.
        """
        chat, dice, plan = self.chat, self._dice, self._session.plan
        for number in range(1, plan.messages + 1):
            await self._think()
            if dice.random() < _TYPE:
                await chat.typing()
            text = f"{self.account.name} #{number} " + "".join(
                dice.choices(_PIECES, k=dice.randint(0, 2))
            )
            await chat.say(text)
            self._session.tally.acknowledged += 1
            if dice.random() < _AMEND:
                await self._amend()
            if dice.random() < _READ:
                await chat.read(dice.choice(chat.picture.messages).seq)
            if dice.random() < _BROWSE:
                page = await chat.history(before=dice.randint(1, chat.picture.seq), limit=20)
                self._check_page([each.seq for each in page.messages])

    async def _amend(self) -> None:
        """Edit or take back one of the own messages that are still there."""
        own = [
            each.seq
            for each in self.chat.picture.messages
            if each.author_id == self.account.user_id and each.text
        ]
        if not own:
            return
        seq = self._dice.choice(own)
        try:
            if self._dice.random() < 0.5:
                await self.chat.edit(seq, f"{self.account.name} edits {seq}")
            else:
                await self.chat.delete(seq)
        except Declined as declined:
            if not self._may_be_gone(declined.error.code):
                self._fault("amendment-refused", f"{seq}: {declined}")
        else:
            self._session.tally.amended += 1

    def _check_page(self, numbers: list[int]) -> None:
        if numbers != sorted(set(numbers)):
            self._fault("page-order", f"{numbers}")

    async def _think(self) -> None:
        mean = self._session.plan.think_time
        await trio.sleep(min(self._dice.expovariate(1 / mean), 5 * mean) if mean else 0)

    # --- what it is told ----------------------------------------------------------------------

    async def _follow(self, follower: Follower) -> None:
        try:
            async for happening in follower:
                self._hear(happening)
        except Lagging as error:
            raise Broken(f"{self.account.name}: {error}") from None

    def _hear(self, happening: Happening) -> None:
        session, tally, account = self._session, self._session.tally, self.account
        starts = session.stage.starts
        match happening:
            case Welcomed(welcome):
                first = not self._welcomed and welcome.resumed is Resumed.NO
                tally.resumes["first" if first else welcome.resumed.value] += 1
                if starts() > self._welcomed > 0:
                    tally.returned(trio.current_time() - session.stage.up_at())
                self._welcomed = max(1, starts())
                if not self.wires.chaos:
                    session.go_on()
            case ChatChanged(_, Said(seq)):
                session.go_on()
                tally.heard += 1
                account.hear(seq)
            case ChatChanged(picture, None):
                account.load(picture)
            case Answered(ref, request, Ack()):
                session.go_on()
                account.done[ref] = request
            case Undone(ref, request, error):
                account.done.pop(ref, None)
                if isinstance(request, SayOnce) or not self._may_be_gone(error.code):
                    self._fault("undone", f"{ref} {request}: {error}")
            case Misunderstood(why):
                self._fault("misunderstood", why)
            case Complained(error):
                self._fault("complaint", f"{error}")
            case Over():
                if not session.closing:
                    self._fault("thrown-out", f"{happening}")
                    raise Broken(f"{account.name}: {RoomOver(happening)}")

    def _may_be_gone(self, code: str) -> bool:
        """Tell whether a message may be there no more: lost by a server, or not kept yet by it."""
        return code == ErrorCode.NO_SUCH_MESSAGE and self._session.stage.starts() > 1

    def _fault(self, rule: str, detail: str) -> None:
        self._session.report(Violation(rule, self.account.name, detail))
