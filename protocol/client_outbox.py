"""A client's requests, from being asked for until what they did outlives the server.

One request at a time is unanswered on the wire. The server refuses some only for the moment, and
a request that came after such a one would take effect before it; a number lower than one that is
answered already is refused for good. An acknowledged request is sent again on each new connection,
since the server may have come back to an older state; where it has not, it gives the same answer.
"""

from typing import Final

import attrs

from protocol.answers import REMEMBERED
from protocol.client_happenings import AnyRequest
from protocol.dialects.parley_v1 import write_request
from protocol.errors import ParleyError

MOST_WAITING: Final = 1024
"""Requests that wait for their turn, a connection or the log; nobody means more than so many."""

RETRY_SECONDS: Final = 2.0
"""Before a request is sent again that was refused for the moment: at five refusals in 10 seconds,
the server does not give up on this client."""


class TooManyWaiting(ParleyError):
    """So many requests wait that another one is not taken."""

    def __init__(self) -> None:
        """Say so."""
        super().__init__(f"{MOST_WAITING} requests wait already")


@attrs.frozen
class Pending:
    """A request without an answer."""

    ref: int
    request: AnyRequest
    sent: bool
    """Whether the server may know it."""


@attrs.define
class Entry:
    """A request that is still needed."""

    ref: int
    request: AnyRequest
    sent: bool = False
    acknowledged: bool = False
    """On whichever connection."""
    seq: int | None = None
    """With which number it was acknowledged on this connection."""


class Outbox:
    """The requests of one member."""

    def __init__(self, last_ref: int = 0) -> None:
        """Begin after ``last_ref``, the highest number that this member has used before."""
        self._last_ref = last_ref
        self._entries: dict[int, Entry] = {}
        self._window = REMEMBERED
        self._asked: int | None = None
        self._resume_at: float | None = None
        self._saved = 0
        self._lasting = True

    @property
    def pending(self) -> tuple[Pending, ...]:
        """The requests that have no answer yet, in order."""
        return tuple(
            Pending(each.ref, each.request, each.sent)
            for each in self._entries.values()
            if not each.acknowledged
        )

    @property
    def empty(self) -> bool:
        """Whether everything is answered, and what was acknowledged outlives the server."""
        return not self._entries

    @property
    def due(self) -> float | None:
        """When the next request may be sent, if only the time keeps it."""
        return self._resume_at

    def add(self, request: AnyRequest) -> int:
        """Take a request; give its number.

        Raises:
            TooManyWaiting: if too many are waiting.
        """
        if len(self._entries) >= MOST_WAITING:
            raise TooManyWaiting
        self._last_ref += 1
        self._entries[self._last_ref] = Entry(self._last_ref, request)
        return self._last_ref

    def rewind(self, window: int, *, lasting: bool) -> tuple[int, ...]:
        """Begin again on a new connection: everything is sent once more; give its numbers.

        Args:
            lasting: whether the room outlives the server: otherwise an answer is the last word.
            window: how many requests the server lets wait. It remembers so many answers, refusals
                included, so what counts is from the lowest number that waits to the highest.
        """
        self._window = max(1, min(window, REMEMBERED))
        self._lasting = lasting
        self._asked, self._resume_at, self._saved = None, None, 0
        for entry in self._entries.values():
            entry.seq = None
        return tuple(self._entries)

    def next(self, now: float) -> str | None:
        """Give the message that is to be sent now, if there is one."""
        if self._resume_at is not None and now >= self._resume_at:
            self._resume_at = None
        if self._asked is not None or self._resume_at is not None:
            return None
        for entry in self._entries.values():
            if entry.seq is None:
                if entry.ref - next(iter(self._entries)) >= self._window:
                    return None
                entry.sent = True
                self._asked = entry.ref
                return write_request(entry.ref, entry.request)
        return None

    def acknowledge(self, ref: int, seq: int) -> Entry | None:
        """Take an answer; give the request as it was before, if it waited for this one."""
        if ref != self._asked:
            return None
        self._asked = None
        entry = self._entries[ref]
        before = attrs.evolve(entry)
        entry.acknowledged, entry.seq = True, seq
        if seq <= self._saved or not self._lasting:
            del self._entries[ref]
        return before

    def conclude(self, ref: int) -> Entry | None:
        """Forget a request that is answered for good; give it, if it waited for its answer."""
        if ref != self._asked:
            return None
        self._asked = None
        return self._entries.pop(ref)

    def postpone(self, ref: int | None, now: float) -> None:
        """Send again later what was refused for the moment; without a number, what is asked."""
        if self._asked is not None and ref in {None, self._asked}:
            self._asked = None
            self._resume_at = now + RETRY_SECONDS

    def save(self, seq: int) -> tuple[int, ...]:
        """Forget what outlives the server; give the numbers of these requests."""
        self._saved = max(self._saved, seq)
        saved = tuple(
            each.ref for each in self._entries.values() if each.seq is not None and each.seq <= seq
        )
        for ref in saved:
            del self._entries[ref]
        return saved

    def drop(self, ref: int) -> None:
        """Forget an acknowledged request of which nothing is to be saved."""
        self._entries.pop(ref, None)

    def holds(self, ref: int) -> bool:
        """Tell whether a request is still needed."""
        return ref in self._entries

    def superseded(self, entry: Entry, kinds: tuple[type, ...]) -> bool:
        """Tell whether a later request of these kinds has been acknowledged."""
        return any(
            each.acknowledged and each.ref > entry.ref and isinstance(each.request, kinds)
            for each in self._entries.values()
        )
