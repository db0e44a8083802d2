"""The whole server with its database: the process, its exit codes, its health."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import trio

from server.store import migrate
from tests.store.conftest import Postgres
from tests.store.people import until


@contextlib.contextmanager
def server(url: str) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """Run the server; give its address and the process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "server", "--host", "127.0.0.1", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PARLEY_DATABASE_URL": url},
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line.startswith("parley: listening on http://"), process.communicate()
        yield line.split()[-1], process
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=50)
        assert process.returncode == 0, errors
    finally:
        process.kill()
        process.communicate()


def ask(address: str, path: str) -> Any:
    with urllib.request.urlopen(address + path, timeout=20) as answer:  # noqa: S310 - our own
        assert answer.status == 200
        return answer.read().decode()


def status(address: str) -> str:
    """Ask for something of the database first, as any visitor would."""
    with contextlib.suppress(OSError):
        ask(address, "/rooms/abcdef/results")
    return str(json.loads(ask(address, "/health"))["status"])


def run(*arguments: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "server", *arguments],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_the_schema_is_shown_and_migrated_by_commands(empty_url: str) -> None:
    option = f"--database-url={empty_url}"

    assert run("db", "current", option) == (0, "empty\n", "")
    assert run("db", "upgrade", option) == (0, f"{migrate.newest()}\n", "")
    assert run("db", "current", option) == (0, f"{migrate.newest()}\n", "")


@pytest.mark.parametrize("command", [["serve", "--port=0"], ["db", "upgrade"], ["db", "current"]])
def test_a_database_that_is_not_there_is_one_line_and_code_2(command: list[str]) -> None:
    code, out, errors = run(*command, "--database-url=postgresql://u:secret@127.0.0.1:1/x")

    assert (code, out) == (2, "")
    assert errors.startswith("parley: the database postgresql+psycopg://u:***@127.0.0.1:1/x ")
    assert errors.count("\n") == 1


def test_the_server_migrates_before_it_listens_and_counts_what_it_writes(empty_url: str) -> None:
    with server(empty_url) as (address, _):
        assert run("db", "current", f"--database-url={empty_url}")[1] == f"{migrate.newest()}\n"
        health = json.loads(ask(address, "/health"))
        assert (health["status"], health["backlog"]) == ("ok", 0)
        metrics = ask(address, "/metrics")
        for name in ("writes_waiting_current", "writes_done_total", "writes_dropped_total"):
            assert f"\nparley_{name} 0.0\n" in metrics


async def test_health_is_degraded_while_the_database_is_gone(
    postgres: Postgres, postgres_template: str
) -> None:
    async def shows(wanted: str, address: str) -> bool:
        return await trio.to_thread.run_sync(status, address) == wanted

    with server(postgres.create(postgres_template)) as (address, _):
        await until(partial(shows, "ok", address))
        await trio.to_thread.run_sync(postgres.stop)
        try:
            await until(partial(shows, "degraded", address))
        finally:
            postgres.start()
        await until(partial(shows, "ok", address))
