"""The benchmark: one short run against both servers, its arguments, and its parts without I/O.

Nothing here looks at how long anything took, or what it cost.
"""

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from scripts.benchlib.cli import main
from scripts.benchlib.experiments import FULL, NAMES, ON_DEMAND, QUICK, Column, Experiment
from scripts.benchlib.measure import Slice, percentile, typical
from scripts.benchlib.plot import Line, draw
from scripts.benchlib.report import Results, as_json, table
from scripts.benchlib.server import Kind
from scripts.benchlib.wire import (
    ASK,
    BEGIN,
    CLOSED,
    EACH,
    PING,
    REVEAL,
    deliveries,
    event,
    masked,
    pings,
    scan,
)

ROOT = Path(__file__).parents[2]
SVG = "{http://www.w3.org/2000/svg}"


def bench(*arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "scripts.benchlib", *arguments],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(each) for each in text.split()]


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)  # noqa: S314 - we wrote it ourselves


# --- a short run ----------------------------------------------------------------------------


@pytest.mark.timeout(180)
def test_a_quick_run_measures_everything_of_both_servers(tmp_path: Path) -> None:
    file, plot = tmp_path / "bench.json", tmp_path / "bench.svg"

    with bench("--quick", "--json", str(file), "--plot", str(plot)) as process:
        out, complaints = process.communicate()

    assert process.returncode == 0, complaints
    for name in ("CPU per round", "CPU per connection", "ratio", "The admin leaves"):
        assert name in out
    read = json.loads(file.read_text())
    assert read["format"] == 1
    assert read["options"]["repetitions"] == 1
    assert list(read["experiments"]) == [name for name in NAMES if name != "restart"]
    for name, keys in {
        "rounds": {"us_per_round", "us_per_delivery", "generator_percent", "slices_dropped"},
        "connect": {"us_per_connection", "kib_per_connection"},
        "latency": {"p50_ms", "p90_ms", "p99_ms", "unanswered", "foreign_percent"},
        "teardown": {"closed_ms", "gone_ms"},
        "sizes": {"us_per_delivery"},
        "crowded": {"us_per_connection"},
        "load": {"rate", "p50_ms", "p99_ms"},
    }.items():
        cases = read["experiments"][name]["cases"]
        assert cases
        for case in cases.values():
            assert set(case) == {"parley", "peer", "ratio"}
            for kind in (Kind.PARLEY, Kind.PEER):
                assert len(case[kind]["runs"]) == 1
                assert keys <= case[kind]["median"].keys()
    svg = parsed(plot.read_text())
    assert svg.tag == f"{SVG}svg"
    assert len(svg.findall(f"{SVG}polyline")) == 8  # four lines and their keys


@pytest.mark.timeout(120)
def test_a_quick_run_measures_one_dialect_beside_the_other_and_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"

    only = ("--only", "rounds,connect,latency,teardown,restart")
    with bench("--quick", "--dialect", "both", *only, "--json", str(file)) as process:
        out, complaints = process.communicate()

    assert process.returncode == 0, complaints
    assert "us/resume" in out
    read = json.loads(file.read_text())
    assert read["options"]["dialect"] == "both"
    experiments = read["experiments"]
    for name in ("rounds", "connect", "latency", "teardown"):
        [case] = experiments[name]["cases"].values()
        assert set(case) == {"parley.v1", "parley", "ratio"}
        assert case["ratio"]
    [joined] = experiments["connect"]["cases"].values()
    assert {"us_per_cut", "us_per_resume"} <= joined["parley.v1"]["median"].keys()
    assert joined["parley.v1"]["median"]["replayed_percent"] == 100
    [restarted] = experiments["restart"]["cases"].values()
    assert set(restarted) == {"parley.v1", "ratio"}
    assert not restarted["ratio"]
    found = restarted["parley.v1"]["median"]
    assert {"stop_s", "start_s", "back_s", "us_per_return"} <= found.keys()
    assert found["rounds"] >= 1


def test_a_terminated_run_leaves_no_server_behind() -> None:
    with bench("--alone", "--only", "latency", "--rooms", "2", "--members", "3") as process:
        servers: list[int] = []
        while not servers:
            with pytest.raises(subprocess.TimeoutExpired):  # else it has ended by itself
                process.wait(0.01)
            servers = children(process.pid)
        process.send_signal(signal.SIGTERM)
        process.communicate()

    assert process.returncode == 128 + signal.SIGTERM
    for pid in servers:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


# --- arguments ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["more"],
        ["--what"],
        ["-r", "0"],
        ["-r", "many"],
        ["--seconds", "0"],
        ["--seconds", "nan"],
        ["--rate", "-1"],
        ["--dialect", "klingon"],
        ["--only", ""],
        ["--only", "rounds,dances"],
        ["--rooms", "3"],
        ["--members", "3"],
        ["--rooms", "0", "--members", "3"],
        ["--rooms", "3", "--members", "1"],
        ["--rooms", "3", "--members", "501"],
        ["--rooms", "3", "--members", "3", "--only", "teardown"],
        ["--rooms", "1000000", "--members", "500"],
        ["--json", "/nowhere/at/all.json"],
        ["--plot", "/"],
    ],
)
def test_nonsense_is_refused_in_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2

    out, complaint = capsys.readouterr()
    assert not out
    assert complaint.startswith("scripts/bench: ")
    assert complaint.count("\n") == 1


def test_help_says_what_can_be_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0

    out, _ = capsys.readouterr()
    assert all(name in out for name in NAMES)


def test_the_full_plan_fits_an_ordinary_limit_of_open_files() -> None:
    usual = [name for name in NAMES if name not in ON_DEMAND]

    assert FULL.most_connections(usual) < 4000
    assert QUICK.most_connections(NAMES) < 200
    assert FULL.most_connections(NAMES) >= FULL.restarted.rooms * FULL.restarted.members


# --- the wire -------------------------------------------------------------------------------


def text(payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 1 << 16:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload


LINES = b"".join(text(b"* m%03d has voted" % number) for number in range(100))
TALK = (
    text(b'{"type":"ASK_FOR_VOTE","data":{}}')
    + LINES
    + text(b'{"type":"VOTING_COMPLETED","data":{"message":"' + b"x" * 129 + b'"}}')
    + b"\x89\x02hi"
    + text(b'{"type":"REVEAL_VOTES_PROMPT","data":{}}')
    + text(b'{"type":"VOTES_REVEALED","data":{"message":"' + b"y" * 70000 + b'"}}')
    + text(b"")
    + text(b'{"type":"BEGIN_VOTING_PROMPT","data":{}}')
    + LINES
    + b"\x88\x02\x03\xe9"
)


def test_every_text_frame_is_counted_and_every_prompt_seen() -> None:
    frames, used, seen = scan(TALK)

    assert frames == 206
    assert used == len(TALK)
    for kind in (ASK, REVEAL, BEGIN, CLOSED, PING):
        assert seen >> kind & EACH == 1
    assert pings(TALK) == [b"hi"]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 1000, 4099])
def test_cuts_between_reads_change_no_count(size: int) -> None:
    total, sum_seen, rest = 0, 0, b""
    for at in range(0, len(TALK), size):
        rest += TALK[at : at + size]
        frames, used, seen = scan(rest)
        total, sum_seen, rest = total + frames, sum_seen + seen, rest[used:]

    assert (total, sum_seen, rest) == (206, scan(TALK)[2], b"")


def test_a_prompt_that_comes_twice_in_one_read_is_seen_twice() -> None:
    prompt = text(b'{"type":"REVEAL_VOTES_PROMPT","data":{}}')

    assert scan(prompt * 2)[2] >> REVEAL & EACH == 2


@pytest.mark.parametrize("size", [0, 1, 4, 125, 126, 1000])
def test_a_masked_frame_is_what_a_client_sends(size: int) -> None:
    payload = bytes(number % 251 for number in range(size))

    frame = masked(payload)

    head = 2 if size < 126 else 4
    key, hidden = frame[head : head + 4], frame[head + 4 :]
    assert frame[0] == 0x81
    assert frame[1] & 0x80
    assert bytes(byte ^ key[at % 4] for at, byte in enumerate(hidden)) == payload
    assert event("X", a="b")[0] == 0x81


def test_deliveries_of_a_round_follow_the_dialect() -> None:
    asked = voted = completed = revealed = following = 3

    assert deliveries(3) == asked + voted * 3 + completed + revealed + following + 1


# --- figures --------------------------------------------------------------------------------


def test_percentiles_are_values_that_occurred() -> None:
    values = [float(number) for number in range(100, 0, -1)]

    assert percentile(values, 0.5) == 50
    assert percentile(values, 0.99) == 99
    assert percentile(values, 1) == 100
    assert percentile([7.0], 0.01) == 7
    assert math.isnan(percentile([], 0.5))


def one_slice(*, cost: float, stolen: float = 0.0, others: float = 0.0, units: int = 100) -> Slice:
    cpu = cost * units / 1e6
    return Slice(seconds=0.2, cpu=cpu, busy=cpu + others, stolen=stolen, units=units)


def test_the_typical_cost_is_the_median_of_undisturbed_slices() -> None:
    slices = [
        one_slice(cost=10),
        one_slice(cost=12),
        one_slice(cost=11),
        one_slice(cost=90, stolen=0.1),
        one_slice(cost=80, others=0.1),
        one_slice(cost=0, units=0),
    ]

    cost, dropped = typical(slices)

    assert cost == pytest.approx(11)
    assert dropped == 2


def test_where_every_slice_was_disturbed_all_count_and_it_is_told() -> None:
    cost, dropped = typical([one_slice(cost=cost, stolen=0.1) for cost in (3, 1, 2)])

    assert cost == pytest.approx(2)
    assert dropped == 3
    assert math.isnan(typical([])[0])


# --- what is told ---------------------------------------------------------------------------


@pytest.fixture
def results() -> Results:
    columns = (Column("cost", "us", 1, compared=True), Column("count", "count"))
    found = Results(Experiment("made-up", "Made up", columns, ()))
    for ours, theirs in ((10.0, 20.0), (12.0, 16.0), (11.0, 44.0)):
        found.add("5x5", Kind.PARLEY, {"cost": ours, "count": 1.0})
        found.add("5x5", Kind.PEER, {"cost": theirs, "count": 2.0})
    return found


def test_ratios_are_those_of_pairs(results: Results) -> None:
    ratio = results.ratios("5x5")["cost"]

    assert (ratio.median, ratio.least, ratio.most) == (0.5, 0.25, 0.75)
    assert results.medians("5x5", Kind.PARLEY) == {"cost": 11, "count": 1}


def test_a_table_has_a_row_for_each_server_and_one_for_the_ratio(results: Results) -> None:
    title, heads, *rows = table(results).splitlines()

    assert title == "Made up"
    assert heads.split() == ["us", "count"]
    assert [row.split() for row in rows] == [
        ["5x5", "parley", "11.0", "1"],
        ["peer", "20.0", "2"],
        ["ratio", "0.50", "(0.25-0.75)"],
    ]


def test_without_the_peer_there_is_no_ratio() -> None:
    found = Results(Experiment("made-up", "Made up", (Column("cost", "us", compared=True),), ()))
    found.add("5x5", Kind.PARLEY, {"cost": 1.0})

    assert "ratio" not in table(found)
    assert found.ratios("5x5") == {}


def test_what_only_one_kind_has_is_a_gap_in_the_table_of_the_other() -> None:
    columns = (
        Column("cost", "us", 1, compared=True),
        Column("resumed", "resumed", compared=True),
        Column("never", "never"),
    )
    found = Results(Experiment("made-up", "Made up", columns, ()))
    found.add("5x5", Kind.PARLEY, {"cost": 10.0})
    found.add("5x5", Kind.PARLEY_V1, {"cost": 30.0, "resumed": 7.0})

    _, heads, *rows = table(found).splitlines()

    assert heads.split() == ["us", "resumed"]
    assert [row.split() for row in rows] == [
        ["5x5", "parley", "10.0"],
        ["parley.v1", "30.0", "7"],
        ["ratio", "3.00", "(3.00-3.00)"],
    ]


def test_json_is_strict_about_what_could_not_be_measured(results: Results) -> None:
    results.add("1x1", Kind.PARLEY, {"cost": math.nan, "count": math.inf})

    read: dict[str, Any] = json.loads(json.dumps(as_json([results], {}), allow_nan=False))

    cases = read["experiments"]["made-up"]["cases"]
    assert cases["1x1"]["parley"]["median"] == {"cost": None, "count": None}
    assert cases["5x5"]["ratio"]["cost"] == {"median": 0.5, "least": 0.25, "most": 0.75}
    assert len(cases["5x5"]["peer"]["runs"]) == 3


def test_a_plot_is_well_formed_and_leaves_out_what_has_no_place() -> None:
    points = [(0.1, 1.0), (0.5, 0.0), (0.9, math.nan), (1.0, 250.0)]

    svg = parsed(draw("a < b & c", "x", "y", [Line("p50", "#123456", points)]))

    words = [each.text for each in svg.iter(f"{SVG}text")]
    assert "a < b & c" in words
    assert {"1", "10", "100", "1000"} <= set(words)  # the powers of ten around the values
    assert len(svg.findall(f"{SVG}circle")) == 2


def test_a_plot_of_nothing_is_still_one() -> None:
    svg = parsed(draw("nothing", "x", "y", []))

    assert not svg.findall(f"{SVG}polyline")
