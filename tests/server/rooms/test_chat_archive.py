"""What was said, read from the store and from what is on its way there; and members who ask."""

from functools import partial

import attrs
import pytest
import trio
from trio.testing import MockClock

from protocol.changes import Ack, Failure
from protocol.chat_changes import Deleted, Edited, History, ReadUpTo, Said
from protocol.chat_records import ChatMessage
from protocol.chat_window import DELETED_USER
from protocol.errors import ErrorCode, Problem
from protocol.farewell import Farewell, Parting
from protocol.limits import CHAT_HISTORY, CHAT_PAGE, UNREAD_MOST
from protocol.messages import Command, Event
from protocol.talking import (
    DeleteMessage,
    EditMessage,
    JoinChat,
    MarkRead,
    NumberedTalk,
    ReadHistory,
    SayOnce,
    Standing,
    TalkRequest,
)
from server.store import chat, users
from server.store.records import User
from server.support.errors import StoreUnavailable
from tests.server.chat_harness import LOBBY, Chats, Guest, chats, settled


class Overhearing:
    """A dialect of one connection, which keeps everything that this is told."""

    def __init__(self) -> None:
        self.heard: list[Event] = []

    def decode(self, text: str) -> Command:
        raise AssertionError("nobody speaks it")

    def encode(self, event: Event) -> bytes | None:
        self.heard.append(event)
        return b"\x81\x00"

    def word(self, problem: Problem) -> str:
        return problem.code

    def part(self, farewell: Farewell) -> Parting:
        return Parting(b"", farewell.code, farewell.reason)


@attrs.define
class Talker:
    """A member by the rules, with a connection as good as any."""

    it: Chats
    guest: Guest
    dialect: Overhearing

    @property
    def answers(self) -> dict[int, int | ErrorCode]:
        """What requests were answered, by their numbers."""
        found: dict[int, int | ErrorCode] = {}
        for event in self.dialect.heard:
            if isinstance(event, Ack):
                found[event.ref] = event.seq
            elif isinstance(event, Failure):
                found[event.ref] = event.problem.code
        return found

    def heard(self, *kinds: type) -> list[Event]:
        return [event for event in self.dialect.heard if isinstance(event, kinds)]

    def ask(self, ref: int, request: TalkRequest) -> None:
        room = self.it.awake()
        room.inbox.put(self.guest.id, NumberedTalk(ref, request))
        room.inbox.settle()


async def join(it: Chats, user: User, number: int = 1) -> Talker:
    """Let somebody join as an admission does, of whom perhaps something is known."""
    dialect = Overhearing()
    guest = Guest(user, number, dialect)
    room = await it.wake()
    standing = await it.rooms.archive.standing(LOBBY, user.id, guest.id)
    assert room.admit(guest)
    entry = JoinChat(user_id=user.id, name=user.username, standing=standing)
    room.inbox.put(guest.id, entry)
    room.inbox.settle()
    return Talker(it, guest, dialect)


# --- requests, by way of a room -------------------------------------------------------------


async def test_an_edit_reaches_the_store_and_all_who_read(autojump_clock: MockClock) -> None:
    async with chats() as it:
        ada = await join(it, it.database.person("Ada"))
        ada.ask(1, SayOnce("helo"))
        ada.ask(2, SayOnce("you"))
        ada.ask(3, EditMessage(1, "hello"))
        ada.ask(4, DeleteMessage(2))
        await settled()
        # Before anything of it is written.
        found = await it.rooms.archive.history(LOBBY, before_seq=None, limit=9)
        assert found is not None
        assert [each.text for each in found] == ["hello", ""]
        await trio.sleep(1)
        assert [each.text for each in it.database.kept()] == ["hello", ""]
        assert ada.answers == {1: 1, 2: 2, 3: 3, 4: 4}
        later = await it.join(it.database.person("Bob"))
        await settled()
        assert later.texts == ["hello", ""]


async def test_while_nothing_can_be_written_messages_are_shown_as_they_are(
    autojump_clock: MockClock,
) -> None:
    async with chats() as it:
        ada = await join(it, it.database.person("Ada"))
        ada.ask(1, SayOnce("helo"))
        await trio.sleep(1)
        with it.database.held(write=True):
            ada.ask(2, EditMessage(1, "hallo"))
            ada.ask(3, EditMessage(1, "hello"))
            await settled()
            found = await it.rooms.archive.history(LOBBY, before_seq=None, limit=9)
            assert found is not None
            assert [(each.seq, each.text) for each in found] == [(1, "hello")]
            assert found[0].changed_at is not None


async def test_old_messages_are_looked_up_changed_and_paged(autojump_clock: MockClock) -> None:
    async with chats() as it:
        user = it.database.person("Ada")
        it.database.tell(user, 3 * CHAT_HISTORY)
        ada = await join(it, user)
        ada.ask(1, EditMessage(5, "changed"))
        await settled()
        ada.ask(2, ReadHistory(before=8, limit=4))
        ada.ask(3, ReadHistory(before=4, limit=4))
        await settled()
        assert ada.answers == {1: 3 * CHAT_HISTORY + 1}
        pages = [each for each in ada.heard(History) if isinstance(each, History)]
        pages.sort(key=lambda page: page.ref)  # the store may answer in any order
        assert [(page.ref, page.more, [each.seq for each in page.messages]) for page in pages] == [
            (2, True, [4, 5, 6, 7]),
            (3, False, [1, 2, 3]),
        ]
        assert [each.text for each in pages[0].messages][1] == "changed"


async def test_a_page_is_bounded_in_bytes(autojump_clock: MockClock) -> None:
    async with chats(clock=trio.current_time) as it:
        user = it.database.person("Ada")
        ada = await join(it, user)
        for ref in range(1, 31):
            ada.ask(ref, SayOnce("x" * 10_000))
            await trio.sleep(1)
        ada.ask(31, ReadHistory(limit=CHAT_PAGE))
        await settled()
        [page] = ada.heard(History)
        assert isinstance(page, History)
        assert page.more
        assert [each.seq for each in page.messages] == list(range(18, 31))


async def test_without_a_store_what_needs_it_is_refused_and_the_room_goes_on(
    autojump_clock: MockClock,
) -> None:
    async with chats() as it:
        user = it.database.person("Ada")
        it.database.tell(user, 2 * CHAT_HISTORY)
        ada = await join(it, user)
        await settled()
        it.database.gone = True
        ada.ask(1, DeleteMessage(5))
        ada.ask(2, ReadHistory(before=8))
        ada.ask(3, SayOnce("still here"))
        await settled()
        assert ada.answers == {
            1: ErrorCode.NOT_NOW,
            2: ErrorCode.NOT_NOW,
            3: 2 * CHAT_HISTORY + 1,
        }


async def test_who_falls_asleep_over_an_inquiry_wakes_to_nothing_odd(
    autojump_clock: MockClock,
) -> None:
    async with chats() as it:
        user = it.database.person("Ada")
        it.database.tell(user, 2 * CHAT_HISTORY)
        ada = await join(it, user)
        await settled()
        with it.database.held(write=False):
            ada.ask(1, ReadHistory(before=8))
            await settled()
            await it.sleep(ada.guest)
        again = await join(it, user, 2)
        again.ask(1, EditMessage(3, "x"))
        await settled()
        assert again.answers == {1: 2 * CHAT_HISTORY + 1}
        assert again.heard(History) == []


async def test_requests_are_known_after_a_sleep_written_or_not(autojump_clock: MockClock) -> None:
    async with chats() as it:
        user = it.database.person("Ada")
        ada = await join(it, user)
        ada.ask(1, SayOnce("hello"))
        await trio.sleep(1)
        ada.ask(2, SayOnce("you"))
        await it.sleep(ada.guest)
        again = await join(it, user)
        again.ask(1, SayOnce("hello"))
        again.ask(2, SayOnce("you"))
        again.ask(3, SayOnce("there"))
        await trio.sleep(1)
        assert again.answers == {1: 1, 2: 2, 3: 3}
        assert [each.text for each in it.database.kept()] == ["hello", "you", "there"]


async def test_a_mark_is_kept_over_a_sleep_and_a_restart(autojump_clock: MockClock) -> None:
    async with chats() as it:
        user, bob = it.database.person("Ada"), it.database.person("Bob")
        it.database.tell(bob, 2 * CHAT_HISTORY)
        ada = await join(it, user)
        ada.ask(1, MarkRead(10))
        await trio.sleep(1)
        assert ada.heard(ReadUpTo) == [ReadUpTo(10, 2 * CHAT_HISTORY - 10)]
        assert ada.answers == {1: 2 * CHAT_HISTORY}
        stored = it.database.now(partial(chat.read_up_to, room_id=LOBBY, user_id=user.id))
        assert stored == 10


# --- what is known of who comes ---------------------------------------------------------------


@pytest.mark.parametrize("written", [True, False])
async def test_the_standing_counts_what_is_written_and_what_is_not(
    written: bool, autojump_clock: MockClock
) -> None:
    async with chats() as it:
        user, other = it.database.person("Ada"), it.database.person("Bob")
        ada, bob = await join(it, user), await join(it, other)
        for ref in range(1, 4):
            bob.ask(ref, SayOnce(f"from Bob {ref}"))
        ada.ask(1, SayOnce("from Ada"))
        await trio.sleep(1)
        with it.database.held(write=True):
            bob.ask(9, SayOnce("more"))
            ada.ask(2, EditMessage(4, "from Ada!"))
            ada.ask(3, MarkRead(2))
            await settled()
            standing = await it.rooms.archive.standing(LOBBY, user.id, ada.guest.id)
        if written:
            await trio.sleep(1)
            standing = await it.rooms.archive.standing(LOBBY, user.id, ada.guest.id)
        answers = (Ack(1, 4), Ack(2, 6))
        assert standing == Standing(answers=answers, read=2, unread=2, counted_to=6)
        nobody = await it.rooms.archive.standing(LOBBY, user.id)
        assert nobody.answers == ()


async def test_unread_messages_are_counted_up_to_a_bound(autojump_clock: MockClock) -> None:
    async with chats() as it:
        user, bob = it.database.person("Ada"), it.database.person("Bob")
        it.database.tell(bob, UNREAD_MOST + 10)
        standing = await it.rooms.archive.standing(LOBBY, user.id)
        assert standing.unread == UNREAD_MOST


# --- what was missed ------------------------------------------------------------------------


@pytest.mark.parametrize("written", [True, False])
async def test_what_was_missed_comes_in_pages_and_says_up_to_where(
    written: bool, autojump_clock: MockClock
) -> None:
    async with chats() as it:
        user = it.database.person("Ada")
        it.database.tell(user, 2 * CHAT_PAGE)
        ada = await join(it, user)
        await settled()
        with it.database.held(write=True):
            ada.ask(1, SayOnce("helo"))
            ada.ask(2, EditMessage(2 * CHAT_PAGE + 1, "hello"))
            ada.ask(3, DeleteMessage(3))
            await settled()
            seen, seq = await read_all(it)
        if written:
            await trio.sleep(1)
            seen, seq = await read_all(it)
        assert [each.seq for each in seen] == list(range(2, 2 * CHAT_PAGE + 4))
        assert seq == 2 * CHAT_PAGE + 3
        last = 2 * CHAT_PAGE + 1
        assert isinstance(seen[-3], Said)
        assert [type(each) for each in seen[-2:]] == [Edited, Deleted]
        assert [each.target for each in seen[-2:] if not isinstance(each, Said)] == [last, 3]


async def read_all(it: Chats) -> tuple[list[Said | Edited | Deleted], int]:
    """Read page by page what comes after the first message."""
    seen: list[Said | Edited | Deleted] = []
    seq = 1
    while True:
        page = await it.rooms.missed(LOBBY, seq=seq)
        assert page is not None
        assert len(page.changes) <= CHAT_PAGE
        seen += page.changes
        seq = page.seq
        if page.complete:
            return seen, seq


async def test_who_knows_what_was_lost_is_told_so(autojump_clock: MockClock) -> None:
    async with chats() as it:
        user = it.database.person("Ada")
        it.database.tell(user, 3)
        room = await it.wake()
        assert await it.rooms.missed(LOBBY, seq=4) is None
        for seq in (0, 3):
            page = await it.rooms.missed(LOBBY, seq=seq)
            assert page is not None
            assert page.seq == 3
        it.rooms.let_sleep(room)


async def test_long_changes_come_in_smaller_pages(autojump_clock: MockClock) -> None:
    async with chats(clock=trio.current_time) as it:
        ada = await join(it, it.database.person("Ada"))
        for ref in range(1, 31):
            ada.ask(ref, SayOnce("x" * 10_000))
            await trio.sleep(1)
        page = await it.rooms.missed(LOBBY, seq=1)
        assert page is not None
        assert [each.seq for each in page.changes] == list(range(2, 15))
        assert (page.seq, page.complete) == (14, False)
        it.database.gone = True
        with pytest.raises(StoreUnavailable):
            await it.rooms.missed(LOBBY, seq=14)


async def test_what_is_being_read_shows_nothing_of_an_account_that_is_deleted_meanwhile(
    autojump_clock: MockClock,
) -> None:
    async with chats() as it:
        user = it.database.person("Ada")
        it.database.tell(user, 3)
        room = await it.wake()
        seen: list[Said | Edited | Deleted] = []
        found: list[ChatMessage] = []

        async def read() -> None:
            page = await it.rooms.missed(LOBBY, seq=0)
            assert page is not None
            seen.extend(page.changes)

        async def look() -> None:
            messages = await it.rooms.archive.history(LOBBY, before_seq=None, limit=9)
            assert messages is not None
            found.extend(messages)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            nursery.start_soon(look)
            await trio.lowlevel.cancel_shielded_checkpoint()
            it.rooms.anonymise(user.id)
            it.database.now(partial(users.delete, id=user.id))
        assert {(each.author_id, each.author) for each in found} == {(None, DELETED_USER)}
        assert {each.author for each in seen if isinstance(each, Said)} == {DELETED_USER}
        it.rooms.let_sleep(room)


# --- what is on record ----------------------------------------------------------------------


async def test_it_is_told_up_to_where_a_room_is_in_the_store(autojump_clock: MockClock) -> None:
    async with chats() as it:
        user = it.database.person("Ada")
        it.database.tell(user, 3)
        ada = await join(it, user)
        await settled()
        durability = it.rooms.durability(LOBBY)
        told: list[int] = []
        durability.on_saved = told.append
        assert durability.saved == 3
        with it.database.held(write=True):
            ada.ask(1, SayOnce("x"))
            ada.ask(2, DeleteMessage(4))
            await settled()
            assert durability.saved == 3
            assert it.rooms.durability(LOBBY).saved == 3
        durability = it.rooms.durability(LOBBY)
        durability.on_saved = told.append
        await durability.flushed()
        assert (durability.saved, told) == (5, [5])


async def test_nothing_counts_as_saved_behind_what_was_lost(autojump_clock: MockClock) -> None:
    async with chats() as it:
        ada = await join(it, it.database.person("Ada"))
        await settled()
        durability = it.rooms.durability(LOBBY)
        durability.note(1, written=True)
        durability.note(2, written=False)
        durability.note(3, written=True)
        assert durability.saved == 1
        await it.sleep(ada.guest)
