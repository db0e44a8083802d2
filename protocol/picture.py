"""What anybody in an estimation room may know of it: a picture, at one sequence number.

Nothing in it is secret: of a vote that is not revealed it says only that there is one. What only
one member may know, its own card, is beside it, in :class:`Mine`.
"""

from enum import StrEnum
from functools import lru_cache
from typing import Final

from protocol.deck import Card
from protocol.ids import MemberId, RoomId
from protocol.lasting import Role, TimerKind
from protocol.options import DEFAULTS, ClaimBy, Options, Talkers, Who
from protocol.statistics import Summary
from protocol.talk import Remark
from protocol.value import value


class Stage(StrEnum):
    """What the room shows."""

    WAITING = "waiting"
    """Nothing has been voted on yet."""
    VOTING = "voting"
    REVEALED = "revealed"
    """The cards of the last round."""


@value
class Seated:
    """A member, as everybody sees it."""

    id: MemberId
    name: str
    role: Role
    owner: bool
    """The room ends with it, or passes on to another."""
    facilitator: bool
    """It leads the room, as the owner always does."""
    here: bool
    """Whether it has a connection now."""
    since: float
    """Unix time in seconds from which on it has been here, or away."""
    voted: bool
    """In the round that is running."""
    signed_in: bool
    tag: int = 1
    """Tells those of one name apart: the second Ann has 2, for as long as she is called so."""


@value
class Running:
    """The round that is running."""

    number: int
    ticket: str
    began_at: float
    """Unix time in seconds."""
    complete: bool
    """Nobody is waited for any more."""
    waiting_for: tuple[MemberId, ...]


@value
class ShownVote:
    """A card that has been turned over."""

    member: MemberId
    name: str
    card: str
    changed: bool = False
    """It was put down, or changed, after the reveal."""


@value
class Missed:
    """Somebody who was waited for when the cards were turned over."""

    member: MemberId
    name: str


@value
class Shown:
    """A round that has been revealed."""

    number: int
    ticket: str
    votes: tuple[ShownVote, ...]
    statistics: Summary
    seconds: float
    """From its beginning to its reveal."""
    missing: tuple[Missed, ...] = ()
    """Who was waited for in vain."""
    estimate: str | None = None
    """The card on which the team has agreed; ``None`` before."""


@value
class Timer:
    """The timer that runs, or is paused."""

    kind: TimerKind
    seconds: int
    """For which it is set, with what has been added since."""
    deadline: float | None
    """Unix time in seconds by the server's clock at which it ends; ``None`` while it is paused."""
    left: float | None
    """Seconds that it has left while it is paused; ``None`` while it runs."""
    by: MemberId | None
    """Who has started it; ``None`` if it started by itself, with a round."""


@value
class Earlier:
    """What is left in sight of a round that was revealed before, of the same ticket."""

    number: int
    statistics: Summary
    estimate: str | None


@value
class May:
    """What may be asked for now; a member may do what any group allows to which it belongs."""

    everybody: tuple[str, ...]
    voters: tuple[str, ...]
    facilitators: tuple[str, ...]
    owner: tuple[str, ...]
    signed_in: tuple[str, ...] = ()
    """Those who are signed in to an account."""


def abilities(
    stage: Stage,
    *,
    votes: bool,
    rounds: bool,
    options: Options = DEFAULTS,
    shown: bool = False,
    timer: Timer | None = None,
    led: bool = True,
) -> May:
    """Say what may be asked for in a stage.

    Args:
        stage: what the room shows.
        votes: whether there are any in the round that is running.
        rounds: whether the room has any left.
        options: the room's.
        shown: whether a round is on show.
        led: whether it can not be claimed, as somebody leads it, or its owner has yet to come.
        timer: the one that runs or is paused.
    """
    if options is not DEFAULTS or timer is not None:
        deeds = _NO_TIMER if timer is None else _PAUSED if timer.deadline is None else _TICKING
        return _abilities(stage, votes, rounds, options, shown, deeds, led)
    if shown:
        if stage is not Stage.VOTING:
            return _SHOWN if rounds else _ALL_SHOWN
        return _VOTED_AGAIN if votes else _ASKED_AGAIN
    if stage is not Stage.VOTING:
        return _BETWEEN if rounds else _NO_MORE
    return _VOTED if votes else _ASKED


_NO_TIMER: Final = ("start_timer",)
_TICKING: Final = ("start_timer", "pause_timer", "extend_timer", "stop_timer")
_PAUSED: Final = ("start_timer", "resume_timer", "extend_timer", "stop_timer")


@lru_cache(256)
def _abilities(
    stage: Stage,
    votes: bool,
    rounds: bool,
    options: Options,
    shown: bool,
    timing: tuple[str, ...] = _NO_TIMER,
    led: bool = True,
) -> May:
    running = stage is Stage.VOTING
    late = shown and not running and options.change_after_reveal
    deeds = {
        "begin": (rounds and not (running and votes), options.begin_by),
        "reveal": (running and votes, options.reveal_by),
        "configure": (True, Who.FACILITATORS),
        "estimate": (shown, Who.FACILITATORS),
        "lock": (True, Who.FACILITATORS),
        "passcode": (True, Who.FACILITATORS),
        "kick": (True, Who.FACILITATORS),
        "say": (options.talk_by is not Talkers.NOBODY, _TALKERS[options.talk_by]),
        "react": (options.talk_by is not Talkers.NOBODY, _TALKERS[options.talk_by]),
        "unsay": (True, Who.ALL),
    }
    claim = () if led else ("claim",)
    everybody = [name for name, (now, who) in deeds.items() if now and who is Who.ALL]
    leaders = [name for name, (now, who) in deeds.items() if now and who is not Who.ALL]
    return May(
        everybody=(
            "leave",
            *everybody,
            "role",
            "rename",
            *(claim if options.claim_by is ClaimBy.ALL else ()),
        ),
        voters=(
            *(("vote",) if running or late else ()),
            *(("retract",) if running and votes else ()),
        ),
        facilitators=(
            *leaders,
            *timing,
            *("promote", "demote", "capacity"),
            *(("nudge",) if running else ()),
        ),
        owner=("close", "hand_over"),
        signed_in=claim if options.claim_by is ClaimBy.SIGNED_IN else (),
    )


_TALKERS: Final = {
    Talkers.ALL: Who.ALL,
    Talkers.FACILITATORS: Who.FACILITATORS,
    Talkers.NOBODY: Who.FACILITATORS,
}
_BETWEEN: Final = _abilities(Stage.WAITING, False, True, DEFAULTS, False)
_NO_MORE: Final = _abilities(Stage.WAITING, False, False, DEFAULTS, False)
_ASKED: Final = _abilities(Stage.VOTING, False, True, DEFAULTS, False)
_VOTED: Final = _abilities(Stage.VOTING, True, True, DEFAULTS, False)
_SHOWN: Final = _abilities(Stage.REVEALED, False, True, DEFAULTS, True)
_ALL_SHOWN: Final = _abilities(Stage.REVEALED, False, False, DEFAULTS, True)
_ASKED_AGAIN: Final = _abilities(Stage.VOTING, False, True, DEFAULTS, True)
_VOTED_AGAIN: Final = _abilities(Stage.VOTING, True, True, DEFAULTS, True)


@value
class Picture:
    """A room at a sequence number."""

    seq: int
    """Of the last change that is in it; 0 before any."""
    room_id: RoomId
    name: str
    """What people call the room; may be empty."""
    capacity: int
    deck_id: str
    """Of a deck that has a name, or ``custom``."""
    cards: tuple[Card, ...]
    """The deck, in order."""
    grace_seconds: float
    """How long a member without a connection keeps its seat."""
    opened_at: float
    """Unix time in seconds."""
    stage: Stage
    members: tuple[Seated, ...]
    """In the order in which they came."""
    round: Running | None
    """In the stage of voting only."""
    shown: Shown | None
    """The last round that was revealed, also while the next one runs."""
    earlier: tuple[Earlier, ...]
    """Rounds of the ticket that was begun last, ascending, up to its latest beginning."""
    options: Options
    may: May
    unled_since: float | None = None
    """Unix time in seconds from which on nobody has led the room, so that it may be claimed."""
    locked: bool = False
    """Nobody new comes in."""
    needs_passcode: bool = False
    """Whoever comes must say a passcode."""
    timer: Timer | None = None
    messages: tuple[Remark, ...] = ()
    """The last ones that were said, ascending."""


@value
class Mine:
    """What only one member knows, and what it may do."""

    member: MemberId
    card: str | None
    """Its own card in the round that is running."""
    may: tuple[str, ...]


def may_do(picture: Picture, member: MemberId) -> tuple[str, ...]:
    """Say what a member may ask for now, by the groups to which it belongs; nothing if gone."""
    for each in picture.members:
        if each.id == member:
            voters = picture.may.voters if each.role is Role.VOTER else ()
            leading = picture.may.facilitators if each.facilitator else ()
            owner = picture.may.owner if each.owner else ()
            account = picture.may.signed_in if each.signed_in else ()
            return (*picture.may.everybody, *voters, *leading, *owner, *account)
    return ()
