"""What a change does to a picture of an estimation room: the one definition, for both sides."""

import hashlib
from collections.abc import Callable
from typing import Any, Final

import attrs
import orjson

from protocol.changes import (
    Begun,
    CameBack,
    CapacityRaised,
    Change,
    Configured,
    DoorChanged,
    Estimated,
    FacilitatorChanged,
    Joined,
    Left,
    OwnerChanged,
    Recast,
    Renamed,
    Retracted,
    Revealed,
    RoleChanged,
    Said,
    TimeOver,
    TimerChanged,
    Unled,
    Unsaid,
    Voted,
    WentAway,
)
from protocol.codec import CONVERTER
from protocol.errors import ParleyError
from protocol.ids import MemberId
from protocol.lasting import Role
from protocol.picture import Picture, Running, Seated, Stage
from protocol.talk import Remark, add_remark, without_remark

DIGEST_LENGTH: Final = 32
"""Hexadecimal digits."""


class OutOfOrder(ParleyError):
    """A change does not follow the picture: one is missing, or it has been seen already."""


def fold(picture: Picture, change: Change) -> Picture:
    """Give the picture after a change.

    Raises:
        OutOfOrder: if the change is not the next one.
    """
    if change.seq != picture.seq + 1:
        raise OutOfOrder(f"after {picture.seq} comes {picture.seq + 1}, not {change.seq}")
    return attrs.evolve(_FOLDS[type(change)](picture, change), seq=change.seq)


def digest(picture: Picture) -> str:
    """Give what two equal pictures have in common, and two different ones do not."""
    data = orjson.dumps(CONVERTER.unstructure(picture), option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(data).hexdigest()[:DIGEST_LENGTH]


def _joined(picture: Picture, change: Joined) -> Picture:
    running = picture.round
    if running is not None and change.waited_for:
        waiting = (*running.waiting_for, change.member.id)
        running = attrs.evolve(running, waiting_for=waiting)
    return attrs.evolve(picture, members=(*picture.members, change.member), round=running)


def _left(picture: Picture, change: Left) -> Picture:
    members = tuple(each for each in picture.members if each.id != change.member)
    running = _no_longer_waiting(picture.round, change.member, complete=change.complete)
    return attrs.evolve(picture, members=members, round=running)


def _went_away(picture: Picture, change: WentAway) -> Picture:
    return _changed(picture, change.member, here=False, since=change.since)


def _came_back(picture: Picture, change: CameBack) -> Picture:
    return _changed(picture, change.member, here=True, since=change.since)


def _owner_changed(picture: Picture, change: OwnerChanged) -> Picture:
    members = tuple(
        attrs.evolve(
            each,
            owner=each.id == change.member,
            facilitator=each.facilitator or each.id == change.member,
        )
        for each in picture.members
    )
    return attrs.evolve(picture, members=members, unled_since=None, may=change.may or picture.may)


def _facilitator_changed(picture: Picture, change: FacilitatorChanged) -> Picture:
    return _changed(picture, change.member, facilitator=change.facilitator)


def _unled(picture: Picture, change: Unled) -> Picture:
    return attrs.evolve(picture, unled_since=change.since, may=change.may)


def _configured(picture: Picture, change: Configured) -> Picture:
    return attrs.evolve(picture, options=change.options, may=change.may)


def _door_changed(picture: Picture, change: DoorChanged) -> Picture:
    return attrs.evolve(picture, locked=change.locked, needs_passcode=change.needs_passcode)


def _begun(picture: Picture, change: Begun) -> Picture:
    return attrs.evolve(
        picture,
        stage=Stage.VOTING,
        members=_nobody_voted(picture.members),
        round=Running(
            change.number,
            change.ticket,
            change.began_at,
            complete=False,
            waiting_for=change.waiting_for,
        ),
        earlier=change.earlier,
        may=change.may,
    )


def _voted(picture: Picture, change: Voted) -> Picture:
    after = _changed(picture, change.member, voted=True)
    return attrs.evolve(
        after,
        round=_no_longer_waiting(picture.round, change.member, complete=change.complete),
        may=change.may or picture.may,
    )


def _retracted(picture: Picture, change: Retracted) -> Picture:
    after = _changed(picture, change.member, voted=False)
    running = picture.round
    if running is not None:
        waited_for = {*running.waiting_for, change.member}
        waiting = tuple(each.id for each in after.members if each.id in waited_for)
        running = attrs.evolve(running, waiting_for=waiting, complete=False)
    return attrs.evolve(after, round=running, may=change.may or picture.may)


def _revealed(picture: Picture, change: Revealed) -> Picture:
    return attrs.evolve(
        picture,
        stage=Stage.REVEALED,
        members=_nobody_voted(picture.members),
        round=None,
        shown=change.shown,
        may=change.may,
    )


def _role_changed(picture: Picture, change: RoleChanged) -> Picture:
    what: dict[str, Any] = {"role": change.role}
    if change.role is Role.SPECTATOR:
        what["voted"] = False
    running = picture.round
    if running is not None and change.waiting_for is not None:
        running = attrs.evolve(running, waiting_for=change.waiting_for, complete=change.complete)
    after = _changed(picture, change.member, **what)
    return attrs.evolve(after, round=running, may=change.may or picture.may)


def _renamed(picture: Picture, change: Renamed) -> Picture:
    return _changed(picture, change.member, name=change.name, tag=change.tag)


def _capacity_raised(picture: Picture, change: CapacityRaised) -> Picture:
    return attrs.evolve(picture, capacity=change.capacity)


def _recast(picture: Picture, change: Recast) -> Picture:
    shown, vote = picture.shown, change.vote
    if shown is None:
        return picture
    votes = tuple(vote if each.member == vote.member else each for each in shown.votes)
    if vote not in votes:
        votes = (*votes, vote)
    missing = tuple(each for each in shown.missing if each.member != vote.member)
    shown = attrs.evolve(shown, votes=votes, missing=missing, statistics=change.statistics)
    return attrs.evolve(picture, shown=shown)


def _estimated(picture: Picture, change: Estimated) -> Picture:
    if picture.shown is None:
        return picture
    earlier = tuple(
        attrs.evolve(each, estimate=change.card) if each.number == change.round else each
        for each in picture.earlier
    )
    shown = attrs.evolve(picture.shown, estimate=change.card)
    return attrs.evolve(picture, shown=shown, earlier=earlier)


def _timer_changed(picture: Picture, change: TimerChanged) -> Picture:
    return attrs.evolve(picture, timer=change.timer, may=change.may)


def _time_over(picture: Picture, change: TimeOver) -> Picture:
    return attrs.evolve(picture, timer=None, may=change.may)


def _said(picture: Picture, change: Said) -> Picture:
    remark = Remark(change.id, change.member, change.name, change.text, change.at)
    return attrs.evolve(picture, messages=add_remark(picture.messages, remark))


def _unsaid(picture: Picture, change: Unsaid) -> Picture:
    return attrs.evolve(picture, messages=without_remark(picture.messages, change.id))


_FOLDS: Final[dict[type, Callable[[Picture, Any], Picture]]] = {
    Joined: _joined,
    Left: _left,
    WentAway: _went_away,
    CameBack: _came_back,
    OwnerChanged: _owner_changed,
    Configured: _configured,
    DoorChanged: _door_changed,
    Begun: _begun,
    Voted: _voted,
    Retracted: _retracted,
    Revealed: _revealed,
    RoleChanged: _role_changed,
    FacilitatorChanged: _facilitator_changed,
    Unled: _unled,
    Renamed: _renamed,
    CapacityRaised: _capacity_raised,
    Recast: _recast,
    Estimated: _estimated,
    TimerChanged: _timer_changed,
    TimeOver: _time_over,
    Said: _said,
    Unsaid: _unsaid,
}


def _changed(picture: Picture, member: MemberId, **what: Any) -> Picture:
    members = tuple(
        attrs.evolve(each, **what) if each.id == member else each for each in picture.members
    )
    return attrs.evolve(picture, members=members)


def _nobody_voted(members: tuple[Seated, ...]) -> tuple[Seated, ...]:
    return tuple(attrs.evolve(each, voted=False) if each.voted else each for each in members)


def _no_longer_waiting(
    running: Running | None, member: MemberId, *, complete: bool
) -> Running | None:
    if running is None:
        return None
    waiting = tuple(each for each in running.waiting_for if each != member)
    return attrs.evolve(running, waiting_for=waiting, complete=complete)
