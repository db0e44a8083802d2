"""How far people have read, on its way into the store."""

from functools import partial

import trio
from trio.testing import MockClock

from server.rooms.chat_reads import ReadMarks
from server.store import chat
from server.store.records import User
from tests.server.chat_harness import ATTIC, LOBBY, Chats, chats


def stored(it: Chats, user: User, room_id: str = LOBBY) -> int:
    return it.database.now(partial(chat.read_up_to, room_id=room_id, user_id=user.id))


async def test_of_many_marks_the_latest_reaches_the_store(autojump_clock: MockClock) -> None:
    async with chats() as it:
        marks, ada = ReadMarks(it.writer), it.database.person("Ada")
        with it.database.held(write=True):
            for seq in (1, 5, 3, *range(6, 100)):
                marks.note(LOBBY, ada.id, seq)
            assert it.writer.backlog == 1
            assert marks.unwritten(LOBBY, ada.id) == 99
            assert marks.unwritten(ATTIC, ada.id) == 0
        await trio.sleep(1)
        assert stored(it, ada) == 99
        assert marks.unwritten(LOBBY, ada.id) == 0
        assert it.counters.writes_done == 2


async def test_a_room_that_is_forgotten_gets_no_mark_any_more(autojump_clock: MockClock) -> None:
    async with chats() as it:
        it.database.open(ATTIC)
        marks, ada = ReadMarks(it.writer), it.database.person("Ada")
        with it.database.held(write=True):
            for seq in (1, 2):
                marks.note(LOBBY, ada.id, seq)
                marks.note(ATTIC, ada.id, seq)
            marks.forget(LOBBY)
        await trio.sleep(1)
        assert stored(it, ada) <= 1
        assert stored(it, ada, ATTIC) == 2


async def test_what_the_writer_refuses_is_not_waited_for(autojump_clock: MockClock) -> None:
    async with chats(run=False, write=False) as it:
        ada = it.database.person("Ada")
        full = ReadMarks(type(it.writer)(it.database, most=0))
        full.note(LOBBY, ada.id, 1)
        assert full.unwritten(LOBBY, ada.id) == 0


async def test_a_mark_that_is_lost_gives_way_to_the_next(autojump_clock: MockClock) -> None:
    async with chats() as it:
        marks, ada = ReadMarks(it.writer), it.database.person("Ada")
        marks.note(LOBBY, ada.id, 1)
        await trio.sleep(1)
        marks.note(LOBBY, ada.id, 2)
        await trio.sleep(1)
        assert stored(it, ada) == 2
