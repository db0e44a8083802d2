"""Percentiles and the sums of a run."""

import json
import math
import random

import pytest
from rich.console import Console

from scripts.botlib.findings import LISTED
from scripts.botlib.moves import Violation
from scripts.botlib.stats import Tally, percentile


def test_there_is_no_percentile_of_nothing() -> None:
    assert percentile([], 50) is None


@pytest.mark.parametrize("percent", [0, 1, 50, 99, 100])
def test_of_one_value_it_is_every_percentile(percent: float) -> None:
    assert percentile([7.0], percent) == 7.0


@pytest.mark.parametrize(
    ("percent", "value"), [(0, 1), (1, 1), (50, 50), (50.5, 51), (90, 90), (99, 99), (100, 100)]
)
def test_percentiles_are_nearest_ranks(percent: float, value: int) -> None:
    assert percentile(range(1, 101), percent) == value


def test_a_percentile_is_a_value_that_so_many_do_not_exceed() -> None:
    dice = random.Random(3)
    for _ in range(200):
        ordered = sorted(dice.random() for _ in range(dice.randrange(1, 40)))
        percent = dice.uniform(0, 100)
        found = percentile(ordered, percent)
        assert found in ordered
        assert found is not None
        assert sum(value <= found for value in ordered) >= percent / 100 * len(ordered)


def test_a_run_without_rounds_has_no_rate() -> None:
    tally = Tally()

    assert tally.good
    assert tally.rounds_per_second is None
    assert tally.as_json()["vote_ms"] == {"count": 0, "p50": None, "p90": None, "p99": None}


def test_the_rate_is_over_the_time_of_play() -> None:
    tally = Tally()
    tally.round_done(10.0, 10.5)
    tally.round_done(10.2, 12.0)

    assert tally.rounds_per_second == pytest.approx(1.0)
    assert tally.as_json()["round_ms"] == {"count": 2, "p50": 500.0, "p90": 1800.0, "p99": 1800.0}


def test_latencies_are_in_milliseconds() -> None:
    tally = Tally(vote_seconds=[0.004, 0.001, 0.0023])

    assert tally.as_json()["vote_ms"] == {"count": 3, "p50": 2.3, "p90": 4.0, "p99": 4.0}


@pytest.mark.parametrize("bad", ["error", "violation"])
def test_one_error_or_violation_is_enough_to_fail(bad: str) -> None:
    tally = Tally()
    if bad == "error":
        tally.error("room 1: broke")
    else:
        tally.violation("room 1", Violation("leak", "Ann", "shows 5"))

    assert not tally.good
    assert tally.as_json()["ok"] is False


def test_all_violations_are_counted_and_the_first_of_each_rule_is_listed() -> None:
    tally = Tally()
    for _ in range(LISTED * 2):
        tally.violation("room 1", Violation("leak", "Ann", "shows 5"))
    tally.violation("room 2", Violation("who", "Bob", "names nobody"))

    assert tally.violations == LISTED * 2 + 1
    assert len(tally.listed_violations) == LISTED + 1
    assert tally.listed_violations[-1] == "room 2: who: Bob: names nobody"
    assert tally.as_json()["violations_by_rule"] == {"leak": LISTED * 2, "who": 1}


def test_errors_are_counted_beyond_those_listed() -> None:
    tally = Tally()
    for number in range(LISTED + 5):
        tally.error(str(number))

    assert (tally.errors, len(tally.listed_errors)) == (LISTED + 5, LISTED)


def test_the_outcome_is_plain_json() -> None:
    tally = Tally(vote_seconds=[0.1], elapsed=math.pi)
    tally.round_done(0.0, 1.0)

    assert json.loads(json.dumps(tally.as_json(), allow_nan=False))["elapsed_seconds"] == 3.142


def test_the_table_shows_what_was_counted() -> None:
    console = Console(width=100)
    tally = Tally(messages_in=12345, messages_out=678, vote_seconds=[0.002])
    with console.capture() as capture:
        console.print(tally.as_table())

    shown = capture.get()
    assert "12345 / 678" in shown
    assert "2.00 / 2.00 / 2.00" in shown
    assert "- / - / -" in shown
