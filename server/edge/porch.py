"""Connections whose first request is not there yet: many thousands of them, and no task for any."""

import re
import select
import socket
from collections.abc import Callable
from types import TracebackType
from typing import Final

from server.edge.accepted import AcceptedConnection

_READY: Final = 64  # connections looked at in one go, then everybody else gets a turn
_END_OF_HEAD: Final = re.compile(rb"\n\r?\n")
_OVERLAP: Final = 2  # bytes of an end of a head that may have been there before
_FIRST_OF_TEXT: Final = 0x21  # a request line begins with a printing character (RFC 9110 5.6.2)


class Porch:
    """Holds connections until the head of their first request is complete, or cannot become so.

    One epoll for all; a connection here costs its socket, an :class:`AcceptedConnection` and what
    has come of the head, some 800 bytes together. A connection leaves the porch for the door
    with ``first`` filled when its head is complete, too long or evidently none.
    """

    def __init__(
        self,
        proceed: Callable[[AcceptedConnection], None],
        close: Callable[[AcceptedConnection], None],
        refuse_late: Callable[[AcceptedConnection, socket.socket], None],
        *,
        seconds: float,
        head_bytes: int,
    ) -> None:
        """Open the epoll.

        Args:
            proceed: takes over a connection that is ready for the door.
            close: closes one whose peer has gone, or has said nothing in its time.
            refuse_late: closes one that has not said enough in its time, with an answer.
            seconds: from accepting a connection to the end of its first request's head.
            head_bytes: above these a head is too long.

        Raises:
            OSError: if the system has no epoll, or no descriptor left.
        """
        self._proceed = proceed
        self._close = close
        self._refuse_late = refuse_late
        self._seconds = seconds
        self._head_bytes = head_bytes
        self._epoll = select.epoll()
        # By descriptor; the oldest first.
        self._waiting: dict[int, tuple[AcceptedConnection, socket.socket]] = {}

    @staticmethod
    def available() -> bool:
        """Tell whether this system has epoll."""
        return hasattr(select, "epoll")

    def __enter__(self) -> "Porch":
        """Close everything at the end."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close all connections that are still here, and the epoll."""
        for peer, _ in list(self._waiting.values()):
            self._close(peer)
        self._waiting.clear()
        self._epoll.close()

    def fileno(self) -> int:
        """The descriptor that is readable when :meth:`look` has something to do."""
        return self._epoll.fileno()

    @property
    def deadline(self) -> float:
        """When the time of the oldest connection is up, on Trio's clock."""
        for peer, _ in self._waiting.values():
            return peer.since + self._seconds
        return float("inf")

    def watch(self, descriptor: int) -> None:
        """Look after a listening socket as well, which :meth:`look` reports."""
        self._epoll.register(descriptor, select.EPOLLIN)

    def add(self, peer: AcceptedConnection, sock: socket.socket) -> None:
        """Take in a connection, and read from the non-blocking socket below it.

        Most have asked already when they are accepted, and go straight to the door.

        Raises:
            OSError: if the system watches no more descriptors.
        """
        if not self._read(peer, sock):
            return
        descriptor = sock.fileno()
        self._epoll.register(descriptor, select.EPOLLIN)
        self._waiting[descriptor] = peer, sock

    def remove(self, sock: socket.socket) -> None:
        """Let go of the connection over a socket that is still open."""
        descriptor = sock.fileno()
        if self._waiting.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def look(self) -> bool:
        """Read whatever has come, without waiting; tell whether a listening socket is ready."""
        knocking = False
        for descriptor, _ in self._epoll.poll(0, _READY):
            found = self._waiting.get(descriptor)
            if found is None:
                knocking = True
            else:
                self._read(*found)
        return knocking

    def expire(self, now: float) -> None:
        """Deal with those whose time is up."""
        late: list[tuple[AcceptedConnection, socket.socket]] = []
        for peer, sock in self._waiting.values():
            if peer.since + self._seconds > now or len(late) == _READY:
                break
            late.append((peer, sock))
        for peer, sock in late:
            self.remove(sock)
            if peer.first:
                self._refuse_late(peer, sock)
            else:
                self._close(peer)

    def _read(self, peer: AcceptedConnection, sock: socket.socket) -> bool:
        """Read what has come; tell whether the connection stays for more."""
        try:
            data = sock.recv(self._head_bytes - len(peer.first))
        except BlockingIOError:
            return True
        except OSError:
            data = b""
        if not data:
            self.remove(sock)
            self._close(peer)
            return False
        before = len(peer.first)
        peer.first += data
        if (
            before + len(data) >= self._head_bytes
            or peer.first[0] < _FIRST_OF_TEXT
            or _END_OF_HEAD.search(peer.first, max(0, before - _OVERLAP))
        ):
            self.remove(sock)
            self._proceed(peer)
            return False
        return True
