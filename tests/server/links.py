"""A fake connection of a member that outlives it, and how such members speak."""

from typing import Any

import orjson
import trio

from protocol.dialects.parley_v1 import PARLEY_V1
from protocol.greeting import Resumed
from protocol.ids import MemberId
from protocol.lasting import Join, LastingCommand
from protocol.messages import Command
from server.rooms.inbox import Inbox
from tests.server.harness import FakeMember, split


class FakeLink(FakeMember):
    """A connection that ends when it is told to, or answers a close frame at once.

    Like a real one it drops what is pushed before it has been opened and after it is closing, and
    says who it is once, when it is opened, unless it has been closed before.
    """

    def __init__(
        self,
        name: str = "Ada",
        *,
        entry: LastingCommand | None = None,
        inbox: Inbox | None = None,
        answers: bool = True,
        crash: bool = False,
    ) -> None:
        super().__init__(name, answers=answers, dialect=PARLEY_V1, crash=crash)
        self._entry: Command | None = entry or Join(name=name)
        self._inbox = inbox
        self._opened = False
        self.runs = 0
        self.welcomes: list[Resumed] = []

    @property
    def entry(self) -> Command | None:
        return self._entry

    def welcome(self, resumed: Resumed) -> bytes:
        self.welcomes.append(resumed)
        return PARLEY_WELCOME

    def push(self, frames: bytes, count: int) -> None:
        assert count > 0
        if self._opened:
            super().push(frames, count)

    async def run(self) -> None:
        self.runs += 1
        await trio.lowlevel.checkpoint_if_cancelled()
        self._opened = True
        if not self.closes and self._inbox is not None and self._entry is not None:
            self._inbox.put(self.id, self._entry)
            self._inbox.settle()
        self._entry = None
        await super().run()

    @property
    def heard(self) -> list[dict[str, Any]]:
        """All that it was told, but for how far the log is, the goodbye included."""
        last = b"".join(last for _, _, last in self.closes)
        frames, left = split(b"".join(frames for frames, _ in self.pushes) + last)
        assert left == b""
        texts = [b'{"type":"W"}' if each.payload == b"W" else each.payload for each in frames]
        return [said for said in map(orjson.loads, texts) if said["type"] != "saved"]

    @property
    def types(self) -> list[str]:
        return [str(each["type"]) for each in self.heard]

    @property
    def code(self) -> int:
        """Of the close frame, of which there must be one."""
        [(code, _, _)] = self.closes
        return code


PARLEY_WELCOME = b"\x81\x01W"
"""Stands for the welcome, which rooms do not look into."""

ADA, BOB = MemberId("id-Ada"), MemberId("id-Bob")
