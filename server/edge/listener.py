"""Accepts connections, as many as there are places, and starts a handler for each that speaks."""

import contextlib
import errno
import os
import socket
from collections.abc import Awaitable, Callable
from functools import lru_cache, partial
from http import HTTPStatus
from typing import Final

import orjson
import trio

from server.auth.sources import Sources
from server.edge.accepted import AcceptedConnection
from server.edge.places import FULL, Places
from server.edge.porch import Porch
from server.support.counters import Counters
from server.support.limits import Limits
from server.support.rationed import RationedLog
from server.support.supervise import contain

_BACKLOG: Final = 4096  # the system cuts it to its own maximum
_UNSENT_BYTES: Final = 16 * 1024  # above it a socket is not writable; Trio's own choice
_BATCH: Final = 64  # accepted in one go, then everybody else gets a turn
_EXHAUSTED: Final = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ENOSPC}
_BREATH: Final = 0.1  # seconds of rest when the system is out of descriptors or memory
_ANSWER: Final = (
    b"HTTP/1.1 %d %s\r\nRetry-After: 5\r\nConnection: close\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
)
_UNREAD_BYTES: Final = 16_384  # of a request that is refused before it is read
_REFUSALS: Final = 16  # kinds of answers
_NO_DESCRIPTOR: Final = "the process has no file descriptor left"


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
            # Connections inherit both from here; trio.SocketStream would set them one by one.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if hasattr(socket, "TCP_NOTSENT_LOWAT"):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
            sock.listen(_BACKLOG)
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    return sockets


class Listener:
    """Takes connections in, one place for each, and turns away those for whom there is none.

    Accepting is fair to whoever is served already: a bounded batch, and then the others' turn.
    A connection gets a task, its handler, when the head of its first request is there; until then
    it stands on the :class:`Porch`. Where the system has no epoll it gets its task at once.
    """

    def __init__(
        self,
        handle: Callable[[AcceptedConnection], Awaitable[None]],
        handlers: trio.Nursery,
        *,
        places: Places,
        sources: Sources,
        limits: Limits,
        counters: Counters,
    ) -> None:
        """Start ``handle`` in ``handlers`` for each connection that has something to say.

        Args:
            handle: owns a connection from then on.
            handlers: outlives every call of :meth:`run`.
            places: decides who gets in and who gives way.
            sources: tells whom a connection counts for.
            limits: the time and size of a first request.
            counters: are kept up to date.
        """
        self._handle = handle
        self._handlers = handlers
        self._places = places
        self._sources = sources
        self._limits = limits
        self._counters = counters
        self._log = RationedLog("listener")
        self._on_close = self._release  # one object for all connections
        # With all descriptors taken, giving this one up lets us accept somebody and say so.
        self._spare: int | None = None

    async def run(self, listening: socket.socket) -> None:
        """Accept on ``listening`` until cancelled.

        Then the socket is closed, and every connection that has not asked for anything yet.
        """
        with listening, contextlib.ExitStack() as stack:
            self._take_spare()
            stack.callback(self._drop_spare)
            if not Porch.available():
                while True:
                    await trio.lowlevel.wait_readable(listening)
                    await self._accept_batch(listening, None)
            porch = stack.enter_context(
                Porch(
                    self._start,
                    AcceptedConnection.close,
                    self._refuse_late,
                    seconds=self._limits.first_request_seconds,
                    head_bytes=self._limits.head_bytes,
                )
            )
            porch.watch(listening.fileno())
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._expire, porch)
                while True:
                    await trio.lowlevel.wait_readable(porch.fileno())
                    if porch.look():
                        await self._accept_batch(listening, porch)

    async def _expire(self, porch: Porch) -> None:
        """Deal with those on the porch whose time is up; in a task of its own, with one timer."""
        while True:
            # Whoever comes meanwhile has all of its time from then on.
            latest = trio.current_time() + self._limits.first_request_seconds
            await trio.sleep_until(min(porch.deadline, latest))
            porch.expire(trio.current_time())

    async def _accept_batch(self, listening: socket.socket, porch: Porch | None) -> None:
        try:
            for _ in range(_BATCH):
                self._accept(*listening.accept(), porch)
        except BlockingIOError:
            pass
        except OSError as error:
            # What failed is one connection, unless the system is out of resources.
            if error.errno in _EXHAUSTED:
                self._log.error("cannot accept", why=str(error))
                if error.errno != errno.EMFILE or not self._refuse_with_spare(listening):
                    await trio.sleep(_BREATH)

    def _accept(
        self, sock: socket.socket, address: tuple[object, ...], porch: Porch | None
    ) -> None:
        text = str(address[0])
        peer = AcceptedConnection(sock=sock, address=text, source=self._sources.direct(text))
        problem = self._places.enter(peer)
        if problem is not None:
            self._counters.connections_refused += 1
            self._log.warning("refused", kind=problem, why=problem, address=text)
            with sock:
                _refuse(sock, HTTPStatus.SERVICE_UNAVAILABLE, problem)
            return
        sock.setblocking(False)
        self._counters.connections_accepted += 1
        self._counters.connections_current += 1
        peer.on_close(self._on_close)
        if porch is None:
            self._start(peer)
            return
        peer.give_way = partial(self._turn_out, porch, peer, sock)
        try:
            porch.add(peer, sock)
        except OSError:  # the system watches no more descriptors
            peer.close()
            raise

    def _start(self, peer: AcceptedConnection) -> None:
        """Give a connection a task of its own."""
        peer.give_way = None
        self._handlers.start_soon(self._serve, peer, name="connection")

    async def _serve(self, peer: AcceptedConnection) -> None:
        with contain("connection", address=peer.address):
            await self._handle(peer)

    def _turn_out(self, porch: Porch, peer: AcceptedConnection, sock: socket.socket) -> None:
        """Close a connection that has not asked for anything, because its place is needed."""
        porch.remove(sock)
        self._counters.connections_refused += 1
        _refuse(sock, HTTPStatus.SERVICE_UNAVAILABLE, FULL)
        peer.close()

    def _refuse_late(self, peer: AcceptedConnection, sock: socket.socket) -> None:
        """Answer half a request; here and not at the door, as many can be late at once."""
        problem = f"no complete request within {self._limits.first_request_seconds:g} seconds"
        self._counters.connections_refused += 1
        self._log.info("refused", kind=problem, why=problem, address=peer.address)
        _refuse(sock, HTTPStatus.REQUEST_TIMEOUT, problem)
        peer.close()

    def _release(self, peer: AcceptedConnection) -> None:
        self._counters.connections_current -= 1
        self._places.leave(peer)

    # --- without descriptors ----------------------------------------------------------------

    def _refuse_with_spare(self, listening: socket.socket) -> bool:
        """Turn somebody away by means of the spare descriptor; tell whether that worked."""
        if self._spare is None:
            self._take_spare()
            return False
        self._drop_spare()
        try:
            sock, address = listening.accept()
        except OSError:
            return False
        else:
            self._counters.connections_refused += 1
            self._log.warning(
                "refused", kind=_NO_DESCRIPTOR, why=_NO_DESCRIPTOR, address=str(address[0])
            )
            with sock:
                _refuse(sock, HTTPStatus.SERVICE_UNAVAILABLE, FULL)
            return True
        finally:
            self._take_spare()

    def _take_spare(self) -> None:
        if self._spare is None:
            with contextlib.suppress(OSError):
                self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def _drop_spare(self) -> None:
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None


def _refuse(sock: socket.socket, status: HTTPStatus, problem: str) -> None:
    """Answer at once, as far as the socket takes it, and end our side."""
    with contextlib.suppress(OSError):  # it may have gone already
        sock.setblocking(False)
        sock.send(_refusal(status, problem))
        # What it has sent must not reset the connection before it has read that.
        sock.shutdown(socket.SHUT_WR)
        sock.recv(_UNREAD_BYTES)


@lru_cache(_REFUSALS)
def _refusal(status: HTTPStatus, problem: str) -> bytes:
    body = orjson.dumps({"error": problem})
    return _ANSWER % (status, status.phrase.encode(), len(body), body)
