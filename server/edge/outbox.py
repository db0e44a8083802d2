"""What one peer has yet to be sent: whole frames, bounded, flushed without waiting.

Requirements on whoever changes this file:

- Nothing waits here but the writer task, which lives only while the socket is behind.
- Whole pushes, in order: frames of the room and of trio-websocket never interleave.
- Nothing follows a close frame.
- Bounded in bytes, and only what is really unsent counts: a peer that reads is never too slow
  because many frames came at once. *Policy* when exceeded, or when the socket takes nothing for
  ``write_seconds``: the peer is too slow; ``on_stuck`` decides what happens to it. Nothing is
  ever dropped from the middle.
"""

import socket
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from protocol.frames import is_close
from server.support.limits import Limits

_PUSH_BYTES: Final = 256
"""What a queued push weighs beside its bytes: about what a place in the queue and a view take."""


class Outbox:
    """The sending half of a connection, over a socket or, without one, any Trio stream.

    With a socket, a push tries one non-blocking send first, and only what the socket does not
    take is queued. Other streams cannot be asked that way: there, every push is queued.
    """

    __slots__ = (
        "_broken",
        "_bytes",
        "_emptied",
        "_gone",
        "_limits",
        "_on_stuck",
        "_queue",
        "_socket",
        "_spawn",
        "_stream",
        "_writing",
        "close_frame",
    )

    def __init__(
        self,
        stream: trio.abc.SendStream | None,
        sock: socket.socket | None,
        *,
        limits: Limits,
        spawn: Callable[[Callable[[], Awaitable[object]]], None],
        on_stuck: Callable[[], None],
    ) -> None:
        """Make an empty outbox.

        Args:
            stream: the connection's sending half; takes the bytes where there is no ``sock``.
            sock: the non-blocking socket below ``stream``, if there is one.
            limits: the bounds in bytes and in seconds.
            spawn: the way to start the writer task.
            on_stuck: called when the peer is too slow; may be called again.
        """
        self._stream = stream
        self._socket = sock
        self._limits = limits
        self._spawn = spawn
        self._on_stuck = on_stuck
        # What is left of each push. Most outboxes never queue anything, and an empty deque is
        # larger than all the rest of this object.
        self._queue: deque[bytes | memoryview] | None = None
        self._bytes = 0
        self._gone = 0  # bytes that were queued once and have been sent
        self._writing = False
        self._broken = False
        self.close_frame: bytes | None = None
        """The close frame that was pushed; what is pushed after it is ignored."""
        self._emptied: trio.Event | None = None

    @property
    def closing(self) -> bool:
        """A close frame has been pushed; what is pushed from now on is ignored."""
        return self.close_frame is not None

    @property
    def broken(self) -> bool:
        """The peer cannot be sent anything any more."""
        return self._broken

    def push(self, data: bytes) -> None:
        """Send whole frames as soon as the socket takes them; never raises."""
        if self._broken or self.close_frame is not None:
            return
        if is_close(data):
            self.close_frame = data
        rest: bytes | memoryview = data
        if self._socket is not None and not self._queue:
            try:
                sent = self._socket.send(data)
            except BlockingIOError:
                pass
            except OSError:
                self._fail()
                return
            else:
                if sent == len(data):
                    return
                rest = memoryview(data)[sent:]
        if self._queue is None:
            self._queue = deque()
        self._queue.append(rest)
        self._bytes += len(rest)
        if not self._writing:
            self._writing = True
            self._spawn(self._write)
        if self._bytes + len(self._queue) * _PUSH_BYTES > self._limits.outbox_bytes:
            self._on_stuck()

    def truncate(self) -> None:
        """Drop what has not begun to be sent, to make way for a close frame."""
        while self._queue and len(self._queue) > 1:
            self._bytes -= len(self._queue.pop())

    async def flushed(self) -> None:
        """Wait until all that was pushed before has been handed to the socket, or cannot be."""
        until = self._gone + self._bytes
        while self._queue and not self._broken and self._gone < until:
            if self._emptied is None:
                self._emptied = trio.Event()
            await self._emptied.wait()

    def abandon(self) -> bool:
        """Give up; tell whether anything had not been sent. Wakes who waits for a flush."""
        unsent = bool(self._queue)
        self._fail()
        return unsent

    def _fail(self) -> None:
        self._broken = True
        self._queue = None
        self._bytes = 0
        self._wake()

    def _wake(self) -> None:
        if self._emptied is not None:
            self._emptied.set()
            self._emptied = None

    async def _write(self) -> None:
        """Hand out the queue; the writer task. A send is never cancelled and then repeated."""
        write = self._write_stream if self._socket is None else self._write_socket
        try:
            while self._queue:
                with trio.move_on_after(self._limits.write_seconds) as patience:
                    await write()
                if patience.cancelled_caught:
                    self._on_stuck()
                    if self._socket is None:
                        self._fail()  # torn inside a frame, see trio.abc.SendStream.send_all
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            self._fail()
        self._writing = False  # stays true when cancelled, so that nothing torn is sent again
        self._queue = None
        self._wake()

    async def _write_stream(self) -> None:
        queue = self._queue or deque()
        data = b"".join(queue)
        # One element: meanwhile more may be queued, and truncate() leaves nothing but the first.
        self._queue = deque((data,))
        if self._stream is None:
            raise AssertionError("only for streams")
        await self._stream.send_all(data)
        self._shift()

    async def _write_socket(self) -> None:
        """Send the head of the queue, or as much of it as the socket takes at once."""
        sock = self._socket
        if sock is None:
            raise AssertionError("only for sockets")
        await trio.lowlevel.wait_writable(sock)
        while self._queue:
            rest = self._queue[0]
            try:
                sent = sock.send(rest)
            except BlockingIOError:
                return
            if sent < len(rest):
                self._bytes -= sent
                self._gone += sent
                self._queue[0] = memoryview(rest)[sent:]
                return
            self._shift()

    def _shift(self) -> None:
        if self._queue:
            size = len(self._queue.popleft())
            self._bytes -= size
            self._gone += size
            self._wake()
