"""The tickets of a room, in the order in which they shall be estimated: pure data.

Every change gives back what is needed to tell of it, and to take it back. The tickets are one
tuple, made anew by each change: a picture of the room shares it and copies nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn

import attrs

from protocol.errors import ErrorCode, Refused
from protocol.ids import TicketNumber
from protocol.limits import BACKLOG_BYTES, BACKLOG_TICKETS
from protocol.ticket import Draft, Ticket, TicketStatus, numbered, same_key, text_size
from protocol.value import value


@value
class Added:
    """Tickets have been put in, next to each other."""

    tickets: tuple[Ticket, ...]
    before: TicketNumber | None
    """The ticket that now follows them; ``None`` at the end."""


@value
class Replaced:
    """A ticket has other fields; it is where it was."""

    old: Ticket
    new: Ticket


@value
class Moved:
    """A ticket stands elsewhere."""

    id: TicketNumber
    before: TicketNumber | None
    """The ticket that now follows it; ``None`` at the end."""
    was_before: TicketNumber | None
    """The one that followed it: to move it before that one takes the move back."""


@value
class Removed:
    """A ticket is gone."""

    ticket: Ticket
    was_before: TicketNumber | None
    """The one that followed it: to put it back before that one takes the removal back."""


EMPTY: Final[tuple[Ticket, ...]] = ()


@attrs.define
class Backlog:
    """Tickets in order.

    To find one is a walk over the tuple, which costs less than to say what has changed; nothing
    but the tickets and the last id is stored.
    """

    tickets: tuple[Ticket, ...] = EMPTY
    last_id: int = 0
    """The highest that was ever given to a ticket."""
    size: int = attrs.field(init=False)
    """Bytes of all texts, of which there are at most ``BACKLOG_BYTES``."""

    def __attrs_post_init__(self) -> None:
        """Count the texts."""
        self.size = sum(map(text_size, self.tickets))

    def find(self, ticket: TicketNumber) -> Ticket | None:
        """Give the ticket of this id, if there is one."""
        return next((each for each in self.tickets if each.id == ticket), None)

    def keys(self) -> frozenset[str]:
        """Give the keys of all tickets, as :func:`protocol.ticket.same_key` makes them."""
        return frozenset(same_key(each.key) for each in self.tickets if each.key)

    def next_open(self, after: TicketNumber | None = None) -> Ticket | None:
        """Give the next open ticket after another, and beyond the last one from the first on.

        So nothing is forgotten that was passed over; the ticket itself comes last, if it is open.
        Without another ticket, or after one that is gone, it is the first open one.
        """
        place = next((n for n, each in enumerate(self.tickets) if each.id == after), -1) + 1
        for each in (*self.tickets[place:], *self.tickets[:place]):
            if each.status is TicketStatus.OPEN:
                return each
        return None

    def add(self, drafts: Sequence[Draft], before: TicketNumber | None = None) -> Added:
        """Put in new tickets, all or none, each with an id of its own.

        Args:
            drafts: in their order, one at least.
            before: the ticket that shall follow them; ``None`` for the end.

        Raises:
            Refused: if there is no ticket ``before``, or if they do not fit.
        """
        place = self._place_before(before)
        size = sum(map(text_size, drafts))
        self._make_room(len(drafts), size)
        first = self.last_id + 1
        tickets = tuple(
            numbered(draft, TicketNumber(number)) for number, draft in enumerate(drafts, first)
        )
        self.last_id += len(tickets)
        self._insert(place, tickets, size)
        return Added(tickets, before)

    def put_back(self, removed: Removed) -> Added:
        """Take a removal back: the same ticket at the same place.

        Where the ticket that followed it is gone as well, it comes to the end.

        Raises:
            Refused: if it is back already, or does not fit any more.
        """
        ticket = removed.ticket
        if self.find(ticket.id) is not None:
            raise Refused(ErrorCode.MALFORMED, f"ticket {ticket.id} is in the backlog", "ticket")
        size = text_size(ticket)
        self._make_room(1, size)
        follower = None if removed.was_before is None else self.find(removed.was_before)
        before = None if follower is None else follower.id
        self._insert(self._place_before(before), (ticket,), size)
        return Added((ticket,), before)

    def edit(self, ticket: TicketNumber, fields: Mapping[str, Any]) -> Replaced | None:
        """Change the fields given, which :func:`protocol.ticket.clean_fields` has cleaned.

        Returns:
            What has changed, or ``None`` if nothing has.

        Raises:
            Refused: if there is no such ticket, or its texts become too much.
        """
        place = self._place(ticket)
        return self._replace(place, attrs.evolve(self.tickets[place], **fields))

    def skip(self, ticket: TicketNumber) -> Replaced | None:
        """Put a ticket aside, with its estimate if it has one."""
        place = self._place(ticket)
        return self._replace(place, attrs.evolve(self.tickets[place], status=TicketStatus.SKIPPED))

    def unskip(self, ticket: TicketNumber) -> Replaced | None:
        """Take a ticket up again: it is what it was before it was skipped."""
        place = self._place(ticket)
        old = self.tickets[place]
        return self._replace(place, attrs.evolve(old, status=_status(old.estimate)))

    def estimate(self, ticket: TicketNumber, card: str | None) -> Replaced | None:
        """Set the final estimate, the label of a card; with ``None`` the ticket is open again."""
        place = self._place(ticket)
        return self._replace(
            place, attrs.evolve(self.tickets[place], estimate=card, status=_status(card))
        )

    def restore(self, ticket: Ticket) -> Replaced | None:
        """Make a ticket what it was: takes back whatever gave a :class:`Replaced`."""
        return self._replace(self._place(ticket.id), ticket)

    def move(self, ticket: TicketNumber, before: TicketNumber | None = None) -> Moved | None:
        """Put a ticket before another one, or at the end.

        Returns:
            What has changed, or ``None`` if it stands there already.

        Raises:
            Refused: if one of the two does not exist.
        """
        place = self._place(ticket)
        target = self._place_before(before)
        if target in (place, place + 1):
            return None
        was_before = self._follower(place)
        moved = self.tickets[place]
        rest = self.tickets[:place] + self.tickets[place + 1 :]
        if target > place:
            target -= 1
        self.tickets = (*rest[:target], moved, *rest[target:])
        return Moved(ticket, before, was_before)

    def remove(self, ticket: TicketNumber) -> Removed:
        """Take a ticket out.

        Raises:
            Refused: if there is no such ticket.
        """
        place = self._place(ticket)
        removed = Removed(self.tickets[place], self._follower(place))
        self.tickets = self.tickets[:place] + self.tickets[place + 1 :]
        self.size -= text_size(removed.ticket)
        return removed

    def _replace(self, place: int, new: Ticket) -> Replaced | None:
        old = self.tickets[place]
        if new == old:
            return None
        growth = text_size(new) - text_size(old)
        self._make_room(0, growth)
        self.size += growth
        self.tickets = (*self.tickets[:place], new, *self.tickets[place + 1 :])
        return Replaced(old, new)

    def _insert(self, place: int, tickets: tuple[Ticket, ...], size: int) -> None:
        self.tickets = self.tickets[:place] + tickets + self.tickets[place:]
        self.size += size

    def _make_room(self, tickets: int, size: int) -> None:
        if tickets and len(self.tickets) + tickets > BACKLOG_TICKETS:
            _too_many(f"a backlog has at most {BACKLOG_TICKETS} tickets")
        if size > 0 and self.size + size > BACKLOG_BYTES:
            _too_many(f"the texts of a backlog have at most {BACKLOG_BYTES} bytes in UTF-8")

    def _place(self, ticket: TicketNumber, field: str = "ticket") -> int:
        for place, each in enumerate(self.tickets):
            if each.id == ticket:
                return place
        raise Refused(
            ErrorCode.NO_SUCH_TICKET, f"there is no ticket {ticket} in the backlog", field
        )

    def _place_before(self, before: TicketNumber | None) -> int:
        return len(self.tickets) if before is None else self._place(before, "before")

    def _follower(self, place: int) -> TicketNumber | None:
        return self.tickets[place + 1].id if place + 1 < len(self.tickets) else None


def _status(estimate: str | None) -> TicketStatus:
    return TicketStatus.OPEN if estimate is None else TicketStatus.ESTIMATED


def _too_many(message: str) -> NoReturn:
    raise Refused(ErrorCode.BACKLOG_FULL, message)
