"""The bots as a command: arguments, exit codes, and servers that misbehave in a chosen way."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from scripts.botlib.cli import main
from tests.scripts.fake_parley import FakeParley
from tests.scripts.fake_room import Delivery, Fault, Message, changed, instead, twice
from tests.scripts.fake_server import Ending, FakeServer
from tests.scripts.fake_world import Reply, Request, World

ROOT = Path(__file__).parents[2]


def honest(delivery: Delivery) -> list[Message] | None:
    return None


async def poker(server: FakeServer, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Run ``poker --json`` against ``server``; gives exit code and outcome."""
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        command = ["poker", "--url", server.url, "--seed", "1", "--timeout", "1", "--json"]
        done = await bots(*command, *arguments)
        nursery.cancel_scope.cancel()
    assert not done.stderr
    outcome: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, outcome


async def bots(*arguments: str) -> "subprocess.CompletedProcess[bytes]":
    return await trio.run_process(
        [sys.executable, "-m", "scripts.botlib", *arguments],
        cwd=ROOT,
        check=False,
        capture_stdout=True,
        capture_stderr=True,
    )


# --- arguments ------------------------------------------------------------------------------

URL = ["--url", "ws://127.0.0.1:1"]
HTTP = ["--url", "http://127.0.0.1:1"]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["dance"],
        ["poker"],
        ["poker", "--url", "http://127.0.0.1:1"],
        ["poker", "--url", "ws://"],
        ["poker", "--url", "ws://127.0.0.1:port"],
        ["poker", "--url", "ws://127.0.0.1:99999"],
        ["poker", "--url", "ws://127.0.0.1:0"],
        ["poker", "--url", "ws://[::1"],
        ["poker", "--url", "ws://127.0.0.1:1/ws?action=x"],
        ["poker", "--url", "ws://me@127.0.0.1:1"],
        ["poker", "--url", "127.0.0.1:1"],
        ["poker", *URL, "--rooms", "0"],
        ["poker", *URL, "--members", "1"],
        ["poker", *URL, "--members", "two"],
        ["poker", *URL, "--tickets", "-1"],
        ["poker", *URL, "--timeout", "0"],
        ["poker", *URL, "--timeout", "nan"],
        ["poker", *URL, "--think-time", "-1"],
        ["poker", *URL, "--think-time", "inf"],
        ["poker", *URL, "--connect-concurrency", "0"],
        ["poker", *URL, "--deck", "tarot"],
        ["poker", *URL, "--seed", "x"],
        ["poker", *URL, "more"],
        ["chat"],
        ["chat", *URL],
        ["chat", *HTTP, "--rooms", "0"],
        ["chat", *HTTP, "--members", "1"],
        ["chat", *HTTP, "--messages", "0"],
        ["chat", *HTTP, "--rate", "0"],
        ["chat", *HTTP, "--late", "1.1"],
        ["chat", *HTTP, "--rejoin", "-0.1"],
        ["chat", *HTTP, "--second", "some"],
        ["chat", *HTTP, "--timeout", "0"],
        ["chat", "--url", "http://127.0.0.1:1/?x"],
        ["social"],
        ["social", *URL],
        ["social", *HTTP, "--users", "1"],
        ["social", *HTTP, "--posts", "-1"],
        ["social", *HTTP, "--follows", "few"],
        ["social", *HTTP, "--concurrency", "0"],
        ["social", *HTTP, "--measure-timeline"],
        ["social", *HTTP, "--p99", "0"],
    ],
    ids=" ".join,
)
def test_nonsense_is_refused_in_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2

    out, err = capsys.readouterr()
    assert not out
    assert len(err.splitlines()) == 1


def test_help_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["poker", "--help"]) == 0
    assert "--connect-concurrency" in capsys.readouterr().out


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_server_that_cannot_be_reached_is_one_line(
    more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["poker", *URL, "--rooms", "3", *more]) == 1

    out, err = capsys.readouterr()
    assert not out
    assert len(err.splitlines()) == 1
    assert "127.0.0.1:1" in err


@pytest.mark.parametrize("bots", ["chat", "social"])
def test_an_http_server_that_cannot_be_reached_is_one_line(
    bots: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([bots, *HTTP, "--json"]) == 1

    out, err = capsys.readouterr()
    assert not out
    assert err.startswith(f"scripts/bots {bots}: no connection")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("path", ["/register", "/login"])
@pytest.mark.parametrize("command", [["chat", "--accounts", "crew"], ["social"]])
async def test_a_server_that_limits_registrations_or_logins_is_one_line(
    command: list[str], path: str
) -> None:
    def twist(world: World, request: Request, reply: Reply) -> Reply | None:
        return Reply(429, {"error": "later"}) if request.path == path else None

    async with trio.open_nursery() as nursery:
        server = FakeParley(World(twist=twist))
        await nursery.start(server.run)
        done = await bots(*command, "--url", server.url, "--json")
        nursery.cancel_scope.cancel()

    assert done.returncode == 1
    assert not done.stdout
    [line] = done.stderr.decode().splitlines()
    what = "registrations (5 in 30" if path == "/register" else "logins (10 a minute"
    assert line.startswith(f"scripts/bots {command[0]}: the server limits {what}")
    assert line.endswith("start it with --register-limit 0 --login-limit 0")


async def test_chat_and_social_as_commands() -> None:
    async with trio.open_nursery() as nursery:
        server = FakeParley()
        await nursery.start(server.run)
        more = ["--seed", "7", "--url", server.url]
        talked = await bots("chat", "--messages", "4", "--rate", "50", *more, "--json")
        told = await bots("social", "--users", "3", "--posts", "3", *more)
        nursery.cancel_scope.cancel()

    assert talked.returncode == told.returncode == 0, talked.stdout + told.stdout
    assert not talked.stderr + told.stderr
    outcome = json.loads(talked.stdout)
    assert outcome["ok"]
    assert outcome["seed"] == 7
    assert outcome["back_ms"]["count"] == 5 * 4
    assert "timelines read" in told.stdout.decode()


async def test_an_interrupted_chat_ends_with_what_was_measured() -> None:
    heard = trio.Event()

    def fault(delivery: object) -> None:
        heard.set()

    server = FakeParley(fault=fault)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        command = ["chat", "--url", server.url, "--rate", "0.1", "--json"]
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "scripts.botlib", *command], cwd=ROOT, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        with trio.fail_after(20):
            await heard.wait()
            os.kill(process.pid, signal.SIGINT)
            shown = b"".join([chunk async for chunk in process.stdout])
            code = await process.wait()
        nursery.cancel_scope.cancel()

    assert code == 130
    assert json.loads(shown)["interrupted"]


async def test_a_server_that_hangs_up_is_one_line() -> None:
    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, trio.aclose_forcefully, [listener])
        port = listener.socket.getsockname()[1]
        done = await bots("poker", "--url", f"ws://127.0.0.1:{port}")
        nursery.cancel_scope.cancel()

    assert done.returncode == 1
    assert not done.stdout
    assert len(done.stderr.splitlines()) == 1


# --- sessions -------------------------------------------------------------------------------


async def test_an_honest_server_passes() -> None:
    code, outcome = await poker(
        FakeServer(lambda: honest), "--rooms", "3", "--members", "4", "--tickets", "2"
    )

    assert code == 0, outcome
    assert outcome["ok"]
    assert outcome["rooms_done"] == 3
    assert outcome["rounds"] == 6
    assert outcome["connections"] == 12
    assert outcome["vote_ms"]["count"] == 24
    assert outcome["messages_out"] == 12 + 6 + 24 + 6
    assert outcome["seed"] == 1


async def test_the_table_is_for_people() -> None:
    async with trio.open_nursery() as nursery:
        server = FakeServer(lambda: honest)
        await nursery.start(server.run)
        done = await bots("poker", "--url", server.url, "--deck", "client", "--think-time", "0.01")
        nursery.cancel_scope.cancel()

    assert done.returncode == 0
    assert not done.stderr
    assert "rounds/s" in done.stdout.decode()


def leaking(delivery: Delivery) -> str:
    return f"{delivery.text}: {list(delivery.room.votes.values())[-1]}"


@pytest.mark.parametrize(
    ("fault", "rule"),
    [
        (lambda: twice("VOTING_COMPLETED"), "out-of-order"),
        (lambda: twice("BEGIN_VOTING_PROMPT", to=0), "out-of-order"),
        (lambda: changed("text", leaking), "leak"),
        (lambda: instead("ASK_FOR_VOTE", '{"type": "PING", "data": {}}'), "malformed"),
        (lambda: instead("ASK_FOR_VOTE", b"\0"), "binary"),
        (lambda: instead("CREATE_ROOM", "! No.", to=0), "unexpected-text"),
    ],
)
async def test_a_server_that_breaks_a_rule_fails(fault: Callable[[], Fault], rule: str) -> None:
    code, outcome = await poker(FakeServer(fault), "--members", "3")

    assert code == 1
    assert rule in outcome["violations_by_rule"]


async def test_a_message_that_never_comes_is_waited_for_no_longer_than_allowed() -> None:
    fault = lambda: instead("VOTING_COMPLETED", to=0)  # noqa: E731
    with trio.fail_after(20):
        code, outcome = await poker(FakeServer(fault), "--members", "3", "--rooms", "2")

    assert code == 1
    assert outcome["rooms_done"] == 0
    assert any("VOTING_COMPLETED" in error for error in outcome["listed_errors"])


@pytest.mark.parametrize(
    ("ending", "rule"),
    [
        (Ending(code=None), "no-close-frame"),
        (Ending(code=1000), "close-code"),
        (Ending(reason=None), "close-reason"),
        (Ending(linger=True), "left-open"),
    ],
)
async def test_a_bad_ending_fails(ending: Ending, rule: str) -> None:
    code, outcome = await poker(FakeServer(lambda: honest, ending), "--members", "3")

    assert code == 1
    assert outcome["violations_by_rule"] == {rule: 2}
    assert outcome["rounds"] == 3


async def test_a_broken_room_leaves_the_others_alone() -> None:
    made = 0

    def fault() -> Fault:
        nonlocal made
        made += 1
        return instead("ASK_FOR_VOTE", to=0) if made == 2 else honest

    code, outcome = await poker(FakeServer(fault), "--rooms", "4")

    assert code == 1
    assert outcome["rooms_done"] == 3
    assert outcome["rounds"] == 9


async def test_a_cut_connection_fails() -> None:
    code, outcome = await poker(FakeServer(lambda: honest, cut_at="REVEAL_VOTES"), "--members", "3")

    assert code == 1
    assert outcome["errors"] >= 1
    assert "without a close frame" in outcome["listed_errors"][0]


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
async def test_an_interrupt_ends_with_what_was_measured(sign: signal.Signals) -> None:
    server = FakeServer(lambda: honest, expected=5)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        command = ["poker", "--url", server.url, "--think-time", "1000", "--json"]
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "scripts.botlib", *command], cwd=ROOT, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        with trio.fail_after(20):
            await server.all_there.wait()
            os.kill(process.pid, sign)
            shown = b"".join([chunk async for chunk in process.stdout])
            code = await process.wait()
        nursery.cancel_scope.cancel()

    assert code == 130
    outcome = json.loads(shown)
    assert outcome["interrupted"]
    assert outcome["connections"] == 5
