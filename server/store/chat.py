"""Chat rooms and their messages; each function is a unit of work."""

from collections.abc import Sequence
from typing import Any, Final, TypeVar

import attrs
import sqlalchemy as sa

from protocol.chat_window import DELETED_USER
from server.store.cursors import RoomCursor
from server.store.records import ChatKind, ChatMessage, ChatRoom
from server.store.schema import chat_messages, chat_reads, chat_rooms, users
from server.store.statements import below, insert_new, insert_or_raise, insert_or_same, is_text
from server.support.errors import Taken, TooMany

_ROOM_COLUMNS: Final = (
    chat_rooms.c.id,
    chat_rooms.c.name,
    chat_rooms.c.creator_id,
    chat_rooms.c.created_at,
)
_NEWEST_FIRST: Final = (chat_rooms.c.created_at.desc(), chat_rooms.c.id.desc())
_MESSAGES: Final = chat_messages.c

Key = TypeVar("Key", int, str)


@attrs.frozen
class WokenRoom:
    """What a room needs to go on where it stopped."""

    name: str
    """What people call it."""
    created_at: float
    """When it was made, in Unix seconds."""
    last_seq: int
    """The highest sequence number that anybody may have been told."""
    granted: int
    """The highest that may be told from now on."""
    recent: list[ChatMessage]
    """The latest messages, the oldest first."""


def create_room(
    conn: sa.Connection,
    *,
    id: str,  # noqa: A002
    name: str,
    creator_id: int | None,
    now: float,
    most: int | None = None,
) -> ChatRoom:
    """Add a room; a creator whose account is gone meanwhile is left out.

    Args:
        conn: to write by.
        id: the room's id.
        name: the room's name.
        creator_id: the creator's account.
        now: Unix time in seconds.
        most: rooms that the creator may have; ``None`` for any number.

    Raises:
        Taken: ``id``.
        TooMany: if the creator has so many rooms already.
    """
    creator = None if creator_id is None else _creator(conn, creator_id, most)
    if not insert_new(conn, chat_rooms, id=id, name=name, creator_id=creator, created_at=now):
        raise Taken("id")
    return ChatRoom(id, name, creator, now)


def _creator(conn: sa.Connection, user_id: int, most: int | None) -> int | None:
    """Find out whether an account is there and may have one room more.

    Until the end of the transaction nobody else can find out the same about this account.
    """
    account = sa.select(users.c.id).where(users.c.id == user_id)
    found = conn.execute(account.with_for_update(key_share=True)).scalar()
    if found is not None and most is not None:
        count = sa.select(sa.func.count()).where(chat_rooms.c.creator_id == user_id)
        if conn.execute(count).scalar_one() >= most:
            raise TooMany("rooms", most)
    return found


def room(conn: sa.Connection, id: str) -> ChatRoom | None:  # noqa: A002
    """Find a room."""
    if not is_text(id):
        return None
    row = conn.execute(sa.select(*_ROOM_COLUMNS).where(chat_rooms.c.id == id)).one_or_none()
    return row and ChatRoom(*row)


def rooms(conn: sa.Connection, *, before: RoomCursor | None, limit: int) -> list[ChatRoom]:
    """List rooms, the latest first."""
    rows = conn.execute(
        sa.select(*_ROOM_COLUMNS)
        .where(below(chat_rooms.c.created_at, chat_rooms.c.id, before))
        .order_by(*_NEWEST_FIRST)
        .limit(limit)
    )
    return [ChatRoom(*row) for row in rows]


def delete_room(conn: sa.Connection, id: str) -> bool:  # noqa: A002
    """Remove a room with its messages; tell whether it was there."""
    if not is_text(id):
        return False
    return conn.execute(sa.delete(chat_rooms).where(chat_rooms.c.id == id)).rowcount > 0


def append(conn: sa.Connection, messages: Sequence[ChatMessage]) -> None:
    """Keep messages and changes of messages, ascending within each room.

    Those that are there already, or whose room is gone, change nothing. A message whose author is
    gone is kept without one. The names are not kept: they are those that the accounts have when
    the messages are read.

    Raises:
        WriteConflict: if another message is there under the same number.
    """
    here = set(
        conn.execute(_locked(chat_rooms.c.id, {each.room_id for each in messages})).scalars()
    )
    authors = _still_there(
        conn, {each.author_id for each in messages if each.author_id is not None}
    )
    kept = [each for each in messages if each.room_id in here]
    rows = [
        {
            "room_id": each.room_id,
            "seq": each.seq,
            "author_id": each.author_id if each.author_id in authors else None,
            "text": each.text,
            "at": each.at,
            "kind": each.kind,
            "target": each.target,
            "member": each.member,
            "ref": each.ref,
        }
        for each in kept
    ]
    # By time alone: author and text may have been taken away since.
    insert_or_same(conn, chat_messages, rows, same=("at",))
    for each in kept:
        if each.target is not None:
            _amend(conn, each, each.target)


def _amend(conn: sa.Connection, change: ChatMessage, target: int) -> None:
    """Give a message, and all that has been made of it before, the text that it has now.

    What has been taken back stays so. Nothing is left of what a message was before.
    """
    here = _MESSAGES.room_id == change.room_id
    untouched = sa.select(_MESSAGES.seq).where(
        here, _MESSAGES.target == target, _MESSAGES.seq > change.seq
    )
    message = conn.execute(
        sa.update(chat_messages)
        .where(here, _MESSAGES.seq == target, _MESSAGES.text != "", ~untouched.exists())
        .values(text=change.text, changed_at=change.at)
    )
    if message.rowcount:
        conn.execute(
            sa.update(chat_messages)
            .where(here, _MESSAGES.target == target)
            .values(text=change.text)
        )


def last_seq(conn: sa.Connection, room_id: str) -> int:
    """Fetch the number of a room's latest message, 0 if there is none."""
    latest = sa.select(sa.func.max(_MESSAGES.seq)).where(_MESSAGES.room_id == room_id)
    return conn.execute(latest).scalar() or 0


def wake_room(conn: sa.Connection, room_id: str, *, block: int, limit: int) -> WokenRoom | None:
    """Read a room of which nothing is known, and put its next sequence numbers on record.

    Args:
        conn: the connection of this unit of work.
        room_id: the room's id.
        block: the count of numbers to grant.
        limit: the count of messages to read.

    Returns:
        What the room needs; ``None`` if there is no such room.
    """
    if not is_text(room_id):
        return None
    wanted = chat_rooms.c.id == room_id
    found = conn.execute(
        sa.select(chat_rooms.c.name, chat_rooms.c.created_at, chat_rooms.c.granted_seq)
        .where(wanted)
        .with_for_update(key_share=True)
    ).one_or_none()
    if found is None:
        return None
    name, created_at, told = found
    # Rooms that are older than the record have messages and nothing on it.
    seq = max(told, last_seq(conn, room_id))
    conn.execute(sa.update(chat_rooms).where(wanted).values(granted_seq=seq + block))
    recent = history(conn, room_id, before_seq=None, limit=limit)
    return WokenRoom(name, created_at, seq, seq + block, recent)


def grant_numbers(conn: sa.Connection, *, room_id: str, up_to: int) -> None:
    """Put on record that sequence numbers up to this one may be told to somebody."""
    column = chat_rooms.c.granted_seq
    conn.execute(
        sa.update(chat_rooms)
        .where(chat_rooms.c.id == room_id, column < up_to)
        .values(granted_seq=up_to)
    )


def release_numbers(conn: sa.Connection, *, numbers: Sequence[tuple[str, int]]) -> None:
    """Take off the record what was granted above these numbers: nobody has been told it.

    Args:
        conn: the connection of this unit of work.
        numbers: the ids of rooms, each with the last number that was told.
    """
    update = (
        sa.update(chat_rooms)
        .where(chat_rooms.c.id == sa.bindparam("room"))
        .values(granted_seq=sa.bindparam("last"))
    )
    conn.execute(update, [{"room": room_id, "last": last} for room_id, last in sorted(numbers)])


def history(
    conn: sa.Connection, room_id: str, *, before_seq: int | None, limit: int
) -> list[ChatMessage]:
    """List the latest messages of a room, or the latest before a number; the oldest first."""
    wanted = _MESSAGES.kind == ChatKind.MESSAGE
    if before_seq is not None:
        wanted &= _MESSAGES.seq < before_seq
    newest_first = _rows(room_id).where(wanted).order_by(_MESSAGES.seq.desc()).limit(limit)
    return [_record(row) for row in reversed(conn.execute(newest_first).all())]


def changes_since(conn: sa.Connection, room_id: str, *, seq: int, limit: int) -> list[ChatMessage]:
    """List what has happened in a room above a number: messages and changes, the oldest first.

    A message is shown as it is now, and so is it in each of its changes.
    """
    oldest_first = _rows(room_id).where(_MESSAGES.seq > seq).order_by(_MESSAGES.seq).limit(limit)
    return [_record(row) for row in conn.execute(oldest_first)]


def message(conn: sa.Connection, room_id: str, seq: int) -> ChatMessage | None:
    """Find a message, or a change of one, by its number."""
    row = conn.execute(_rows(room_id).where(_MESSAGES.seq == seq)).one_or_none()
    return None if row is None else _record(row)


def answers(conn: sa.Connection, room_id: str, member: str, *, limit: int) -> list[tuple[int, int]]:
    """List a member's latest requests that have left something in a room, ascending.

    Returns:
        The number of each request, with the sequence number of what it has left.
    """
    rows = conn.execute(
        sa.select(_MESSAGES.ref, _MESSAGES.seq)
        .where(_MESSAGES.room_id == room_id, _MESSAGES.member == member)
        .order_by(_MESSAGES.ref.desc())
        .limit(limit)
    ).all()
    return [(ref, seq) for ref, seq in reversed(rows)]


def mark_read(conn: sa.Connection, marks: Sequence[tuple[int, str, int]]) -> None:
    """Take note of how far people have read.

    Args:
        conn: the connection of this unit of work.
        marks: accounts, each with a room and a number; those that are gone change nothing.
    """
    latest: dict[tuple[int, str], int] = {}
    for user_id, room_id, seq in marks:
        latest[user_id, room_id] = max(seq, latest.get((user_id, room_id), 0))
    rooms = set(conn.execute(_locked(chat_rooms.c.id, {each for _, each in latest})).scalars())
    people = _still_there(conn, {user_id for user_id, _ in latest})
    rows = [
        {"user_id": user_id, "room_id": room_id, "seq": seq}
        for (user_id, room_id), seq in sorted(latest.items())
        if user_id in people and room_id in rooms
    ]
    if rows:
        insert_or_raise(conn, chat_reads, rows, "seq")


def read_up_to(conn: sa.Connection, room_id: str, user_id: int) -> int:
    """Tell how far somebody has read a room; 0 if that is not known."""
    mark = sa.select(chat_reads.c.seq).where(
        chat_reads.c.user_id == user_id, chat_reads.c.room_id == room_id
    )
    return conn.execute(mark).scalar() or 0


def count_unread(
    conn: sa.Connection, room_id: str, user_id: int, *, above: int, up_to: int, most: int
) -> int:
    """Count the messages of others above a number and up to another one; ``most`` at the most."""
    unread = (
        sa.select(_MESSAGES.seq)
        .where(
            _MESSAGES.room_id == room_id,
            _MESSAGES.seq > above,
            _MESSAGES.seq <= up_to,
            _MESSAGES.kind == ChatKind.MESSAGE,
            _MESSAGES.author_id.is_distinct_from(user_id),
        )
        .limit(most)
    )
    return conn.execute(sa.select(sa.func.count()).select_from(unread.subquery())).scalar_one()


def _rows(room_id: str) -> sa.Select[Any]:
    return (
        sa.select(
            _MESSAGES.room_id,
            _MESSAGES.seq,
            _MESSAGES.author_id,
            sa.func.coalesce(users.c.username, DELETED_USER),
            _MESSAGES.text,
            _MESSAGES.at,
            _MESSAGES.changed_at,
            _MESSAGES.kind,
            _MESSAGES.target,
        )
        .join_from(chat_messages, users, users.c.id == _MESSAGES.author_id, isouter=True)
        .where(_MESSAGES.room_id == room_id)
    )


def _record(row: Sequence[Any]) -> ChatMessage:
    room_id, seq, author_id, author, text, at, changed_at, kind, target = row
    return ChatMessage(
        room_id, seq, author_id, author, text, at, changed_at, ChatKind(kind), target
    )


def _still_there(conn: sa.Connection, user_ids: set[int]) -> set[int]:
    return set(conn.execute(_locked(users.c.id, user_ids)).scalars())


def _locked(column: sa.Column[Key], keys: set[Key]) -> sa.Select[Key]:
    """Select which of these rows exist, and keep them from going before we are done.

    Always in the same order, so that two who do this never wait for each other.
    """
    return (
        sa.select(column)
        .where(column.in_(keys))
        .order_by(column)
        .with_for_update(read=True, key_share=True)
    )
