"""What was said in chat rooms: from the store, and from what is on its way there."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import attrs
import trio
from sqlalchemy import Connection

from protocol.answers import REMEMBERED
from protocol.changes import Ack
from protocol.chat_changes import Deleted, Edited, Said
from protocol.chat_records import ChatMessage, CountUnread, FindMessage, FindPage, Question
from protocol.chat_window import DELETED_USER, HISTORY_BYTES, disown, text_size
from protocol.ids import MemberId, RoomId
from protocol.limits import CHAT_PAGE, UNREAD_MOST
from protocol.talking import Finding, Page, Standing, Target, Unavailable, Unread
from server.rooms.chat_log import ChatLog, Kept, merged, stored
from server.rooms.chat_reads import ReadMarks
from server.store import chat as store
from server.store.database import Database
from server.store.records import ChatKind
from server.store.records import ChatMessage as StoredMessage
from server.store.writer import Writer
from server.support.errors import StoreUnavailable

FLUSH_SECONDS: Final = 2.0
"""To wait for the writer where a room must be written first."""


@attrs.frozen
class Missed:
    """What somebody has missed, from the oldest on."""

    changes: tuple[Said | Edited | Deleted, ...]
    seq: int
    """Who has folded these knows the room up to this number."""
    complete: bool
    """Whether nothing was left out behind these."""


class ChatArchive:
    """The way to read what was said, wherever it is at that moment.

    What is on its way into the store is looked up before the store is read: it is in the one or in
    the other, or in both.
    """

    def __init__(self, database: Database, writer: Writer, log: ChatLog, reads: ReadMarks) -> None:
        """Read from ``database``, and what ``log`` and ``reads`` have not written yet."""
        self._database = database
        self._writer = writer
        self._log = log
        self._reads = reads
        self._watches: list[set[int]] = []

    async def history(
        self, room_id: RoomId, *, before_seq: int | None, limit: int
    ) -> list[ChatMessage] | None:
        """Read a page of a room's messages, ascending; ``None`` if there is no such room.

        Raises:
            StoreUnavailable: if the store is gone.
        """
        found = await self._page(room_id, before_seq=before_seq, limit=limit, flush=True)
        return None if found is None else found[1]

    async def room(self, room_id: RoomId, *, limit: int) -> tuple[str, list[ChatMessage]] | None:
        """Read a room's name and its last messages; ``None`` if there is no such room.

        Raises:
            StoreUnavailable: if the store is gone.
        """
        return await self._page(room_id, before_seq=None, limit=limit, flush=True)

    async def missed(
        self, room_id: RoomId, *, seq: int, last_seq: int, limit: int = CHAT_PAGE
    ) -> Missed | None:
        """Read what has happened in a room since a number that somebody was told.

        Args:
            room_id: the room.
            seq: the number, 0 for the beginning.
            last_seq: the number of the room at this moment.
            limit: the number of changes at the most; there are fewer if they are long.

        Returns:
            The changes, messages as they are now; ``None`` if nothing of this number has been
            kept: whoever was told it knows more than there is.

        Raises:
            StoreUnavailable: if the store is gone.
        """
        unwritten = self._log.unwritten(room_id)

        def read(conn: Connection) -> tuple[bool, list[StoredMessage]]:
            known = not seq or store.message(conn, room_id, seq) is not None
            return known, store.changes_since(conn, room_id, seq=seq, limit=limit + 1)

        with self._watch() as deleted:
            known, rows = await self._database.run(read)
        if not known and all(each.seq != seq for each in unwritten):
            return None
        found = {each.seq: each for each in map(stored, unwritten) if each.seq > seq}
        found |= {each.seq: each for each in rows}
        changes: list[Said | Edited | Deleted] = []
        size = 0
        for number in sorted(found)[:limit]:
            size += text_size(found[number].text)
            if size > HISTORY_BYTES and changes:
                break
            changes.append(_change(found[number], deleted))
        complete = len(changes) == len(found)
        up_to = changes[-1].seq if changes else seq
        return Missed(tuple(changes), max(up_to, last_seq) if complete else up_to, complete)

    async def standing(
        self, room_id: RoomId, user_id: int, member: MemberId | None = None
    ) -> Standing:
        """Read what the rules must know of somebody who is about to join.

        To be called while the room is awake, so that nothing gets lost between this and that.

        Args:
            room_id: the room.
            user_id: the account.
            member: the member, if it was one before.

        Raises:
            StoreUnavailable: if the store is gone.
        """
        unwritten = self._log.unwritten(room_id)
        marked = self._reads.unwritten(room_id, user_id)

        def read(conn: Connection) -> tuple[list[tuple[int, int]], int, int, int]:
            answers = (
                [] if member is None else store.answers(conn, room_id, member, limit=REMEMBERED)
            )
            mark = max(marked, store.read_up_to(conn, room_id, user_id))
            last = store.last_seq(conn, room_id)
            unread = store.count_unread(
                conn, room_id, user_id, above=mark, up_to=last, most=UNREAD_MOST
            )
            return answers, mark, last, unread

        answers, mark, last, unread = await self._database.run(read)
        given = dict(answers)
        for each in unwritten:
            if each.asked is not None and each.asked.member == member:
                given[each.asked.ref] = each.seq
        return Standing(
            answers=tuple(Ack(ref, given[ref]) for ref in sorted(given)[-REMEMBERED:]),
            read=mark,
            unread=unread + _count_later(unwritten, user_id, max(mark, last)),
            counted_to=max([last, *(each.seq for each in unwritten)]),
        )

    async def find(self, room_id: RoomId, question: Question) -> Finding:
        """Answer a question of the rules."""
        try:
            match question:
                case FindPage(before, limit):
                    return await self._find_page(room_id, before, limit)
                case FindMessage(seq):
                    found = await self._page(room_id, before_seq=seq + 1, limit=1)
                    messages = found[1] if found is not None else []
                    return Target(next((each for each in messages if each.seq == seq), None))
                case CountUnread(user_id, seq):
                    return await self._count(room_id, user_id, seq)
        except StoreUnavailable:
            return Unavailable()

    def anonymise(self, user_id: int) -> None:
        """Show nothing of a deleted account in what is being read at this moment."""
        for deleted in self._watches:
            deleted.add(user_id)

    async def _find_page(self, room_id: RoomId, before: int | None, limit: int) -> Page:
        found = await self._page(room_id, before_seq=before, limit=limit + 1)
        messages = found[1] if found is not None else []
        first, size = len(messages), 0
        while first > 0 and len(messages) - first < limit:
            size += text_size(messages[first - 1].text)
            if size > HISTORY_BYTES and first < len(messages):
                break
            first -= 1
        return Page(tuple(messages[first:]), more=first > 0)

    async def _count(self, room_id: RoomId, user_id: int, above: int) -> Unread:
        unwritten = self._log.unwritten(room_id)

        def read(conn: Connection) -> tuple[int, int]:
            last = store.last_seq(conn, room_id)
            return last, store.count_unread(
                conn, room_id, user_id, above=above, up_to=last, most=UNREAD_MOST
            )

        last, count = await self._database.run(read)
        later = _count_later(unwritten, user_id, max(above, last))
        return Unread(count + later, max([last, *(each.seq for each in unwritten)]))

    async def _page(
        self, room_id: RoomId, *, before_seq: int | None, limit: int, flush: bool = False
    ) -> tuple[str, list[ChatMessage]] | None:
        if flush and self._log.unwritten(room_id):
            # What was answered outlives a kill, as long as the database keeps up.
            self._log.hand_over()
            with trio.move_on_after(FLUSH_SECONDS):
                await self._writer.flush()
        # Before reading: what is written meanwhile would otherwise be missed.
        unwritten = self._log.unwritten(room_id)

        def read(conn: Connection) -> tuple[str, list[StoredMessage]] | None:
            room = store.room(conn, room_id)
            if room is None:
                return None
            return room.name, store.history(conn, room_id, before_seq=before_seq, limit=limit)

        with self._watch() as deleted:
            found = await self._database.run(read)
        if found is None:
            return None
        name, page = found
        later = [
            each
            for each in unwritten
            if before_seq is None or not isinstance(each, ChatMessage) or each.seq < before_seq
        ]
        messages = merged(page, later, limit)
        for user_id in deleted:
            messages = disown(messages, user_id)
        return name, messages

    @contextmanager
    def _watch(self) -> Iterator[set[int]]:
        """Give the accounts that are deleted before the end of the block."""
        deleted: set[int] = set()
        self._watches.append(deleted)
        try:
            yield deleted
        finally:
            # By identity: equal sets are not the same.
            self._watches = [each for each in self._watches if each is not deleted]


def _count_later(unwritten: list[Kept], user_id: int, above: int) -> int:
    return sum(
        isinstance(each, ChatMessage) and each.seq > above and each.author_id != user_id
        for each in unwritten
    )


def _change(row: StoredMessage, deleted: set[int]) -> Said | Edited | Deleted:
    if row.kind is ChatKind.EDIT and row.target is not None and row.text:
        return Edited(row.seq, row.target, row.text, row.at)
    if row.target is not None:
        return Deleted(row.seq, row.target, row.at)
    if row.author_id in deleted:
        return Said(row.seq, None, DELETED_USER, row.text, row.at)
    return Said(row.seq, row.author_id, row.author, row.text, row.at)
