"""Whom an estimation room tells what has happened, and by which number.

Members that end with their connections are told events (``protocol.messages``), those that outlive
them are told changes (``protocol.changes``), and see by themselves what to do next. Changes are
numbered where ``State.numbering`` says so; then whoever makes one tells it to all.
"""

from protocol.effects import Tell, TellAll
from protocol.estimation_state import State
from protocol.messages import Event, RevealPrompt, TicketPrompt
from protocol.refusals import Effects


def next_seq(state: State) -> int:
    """Give the number of the change that has just been made."""
    state.seq += 1
    return state.seq


def tell_guests(state: State, event: Event) -> Effects:
    """Tell all members who end with their connections; they alone know such events."""
    return [TellAll(event)] if state.guests else []


def tell_admin(state: State, event: TicketPrompt | RevealPrompt) -> Effects:
    """Prompt the admin; one that outlives its connection sees by itself what to do.

    Where all may begin, there may be rounds before the admin has come; then nobody is prompted.
    """
    admin = state.admin
    return [] if admin is None or state.seats[admin].lasting else [Tell(admin, event)]
