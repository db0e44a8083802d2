"""Opens WebSockets, and asks over plain HTTP, by blocking sockets."""

import base64
import json
import secrets
import socket
from http.client import HTTPConnection, HTTPException
from typing import Any, Final

from scripts.benchlib.seats import Misbehaved

READ: Final = 64 * 1024
PATIENCE: Final = 20.0
"""Seconds in which something must arrive."""

_HOST: Final = "127.0.0.1"
_END: Final = b"\r\n\r\n"


def address(port: int) -> tuple[str, int]:
    """Say where the server is."""
    return _HOST, port


def upgrade(path: str, subprotocol: str = "") -> bytes:
    """Write the request that opens a WebSocket."""
    key = base64.b64encode(secrets.token_bytes(16)).decode()
    spoken = f"Sec-WebSocket-Protocol: {subprotocol}\r\n" if subprotocol else ""
    return (
        f"GET {path} HTTP/1.1\r\nHost: {_HOST}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n{spoken}"
        f"Sec-WebSocket-Key: {key}\r\n\r\n"
    ).encode()


def upgraded(answer: bytes) -> bytes | None:
    """Judge the answer to it.

    Returns:
        What came behind it; ``None`` if it is not whole yet.

    Raises:
        Misbehaved: if it is no upgrade.
    """
    head, found, rest = answer.partition(_END)
    if not found:
        return None
    if not head.startswith(b"HTTP/1.1 101"):
        raise Misbehaved(f"a handshake was answered with {head[:100]!r}")
    return rest


def connect(port: int, path: str, subprotocol: str = "") -> tuple[socket.socket, bytes]:
    """Open a WebSocket; gives what came behind the answer, too."""
    sock = socket.create_connection(address(port), PATIENCE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(upgrade(path, subprotocol))
    answer = receive(sock)
    while (rest := upgraded(answer)) is None:
        answer += receive(sock)
    return sock, rest


def receive(sock: socket.socket) -> bytes:
    """Wait for more.

    Raises:
        Misbehaved: at the end.
    """
    data = sock.recv(READ)
    if not data:
        raise Misbehaved("the server ended a connection in its handshake")
    return data


class Http:
    """One kept connection for plain HTTP."""

    def __init__(self, port: int) -> None:
        """Ask the server at this port."""
        self._connection = HTTPConnection(*address(port), timeout=PATIENCE)

    def post(self, path: str, body: object) -> dict[str, Any]:
        """Send JSON; gives the JSON of the answer.

        Raises:
            Misbehaved: if the answer is no ``201``.
        """
        try:
            self._connection.request(
                "POST", path, json.dumps(body), {"Content-Type": "application/json"}
            )
            answer = self._connection.getresponse()
            told = answer.read()
        except HTTPException as error:
            raise Misbehaved(f"POST {path}: {error!r}") from None
        if answer.status != 201:
            raise Misbehaved(f"POST {path} was answered {answer.status} {told[:200]!r}")
        read: dict[str, Any] = json.loads(told)
        return read

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
