"""How far people have read chat rooms, on its way into the store: the latest alone."""

from collections.abc import Sequence
from functools import partial
from sys import getsizeof
from typing import Final

from sqlalchemy import Connection

from protocol.ids import RoomId
from server.store import chat as store
from server.store.shares import Kind
from server.store.writer import Writer

_Key = tuple[int, RoomId]

_MARK_BYTES: Final = 300  # of memory, beside the room's id


class ReadMarks:
    """The marks that are not in the store yet: one in the writer for each account and room.

    A mark that comes meanwhile waits for that one, and only the latest does; so who scrolls fast
    does not fill the writer. What the writer has to refuse is lost, and people find messages
    unread which they have seen.
    """

    def __init__(self, writer: Writer) -> None:
        """Hand over to a writer."""
        self._writer = writer
        self._latest: dict[_Key, int] = {}

    def note(self, room_id: RoomId, user_id: int, seq: int) -> None:
        """Take note that somebody has read a room up to a number."""
        key = user_id, room_id
        before = self._latest.get(key)
        if before is None:
            self._latest[key] = seq
            self._put(key, seq)
        elif seq > before:
            self._latest[key] = seq

    def unwritten(self, room_id: RoomId, user_id: int) -> int:
        """Give the mark that may not be in the store yet; 0 if there is none."""
        return self._latest.get((user_id, room_id), 0)

    def forget(self, room_id: RoomId) -> None:
        """Let nothing come into the store of a room any more that is not in the writer."""
        for key in [key for key in self._latest if key[1] == room_id]:
            del self._latest[key]

    def _put(self, key: _Key, seq: int) -> None:
        user_id, room_id = key
        if not self._writer.put_row(
            _mark,
            (user_id, room_id, seq),
            settled=partial(self._settled, key, seq),
            payer=room_id,
            kind=Kind.CHATTER,
            size=_MARK_BYTES + getsizeof(room_id),
        ):
            self._latest.pop(key, None)

    def _settled(self, key: _Key, seq: int, written: bool) -> None:
        latest = self._latest.get(key)
        if latest is None:
            return
        if latest > seq and written:
            self._put(key, latest)
        else:
            del self._latest[key]


def _mark(conn: Connection, marks: Sequence[tuple[int, RoomId, int]]) -> None:
    store.mark_read(conn, marks)
