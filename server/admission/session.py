"""One member: who it is, how fast it may talk, and what of that the room gets to hear."""

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

import trio

from protocol.dialects.base import Dialect
from protocol.errors import CloseCode, ErrorCode, Problem, Refused
from protocol.ids import MemberId
from protocol.messages import Command, Enter, Reject
from server.rooms.inbox import Inbox
from server.support.bucket import TokenBucket
from server.support.counters import Counters
from server.support.limits import Limits
from server.support.supervise import contain

_NOT_TEXT: Final = Problem(ErrorCode.NOT_TEXT, "binary messages are not understood, send text")


class Link(Protocol):
    """What a session needs of its connection."""

    scope: trio.CancelScope

    def push(self, frames: bytes, count: int = 1) -> None:
        """Send ``count`` whole frames, without waiting."""

    def close(self, code: CloseCode, reason: str, last: bytes = b"") -> None:
        """Send ``last`` and a close frame, then nothing."""

    async def run(self, sink: "Session") -> None:
        """Live until the connection has ended, and leave nothing of it open."""


class Session:
    """Joins a room and a connection: a sink for the one, a member for the other.

    Messages above the inbound rate (a token bucket), binary ones and malformed ones are
    refused and count as strikes; so many strikes within so many seconds end the session. The
    refusals take the way through the room like everything else, so that answers keep their order.
    """

    __slots__ = (
        "_bucket",
        "_connection",
        "_counters",
        "_entry",
        "_inbox",
        "_limits",
        "_on_end",
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
        inbox: Inbox,
        connection: Link,
        limits: Limits,
        counters: Counters,
        entry: Command | None = None,
        on_end: Callable[[], None] | None = None,
    ) -> None:
        """Prepare a member of the room with this inbox.

        Args:
            member_id: unique over all rooms and times.
            name: for people.
            dialect: how the peer speaks.
            inbox: of the room.
            connection: to the peer.
            limits: of rate and strikes.
            counters: are kept up to date.
            entry: what to say to the room first; a plain ``Enter`` if not given.
            on_end: is called when the connection has ended.
        """
        self.id = member_id
        self.name = name
        self.dialect = dialect
        self._inbox = inbox
        self._connection = connection
        self._limits = limits
        self._counters = counters
        self._entry = entry or Enter(name)
        self._on_end = on_end
        self._bucket = TokenBucket(limits.inbound_rate, limits.inbound_burst, trio.current_time())
        self._strikes: deque[float] | None = None  # when; most members never have one
        self._struck_out = False

    @property
    def scope(self) -> trio.CancelScope:
        """Around its whole life; cancelling the admin's ends the room."""
        return self._connection.scope

    # --- as a member ------------------------------------------------------------------------

    async def run(self) -> None:
        """Live until the connection has ended, and leave nothing of it open."""
        try:
            with contain("connection"):
                await self._connection.run(self)
        finally:
            if self._on_end is not None:
                self._on_end()

    def push(self, frames: bytes, count: int) -> None:
        """Send ``count`` whole frames, without waiting."""
        self._connection.push(frames, count)

    def close(self, code: CloseCode, reason: str, last: bytes = b"") -> None:
        """Send ``last`` and a close frame, then nothing."""
        self._connection.close(code, reason, last)

    # --- as a sink --------------------------------------------------------------------------

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
        self._inbox.put(self.id, self._entry)
        self._inbox.settle()

    def receive(self, text: str, now: float) -> None:
        """Decode a message and put it in the room's inbox."""
        if self._admit(now):
            try:
                command = self.dialect.decode(text)
            except Refused as refused:
                self._strike(refused.problem, now)
            else:
                self._inbox.put(self.id, command)

    def settle(self) -> None:
        """Wake the room."""
        self._inbox.settle()

    async def receive_slow(self, message: str | bytes, now: float) -> None:
        """Take a message that came through trio-websocket, once the room takes more."""
        await self._inbox.wait_for_space()
        if isinstance(message, str):
            self.receive(message, now)
        elif self._admit(now):
            self._strike(_NOT_TEXT, now)
        self._inbox.settle()

    def _admit(self, now: float) -> bool:
        """Judge one message by the inbound rate."""
        self._counters.messages_received += 1
        if self._bucket.take(1, now):
            return not self._struck_out
        rate = self._limits.inbound_rate
        message = f"too many messages: {rate:g} a second are taken at the most"
        self._strike(Problem(ErrorCode.TOO_FAST, message), now)
        return False

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
