"""The command line of the terminal client."""

import pytest

from server.terminal.arguments import DEFAULT_URL, Plan, parse


def test_a_room_to_create() -> None:
    plan = parse(["create", "--name", "Ann", "--seats", "3"])

    assert plan == Plan(server=DEFAULT_URL, name="Ann", seats=3)
    assert plan.url == f"{DEFAULT_URL}/ws?name=Ann&action=CREATE_ROOM&max_room_capacity=3"
    assert plan.invitation == ""


@pytest.mark.parametrize(
    "argv",
    [
        ["R1", "--name", "Bob B", "http://h:1"],
        ["--name", "Bob B", "R1", "http://h:1"],
        ["R1", "http://h:1", "--name=Bob B"],
    ],
)
def test_a_room_to_join_with_arguments_in_any_order(argv: list[str]) -> None:
    plan = parse(["join", *argv])

    assert plan.url == "ws://h:1/ws?name=Bob+B&action=JOIN_ROOM&room_id=R1"
    assert plan.invitation == " ws://h:1"


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("wss://h", "wss://h"),
        ("https://h/", "wss://h"),
        ("http://h/parley/", "ws://h/parley"),
        ("ws://h/ws", "ws://h"),
        ("ws://[::1]:8080", "ws://[::1]:8080"),
    ],
)
def test_where_parley_is_may_be_said_in_several_ways(given: str, meant: str) -> None:
    assert parse(["create", "--name", "A", given]).server == meant


@pytest.mark.parametrize(
    ("argv", "word"),
    [
        (["create"], "--name"),
        (["create", "--name", " "], "--name"),
        (["create", "--name", "x" * 51], "--name"),
        (["create", "--name", "a\nb"], "--name"),
        (["create", "--name", "A", "--seats", "1"], "--seats"),
        (["create", "--name", "A", "--seats", "many"], "--seats"),
        (["create", "--name", "A", "localhost:8080"], "URL"),
        (["create", "--name", "A", "ftp://h"], "URL"),
        (["create", "--name", "A", "ws://h:x"], "URL"),
        (["create", "--name", "A", "ws://h:0"], "URL"),
        (["create", "--name", "A", "ws://u@h"], "URL"),
        (["create", "--name", "A", "ws://[h"], "URL"),
        (["create", "--name", "A", "ws://h?x=1"], "URL"),
        (["create", "--name", "A", "ws://h", "more"], "more"),
        (["join", "--name", "A"], "ROOM"),
        (["join", "a b", "--name", "A"], "ROOM"),
    ],
)
def test_nonsense_is_one_line_that_names_it(
    capsys: pytest.CaptureFixture[str], argv: list[str], word: str
) -> None:
    with pytest.raises(SystemExit) as stop:
        parse(argv)

    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"parley {argv[0]}: ")
    assert word in line


@pytest.mark.parametrize("command", ["create", "join"])
def test_help_is_given(capsys: pytest.CaptureFixture[str], command: str) -> None:
    with pytest.raises(SystemExit) as stop:
        parse([command, "--help"])

    assert stop.value.code == 0
    assert "--name" in capsys.readouterr().out
