"""Effects by which the rules of estimation rooms say no, and answer numbered requests."""

from protocol.answers import Answer
from protocol.changes import Ack, Failure
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
    match effects:
        case [Tell(told, Refusal(problem))] if told == member:
            return problem
        case _:
            return None


def tell_answer(member: MemberId, answer: Answer) -> Tell:
    """Answer a numbered request."""
    if answer.problem is None:
        return Tell(member, Ack(answer.ref, answer.seq))
    return Tell(member, Failure(answer.ref, answer.problem))
