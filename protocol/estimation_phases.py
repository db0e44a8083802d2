"""The phases of an estimation room: every change of phase is in the table.

===========  ==========================  ==========  =========================================
phase        trigger                     next phase  said
===========  ==========================  ==========  =========================================
GATHERING    every seat announced        READY       CapacityReached to all, TicketPrompt to admin
GATHERING    BeginVoting (admin)         VOTING      VoteRequested to all
READY        BeginVoting (admin)         VOTING      VoteRequested to all
VOTING       BeginVoting (admin) [1]     VOTING      VoteRequested to all
VOTING       everybody has voted         VOTED       VotingCompleted to all, RevealPrompt to admin
VOTING       RevealVotes (admin) [2]     READY       VotesRevealed to all, then as below
VOTED        a vote is taken back        VOTING      VoteRetracted to all [3]
VOTED        the last vote is taken [4]  VOTING      nothing
VOTED        RevealVotes (admin)         READY       VotesRevealed to all, TicketPrompt to admin,
                                                     AwaitingTicket to the others
any          Leave of the admin          ENDED       End
any          CloseRoom of the admin      ENDED       End
any          TimeUp, with no seat taken  ENDED       End
===========  ==========================  ==========  =========================================

[1] Another ticket, while there is no vote on the one before: it was mistyped, or thought better of.

[2] Early, so that somebody who is away from the keyboard cannot hold up the team; there must
be one vote at the least. In rooms with the option ``auto_reveal`` the rules do it by themselves.

[3] Once everybody has voted again, VotingCompleted is not repeated, and RevealPrompt only if the
admin has answered the one before.

[4] As whoever has put it down only watches from now on: there would be nothing to reveal.
"""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final

from protocol.errors import IllegalMove
from protocol.estimation_state import Phase, State


class Trigger(Enum):
    """What moves a room from phase to phase."""

    __hash__ = object.__hash__  # as for Phase

    FULL = auto()
    BEGIN = auto()
    COMPLETE = auto()
    RETRACT = auto()
    REVEAL = auto()
    END = auto()


TRANSITIONS: Final[Mapping[tuple[Phase, Trigger], Phase]] = {
    (Phase.GATHERING, Trigger.FULL): Phase.READY,
    (Phase.GATHERING, Trigger.BEGIN): Phase.VOTING,
    (Phase.READY, Trigger.BEGIN): Phase.VOTING,
    (Phase.VOTING, Trigger.BEGIN): Phase.VOTING,
    (Phase.VOTING, Trigger.COMPLETE): Phase.VOTED,
    (Phase.VOTING, Trigger.REVEAL): Phase.READY,
    (Phase.VOTED, Trigger.RETRACT): Phase.VOTING,
    (Phase.VOTED, Trigger.REVEAL): Phase.READY,
    **{(phase, Trigger.END): Phase.ENDED for phase in Phase if phase is not Phase.ENDED},
}

BEGINNING: Final = frozenset(phase for phase, trigger in TRANSITIONS if trigger is Trigger.BEGIN)
"""In which a round can begin."""
REVEALING: Final = frozenset(phase for phase, trigger in TRANSITIONS if trigger is Trigger.REVEAL)
"""In which a round is running, and can be revealed."""

# Looking a member of an enumeration up by its class takes longer than all else that is asked of it.
GATHERING: Final = Phase.GATHERING
VOTING: Final = Phase.VOTING
VOTED: Final = Phase.VOTED
ENDED: Final = Phase.ENDED


def move(state: State, trigger: Trigger) -> None:
    """Change the phase.

    Raises:
        IllegalMove: if the table has no such change.
    """
    try:
        state.phase = TRANSITIONS[state.phase, trigger]
    except KeyError:
        raise IllegalMove(state.phase, trigger) from None
