"""``parley create`` and ``parley join``, as they are typed, against the real server."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.wire.process import ROOT, Server, environment

SECONDS = 30.0


@contextmanager
def seated(*arguments: str) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        [sys.executable, "-m", "server", *arguments],
        cwd=ROOT,
        env=environment({"PYTHONIOENCODING": "ascii"}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def opened(process: "subprocess.Popen[str]") -> str:
    """Read which room it is."""
    assert process.stdout is not None
    found = re.search(r"join with: parley join (\w+) ", process.stdout.readline())
    assert found is not None
    return found[1]


def test_a_session_of_two_terminals(server: Server) -> None:
    with seated("create", "--name", "Ann", server.url) as ann:
        room_id = opened(ann)
        with seated("join", room_id, "--name", "Bob", server.url) as bob:
            assert ann.stdin is not None
            assert bob.stdin is not None
            bob.stdin.write("1/2\n")
            bob.stdin.flush()
            told, trouble = ann.communicate("T-1\n1\n\n", timeout=SECONDS)
            assert (ann.returncode, trouble) == (0, "")
            heard, trouble = bob.communicate(timeout=SECONDS)
            assert (bob.returncode, trouble) == (0, "")
    for text in (told, heard):
        figures = "Mean 0.75, median 0.75, suggested: 1."
        assert f"The votes on T-1:\n  Ann  1\n  Bob  ?\n{figures}\n" in text
    assert heard.endswith("The session is over: the admin has left.\n")


@pytest.mark.parametrize(("seats", "word"), [("501", "500"), ("2", "full")])
def test_a_refusal_is_one_line(server: Server, seats: str, word: str) -> None:
    if seats == "501":
        with seated("create", "--name", "Ann", "--seats", seats, server.url) as process:
            out, complaint = process.communicate(timeout=SECONDS)
    else:
        with (
            seated("create", "--name", "Ann", server.url) as ann,
            seated("join", room_id := opened(ann), "--name", "Bob", server.url) as bob,
        ):
            assert bob.stdout is not None
            bob.stdout.readline()
            with seated("join", room_id, "--name", "Eve", server.url) as process:
                out, complaint = process.communicate(timeout=SECONDS)
    assert process.returncode == 1
    assert out == ""
    (line,) = complaint.splitlines()
    assert line.startswith("parley: refused: ")
    assert word in line
