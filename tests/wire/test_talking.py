"""Chat in ``parley.v1`` by the real process, which is killed: what was said is there, once."""

import json
import math
import os
from collections import Counter
from pathlib import Path
from typing import Any, Final

import attrs
import pytest
import trio

from tests.wire.process import Address, launched, running
from tests.wire.raw import CLOSE, PATIENCE, TEXT, Raw, close_frame, frame, open_websocket, upgrade
from tests.wire.test_chat import ROOM, Person, crowd, messages, settings

KILLS: Final = int(os.environ.get("TALK_KILLS", "3"))
"""How often the server is killed in a row; more take longer."""

WINDOW: Final = 64


@attrs.define
class Talker:
    """A member that numbers what it says, and keeps each until it is saved."""

    person: Person
    raw: Raw
    token: str = ""
    epoch: str = ""
    seq: int = 0
    ref: int = 0
    kept: dict[int, str] = attrs.Factory(dict)
    """What has been said and is not known to be saved, by its number."""
    acked: dict[int, int] = attrs.Factory(dict)
    """At which number of the room each of these was acknowledged, on this connection."""
    seen: dict[int, str] = attrs.Factory(dict)
    """By the number of the room, whatever has been told by it."""

    @property
    def acknowledged(self) -> int:
        """How many requests have been acknowledged, on whatever connection."""
        return self.ref - len(self.kept) + len(self.acked)

    async def say(self, text: str) -> None:
        """Say something, as soon as there is a place in the window."""
        with trio.fail_after(PATIENCE):  # noqa: ASYNC912
            while len(self.kept) >= WINDOW and await self.listen():
                pass
        self.ref += 1
        self.kept[self.ref] = text
        await self.ask(self.ref)

    async def ask(self, ref: int) -> None:
        said = {"type": "say", "ref": ref, "text": self.kept[ref]}
        await self.raw.try_to_send(frame(json.dumps(said)))

    async def come_back(self, server: Address) -> str:
        """Connect again, and ask again for all that is not known to be saved."""
        self.raw.close()
        self.raw = await open_websocket(server, knocking())
        self.acked.clear()
        resume = {"token": self.token, "epoch": self.epoch, "seq": self.seq}
        resumed = await self.greet(resume=resume)
        for ref in sorted(self.kept):
            await self.ask(ref)
        return resumed

    async def greet(self, **more: Any) -> str:
        """Say hello, and tell how the room is told."""
        hello = {"type": "hello", "token": self.person.token, **more}
        await self.raw.send(frame(json.dumps(hello)))
        with trio.fail_after(PATIENCE):
            while True:
                found = await self.raw.frame()
                assert found is not None
                assert found[0] == TEXT
                message = json.loads(found[1])
                if message["type"] == "welcome":
                    self.token, self.epoch = message["token"], message["epoch"]
                    return str(message["resumed"])

    async def listen(self) -> bool:
        """Hear what comes next; tell whether the connection goes on."""
        found = self.raw.frames_here()
        while not found:
            if not await self.raw.read():
                return False
            found = self.raw.frames_here()
        for opcode, payload in found:
            if opcode == TEXT:
                self._hear(json.loads(payload))
            elif opcode == CLOSE:
                await self.raw.try_to_send(close_frame())
                return False
        return True

    def _hear(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "snapshot":
                self.seq = message["picture"]["seq"]
                for each in message["picture"]["messages"]:
                    self._note(each)
            case "said":
                assert message["seq"] > self.seq
                self.seq = message["seq"]
                self._note(message)
            case "present":
                self.seq = message["seq"]
            case "ack":
                self.acked[message["ref"]] = message["seq"]
            case "saved":
                for ref, seq in list(self.acked.items()):
                    if seq <= message["seq"]:
                        del self.acked[ref], self.kept[ref]
            case "error":
                raise AssertionError(message)

    def _note(self, message: dict[str, Any]) -> None:
        """Make sure that nothing is ever told by a number that was something else before."""
        text = self.seen.setdefault(message["seq"], message["text"])
        assert text == message["text"]

    async def listen_until_saved(self) -> None:
        with trio.fail_after(PATIENCE):  # noqa: ASYNC912
            while self.kept:
                assert await self.listen()


def knocking() -> bytes:
    """Make the request for the room's WebSocket."""
    return upgrade(f"/v1/chats/{ROOM}", **{"Sec-WebSocket-Protocol": "parley.v1"})


async def enter(server: Address, person: Person) -> Talker:
    talker = Talker(person, await open_websocket(server, knocking()))
    assert await talker.greet() == "no"
    return talker


async def say_until_cut(talker: Talker, verb: str, until: float, cut: trio.Event) -> None:
    """Say one after the other and listen; so many acknowledged, let the server be killed."""
    count, until = 0, talker.acknowledged + until
    while True:
        await talker.say(f"{talker.person.name} {verb} {count}")
        count += 1
        if not await talker.listen():
            return
        if talker.acknowledged >= until:
            cut.set()


@pytest.mark.timeout(60 + 20 * KILLS)
async def test_what_was_acknowledged_is_there_once_however_often_the_server_is_killed(
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path}/parley.db"
    resent = 0
    talkers: list[Talker] = []
    people: list[Person] = []
    for life in range(KILLS):
        with launched(tmp_path / f"log-{life}", environ=settings(url)) as server:
            people = people or await crowd(server, 3)
            if talkers:
                for talker in talkers:
                    resent += len(talker.kept)
                    assert await talker.come_back(server) in {"replayed", "snapshot"}
            else:
                talkers = [await enter(server, person) for person in people]
            cut = trio.Event()
            async with trio.open_nursery() as nursery:
                for talker in talkers:
                    # Sometimes in the middle of the first write, sometimes after many.
                    until = 3 + 97 * life if talker is talkers[0] else math.inf
                    nursery.start_soon(say_until_cut, talker, f"says in life {life}", until, cut)
                await cut.wait()
                server.process.kill()
            server.process.wait()
    with running(tmp_path / "last", environ=settings(url)) as server:
        for talker in talkers:
            resent += len(talker.kept)
            await talker.come_back(server)
            await talker.listen_until_saved()
        kept = await messages(server, people[0])
        for talker in talkers:
            talker.raw.close()
    assert resent
    assert set(Counter(each["text"] for each in kept).values()) == {1}
    for talker in talkers:
        mine = [each["text"] for each in kept if each["author_id"] == talker.person.id]
        assert len(mine) == talker.ref  # all that it has ever said
    by_seq = {each["seq"]: each["text"] for each in kept}
    for talker in talkers:  # nobody has been told anything else by a number that is there
        assert all(by_seq.get(seq, text) == text for seq, text in talker.seen.items())
