"""What becomes of a round after its reveal: votes that are changed, and the final estimate.

Both are about the round that was revealed last. Its result is given to be kept anew each time, in
place of what was given before.
"""

from typing import Final

import attrs

from protocol.changes import Estimated, Recast
from protocol.deck import ESTIMATE, Deck
from protocol.effects import Record, TellAll
from protocol.errors import ErrorCode
from protocol.estimation_names import called
from protocol.estimation_phases import REVEALING
from protocol.estimation_state import Past, Seat, State
from protocol.estimation_telling import next_seq, tell_guests
from protocol.ids import MemberId
from protocol.lasting import SetEstimate
from protocol.limits import PAST_ROUNDS
from protocol.messages import EstimateSet, TicketId, TicketResult, Vote, VoteChanged
from protocol.picture import Earlier, Shown, ShownVote
from protocol.refusals import Effects, refuse, refuse_card, refuse_unless
from protocol.statistics import summarize

_FIELD: Final = "card"


def recast(
    state: State, shown: Shown, card: str, member: MemberId, seat: Seat, field: str = _FIELD
) -> Effects:
    """Change a vote that was shown, or put down one that was missed, if the room allows it."""
    before = next((vote for vote in shown.votes if vote.member == member), None)
    missed = any(each.member == member for each in shown.missing)
    if not state.options.change_after_reveal or not (before or missed):
        return refuse(member, ErrorCode.ALREADY_SHOWN)
    deck = _deck(state)
    if card not in deck:
        return refuse_card(member, deck, field)
    if before is not None and before.card == card:
        return []
    vote = ShownVote(member, called(seat), card, changed=True)
    votes = tuple(vote if each is before else each for each in shown.votes)
    if before is None:
        votes = (*votes, vote)
    statistics = summarize([each.card for each in votes], deck)
    state.shown = attrs.evolve(
        shown,
        votes=votes,
        missing=tuple(each for each in shown.missing if each.member != member),
        statistics=statistics,
    )
    return [
        *tell_guests(state, VoteChanged(called(seat), TicketId(shown.ticket), card)),
        TellAll(Recast(next_seq(state), shown.number, vote, statistics)),
        _record_again(state, state.shown),
    ]


def put_by(state: State, shown: Shown) -> None:
    """Remember what there is to see of a round beside the next one, which begins."""
    past = state.past
    if past and past[-1].round.number == shown.number:
        return  # a beginning in place of another one
    this = Past(shown.ticket, Earlier(shown.number, shown.statistics, shown.estimate))
    state.past = (*past[1 - PAST_ROUNDS :], this)


def shown_before(state: State, *, number: int | None = None, ticket: str | None = None) -> bool:
    """Tell whether a round is the one that is on show, so that votes in it come late."""
    shown = state.shown
    if shown is None or state.phase in REVEALING:
        return False
    return shown.number == number or shown.ticket == ticket


def set_estimate(
    state: State, request: SetEstimate, member: MemberId, seat: Seat, now: float
) -> Effects:
    """Say on which estimate the team has agreed, or that it has not."""
    refusal = refuse_unless(state, member, "estimate")
    if refusal:
        return refusal
    shown, card = state.shown, request.card
    if shown is None or shown.number != request.round:
        return refuse(member, ErrorCode.NOT_SHOWN, "round", given=request.round)
    estimates = [each.label for each in _deck(state).cards if each.kind == ESTIMATE]
    if card is not None and card not in estimates:
        spelled = ", ".join(estimates)
        return refuse(member, ErrorCode.NO_ESTIMATE, "card", cards=spelled)
    if card == shown.estimate:
        return []
    state.shown = attrs.evolve(shown, estimate=card)
    if state.past and state.past[-1].round.number == shown.number:
        this = Past(shown.ticket, attrs.evolve(state.past[-1].round, estimate=card))
        state.past = (*state.past[:-1], this)
    return [
        *tell_guests(state, EstimateSet(TicketId(shown.ticket), card)),
        TellAll(Estimated(next_seq(state), shown.number, card)),
        _record_again(state, state.shown),
    ]


def _deck(state: State) -> Deck:
    """Give the deck by which the votes of the round on show count."""
    return state.deck


def _record_again(state: State, shown: Shown) -> Record[TicketResult]:
    votes = tuple(
        Vote(vote.member, vote.name, vote.card, changed=vote.changed) for vote in shown.votes
    )
    return Record(
        TicketResult(
            TicketId(shown.ticket),
            votes,
            shown.seconds,
            _deck(state),
            estimate=shown.estimate,
            replaces=True,
        )
    )
