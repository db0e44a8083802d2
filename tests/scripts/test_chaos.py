"""The bots of parley.v1 against real servers: in peace, and while connections and servers die."""

import json
from typing import Any

from tests.scripts.test_bots_cli import bots


async def outcome(*arguments: str, bots_of: str = "poker") -> dict[str, Any]:
    done = await bots(bots_of, "--server", "--seed", "8", "--json", *arguments)
    assert not done.stderr, done.stderr.decode()
    told: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == 0, told
    assert told["ok"]
    return told


async def test_mixed_rooms_in_peace() -> None:
    told = await outcome(
        *("--dialect", "mixed", "--rooms", "2", "--members", "4", "--tickets", "2")
    )

    assert told["rooms_done"] == 2
    assert told["rounds"] == 4
    assert told["resumes"] == {"first": 6}
    assert told["cuts"] == told["kills"] == told["restarts"] == 0
    assert told["digests_compared"] > 2 * 2 * 4


async def test_nothing_is_lost_while_connections_and_servers_die() -> None:
    told = await outcome(
        *("--chaos", "--kills", "1", "--stops", "1"),
        *("--rooms", "4", "--members", "4", "--tickets", "2"),
    )

    assert told["rooms_done"] == 4
    assert told["rounds"] == 8
    assert told["votes_acknowledged"] > 8
    assert told["kills"] >= 1
    assert told["stops"] == 1
    assert told["restarts"] >= 2
    assert told["cuts"] > 0
    assert told["resumes"]["snapshot"] > 0
    assert told["slowest_return_seconds"] > 0
    assert told["slowest_welcome_seconds"] > 0


async def test_nothing_that_was_said_is_lost_or_said_twice() -> None:
    arguments = ("--members", "4", "--messages", "30", "--rate", "50", "--kills", "1")
    told = await outcome("--chaos", "--stops", "1", *arguments, bots_of="chat")

    assert told["rooms_done"] == 1
    assert told["messages_acknowledged"] == told["messages_kept"] == 4 * 30
    assert told["messages_amended"] > 0
    assert told["kills"] >= 1
    assert told["stops"] == 1
    assert told["cuts"] > 0
    assert told["repeats"] > 0
    assert told["resumes"]["replayed"] > 0
