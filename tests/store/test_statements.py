"""What goes into a table twice, and what must not."""

from functools import partial

import attrs
import pytest
import sqlalchemy as sa
import trio

from server.store import chat
from server.store.database import Database
from server.store.records import ChatMessage
from server.store.schema import settings
from server.store.statements import insert_or_same
from server.store.writer import Writer
from server.support.errors import WriteConflict
from tests.store.people import message


def row(key: str, value: str) -> dict[str, str]:
    return {"key": key, "value": value}


def stored(conn: sa.Connection) -> dict[str, str]:
    rows = conn.execute(sa.select(settings.c.key, settings.c.value))
    return {row.key: row.value for row in rows}


def test_rows_that_are_there_already_are_left_alone(conn: sa.Connection) -> None:
    insert_or_same(conn, settings, [row("a", "1")], same=("value",))
    insert_or_same(conn, settings, [row("a", "1"), row("b", "2")], same=("value",))
    insert_or_same(conn, settings, [], same=("value",))

    assert stored(conn) == {"a": "1", "b": "2"}


def test_a_key_that_holds_something_else_is_a_conflict(conn: sa.Connection) -> None:
    insert_or_same(conn, settings, [row("a", "1")], same=("value",))

    with pytest.raises(WriteConflict, match="settings: something else is stored as key a"):
        insert_or_same(conn, settings, [row("b", "2"), row("a", "other")], same=("value",))


async def test_a_chat_message_whose_number_is_taken_is_never_reported_as_written(
    database: Database,
) -> None:
    writer = Writer(database)
    settled: list[bool] = []

    def say(said: ChatMessage) -> None:
        writer.put(partial(chat.append, messages=[said]), settled=settled.append)

    make = partial(chat.create_room, id="lobby", name="Lobby", creator_id=None, now=1.0)
    await database.run(make, write=True)
    async with trio.open_nursery() as nursery:
        say(message(1, "one"))
        await nursery.start(writer.run)
        await writer.flush()
        say(attrs.evolve(message(1, "other"), at=7.0))
        say(message(1, "one"))
        say(message(2, "two"))
        await writer.flush()
        nursery.cancel_scope.cancel()

    assert settled == [True, False, True, True]
    history = partial(chat.history, room_id="lobby", before_seq=None, limit=9)
    assert [each.text for each in await database.run(history)] == ["one", "two"]
