"""A client of a room as a state machine: told what happens, it says what to send.

It has no connection, no clock and no randomness of its own. Whoever drives it opens connections
when it says so, hands over every text with the time, sends what it asks for, and closes a
connection that it is done with. ``server.client`` does this on Trio. Its states are in
``protocol.client_states``.

What it does for a room of one kind is in ``protocol.client_estimation`` and
``protocol.client_chat``.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Final, Generic

from protocol import changes
from protocol.backoff import Backoff
from protocol.chat_changes import ChatSnapshot
from protocol.client_happenings import (
    Again,
    Answered,
    AnyRequest,
    Complained,
    Happening,
    Misunderstood,
    Over,
    Stored,
    Undone,
    Welcomed,
)
from protocol.client_outbox import Entry, Outbox, Pending
from protocol.client_states import TRANSITIONS, Standing, Trigger
from protocol.client_view import Shown, View
from protocol.dialects.parley_v1 import CLOSE_CODES, ENDINGS, Error, Unknown, read
from protocol.errors import IllegalMove, Refused
from protocol.farewell import Ending
from protocol.fold import OutOfOrder
from protocol.greeting import Goodbye, Greeting, Resumed

GREETING_SECONDS: Final = 10.0
"""For which a server may be silent before its welcome."""

SILENT_SECONDS: Final = 10.0
"""For which a server may be silent after it should have said something."""

_LAST_COMEBACK: Final = 4499
"""The last close code after which it is worth to come back; it is from any other range, too."""
_LAST_OWN: Final = 4999


_FIRST: Final = Greeting | changes.Snapshot | ChatSnapshot | Error | Goodbye
"""What is said first proves nothing yet; what follows does: an attempt was of use."""


class Client(ABC, Generic[Shown]):
    """One member of a room, over as many connections as it takes.

    Times are seconds of any clock that does not go back.
    """

    _events: ClassVar[Mapping[str, type]]
    """What the server may say, by type."""
    _fleeting: ClassVar[tuple[type, ...]] = ()
    """Requests that leave nothing which could be lost."""

    def __init__(
        self, view: View[Shown], random: Callable[[], float], *, last_ref: int = 0
    ) -> None:
        """Begin without a connection.

        Args:
            view: holds what is known of the room.
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
        self._backoff = Backoff(random)
        self._outbox = Outbox(last_ref)
        self._known = view
        self._greeted = False
        self._goodbye: Goodbye | None = None
        self._error: Error | None = None
        self._left_at = 0.0
        self._heard_at = 0.0
        self._back_at: float | None = None

    @property
    def picture(self) -> Shown | None:
        """The room as it was when this client last heard of it."""
        return self._known.picture

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

    def request(self, request: AnyRequest) -> int:
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
            return [self._introduce()]
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
            self.welcome, self._known.valid = None, False
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
            said = read(text, self._events)
        except Refused as refused:
            # If it was a change, the next one will not fit: then the room is told anew.
            self.hang_up = self.standing is Standing.GREETING
            return [Misunderstood(refused.problem.message)]
        try:
            happenings = list(self._hear(said, now))
        except OutOfOrder as error:
            self._known.valid = False
            self.hang_up = True
            return [Misunderstood(str(error))]
        if self.standing is Standing.INSIDE and not isinstance(said, _FIRST):
            self._backoff.reset()
        return happenings

    def _hear(self, said: object, now: float) -> Iterator[Happening]:
        match said:
            case Greeting():
                yield from self._take_welcome(said)
            case changes.Snapshot() | ChatSnapshot():
                if self.standing is Standing.GREETING:
                    raise OutOfOrder("a snapshot before the welcome")
                self._move(Trigger.SNAPSHOT)
                yield from self._follow(said)
            case changes.Ack():
                yield from self._take_ack(said)
            case Error():
                yield from self._take_error(said, now)
            case changes.Saved(seq):
                refs = self._outbox.save(seq)
                if refs:
                    yield Stored(refs)
                yield from self._follow(said)
            case Goodbye():
                self._goodbye = said
                self.hang_up = True
            case Unknown(seq=None):
                pass
            case _:
                yield from self._follow(said)

    def _take_welcome(self, welcome: Greeting) -> Iterator[Happening]:
        resumed = welcome.resumed is Resumed.REPLAYED
        if self.standing is not Standing.GREETING:
            raise OutOfOrder("a second welcome")
        if resumed and not self._known.valid:
            raise OutOfOrder("the server goes on from a picture that is not there")
        self._move(Trigger.RESUMED if resumed else Trigger.WELCOME)
        self._known.valid = resumed
        self._note_welcome(welcome)
        self.welcome = welcome
        for ref in self._outbox.rewind(welcome.limits.window, lasting=welcome.lasting):
            self._known.doubt(ref)
        yield Welcomed(welcome)

    def _take_ack(self, ack: changes.Ack) -> Iterator[Happening]:
        before = self._outbox.acknowledge(ack.ref, ack.seq)
        if before is None:
            return
        self._note_ack(before, ack.seq)
        if not before.acknowledged:
            yield Answered(ack.ref, before.request, ack)
        yield from self._known.expect(ack.ref, ack.seq, first=not before.acknowledged)
        if isinstance(before.request, self._fleeting):
            self._outbox.drop(ack.ref)
        elif self.welcome is not None and self.welcome.lasting and not self._outbox.holds(ack.ref):
            yield Stored((ack.ref,))

    def _take_error(self, error: Error, now: float) -> Iterator[Happening]:
        self._error = error
        if error.retry:
            self._outbox.postpone(error.ref, now)
            return
        if error.ref is None:
            yield Complained(error)
            return
        entry = self._outbox.conclude(error.ref)
        if entry is None:
            return  # a network that repeats has brought the request twice
        if entry.acknowledged:
            self._known.forget(entry.ref)
            yield Undone(entry.ref, entry.request, error)
        else:
            yield Answered(entry.ref, entry.request, error)

    # --- what is different from kind to kind ------------------------------------------------

    @abstractmethod
    def _introduce(self) -> str:
        """Give the first message of a connection."""

    @abstractmethod
    def _follow(self, said: Any) -> Iterator[Happening]:
        """Take a snapshot, a change or what else is said in rooms of this kind.

        Raises:
            OutOfOrder: if it does not fit what is known.
        """

    def _note_welcome(self, welcome: Greeting) -> None:
        """Take note of a welcome, before it takes the place of the latest one."""

    def _note_ack(self, before: Entry, seq: int) -> None:
        """Take note that a request, given as it was before, has been acknowledged with a number."""

    def _is_lost(self, now: float) -> bool:
        """Tell whether a member of which the server knows nothing is to come as somebody new."""
        return False

    # --- small change -----------------------------------------------------------------------

    @property
    def _dead_at(self) -> float:
        if self.standing is Standing.GREETING or self.welcome is None:
            return self._heard_at + GREETING_SECONDS
        return self._heard_at + self.welcome.ping_seconds + SILENT_SECONDS

    def _move(self, trigger: Trigger) -> None:
        try:
            self.standing = TRANSITIONS[self.standing, trigger]
        except KeyError:
            raise IllegalMove(self.standing, trigger) from None
