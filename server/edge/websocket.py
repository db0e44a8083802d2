"""One WebSocket connection; the only file that imports trio_websocket.

trio-websocket does control frames, fragmentation, the closing handshake and every error; complete
text frames and everything outbound go past it, see ``lane``. The opening handshake has been judged
and answered before: here the answer is only sent.
"""

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_server_stream

from protocol.frames import PING, decode_close, encode_close
from server.edge.accepted import AcceptedConnection
from server.edge.closing import (
    ABNORMAL,
    CAUSE_OF_CODE,
    TOLD,
    Cause,
    CloseFrame,
    Closing,
    FirstCause,
)
from server.edge.heartbeat import Heartbeat
from server.edge.lane import READ_BYTES, Lane, MessageHandler
from server.edge.outbox import Outbox
from server.edge.poller import Poller
from server.support.counters import Counters
from server.support.limits import Limits
from server.support.supervise import contain

_SLOW_QUEUE: Final = 2  # messages of trio-websocket; while it is full, no close is seen

# Any valid request brings a trio-websocket connection into the open state.
_GREETING: Final = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class _Writing:
    """A writer task, for whoever must not end before it."""

    __slots__ = ("done", "scope")

    def __init__(self) -> None:
        self.scope = trio.CancelScope()
        self.done = trio.Event()

    async def stop(self) -> None:
        """End it and wait for that, which it cannot delay."""
        self.scope.cancel()
        with trio.CancelScope(shield=True):
            await self.done.wait()


class WebSocket:
    """A connection whose request asks for a WebSocket, until nothing of it is left.

    Whoever calls :meth:`run` hands over the peer. Everything else is synchronous, may be
    called at any time, before, during and after, and never raises.

    Most connections never need trio-websocket, whose reader task and objects take some 12 KiB;
    when the first slow byte comes, a connection of it is brought into the open state, out of the
    peer's sight, and stays.
    """

    __slots__ = (
        "_beat",
        "_cause",
        "_closing",
        "_counters",
        "_heartbeat",
        "_lane",
        "_leftover",
        "_limits",
        "_nursery",
        "_opened",
        "_outbox",
        "_parting",
        "_peer",
        "_response",
        "_told",
        "_writing",
        "scope",
    )

    def __init__(
        self,
        peer: AcceptedConnection,
        response: bytes,
        leftover: bytes,
        *,
        limits: Limits,
        poller: Poller | None,
        heartbeat: Heartbeat,
        counters: Counters,
        told: Mapping[Cause, tuple[int, str]] = TOLD,
        beat: Callable[[], bytes] | None = None,
    ) -> None:
        """Prepare; nothing happens before :meth:`run`.

        Args:
            peer: the accepted connection, its request read.
            response: the answer that opens the WebSocket, up to and including the empty line; empty
                if it has been sent.
            leftover: what came behind the request.
            limits: the bounds on messages, outbox and close handshake.
            poller: the reader of plain TCP sockets; without it, the connection reads for itself.
            heartbeat: what pings the connection while it is open.
            counters: the server's numbers, kept up to date.
            told: what the peer is told about causes that are found here.
            beat: gives frames to be sent with each ping.
        """
        self._peer = peer
        self._response = response
        self._leftover = leftover
        self._limits = limits
        self._heartbeat = heartbeat
        self._counters = counters
        self._told = told
        self._beat = beat
        self.scope = trio.CancelScope()
        """Around the connection's whole life; cancelling it cuts the connection."""
        self._outbox = Outbox(
            None if peer.sock else peer.stream,
            peer.sock,
            limits=limits,
            spawn=self._spawn,
            on_stuck=self._stuck,
        )
        self._lane = Lane(
            None if peer.sock and poller else peer.stream,
            peer.sock,
            outbox=self._outbox,
            poller=poller if peer.sock is not None else None,
            limits=limits,
            on_refusal=self.end,
        )
        self._nursery: trio.Nursery | None = None  # in which this connection's task runs
        self._writing: _Writing | None = None
        self._opened = False
        self._parting: tuple[bytes, bytes] | None = None  # for the end of the handshake
        self._cause = FirstCause(counters.closed)
        self._closing: Closing | None = None

    @property
    def address(self) -> str:
        """The peer's address, for logs."""
        return self._peer.address

    @property
    def source(self) -> str:
        """For whom the connection counts."""
        return self._peer.source.key

    @property
    def closing(self) -> Closing | None:
        """How the connection ended, once :meth:`run` is over."""
        return self._closing

    # --- heartbeat --------------------------------------------------------------------------

    @property
    def heard(self) -> float:
        """When the peer last sent anything, on Trio's clock."""
        return self._lane.heard

    def ping(self) -> None:
        """Send a ping."""
        self.push(PING if self._beat is None else PING + self._beat())

    def silent(self) -> None:
        """Give up a peer that answers no ping."""
        self.end(Cause.SILENT)
        self.scope.cancel()

    # --- outbound ---------------------------------------------------------------------------

    def push(self, frames: bytes, count: int = 1) -> None:
        """Send ``count`` whole frames, without waiting; ignored unless the connection is open."""
        if self._opened:
            self._outbox.push(frames)

    async def flushed(self) -> None:
        """Wait until the socket has taken all that was pushed, or never will."""
        await self._outbox.flushed()

    def close(
        self, code: int, reason: str, last: bytes = b"", *, cause: Cause | None = None
    ) -> None:
        """Send ``last`` and a close frame; the peer has ``close_seconds`` to answer.

        Only the first call has an effect.

        Args:
            code: the close frame's code.
            reason: the close frame's reason, for people.
            last: whole frames to be sent before it.
            cause: why, for logs and metrics; what usually goes with ``code`` if not given.
        """
        frame = encode_close(code, reason)
        if self._outbox.closing or self._parting is not None:
            return
        self._cause.note(cause or CAUSE_OF_CODE.get(code, Cause.REFUSED))
        if not self._opened:
            self._parting = (last, frame)
        else:
            if last:
                self._outbox.push(last)
            self._outbox.push(frame)
            self._set_deadline()

    def end(self, cause: Cause) -> None:
        """Close for a cause that is found at the edge, which says what the peer is told."""
        code, reason = self._told[cause]
        self.close(code, reason, cause=cause)

    def _stuck(self) -> None:
        """Close a peer that does not take what it is sent; it has already had its time."""
        if self._outbox.closing:
            self.scope.cancel()
            return
        self._outbox.truncate()
        self.end(Cause.TOO_SLOW)

    def _set_deadline(self) -> None:
        deadline = trio.current_time() + self._limits.close_seconds
        self.scope.deadline = min(self.scope.deadline, deadline)

    def _spawn(self, task: Callable[[], Awaitable[object]]) -> None:
        if self._nursery is not None:
            self._writing = _Writing()
            self._nursery.start_soon(self._write, task, self._writing, name="outbox")

    async def _write(self, task: Callable[[], Awaitable[object]], writing: "_Writing") -> None:
        """Be the outbox's writer; its defects are this connection's, and nobody else's."""
        written = contain("connection", address=self.address)
        try:
            with written, writing.scope:
                await task()
        finally:
            if self._writing is writing:
                self._writing = None
            writing.done.set()
            if written.failed:
                self._cause.note(Cause.FAULT)
                self.scope.cancel()

    # --- life -------------------------------------------------------------------------------

    async def run(self, handler: MessageHandler) -> None:
        """Do the handshake, pass messages to ``handler``, and close, whatever happens.

        Cancelled, it leaves a closed socket; a close frame has been tried before. Afterwards
        :attr:`closing` says why it ended, which is counted once.
        """
        try:
            with self._cause, self.scope:
                # The writer is rarely needed, and a nursery of its own takes as much memory as all
                # else that an idle connection has. This task waits for it, whatever happens.
                self._nursery = trio.lowlevel.current_task().parent_nursery
                try:
                    await self._converse(handler)
                finally:
                    self._nursery = None  # what is pushed now finds no writer
                    if self._writing is not None:
                        await self._writing.stop()  # noqa: ASYNC102 - shielded in there
        finally:
            with trio.move_on_after(self._limits.close_seconds, shield=True):
                await self._cut()

    async def _converse(self, handler: MessageHandler) -> None:
        """Be a WebSocket from the first to the last byte."""
        await trio.lowlevel.checkpoint_if_cancelled()  # then nothing is said at all
        self._open(handler)
        if await self._lane.wait_for_slow() and not self._parted:
            async with trio.open_nursery() as reading:  # trio-websocket's reader
                websocket = await self._shake_hands(reading)
                with contextlib.suppress(ConnectionClosed):
                    await self._receive(websocket, handler)
                reading.cancel_scope.cancel()
            self._cause.note(self._verdict(websocket))
            await self._linger(websocket)
        self._cause.note(Cause.PEER_LOST)

    @property
    def _parted(self) -> bool:
        """Both sides have sent a close frame: nothing is left to be said or judged."""
        return self._outbox.closing and self._lane.peer_closed

    async def _receive(self, websocket: WebSocketConnection, handler: MessageHandler) -> None:
        while True:
            message = await websocket.get_message()
            if not self._outbox.closing:
                await handler.receive_slow(message, trio.current_time())
            self._lane.dealt_with()

    async def _shake_hands(self, nursery: trio.Nursery) -> WebSocketConnection:
        """Bring a trio-websocket connection into the open state, out of the peer's sight."""
        self._lane.shake_hands(_GREETING)
        proposal = await wrap_server_stream(
            nursery,
            self._lane,
            message_queue_size=_SLOW_QUEUE,
            max_message_size=self._limits.message_bytes,
            receive_buffer_size=READ_BYTES,
        )
        websocket = await proposal.accept()
        self._lane.shaken_hands()
        return websocket

    def _open(self, handler: MessageHandler) -> None:
        self._opened = True
        if self._response:
            self._outbox.push(self._response)
        self._counters.websockets_opened += 1
        self._counters.websockets_current += 1
        self._heartbeat.add(self)
        if self._parting is None:
            handler.opened()
        else:  # closed meanwhile: refused, or the room has ended
            for frame in filter(None, self._parting):
                self._outbox.push(frame)
            self._set_deadline()
        self._lane.open(handler, self._leftover)
        self._response = self._leftover = b""

    def _verdict(self, websocket: WebSocketConnection) -> Cause:
        """Say why trio-websocket has closed, unless we have closed before.

        What it tells is the peer's close frame or, in the same form, the violation it found.
        """
        told, received = websocket.closed, self._lane.close_received
        code = ABNORMAL if told is None else told.code
        if received is not None and code in {received[0], ABNORMAL}:
            return Cause.PEER_CLOSED
        return CAUSE_OF_CODE.get(code, Cause.PEER_LOST)

    async def _linger(self, websocket: WebSocketConnection) -> None:
        """See to it that the peer learns why, if the connection was failed on this side.

        trio-websocket closes without a close frame then (RFC 6455 section 7.1.7), and closing a
        socket with unread input would reset it, and the close frame with it.
        """
        if self._lane.lost:
            return
        closed = websocket.closed
        if not self._outbox.closing and closed is not None:
            self._outbox.push(encode_close(closed.code, closed.reason or ""))
        self._set_deadline()
        await self._outbox.flushed()
        if not self._lane.peer_closed:
            with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await self._peer.stream.send_eof()
            await self._lane.drain(self._peer.stream)

    async def _cut(self) -> None:
        """Close the socket; the last thing that happens to a connection."""
        self._lane.stop_reading()
        self._heartbeat.discard(self)
        cause = self._cause.note(Cause.CUT)
        if self._opened:
            self._counters.websockets_current -= 1
            if self._outbox.closing:
                # Not by who was cancelled: the deadline of its room may come at the same moment.
                self._counters.closed_unanswered += not self._lane.peer_closed
            else:
                self._outbox.push(encode_close(*self._told.get(cause, self._told[Cause.CUT])))
        self._conclude(cause)
        unsent = self._outbox.abandon()
        await self._peer.aclose(reset=unsent)

    def _conclude(self, cause: Cause) -> None:
        """Put down, before anything can wait, how the connection ended."""
        received, frame = self._lane.close_received, self._outbox.close_frame
        self._closing = Closing(
            cause,
            None if received is None else CloseFrame(*received),
            None if frame is None else CloseFrame(*decode_close(frame)),
        )
