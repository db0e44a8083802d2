"""How a team wants its estimation room to work: options, given at its opening and changed later."""

from enum import StrEnum
from typing import Final

from protocol.value import value


class Who(StrEnum):
    """To whom something is left."""

    FACILITATORS = "facilitators"
    ALL = "all"


class OwnerAbsence(StrEnum):
    """What becomes of a room whose owner has left, or was away for longer than its grace."""

    ENDS = "ends"
    """It ends."""
    CLAIM = "claim"
    """It goes on: another facilitator becomes the owner, or whoever claims it."""


class ClaimBy(StrEnum):
    """Who may claim a room that nobody leads."""

    ALL = "all"
    SIGNED_IN = "signed_in"


class VotingEnds(StrEnum):
    """What the end of a voting timer does."""

    REVEAL = "reveal"
    """It turns the cards over, if there is one."""
    TELL = "tell"
    """Everybody is told, and no more."""


class Talkers(StrEnum):
    """Who may talk."""

    ALL = "all"
    FACILITATORS = "facilitators"
    NOBODY = "nobody"


@value(kw_only=True)
class Options:
    """The options of a room; all have defaults, with which it works as it always has."""

    begin_by: Who = Who.FACILITATORS
    """Who may open a vote."""
    reveal_by: Who = Who.FACILITATORS
    """Who may turn the cards over."""
    owner_absence: OwnerAbsence = OwnerAbsence.ENDS
    """Whether the room ends with its owner."""
    claim_by: ClaimBy = ClaimBy.ALL
    """Who may claim it, where it does not."""
    auto_reveal: bool = False
    """The cards are turned over by the rules, as soon as nobody who is here is waited for."""
    change_after_reveal: bool = False
    """Votes may be changed after the reveal, until the next round begins."""
    voting_ends: VotingEnds = VotingEnds.TELL
    """What the end of a voting timer does."""
    voting_seconds: int = 0
    """For which a voting timer runs that starts by itself with each round; 0 if none does."""
    talk_by: Talkers = Talkers.ALL
    """Who may chat and react."""


DEFAULTS: Final = Options()
