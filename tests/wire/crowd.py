"""A crowd of connections from one address that want nothing but places; a process of its own.

``python -m tests.wire.crowd HOST PORT SOURCE COUNT`` keeps COUNT connections from SOURCE open, or
tries to: what the server ends is opened again at once. A third of them say nothing, a third send
a request one byte at a time, a third send half a request and fall silent. A line on standard
output says that all were opened once; the end of standard input ends the crowd.
"""

import contextlib
import itertools
import resource
import select
import socket
import sys
import time
from collections.abc import Iterator
from typing import Final

_REQUEST: Final = b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + b"a" * 4096
_DIALLED_AT_ONCE: Final = 200
_DRIPS_EACH: Final = 0.5  # seconds between two bytes of one connection

KINDS: Final = ("idle", "dripping", "half")


class Crowd:
    """Its sockets, by descriptor."""

    def __init__(self, address: tuple[str, int], source: str, count: int) -> None:
        self._address = address
        self._source = source
        self._count = count
        self._epoll = select.epoll()
        self._dialling: dict[int, socket.socket] = {}
        self._open: dict[int, socket.socket] = {}
        self._kinds: Iterator[str] = itertools.cycle(KINDS)
        self._dripping: dict[int, int] = {}  # bytes sent
        self.opened = 0

    def turn(self) -> None:
        """Dial, notice who was sent away, and drip, for some milliseconds."""
        while (
            len(self._open) + len(self._dialling) < self._count
            and len(self._dialling) < _DIALLED_AT_ONCE
        ):
            self._dial()
        for descriptor, _ in self._epoll.poll(0.01, 1000):
            sock = self._dialling.pop(descriptor, None)
            if sock is not None:
                self._begin(sock)
            else:
                self._hear(descriptor)

    def drip(self) -> None:
        """Send one more byte on all that send slowly."""
        for descriptor, sent in list(self._dripping.items()):
            self._dripping[descriptor] = sent + 1
            with contextlib.suppress(OSError):
                self._open[descriptor].send(_REQUEST[sent : sent + 1])

    def _dial(self) -> None:
        sock = socket.socket()
        sock.setblocking(False)
        sock.bind((self._source, 0))
        sock.connect_ex(self._address)
        self._dialling[sock.fileno()] = sock
        self._epoll.register(sock.fileno(), select.EPOLLOUT)

    def _begin(self, sock: socket.socket) -> None:
        descriptor = sock.fileno()
        self._open[descriptor] = sock
        self._epoll.modify(descriptor, select.EPOLLIN)
        self.opened += 1
        kind = next(self._kinds)
        if kind == "dripping":
            self._dripping[descriptor] = 0
        elif kind == "half":
            with contextlib.suppress(OSError):
                sock.send(_REQUEST[:100])

    def _hear(self, descriptor: int) -> None:
        sock = self._open[descriptor]
        try:
            data = sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            del self._open[descriptor]
            self._dripping.pop(descriptor, None)
            sock.close()


def main(host: str, port: str, source: str, count: str) -> None:
    wanted = int(count) + 64
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(hard, wanted)))
    crowd = Crowd((host, int(port)), source, int(count))
    said, dripped = False, time.monotonic()
    while not select.select([sys.stdin], [], [], 0)[0]:
        crowd.turn()
        if not said and crowd.opened >= int(count):
            said = True
            print("opened", flush=True)  # noqa: T201 - for the test
        if time.monotonic() - dripped > _DRIPS_EACH:
            dripped = time.monotonic()
            crowd.drip()


if __name__ == "__main__":
    main(*sys.argv[1:])
