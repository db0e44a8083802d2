"""What a client knows of its room: the picture, what is its own, and which requests show in it."""

from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

import attrs

from protocol import changes, chat_changes
from protocol.chat_fold import fold_chat
from protocol.chat_picture import ChatPicture
from protocol.client_happenings import Changed, ChatChanged, Visible
from protocol.fold import OutOfOrder, digest, fold
from protocol.ids import MemberId
from protocol.lasting import CastCard, Retract, Role
from protocol.picture import Mine, Picture, may_do


class _Numbered(Protocol):
    @property
    def seq(self) -> int:
        """The number of the last change."""


Shown = TypeVar("Shown", bound=_Numbered)
"""The picture of a room of one kind."""


class View(Generic[Shown]):
    """A member's view of a room of any kind: a picture, and the requests that it does not show."""

    def __init__(self) -> None:
        """Know nothing."""
        self.picture: Shown | None = None
        self.valid = False
        """The picture is one of the history that the latest welcome names."""
        self._hidden: dict[int, int | None] = {}

    @property
    def seq(self) -> int | None:
        """The number up to which the room's history is known; ``None`` if it is not known."""
        return self.picture.seq if self.valid and self.picture is not None else None

    def expect(self, ref: int, seq: int, *, first: bool) -> Iterator[Visible]:
        """Say of an acknowledged request when what it did shows: changes may be told later.

        Args:
            ref: its number.
            seq: the number of its change.
            first: whether it is acknowledged for the first time, and not again.
        """
        if first or ref in self._hidden:
            self._hidden[ref] = seq
        yield from self._reveal()

    def doubt(self, ref: int) -> None:
        """The server may have lost what an acknowledged request did, and is asked again."""
        if ref in self._hidden:
            self._hidden[ref] = None

    def forget(self, ref: int) -> None:
        """A request will never show."""
        self._hidden.pop(ref, None)

    def _known(self) -> Shown:
        if not self.valid or self.picture is None:
            raise OutOfOrder("a change before the room is known")
        return self.picture

    def _reveal(self) -> Iterator[Visible]:
        reached = self.seq
        for ref, seq in list(self._hidden.items()):
            if reached is not None and seq is not None and seq <= reached:
                del self._hidden[ref]
                yield Visible(ref)


class RoomView(View[Picture]):
    """A view of an estimation room, with the own card."""

    def __init__(self) -> None:
        """Know nothing."""
        super().__init__()
        self.mine: Mine | None = None
        self._told: changes.Digest | None = None

    def load(self, snapshot: changes.Snapshot) -> Iterator[Changed | Visible]:
        """Take the whole room."""
        self.valid = True
        yield from self._show(snapshot.picture, snapshot.mine, None)

    def follow(self, change: changes.Change) -> Iterator[Changed | Visible]:
        """Take the next change.

        Raises:
            OutOfOrder: if it is not the next one, or if there is no picture that it changes.
        """
        picture, mine = self._room()
        picture = fold(picture, change)
        card = None if _takes_card(change, mine.member) else mine.card
        yield from self._show(picture, attrs.evolve(mine, card=card), change)

    def count(self, seq: int) -> Iterator[Changed | Visible]:
        """Take a change that is not understood.

        Raises:
            OutOfOrder: as in :meth:`follow`.
        """
        picture, mine = self._room()
        if seq != picture.seq + 1:
            raise OutOfOrder(f"after {picture.seq} comes {picture.seq + 1}, not {seq}")
        yield from self._show(attrs.evolve(picture, seq=seq), mine, None)

    def check(self, told: changes.Digest | None) -> None:
        """Compare with the server's picture, as soon as this one has come to the same number.

        Raises:
            OutOfOrder: if they differ.
        """
        self._told = told
        if told is not None and told.seq == self.seq and self.picture is not None:
            self._told = None
            if digest(self.picture) != told.digest:
                raise OutOfOrder(f"the picture at {told.seq} is not the server's")

    def hold(self, vote: CastCard | Retract, seq: int) -> None:
        """Remember what an acknowledged request has made of the own card, while its round runs.

        The change that tells of it may come later than the answer to the next such request. A card
        is not remembered if the picture has gone past its number without it: then it was taken
        since.
        """
        if self.mine is None or self.picture is None:
            return
        running, member = self.picture.round, self.mine.member
        if running is None or running.number != vote.round:
            return
        if isinstance(vote, Retract):
            self.mine = attrs.evolve(self.mine, card=None)
            return
        voted = any(each.voted for each in self.picture.members if each.id == member)
        if voted or self.picture.seq < seq:
            self.mine = attrs.evolve(self.mine, card=vote.card)

    def _room(self) -> tuple[Picture, Mine]:
        picture = self._known()
        if self.mine is None:
            raise AssertionError("a picture comes with what is one's own")
        return picture, self.mine

    def _show(
        self, picture: Picture, mine: Mine, change: changes.Change | None
    ) -> Iterator[Changed | Visible]:
        self.picture = picture
        self.mine = attrs.evolve(mine, may=may_do(picture, mine.member))
        self.check(self._told)
        yield Changed(picture, self.mine, change)
        yield from self._reveal()


def _takes_card(change: changes.Change, member: MemberId) -> bool:
    """Tell whether a member has no card on the table any more after a change."""
    if isinstance(change, changes.RoleChanged):
        return change.member == member and change.role is Role.SPECTATOR
    return isinstance(change, changes.Begun | changes.Revealed)


class ChatView(View[ChatPicture]):
    """A view of a chat room, in which numbers have gaps and may be told twice."""

    def load(self, snapshot: chat_changes.ChatSnapshot) -> Iterator[ChatChanged | Visible]:
        """Take the whole room."""
        self.valid = True
        yield from self._show(snapshot.picture, None)

    def follow(self, change: chat_changes.ChatChange) -> Iterator[ChatChanged | Visible]:
        """Take a change, unless it is known.

        Raises:
            OutOfOrder: if there is no picture that it changes.
        """
        picture = self._known()
        if isinstance(change, chat_changes.NUMBERED_CHAT) and change.seq <= picture.seq:
            return
        yield from self._show(fold_chat(picture, change), change)

    def count(self, seq: int) -> Iterator[ChatChanged | Visible]:
        """Take a change that is not understood.

        Raises:
            OutOfOrder: as in :meth:`follow`.
        """
        picture = self._known()
        if seq > picture.seq:
            yield from self._show(attrs.evolve(picture, seq=seq), None)

    def _show(
        self, picture: ChatPicture, change: chat_changes.ChatChange | None
    ) -> Iterator[ChatChanged | Visible]:
        self.picture = picture
        yield ChatChanged(picture, change)
        yield from self._reveal()
