"""What one peer has yet to be sent: whole frames, bounded, flushed without waiting.

Requirements on whoever changes this file:

- Nothing waits here but the writer task, which lives only while the socket is behind.
- Whole pushes, in order: frames of the room and of trio-websocket never interleave.
- Nothing follows a close frame.
- Bounded in bytes and in messages. *Policy* when exceeded, or when the socket takes nothing
  for ``write_seconds``: the peer is too slow; ``on_stuck`` decides what happens to it. Nothing
  is ever dropped from the middle.
"""

import socket
from collections import deque
from collections.abc import Callable

import trio

from protocol.frames import is_close
from server.support.limits import Limits


class Outbox:
    """The sending half of a connection, over a socket or, without one, any Trio stream.

    With a socket, a push tries one non-blocking send first, and only what the socket does not
    take is queued. Other streams cannot be asked that way: there, every push is queued.
    """

    __slots__ = (
        "_broken",
        "_bytes",
        "_closing",
        "_emptied",
        "_gone",
        "_limits",
        "_messages",
        "_on_stuck",
        "_queue",
        "_socket",
        "_spawn",
        "_stream",
        "_writing",
    )

    def __init__(
        self,
        stream: trio.abc.SendStream,
        sock: socket.socket | None,
        *,
        limits: Limits,
        spawn: Callable[[Callable[[], object]], None],
        on_stuck: Callable[[], None],
    ) -> None:
        """Make an empty outbox.

        Args:
            stream: takes the bytes, unless ``sock`` does.
            sock: the non-blocking socket below ``stream``, if there is one.
            limits: outbox and write limits.
            spawn: starts the writer task.
            on_stuck: called when the peer is too slow; may be called again.
        """
        self._stream = stream
        self._socket = sock
        self._limits = limits
        self._spawn = spawn
        self._on_stuck = on_stuck
        # Elements and how many frames each has. Most outboxes never queue anything, and an
        # empty deque is larger than all the rest of this object.
        self._queue: deque[tuple[bytes | memoryview, int]] | None = None
        self._bytes = 0
        self._gone = 0  # bytes that were queued once and have been sent
        self._messages = 0
        self._writing = False
        self._closing = False
        self._broken = False
        self._emptied: trio.Event | None = None

    @property
    def closing(self) -> bool:
        """A close frame has been pushed; what is pushed from now on is ignored."""
        return self._closing

    @property
    def broken(self) -> bool:
        """The peer cannot be sent anything any more."""
        return self._broken

    @property
    def waiting(self) -> int:
        """Bytes that the socket has not taken yet."""
        return self._bytes

    def push(self, data: bytes, count: int = 1) -> None:
        """Send ``count`` whole frames as soon as the socket takes them; never raises."""
        if self._closing or self._broken:
            return
        self._closing = is_close(data)
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
        self._queue.append((rest, count))
        self._bytes += len(rest)
        self._messages += count
        if not self._writing:
            self._writing = True
            self._spawn(self._write)
        if self._bytes > self._limits.outbox_bytes or self._messages > self._limits.outbox_messages:
            self._on_stuck()

    def truncate(self) -> None:
        """Drop what has not begun to be sent, to make way for a close frame."""
        while self._queue and len(self._queue) > 1:
            rest, count = self._queue.pop()
            self._bytes -= len(rest)
            self._messages -= count

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
        self._bytes = self._messages = 0
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
        data = b"".join(rest for rest, _ in queue)
        # One element: meanwhile more may be queued, and truncate() leaves nothing but the first.
        self._queue = deque(((data, sum(count for _, count in queue)),))
        await self._stream.send_all(data)
        self._shift()

    async def _write_socket(self) -> None:
        """Send the head of the queue, or as much of it as the socket takes at once."""
        sock = self._socket
        if sock is None:
            raise AssertionError("only for sockets")
        await trio.lowlevel.wait_writable(sock)
        while self._queue:
            rest, count = self._queue[0]
            try:
                sent = sock.send(rest)
            except BlockingIOError:
                return
            if sent < len(rest):
                self._bytes -= sent
                self._gone += sent
                self._queue[0] = (memoryview(rest)[sent:], count)
                return
            self._shift()

    def _shift(self) -> None:
        if self._queue:
            rest, count = self._queue.popleft()
            self._bytes -= len(rest)
            self._gone += len(rest)
            self._messages -= count
            self._wake()
