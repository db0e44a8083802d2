"""The command: its words, its exit codes, its signals, and what it writes where."""

import json
import os
import re
import signal
import socket
import subprocess
from pathlib import Path

import pytest
import trio

from server.settings.options import OPTIONS
from tests.wire.process import ROOT, command, environment, launched, running
from tests.wire.raw import (
    PATIENCE,
    Closed,
    Event,
    close_frame,
    create,
    fetch,
    full_room,
    open_websocket,
    upgrade,
    wait_for_metrics,
    works,
)

SECONDS = 30.0


def run(*options: str, environ: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    """Run the command to its end."""
    return subprocess.run(
        command(*options),
        cwd=ROOT,
        env=environment({"COLUMNS": "100"} | (environ or {})),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def test_the_help_names_every_option_with_unit_default_and_variable() -> None:
    done = run("--help")
    assert done.returncode == 0
    assert done.stderr == ""
    text = " ".join(done.stdout.split())
    for option in OPTIONS:
        unit = f" {option.unit}" if option.unit else ""
        assert f"{option.flag}{unit} " in text
        assert f"(default {option.shown_default}; {option.variable})" in text


def test_the_version_is_one_line() -> None:
    done = run("--version")
    assert done.returncode == 0
    assert re.fullmatch(r"parley \d+\.\d+\.\d+\n", done.stdout)
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("options", "environ", "word"),
    [
        (["--port", "99999"], {}, "--port"),
        (["--port"], {}, "--port"),
        (["--unknown"], {}, "--unknown"),
        (["nonsense"], {}, "nonsense"),
        (["--inbound-rate", "fast"], {}, "--inbound-rate"),
        (["--host", "a\nb"], {}, "--host"),
        (["--host", "host.invalid", "--port", "0"], {}, "host.invalid"),
        (["--host", "192.0.2.1", "--port", "0"], {}, "192.0.2.1"),
        ([], {"PARLEY_PORT": "99999"}, "PARLEY_PORT"),
        ([], {"PARLEY_INBOUND_RATE": "fast"}, "PARLEY_INBOUND_RATE"),
    ],
)
def test_nonsense_is_answered_with_one_line_and_exit_code_2(
    options: list[str], environ: dict[str, str], word: str
) -> None:
    done = run(*options, environ=environ)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("parley: ")
    assert word in line


def test_a_port_in_use_is_named_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("--host", "127.0.0.1", "--port", str(port))
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert f"127.0.0.1:{port}" in line
    assert "in use" in line


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_with_1001_and_exit_code_0(
    tmp_path: Path, number: signal.Signals
) -> None:
    with launched(tmp_path / "log", "--echo") as server:
        echo = await open_websocket(server, upgrade("/ws/echo"))
        async with echo, full_room(server, 3) as room:
            server.send_signal(number)
            for member in room.members:
                told, end = await member.all()
                assert isinstance(told, Event)
                assert told.type == "ROOM_JOIN_UPDATES"
                assert isinstance(end, Closed)
                assert end.code == 1001
                assert end.reason == "the server is shutting down"
            (end,) = await echo.all()
            assert isinstance(end, Closed)
            assert end.code == 1001
        assert await trio.to_thread.run_sync(server.exit_code) == 0
        assert server.process.stdout is not None
        assert server.process.stdout.read() == "", "there is more than one line on stdout"
        assert not server.trouble()
        with pytest.raises(OSError, match="refused"):
            socket.create_connection((server.host, server.port)).close()


async def test_a_signal_ends_a_server_without_visitors_at_once(tmp_path: Path) -> None:
    with launched(tmp_path / "log") as server:
        server.send_signal(signal.SIGTERM)
        with trio.fail_after(PATIENCE):
            assert await trio.to_thread.run_sync(server.exit_code) == 0


async def test_a_second_signal_does_not_wait_for_a_member_that_does_not_answer(
    tmp_path: Path,
) -> None:
    options = ("--close-seconds", "600", "--drain-seconds", "600")
    with launched(tmp_path / "log", *options) as server:
        admin, _ = await create(server)
        async with admin:
            server.send_signal(signal.SIGTERM)
            *_, end = [await admin.next(), await admin.next()]
            assert isinstance(end, Closed)
            assert end.code == 1001
            server.send_signal(signal.SIGTERM)  # and no answer to the close frame
            with trio.fail_after(PATIENCE):
                assert await trio.to_thread.run_sync(server.exit_code) == 128 + signal.SIGTERM
            await admin.rest()
        assert "Traceback" not in server.log.read_text()


async def test_a_drain_is_over_in_time_though_a_member_does_not_answer(tmp_path: Path) -> None:
    options = ("--close-seconds", "600", "--drain-seconds", "0.5")
    with launched(tmp_path / "log", *options) as server:
        admin, _ = await create(server)
        async with admin:
            server.send_signal(signal.SIGTERM)
            with trio.fail_after(PATIENCE):
                assert await trio.to_thread.run_sync(server.exit_code) == 0
            *_, end = await admin.all(answer=False)
            assert isinstance(end, Closed)
            assert end.code == 1001
        assert "Traceback" not in server.log.read_text()


VOTES = ("½", "coffee", "100")


@pytest.mark.parametrize("style", ["json", "text"])
async def test_the_log_has_a_line_for_each_opening_and_end_and_no_vote(
    tmp_path: Path, style: str
) -> None:
    log = tmp_path / "log"
    with running(log, "--log-format", style, "--log-level", "debug") as server:
        async with full_room(server, 3) as room:
            await room.admin.say("BEGIN_VOTING", ticket_id="T")
            for member, vote in zip(room.members, VOTES, strict=True):
                await member.say("MEMBER_VOTED", ticket_id="T", vote=vote)
            await room.admin.wait_for("REVEAL_VOTES_PROMPT")
            before = log.read_text()
            await room.admin.send(close_frame())
            for member in room.members:
                await member.all()
        await wait_for_metrics(server, rooms_current=0)
    assert not any(vote in before for vote in VOTES if vote != "100")
    assert not re.search(r"\b100\b", before)
    text = log.read_text()
    assert text.endswith("\n")
    if style == "json":
        lines = [json.loads(line) for line in text.splitlines()]
        assert all({"timestamp", "level", "event", "component"} <= set(line) for line in lines)
        of_room = [
            f"{line['component']}: {line['event']}"
            for line in lines
            if line.get("room") == room.room_id
        ]
    else:
        of_room = [
            " ".join(line.split()[2:4])
            for line in text.splitlines()
            if f"room={room.room_id}" in line
        ]
    assert of_room == ["room: opened", *["connection: closed"] * 3, "room: closed"]
    assert text.count("peer_closed") == 1
    assert text.count("room_ended") == 2


async def test_the_environment_sets_what_the_command_line_does_not(tmp_path: Path) -> None:
    environ = {"PARLEY_MAX_ROOM_CAPACITY": "3", "PARLEY_ECHO": "yes", "PARLEY_MAX_ROOMS": "1",
               "PARLEY_LOG_FORMAT": "json", "PARLEY_TYPO": "1"}  # fmt: skip
    with running(tmp_path / "log", "--max-rooms", "2", environ=environ) as server:
        first, _ = await create(server, capacity=3)
        second, _ = await create(server, capacity=3)
        async with first, second:
            for name, capacity in (("Third", 3), ("Large", 4)):
                raw = await open_websocket(server, creating_of(name, capacity))
                async with raw:
                    text, end = await raw.all()
                assert isinstance(text, str)
                assert ("room" if capacity == 3 else "max_room_capacity") in text
                assert isinstance(end, Closed)
                assert end.code == 1000
        (await open_websocket(server, upgrade("/ws/echo"))).close()
        lines = [json.loads(line) for line in server.log.read_text().splitlines()]
        assert any(line.get("name") == "PARLEY_TYPO" for line in lines)


def creating_of(name: str, capacity: int) -> bytes:
    return upgrade(query=f"action=CREATE_ROOM&name={name}&max_room_capacity={capacity}")


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("host", ["::1"] if has_ipv6() else [])
async def test_it_listens_on_ipv6(tmp_path: Path, host: str) -> None:
    with running(tmp_path / "log", "--host", host) as server:
        assert server.url.startswith("http://[::1]:")
        await works(server)
        assert (await fetch(server, "/health")).json["status"] == "ok"


async def test_it_goes_on_when_nobody_reads_its_log(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        with launched(tmp_path / "log", stderr=write) as server:
            await works(server)
            server.send_signal(signal.SIGTERM)
            with trio.fail_after(PATIENCE):
                assert await trio.to_thread.run_sync(server.exit_code) == 0
    finally:
        os.close(write)
