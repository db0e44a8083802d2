"""The last messages of a chat room: as many as a newcomer is told."""

from collections import deque
from collections.abc import Iterable
from typing import Final

import attrs

from protocol.chat_records import ChatMessage
from protocol.limits import CHAT_HISTORY, KIB

DELETED_USER: Final = "deleted user"
"""Shown as the author of messages whose author's account is gone."""

HISTORY_BYTES: Final = 128 * KIB
"""Of text that is told on entering. As JSON it is six times as much at the worst, which still
fits an outbox; else nobody could enter any more after a few long messages."""


class Window:
    """The last messages, fewer if they are long; always the last one."""

    __slots__ = ("_bytes", "_messages", "floor")

    def __init__(self, messages: Iterable[ChatMessage]) -> None:
        """Begin with the last messages there were, ascending."""
        self._messages: deque[ChatMessage] = deque()
        self._bytes = 0
        self.floor = 0
        """All messages above this number are here."""
        for message in messages:
            self.add(message)
        if len(self._messages) == CHAT_HISTORY:  # there may be older ones, which were not asked for
            self.floor = max(self.floor, self._messages[0].seq - 1)

    @property
    def messages(self) -> tuple[ChatMessage, ...]:
        """All of them, ascending."""
        return tuple(self._messages)

    def add(self, message: ChatMessage) -> None:
        """Take the next message, in place of the oldest ones."""
        self._messages.append(message)
        self._bytes += text_size(message.text)
        self._trim()

    def replace(self, message: ChatMessage) -> None:
        """Take a message in place of the one with its number, if that is here."""
        messages = self._messages
        for index, before in enumerate(messages):
            if before.seq == message.seq:
                self._bytes += text_size(message.text) - text_size(before.text)
                messages[index] = message
                self._trim()
                return

    def find(self, seq: int) -> ChatMessage | None:
        """Give the message with a number, if it is here."""
        return next((message for message in self._messages if message.seq == seq), None)

    def count_others(self, user_id: int, above: int) -> int:
        """Count the messages above a number that are not by this account."""
        return sum(
            message.seq > above and message.author_id != user_id for message in self._messages
        )

    def disown(self, user_id: int) -> None:
        """Show the messages of a deleted account as by a deleted user."""
        self._messages = deque(disown(self._messages, user_id))

    def _trim(self) -> None:
        messages = self._messages
        while len(messages) > CHAT_HISTORY or (self._bytes > HISTORY_BYTES and len(messages) > 1):
            gone = messages.popleft()
            self._bytes -= text_size(gone.text)
            self.floor = gone.seq


def disown(messages: Iterable[ChatMessage], user_id: int) -> list[ChatMessage]:
    """Show the messages of a deleted account as by a deleted user."""
    return [
        attrs.evolve(message, author_id=None, author=DELETED_USER)
        if message.author_id == user_id
        else message
        for message in messages
    ]


def text_size(text: str) -> int:
    """Count what a text adds to :data:`HISTORY_BYTES`."""
    return len(text.encode())
