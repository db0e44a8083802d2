"""The conformance suite of Autobahn against the real server, and its essence without it."""

import re
import subprocess
from collections.abc import AsyncIterator, Iterator

import pytest
import trio

from tests.wire.process import ROOT, Server, environment, running
from tests.wire.raw import (
    BINARY,
    CONTINUATION,
    FIN,
    PING,
    PONG,
    TEXT,
    Closed,
    Raw,
    close_frame,
    frame,
    open_websocket,
    upgrade,
)

SUITE_SECONDS = 280.0
"""Some 10; with making its environment 30; and more where packages come from far away."""


# Longer than others: what is fetched from the package index is not in our hands.
@pytest.mark.timeout(300)
def test_the_fuzzing_client_finds_nothing_to_complain_of() -> None:
    done = subprocess.run(
        [ROOT / "scripts" / "autobahn"],
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SUITE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("247 cases")
    for line in done.stdout.splitlines()[1:3]:
        counts = {word: int(count) for count, word in re.findall(r"(\d+) ([A-Z-]+)", line)}
        assert counts == {"OK": 244, "INFORMATIONAL": 3}, done.stdout


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("echo") / "log", "--echo") as one:
        yield one


@pytest.fixture
async def echo(server: Server) -> AsyncIterator[Raw]:
    async with await open_websocket(server, upgrade("/ws/echo")) as raw:
        yield raw


async def ended(echo: Raw, code: int) -> None:
    (end,) = await echo.all()
    assert isinstance(end, Closed)
    assert end.code == code


@pytest.mark.parametrize("size", [0, 125, 126, 127, 128, 65_535, 65_536])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
async def test_payloads_around_every_border_of_the_length_come_back(
    echo: Raw, size: int, opcode: int
) -> None:
    await echo.send(frame(b"*" * size, opcode))
    assert await echo.frame() == (opcode, b"*" * size)
    await echo.send(close_frame())
    await ended(echo, 1000)


async def test_a_payload_in_single_bytes_comes_back(echo: Raw) -> None:
    for byte in frame("Hello-µ@ßöäüàá-UTF-8!!"):
        await echo.send(bytes([byte]))
    assert await echo.frame() == (TEXT, "Hello-µ@ßöäüàá-UTF-8!!".encode())


@pytest.mark.parametrize("size", [0, 125])
async def test_a_ping_comes_back_as_a_pong_and_a_longer_one_fails(echo: Raw, size: int) -> None:
    await echo.send(frame(b"\xfe" * size, PING))
    assert await echo.frame() == (PONG, b"\xfe" * size)
    await echo.send(frame(b"\xfe" * 126, PING))
    await ended(echo, 1002)


async def test_pings_between_fragments_are_answered_before_the_message(echo: Raw) -> None:
    await echo.send(
        frame("fragment1", first=TEXT),
        frame("1", PING),
        frame("fragment2", first=CONTINUATION),
        frame("2", PING),
        frame("fragment3", CONTINUATION),
    )
    assert await echo.frame() == (PONG, b"1")
    assert await echo.frame() == (PONG, b"2")
    assert await echo.frame() == (TEXT, b"fragment1fragment2fragment3")


async def test_a_good_message_is_echoed_though_a_bad_frame_follows_at_once(echo: Raw) -> None:
    await echo.send(frame("good"), frame("bad", first=FIN | 0x40 | TEXT), frame("PING", PING))
    good, end = await echo.all()
    assert good == "good"
    assert isinstance(end, Closed)
    assert end.code == 1002


async def test_a_message_may_be_cut_inside_of_a_character(echo: Raw) -> None:
    text = "κόσμε 🃏".encode()
    await echo.send(
        frame(text[:1], first=TEXT),
        *(frame(text[n : n + 1], first=CONTINUATION) for n in range(1, len(text))),
        frame(b"", CONTINUATION),
    )
    assert await echo.frame() == (TEXT, text)


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 4999])
async def test_a_valid_close_code_is_answered_with_itself(echo: Raw, code: int) -> None:
    await echo.send(close_frame(code, "reason"))
    await ended(echo, code)


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65_535])
async def test_an_invalid_close_code_fails_the_connection(echo: Raw, code: int) -> None:
    await echo.send(close_frame(code))
    await ended(echo, 1002)


async def test_many_messages_at_once_come_back_in_order(echo: Raw) -> None:
    count = 2000
    async with trio.open_nursery() as nursery:
        nursery.start_soon(echo.send, *(frame(f"{n}", TEXT) for n in range(count)))
        for number in range(count):
            assert await echo.frame() == (TEXT, b"%d" % number)
