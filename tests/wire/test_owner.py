"""Servers that share a database with others, are killed, and lose their file."""

import json
import os
import signal
import subprocess
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import h11
import pytest
import trio

from tests.server.http.world import token_of
from tests.server.http_client import Answer, Client
from tests.store.conftest import Postgres
from tests.wire.process import Address, command, environment, launched, running
from tests.wire.raw import PATIENCE, connect, wait_until

# More often by hand, such as PARLEY_KILLS=20 scripts/test tests/wire/test_owner.py.
KILLS: Final = int(os.environ.get("PARLEY_KILLS", "5"))

UNLIMITED: Final = {"PARLEY_LOGIN_LIMIT": "0", "PARLEY_REGISTER_LIMIT": "0"}


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    server = Postgres()
    yield server
    server.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def environ(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """The settings of a server with a new database, without tables."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/parley.db"
    else:
        postgres: Postgres = request.getfixturevalue("postgres")
        url = postgres.create()
    return UNLIMITED | {"PARLEY_DATABASE_URL": url}


def run(*words: str, environ: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end."""
    return subprocess.run(
        command(*words),
        env=environment(environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


async def post(server: Address, target: str, body: object, token: str | None = None) -> Answer:
    """Make a request on a connection of its own.

    Raises:
        OSError: or one of Trio's errors, if the server is killed before it answers.
    """
    raw = json.dumps(body).encode()
    lines = [
        f"POST {target} HTTP/1.1",
        "Host: parley.test",
        f"Content-Length: {len(raw)}",
        "Content-Type: application/json",
    ]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    async with await connect(server) as connection:
        client = Client(connection.stream)
        await client.send("\r\n".join([*lines, "", ""]), raw)
        with trio.fail_after(PATIENCE):
            return await client.answer("POST")


async def get(server: Address, target: str, token: str) -> Answer:
    async with await connect(server) as connection:
        client = Client(connection.stream)
        await client.send(
            f"GET {target} HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {token}\r\n\r\n"
        )
        with trio.fail_after(PATIENCE):
            return await client.answer("GET")


async def once_there(ask: Callable[[], Awaitable[Answer]]) -> Answer:
    """Ask again while the database does not answer in time, as on a busy machine it may not."""
    with trio.fail_after(PATIENCE):
        while (answer := await ask()).status == 503:  # noqa: ASYNC110
            await trio.sleep(0.1)
    return answer


async def register(server: Address, name: str) -> Answer:
    body = {"username": name, "email": f"{name}@example.com", "password": "correct horse battery"}
    return await post(server, "/register", body)


def login(name: str) -> dict[str, str]:
    return {"email": f"{name}@example.com", "password": "correct horse battery"}


@pytest.mark.timeout(120)
def test_a_second_server_is_refused_in_one_line(environ: dict[str, str], tmp_path: Path) -> None:
    with running(tmp_path / "log", environ=environ) as first:
        for words in (("--port", "0"), ("db", "upgrade")):
            done = run(*words, environ=environ)
            assert done.returncode == 2
            assert done.stdout == ""
            assert done.stderr.count("\n") == 1
            assert f"in use by another server: process {first.pid} on " in done.stderr
        assert run("db", "current", environ=environ).returncode == 0
    assert run("db", "upgrade", environ=environ).returncode == 0


@pytest.mark.timeout(120)
async def test_a_start_that_overlaps_a_drain_waits_for_its_end(
    environ: dict[str, str], tmp_path: Path
) -> None:
    with launched(tmp_path / "first", environ=environ) as first:
        assert (await register(first, "ada")).status == 201
        # The drain waits for this answer.
        held = await connect(first)
        await held.send(b"POST /register HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\n")
        first.send_signal(signal.SIGTERM)
        await wait_until(lambda: "draining" in first.log.read_text())
        with running(tmp_path / "second", environ=environ) as second:
            # It has given the database up; its process is about to be gone.
            await wait_until(lambda: first.process.poll() is not None)
            assert first.process.poll() == 0
            assert (await post(second, "/login", login("ada"))).status == 200
        held.close()
        assert not first.trouble()


@pytest.mark.timeout(120 + 30 * KILLS)
async def test_what_was_answered_outlives_every_kill(
    environ: dict[str, str], tmp_path: Path
) -> None:
    answered: list[str] = []
    posts: list[int] = []
    token = ""

    async def go_on(server: Address, turn: int, lane: int) -> None:
        """Make accounts and write posts until the server is killed."""
        for number in range(1_000_000):
            name = f"user-{turn}-{lane}-{number}"
            try:
                if lane:
                    answer = await post(server, "/posts", {"text": name}, token)
                else:
                    answer = await register(server, name)
            except (OSError, trio.BrokenResourceError, h11.RemoteProtocolError):
                assert killed
                return
            assert answer.status == 201
            if lane:
                posts.append(answer.json["id"])
            else:
                answered.append(name)

    for turn in range(KILLS):
        with launched(tmp_path / f"log-{turn}", environ=environ) as server:
            if not token:
                token = token_of(await register(server, "first"))
                assert (await post(server, "/posts", {"text": "first"}, token)).status == 201
            before, killed = len(posts), False
            async with trio.open_nursery() as nursery:
                for lane in range(4):
                    nursery.start_soon(go_on, server, turn, lane)
                await wait_until(lambda least=before + 30: len(posts) >= least)  # type: ignore[misc]
                killed = True
                server.process.kill()
            server.process.wait()

    with running(tmp_path / "last", environ=environ) as server:
        for name in answered:
            found = await once_there(partial(post, server, "/login", login(name)))
            assert found.status == 200, name
        for number in posts:
            found = await once_there(partial(get, server, f"/posts/{number}", token))
            assert found.status == 200, number


async def test_a_backup_of_a_running_server_can_be_served(tmp_path: Path) -> None:
    environ = UNLIMITED | {"PARLEY_DATABASE_URL": f"sqlite:///{tmp_path}/parley.db"}
    copy = tmp_path / "copy.db"
    with running(tmp_path / "log", environ=environ) as server:
        assert (await register(server, "ada")).status == 201
        done = run("db", "backup", str(copy), environ=environ)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert (await register(server, "bob")).status == 201
        again = run("db", "backup", str(copy), environ=environ)
        assert again.returncode == 2
        assert "not overwritten" in again.stderr
    environ["PARLEY_DATABASE_URL"] = f"sqlite:///{copy}"
    with running(tmp_path / "restored", environ=environ) as server:
        assert (await post(server, "/login", login("ada"))).status == 200
        assert (await post(server, "/login", login("bob"))).status == 401


async def test_a_server_whose_file_is_deleted_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "parley.db"
    environ = UNLIMITED | {"PARLEY_DATABASE_URL": f"sqlite:///{path}"}
    with launched(tmp_path / "log", environ=environ) as server:
        assert (await register(server, "ada")).status == 201
        path.unlink()
        assert (await register(server, "bob")).status == 503
        await wait_until(lambda: "written anew" in server.log.read_text())
        assert (await once_there(partial(register, server, "bob"))).status == 201
        server.send_signal(signal.SIGTERM)
        assert await trio.to_thread.run_sync(server.exit_code) == 0
    with running(tmp_path / "again", environ=environ) as server:
        for name in ("ada", "bob"):
            assert (await post(server, "/login", login(name))).status == 200
