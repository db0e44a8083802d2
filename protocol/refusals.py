"""Effects by which the rules of estimation rooms say no.

What refuses for one reason or another gives the refusal, or nothing if there is none.
"""

from protocol.deck import Deck
from protocol.effects import Disconnect, Effect, Tell
from protocol.errors import CloseCode, ErrorCode, Problem
from protocol.estimation_phases import REVEALING
from protocol.estimation_state import State
from protocol.ids import MemberId
from protocol.messages import Refusal, TicketId, TicketResult
from protocol.options import Who

Effects = list[Effect[TicketResult]]
"""What the rules of an estimation room ask for."""


def refuse(
    member: MemberId, code: ErrorCode, field: str | None = None, **values: str | int | float
) -> Effects:
    """Tell a member why what it asked for is not done."""
    return [Tell(member, Refusal(Problem(code, field=field, values=values)))]


def refuse_range(member: MemberId, field: str, given: int, least: int, most: int) -> Effects:
    """Refuse a number that is too small or too large."""
    if least <= given <= most:
        return []
    return refuse(member, ErrorCode.OUT_OF_RANGE, field, what=field, least=least, most=most)


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


def refuse_unannounced(member: MemberId) -> Effects:
    """Refuse what only those may ask for who are present."""
    return refuse(member, ErrorCode.NOT_ANNOUNCED)


def refuse_but_admin(state: State, member: MemberId, deed: str) -> Effects:
    """Refuse what only the admin may do, to anybody else."""
    if member != state.admin:
        return refuse(member, ErrorCode.NOT_ADMIN, deed=deed)
    if not state.seats[member].announced:
        return refuse_unannounced(member)
    return []


def refuse_unless(
    state: State, member: MemberId, deed: str, who: Who = Who.FACILITATORS
) -> Effects:
    """Refuse what is left to some, to anybody else.

    Args:
        state: the room.
        member: whoever asks.
        deed: for what, by the name of the request.
        who: to whom it is left.
    """
    seat = state.seats.get(member)
    if seat is None or not (seat.facilitator or seat.admin or who is Who.ALL):
        # Where nobody but the admin can lead, it is called by that name.
        code = ErrorCode.NOT_FACILITATOR if state.numbering else ErrorCode.NOT_ADMIN
        return refuse(member, code, deed=deed)
    return [] if seat.announced else refuse_unannounced(member)


def refuse_stranger(state: State, given: MemberId, member: MemberId) -> Effects:
    """Refuse what is about somebody who is not here, or has not announced itself."""
    seat = state.seats.get(given)
    if seat is None or not seat.announced:
        return refuse(member, ErrorCode.NO_SUCH_MEMBER, "member")
    return []


def refuse_ticket(state: State, given: TicketId, member: MemberId) -> Effects:
    """Refuse what is about another ticket than that which is voted on."""
    if state.phase not in REVEALING:
        return refuse(member, ErrorCode.NO_VOTE_RUNNING)
    if given != state.ticket:
        return refuse(
            member, ErrorCode.WRONG_TICKET, "ticket_id", ticket_id=state.ticket, given=given
        )
    return []


def refuse_card(member: MemberId, deck: Deck, field: str) -> Effects:
    """Refuse a card that is none of a deck."""
    return refuse(member, ErrorCode.NOT_IN_DECK, field, cards=deck.spelled)


def refuse_round(state: State, given: int, member: MemberId) -> Effects:
    """Refuse what is about another round than that which is running."""
    if state.phase not in REVEALING:
        return refuse(member, ErrorCode.NO_VOTE_RUNNING)
    if given != state.round:
        return refuse(member, ErrorCode.WRONG_ROUND, "round", round=state.round, given=given)
    return []
