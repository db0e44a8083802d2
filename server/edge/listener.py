"""Accepts connections, up to the cap, and starts a handler for each."""

import contextlib
import errno
import socket
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from server.edge.accepted import AcceptedConnection
from server.support.counters import Counters
from server.support.observe import get_logger
from server.support.supervise import contain

_BACKLOG: Final = 4096  # the system cuts it to its own maximum
_BATCH: Final = 64  # accepted in one go, then everybody else gets a turn
_EXHAUSTED: Final = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_BREATH: Final = 0.1  # seconds of rest when the system is out of descriptors or memory
_FULL_BODY: Final = b'{"error": "the server has too many connections"}'
_FULL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
) % (len(_FULL_BODY), _FULL_BODY)


def open_sockets(host: str, port: int) -> list[socket.socket]:
    """Listen on all addresses of ``host``.

    Args:
        host: name or address; empty for every interface.
        port: 0 lets the system choose one, the same for all addresses.

    Raises:
        OSError: if ``host`` has no address or one of them cannot be listened on.
    """
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            sock = socket.socket(family, kind, protocol)
            sockets.append(sock)
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:  # else it would claim the IPv4 port too
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind((address[0], port, *address[2:]))
            port = sock.getsockname()[1]
            sock.listen(_BACKLOG)
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    return sockets


class Listener:
    """Counts the open connections, and turns away those above the cap."""

    def __init__(
        self,
        handle: Callable[[AcceptedConnection], Awaitable[None]],
        handlers: trio.Nursery,
        *,
        most: int,
        counters: Counters,
    ) -> None:
        """Start ``handle`` in ``handlers`` for each of at most ``most`` connections."""
        self._handle = handle
        self._handlers = handlers
        self._most = most
        self._counters = counters
        self._log = get_logger("listener")

    async def run(self, listening: socket.socket) -> None:
        """Accept on ``listening`` until cancelled, then close it."""
        with listening:
            while True:
                await trio.lowlevel.wait_readable(listening)
                try:
                    for _ in range(_BATCH):
                        self._accept(*listening.accept())
                except BlockingIOError:
                    pass
                except OSError as error:
                    # What failed is one connection, unless the system is out of resources.
                    if error.errno in _EXHAUSTED:
                        self._log.error("cannot accept", why=str(error))
                        await trio.sleep(_BREATH)

    def _accept(self, sock: socket.socket, address: tuple[object, ...]) -> None:
        if self._counters.connections_current >= self._most:
            self._counters.connections_refused += 1
            self._log.warning("refused", why="too many connections", address=str(address[0]))
            with sock, contextlib.suppress(OSError):  # it may have gone already
                sock.setblocking(False)
                sock.send(_FULL)
            return
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
        self._counters.connections_accepted += 1
        self._counters.connections_current += 1
        peer = AcceptedConnection(stream, sock=sock, address=str(address[0]), release=self._release)
        self._handlers.start_soon(self._serve, peer, name="connection")

    async def _serve(self, peer: AcceptedConnection) -> None:
        with contain("connection", address=peer.address):
            await self._handle(peer)

    def _release(self) -> None:
        self._counters.connections_current -= 1
