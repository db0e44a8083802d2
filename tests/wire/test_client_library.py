"""The client library against the real server: the example of the README, word for word."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
import trio

from server.client import CannotCreate, create_room, open_room
from tests.wire.process import ROOT, STOP_SECONDS, Server

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
