"""The way of a ``parley.v1`` connection into a chat room and back, and every way to be refused."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, get_args

import attrs
import orjson
import pytest
import trio
import trio.testing
from trio.testing import MockClock

from protocol.chat_changes import ChatChange, ChatSnapshot
from protocol.chat_fold import fold_chat
from protocol.chat_picture import ChatPicture, ReadMarker
from protocol.dialects.parley_v1 import CHAT_CHANGES, CHAT_NOTICES, read
from protocol.ids import MemberId, RoomId
from protocol.limits import CHAT_PAGE
from protocol.messages import EnterChat, Say
from server.admission.parley_chats import ParleyChatAdmission
from server.admission.routes import Upgrade
from server.auth.accounts import Identity
from server.auth.scopes import Scope
from server.auth.tokens import Revoked, Token
from server.rooms.chat_directory import ChatRooms
from server.rooms.chat_numbers import NUMBERS_BLOCK
from server.store import chat
from server.store.records import User
from server.support.limits import Limits
from tests.server.admission import parley_site
from tests.server.admission.parley_site import Talker, hello_frame, opened
from tests.server.chat_harness import LOBBY, Guest, MemoryDatabase
from tests.server.harness import (
    CLOSE,
    TEXT,
    WIRES,
    Client,
    Cutter,
    Wire,
    masked,
    sweep,
)

SOMEBODY = MemberId("0011223344556677")
EPOCH = "lobby@1000.0"
BOTH = pytest.mark.parametrize("wire", WIRES)

settled = trio.testing.wait_all_tasks_blocked


@attrs.define
class Chatter(Talker):
    """A client that folds what it is told."""

    picture: ChatPicture | None = None

    async def hear(self, kind: str) -> dict[str, Any]:
        """Read up to a message of this type."""
        while True:
            frame = await self.client.frame()
            if frame.opcode != TEXT:
                assert frame.opcode != CLOSE, frame
                continue
            found: dict[str, Any] = orjson.loads(frame.payload)
            self._fold(frame.text)
            if found["type"] == kind:
                return found

    def _fold(self, text: str) -> None:
        message = read(text, {**CHAT_CHANGES, **CHAT_NOTICES})
        if isinstance(message, ChatSnapshot):
            self.picture = message.picture
        elif isinstance(message, get_args(ChatChange)):
            assert self.picture is not None, text
            self.picture = fold_chat(self.picture, message)
        if self.picture is not None:
            self.seq = self.picture.seq

    async def ask(self, kind: str, ref: int, **fields: object) -> int:
        """Ask for something that is done, and give the number of that."""
        await self.say(kind, ref=ref, **fields)
        found = await self.hear("ack")
        assert found["ref"] == ref
        seq: int = found["seq"]
        return seq

    async def saved(self, seq: int) -> None:
        """Wait until everything up to a number is in the store."""
        while (await self.hear("saved"))["seq"] < seq:
            pass

    async def cut(self) -> None:
        """Lose the connection without a word."""
        await self.client.stream.aclose()
        await settled()

    @property
    def texts(self) -> list[str]:
        """The messages that it shows."""
        assert self.picture is not None
        return [each.text for each in self.picture.messages]

    @property
    def people(self) -> dict[str, bool]:
        """Who is there, and whether with a connection."""
        assert self.picture is not None
        return {each.name: each.here for each in self.picture.people}


@attrs.define(kw_only=True)
class Site(parley_site.Site):
    """A site with chat rooms."""

    rooms: ChatRooms = attrs.field(init=False)
    admission: ParleyChatAdmission = attrs.field(init=False)

    def upgrade(
        self, *, room_id: str = LOBBY, leftover: bytes = b"", small: bool = False
    ) -> tuple[Upgrade, Client]:
        """Make a request for a WebSocket, whose answer has yet to be sent."""
        routes, path = self.admission.routes(), f"/v1/chats/{room_id}"
        _, upgrade, client = self.ask(routes, path, leftover=leftover, small=small)
        return upgrade, client

    async def hello(
        self, *, room_id: str = LOBBY, small: bool = False, behind: bytes = b"", **hello: Any
    ) -> Chatter:
        """Say hello, and wait for the answer to the request."""
        upgrade, client = self.upgrade(room_id=room_id, small=small)
        self.handlers.start_soon(self.serve, self.admission.enter_room, upgrade)
        talker = Chatter(client)
        await client.head()
        await client.send(hello_frame(**hello) + behind)
        return talker

    async def enter(self, token: Token, **more: Any) -> Chatter:
        """Enter as somebody new."""
        talker = await self.hello(token=token.text, **more)
        talker.welcome = await talker.hear("welcome")
        await talker.hear("snapshot")
        return talker

    async def back(self, token: Token, before: Chatter, **change: Any) -> Chatter:
        """Enter as somebody who has been here before, and hear who is there."""
        talker = await self.hello(token=token.text, resume=before.resume | change)
        talker.picture = before.picture
        talker.welcome = await talker.hear("welcome")
        kind = "present" if talker.welcome["resumed"] == "replayed" else "snapshot"
        await talker.hear(kind)
        return talker

    def person(self, name: str) -> Token:
        return self.login(self.database.person(name))

    async def gochat(self, user: User) -> tuple[Guest, Callable[[str], None]]:
        """Bring somebody into the lobby who speaks as GoChat, and give its voice."""
        room = await self.rooms.wake(LOBBY)
        guest = Guest(user)
        assert room.admit(guest)
        room.inbox.put(guest.id, EnterChat(user.id, user.username))
        room.inbox.settle()

        def say(text: str) -> None:
            room.inbox.put(guest.id, Say(text))
            room.inbox.settle()

        return guest, say

    def drain(self) -> None:
        self.rooms.drain("the server is going away")
        self.lobby.drain()


@pytest.fixture
def database() -> Iterator[MemoryDatabase]:
    """What outlives the servers of a test."""
    one = MemoryDatabase()
    one.open(LOBBY)
    yield one
    one.engine.dispose()


@asynccontextmanager
async def site(
    wire: Wire = "memory",
    *,
    limits: Limits | None = None,
    database: MemoryDatabase | None = None,
    numbers_block: int = NUMBERS_BLOCK,
) -> AsyncIterator[Site]:
    """A server with the lobby; afterwards nothing is left, as if the process had been killed."""
    own = database is None
    if database is None:
        database = MemoryDatabase()
        database.open(LOBBY)
    try:
        async with opened(Site, wire, limits, database) as it:
            it.rooms = ChatRooms(
                it.nursery,
                database=database,
                writer=it.writer,
                limits=it.limits,
                counters=it.counters,
                numbers_block=numbers_block,
            )
            it.services.start_soon(it.rooms.run)
            it.make_lobby()
            it.admission = ParleyChatAdmission(
                it.lobby,
                rooms=it.rooms,
                allowances=it.entrance.allowances,
                keys=it.keys,
                limits=it.limits,
            )
            yield it
    finally:
        if own:
            database.engine.dispose()


def kept(database: MemoryDatabase) -> list[str]:
    return [each.text for each in database.kept()]


# --- talking --------------------------------------------------------------------------------


@BOTH
async def test_people_talk_change_what_they_said_and_read(
    wire: Wire, autojump_clock: MockClock
) -> None:
    async with site(wire) as it:
        ada = await it.enter(it.person("Ada"))
        assert ada.welcome["resumed"] == "no"
        assert ada.welcome["lasting"] is True
        bob = await it.enter(it.person("Bob"))
        await ada.hear("here")
        assert ada.people == bob.people == {"Ada": True, "Bob": True}
        assert await ada.ask("say", 1, text="Tea?") == 1
        assert await ada.ask("say", 2, text="Coffe?") == 2
        assert await ada.ask("edit", 3, seq=2, text="Coffee?") == 3
        assert await ada.ask("delete", 4, seq=1) == 4
        await bob.hear("deleted")
        assert ada.texts == bob.texts == ["", "Coffee?"]
        assert bob.picture is not None
        assert bob.picture.mine.unread == 2
        await bob.say("typing", ref=1)
        assert (await ada.hear("typing"))["user_id"] == bob.picture.mine.user_id
        await bob.hear("ack")
        await bob.say("read", ref=2, seq=4)
        assert await bob.hear("read") == {"type": "read", "seq": 4, "unread": 0}
        await bob.say("history", ref=3, before=2, limit=10)
        page = await bob.hear("history")
        assert ([each["seq"] for each in page["messages"]], page["more"]) == ([1], False)
        await bob.say("edit", ref=4, seq=2, text="mine now")
        error = await bob.hear("error")
        assert (error["code"], error["field"], error["ref"]) == ("not_yours", "seq", 4)
        await ada.saved(4)
        await bob.say("leave", ref=5)
        heard, code = await bob.rest()
        assert (heard[-1]["reason"], code) == ("left", 4501)
        await ada.hear("gone")
        assert ada.people == {"Ada": True}
        assert kept(it.database) == ["", "Coffee?"]


@BOTH
async def test_requests_may_come_right_behind_the_hello(
    wire: Wire, autojump_clock: MockClock
) -> None:
    async with site(wire) as it:
        behind = b"".join(
            masked(orjson.dumps({"type": "say", "ref": ref, "text": f"text {ref}"}))
            for ref in (1, 2)
        )
        ada = await it.hello(token=it.person("Ada").text, behind=behind)
        await ada.hear("welcome")
        assert [(await ada.hear("ack"))["ref"] for _ in range(2)] == [1, 2]
        assert ada.texts == ["text 1", "text 2"]


async def test_a_member_of_gochat_hears_what_it_always_heard(autojump_clock: MockClock) -> None:
    async with site() as it:
        guest, say = await it.gochat(it.database.person("Old"))
        token = it.person("Ada")
        ada = await it.enter(token)
        assert ada.people == {"Old": True, "Ada": True}
        await ada.ask("say", 1, text="Tea?")
        await ada.ask("edit", 2, seq=1, text="Coffee?")
        await ada.ask("typing", 3)
        await ada.ask("delete", 4, seq=1)
        say("No")
        await ada.hear("said")
        await ada.cut()
        say("Where is she?")
        await settled()
        again = await it.back(token, ada)
        assert again.texts == ["", "No", "Where is she?"]
        await again.say("leave", ref=5)
        await again.rest()
        await settled()
        assert [(each["type"], each["context"], each.get("seq")) for each in guest.heard] == [
            ("join", "Old has joined the room", None),
            ("join", "Ada has joined the room", None),
            ("message", "Tea?", 1),
            ("message", "No", 4),
            ("message", "Where is she?", 5),
            ("leave", "Ada has left the room", None),
        ]  # fmt: skip
        guest.hang_up()


# --- refused --------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({}, "token"),
        ({"token": 5}, "token"),
        ({"token": "x", "name": "Ada"}, "name"),
        ({"token": "x", "resume": {}}, "resume.token"),
        ({"token": "x", "resume": {"token": "x", "seq": "1"}}, "resume.seq"),
        ({"token": "x", "resume": {"token": "x", "seq": 10**30}}, "resume.seq"),
    ],
)
async def test_a_hello_that_is_none_is_refused_by_field(
    wire: Wire, said: dict[str, object], field: str, autojump_clock: MockClock
) -> None:
    async with site(wire) as it:
        data = masked(json.dumps({"type": "hello", **said}))
        upgrade, client = it.upgrade(leftover=data)
        it.handlers.start_soon(it.serve, it.admission.enter_room, upgrade)
        await client.head()
        error, goodbye, code = await Chatter(client).refusal()
        assert (error["code"], error["field"]) == ("malformed", field)
        assert (goodbye["reason"], code) == ("refused", 4507)


@BOTH
async def test_each_refusal_says_whether_to_come_back(
    wire: Wire, autojump_clock: MockClock
) -> None:
    async with site(wire, limits=Limits(room_capacity=2)) as it:
        token = it.person("Ada")
        assert await it.refused(token="nobody's") == ("wrong_key", "token", "wrong_key", 4506)
        assert await it.refused(token=token.text, room_id="attic") == (
            "no_such_room", "roomId", "no_such_room", 4504,
        )  # fmt: skip
        it.database.gone = True
        assert await it.refused(token=token.text) == ("not_now", None, "busy", 4004)
        it.database.gone = False
        for _ in range(2):
            await it.enter(token)
        assert await it.refused(token=token.text) == ("room_full", None, "room_full", 4505)
        await settled()
        assert it.seats() == 2


async def test_guesses_at_rooms_are_counted(autojump_clock: MockClock) -> None:
    async with site(limits=Limits(lookup_limit=3)) as it:
        token = it.person("Ada").text
        for number in range(3):
            refused = await it.refused(token=token, room_id=f"guess{number}")
            assert refused[0] == "no_such_room"
        assert await it.refused(token=token) == ("too_many", None, "busy", 4004)


async def test_seats_are_counted_for_each_account_and_returned(autojump_clock: MockClock) -> None:
    limits = Limits(account_seats=2, seats_per_account=1)
    async with site(limits=limits) as it:
        it.database.open("attic")
        token, other = it.person("Ada"), it.person("Bob")
        ada = await it.enter(token)
        assert await it.refused(token=token.text) == ("too_many_seats", None, "room_full", 4505)
        await settled()
        assert it.seats() == 1
        attic = await it.enter(token, room_id="attic")
        assert await it.refused(token=token.text) == ("too_many", None, "busy", 4004)
        await it.enter(other)
        await ada.cut()
        assert it.seats() == 3  # it is away
        again = await it.back(token, ada)
        assert it.seats() == 3  # coming back takes none
        await again.cut()
        await attic.say("leave", ref=1)
        await attic.rest()
        await trio.sleep(61)
        assert it.seats() == 1


@BOTH
async def test_a_token_of_another_room_member_or_account_opens_nothing(
    wire: Wire, autojump_clock: MockClock
) -> None:
    async with site(wire) as it:
        user, other = it.database.person("Ada"), it.database.person("Eve")
        token, eve = it.login(user), it.login(other)
        ada = await it.enter(token)
        member, mine = ada.welcome["member"], ada.welcome["token"]
        forged = [
            "", ".", member, f"{member}.", f"{member}.{'A' * 24}", mine + "A", "ä.ä",
            "x" * 10_000, it.keys.chat_token(RoomId("attic"), user.id, member),
            it.keys.chat_token(LOBBY, other.id, member), it.keys.token(user.id, member),
        ]  # fmt: skip
        wrong = ("wrong_key", "resume.token", "wrong_key", 4506)
        for text in forged:
            assert await it.refused(token=token.text, resume={"token": text}) == wrong
        assert await it.refused(token=eve.text, resume=ada.resume) == wrong
        assert await ada.ask("say", 1, text="still here") == 1


# --- back in --------------------------------------------------------------------------------


@BOTH
async def test_who_comes_back_gets_what_it_has_missed(
    wire: Wire, autojump_clock: MockClock
) -> None:
    async with site(wire) as it:
        token = it.person("Ada")
        ada, bob = await it.enter(token), await it.enter(it.person("Bob"))
        await bob.ask("say", 1, text="one")
        await bob.ask("say", 2, text="two")
        await ada.hear("said")
        await ada.cut()
        await bob.hear("away")
        assert bob.people == {"Ada": False, "Bob": True}
        await bob.ask("edit", 3, seq=1, text="one, really")
        await bob.ask("say", 4, text="three")
        await bob.ask("delete", 5, seq=2)
        again = await it.back(token, ada)
        assert again.welcome["resumed"] == "replayed"
        assert again.welcome["member"] == ada.welcome["member"]
        assert again.welcome["token"] == ada.welcome["token"]
        await bob.hear("here")
        assert again.texts == bob.texts == ["one, really", "", "three"]
        assert again.people == bob.people
        assert again.picture is not None
        assert again.picture.mine.unread == 3
        fresh = await it.enter(it.person("Kim"))
        assert fresh.picture is not None
        assert again.picture.messages == fresh.picture.messages


@pytest.mark.parametrize("gap", ["in the ring", "written", "unwritten"])
async def test_what_is_missed_is_told_wherever_it_is(gap: str, autojump_clock: MockClock) -> None:
    async with site() as it:
        token = it.person("Ada")
        ada, bob = await it.enter(token), await it.enter(it.person("Bob"))
        await bob.ask("say", 1, text="one")
        await bob.saved(1)
        await ada.hear("said")
        await ada.cut()
        if gap == "in the ring":
            # It is said while the store is read, and must be told all the same, and once.
            with it.database.held(write=False):
                again = await it.hello(token=token.text, resume=ada.resume)
                await settled()
                await bob.ask("say", 2, text="two")
            again.picture = ada.picture
            again.welcome = await again.hear("welcome")
            await again.hear("present")
        elif gap == "unwritten":
            with it.database.held(write=True):
                await bob.ask("say", 2, text="two")
                again = await it.back(token, ada)
        else:
            await bob.ask("say", 2, text="two")
            await bob.saved(2)
            again = await it.back(token, ada)
        assert again.welcome["resumed"] == "replayed"
        assert again.texts == ["one", "two"]


@BOTH
@pytest.mark.parametrize("asleep", [False, True])
async def test_a_slow_reader_gets_all_that_it_has_missed_page_by_page(
    wire: Wire, asleep: bool, autojump_clock: MockClock
) -> None:
    count = 2 * CHAT_PAGE + 17
    async with site(wire) as it:
        user = it.database.person("Ada")
        token = it.login(user)
        it.database.tell(user, count)
        witness = None if asleep else await it.enter(it.person("Bob"))
        resume = {
            "token": it.keys.chat_token(LOBBY, user.id, SOMEBODY), "seq": 0, "epoch": EPOCH,
        }  # fmt: skip
        ada = await it.hello(token=token.text, resume=resume, small=True)
        if witness is not None:  # nobody waits for it
            assert await witness.ask("say", 1, text="fast") == count + 1
        seqs: list[int] = []
        while (message := orjson.loads((await ada.client.frame()).payload))["type"] != "present":
            if message["type"] == "said":
                seqs.append(message["seq"])
            await trio.sleep(0.001)
        assert seqs == list(range(1, count + 1 + (witness is not None)))


async def test_who_does_not_take_what_it_has_missed_is_cut_off(autojump_clock: MockClock) -> None:
    async with site(limits=Limits(write_seconds=5)) as it:
        user = it.database.person("Ada")
        it.database.tell(user, 3)
        resume = {
            "token": it.keys.chat_token(LOBBY, user.id, SOMEBODY),
            "seq": 1,
            "epoch": EPOCH,
        }
        await it.hello(token=it.login(user).text, resume=resume, small=True)
        await trio.sleep(4)
        assert it.peers[-1][2].count == 0
        await trio.sleep(2)
        assert it.peers[-1][2].count == 1
        await settled()
        assert it.counters.rooms_current == 0


async def test_an_account_catches_up_no_more_often_at_once_than_it_may_have_seats(
    autojump_clock: MockClock,
) -> None:
    async with site(limits=Limits(account_seats=2)) as it:
        user = it.database.person("Ada")
        token = it.login(user)
        it.database.tell(user, 3)
        resume = {
            "token": it.keys.chat_token(LOBBY, user.id, SOMEBODY),
            "seq": 1,
            "epoch": EPOCH,
        }
        for _ in range(2):
            await it.hello(token=token.text, resume=resume, small=True)
        await settled()
        refused = await it.refused(token=token.text, resume=resume)
        assert refused == ("too_many", None, "busy", 4004)
        await trio.sleep(11)
        await it.enter(token)


@pytest.mark.parametrize(
    ("change", "resumed"),
    [
        ({}, "replayed"),
        ({"seq": 0}, "replayed"),
        ({"seq": None}, "snapshot"),
        ({"seq": 3}, "snapshot"),
        ({"seq": -1}, "snapshot"),
        ({"seq": 2**63}, "snapshot"),
        ({"epoch": ""}, "snapshot"),
        ({"epoch": "attic.0"}, "snapshot"),
        ({"epoch": "lobby@1000.x"}, "snapshot"),
    ],
)
@pytest.mark.parametrize("asleep", [False, True])
async def test_who_knows_another_history_gets_the_whole(
    change: dict[str, object], resumed: str, asleep: bool, autojump_clock: MockClock
) -> None:
    async with site() as it:
        token = it.person("Ada")
        ada = await it.enter(token)
        await ada.ask("say", 1, text="one")
        await ada.ask("say", 2, text="two")
        await ada.cut()
        if asleep:
            await trio.sleep(61)
            assert it.counters.rooms_current == 0
        resume = {
            key: value for key, value in {**ada.resume, **change}.items() if value is not None
        }
        again = await it.hello(token=token.text, resume=resume)
        assert (await again.hear("welcome"))["resumed"] == resumed


@BOTH
async def test_a_request_has_no_second_effect_anywhere(
    wire: Wire, database: MemoryDatabase, autojump_clock: MockClock
) -> None:
    async with site(wire, database=database) as it:
        token = it.person("Ada")
        ada = await it.enter(token)
        assert await ada.ask("say", 1, text="one") == 1
        assert await ada.ask("say", 2, text="two") == 2
        assert await ada.ask("edit", 3, seq=1, text="one!") == 3
        assert await ada.ask("edit", 3, seq=1, text="one!") == 3
        await ada.cut()
        ada = await it.back(token, ada)
        assert await ada.ask("say", 2, text="two") == 2
        await ada.cut()
        await trio.sleep(61)  # the room falls asleep
        assert it.counters.rooms_current == 0
        ada = await it.back(token, ada)
        assert ada.welcome["resumed"] == "replayed"
        assert await ada.ask("say", 2, text="two") == 2
        assert await ada.ask("edit", 3, seq=1, text="one!") == 3
        await ada.say("say", ref=4, text="three")
        assert (await ada.hear("ack"))["seq"] == 4
        await ada.saved(4)
    async with site(wire, database=database) as it:
        ada = await it.back(token, ada)
        assert await ada.ask("say", 2, text="two") == 2
        assert await ada.ask("edit", 3, seq=1, text="one!") == 3
        assert await ada.ask("say", 4, text="three") == 4
        seq = await ada.ask("say", 5, text="four")
        assert seq > 4
        await ada.saved(seq)
        assert ada.texts == ["one!", "two", "three", "four"]
    assert kept(database) == ["one!", "two", "three", "four"]


@BOTH
async def test_what_a_crash_has_lost_is_said_when_it_is_asked_again(
    wire: Wire, database: MemoryDatabase, autojump_clock: MockClock
) -> None:
    async with site(wire, database=database) as it:
        token = it.person("Ada")
        ada = await it.enter(token)
        await ada.saved(await ada.ask("say", 1, text="one"))
        with database.held(write=True):
            lost = await ada.ask("say", 2, text="two")
            await settled()
            it.handlers.cancel_scope.cancel()
            database.gone = True
    database.gone = False
    assert kept(database) == ["one"]
    async with site(wire, database=database) as it:
        again = await it.back(token, ada)
        assert again.welcome["resumed"] == "snapshot"
        assert again.welcome["epoch"] != ada.welcome["epoch"]
        assert again.texts == ["one"]
        seq = await again.ask("say", 2, text="two")
        assert seq > lost  # nothing is ever told by a number that was something else
        await again.saved(seq)
        assert await again.ask("say", 2, text="two") == seq
    assert kept(database) == ["one", "two"]


@BOTH
async def test_a_second_connection_of_a_member_takes_the_place_of_the_first(
    wire: Wire, autojump_clock: MockClock
) -> None:
    async with site(wire) as it:
        token = it.person("Ada")
        ada = await it.enter(token)
        again = await it.back(token, ada)
        heard, code = await ada.rest()
        assert (heard[-1]["reason"], code) == ("replaced", 4503)
        assert await again.ask("say", 1, text="here") == 1
        assert it.seats() == it.counters.members_current == 1


async def test_many_who_come_back_at_once_wake_their_room_once(autojump_clock: MockClock) -> None:
    async with site() as it:
        users = [it.database.person(f"P{number}") for number in range(10)]
        it.database.tell(users[0], 5)
        talkers = []
        with it.database.held(write=False):
            for number, user in enumerate(users):
                resume = {
                    "token": it.keys.chat_token(LOBBY, user.id, MemberId(f"{number:016x}")),
                    "seq": 1 + number % 5, "epoch": EPOCH,
                }  # fmt: skip
                talkers.append(await it.hello(token=it.login(user).text, resume=resume))
            await settled()
        for talker in talkers:
            assert (await talker.hear("welcome"))["resumed"] == "replayed"
            talker.picture = ChatPicture(LOBBY, "Lobby", 0, (), (), ReadMarker(0, 0, 0))
            await talker.hear("present")
        assert it.counters.rooms_opened == 1


# --- things that happen meanwhile -----------------------------------------------------------


@BOTH
async def test_who_signs_out_goes_and_only_with_the_token_shown_last(
    wire: Wire, autojump_clock: MockClock
) -> None:
    async with site(wire) as it:
        user = it.database.person("Ada")
        first, second, third = it.login(user), it.login(user), it.login(user)
        ada, other = await it.enter(first), await it.enter(third)
        ada = await it.back(second, ada)
        await it.accounts.logout(Identity(user, first.digest))
        assert await ada.ask("say", 1, text="still here") == 1
        await it.accounts.logout(Identity(user, second.digest))
        heard, code = await ada.rest()
        assert (heard[-1]["reason"], code) == ("signed_out", 4509)
        assert await other.ask("say", 1, text="still here, too") == 2
        refused = await it.refused(token=second.text, resume=ada.resume)
        assert refused == ("wrong_key", "token", "wrong_key", 4506)


async def test_a_bot_is_let_in_by_both_scopes_and_goes_with_its_token(
    autojump_clock: MockClock,
) -> None:
    async with site() as it:
        user = it.database.person("Ada")
        for lacking, has in (
            (Scope.CHAT_WRITE, Scope.CHAT_READ),
            (Scope.CHAT_READ, Scope.CHAT_WRITE),
        ):
            talker = await it.hello(token=(await it.bot(user, has)).text)
            error, _, code = await talker.refusal()
            assert (error["code"], error["field"], code) == ("missing_scope", "token", 4506)
            assert lacking in error["text"]
        bot = await it.enter(await it.bot(user, Scope.CHAT_READ, Scope.CHAT_WRITE))
        await bot.ask("say", 1, text="beep")
        await it.revoke_bots(user)
        heard, code = await bot.rest()
        assert (heard[-1]["reason"], code) == ("signed_out", 4509)


async def test_a_token_that_ends_meanwhile_opens_nothing(autojump_clock: MockClock) -> None:
    async with site() as it:
        user = it.database.person("Ada")
        token = it.login(user)
        talker = await it.hello(token=token.text)
        with it.database.held(write=False):
            await settled()
            it.accounts.revocations.publish(Revoked(user.id, token.digest))
        error, _, code = await talker.refusal()
        assert (error["field"], code) == ("token", 4506)
        await settled()
        assert it.seats() == it.counters.rooms_current == 0


async def test_a_token_that_ends_ends_what_is_told_of_missed_messages(
    autojump_clock: MockClock,
) -> None:
    async with site() as it:
        user = it.database.person("Ada")
        token = it.login(user)
        it.database.tell(user, 2 * CHAT_PAGE)
        resume = {
            "token": it.keys.chat_token(LOBBY, user.id, SOMEBODY),
            "seq": 0,
            "epoch": EPOCH,
        }
        ada = await it.hello(token=token.text, resume=resume, small=True)
        await settled()
        await it.accounts.logout(Identity(user, token.digest))
        heard, code = await ada.rest()
        kinds = Counter(each["type"] for each in heard)
        assert kinds == {"welcome": 1, "said": CHAT_PAGE, "error": 1, "goodbye": 1}
        assert code == 4506


@pytest.mark.parametrize("pages", [0, 1])
async def test_the_store_may_go_before_all_is_told(pages: int, autojump_clock: MockClock) -> None:
    async with site() as it:
        user = it.database.person("Ada")
        token = it.login(user)
        it.database.tell(user, 2 * CHAT_PAGE)
        resume = {
            "token": it.keys.chat_token(LOBBY, user.id, SOMEBODY),
            "seq": 0,
            "epoch": EPOCH,
        }
        if pages:
            ada = await it.hello(token=token.text, resume=resume, small=True)
            await settled()
            it.database.gone = True
        else:
            with it.database.held(write=False):
                ada = await it.hello(token=token.text, resume=resume)
                await settled()
                it.database.gone = True
        heard, code = await ada.rest()
        assert [each["type"] for each in heard if each["type"] != "said"][-2:] == [
            "error", "goodbye",
        ]  # fmt: skip
        assert (heard[-2]["code"], heard[-1]["reason"], code) == ("not_now", "busy", 4004)
        it.database.gone = False
        ada.welcome = {"token": resume["token"], "epoch": EPOCH}
        await settled()
        assert it.counters.rooms_current == 0
        again = await it.hello(token=token.text, resume=resume)
        assert (await again.hear("welcome"))["resumed"] == "replayed"


async def test_a_room_may_be_deleted_while_it_is_read(autojump_clock: MockClock) -> None:
    async with site() as it:
        user = it.database.person("Ada")
        token = it.login(user)
        it.database.tell(user, 2 * CHAT_PAGE)
        resume = {
            "token": it.keys.chat_token(LOBBY, user.id, SOMEBODY),
            "seq": 0,
            "epoch": EPOCH,
        }
        ada = await it.hello(token=token.text, resume=resume, small=True)
        await settled()

        async def remove() -> None:  # noqa: ASYNC124
            it.database.now(lambda conn: chat.delete_room(conn, LOBBY))

        await it.rooms.delete(LOBBY, remove)
        heard, code = await ada.rest()
        assert (heard[-1]["reason"], code) == ("no_such_room", 4504)


async def test_a_room_may_be_made_anew_by_the_same_id(autojump_clock: MockClock) -> None:
    async with site() as it:
        token = it.person("Ada")
        ada = await it.enter(token)
        await ada.saved(await ada.ask("say", 1, text="before"))

        async def remove() -> None:  # noqa: ASYNC124
            it.database.now(lambda conn: chat.delete_room(conn, LOBBY))

        await it.rooms.delete(LOBBY, remove)
        await ada.rest()
        it.database.now(
            lambda conn: chat.create_room(conn, id=LOBBY, name="New", creator_id=None, now=2.0)
        )
        bob = await it.enter(it.person("Bob"))
        await bob.saved(await bob.ask("say", 1, text="after"))
        again = await it.back(token, ada)
        assert again.welcome["resumed"] == "snapshot"
        assert again.texts == ["after"]


@BOTH
async def test_a_drain_asks_all_to_come_back(
    wire: Wire, database: MemoryDatabase, autojump_clock: MockClock
) -> None:
    async with site(wire, database=database) as it:
        token = it.person("Ada")
        ada = await it.enter(token)
        await ada.ask("say", 1, text="one")
        waiting = Chatter(await _knock(it))
        with database.held(write=False):
            late = await it.hello(token=it.person("Bob").text)
            await settled()
            it.drain()
        heard, code = await ada.rest()
        assert (heard[-1]["reason"], heard[-1]["room_survives"], code) == ("going_away", True, 4000)
        assert heard[-1]["back_in"] is not None
        for talker in (waiting, late):
            error, goodbye, code = await talker.refusal()
            assert (error["code"], goodbye["reason"], code) == ("shutting_down", "going_away", 4000)
        await trio.sleep(1)
        it.rooms.finish()
        await settled()
    async with site(wire, database=database) as it:
        again = await it.back(token, ada)
        assert again.welcome["resumed"] == "replayed"
        assert again.texts == ["one"]


async def _knock(it: Site) -> Client:
    upgrade, client = it.upgrade()
    it.handlers.start_soon(it.serve, it.admission.enter_room, upgrade)
    await client.head()
    return client


async def test_who_has_lost_its_place_takes_no_seat(autojump_clock: MockClock) -> None:
    async with site() as it:
        with it.database.held(write=False):
            await it.hello(token=it.person("Ada").text)
            await settled()
            it.peers[-1][0].displace()
        await settled()
        assert it.seats() == it.counters.rooms_current == 0
        assert it.peers[-1][2].count == 1


@BOTH
@pytest.mark.parametrize("way", ["join", "resume", "wake", "refused"])
def test_it_may_be_cancelled_at_any_step(wire: Wire, way: str) -> None:
    async def scenario(cutter: Cutter) -> None:
        async with site(wire, limits=Limits(close_seconds=1)) as it:
            user = it.database.person("Ada")
            token = it.login(user)
            it.database.tell(user, CHAT_PAGE + 5)
            resume: dict[str, object] = {
                "token": it.keys.chat_token(LOBBY, user.id, SOMEBODY), "seq": 1, "epoch": EPOCH,
            }  # fmt: skip
            if way == "resume":
                await it.hello(token=token.text, resume=resume)
                await trio.sleep(1)
            hellos: dict[str, dict[str, object]] = {
                "join": {"token": token.text},
                "resume": {"token": token.text, "resume": resume},
                "wake": {"token": token.text, "resume": resume},
                "refused": {"token": token.text, "resume": {"token": "wrong"}},
            }
            scope = trio.CancelScope()
            upgrade, _ = it.upgrade(leftover=hello_frame(**hellos[way]))

            async def hello() -> None:
                with scope:
                    cutter.arm(scope)
                    await it.admission.enter_room(upgrade)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(hello)
                await trio.sleep(1.5)
            cutter.disarm()
            before = way == "resume"
            if it.counters.members_current <= before:
                assert it.counters.rooms_current == before
                assert it.seats() == before
            if not it.counters.members_current:
                assert it.peers[-1][2].count == 1

    assert sweep(scenario, least=2)
