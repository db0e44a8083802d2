"""Effects by which the rules of estimation rooms say no."""

from protocol.effects import Disconnect, Effect, Tell
from protocol.errors import CloseCode, ErrorCode, Problem
from protocol.ids import MemberId
from protocol.messages import Refusal, TicketResult

Effects = list[Effect[TicketResult]]
"""What the rules of an estimation room ask for."""


def refuse(
    member: MemberId, code: ErrorCode, field: str | None = None, **values: str | int | float
) -> Effects:
    """Tell a member why what it asked for is not done."""
    return [Tell(member, Refusal(Problem(code, field=field, values=values)))]


def turn_away(member: MemberId, code: ErrorCode, **values: str | int | float) -> Effects:
    """Tell a member why it may not be here, and part from it."""
    problem = Problem(code, values=values)
    return [Tell(member, Refusal(problem)), Disconnect(member, CloseCode.NORMAL, problem)]


def refusal_in(effects: Effects, member: MemberId) -> Problem | None:
    """Give the reason if these effects refuse something; then that is all they do."""
    if len(effects) != 1:
        return None
    (effect,) = effects
    if not isinstance(effect, Tell) or not isinstance(effect.event, Refusal):
        return None
    return effect.event.problem if effect.member == member else None
