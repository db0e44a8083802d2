"""The lease: one server at a time owns a database."""

import os
import secrets
import socket
import time
from functools import partial
from typing import Final

import trio

from server.store import servers
from server.store.database import Database
from server.store.faults import explained
from server.store.locks import make_lock
from server.store.servers import Phase, Server
from server.support import threads
from server.support.errors import DatabaseUnusable, Ousted, StoreUnavailable
from server.support.observe import get_logger

BEAT_SECONDS: Final = 2.0
"""Seconds from one sign of life to the next."""

DEAD_SECONDS: Final = 6.0
"""Seconds without a sign of life, by the observer's own clock, after which an owner is dead: three
beats, and longer than one beat and the limit of a statement."""

DRAIN_SECONDS: Final = 60.0
"""Longest wait for an owner that drains, or for another process to migrate, in seconds."""

_LOOK_SECONDS: Final = 0.1  # between two looks at the lock and the owner's row
_HELD_SECONDS: Final = 1.5  # a locked database is refused then, even if no beat was seen
_RELEASE_SECONDS: Final = 3.0


class Lease:
    """A server's ownership of its database.

    Two things make it: a lock that ends with the process (see ``locks``), and a row with a count
    that goes up every :data:`BEAT_SECONDS`. The row decides: each transaction that writes checks
    that it is still there, so an owner that was replaced commits nothing more, however late it
    wakes up. The lock makes the end of a process known at once.

    Clocks of two machines are never compared.
    """

    def __init__(
        self,
        database: Database,
        *,
        beat_seconds: float = BEAT_SECONDS,
        dead_seconds: float = DEAD_SECONDS,
    ) -> None:
        """Ask for nothing yet.

        Args:
            database: the database to own.
            beat_seconds: from one sign of life to the next.
            dead_seconds: without a sign of life, after which another owner is dead.
        """
        self.lost = False
        """Whether another server has taken over the database."""
        self._database = database
        self._beat_seconds = beat_seconds
        self._dead_seconds = dead_seconds
        self._lock = make_lock(database.url)
        self._me = Server(
            id=secrets.token_hex(16), host=socket.gethostname() or "localhost", pid=os.getpid()
        )
        self._dead: str | None = None  # the owner before
        self._claimed = False
        self._log = get_logger("lease")

    async def acquire(self) -> None:
        """Wait until the database has no living owner, and keep others out.

        A living owner is given :data:`DRAIN_SECONDS` if it drains. Follow with :meth:`claim` once
        the schema is there; call :meth:`aclose` in any case.

        Raises:
            DatabaseUnusable: if another server owns the database, or it cannot be used; the
                message is one line that says who.
        """
        with explained(self._database.url):
            await self._acquire()

    async def _acquire(self) -> None:
        observed, told = _Observed(self._dead_seconds), False
        while True:
            locked = await threads.run(self._lock.acquire)
            owner = await self._database.owner()
            observed.note(locked=locked, owner=owner, now=trio.current_time())
            if locked and (owner is None or owner.id == self._lock.predecessor or observed.dead):
                self._dead = None if owner is None else owner.id
                if owner is not None:
                    self._log.warning("the last server has not ended well", server=str(owner))
                return
            if observed.hopeless:
                raise DatabaseUnusable(self._refusal(owner))
            if not told and owner is not None and owner.phase == "draining":
                told = True
                self._log.info("waiting for the last server to end", server=str(owner))
            await trio.sleep(_LOOK_SECONDS)

    def _refusal(self, owner: Server | None) -> str:
        where = self._database.describe()
        if owner is None:
            return f"the database {where} is being opened or migrated by another process"
        doing = "is still being closed" if owner.phase == "draining" else "is in use"
        return f"the database {where} {doing} by another server: {owner}"

    async def claim(self) -> None:
        """Become the owner; from now on everything written is written as such.

        Raises:
            DatabaseUnusable: if a third server came first, or the database is gone.
        """
        with explained(self._database.url):
            work = partial(servers.claim, server=self._me, after=self._dead, at=time.time())
            # Both before the row is there: cancelled in between, it must still be given up, or
            # be known for dead by whoever has the lock next.
            await threads.run(self._lock.sign, self._me.id)
            self._claimed = True
            if not await self._database.run(work, write=True):
                raise DatabaseUnusable(self._refusal(await self._database.owner()))
        self._database.own(self._me.id)

    async def keep(self, draining: trio.Event) -> None:
        """Give signs of life until cancelled, or until another server has taken over.

        While the database is gone nobody else can take it over either.

        Args:
            draining: says that the server drains; set by this task if the lease is lost.
        """
        count = 0
        while True:
            count += 1
            try:
                await self._beat(count, "draining" if draining.is_set() else "serving")
            except Ousted:
                self.lost = True
                self._log.error("another server has taken over the database: this one ends")
                draining.set()
                return
            except (StoreUnavailable, DatabaseUnusable) as reason:
                self._log.debug("no sign of life", reason=str(reason))
            with trio.move_on_after(self._beat_seconds):
                if draining.is_set():
                    await trio.sleep_forever()
                await draining.wait()

    async def _beat(self, count: int, phase: Phase) -> None:
        work = partial(servers.beat, server_id=self._me.id, count=count, phase=phase)
        await self._database.run(work, write=True)
        # Lost with the connection, or with the file, it is taken again. If somebody else has it,
        # they are observing this beat, and let go.
        await threads.run(self._lock.acquire)

    async def aclose(self) -> None:
        """Give up the database, also when cancelled."""
        with trio.move_on_after(_RELEASE_SECONDS, shield=True):
            if self._claimed:
                leave = partial(servers.leave, server_id=self._me.id)
                try:
                    await self._database.run(leave, write=True)
                except StoreUnavailable as reason:  # then it looks as if it had been killed
                    self._log.debug("the row stays", reason=str(reason))
            await threads.run(self._lock.release)


class _Observed:
    """What was seen of the lock and the owner, timed by this process's own clock."""

    def __init__(self, dead_seconds: float) -> None:
        self._dead_seconds = dead_seconds
        self._locked = False
        self._owner: Server | None = None
        self._seen: object = None  # changes with what is waited for
        self._since = self._beat_since = self._now = 0.0
        self._beats = 0

    def note(self, *, locked: bool, owner: Server | None, now: float) -> None:
        """Add what was seen just now."""
        seen = (locked, owner and owner.id, owner and owner.phase)
        if seen != self._seen:
            self._seen, self._since, self._beat_since, self._beats = seen, now, now, 0
        elif owner is not None and self._owner is not None and owner.beat != self._owner.beat:
            self._beat_since = now
            self._beats += 1
        self._locked, self._owner, self._now = locked, owner, now

    @property
    def dead(self) -> bool:
        """Whether the owner has neither the lock nor a beat."""
        return self._locked and self._now - self._beat_since >= self._dead_seconds

    @property
    def hopeless(self) -> bool:
        """Whether waiting for the owner's end makes no sense, or has taken too long."""
        seconds = self._now - self._since
        if self._owner is None or self._owner.phase == "draining":
            return seconds >= DRAIN_SECONDS
        # Just before its end an owner may hold the lock without having said that it drains.
        return self._beats > 0 or (not self._locked and seconds >= _HELD_SECONDS)
