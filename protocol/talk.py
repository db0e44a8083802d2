"""What people say in an estimation room beside its rounds: the last messages, and reactions."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

import attrs

from protocol.ids import MemberId
from protocol.limits import REMARKS, REMARKS_BYTES
from protocol.value import value


@value
class Remark:
    """A chat message of an estimation room."""

    id: int
    """From 1 on, growing, and never used again in this room."""
    member: MemberId
    """Who has said it, perhaps gone by now."""
    name: str
    """The same, as it was called then."""
    text: str
    at: float
    """Unix time in seconds."""


def add_remark(remarks: tuple[Remark, ...], remark: Remark) -> tuple[Remark, ...]:
    """Take the next message, in place of the oldest ones; there are fewer if they are long."""
    kept = (*remarks, remark)[-REMARKS:]
    sizes = [len(each.text.encode()) for each in kept]
    size, first = sum(sizes), 0
    while size > REMARKS_BYTES:
        size -= sizes[first]
        first += 1
    return kept[first:]


def without_remark(remarks: tuple[Remark, ...], number: int) -> tuple[Remark, ...]:
    """Give the messages but one."""
    return tuple(each for each in remarks if each.id != number)


class Emoji(StrEnum):
    """What a member can show for a moment; pages draw them as they like."""

    THUMBS_UP = "thumbs_up"
    HEART = "heart"
    LAUGH = "laugh"
    SURPRISED = "surprised"
    THINKING = "thinking"
    COFFEE = "coffee"
    HURRY = "hurry"
    PARTY = "party"


MOST_NAMED: Final = 10
"""Members who are named of those that react alike."""


@value
class Reaction:
    """How many have shown the same."""

    emoji: Emoji | str
    count: int
    """Of members, each of which counts once."""
    members: tuple[MemberId, ...]
    """The first of them; who they all are, only if they are few."""


@attrs.define
class Gathered:
    """The reactions that nobody has been told of yet."""

    told_at: float = float("-inf")
    """When all were last told of some, in seconds by the room's clock."""
    waiting: dict[Emoji, dict[MemberId, None]] = attrs.Factory(dict)

    def add(self, emoji: Emoji, member: MemberId) -> None:
        """Take a reaction, which counts once however often it comes."""
        self.waiting.setdefault(emoji, {})[member] = None

    def take(self, now: float) -> tuple[Reaction, ...]:
        """Give all of them, to be told now."""
        waiting, self.waiting = self.waiting, {}
        self.told_at = now
        return tuple(
            Reaction(emoji, len(members), _first(members)) for emoji, members in waiting.items()
        )


def _first(members: Iterable[MemberId]) -> tuple[MemberId, ...]:
    return tuple(members)[:MOST_NAMED]
