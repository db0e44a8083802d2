"""Chat and reactions in an estimation room.

Everybody who is here by a lasting seat talks, spectators too, unless the room's options leave it to
some. Those who end with their connections hear what is said, and have no words to answer.

A message is charged to whoever says it, by what the others receive of it. The last ones are part of
the room. One that is taken back is in it no more, nor is it told again to anybody who comes back.

Reactions are of the moment: they are no changes, they are not stored, and they are gathered, so
that however many come, nobody is told of them more often than every :data:`REACTION_SECONDS`.
"""

from protocol.changes import Reactions, Said, Unsaid
from protocol.codec import dumps
from protocol.effects import SetTimer, TellAll
from protocol.errors import ErrorCode
from protocol.estimation_names import called
from protocol.estimation_state import Seat, State
from protocol.estimation_telling import next_seq, tell_guests
from protocol.ids import MemberId
from protocol.lasting import REACTIONS, React, SayHere, TellReactions, Unsay
from protocol.limits import REACTION_SECONDS, TALK_BYTES_BURST, TALK_BYTES_RATE
from protocol.messages import Spoken
from protocol.options import Talkers
from protocol.refusals import Effects, refuse, refuse_unless
from protocol.talk import Gathered, Remark, add_remark, without_remark


def say(state: State, request: SayHere, member: MemberId, seat: Seat, now: float) -> Effects:
    """Say something to all, if this member has not made them receive too much."""
    refusal = _refuse_talk(state, member, "say")
    if refusal:
        return refusal
    longest = TALK_BYTES_BURST / TALK_BYTES_RATE
    owed = seat.talk_paid_at - now
    if not 0 < owed <= longest:  # paid for, or the clock was put back
        owed = 0.0
    owed += len(dumps(request.text)) / TALK_BYTES_RATE
    if owed > longest:
        return refuse(member, ErrorCode.TOO_MUCH, rate=TALK_BYTES_RATE)
    seat.talk_paid_at = now + owed
    state.said += 1
    name = called(seat)
    remark = Remark(state.said, member, name, request.text, now)
    state.remarks = add_remark(state.remarks, remark)
    effects = tell_guests(state, Spoken(name, request.text))
    said = Said(next_seq(state), remark.id, member, name, request.text, now)
    effects.append(TellAll(said))
    return effects


def unsay(state: State, request: Unsay, member: MemberId, seat: Seat, now: float) -> Effects:
    """Take a message back: its author any time, a facilitator anybody's."""
    wanted = request.id
    remark = next((each for each in state.remarks if each.id == wanted), None)
    if remark is None:
        return refuse(member, ErrorCode.NO_SUCH_MESSAGE, "id", seq=wanted)
    if remark.member != member and not (seat.facilitator or seat.admin):
        return refuse(member, ErrorCode.NOT_YOURS, "id", seq=wanted)
    state.remarks = without_remark(state.remarks, wanted)
    state.told_anew = next_seq(state)
    return [TellAll(Unsaid(state.told_anew, wanted))]


def react(state: State, command: React, member: MemberId, now: float) -> Effects:
    """Show something to all, now or with what the others show until it is time again."""
    seat = state.seats.get(member)
    if seat is None or not seat.lasting:
        return []
    refusal = _refuse_talk(state, member, "react")
    if refusal:
        return refusal
    gathered = state.reactions
    if gathered is None:
        gathered = state.reactions = Gathered()
    ringing = bool(gathered.waiting)
    gathered.add(command.emoji, member)
    if ringing:
        return []
    left = gathered.told_at + REACTION_SECONDS - now
    if 0 < left <= REACTION_SECONDS:
        return [SetTimer(REACTIONS, left)]
    return _tell(gathered, now)


def tell_reactions(state: State, command: TellReactions, member: MemberId, now: float) -> Effects:
    """Tell all of the reactions that have waited for their time."""
    gathered = state.reactions
    if gathered is None or not gathered.waiting:
        return []
    return _tell(gathered, now)


def _tell(gathered: Gathered, now: float) -> Effects:
    return [TellAll(Reactions(gathered.take(now)))]


def _refuse_talk(state: State, member: MemberId, deed: str) -> Effects:
    who = state.options.talk_by
    if who is Talkers.NOBODY:
        return refuse(member, ErrorCode.NO_TALK)
    return [] if who is Talkers.ALL else refuse_unless(state, member, deed)
