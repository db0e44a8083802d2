"""What takes back what was done last in an estimation room: pure data, kept with the room.

Whatever can be taken back leaves an :class:`Inverse` in ``State.undo``, in place of the one before.
What is done by votes and reveals leaves none, and lets the last one stand: what was seen stays
seen. For something else that shall be taken back, make a class beside those in :data:`Back`, with a
field of a name that no other one has (by which a stored one is known again), and enter in
``estimation_undo`` what it does.
"""

from protocol.backlog import Removed
from protocol.ids import TicketNumber
from protocol.picture import Undoable
from protocol.ticket import Ticket
from protocol.value import value


@value
class TakeOut:
    """Take out tickets that were put in."""

    added: tuple[TicketNumber, ...]


@value
class PutBack:
    """Put back a ticket that was taken out."""

    removed: Removed


@value
class Restore:
    """Make a ticket what it was."""

    old: Ticket


@value
class MoveBack:
    """Put a ticket where it stood."""

    moved: TicketNumber
    before: TicketNumber | None
    """The ticket that followed it; if it is gone, the end."""


Back = TakeOut | PutBack | Restore | MoveBack


@value
class Inverse:
    """What takes back what was done last."""

    shown: Undoable
    """As everybody sees it."""
    back: Back
