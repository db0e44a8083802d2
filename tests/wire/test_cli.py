"""The command: its words, its exit codes, its signals, and what it writes where."""

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
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


def armed(pid: int) -> bool:
    """Tell whether a process takes SIGTERM itself; Python by itself leaves it to the system."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return True
    caught = re.search(r"^SigCgt:\s*([0-9a-f]+)$", status, re.MULTILINE)
    assert caught is not None
    return bool(int(caught[1], 16) >> (signal.SIGTERM - 1) & 1)


@contextmanager
def starting(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Start a server; give it as soon as it takes signals, which is before it does anything."""
    database = f"sqlite:///{tmp_path / 'parley.db'}"
    options = ("--host", "127.0.0.1", "--port", "0", "--database-url", database)
    # Measuring coverage takes SIGTERM as well, and earlier: then ours could not be told from it.
    environ = {key: text for key, text in environment().items() if key[:9] != "COVERAGE_"}
    with subprocess.Popen(
        command(*options),
        cwd=ROOT,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            while process.poll() is None and not armed(process.pid):
                os.sched_yield()
            yield process
        finally:
            process.kill()


# From the first imports over the migration of the database to the first second of serving.
MOMENTS = [0.0, 0.03, 0.1, 0.3, 0.6, 1.0]


@pytest.mark.parametrize("second", [None, signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_signal_at_any_moment_is_no_traceback(
    tmp_path: Path, moment: float, second: signal.Signals | None
) -> None:
    with starting(tmp_path) as process:
        with suppress(subprocess.TimeoutExpired):
            process.wait(moment)  # it does not end by itself
        process.send_signal(signal.SIGINT)
        if second is not None:
            process.send_signal(second)
        out, err = process.communicate(timeout=SECONDS)

    codes = {128 + signal.SIGINT} | ({128 + second} if second is not None else set())
    # Once it serves, the first signal is a drain, which may be over before the second one comes.
    assert process.returncode in codes | ({0} if out else set())
    assert "Traceback" not in err
    assert "Exception" not in err


def test_a_full_disk_is_not_taken_for_an_address(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command(
                "--host", "127.0.0.1", "--port", "0", "--database-url", f"sqlite:///{tmp_path}/x.db"
            ),
            cwd=ROOT,
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "parley: standard output: No space left on device"
    assert "Traceback" not in done.stderr


def test_another_package_of_our_name_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "protocol").mkdir()
    strange = tmp_path / "protocol" / "__init__.py"
    strange.write_text("raise AssertionError('must not be imported')")

    done = subprocess.run(
        command("--version"),
        cwd=tmp_path,
        env=environment({"PYTHONPATH": str(tmp_path)}),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"parley: the package 'protocol' of {ROOT} is hidden by another one in ")
    assert str(strange.parent) in line


def within(files: int, *options: str) -> list[str]:
    """Make the command line of a server that may have so many files open."""
    limited = ["bash", "-c", 'ulimit -n "$1"; shift; exec "$@"', "limited", str(files)]
    return [*limited, *command("--port", "0", "--host", "127.0.0.1", *options)]


@pytest.mark.parametrize(
    ("files", "connections", "fit"), [(1000, 1000, None), (1000, 800, None), (1000, 1200, 936)]
)
def test_too_few_open_files_are_a_warning_only_below_what_is_configured(
    tmp_path: Path, files: int, connections: int, fit: int | None
) -> None:
    log = tmp_path / "log"
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            within(files, "--max-connections", str(connections)),
            cwd=ROOT,
            env=environment({"PARLEY_DATABASE_URL": f"sqlite:///{tmp_path / 'parley.db'}"}),
            stdout=subprocess.PIPE,
            stderr=errors,
        ) as process,
    ):
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"parley: listening")
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0
    warnings = [line for line in log.read_text().splitlines() if "open files" in line]
    assert len(warnings) == (0 if fit is None else 1)
    for line in warnings:
        assert f"fit={fit}" in line
        assert f"ulimit -n {connections + 64} " in line
        assert "LimitNOFILE=" in line


async def test_writes_lost_on_the_way_out_are_told_and_the_drain_is_over_in_time(
    tmp_path: Path,
) -> None:
    with launched(tmp_path / "log", "--drain-seconds", "1") as server:
        async with full_room(server, 2) as room:
            with closing(sqlite3.connect(tmp_path / "log.db", isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")  # nobody else can write from here on
                await room.admin.say("BEGIN_VOTING", ticket_id="T")
                for member in room.members:
                    await member.say("MEMBER_VOTED", ticket_id="T", vote="5")
                await room.admin.wait_for("REVEAL_VOTES_PROMPT")
                await room.admin.say("REVEAL_VOTES", ticket_id="T")
                await room.admin.wait_for("VOTES_REVEALED")
                server.send_signal(signal.SIGTERM)
                assert await trio.to_thread.run_sync(server.exit_code) == 1
    log = server.log.read_text()
    assert "not written before the end" in log
    assert "Traceback" not in log
