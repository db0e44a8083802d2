"""A crowd from one address takes all the places there are; others play on as if it were not there.

The large one, which takes the machine for half a minute, runs if ``PARLEY_CROWD`` says how many
connections there shall be, such as 14000; each step of a round has a second then.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
import trio

from tests.wire.process import ROOT, Server, running
from tests.wire.raw import Raw

CROWD: Final = int(os.environ.get("PARLEY_CROWD", "1500"))
LARGE: Final = CROWD > 5000
STEP_SECONDS: Final = 1.0 if LARGE else 20.0

EVIL, GOOD = "127.0.0.2", "127.0.0.3"


@contextmanager
def crowd(server: Server, count: int, source: str = EVIL) -> Iterator["subprocess.Popen[str]"]:
    """Let a crowd come; it goes at the end."""
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.wire.crowd"),
            *(server.host, str(server.port), source, str(count)),
        ],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


async def all_opened(process: "subprocess.Popen[str]") -> None:
    """Wait until each of the crowd has been connected once."""
    assert process.stdout is not None
    with trio.fail_after(60):
        line = await trio.to_thread.run_sync(process.stdout.readline, abandon_on_cancel=True)
    assert line == "opened\n"


async def dial(server: Server, source: str = GOOD) -> Raw:
    sock = trio.socket.socket()
    await sock.bind((source, 0))
    await sock.connect((server.host, server.port))
    return Raw(trio.SocketStream(sock))


async def ask(server: Server, target: str, source: str = GOOD) -> Raw:
    """Ask for a WebSocket; the answer is yet to be read."""
    raw = await dial(server, source)
    await raw.send(
        f"GET {target} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    return raw


async def enter(server: Server, query: str) -> Raw:
    raw = await ask(server, f"/ws?{query}")
    status, _ = await raw.head()
    assert "101" in status
    return raw


async def play(server: Server) -> None:
    """Open a room, be joined, vote and reveal."""
    with trio.fail_after(STEP_SECONDS):
        ada = await enter(server, "action=CREATE_ROOM&name=Ada&max_room_capacity=2")
        room_id = (await ada.wait_for("CREATE_ROOM")).data["room_id"]
        await ada.say("JOIN_ROOM", room_id=room_id)
    with trio.fail_after(STEP_SECONDS):
        bob = await enter(server, f"action=JOIN_ROOM&name=Bob&room_id={room_id}")
        await bob.say("JOIN_ROOM", room_id=room_id)
        await ada.wait_for("BEGIN_VOTING_PROMPT")
    with trio.fail_after(STEP_SECONDS):
        await ada.say("BEGIN_VOTING", ticket_id="T-1")
        for player in (ada, bob):
            await player.wait_for("ASK_FOR_VOTE")
            await player.say("MEMBER_VOTED", ticket_id="T-1", vote="5")
        await ada.wait_for("REVEAL_VOTES_PROMPT")
        await ada.say("REVEAL_VOTES", ticket_id="T-1")
        revealed = await bob.wait_for("VOTES_REVEALED")
    assert len(revealed.data["client_vote_choice_map"]) == 2
    await ada.stream.aclose()
    await bob.stream.aclose()


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(("--unlimited-address", EVIL), id="unlimited"),
        pytest.param(("--address-burst", "100000", "--address-rate", "10000"), id="many"),
        pytest.param(
            ("--max-address-connections", "100", "--address-burst", "50", "--address-rate", "20"),
            id="capped",
        ),
    ],
)
async def test_somebody_from_elsewhere_plays_while_a_crowd_takes_every_place(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    most = "20000" if LARGE else "400"
    with (
        running(tmp_path / "log", "--max-connections", most, *options) as server,
        crowd(server, CROWD) as process,
    ):
        await play(server)  # while it comes
        await all_opened(process)
        for _ in range(10 if LARGE else 3):
            await play(server)
            await trio.sleep(1 if LARGE else 0)
    assert (tmp_path / "log").stat().st_size < 1_000_000


async def test_who_is_in_a_room_keeps_its_place_when_all_are_taken(tmp_path: Path) -> None:
    with running(
        tmp_path / "log", "--max-connections", "50", "--unlimited-address", f"{EVIL},{GOOD}"
    ) as server:
        ada = await enter(server, "action=CREATE_ROOM&name=Ada&max_room_capacity=2")
        room_id = (await ada.wait_for("CREATE_ROOM")).data["room_id"]
        await ada.say("JOIN_ROOM", room_id=room_id)
        with crowd(server, 300) as process:
            await all_opened(process)
            for number in range(10):
                await ada.say("BEGIN_VOTING", ticket_id=f"T-{number}")
                assert (await ada.wait_for("ASK_FOR_VOTE")).data["ticket_id"] == f"T-{number}"
                await ada.say("MEMBER_VOTED", ticket_id=f"T-{number}", vote="5")
                await ada.wait_for("REVEAL_VOTES_PROMPT")
                await ada.say("REVEAL_VOTES", ticket_id=f"T-{number}")
                await ada.wait_for("VOTES_REVEALED")
        await ada.stream.aclose()


async def test_with_few_descriptors_whoever_is_too_many_is_told_so(tmp_path: Path) -> None:
    with running(tmp_path / "log", descriptors=200) as server:
        room = await enter(server, "action=CREATE_ROOM&name=Ada&max_room_capacity=500")
        room_id = (await room.wait_for("CREATE_ROOM")).data["room_id"]
        await room.say("JOIN_ROOM", room_id=room_id)
        seats = [room]
        statuses = []
        for number in range(300):
            raw = await ask(server, f"/ws?action=JOIN_ROOM&name=P{number}&room_id={room_id}")
            status, headers = await raw.head()
            statuses.append(status.split()[1])
            if statuses[-1] != "101":
                assert headers["retry-after"] == "5"
                await raw.stream.aclose()
            else:
                seats.append(raw)
        assert set(statuses) == {"101", "503"}
        assert statuses.index("503") > 100
        for raw in seats:
            await raw.stream.aclose()
