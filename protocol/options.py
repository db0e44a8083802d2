"""How a team wants its estimation room to work: options, given at its opening and changed later."""

from enum import StrEnum
from typing import Final

from protocol.value import value


class Who(StrEnum):
    """To whom something is left."""

    FACILITATORS = "facilitators"
    ALL = "all"


@value(kw_only=True)
class Options:
    """The options of a room; all have defaults, with which it works as it always has."""

    begin_by: Who = Who.FACILITATORS
    """Who may open a vote."""
    reveal_by: Who = Who.FACILITATORS
    """Who may turn the cards over."""
    backlog_by: Who = Who.FACILITATORS
    """Who may change the backlog, and take that back."""


DEFAULTS: Final = Options()
