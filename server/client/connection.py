"""One WebSocket connection, from dialling to its end."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final

import attrs
import trio
from trio_websocket import (
    ConnectionClosed,
    ConnectionRejected,
    HandshakeError,
    WebSocketConnection,
    wrap_client_stream,
)

from protocol.dialects.parley_v1 import SUBPROTOCOL
from server.client.streams import Address, Dial, Handshaking
from server.support.errors import first_of

CONNECT_SECONDS: Final = 10.0
GOODBYE_SECONDS: Final = 2.0

_LARGEST: Final = 16 * 1024 * 1024
"""Bytes in a message of a server: the picture of a room with all its members fits many times."""

_FOR_NOW: Final = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
)


@attrs.frozen
class Ended:
    """How a connection has ended, or why there was none."""

    code: int | None = None
    """Of the server's close frame, if there was one."""
    why: str = ""
    """For people, if there was no connection."""
    final: bool = False
    """Another attempt is of no use."""


class Peer:
    """What is at the other end of an open connection."""

    def __init__(self, connection: WebSocketConnection) -> None:
        """Talk through ``connection``."""
        self._connection = connection
        self.code: int | None = None
        """Of the server's close frame, once it has come."""

    async def send(self, text: str) -> bool:
        """Send a message; ``False`` if the connection has ended."""
        try:
            await self._connection.send_message(text)
        except ConnectionClosed as closed:
            self._note(closed)
            return False
        return True

    async def receive(self) -> str | None:
        """Wait for a message; ``None`` if the connection has ended."""
        message: str | bytes = b""
        try:
            while not isinstance(message, str):  # what is binary is no message of this dialect
                message = await self._connection.get_message()
        except ConnectionClosed as closed:
            self._note(closed)
            return None
        return message

    def _note(self, closed: ConnectionClosed) -> None:
        if closed.reason is not None:
            self.code = closed.reason.code


async def converse(
    dial: Dial, address: Address, path: str, talk: Callable[[Peer], Awaitable[None]]
) -> Ended:
    """Open a connection, and close it when ``talk`` is done with it.

    Args:
        dial: opens streams.
        address: where the server is.
        path: which of its WebSockets.
        talk: what is said and heard.

    Returns:
        How it has ended.
    """
    ended = Ended()
    # trio-websocket raises some in its own task, hence in a group.
    try:
        ended = await _visit(dial, address, path, talk)
    except* ConnectionRejected as group:
        ended = _rejected(first_of(group))
    except* HandshakeError as group:
        why = f"{address.authority} speaks no WebSocket: {first_of(group).__cause__}"
        ended = Ended(why=why)
    except* trio.TooSlowError:
        ended = Ended(why=f"{address.authority} does not answer")
    except* (OSError, trio.BrokenResourceError) as group:
        ended = Ended(why=f"cannot reach {address.authority}: {first_of(group)}")
    return ended


async def _visit(
    dial: Dial, address: Address, path: str, talk: Callable[[Peer], Awaitable[None]]
) -> Ended:
    async with trio.open_nursery() as nursery:
        with trio.fail_after(CONNECT_SECONDS):
            stream = Handshaking(await dial(address))
        try:
            with trio.fail_after(CONNECT_SECONDS):
                connection = await wrap_client_stream(
                    nursery,
                    stream,  # type: ignore[arg-type]  # any stream will do
                    address.authority,
                    address.path + path,
                    subprotocols=[SUBPROTOCOL],
                    max_message_size=_LARGEST,
                )
            stream.over = True
            if connection.subprotocol == SUBPROTOCOL:
                peer = Peer(connection)
                await talk(peer)
                ended = Ended(peer.code)
            else:
                ended = Ended(why=f"{address.authority} does not speak {SUBPROTOCOL}", final=True)
            with trio.move_on_after(GOODBYE_SECONDS):
                await connection.aclose()
        finally:
            await trio.aclose_forcefully(stream)
        nursery.cancel_scope.cancel()
    return ended


def _rejected(error: BaseException) -> Ended:
    if not isinstance(error, ConnectionRejected):  # pragma: no cover - it was caught as one
        return Ended(why=str(error))
    status, body = error.status_code, (error.body or b"")[:200].decode("utf-8", "replace")
    refused = HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
    why = f"the server answers {status} {' '.join(body.split())}".rstrip()
    return Ended(why=why, final=refused and status not in _FOR_NOW)
