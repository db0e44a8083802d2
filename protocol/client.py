"""A client of an estimation room as a state machine: told what happens, it says what to send.

It has no connection, no clock and no randomness of its own. Whoever drives it opens connections
when it says so, hands over every text with the time, sends what it asks for, and closes a
connection that it is done with. ``server.client`` does this on Trio. Its states are in
``protocol.client_states``.

A server that crashes within the moment between a welcome and its being saved has lost the member.
Then it comes again as somebody new, with all that it has asked for.
"""

from collections.abc import Callable, Iterator
from typing import Final

import attrs

from protocol import changes
from protocol.backoff import Backoff
from protocol.client_happenings import (
    Again,
    Answered,
    Complained,
    Happening,
    Misunderstood,
    Over,
    Stored,
    Undone,
    Welcomed,
)
from protocol.client_outbox import Outbox, Pending
from protocol.client_states import TRANSITIONS, Standing, Trigger
from protocol.client_view import View
from protocol.dialects.parley_v1 import (
    CLOSE_CODES,
    ENDINGS,
    Error,
    Unknown,
    read,
    write_hello,
)
from protocol.errors import IllegalMove, Refused
from protocol.farewell import Ending
from protocol.fold import OutOfOrder
from protocol.greeting import Goodbye, Greeting, Hello, Resume, Resumed
from protocol.lasting import CastCard, Request
from protocol.picture import Mine, Picture

GREETING_SECONDS: Final = 10.0
"""For which a server may be silent before its welcome."""

SILENT_SECONDS: Final = 10.0
"""For which a server may be silent after it should have said something."""

_LAST_COMEBACK: Final = 4499
"""The last close code after which it is worth to come back; it is from any other range, too."""
_LAST_OWN: Final = 4999


_FIRST: Final = Greeting | changes.Snapshot | Error | Goodbye
"""What is said first proves nothing yet; what follows does: an attempt was of use."""


class Client:
    """One member of an estimation room, over as many connections as it takes.

    Times are seconds of any clock that does not go back.
    """

    def __init__(self, hello: Hello, random: Callable[[], float], *, last_ref: int = 0) -> None:
        """Begin without a connection.

        Args:
            hello: who comes; with ``resume``, a member that has been here before.
            random: gives numbers from 0 up to, but not including, 1.
            last_ref: the highest number of a request that this member has used before.
        """
        self.standing = Standing.OFFLINE
        self.welcome: Greeting | None = None
        """The latest one."""
        self.over: Over | None = None
        """Why nothing more comes, if that is so."""
        self.hang_up = False
        """The connection is of no more use, and is to be closed by whoever drives this client."""
        if hello.resume is not None:  # there is no picture yet from which to go on
            hello = attrs.evolve(hello, resume=attrs.evolve(hello.resume, seq=None))
        self._hello = hello
        self._backoff = Backoff(random)
        self._outbox = Outbox(last_ref)
        self._view = View()
        self._greeted = False
        self._goodbye: Goodbye | None = None
        self._error: Error | None = None
        self._unsaved = False
        """It has come as somebody new, and that is not known to be saved."""
        self._joined: int | None = None
        """The number up to which everything must be saved for that, once it is known."""
        self._left_at = 0.0
        self._heard_at = 0.0
        self._back_at: float | None = None

    @property
    def picture(self) -> Picture | None:
        """The room as it was when this client last heard of it."""
        return self._view.picture

    @property
    def mine(self) -> Mine | None:
        """What only this member knows, and what it may do."""
        return self._view.mine

    @property
    def pending(self) -> tuple[Pending, ...]:
        """The requests that have no answer yet, in order; also while there is no connection."""
        return self._outbox.pending

    @property
    def settled(self) -> bool:
        """Whether everything is answered, and what was acknowledged outlives the server."""
        return self._outbox.empty

    @property
    def due(self) -> float | None:
        """When this client must be asked again what to send, or be given a connection."""
        if self.standing is Standing.OVER:
            return None
        if self.standing is Standing.OFFLINE:
            return self._back_at
        times = [self._dead_at]
        if self._outbox.due is not None:
            times.append(self._outbox.due)
        return min(times)

    def request(self, request: Request) -> int:
        """Ask for something, now or as soon as there is a connection; give its number.

        Raises:
            TooManyWaiting: if too many requests are waiting.
        """
        return self._outbox.add(request)

    # --- the connection ---------------------------------------------------------------------

    def opened(self, now: float) -> None:
        """There is a connection."""
        self._move(Trigger.OPENED)
        self.hang_up = self._greeted = False
        self._goodbye = self._error = None
        self._view.check(None)
        self._heard_at = now
        self._back_at = None

    def to_send(self, now: float) -> list[str]:
        """Give the messages that are to be sent now, in order."""
        if self.standing in {Standing.OFFLINE, Standing.OVER}:
            return []
        if now >= self._dead_at:
            self.hang_up = True
        if self.hang_up:
            return []
        if self.standing is Standing.GREETING and not self._greeted:
            self._greeted = True
            return [write_hello(self._introduction())]
        if self.standing is not Standing.INSIDE:
            return []
        message = self._outbox.next(now)
        return [] if message is None else [message]

    def closed(self, code: int | None, now: float) -> Again | Over:
        """There is no connection, or none could be opened.

        Args:
            code: of the server's close frame; ``None`` if there was none.
            now: the time.

        Returns:
            When to come back, or that this is of no use.
        """
        if self.over is not None:
            return self.over
        goodbye, reason, text = self._goodbye, ENDINGS.get(code or 0), ""
        if goodbye is not None:
            code, reason, text = CLOSE_CODES[goodbye.reason], goodbye.reason, goodbye.text
        if reason is Ending.WRONG_KEY and self._is_lost(now):
            self.welcome, self._view.valid = None, False
        elif code is not None and _LAST_COMEBACK < code <= _LAST_OWN:
            return self.finish(reason, text)
        if self.standing in {Standing.LOADING, Standing.INSIDE}:
            self._left_at = now
        self._move(Trigger.CUT)
        seconds = self._backoff.next()
        if goodbye is not None and goodbye.back_in is not None:
            seconds = goodbye.back_in
        self._goodbye = None
        self._back_at = now + seconds
        return Again(seconds, reason, text)

    def finish(self, reason: Ending | None, text: str) -> Over:
        """Another connection is of no use, as the server or its answer to an upgrade says."""
        self._move(Trigger.FINISHED)
        self.hang_up = True
        self.over = Over(reason, text, self._error)
        return self.over

    # --- what the server says ---------------------------------------------------------------

    def receive(self, text: str, now: float) -> list[Happening]:
        """Take a message of the server; give what follows from it."""
        if self.standing in {Standing.OFFLINE, Standing.OVER} or self.hang_up:
            return []
        self._heard_at = now
        try:
            said = read(text)
        except Refused as refused:
            # If it was a change, the next one will not fit: then the room is told anew.
            self.hang_up = self.standing is Standing.GREETING
            return [Misunderstood(refused.problem.message)]
        try:
            happenings = list(self._hear(said, now))
        except OutOfOrder as error:
            self._view.valid = False
            self.hang_up = True
            return [Misunderstood(str(error))]
        if self.standing is Standing.INSIDE and not isinstance(said, _FIRST):
            self._backoff.reset()
        return happenings

    def _hear(self, said: object, now: float) -> Iterator[Happening]:
        match said:
            case Greeting():
                yield from self._take_welcome(said)
            case changes.Snapshot():
                yield from self._take_snapshot(said)
            case changes.Ack():
                yield from self._take_ack(said)
            case Error():
                yield from self._take_error(said, now)
            case changes.Saved(seq):
                if self._joined is not None and self._joined <= seq:
                    self._unsaved, self._joined = False, None
                refs = self._outbox.save(seq)
                if refs:
                    yield Stored(refs)
            case changes.Digest():
                self._view.check(said)
            case Goodbye():
                self._goodbye = said
                self.hang_up = True
            case Unknown(seq=None):
                pass
            case Unknown(seq=int(seq)):
                yield from self._view.count(seq)
            case _ if isinstance(said, changes.Change):
                yield from self._view.follow(said)

    def _take_welcome(self, welcome: Greeting) -> Iterator[Happening]:
        resumed = welcome.resumed is Resumed.REPLAYED
        if self.standing is not Standing.GREETING:
            raise OutOfOrder("a second welcome")
        if resumed and not self._view.valid:
            raise OutOfOrder("the server goes on from a picture that is not there")
        self._move(Trigger.RESUMED if resumed else Trigger.WELCOME)
        self._view.valid = resumed
        # Whatever follows: a hello that is repeated may find the seat that the first one took.
        if self.welcome is None and self._hello.resume is None:
            self._unsaved, self._joined = True, None
        self.welcome = welcome
        for ref in self._outbox.rewind(welcome.limits.window, lasting=welcome.lasting):
            self._view.doubt(ref)
        yield Welcomed(welcome)

    def _take_snapshot(self, snapshot: changes.Snapshot) -> Iterator[Happening]:
        if self.standing is Standing.GREETING:
            raise OutOfOrder("a snapshot before the welcome")
        self._move(Trigger.SNAPSHOT)
        if self._unsaved and self._joined is None:
            self._joined = snapshot.picture.seq
        yield from self._view.load(snapshot)

    def _take_ack(self, ack: changes.Ack) -> Iterator[Happening]:
        before = self._outbox.acknowledge(ack.ref, ack.seq)
        if before is None:
            return
        request = before.request
        if isinstance(request, CastCard) and not self._outbox.superseded(before, CastCard):
            self._view.hold(request)
        if not before.acknowledged:
            yield Answered(ack.ref, request, ack)
        yield from self._view.expect(ack.ref, ack.seq, first=not before.acknowledged)
        if self.welcome is not None and self.welcome.lasting and not self._outbox.holds(ack.ref):
            yield Stored((ack.ref,))

    def _take_error(self, error: Error, now: float) -> Iterator[Happening]:
        self._error = error
        if error.retry:
            self._outbox.postpone(error.ref, now)
            return
        entry = None if error.ref is None else self._outbox.refuse(error.ref)
        if entry is None:
            yield Complained(error)
        elif entry.acknowledged:
            self._view.forget(entry.ref)
            yield Undone(entry.ref, entry.request, error)
        else:
            yield Answered(entry.ref, entry.request, error)

    # --- small change -----------------------------------------------------------------------

    @property
    def _dead_at(self) -> float:
        if self.standing is Standing.GREETING or self.welcome is None:
            return self._heard_at + GREETING_SECONDS
        return self._heard_at + self.welcome.ping_seconds + SILENT_SECONDS

    def _is_lost(self, now: float) -> bool:
        """Tell whether the server has forgotten this member, and not given its seat up."""
        if self.standing is not Standing.GREETING or not self._unsaved or self.welcome is None:
            return False
        # Of a room that was never shown, nobody knows what was missed by coming late.
        known = self.picture
        return known is None or now - self._left_at < known.grace_seconds

    def _introduction(self) -> Hello:
        if self.welcome is None:
            return self._hello
        welcome, seq = self.welcome, self._view.seq
        return Hello(resume=Resume(token=welcome.token, seq=seq, epoch=welcome.epoch))

    def _move(self, trigger: Trigger) -> None:
        try:
            self.standing = TRANSITIONS[self.standing, trigger]
        except KeyError:
            raise IllegalMove(self.standing, trigger) from None
