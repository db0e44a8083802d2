"""The stream between the socket and trio-websocket, with the fast lane in it.

Inbound, complete text frames are split off and go straight to the sink; all other bytes are
what :meth:`Lane.receive_some` gives to trio-websocket. Outbound, what trio-websocket sends
takes the same road through the outbox as everything else.
"""

import socket
from collections.abc import Callable
from typing import Final, Protocol

import trio

from protocol.frames import Splitter
from server.edge.outbox import Outbox
from server.edge.poller import Poller
from server.support.bucket import TokenBucket
from server.support.limits import Limits

READ_BYTES: Final = 64 * 1024
_MOST_SLOW_BYTES: Final = READ_BYTES  # waiting for trio-websocket; above it nothing is read


class MessageHandler(Protocol):
    """Where the messages of a connection go: a session, or an echo."""

    @property
    def full(self) -> bool:
        """Nothing more may be read for it now."""

    def on_space(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once, as soon as it is not full any more."""

    async def wait_for_space(self) -> None:
        """Return as soon as it is not full any more."""

    def opened(self) -> None:
        """The handshake is complete."""

    def receive(self, text: str, now: float) -> None:
        """Take a text message; may be called several times before :meth:`settle`."""

    def settle(self) -> None:
        """Pass on what was received."""

    async def receive_slow(self, message: str | bytes, now: float) -> None:
        """Take a message that came through trio-websocket; may wait."""


class Lane(trio.abc.Stream):
    """One connection's bytes, in both directions.

    A trio-websocket connection is attached by :meth:`shake_hands` and let go by
    :meth:`let_go`. That may happen several times: bytes for it wait here meanwhile, and
    :meth:`wait_for_slow` tells when there are any.

    With a socket and a poller, the poller calls :meth:`read`, and whoever wants slow bytes
    sleeps until there are some. Without, whoever wants slow bytes reads the stream.
    """

    __slots__ = (
        "_broken",
        "_bucket",
        "_deaf",
        "_ended",
        "_flooded",
        "_greeting",
        "_let_go",
        "_limits",
        "_on_flood",
        "_outbox",
        "_poller",
        "_sink",
        "_sleeper",
        "_slow",
        "_socket",
        "_splitter",
        "_stream",
        "heard",
    )

    def __init__(
        self,
        stream: trio.abc.Stream,
        sock: socket.socket | None,
        *,
        outbox: Outbox,
        poller: Poller | None,
        limits: Limits,
        on_flood: Callable[[], None],
    ) -> None:
        """Make a lane on which nothing has happened yet.

        Args:
            stream: of the connection.
            sock: the non-blocking socket below it; ``None`` without ``poller``.
            outbox: of the connection.
            poller: reads the socket, if there is one.
            limits: of messages and slow frames.
            on_flood: called when there are too many slow frames; what comes after is dropped.
        """
        self._stream = stream
        self._socket = sock if poller is not None else None
        self._outbox = outbox
        self._poller = poller
        self._splitter = Splitter(limits.message_bytes)
        self._limits = limits
        self._on_flood = on_flood
        self._bucket: TokenBucket | None = None  # of slow frames; most peers never send one
        self._flooded = False
        self._sink: MessageHandler | None = None  # until :meth:`open`
        self._slow = b""
        self._greeting: bytes | None = None  # for trio-websocket, in a handshake
        self._deaf = False  # what trio-websocket answers in this handshake is known already
        self._let_go = True  # no trio-websocket is attached, or it wants nothing any more
        self._ended = False
        self._broken = False
        self._sleeper: trio.lowlevel.Task | None = None
        self.heard = trio.current_time()

    @property
    def lost(self) -> bool:
        """The peer has ended or broken the connection."""
        return self._ended or self._broken

    @property
    def peer_closed(self) -> bool:
        """The peer has sent a close frame, or the connection is lost."""
        return self._splitter.closed or self.lost

    def shake_hands(self, greeting: bytes, *, deaf: bool) -> None:
        """Attach a trio-websocket connection that is about to begin.

        Args:
            greeting: the request that it is to read first; nothing else until
                :meth:`shaken_hands`.
            deaf: whether what it answers is not sent.
        """
        self._greeting = greeting
        self._deaf = deaf
        self._let_go = False

    def shaken_hands(self) -> None:
        """Let trio-websocket have the slow bytes from now on."""
        self._greeting = None
        self._deaf = False
        self._wake()

    def let_go(self) -> None:
        """Detach trio-websocket: it sees a closed stream."""
        self._let_go = True
        self._wake()

    def open(self, sink: MessageHandler, leftover: bytes) -> None:
        """Begin with messages; ``leftover`` came behind the request's head."""
        self._sink = sink
        if leftover:
            self._take(leftover, trio.current_time())
        if self._socket is not None and self._poller is not None:
            self._poller.add(self._socket.fileno(), self)

    async def wait_for_slow(self) -> bool:
        """Wait for bytes for trio-websocket; False if the connection is lost without any."""
        while not self._slow:
            if self.lost:
                return False
            await self._progress()
        return True

    def dealt_with(self) -> None:
        """The sink has taken one message that came through trio-websocket."""
        self._splitter.dealt_with()

    # --- inbound ----------------------------------------------------------------------------

    def read(self, now: float) -> None:
        """Read the socket once; the poller calls this."""
        if self._socket is None or self._sink is None:
            raise AssertionError("polled without a socket or before the handshake")
        if self._sink.full:
            self.stop_reading()
            self._sink.on_space(self._resume)
            return
        try:
            data = self._socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self.fail()
            return
        self.heard = now
        if data:
            self._take(data, now)
            if len(self._slow) > _MOST_SLOW_BYTES:
                self.stop_reading()
        else:
            self.stop_reading()
            self._ended = True
            self._wake()

    def fail(self) -> None:
        """Treat the connection as broken."""
        self.stop_reading()
        self._broken = True
        self._wake()

    def stop_reading(self) -> None:
        """Take the socket from the poller; harmless if repeated."""
        if self._socket is not None and self._poller is not None:
            self._poller.remove(self._socket.fileno())

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Give trio-websocket the greeting, and later the next slow bytes."""
        if self._greeting:
            greeting, self._greeting = self._greeting, b""
            return greeting
        await trio.lowlevel.checkpoint()
        while self._greeting is not None and not self._let_go:
            await self._sleep()
        while not self._slow:
            if self._let_go:
                raise trio.ClosedResourceError
            if self._broken:
                raise trio.BrokenResourceError
            if self._ended:
                return b""
            await self._progress()
        if self._let_go:
            raise trio.ClosedResourceError
        size = max_bytes or READ_BYTES
        data, self._slow = self._slow[:size], self._slow[size:]
        if not self._slow:
            self._resume()
        return data

    async def drain(self) -> None:
        """Read and discard until the peer ends the connection; the caller sets the deadline."""
        self.stop_reading()
        self._slow = b""
        try:
            while not self.lost:
                self._ended = not await self._stream.receive_some(READ_BYTES)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._broken = True

    def _take(self, data: bytes, now: float) -> None:
        if self._flooded:
            self._splitter.feed(data)
            if self._splitter.closed:  # the answer to our close frame: all is said
                self.stop_reading()
                self._ended = True
                self._wake()
            return
        before = self._splitter.slow_frames
        texts, slow = self._splitter.feed(data)
        sink = self._sink
        # What a peer says after our close frame is nobody's (RFC 6455 section 1.4).
        if texts and sink is not None and not self._outbox.closing:
            for text in texts:
                sink.receive(text, now)
            sink.settle()
        if slow:
            if not self._afford(self._splitter.slow_frames - before, now):
                self._flooded = True
                self._on_flood()
                return
            self._slow += slow
            self._wake()

    def _afford(self, frames: int, now: float) -> bool:
        """Judge how many slow frames came: each costs a hundred times what a fast one does."""
        if self._bucket is None:
            self._bucket = TokenBucket(self._limits.frame_rate, self._limits.frame_burst, now)
        return self._bucket.take(frames, now)

    async def _progress(self) -> None:
        """Wait until something may have come, or read it oneself where nobody else does."""
        if self._socket is not None or self._sink is None:
            await self._sleep()
            return
        await self._sink.wait_for_space()
        try:
            data = bytes(await self._stream.receive_some(READ_BYTES))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._broken = True
            return
        self.heard = trio.current_time()
        if data:
            self._take(data, self.heard)
        else:
            self._ended = True

    def _resume(self) -> None:
        if self._socket is None or self._poller is None:
            return
        if self._sink is not None and not self.lost and self._socket.fileno() >= 0:
            self._poller.add(self._socket.fileno(), self)

    async def _sleep(self) -> None:
        self._sleeper = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(self._stop_sleeping)

    def _stop_sleeping(self, _: object) -> trio.lowlevel.Abort:
        self._sleeper = None
        return trio.lowlevel.Abort.SUCCEEDED

    def _wake(self) -> None:
        if self._sleeper is not None:
            sleeper, self._sleeper = self._sleeper, None
            trio.lowlevel.reschedule(sleeper)

    # --- outbound ---------------------------------------------------------------------------

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send what trio-websocket says, and wait until the socket has taken it."""
        if self._deaf:
            return
        self._outbox.push(bytes(data))
        await self._outbox.flushed()
        if self._outbox.broken:
            raise trio.BrokenResourceError

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until everything has been handed to the socket."""
        await trio.lowlevel.checkpoint()
        await self._outbox.flushed()

    async def aclose(self) -> None:
        """Let trio-websocket go; whoever owns the connection closes the socket."""
        self.let_go()
        await trio.lowlevel.checkpoint()
