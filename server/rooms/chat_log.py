"""What is said in chat rooms, on its way into the store: gathered, handed over, seen meanwhile."""

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

import trio

from protocol.chat import disown
from protocol.ids import RoomId
from protocol.messages import ChatMessage
from server.store import chat as store
from server.store.records import ChatMessage as StoredMessage
from server.store.writer import Writer

GATHER_SECONDS: Final = 0.02
"""Messages of so long are one write."""

_ROW_LENGTH: Final = 250  # characters that weigh as much as a row


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
        self._handed: deque[list[ChatMessage]] = deque()  # batches that the writer holds
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
            for batch in (*self._handed, self._said)
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
        write = partial(store.append, messages=list(map(_stored, said)))
        # The writer's bound is one of memory, for rows of a few hundred bytes.
        weight = sum(1 + len(message.text) // _ROW_LENGTH for message in said)
        if self._writer.put(write, weight=weight, settled=self._settled):
            self._handed.append(said)

    async def run(self) -> None:
        """Hand messages to the writer until cancelled, and the last of them then."""
        try:
            while True:
                await self._any_said.wait()
                await trio.sleep(GATHER_SECONDS)
                self.hand_over()
        finally:
            self.hand_over()

    def _settled(self, _: bool) -> None:
        """Forget the oldest batch: the writer is done with it."""
        self._handed.popleft()
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
