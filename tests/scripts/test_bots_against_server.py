"""The chat and social bots against the real server, started as a child process."""

import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from tests.scripts.test_bots_cli import ROOT, bots


@attrs.frozen
class Served:
    url: str
    file: Path


async def serve(file: Path, *options: str) -> tuple[trio.Process, str]:
    """Start a server; the caller ends it."""
    command = ["--host", "127.0.0.1", "--port", "0", "--database-url", f"sqlite:///{file}"]
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", "server", *command, "--log-level", "error", *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    shown = b""
    with trio.fail_after(20):
        async for chunk in process.stdout:
            shown += chunk
            if found := re.search(rb"http://\S+:\d+(?=\n)", shown):
                return process, found[0].decode()
    raise AssertionError("the server ended")


async def end(process: trio.Process) -> None:
    process.terminate()
    with trio.fail_after(20):
        assert await process.wait() == 0


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    file = tmp_path / "parley.db"
    process, url = await serve(file, "--register-limit", "0", "--login-limit", "0")
    try:
        yield Served(url, file)
        await end(process)
    finally:
        process.kill()


async def outcome(*arguments: str) -> dict[str, Any]:
    done = await bots(*arguments, "--seed", "1", "--json")
    assert not done.stderr, done.stderr.decode()
    told: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == 0, told
    return told


async def test_chat(served: Served) -> None:
    told = await outcome(
        *("chat", "--url", served.url, "--rooms", "2", "--members", "4", "--messages", "25"),
        *("--rate", "15", "--late", "0.4", "--rejoin", "0.4", "--second", "0.4"),
    )

    assert told["rooms_done"] == 2
    assert told["back_ms"]["count"] == 2 * 4 * 25


async def test_chat_with_accounts_that_are_there(served: Served) -> None:
    for _ in range(2):
        told = await outcome(
            *("chat", "--url", served.url, "--members", "2", "--messages", "3"),
            *("--rate", "15", "--accounts", "crew"),
        )
        assert told["rooms_done"] == 1


async def test_social(served: Served) -> None:
    told = await outcome("social", "--url", served.url, "--users", "5", "--posts", "10")

    assert told["posts"] == 50
    assert told["timelines"] > 0


async def test_measuring_the_timeline(served: Served) -> None:
    measure = ["--measure-timeline", str(served.file), "--requests", "20", "--p99", "5000"]
    told = await outcome("social", "--url", served.url, *measure)

    kinds = ("first_page_ms", "later_pages_ms", "long_page_ms")
    assert [told[kind]["count"] for kind in kinds] == [20, 20, 20]


async def test_a_timeline_that_takes_too_long(served: Served) -> None:
    measure = ["--measure-timeline", str(served.file), "--requests", "5", "--p99", "0.001"]
    done = await bots("social", "--url", served.url, *measure, "--json")

    assert done.returncode == 1
    assert json.loads(done.stdout)["violations_by_rule"] == {"slow": 2}


@pytest.mark.parametrize("name", ["other.db", "missing.db"])
async def test_a_database_that_is_not_the_servers(served: Served, name: str) -> None:
    file = served.file.with_name(name)
    if name == "other.db":
        process, _ = await serve(file)
        await end(process)
    done = await bots("social", "--url", served.url, "--measure-timeline", str(file))

    assert done.returncode == 1
    assert not done.stdout
    [line] = done.stderr.decode().splitlines()
    assert name in line


async def test_a_server_with_its_limits_on(tmp_path: Path) -> None:
    process, url = await serve(tmp_path / "parley.db", "--register-limit", "5")
    try:
        done = await bots("social", "--url", url, "--users", "6")
        await end(process)
    finally:
        process.kill()

    assert done.returncode == 1
    [line] = done.stderr.decode().splitlines()
    assert line.endswith("start it with --register-limit 0 --login-limit 0")
