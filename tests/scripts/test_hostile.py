"""The hostile texts: they come to every input, and no input does more than a fixed work for them.

Work is counted in steps, which are calls of functions, Python's and C's, in all threads of a
server in this process; a clock would measure the machine. What C does within one call cannot be
counted so, hence the length of what reaches the normalisation is looked at as well.
"""

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
import trio
from structlog.testing import capture_logs

from protocol.text import normalise
from scripts.hostilelib.cli import main
from scripts.hostilelib.inputs import INPUTS, TEXTS, Case, Input, Place, cases
from scripts.hostilelib.player import Player
from server.app import serve
from server.auth.accounts import Accounts
from server.auth.passwords import Passwords
from server.http.application import make_application
from server.http.social import Social
from server.settings.config import Settings
from server.store.database import Database
from server.support.counters import Counters
from server.support.limits import Limits
from tests.server.http.world import UNLIMITED, CountingHasher
from tests.server.http_client import UP
from tests.server.memory_results import MemoryResults

STEPS: Final = 60_000
"""A request takes 2 000 to 40 000, the most of them for 16 KiB of cookies."""

NORMALISED: Final = 800
"""Characters: an address may grow to three times its length before its case is folded."""


class Counter:
    """Counts steps, and the longest text that was normalised."""

    def __init__(self) -> None:
        self.steps = 0
        self.normalised = 0

    def __call__(self, frame: FrameType, event: str, what: Any) -> None:
        if event not in ("call", "c_call"):
            return
        self.steps += 1
        if event == "call" and frame.f_code is normalise.__code__:
            self.normalised = max(self.normalised, len(frame.f_locals["text"]))

    @contextmanager
    def counting(self) -> Iterator[None]:
        threading.setprofile(self)
        sys.setprofile(self)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)  # as documented


@pytest.mark.timeout(300)
@pytest.mark.parametrize("place", Place, ids=lambda place: place.value)
async def test_no_input_does_more_than_a_fixed_work_for_any_text(
    place: Place, tmp_path: Path
) -> None:
    settings = Settings(
        host="127.0.0.1",
        port=0,
        database_url=f"sqlite:///{tmp_path}/parley.db",
        limits=Limits(login_limit=0, register_limit=0),
    )
    counter = Counter()
    steps: dict[str, int] = {}
    send, receive = trio.open_memory_channel[str](1)
    async with trio.open_nursery() as nursery:
        # Threads are counted from their first step on, so before there are any.
        with capture_logs(), counter.counting():
            nursery.start_soon(serve, settings, send.send_nowait)
            port = urlsplit(await receive.receive()).port or 0
            player = await Player.register(partial(trio.open_tcp_stream, "127.0.0.1", port))
            for case in cases(place, thinned=5 if place is Place.HTTP else 1):
                before = counter.steps
                await player.play(case)
                steps[case.name] = counter.steps - before
            nursery.cancel_scope.cancel()

    assert {name: count for name, count in steps.items() if count > STEPS} == {}
    assert counter.normalised <= NORMALISED
    if place is Place.HTTP:
        assert counter.normalised > 100  # or nothing has come to where it would hurt


@pytest.fixture
def schema(tmp_path: Path) -> Any:
    """The schema of all routes, of which none is asked."""
    database = Database(f"sqlite:///{tmp_path}/parley.db")  # never opened
    accounts = Accounts(database, Passwords(CountingHasher()))
    social = Social(accounts=accounts, database=database, rules=UNLIMITED)
    application = make_application(
        store=MemoryResults(),
        counters=Counters(),
        limits=Limits(),
        version="1.2.3",
        health=lambda: UP,
        social=social,
    )
    return application.openapi_schema.to_schema()


def test_every_field_of_a_body_is_among_the_inputs(schema: Any) -> None:
    names = {each.name for each in INPUTS}
    missing = []
    for path, method, operation in operations(schema):
        body = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if body is not None:
            fields = schema["components"]["schemas"][body["schema"]["$ref"].rpartition("/")[2]]
            wanted = {f"{method} {path}: {field}" for field in fields["properties"]}
            missing += sorted(wanted - names)

    assert missing == []


def test_every_parameter_of_a_query_is_among_the_inputs(schema: Any) -> None:
    names = " ".join(each.name for each in INPUTS)
    parameters = {
        parameter["name"]
        for _, _, operation in operations(schema)
        for parameter in operation.get("parameters", [])
    }

    in_paths = {"user_id", "post_id"}  # shown there as …
    assert {name for name in parameters if name not in names} == in_paths


def operations(schema: Any) -> Iterator[tuple[str, str, Any]]:
    """Give path, method and description of each operation."""
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            yield path, method.upper(), operation


@pytest.mark.parametrize("each", INPUTS, ids=lambda each: each.name)
def test_every_text_is_as_long_as_its_input_allows(each: Input) -> None:
    for text in TEXTS:
        size = len(text.fill(each.encode, each.size))
        assert size <= each.size
        # But for what ends a line, which no header can hold.
        assert size > each.size - 100 or text.name == "line breaks"


def test_a_case_is_a_whole_request() -> None:
    post = next(each for each in INPUTS if each.name == "POST /posts: text")
    head, _, body = Case(post, TEXTS[0]).payload().partition(b"\r\n\r\n")

    assert head.startswith(b"POST /posts HTTP/1.1\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    assert json.loads(body)["text"] == "e" + "\u0301" * (len(json.loads(body)["text"]) - 1)


def test_an_argument_that_chooses_nothing_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "no such case"]) == 2
    assert "no such case" in capsys.readouterr().err


def test_a_server_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--url", "http://127.0.0.1:1", "--only", "GET /users/… <- digits"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
