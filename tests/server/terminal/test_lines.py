"""Reading lines, whatever they come from."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from server.terminal.lines import Lines


async def every(lines: Lines) -> list[str]:
    found: list[str] = []
    while (line := await lines.next()) is not None:
        found.append(line)
    return found


def given(*pieces: bytes) -> Callable[[int, int], bytes]:
    waiting = [*pieces, b""]
    return lambda descriptor, size: waiting.pop(0)


@pytest.mark.parametrize(
    ("pieces", "lines"),
    [
        ([], []),
        ([b"a\nb\n"], ["a", "b"]),
        ([b"a", b"b\n\nc"], ["ab", "", "c"]),
        (["½\n".encode()[:1], "½\n".encode()[1:]], ["½"]),
        ([b"\xff\n"], ["\ufffd"]),
    ],
)
async def test_lines_come_whole_however_they_are_cut(pieces: list[bytes], lines: list[str]) -> None:
    assert await every(Lines(0, given(*pieces))) == lines


async def test_a_line_without_end_is_not_gathered_for_ever() -> None:
    line = await Lines(0, lambda descriptor, size: b"x" * size).next()
    assert line is not None
    assert len(line) < 100_000


async def test_what_cannot_be_read_is_at_its_end() -> None:
    def fail(descriptor: int, size: int) -> bytes:
        raise OSError(5, "broken")

    assert await Lines(0, fail).next() is None


async def test_a_file_is_read_as_well_as_a_pipe(tmp_path: Path) -> None:
    file = tmp_path / "lines"
    file.write_text("a\nb")
    with file.open("rb") as opened:
        assert await every(Lines(opened.fileno())) == ["a", "b"]


async def test_waiting_for_a_line_can_be_given_up() -> None:
    here, there = os.pipe()
    try:
        with trio.CancelScope() as scope:
            scope.cancel()
            await Lines(here).next()
        assert scope.cancelled_caught
    finally:
        os.close(there)  # lets the thread go
        os.close(here)
