"""One member: who it is, how fast it may talk, and what of that the room gets to hear."""

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

import trio

from protocol.dialects.base import Dialect
from protocol.errors import CloseCode, ErrorCode, Problem, Refused
from protocol.ids import MemberId, RoomId
from protocol.messages import Command, Enter, Reject
from server.edge.closing import Cause, Closing
from server.rooms.inbox import Inbox
from server.support.bucket import TokenBucket
from server.support.counters import Counters
from server.support.limits import Limits
from server.support.observe import get_logger
from server.support.supervise import contain

_NOT_TEXT: Final = Problem(ErrorCode.NOT_TEXT, "binary messages are not understood, send text")


class MemberConnection(Protocol):
    """What a session needs of its connection."""

    scope: trio.CancelScope

    def push(self, frames: bytes, count: int = 1) -> None:
        """Send ``count`` whole frames, without waiting."""

    @property
    def address(self) -> str:
        """The peer's address, for logs."""

    @property
    def source(self) -> str:
        """For whom the connection counts."""

    @property
    def closing(self) -> Closing | None:
        """How the connection ended, once :meth:`run` is over."""

    def close(
        self, code: int, reason: str, last: bytes = b"", *, cause: Cause | None = None
    ) -> None:
        """Send ``last`` and a close frame, then nothing; ``cause`` is for logs and metrics."""

    async def run(self, handler: "Session") -> None:
        """Live until the connection has ended, and leave nothing of it open."""


class Session:
    """Joins a room and a connection: a message handler for the one, a member for the other.

    Messages above the inbound rate (a token bucket), binary ones and malformed ones are
    refused and count as strikes; so many strikes within so many seconds end the session. The
    refusals take the way through the room like everything else, so that answers keep their order.
    """

    __slots__ = (
        "_began",
        "_bucket",
        "_connection",
        "_counters",
        "_entry",
        "_inbox",
        "_limits",
        "_on_end",
        "_room",
        "_strikes",
        "_struck_out",
        "dialect",
        "id",
        "name",
    )

    def __init__(
        self,
        member_id: MemberId,
        name: str,
        dialect: Dialect,
        *,
        room: RoomId,
        inbox: Inbox,
        connection: MemberConnection,
        limits: Limits,
        counters: Counters,
        entry: Command | None = None,
        on_end: Callable[[], None] | None = None,
    ) -> None:
        """Prepare a member of a room.

        Args:
            member_id: an identity that is unique over all rooms and times.
            name: the member's name, for people.
            dialect: the peer's wire format.
            room: the room's id, for logs.
            inbox: the room's inbox.
            connection: the way to the peer.
            limits: the bounds on rate and strikes.
            counters: the server's numbers, kept up to date.
            entry: the command by which it enters; a plain ``Enter`` if not given.
            on_end: called when the connection has ended.
        """
        self.id = member_id
        self.name = name
        self.dialect = dialect
        self._room = room
        self._inbox = inbox
        self._connection = connection
        self._limits = limits
        self._counters = counters
        self._entry: Command | None = entry or Enter(name)
        self._on_end = on_end
        self._began = trio.current_time()
        self._bucket = TokenBucket(limits.inbound_rate, limits.inbound_burst, self._began)
        self._strikes: deque[float] | None = None  # when; most members never have one
        self._struck_out = False

    @property
    def scope(self) -> trio.CancelScope:
        """Around its whole life; cancelling the admin's ends the room."""
        return self._connection.scope

    # --- as a member ------------------------------------------------------------------------

    @property
    def source(self) -> str:
        """From where it has come."""
        return self._connection.source

    async def run(self) -> None:
        """Live until the connection has ended, leave nothing of it open, and log how it ended."""
        try:
            with contain("connection", self._who):
                await self._connection.run(self)
        finally:
            if self._on_end is not None:
                self._on_end()
            closing = self._connection.closing
            if closing is not None:
                get_logger("connection").info(
                    "closed",
                    **self._who(),
                    cause=str(closing.cause),
                    code=closing.decisive.code,
                    reason=closing.decisive.reason,
                    seconds=round(trio.current_time() - self._began, 3),
                )

    def _who(self) -> dict[str, str]:
        return {"room": self._room, "member": self.id, "address": self._connection.address}

    def push(self, frames: bytes, count: int) -> None:
        """Send ``count`` whole frames, without waiting."""
        self._connection.push(frames, count)

    def close(
        self, code: int, reason: str, last: bytes = b"", *, cause: Cause | None = None
    ) -> None:
        """Send ``last`` and a close frame, then nothing.

        Args:
            code: the close frame's code.
            reason: the close frame's reason, for people.
            last: whole frames to be sent before it.
            cause: why, for logs and metrics; a room gives none, since its code and what came
                before say it.
        """
        if cause is None and code == CloseCode.POLICY and self._struck_out:
            cause = Cause.STRUCK_OUT
        elif cause is None and code == CloseCode.GOING_AWAY:
            cause = Cause.ROOM_ENDED
        self._connection.close(code, reason, last, cause=cause)

    # --- as a handler --------------------------------------------------------------------------

    @property
    def full(self) -> bool:
        """Nothing more may be read for the room now."""
        return self._inbox.full

    def on_space(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once, as soon as the room takes more."""
        self._inbox.on_space(callback)

    async def wait_for_space(self) -> None:
        """Return as soon as the room takes more."""
        await self._inbox.wait_for_space()

    def opened(self) -> None:
        """Take a seat."""
        entry, self._entry = self._entry, None
        if entry is not None:
            self._inbox.put(self.id, entry)
            self._inbox.settle()

    def receive(self, text: str, now: float) -> None:
        """Decode a message and put it in the room's inbox."""
        if self._admit(text, now):
            try:
                command = self.dialect.decode(text)
            except Refused as refused:
                self._strike(refused.problem, now)
            else:
                self._inbox.put(self.id, command)

    def end_batch(self) -> None:
        """Wake the room."""
        self._inbox.settle()

    async def receive_slow(self, message: str | bytes, now: float) -> None:
        """Take a message that came through trio-websocket, once the room takes more."""
        await self._inbox.wait_for_space()
        if isinstance(message, str):
            self.receive(message, now)
        elif self._admit(message, now):
            self._strike(_NOT_TEXT, now)
        self._inbox.settle()

    def _admit(self, text: str | bytes, now: float) -> bool:
        """Judge one message by the inbound rate."""
        self._counters.messages_received += 1
        if self._bucket.take(1, now):
            return not self._struck_out
        self._strike(self._too_fast(text), now)
        return False

    def _too_fast(self, text: str | bytes) -> Problem:
        """Word the refusal of a message that came too fast."""
        rate = self._limits.inbound_rate
        message = f"too many messages: {rate:g} a second are taken at the most"
        return Problem(ErrorCode.TOO_FAST, message)

    def _strike(self, problem: Problem, now: float) -> None:
        if self._struck_out:
            return
        self._counters.messages_refused += 1
        if self._strikes is None:
            self._strikes = deque(maxlen=self._limits.strikes)
        strikes = self._strikes
        strikes.append(now)
        self._struck_out = (
            len(strikes) == strikes.maxlen and now - strikes[0] <= self._limits.strike_seconds
        )
        self._inbox.put(self.id, Reject(problem, final=self._struck_out))
