"""Schemathesis against the whole schema, with and without a token: all checks, a bounded number."""

import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from server.store.database import Database
from tests.server.http.whole import whole_world
from tests.server.http.world import ON_SQLITE

pytestmark = [ON_SQLITE, pytest.mark.timeout(300)]

EXAMPLES = 5
ENDS_THE_TOKEN = ("/delete", "/logout")

# What Schemathesis sends to a WebSocket's path is never an upgrade, whatever else is wrong.
UPGRADES = """
[[operations]]
include-path-regex = "^/ws(/joinRoom/.*)?$"
checks.positive_data_acceptance.expected-statuses = [426]
checks.negative_data_rejection.expected-statuses = [426]
checks.ignored_auth.enabled = false
"""

# How many seats there may be is the operator's business, and in no schema; nor is that a webhook
# needs an account.
MOST_SEATS = """
[[operations]]
include-path = "/v1/rooms"
checks.positive_data_acceptance.expected-statuses = [201, 401, 409, 422, 429, 503]
"""


async def run_schemathesis(
    url: str, folder: Path, *, token: str | None
) -> subprocess.CompletedProcess[bytes]:
    config = folder / "schemathesis.toml"
    auth = "" if token is None else f'[auth.openapi.bearer]\nbearer = "{token}"\n'
    config.write_text(auth + UPGRADES + MOST_SEATS)
    arguments = ["--config-file", str(config), "run", f"{url}/schema/openapi.json"]
    arguments += ["--checks", "all", "--max-examples", str(EXAMPLES), "--seed", "1", "--no-color"]
    if token is not None:
        arguments += [word for path in ENDS_THE_TOKEN for word in ("--exclude-path", path)]
    command = [sys.executable, "-c", "from schemathesis.cli import schemathesis as s; s()"]
    return await trio.run_process(
        command + arguments, cwd=folder, capture_stdout=True, capture_stderr=True, check=False
    )


@pytest.mark.parametrize("known", [True, False], ids=["with a token", "without"])
async def test_the_schema_is_kept(database: Database, tmp_path: Path, known: bool) -> None:
    async with whole_world(database) as world, trio.open_nursery() as services:
        world.now = time.time()
        ada = await world.register("ada")
        await world.register("bob")
        serve = partial(trio.serve_tcp, world.server.serve_connection, 0, host="127.0.0.1")
        listeners: Any = await services.start(serve)
        port = listeners[0].socket.getsockname()[1]
        done = await run_schemathesis(
            f"http://127.0.0.1:{port}", tmp_path, token=ada.token if known else None
        )
        services.cancel_scope.cancel()

    output = done.stdout.decode()
    assert done.returncode == 0, output[-6000:] + done.stderr.decode()[-2000:]
