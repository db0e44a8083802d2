"""What the OpenAPI document says of WebSocket endpoints, against a whole server."""

import json
import signal
from pathlib import Path

import pytest

from server.http.sockets import SOCKETS, Socket
from server.settings.config import Settings
from tests.server.harness import REQUEST
from tests.server.test_app import Served, served

# What the upgrade is answered when nothing but the path is given.
ANSWERS = {"openEstimationRoom": 101, "openEcho": 101, "joinChatRoom": 401}


async def ask(it: Served, target: str, request: bytes = REQUEST) -> tuple[int, set[str]]:
    """Send a request; give the status and the names of the headers of its answer."""
    client = await it.dial()
    await client.send(request.replace(b"/ws ", target.encode() + b" "))
    status, *lines = (await client.head()).split(b"\r\n")
    return int(status.split()[1]), {line.partition(b":")[0].decode().lower() for line in lines} - {
        "content-type",
        "content-length",
        "date",
        "cache-control",
        "x-content-type-options",
    }


@pytest.mark.parametrize("socket", SOCKETS, ids=lambda socket: socket.operation["operationId"])
async def test_an_upgrade_is_answered_as_described(socket: Socket, tmp_path: Path) -> None:
    settings = Settings(
        host="127.0.0.1", port=0, echo=True, database_url=f"sqlite:///{tmp_path}/x.db"
    )
    async with served(settings) as it:
        answer = await it.ask("/schema/openapi.json")
        document = json.loads(answer.partition(b"\r\n\r\n")[2])
        responses = document["paths"][socket.path]["get"]["responses"]
        target = socket.path.replace("{roomId}", "1")

        status, headers = await ask(it, target)
        assert status == ANSWERS[socket.operation["operationId"]]
        described = responses[str(status)]["headers"]
        assert headers - {"connection"} <= {name.lower() for name in described}
        old = REQUEST.replace(b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Version: 8")
        status, headers = await ask(it, target, old)
        assert status == 426
        assert headers == {name.lower() for name in responses["426"]["headers"]}
        signal.raise_signal(signal.SIGTERM)
