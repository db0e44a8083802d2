"""How a client of an estimation room stands with it: the table of its states.

========  ========  ========  =================================================================
state     trigger   next      meaning
========  ========  ========  =================================================================
OFFLINE   OPENED    GREETING  a connection is there, and this client says who comes
GREETING  WELCOME   LOADING   it is a member; the whole room follows
GREETING  RESUMED   INSIDE    it is the same member as before; what it has missed follows
LOADING   SNAPSHOT  INSIDE    it knows the room
INSIDE    SNAPSHOT  INSIDE    it is told the whole room anew
any [1]   CUT       OFFLINE   there is no connection (any more); requests wait for the next one
any [1]   FINISHED  OVER      another connection is of no use
========  ========  ========  =================================================================

[1] Any but OVER. ``CUT`` in OFFLINE means that no connection could be opened.
"""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final


class Standing(Enum):
    """How a client stands with the room."""

    OFFLINE = "offline"
    GREETING = "greeting"
    LOADING = "loading"
    INSIDE = "inside"
    OVER = "over"


class Trigger(Enum):
    """What moves a client from state to state."""

    OPENED = auto()
    WELCOME = auto()
    RESUMED = auto()
    SNAPSHOT = auto()
    CUT = auto()
    FINISHED = auto()


TRANSITIONS: Final[Mapping[tuple[Standing, Trigger], Standing]] = {
    (Standing.OFFLINE, Trigger.OPENED): Standing.GREETING,
    (Standing.GREETING, Trigger.WELCOME): Standing.LOADING,
    (Standing.GREETING, Trigger.RESUMED): Standing.INSIDE,
    (Standing.LOADING, Trigger.SNAPSHOT): Standing.INSIDE,
    (Standing.INSIDE, Trigger.SNAPSHOT): Standing.INSIDE,
    **{(each, Trigger.CUT): Standing.OFFLINE for each in Standing if each is not Standing.OVER},
    **{(each, Trigger.FINISHED): Standing.OVER for each in Standing if each is not Standing.OVER},
}
