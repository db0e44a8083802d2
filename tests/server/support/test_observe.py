"""Logs: one line per event on standard error, in either form, whatever users put into it."""

import json
import logging
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from server.support.observe import CHATTY, Format, configure_logging, get_logger

FORMATS = pytest.mark.parametrize("fmt", ["text", "json"])
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"

NASTY = "a\nb\rc\x1b[31m\x9b1m\x85\u2028\u202e\ud800\x00"
"""Line ends of all kinds, terminal controls, a change of direction, half a surrogate pair."""


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    levels = {name: logging.getLogger(name).level for name in CHATTY}
    yield
    structlog.reset_defaults()
    root.setLevel(level)
    root.handlers[:] = handlers
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    captured = capsys.readouterr()
    assert captured.out == ""
    # As readers of logs do it, who know more line ends than one.
    return captured.err.splitlines()


def entry(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    [line] = lines(capsys)
    parsed = json.loads(line)
    assert isinstance(parsed, dict)
    return parsed


def test_a_text_line_has_time_level_component_event_and_fields(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging("info", "text")

    get_logger("room").warning("member left", room="a1B2c3", name="Ada L", seats=3, of=None)

    [line] = lines(capsys)
    assert re.fullmatch(
        TIME + r' warning room: member left room=a1B2c3 name="Ada L" seats=3 of=None', line
    )


def test_a_json_line_has_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")

    get_logger("room").info("member left", room="a1B2c3", seats=3)

    parsed = entry(capsys)
    assert re.fullmatch(TIME, parsed.pop("timestamp"))
    assert parsed == {
        "level": "info",
        "component": "room",
        "event": "member left",
        "room": "a1B2c3",
        "seats": 3,
    }


@FORMATS
def test_nobody_forges_a_line(capsys: pytest.CaptureFixture[str], fmt: Format) -> None:
    configure_logging("info", fmt)

    get_logger("room").info("joined", name=NASTY, **{"k\ney": {"deep": [NASTY]}})
    logging.getLogger("some.library").error("said %s", NASTY)

    found = lines(capsys)
    assert len(found) == 2
    assert all(line.isprintable() for line in found)
    assert r"a\nb" in found[0]


@FORMATS
def test_the_message_of_an_exception_cannot_forge_a_line(
    capsys: pytest.CaptureFixture[str], fmt: Format
) -> None:
    configure_logging("info", fmt)

    try:
        raise ExceptionGroup("several", [ValueError(NASTY + "\n2026-01-01T00:00:00Z info x: y")])
    except ExceptionGroup:
        get_logger("room").exception("crashed")

    first, *rest = lines(capsys)
    assert "crashed" in first
    assert all(line.startswith("    | ") and line.isprintable() for line in rest)
    assert bool(rest) is (fmt == "text")


def test_an_exception_in_json_is_structured_and_shows_no_variables(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging("info", "json")
    password = "open sesame"

    try:
        raise KeyError(len(password))
    except KeyError:
        get_logger("room").exception("crashed")

    parsed = entry(capsys)
    [exception] = parsed["exception"]
    assert exception["exc_type"] == "KeyError"
    assert exception["frames"][0]["name"] == "test_an_exception_in_json_is_structured_" + (
        "and_shows_no_variables"
    )
    assert password not in json.dumps(parsed)


@FORMATS
def test_logs_of_libraries_look_like_ours(capsys: pytest.CaptureFixture[str], fmt: Format) -> None:
    configure_logging("info", fmt)

    logging.getLogger("hypercorn.error").warning("told %d times", 3)

    [line] = lines(capsys)
    assert "hypercorn.error" in line
    assert "told 3 times" in line
    if fmt == "json":
        assert set(json.loads(line)) == {"timestamp", "level", "component", "event"}


@FORMATS
def test_what_json_cannot_say_is_said_nevertheless(
    capsys: pytest.CaptureFixture[str], fmt: Format
) -> None:
    configure_logging("info", fmt)

    get_logger("x").info("odd", big=10**30, what=object, half="\udfff", keyed={1: {2}})

    [line] = lines(capsys)
    assert "1" + "0" * 30 in line
    assert "<class 'object'>" in line


@FORMATS
def test_what_is_below_the_level_is_not_written(
    capsys: pytest.CaptureFixture[str], fmt: Format
) -> None:
    configure_logging("warning", fmt)

    get_logger("room").info("quiet")
    logging.getLogger("some.library").info("quiet")

    assert lines(capsys) == []


def test_loggers_that_log_every_frame_stay_quiet_even_at_debug(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging("debug", "text")

    logging.getLogger("trio-websocket").info("a frame")
    logging.getLogger("trio-websocket").warning("a problem")
    get_logger("room").debug("a detail")

    assert [line.split(": ")[1] for line in lines(capsys)] == ["a problem", "a detail"]


def test_configuring_again_replaces(capsys: pytest.CaptureFixture[str]) -> None:
    log = get_logger("room")
    configure_logging("debug", "text")
    configure_logging("error", "json")

    log.debug("quiet")
    log.error("loud")
    logging.getLogger("some.library").error("loud")

    assert [json.loads(line)["event"] for line in lines(capsys)] == ["loud", "loud"]


@FORMATS
def test_a_closed_standard_error_is_no_reason_to_fail(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, fmt: Format
) -> None:
    configure_logging("info", fmt)
    with open(tmp_path / "closed", "w") as closed:
        pass
    monkeypatch.setattr(sys, "stderr", closed)

    get_logger("room").info("unheard")
