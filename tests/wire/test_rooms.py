"""Rooms opened over HTTP, which outlive the server's process: however it ends."""

import signal
from pathlib import Path
from typing import Any

import pytest
import trio

from server.client import Room, create_room, open_room
from tests.wire.process import Server, launched, running
from tests.wire.raw import Answer, connect, fetch

CARDS = {"Ann": "5", "Bob": "8"}


def folder(tmp_path: Path, number: int) -> tuple[Path, dict[str, str]]:
    """Say where the log of a server goes, and that all of them share a database."""
    return tmp_path / f"log{number}", {"PARLEY_DATABASE_URL": f"sqlite:///{tmp_path}/shared.db"}


async def play(ann: Room, bob: Room, ticket: str) -> None:
    """Play a whole round, and wait until the server says that it is kept."""
    await ann.begin(ticket)
    await bob.wait_for(lambda picture: picture.round is not None)
    await ann.vote(CARDS["Ann"])
    await bob.vote(CARDS["Bob"])
    await ann.reveal()


async def votes(server: Server, results: str) -> list[tuple[str, dict[str, str]]]:
    found = (await fetch(server, results)).json
    return [
        (each["ticket_id"], {vote["name"]: vote["value"] for vote in each["votes"]})
        for each in found["tickets"]
    ]


async def delete(server: Server, path: str, key: str) -> Answer:
    async with await connect(server) as raw:
        lines = [f"DELETE {path} HTTP/1.1", "Host: parley.test", f"Authorization: Bearer {key}"]
        await raw.send("\r\n".join([*lines, "Connection: close", "", ""]).encode())
        status, headers = await raw.head()
        return Answer(int(status.split()[1]), headers, await raw.rest())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_what_was_acknowledged_is_there_after_a_restart(
    number: signal.Signals, tmp_path: Path
) -> None:
    log, environ = folder(tmp_path, 1)
    with launched(log, environ=environ) as first:
        opened = await create_room(
            first.url, capacity=4, name="Sprint", deck=["1", "5", "8"], grace_seconds=60
        )
        async with (
            open_room(first.url, opened.id, name="Ann", owner_key=opened.owner_key) as ann,
            open_room(first.url, opened.id, name="Bob") as bob,
        ):
            await play(ann, bob, "T-1")
            await ann.begin("T-2")
            await bob.wait_for(lambda picture: picture.round is not None)
            await bob.vote("8")
            with trio.fail_after(10):
                await ann.settled()
                await bob.settled()
            tokens = [each.welcome.token for each in (ann, bob) if each.welcome is not None]
            before = bob.picture
            first.send_signal(number)
            code = await trio.to_thread.run_sync(first.exit_code)
        assert code == (0 if number == signal.SIGTERM else -number)
        assert not first.trouble()

    log, environ = folder(tmp_path, 2)
    with launched(log, environ=environ) as second:
        door: Any = (await fetch(second, opened.socket)).json
        assert (door["name"], door["stage"]) == ("Sprint", "voting")
        assert [(each["name"], each["owner"], each["here"]) for each in door["people"]] == [
            ("Ann", True, False),
            ("Bob", False, False),
        ]
        async with (
            open_room(second.url, opened.id, seat_token=tokens[0], last_ref=99) as ann,
            open_room(second.url, opened.id, seat_token=tokens[1], last_ref=99) as bob,
        ):
            after = bob.picture
            assert after.seq > before.seq
            assert after.cards == before.cards
            assert [each.id for each in after.members] == [each.id for each in before.members]
            assert after.shown == before.shown
            assert after.round is not None
            assert (after.round.number, after.round.ticket) == (2, "T-2")
            assert bob.mine.card == "8"
            await ann.vote("5")
            await ann.reveal()
            with trio.fail_after(10):
                await ann.settled()
        assert opened.results is not None
        assert await votes(second, opened.results) == [("T-1", CARDS), ("T-2", CARDS)]

        assert (await delete(second, opened.socket, "guess")).status == 403
        assert (await delete(second, opened.socket, opened.owner_key)).status == 204
        second.send_signal(signal.SIGKILL)
        await trio.to_thread.run_sync(second.exit_code)
        assert not second.trouble()

    log, environ = folder(tmp_path, 3)
    with running(log, environ=environ) as third:
        assert (await fetch(third, opened.socket)).status == 410
        assert await votes(third, opened.results) == [("T-1", CARDS), ("T-2", CARDS)]
