"""The stream between the socket and trio-websocket, with the fast lane in it.

Inbound, complete text frames are split off and go straight to the handler; all other bytes are
what :meth:`Lane.receive_some` gives to trio-websocket. Outbound, what trio-websocket sends
takes the same road through the outbox as everything else.

The guest is trio-websocket, which is called in at the first slow byte:

=======  ===============================  =======  =============================================
guest    trigger                          next     what it is given, and what becomes of its words
=======  ===============================  =======  =============================================
ABSENT   shake_hands()                    GREETED  nothing: slow bytes wait
GREETED  receive_some()                   SHAKING  the greeting; what it says is not sent
SHAKING  shaken_hands()                   SEATED   nothing yet; what it says is not sent
SEATED                                             the slow bytes; what it says is sent
any      aclose()                         GONE     a closed stream, for ever
=======  ===============================  =======  =============================================

The peer is whoever sends:

=======  ===============================  =======  =============================================
peer     trigger                          next     what becomes of its bytes
=======  ===============================  =======  =============================================
TALKING  too many or too long frames      IGNORED  texts to the handler, the rest to the guest
IGNORED  its close frame                  ENDED    nothing, but a close frame is waited for
ENDED                                              there are none: end of file, or said all
BROKEN                                             there are none: reset, or a defect in reading
any [1]  end of file                      ENDED
any [1]  reset, fail()                    BROKEN
=======  ===============================  =======  =============================================

[1] TALKING or IGNORED. Any other move is a defect and raises
:class:`~protocol.errors.IllegalMove`.
"""

import socket
from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import Final, Protocol

import trio

from protocol.errors import IllegalMove
from protocol.frames import Excess, Splitter
from server.edge.closing import Cause
from server.edge.outbox import Outbox
from server.edge.poller import Poller
from server.support.bucket import TokenBucket
from server.support.limits import Limits

READ_BYTES: Final = 64 * 1024
_MOST_SLOW_BYTES: Final = READ_BYTES  # waiting for trio-websocket; above it nothing is read
_CAUSES: Final = {Excess.BYTES: Cause.TOO_BIG, Excess.FRAGMENTS: Cause.FLOODED}


class Guest(Enum):
    """How far trio-websocket has come; see the tables below."""

    ABSENT = auto()
    GREETED = auto()
    SHAKING = auto()
    SEATED = auto()
    GONE = auto()


class Peer(Enum):
    """What the other side can still make happen; see the tables below."""

    TALKING = auto()
    IGNORED = auto()
    ENDED = auto()
    BROKEN = auto()


_GUEST_MOVES: Final[Mapping[Guest, frozenset[Guest]]] = {
    Guest.ABSENT: frozenset({Guest.GREETED, Guest.GONE}),
    Guest.GREETED: frozenset({Guest.SHAKING, Guest.GONE}),
    Guest.SHAKING: frozenset({Guest.SEATED, Guest.GONE}),
    Guest.SEATED: frozenset({Guest.GONE}),
    Guest.GONE: frozenset({Guest.GONE}),
}
_PEER_MOVES: Final[Mapping[Peer, frozenset[Peer]]] = {
    Peer.TALKING: frozenset({Peer.IGNORED, Peer.ENDED, Peer.BROKEN}),
    Peer.IGNORED: frozenset({Peer.ENDED, Peer.BROKEN}),
    Peer.ENDED: frozenset(),
    Peer.BROKEN: frozenset(),
}


class MessageHandler(Protocol):
    """Where a connection's messages go: to a session, an echo, or nowhere.

    One socket read gives a batch: some calls of :meth:`receive`, then one of :meth:`end_batch`.
    Messages that came through trio-websocket come one by one, by :meth:`receive_slow`; all
    together come in the order in which the peer sent them. Nothing but :meth:`wait_for_space`
    and :meth:`receive_slow` waits, and nothing raises.
    """

    @property
    def full(self) -> bool:
        """Whether nothing more may be read from the socket now."""

    def on_space(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once, as soon as :attr:`full` is over."""

    async def wait_for_space(self) -> None:
        """Return as soon as :attr:`full` is over."""

    def opened(self) -> None:
        """Begin: the connection is open, and nothing has been received yet."""

    def receive(self, text: str, now: float) -> None:
        """Take a text message that was read at ``now``, in seconds on Trio's clock."""

    def end_batch(self) -> None:
        """Pass on what was received since the last time."""

    async def receive_slow(self, message: str | bytes, now: float) -> None:
        """Take a message and pass it on, once there is space."""


class Lane(trio.abc.Stream):
    """One connection's bytes, in both directions; the states are in the module's tables.

    With a socket and a poller, the poller calls :meth:`read`, and whoever wants slow bytes
    sleeps until there are some. Without, whoever wants slow bytes reads the stream.
    """

    __slots__ = (
        "_bucket",
        "_greeting",
        "_guest",
        "_handler",
        "_limits",
        "_on_refusal",
        "_outbox",
        "_peer",
        "_poller",
        "_sleeper",
        "_slow",
        "_socket",
        "_splitter",
        "_stream",
        "heard",
    )

    def __init__(
        self,
        stream: trio.abc.Stream | None,
        sock: socket.socket | None,
        *,
        outbox: Outbox,
        poller: Poller | None,
        limits: Limits,
        on_refusal: Callable[[Cause], None],
    ) -> None:
        """Make a lane on which nothing has happened yet.

        Args:
            stream: the connection's stream; may be left out where a poller reads the socket.
            sock: the non-blocking socket below it; ``None`` without ``poller``.
            outbox: the connection's sending half.
            poller: the reader of the socket, if there is one.
            limits: the bounds on messages and slow frames.
            on_refusal: told once why nothing of the peer is heard any more, if that is so: too
                many slow frames, too long a message, or a defect in taking what it sent.
        """
        self._stream = stream
        self._socket = sock if poller is not None else None
        self._outbox = outbox
        self._poller = poller
        self._splitter = Splitter(limits.message_bytes, limits.message_fragments)
        self._limits = limits
        self._on_refusal = on_refusal
        self._bucket: TokenBucket | None = None  # for slow frames; most peers never send one
        self._handler: MessageHandler | None = None  # until :meth:`open`
        self._slow = b""
        self._greeting = b""
        self._guest = Guest.ABSENT
        self._peer = Peer.TALKING
        self._sleeper: trio.lowlevel.Task | None = None
        self.heard = trio.current_time()
        """When the peer last sent anything, in seconds on Trio's clock."""

    @property
    def lost(self) -> bool:
        """Whether the peer has ended or broken the connection."""
        return self._peer is Peer.ENDED or self._peer is Peer.BROKEN

    @property
    def peer_closed(self) -> bool:
        """Whether the peer has sent a close frame, or the connection is lost."""
        return self._splitter.closed or self.lost

    @property
    def close_received(self) -> tuple[int, str] | None:
        """Code and reason of the peer's close frame, once it is complete."""
        return self._splitter.close

    def shake_hands(self, greeting: bytes) -> None:
        """Call in trio-websocket, which is to read this request first.

        Raises:
            IllegalMove: if it has been called in before.
        """
        self._move_guest(Guest.GREETED)
        self._greeting = greeting

    def shaken_hands(self) -> None:
        """Let trio-websocket have the slow bytes from now on.

        Raises:
            IllegalMove: unless it has read the greeting.
        """
        self._move_guest(Guest.SEATED)
        self._wake()

    def open(self, handler: MessageHandler, leftover: bytes) -> None:
        """Begin with messages; ``leftover`` came behind the request's head."""
        self._handler = handler
        if leftover:
            self._take(leftover, trio.current_time())
        if self._socket is not None and self._poller is not None:
            self._poller.add(self._socket.fileno(), self)

    async def wait_for_slow(self) -> bool:
        """Wait for bytes for trio-websocket; False if the connection is lost without any."""
        while not self._slow:
            if self.lost:
                return False
            if self._socket is not None:
                # As in _progress, whose frames an idle connection can do without.
                self._sleeper = trio.lowlevel.current_task()
                await trio.lowlevel.wait_task_rescheduled(self._stop_sleeping)
            else:
                await self._progress()
        return True

    def dealt_with(self) -> None:
        """Note that the handler has taken one message that came through trio-websocket."""
        self._splitter.dealt_with()

    # --- inbound ----------------------------------------------------------------------------

    def read(self, now: float) -> None:
        """Read the socket once; the poller calls this."""
        if self._socket is None or self._handler is None:
            raise AssertionError("polled without a socket or before the handshake")
        if self._handler.full:
            self.stop_reading()
            self._handler.on_space(self._resume)
            return
        try:
            data = self._socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self._lose(Peer.BROKEN)
            return
        self.heard = now
        if data:
            self._take(data, now)
            if len(self._slow) > _MOST_SLOW_BYTES:
                self.stop_reading()
        else:
            self._lose(Peer.ENDED)

    def fail(self) -> None:
        """Treat the connection as broken, because taking what came has met a defect."""
        self._on_refusal(Cause.FAULT)
        self._lose(Peer.BROKEN)

    def stop_reading(self) -> None:
        """Take the socket from the poller; harmless if repeated."""
        if self._socket is not None and self._poller is not None:
            self._poller.remove(self._socket.fileno())

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Give trio-websocket the greeting, and later the next slow bytes."""
        if self._guest is Guest.GREETED:
            self._move_guest(Guest.SHAKING)
            greeting, self._greeting = self._greeting, b""
            return greeting
        await trio.lowlevel.checkpoint()
        while self._guest is Guest.SHAKING:
            await self._sleep()
        while not self._slow:
            self._check_seated()
            if self._peer is Peer.BROKEN:
                raise trio.BrokenResourceError
            if self._peer is Peer.ENDED:
                return b""
            await self._progress()
        self._check_seated()
        size = max_bytes or READ_BYTES
        data, self._slow = self._slow[:size], self._slow[size:]
        if not self._slow:
            self._resume()
        return data

    async def drain(self, stream: trio.abc.Stream) -> None:
        """Read and discard until the peer ends the connection; the caller sets the deadline."""
        self.stop_reading()
        self._slow = b""
        try:
            while not self.lost:
                if not await stream.receive_some(READ_BYTES):
                    self._lose(Peer.ENDED)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._lose(Peer.BROKEN)

    def _take(self, data: bytes, now: float) -> None:
        if self._peer is not Peer.TALKING:
            self._splitter.feed(data)
            self._look_for_close()
            return
        before = self._splitter.slow_frames
        texts, slow = self._splitter.feed(data)
        handler = self._handler
        # What a peer says after our close frame is nobody's (RFC 6455 section 1.4).
        if texts and handler is not None and not self._outbox.closing:
            for text in texts:
                handler.receive(text, now)
            handler.end_batch()
        if slow:
            excess = self._splitter.excess
            if excess is not None:
                self._refuse(_CAUSES[excess])
            elif not self._afford(self._splitter.slow_frames - before, now):
                self._refuse(Cause.FLOODED)
            else:
                self._slow += slow
                self._wake()

    def _refuse(self, cause: Cause) -> None:
        """Hear nothing of the peer any more but its close frame."""
        self._move_peer(Peer.IGNORED)
        self._slow = b""
        self._on_refusal(cause)
        self._look_for_close()

    def _look_for_close(self) -> None:
        """End with the peer's close frame: nothing else of it would be heard."""
        if self._splitter.closed:
            self._lose(Peer.ENDED)

    def _lose(self, state: Peer) -> None:
        if self.lost:
            return  # two readers, such as the poller and drain(), may see the same end
        self._move_peer(state)
        self.stop_reading()
        self._wake()

    def _move_peer(self, state: Peer) -> None:
        if state not in _PEER_MOVES[self._peer]:
            raise IllegalMove(self._peer, state)
        self._peer = state

    def _move_guest(self, state: Guest) -> None:
        if state not in _GUEST_MOVES[self._guest]:
            raise IllegalMove(self._guest, state)
        self._guest = state

    def _check_seated(self) -> None:
        if self._guest is not Guest.SEATED:
            raise trio.ClosedResourceError

    def _afford(self, frames: int, now: float) -> bool:
        """Judge how many slow frames came: each costs a hundred times what a fast one does."""
        if self._bucket is None:
            self._bucket = TokenBucket(self._limits.frame_rate, self._limits.frame_burst, now)
        return self._bucket.take(frames, now)

    async def _progress(self) -> None:
        """Wait until something may have come, or read it oneself where nobody else does."""
        if self._socket is not None or self._handler is None:
            await self._sleep()
            return
        if self._stream is None:
            raise AssertionError("without a poller there is a stream")
        await self._handler.wait_for_space()
        try:
            data = bytes(await self._stream.receive_some(READ_BYTES))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._lose(Peer.BROKEN)
            return
        self.heard = trio.current_time()
        if data:
            self._take(data, self.heard)
        else:
            self._lose(Peer.ENDED)

    def _resume(self) -> None:
        if self._socket is None or self._poller is None:
            return
        if self._handler is not None and not self.lost and self._socket.fileno() >= 0:
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
        if self._guest is not Guest.SEATED:
            return  # the answer to the greeting is nobody's
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
        self._move_guest(Guest.GONE)
        self._wake()
        await trio.lowlevel.checkpoint()
