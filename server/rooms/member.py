"""A member that outlives its connections: a task from its joining to its leaving."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

import trio

from protocol.dialects.base import Dialect
from protocol.errors import CloseCode
from protocol.farewell import Ending, Farewell
from protocol.greeting import Resumed
from protocol.ids import MemberId
from protocol.messages import Command


class Link(Protocol):
    """One connection of a member."""

    @property
    def scope(self) -> trio.CancelScope:
        """Around its whole life."""

    @property
    def source(self) -> str:
        """From where it comes."""

    @property
    def entry(self) -> Command | None:
        """By which it enters the room, as long as it has not said so."""

    def welcome(self, resumed: Resumed) -> bytes:
        """Give the frames that are said first, before the room's."""

    def push(self, frames: bytes, count: int) -> None:
        """Send ``count`` whole frames, without waiting; never raises."""

    def close(self, code: int, reason: str, last: bytes = b"") -> None:
        """Send ``last`` and a close frame, then nothing; never raises, also when repeated."""

    async def run(self) -> None:
        """Live until the connection has ended, and leave nothing of it open."""


class Host(Protocol):
    """What a member needs of its room."""

    def spawn(self, task: Callable[[], Awaitable[object]]) -> None:
        """Start a task in the room's nursery."""

    def detached(self, member_id: MemberId) -> None:
        """Take note that a member has no connection any more."""


class LastingMember:
    """A member with at most one connection at a time, or for a while with none.

    Its task runs its connection, as long as there is one, and sleeps without one. When a new one
    comes while the old one is still there, perhaps saying goodbye to a peer that is long gone, the
    new one gets a task of its own in the room's nursery; so nobody waits for the old one.
    Whichever it is, the room's nursery owns it, and it is cancelled with :attr:`scope`.
    """

    __slots__ = (
        "_carried",
        "_due",
        "_hearing",
        "_link",
        "_next",
        "_over",
        "_room",
        "_running",
        "_wake",
        "dialect",
        "greeted",
        "id",
        "on_end",
        "scope",
        "source",
    )

    def __init__(
        self,
        member_id: MemberId,
        dialect: Dialect,
        *,
        room: Host,
        on_end: Callable[[], None] | None = None,
    ) -> None:
        """Prepare a member without a connection.

        Args:
            member_id: an identity that is unique over all rooms and times.
            dialect: how it speaks, on whatever connection.
            room: the room that owns it.
            on_end: is called when it is gone for good.
        """
        self.id = member_id
        self.dialect = dialect
        self.scope = trio.CancelScope()
        """Around its whole life; cancelling the owner's ends the room."""
        self.greeted = False
        """Whether it has ever been welcomed: then it knows something of the room."""
        self.source: str | None = None
        """From where its newest connection has come; ``None`` before the first one."""
        self._room = room
        self.on_end = on_end
        """Called when it is gone for good."""
        self._link: Link | None = None  # the newest
        self._due: Command | None = None  # by which that one enters, until it is welcomed
        self._hearing: Link | None = None  # the same, once it has been welcomed
        self._next: Link | None = None  # for the member's own task to run
        self._carried: set[Link] | None = None  # those that have tasks of their own
        self._wake: trio.Event | None = None  # while the task sleeps
        self._running = False
        self._over = False

    @property
    def connected(self) -> bool:
        """Whether it has a connection."""
        return self._link is not None

    @property
    def hears(self) -> bool:
        """Whether it has a connection that has been welcomed."""
        return self._hearing is not None

    @property
    def over(self) -> bool:
        """Whether it has been parted from: no other connection can take its place."""
        return self._over

    def awaits(self, entry: Command | None) -> bool:
        """Tell whether this is how the newest connection enters, and not one that was before it.

        Else what the one before knows of the room would be taken for what the newest knows.
        """
        return self._due is not None and self._due is entry

    # --- its connections --------------------------------------------------------------------

    def attach(self, link: Link) -> None:
        """Give it a connection, in place of the one that it has; without a checkpoint."""
        old, self._link, self._hearing = self._link, link, None
        self._due = link.entry
        self.source = link.source
        if old is not None:
            farewell = Farewell(
                ending=Ending.REPLACED,
                code=CloseCode.NORMAL,
                reason="another connection has taken this one's place",
                survives=True,
            )
            parting = self.dialect.part(farewell)
            old.close(parting.code, parting.reason, parting.last)
        if self._wake is not None or not (self._running or old):
            self._next = link
            self._rouse()
        else:
            if self._carried is None:
                self._carried = set()
            self._carried.add(link)
            self._room.spawn(partial(self._carry, link))

    def greet(self, resumed: Resumed) -> bytes:
        """Give what its connection must be told first; from now on it hears the room."""
        link = self._hearing = self._link
        self._due = None
        self.greeted = True
        return b"" if link is None else link.welcome(resumed)

    def push(self, frames: bytes, count: int) -> None:
        """Send ``count`` whole frames, without waiting; nobody hears them without a connection."""
        if self._hearing is not None:
            self._hearing.push(frames, count)

    def close(self, code: int, reason: str, last: bytes = b"") -> None:
        """Part for good: say so, if there is a connection, and end when that has ended."""
        self._over = True
        if self._link is not None:
            self._link.close(code, reason, last)
        else:
            self._rouse()

    # --- life -------------------------------------------------------------------------------

    async def run(self) -> None:
        """Live from joining to leaving, and leave no connection open."""
        self._running = True
        try:
            with self.scope:
                while not (self._over and self._link is None):
                    link, self._next = self._next, None
                    if link is not None:
                        try:  # as in _carry, whose frame an idle member can do without
                            await link.run()
                        finally:
                            self._note_end(link)
                    else:
                        self._wake = trio.Event()
                        await self._wake.wait()
            if self.scope.cancelled_caught:
                for each in self._carried or ():
                    each.scope.cancel()
        finally:
            self._over = True
            try:
                if self._next is not None:  # it came when this had been cancelled already
                    self._next.scope.cancel()
                    await self._carry(self._next)  # noqa: ASYNC102 - cancelled already
            finally:
                if self.on_end is not None:
                    self.on_end()

    async def _carry(self, link: Link) -> None:
        """Run a connection, and take note of its end."""
        try:
            await link.run()
        finally:
            self._note_end(link)

    def _note_end(self, link: Link) -> None:
        if self._carried is not None:
            self._carried.discard(link)
        if self._link is link:
            self._link = self._hearing = None
            if self._over:
                self._rouse()
            else:
                self._room.detached(self.id)

    def _rouse(self) -> None:
        """Let the task look what there is to do."""
        if self._wake is not None:
            self._wake.set()
            self._wake = None
