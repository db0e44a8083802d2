"""Starts a Parley, lets the fuzzing client at its echo, and counts the verdicts.

Usage: run.py PYTHON SUITE REPORTS [CASE...]

PYTHON has what the server needs, SUITE is where ``port.py`` wrote, a case may be a pattern such
as ``6.*``. Exit code 0; 1 if any case is FAILED or too many are NON-STRICT; 2 if the suite could
not be run.
"""

import json
import os
import select
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]

CASES: Final = ("1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*")
MOST_NON_STRICT: Final = 5
"""Allowed but not ideal, for instance closing before what came earlier is echoed."""

_START_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 40.0  # the server's own drain ends after 30
_SUITE_SECONDS: Final = 240.0  # takes 10 here
_GOOD: Final = {"OK", "INFORMATIONAL"}

Verdicts = dict[str, tuple[str, str]]
"""Of each case: its behaviour, and how the connection was closed."""


class CannotRun(Exception):
    """There are no verdicts; the message says why."""


@contextmanager
def parley(python: str) -> Iterator[str]:
    """Run a server with an echo; gives the address of that."""
    command = [python, "-P", "-m", "server", "--host", "127.0.0.1", "--port", "0", "--echo"]
    command += ["--log-level", "warning", "--max-connections", "100"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        try:
            line = _first_line(server)
            scheme, found, address = line.rstrip().partition("http://")
            if not found:
                raise CannotRun(f"the server did not start: {scheme!r}")
            yield f"ws://{address}/ws/echo"
        finally:
            server.terminate()
            try:
                server.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                server.kill()
    if server.returncode:
        raise CannotRun(f"the server ended with exit code {server.returncode}")


def _first_line(server: "subprocess.Popen[str]") -> str:
    """Read what the server says when it is ready; nothing if that is not in time."""
    output = server.stdout
    if output is None or not select.select([output], [], [], _START_SECONDS)[0]:
        return ""
    return output.readline()


def run_suite(suite: Path, url: str, reports: Path, cases: Sequence[str]) -> Verdicts:
    """Run the cases; the files of each are in ``reports`` afterwards."""
    shutil.rmtree(reports, ignore_errors=True)
    reports.mkdir(parents=True)
    specification = reports / "specification.in"
    specification.write_text(
        json.dumps(
            {
                "outdir": str(reports),
                "servers": [{"agent": "parley", "url": url}],
                "cases": cases,
                "exclude-cases": [],
                "exclude-agent-cases": {},
            }
        ),
        "utf-8",
    )
    client = Path(__file__).with_name("client.py")
    log = reports / "suite.log"
    with log.open("wb") as output:
        try:
            done = subprocess.run(
                [sys.executable, client, specification],
                env=os.environ | {"PYTHONPATH": str(suite)},
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=_SUITE_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise CannotRun(f"not done within {_SUITE_SECONDS:g} seconds, see {log}") from None
    index = reports / "index.json"
    if done.returncode or not index.exists() or b"Traceback" in log.read_bytes():
        raise CannotRun(f"the suite itself failed, see {log}")
    found = json.loads(index.read_text("utf-8"))["parley"]
    return {
        case: (found[case]["behavior"], found[case]["behaviorClose"])
        for case in sorted(found, key=lambda case: [int(part) for part in case.split(".")])
    }


def judge(verdicts: Verdicts) -> int:
    """Print the counts and every case that is not good; return the exit code."""
    behaviours = Counter(behaviour for behaviour, _ in verdicts.values())
    closes = Counter(close for _, close in verdicts.values())
    for title, counts in (("behaviour", behaviours), ("close", closes)):
        print(f"{title}:", ", ".join(f"{counts[name]} {name}" for name in sorted(counts)))
    for case, pair in verdicts.items():
        if not _GOOD.issuperset(pair):
            print(f"  {case}: {pair[0]}, close {pair[1]}")
    total = behaviours + closes
    wrong = total.keys() - _GOOD - {"NON-STRICT"}
    return 1 if wrong or total["NON-STRICT"] > MOST_NON_STRICT else 0


def main(arguments: Sequence[str]) -> int:
    """Do all of it."""
    python, suite, reports, *cases = arguments
    try:
        with parley(python) as url:
            verdicts = run_suite(Path(suite), url, Path(reports), cases or CASES)
        if not verdicts:
            raise CannotRun("there is no such case")
    except CannotRun as error:
        print(f"autobahn: {error}", file=sys.stderr)
        return 2
    print(f"{len(verdicts)} cases, reports in {reports}")
    return judge(verdicts)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
