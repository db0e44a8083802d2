"""The backlog of an estimation room: who changes it, how large it gets, and what is told of it.

All that is judged here is to whom it is left, and whether whoever comes can be told all that there
is: what the tickets are themselves is judged by ``protocol.backlog``, and refused in the same way.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NoReturn

import attrs

from protocol.backlog import Added, Moved, Removed, Replaced
from protocol.changes import (
    Change,
    Described,
    Failure,
    TicketChanged,
    TicketMoved,
    TicketsAdded,
    TicketsRemoved,
)
from protocol.codec import dumps
from protocol.effects import Settle, Tell, TellAll
from protocol.errors import ErrorCode, Problem, Refused
from protocol.estimation_state import Seat, State
from protocol.estimation_telling import next_seq
from protocol.ids import MemberId, TicketNumber
from protocol.lasting import (
    NOBODY,
    AddTicket,
    EditTicket,
    ImportTickets,
    MoveTicket,
    RemoveTicket,
    SkipTicket,
    UnskipTicket,
)
from protocol.limits import (
    LISTED_BYTES,
    LISTED_LEAST_BYTES,
    LISTED_TICKET_BYTES,
    SNAPSHOT_BYTES,
    SNAPSHOT_OTHER_BYTES,
    SNAPSHOT_SEAT_BYTES,
)
from protocol.messages import Refusal
from protocol.picture import Undoable, listed
from protocol.refusals import Effects, refusal_in, refuse_unless
from protocol.ticket import CLEANERS, Draft
from protocol.undo import Back, Inverse, MoveBack, PutBack, Restore, TakeOut

DEED: Final = "backlog"
"""Under which all requests that change it are among what a member may do."""


Changing = AddTicket | EditTicket | MoveTicket | RemoveTicket | SkipTicket | UnskipTicket
"""What changes the backlog."""


def change_backlog(
    state: State, request: Changing, member: MemberId, seat: Seat, now: float
) -> Effects:
    """Carry out a request that changes the backlog."""
    refusal = refuse_unless(state, member, DEED, state.options.backlog_by)
    if refusal:
        return refusal
    try:
        return _CHANGES[request.__class__](state, request, seat.name)
    except Refused as refused:
        return [Tell(member, Refusal(refused.problem))]


def describe(state: State, number: TicketNumber, member: MemberId, ref: int) -> Effects:
    """Tell a member a ticket's description, in answer to its request of this number."""
    ticket = state.backlog.find(number)
    if ticket is not None:
        return [Tell(member, Described(ref, number, ticket.description))]
    problem = Problem(ErrorCode.NO_SUCH_TICKET, field="ticket", values={"ticket": number})
    return [Tell(member, Failure(ref, problem))]


def import_tickets(state: State, command: ImportTickets, member: MemberId, now: float) -> Effects:
    """Put in many tickets at once, or none; whoever waits for it outside is told."""
    by = ""
    if member != NOBODY:
        refusal = refuse_unless(state, member, DEED, state.options.backlog_by)
        if refusal:
            return [Settle(command.claim, refusal_in(refusal, member))]
        by = state.seats[member].name
    drafts = command.drafts
    label = drafts[0].key or drafts[0].title if len(drafts) == 1 else f"{len(drafts)} tickets"
    try:
        effects = _put_in(state, drafts, None, "import", label, by)
    except Refused as refused:
        return [Settle(command.claim, refused.problem)]
    return [*effects, Settle(command.claim, None)]


def estimate(state: State, ticket: TicketNumber, card: str | None) -> Effects:
    """Set the final estimate of a ticket, for whoever has judged who may do that and with what.

    Nothing is told if nothing changes, or if the ticket is not in the backlog any more. It is taken
    back by another estimate, as it is in the round and its result, too.

    Args:
        state: the room.
        ticket: of the backlog.
        card: the label of a card; with ``None`` the ticket is open again.
    """
    replaced = None if state.backlog.find(ticket) is None else state.backlog.estimate(ticket, card)
    if replaced is None:
        return []
    state.undo = None
    return tell_replaced(state, replaced, undo=None)


def listed_bytes(capacity: int) -> int:
    """Say how much of what whoever comes is told may be the backlog, in a room of so many seats."""
    others = SNAPSHOT_OTHER_BYTES + SNAPSHOT_SEAT_BYTES * capacity
    return max(LISTED_LEAST_BYTES, min(LISTED_BYTES, SNAPSHOT_BYTES - others))


def listed_size(draft: Draft) -> int:
    """Count the bytes that a ticket takes in a picture at the worst, whatever becomes of it."""
    texts = (draft.title, draft.key, draft.link, draft.type, draft.priority)
    return LISTED_TICKET_BYTES + len(dumps("".join(texts)))


# --- one by one -------------------------------------------------------------------------------


def _add(state: State, request: AddTicket, by: str) -> Effects:
    draft = Draft(**_fields(request))
    return _put_in(state, [draft], request.before, "add", draft.key or draft.title, by)


def _fields(request: AddTicket | EditTicket) -> dict[str, Any]:
    """Give the fields of a ticket; its type goes by another name where messages have a type."""
    return {name: getattr(request, "kind" if name == "type" else name) for name in CLEANERS}


def _put_in(
    state: State,
    drafts: Sequence[Draft],
    before: TicketNumber | None,
    deed: str,
    label: str,
    by: str,
) -> Effects:
    _refuse_above(state, sum(map(listed_size, (*state.backlog.tickets, *drafts))))
    added = state.backlog.add(drafts, before)
    back = TakeOut(tuple(each.id for each in added.tickets))
    return tell_added(state, added, undo=_undoable(state, deed, label, by, back))


def _edit(state: State, request: EditTicket, by: str) -> Effects:
    fields = {name: text for name, text in _fields(request).items() if text is not None}
    old = state.backlog.find(request.ticket)
    if old is not None:
        growth = listed_size(attrs.evolve(old, **fields)) - listed_size(old)
        if growth > 0:
            _refuse_above(state, sum(map(listed_size, state.backlog.tickets)) + growth)
    return _tell_replaced(state, state.backlog.edit(request.ticket, fields), "edit", by)


def _skip(state: State, request: SkipTicket, by: str) -> Effects:
    return _tell_replaced(state, state.backlog.skip(request.ticket), "skip", by)


def _unskip(state: State, request: UnskipTicket, by: str) -> Effects:
    return _tell_replaced(state, state.backlog.unskip(request.ticket), "unskip", by)


def _move(state: State, request: MoveTicket, by: str) -> Effects:
    moved = state.backlog.move(request.ticket, request.before)
    if moved is None:
        return []
    label, back = _label(state, moved.id), MoveBack(moved.id, moved.was_before)
    return tell_moved(state, moved, undo=_undoable(state, "move", label, by, back))


def _remove(state: State, request: RemoveTicket, by: str) -> Effects:
    removed = state.backlog.remove(request.ticket)
    label = removed.ticket.key or removed.ticket.title
    undo = _undoable(state, "remove", label, by, PutBack(removed))
    return tell_removed(state, [removed], undo=undo)


_CHANGES: Final[Mapping[type, Callable[[State, Any, str], Effects]]] = {
    AddTicket: _add,
    EditTicket: _edit,
    MoveTicket: _move,
    RemoveTicket: _remove,
    SkipTicket: _skip,
    UnskipTicket: _unskip,
}


def _tell_replaced(state: State, replaced: Replaced | None, deed: str, by: str) -> Effects:
    if replaced is None:
        return []
    old = replaced.old
    undo = _undoable(state, deed, old.key or old.title, by, Restore(old))
    return tell_replaced(state, replaced, undo=undo)


def _label(state: State, ticket: TicketNumber) -> str:
    found = state.backlog.find(ticket)
    return "" if found is None else found.key or found.title


def _undoable(state: State, deed: str, label: str, by: str, back: Back) -> Undoable:
    """Note how to take back what is about to be told, as the next change."""
    undo = Undoable(state.seq + 1, deed, label, by)
    state.undo = Inverse(undo, back)
    return undo


def _refuse_above(state: State, size: int) -> None:
    most = listed_bytes(state.capacity)
    if size > most:
        _too_much(most)


def _too_much(most: int) -> NoReturn:
    raise Refused(
        ErrorCode.BACKLOG_FULL,
        f"a backlog in a room of this size takes at most {most} bytes, descriptions aside",
    )


# --- what is told, also when something is taken back ------------------------------------------


def tell_added(
    state: State, added: Added, *, undo: Undoable | None, undoes: int | None = None
) -> Effects:
    """Tell of tickets that have been put in."""
    shown = tuple(map(listed, added.tickets))
    return _tell(TicketsAdded(next_seq(state), shown, added.before, undo, undoes))


def tell_replaced(
    state: State, replaced: Replaced, *, undo: Undoable | None, undoes: int | None = None
) -> Effects:
    """Tell of a ticket that is another one."""
    return _tell(TicketChanged(next_seq(state), listed(replaced.new), undo, undoes))


def tell_moved(
    state: State, moved: Moved, *, undo: Undoable | None, undoes: int | None = None
) -> Effects:
    """Tell of a ticket that stands elsewhere."""
    return _tell(TicketMoved(next_seq(state), moved.id, moved.before, undo, undoes))


def tell_removed(
    state: State,
    removed: Sequence[Removed],
    *,
    undo: Undoable | None,
    undoes: int | None = None,
) -> Effects:
    """Tell of tickets that are gone."""
    ids = tuple(each.ticket.id for each in removed)
    return _tell(TicketsRemoved(next_seq(state), ids, undo, undoes))


def _tell(change: Change) -> Effects:
    return [TellAll(change)]
