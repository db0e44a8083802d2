"""The client library against the real server: the example of the README, word for word."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
import trio

from protocol.chat_picture import ChatPicture
from server.client import CannotCreate, Chat, Declined, create_room, open_chat, open_room
from tests.wire.process import ROOT, STOP_SECONDS, Address, Server, launched, running
from tests.wire.test_chat import ROOM, crowd, messages, settings

README: Final = Path(__file__).parents[2] / "protocol" / "README.md"


def example() -> str:
    chapter = README.read_text("utf-8").rpartition("# Client library\n")[2]
    found = re.search(r"^```python\n(.*?)^```$", chapter, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


async def test_the_example_estimates_a_ticket(server: Server) -> None:
    text = example()
    assert len(text.splitlines()) < 30
    with trio.fail_after(STOP_SECONDS):
        process: trio.Process = await trio.lowlevel.open_process(
            [sys.executable, "-c", text, server.url, "T-1"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
        )
        try:
            assert process.stdout is not None
            heard = b""
            while not heard.endswith(b"\n"):
                heard += await process.stdout.receive_some()
            said, _, link = heard.decode().strip().rpartition(" ")
            assert said == "Join at"
            async with open_room(server.url, link.rpartition("/")[2], name="Bob") as bob:
                begun = await bob.wait_for(lambda picture: picture.round)
                assert begun.round is not None
                assert begun.round.ticket == "T-1"
                await bob.vote("8")
                async for _ in bob:
                    pass
                assert bob.over is not None
            heard = b""
            while more := await process.stdout.receive_some():
                heard += more
            assert sorted(heard.splitlines()) == [b"Ann 5", b"Bob 8"]
            assert await process.wait() == 0
        finally:
            if process.poll() is None:
                process.kill()


async def test_a_room_that_cannot_be_created_is_refused_in_words(server: Server) -> None:
    with trio.fail_after(STOP_SECONDS):
        with pytest.raises(CannotCreate, match="capacity must be") as raised:
            await create_room(server.url, capacity=1)
    assert raised.value.status == 422


async def test_two_talk_and_see_the_same(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/parley.db"
    with running(tmp_path / "log", environ=settings(url)) as server, trio.fail_after(STOP_SECONDS):
        people = await crowd(server, 2)
        async with (
            open_chat(server.url, ROOM, account_token=people[0].token) as ann,
            open_chat(server.url, ROOM, account_token=people[1].token) as bob,
        ):
            first = await ann.say("hello")
            second = await bob.say("hello yourself")
            await bob.typing()
            changed = await ann.edit(first, "good morning")
            with pytest.raises(Declined, match="not_yours"):
                await bob.delete(first)
            last = await bob.delete(second)
            assert first < second < changed < last
            await ann.wait_for(lambda picture: picture.seq >= last)
            assert [(each.seq, each.text) for each in ann.picture.messages] == [
                (first, "good morning"),
                (second, ""),
            ]
            assert ann.picture.messages == bob.picture.messages
            assert {each.name for each in ann.picture.people} == {each.name for each in people}
            page = await ann.history(before=second)
            assert [each.seq for each in page.messages] == [first]
            assert not page.more
            await bob.read(last)
            await bob.wait_for(lambda picture: picture.mine.unread == 0)
            await ann.settled()
            await bob.leave()
            await ann.wait_for(lambda picture: len(picture.people) == 1)
            async for _ in bob:
                pass


def said(picture: ChatPicture, text: str) -> bool:
    return any(each.text == text for each in picture.messages)


async def test_what_is_said_while_the_server_dies_is_there_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/parley.db"
    there: Address

    async def dial_server(_: object) -> trio.abc.Stream:
        return await trio.open_tcp_stream(there.host, there.port)

    async def talk(chat: Chat, count: int) -> None:
        for number in range(count):
            await chat.say(f"{verb} {number}")

    with trio.fail_after(4 * STOP_SECONDS):  # noqa: ASYNC912
        with launched(tmp_path / "first", environ=settings(url)) as there:
            [person] = await crowd(there, 1)
            seat = open_chat(there.url, ROOM, account_token=person.token, dial=dial_server)
            async with seat as chat, trio.open_nursery() as nursery:
                verb = "before"
                await talk(chat, 20)
                verb = "while"
                nursery.start_soon(talk, chat, 20)
                await chat.wait_for(lambda picture: said(picture, "while 3"))
                there.process.kill()
                there.process.wait()
                with launched(tmp_path / "second", environ=settings(url)) as there:
                    await chat.wait_for(lambda picture: said(picture, "while 19"))
                    await chat.settled()
                    kept = await messages(there, person)
    assert sorted(each["text"] for each in kept) == sorted(
        f"{verb} {number}" for verb in ("before", "while") for number in range(20)
    )
