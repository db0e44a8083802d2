"""What is said in chat rooms, on its way into the store: gathered, handed over, seen meanwhile."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from sys import getsizeof
from typing import Final

import attrs
import trio
from sqlalchemy import Connection

from protocol.chat_records import Amended, ChatMessage
from protocol.chat_window import DELETED_USER, disown
from protocol.ids import RoomId
from server.store import chat as store
from server.store.records import ChatKind
from server.store.records import ChatMessage as StoredMessage
from server.store.shares import Kind
from server.store.writer import Writer

GATHER_SECONDS: Final = 0.02
"""Messages of so long are one write."""

_MESSAGE_BYTES: Final = 400  # of memory, beside the text

Kept = ChatMessage | Amended
"""What is kept of a room for ever."""


class Durability:
    """How much of a room is in the store, as far as its members may rely on it."""

    def __init__(self, saved: int, flush: Callable[[], Awaitable[None]]) -> None:
        """Begin.

        Args:
            saved: everything up to this number is in the store.
            flush: hands over what was said, and waits until the writer is done with it.
        """
        self.saved = saved
        """The number of the last message or change that outlives the server."""
        self.on_saved: Callable[[int], None] | None = None
        """Is told whenever more has come into the store: up to which number."""
        self._flush = flush
        self._lost = False

    async def flushed(self) -> None:
        """Wait until all that was said before is in the store, or will never be."""
        await self._flush()

    def note(self, seq: int, *, written: bool) -> None:
        """Take note of what has become of everything up to a number.

        What had to be given up stays missing: nothing above it counts any more.
        """
        if not written:
            self._lost = True
        elif not self._lost and seq > self.saved:
            self.saved = seq
            if self.on_saved is not None:
                self.on_saved(seq)


class ChatLog:
    """The messages of all chat rooms that are not in the store yet, in the order of their saying.

    They are handed to the writer every 20 ms, and whenever somebody asks for it. What the writer
    has to refuse is lost, which it counts and logs; so this holds no more than it does.
    """

    def __init__(self, writer: Writer, on_written: Callable[[], None]) -> None:
        """Hand over to a writer.

        Args:
            writer: the way into the store.
            on_written: the function to call whenever some of the messages are in the store.
        """
        self._writer = writer
        self._on_written = on_written
        self._said: list[Kept] = []  # not yet handed to the writer
        self._any_said = trio.Event()
        self._handed: dict[object, list[Kept]] = {}  # batches that the writer holds
        self._deleted: set[int] = set()  # accounts whose messages may be among these
        self._durabilities: dict[RoomId, Durability] = {}

    @property
    def empty(self) -> bool:
        """Whether all that was said is in the store, or given up."""
        return not (self._said or self._handed)

    def watch(self, room_id: RoomId, seq: int) -> Durability:
        """Tell from now on how much of a room is in the store.

        Args:
            room_id: the room.
            seq: the number of the last message or change of it, written or not.
        """
        unwritten = self.unwritten(room_id)
        saved = unwritten[0].seq - 1 if unwritten else seq
        found = self._durabilities[room_id] = Durability(saved, self._flush)
        return found

    def unwatch(self, room_id: RoomId) -> None:
        """Forget about a room that is not awake any more."""
        self._durabilities.pop(room_id, None)

    async def _flush(self) -> None:
        self.hand_over()
        await self._writer.flush()

    def add(self, message: Kept) -> None:
        """Take a message or a change of one, which is handed to the writer soon."""
        self._said.append(message)
        self._any_said.set()

    def unwritten(self, room_id: RoomId) -> list[Kept]:
        """List what may not be in the store yet of a room, ascending."""
        return [
            self._shown(message)
            for batch in (*self._handed.values(), self._said)
            for message in batch
            if message.room_id == room_id
        ]

    def _shown(self, message: Kept) -> Kept:
        if isinstance(message, ChatMessage) and message.author_id in self._deleted:
            [message] = disown([message], message.author_id)
        return message

    def anonymise(self, user_id: int) -> None:
        """Show what a deleted account has said as by a deleted user, as the store will."""
        self._deleted.add(user_id)

    def hand_over(self) -> None:
        """Hand what was said to the writer now."""
        if not self._said:
            return  # and whoever waits goes on waiting for the same event
        said, self._said = self._said, []
        self._any_said = trio.Event()
        # One item for each room: rooms share what the writer holds, and a room keeps its order.
        rooms: dict[RoomId, list[Kept]] = {}
        for message in said:
            rooms.setdefault(message.room_id, []).append(message)
        for room_id, messages in rooms.items():
            batch = object()
            # Noted beforehand: what is put may be settled at once.
            self._handed[batch] = messages
            if not self._writer.put_row(
                _append,
                messages,
                len(messages),
                settled=partial(self._settled, batch, room_id),
                payer=room_id,
                kind=Kind.CHATTER,
                size=sum(_MESSAGE_BYTES + getsizeof(message.text) for message in messages),
            ):
                self._settled(batch, room_id, False)

    async def run(self) -> None:
        """Hand messages to the writer until cancelled, and the last of them then."""
        try:
            while True:
                await self._any_said.wait()
                await trio.sleep(GATHER_SECONDS)
                self.hand_over()
        finally:
            self.hand_over()

    def _settled(self, batch: object, room_id: RoomId, written: bool) -> None:
        """Forget a batch: the writer is done with it, or has given it up."""
        messages = self._handed.pop(batch)
        if self.empty:
            self._deleted.clear()
        durability = self._durabilities.get(room_id)
        if durability is not None:
            durability.note(messages[-1].seq, written=written)
        self._on_written()


def merged(
    stored: Iterable[StoredMessage], unwritten: Iterable[Kept], limit: int
) -> list[ChatMessage]:
    """Join what was read from the store with what was not in it before, ascending.

    Args:
        stored: messages as read; of those in both, these count.
        unwritten: what :meth:`ChatLog.unwritten` gave before the reading.
        limit: the number of messages wanted, the latest ones.
    """
    unwritten = list(unwritten)
    found = {each.seq: each for each in unwritten if isinstance(each, ChatMessage)}
    found |= {message.seq: told(message) for message in stored}
    for each in unwritten:
        if isinstance(each, Amended) and each.target in found:
            message = found[each.target]
            # It may have been written meanwhile, and others after it.
            if message.text and (message.changed_at is None or message.changed_at <= each.at):
                after = attrs.evolve(message, text=each.text, changed_at=each.at)
                found[each.target] = after
    return [found[seq] for seq in sorted(found)[-limit:]]


def _append(conn: Connection, batches: Sequence[list[Kept]]) -> None:
    store.append(conn, [stored(message) for batch in batches for message in batch])


def stored(message: Kept) -> StoredMessage:
    """Give what is stored of a message or a change of one."""
    asked, kind = message.asked, ChatKind.MESSAGE
    if isinstance(message, Amended):
        kind = ChatKind.EDIT if message.text else ChatKind.DELETE
    return StoredMessage(
        room_id=message.room_id,
        seq=message.seq,
        author_id=message.author_id,
        author=message.author if isinstance(message, ChatMessage) else DELETED_USER,
        text=message.text,
        at=message.at,
        kind=kind,
        target=message.target if isinstance(message, Amended) else None,
        member=asked.member if asked is not None else None,
        ref=asked.ref if asked is not None else None,
    )


def told(message: StoredMessage) -> ChatMessage:
    """Give a message as rooms tell it."""
    return ChatMessage(
        room_id=RoomId(message.room_id),
        seq=message.seq,
        author_id=message.author_id,
        author=message.author,
        text=message.text,
        at=message.at,
        changed_at=message.changed_at,
    )
