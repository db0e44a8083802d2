"""Compares what was acknowledged, what is kept and what everybody has seen; without I/O."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import attrs

from protocol.chat_picture import ChatPicture
from protocol.limits import UNREAD_MOST
from protocol.talking import DeleteMessage, EditMessage, SayOnce

_SHOWN = 5  # numbers in a report


@attrs.frozen
class Kept:
    """A message as the server keeps it."""

    seq: int
    author_id: int | None
    text: str


@attrs.define
class Account:
    """What one member has done and seen."""

    name: str
    user_id: int
    done: dict[int, object] = attrs.Factory(dict)
    """What it was acknowledged, by request."""
    heard: list[int] = attrs.Factory(list)
    """The numbers of the messages that it was told, one after the other, since its last gap."""
    began: int = 0
    """What was said up to this number it need not have heard since: it was told the room anew."""

    def hear(self, seq: int) -> None:
        """Take a message that is told."""
        self.heard.append(seq)

    def load(self, picture: ChatPicture) -> None:
        """Take the whole room: of what is older than the picture, nothing is told any more."""
        first = picture.messages[0].seq if picture.messages else picture.seq + 1
        self.began = first - 1
        self.heard = [each.seq for each in picture.messages]


def expected(
    members: Iterable[Account], acked: Mapping[tuple[str, int], int]
) -> tuple[dict[int, Kept], list[tuple[str, str]]]:
    """Say what must be kept, by number, and what is wrong with the answers themselves.

    Args:
        members: with what they were acknowledged.
        acked: the numbers of the last acknowledgements, by member and request.
    """
    kept: dict[int, Kept] = {}
    faults: list[tuple[str, str]] = []
    amendments: list[tuple[int, str, EditMessage | DeleteMessage]] = []
    for member in members:
        for ref, request in member.done.items():
            seq = acked[member.name, ref]
            if isinstance(request, SayOnce):
                if seq in kept:
                    faults.append(("number-shared", f"{seq} is {kept[seq]} and {member.name}'s"))
                kept[seq] = Kept(seq, member.user_id, request.text)
            elif isinstance(request, EditMessage | DeleteMessage):
                amendments.append((seq, member.name, request))
    for seq, name, request in sorted(amendments, key=lambda each: each[0]):
        if request.seq not in kept:
            faults.append(("amended-nothing", f"{name} has amended {request.seq} by {seq}"))
            continue
        text = request.text if isinstance(request, EditMessage) else ""
        kept[request.seq] = attrs.evolve(kept[request.seq], text=text)
    return kept, faults


def judge_kept(wanted: Mapping[int, Kept], found: Sequence[Kept]) -> Iterator[tuple[str, str]]:
    """Compare what must be kept with what is; yields rule and detail."""
    numbers = [each.seq for each in found]
    if numbers != sorted(set(numbers)):
        yield "kept-order", f"{len(numbers)} messages with {len(set(numbers))} ascending numbers"
    there = {each.seq: each for each in found}
    lost, extra = sorted(set(wanted) - set(there)), sorted(set(there) - set(wanted))
    if lost:
        yield "lost", f"{len(lost)} acknowledged messages: {[wanted[n] for n in lost[:_SHOWN]]}"
    if extra:
        yield (
            "twice",
            f"{len(extra)} messages that nobody said: {[there[n] for n in extra[:_SHOWN]]}",
        )
    for seq in sorted(set(wanted) & set(there)):
        if wanted[seq] != there[seq]:
            yield "kept-text", f"{there[seq]}, not {wanted[seq]}"


def judge_member(
    member: Account, picture: ChatPicture, kept: Sequence[Kept], names: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Compare what a member has seen with what is kept; yields rule and detail."""
    numbers = [each.seq for each in kept if each.seq > member.began]
    heard = [seq for seq in member.heard if seq in set(numbers)]
    if heard != numbers:
        missed = sorted(set(numbers) - set(heard))
        yield "not-heard", f"{len(missed)} messages, such as {missed[:_SHOWN]}, or in another order"
    shown = [Kept(each.seq, each.author_id, each.text) for each in picture.messages]
    if shown != list(kept[len(kept) - len(shown) :]):
        yield "picture", f"shows {shown[-_SHOWN:]}, kept are {kept[-_SHOWN:]}"
    people = sorted(each.name for each in picture.people)
    if people != sorted(names) or not all(each.here for each in picture.people):
        yield "ghosts", f"sees {[(each.name, each.here) for each in picture.people]}"
    mine = picture.mine
    unread = sum(each.author_id != member.user_id and each.seq > mine.seq for each in kept)
    if mine.unread != min(unread, UNREAD_MOST):
        yield "unread", f"is told {mine.unread} above {mine.seq}, and has {unread}"
