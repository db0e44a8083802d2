"""What is said in chat rooms, on its way into the store: gathered, handed over, seen meanwhile."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from sys import getsizeof
from typing import Final

import trio
from sqlalchemy import Connection

from protocol.chat import disown
from protocol.ids import RoomId
from protocol.messages import ChatMessage
from server.store import chat as store
from server.store.records import ChatMessage as StoredMessage
from server.store.shares import Kind
from server.store.writer import Writer

GATHER_SECONDS: Final = 0.02
"""Messages of so long are one write."""

_MESSAGE_BYTES: Final = 400  # of memory, beside the text


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
        self._said: list[ChatMessage] = []  # not yet handed to the writer
        self._any_said = trio.Event()
        self._handed: dict[object, list[ChatMessage]] = {}  # batches that the writer holds
        self._deleted: set[int] = set()  # accounts whose messages may be among these

    @property
    def empty(self) -> bool:
        """Whether all that was said is in the store, or given up."""
        return not (self._said or self._handed)

    def add(self, message: ChatMessage) -> None:
        """Take a message, which is handed to the writer soon."""
        self._said.append(message)
        self._any_said.set()

    def unwritten(self, room_id: RoomId) -> list[ChatMessage]:
        """List the messages of a room that may not be in the store yet, ascending."""
        found = [
            message
            for batch in (*self._handed.values(), self._said)
            for message in batch
            if message.room_id == room_id
        ]
        for user_id in self._deleted:
            found = disown(found, user_id)
        return found

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
        rooms: dict[RoomId, list[ChatMessage]] = {}
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
                settled=partial(self._settled, batch),
                payer=room_id,
                kind=Kind.CHATTER,
                size=sum(_MESSAGE_BYTES + getsizeof(message.text) for message in messages),
            ):
                self._settled(batch, False)

    async def run(self) -> None:
        """Hand messages to the writer until cancelled, and the last of them then."""
        try:
            while True:
                await self._any_said.wait()
                await trio.sleep(GATHER_SECONDS)
                self.hand_over()
        finally:
            self.hand_over()

    def _settled(self, batch: object, _: bool) -> None:
        """Forget a batch: the writer is done with it, or has given it up."""
        del self._handed[batch]
        if self.empty:
            self._deleted.clear()
        self._on_written()


def merged(
    stored: Iterable[StoredMessage], unwritten: Iterable[ChatMessage], limit: int
) -> list[ChatMessage]:
    """Join what was read from the store with what was not in it before, ascending.

    Args:
        stored: messages as read; of those in both, these count.
        unwritten: messages as :meth:`ChatLog.unwritten` gave them before the reading.
        limit: the number of messages wanted, the latest ones.
    """
    found = {message.seq: message for message in unwritten}
    found |= {message.seq: _told(message) for message in stored}
    return [found[seq] for seq in sorted(found)[-limit:]]


def _append(conn: Connection, batches: Sequence[list[ChatMessage]]) -> None:
    store.append(conn, [_stored(message) for batch in batches for message in batch])


def _stored(message: ChatMessage) -> StoredMessage:
    return StoredMessage(
        room_id=message.room_id,
        seq=message.seq,
        author_id=message.author_id,
        author=message.author,
        text=message.text,
        at=message.at,
    )


def _told(message: StoredMessage) -> ChatMessage:
    return ChatMessage(
        room_id=RoomId(message.room_id),
        seq=message.seq,
        author_id=message.author_id,
        author=message.author,
        text=message.text,
        at=message.at,
    )
