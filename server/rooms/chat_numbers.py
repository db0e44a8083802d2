"""Sequence numbers of chat rooms: on record before they are told, given back if they are not."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from protocol.messages import GrantNumbers
from server.rooms.chat_entry import Entry
from server.store import chat as store
from server.store.writer import MOST_ROWS, Writer

NUMBERS_BLOCK: Final = MOST_ROWS
"""Numbers put on record at once. As many as messages may wait for the database in all: while it is
gone, numbers last as long as memory does."""


class ChatNumbers:
    """The numbers that rooms may tell.

    A number is told to nobody before the store knows that it may have been: so none is given out
    twice, whatever becomes of this process. What is put into the writer stays in order, so a room's
    numbers are never given back behind those that it was granted later.
    """

    def __init__(self, writer: Writer, block: int) -> None:
        """Grant numbers.

        Args:
            writer: the way of the numbers into the store.
            block: the number of them to grant at once.
        """
        self._writer = writer
        self.block = block

    def ask_in_time(self, entry: Entry) -> None:
        """Ask for more numbers for a room when half a block is left, if nobody has."""
        if entry.asking or entry.granted - entry.last_seq > self.block // 2:
            return
        up_to = entry.last_seq + self.block
        write = partial(store.grant_numbers, room_id=entry.room_id, up_to=up_to)
        entry.asking = self._writer.put(write, settled=partial(_granted, entry, up_to))

    def release(
        self, entries: Sequence[Entry], settled: Callable[[bool], None] | None = None
    ) -> bool:
        """Give back what sleeping rooms have not told.

        Args:
            entries: the rooms.
            settled: the function to tell, once, whether that was written.

        Returns:
            Whether the writer has taken it.
        """
        numbers = [(entry.room_id, entry.last_seq) for entry in entries]
        write = partial(store.release_numbers, numbers=numbers)
        return self._writer.put(write, weight=len(numbers), settled=settled)


def _granted(entry: Entry, up_to: int, written: bool) -> None:
    entry.asking = False
    if written:
        entry.granted = max(entry.granted, up_to)
        entry.tell(GrantNumbers(up_to))
