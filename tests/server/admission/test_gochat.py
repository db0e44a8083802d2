"""The way into chat rooms: who is let in by what, and who is sent away when a token ends."""

import gc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import attrs
import orjson
import pytest
import trio
from trio.testing import MockClock

from protocol.errors import CloseCode
from protocol.limits import KIB
from server.admission.door import Door
from server.admission.gochat import ChatAdmission
from server.admission.routes import RouteTable
from server.admission.session import Session
from server.auth.accounts import Accounts, Identity
from server.auth.bots import BotTokens
from server.auth.passwords import Passwords
from server.auth.scopes import Scope
from server.auth.tokens import LIFETIME, Revoked, Token, make_token
from server.edge.closing import Cause
from server.edge.heartbeat import Heartbeat
from server.edge.prefixed import PrefixedStream
from server.rooms.chat_directory import ChatRooms
from server.store import access_tokens, chat, users
from server.store.records import User
from server.store.writer import Writer
from server.support.counters import Counters
from server.support.limits import Limits
from tests.server.admission.entrance import make_entrance
from tests.server.chat_harness import ATTIC, LOBBY, MemoryDatabase, settled
from tests.server.harness import (
    CLOSE,
    TEXT,
    WIRES,
    Client,
    Cutter,
    Frame,
    Released,
    WatchedPoller,
    Wire,
    make_peer,
    masked,
    masked_close,
    sweep,
    until,
)

NOW = 1_700_000_000.0
JOIN = "/ws/joinRoom/lobby"


class UselessHasher:
    """Hashes that nobody asks for here."""

    def hash(self, password: str, /) -> str:
        return "-"

    def verify(self, hash: str, password: str, /) -> Any:  # noqa: A002 - as named there
        raise AssertionError

    def check_needs_rehash(self, hash: str, /) -> bool:  # noqa: A002 - as named there
        raise AssertionError


class NoPages:
    """Serves nothing."""

    async def serve_connection(self, stream: PrefixedStream) -> None:
        raise AssertionError(stream)


class Visitor:
    """Somebody before the door, or behind it."""

    def __init__(self, client: Client, released: Released) -> None:
        self.client = client
        self.released = released

    async def enter(self) -> "Visitor":
        """Shake hands; it must be let in."""
        head = await self.client.head()
        assert head.startswith(b"HTTP/1.1 101 "), head
        return self

    async def status(self) -> int:
        """Read the status of a refusal, which must be complete and the last thing to come."""
        return (await self.refusal())[0]

    async def refusal(self) -> tuple[int, dict[bytes, bytes]]:
        first, *lines = (await self.client.head()).split(b"\r\n")
        await self.client.stream.send_eof()
        assert orjson.loads(await self.client.all())["error"]
        headers = {k.lower(): v for k, _, v in (line.partition(b": ") for line in lines)}
        return int(first.split()[1]), headers

    async def say(self, *texts: str) -> None:
        await self.client.send(*map(masked, texts))

    async def hear(self, kind: str) -> dict[str, Any]:
        """Read up to an event of this type."""
        found: dict[str, Any] = orjson.loads((await self.client.until(kind)).payload)
        return found

    async def rest(self) -> tuple[list[dict[str, Any]], Frame]:
        """Read all there is, which ends with a close frame."""
        *frames, last = await self.client.rest()
        assert last.opcode == CLOSE
        return [orjson.loads(frame.payload) for frame in frames if frame.opcode == TEXT], last


@attrs.define
class House:
    """All between the door and the rooms."""

    wire: Wire
    door: Door
    rooms: ChatRooms
    accounts: Accounts
    database: MemoryDatabase
    counters: Counters
    limits: Limits
    handlers: trio.Nursery
    clients: list[Visitor] = attrs.Factory(list)

    def knock(
        self,
        target: str = JOIN,
        *,
        token: Token | str | None = None,
        cookie: Token | str | None = None,
        headers: tuple[str, ...] = (),
        behind: bytes = b"",
    ) -> Visitor:
        """Ask to be let in."""
        peer, client, released = make_peer(self.wire)
        visitor = Visitor(client, released)
        self.clients.append(visitor)
        self.handlers.start_soon(self.door.serve, peer)
        lines = [
            f"GET {target} HTTP/1.1",
            "Host: parley.test",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version: 13",
            *headers,
        ]
        if token is not None:
            lines.append(f"Authorization: Bearer {text_of(token)}")
        if cookie is not None:
            lines.append(f"Cookie: auth_token={text_of(cookie)}")
        self.handlers.start_soon(client.send, "\r\n".join([*lines, "", ""]).encode() + behind)
        return visitor

    def login(self, user: User, *, expires_at: float = NOW + LIFETIME) -> Token:
        """Make a token."""
        token = make_token()
        self.database.now(
            lambda conn: access_tokens.insert(
                conn, digest=token.digest, user_id=user.id, now=NOW, expires_at=expires_at
            )
        )
        return token

    async def logout(self, user: User, token: Token) -> None:
        await self.accounts.logout(Identity(user, token.digest))

    async def enter(self, token: Token, target: str = JOIN) -> Visitor:
        """Enter a room, and wait until it is quiet."""
        visitor = await self.knock(target, token=token).enter()
        await settled()
        return visitor

    def check_empty(self) -> None:
        """Nothing must be left of anybody."""
        assert self.counters.rooms_current == self.counters.members_current == 0
        assert self.counters.websockets_current == 0
        assert [visitor.released.count for visitor in self.clients] == [1] * len(self.clients)


def text_of(token: Token | str) -> str:
    return token.text if isinstance(token, Token) else token


@asynccontextmanager
async def house(wire: Wire = "memory", *, limits: Limits | None = None) -> AsyncIterator[House]:
    """A house with the rooms ``lobby`` and ``attic``; afterwards nothing is left."""
    limits = limits or Limits()
    counters = Counters()
    database = MemoryDatabase()
    database.open(LOBBY)
    database.open(ATTIC)
    accounts = Accounts(database, Passwords(UselessHasher()), clock=lambda: NOW)
    heartbeat = Heartbeat(limits.heartbeat_seconds, limits.heartbeat_timeout_seconds)
    writer = Writer(database, counters=counters)
    made: list[House] = []
    try:
        with WatchedPoller() as poller:
            async with trio.open_nursery() as services:
                services.start_soon(poller.run)  # noqa: ASYNC113
                services.start_soon(heartbeat.run)  # noqa: ASYNC113
                services.start_soon(writer.run)  # noqa: ASYNC113
                async with trio.open_nursery() as nursery, trio.open_nursery() as handlers:
                    rooms = ChatRooms(
                        nursery,
                        database=database,
                        writer=writer,
                        limits=limits,
                        counters=counters,
                    )
                    services.start_soon(rooms.run)  # noqa: ASYNC113
                    entrance = make_entrance(
                        limits=limits, counters=counters, poller=poller, heartbeat=heartbeat
                    )
                    admission = ChatAdmission(
                        accounts=accounts,
                        rooms=rooms,
                        members=entrance.members,
                        allowances=entrance.allowances,
                    )
                    door = Door(
                        limits=limits,
                        routes=RouteTable(admission.routes()),
                        http=NoPages(),
                        places=entrance.places,
                        sources=entrance.sources,
                        counters=counters,
                    )
                    it = House(wire, door, rooms, accounts, database, counters, limits, handlers)
                    made.append(it)
                    yield it
                    handlers.cancel_scope.cancel()
                    nursery.cancel_scope.cancel()
                services.cancel_scope.cancel()
            assert len(poller) == 0
    finally:
        for it in made:
            with trio.CancelScope(shield=True):
                for visitor in it.clients:
                    await trio.aclose_forcefully(visitor.client.stream)
        database.engine.dispose()
    for it in made:
        it.check_empty()


# --- who is let in --------------------------------------------------------------------------


@pytest.mark.parametrize("wire", WIRES)
async def test_people_enter_talk_and_leave(wire: Wire, autojump_clock: MockClock) -> None:
    async with house(wire) as it:
        ada, bob = it.database.person("Ada"), it.database.person("Bob")
        first = await it.enter(it.login(ada))
        assert (await first.hear("join"))["username"] == "Ada"
        second = await it.enter(it.login(bob))
        assert (await first.hear("join"))["username"] == "Bob"
        await second.say("hello")
        for visitor in (first, second):
            found = await visitor.hear("message")
            assert found["context"] == "hello"
            assert found["username"] == "Bob"
            assert found["userid"] == bob.id
            assert found["roomid"] == "lobby"
        await second.client.send(masked_close())
        assert (await second.rest())[1].code == 1000
        assert (await first.hear("leave"))["username"] == "Bob"
        await first.client.stream.aclose()
        await settled()
        it.check_empty()


@pytest.mark.parametrize(
    "show",
    [
        lambda text: f"Authorization: Bearer {text}",
        lambda text: f"authorization: bearer   {text}",
        lambda text: f"Cookie: auth_token={text}",
        lambda text: f'Cookie: auth_token="{text}"',
        lambda text: f"Cookie: a=b; auth_token={text}; c=d",
        lambda text: f'Cookie: prefs={{"dark":true}}; auth_token={text}',
        lambda text: f"Cookie: ;; = ; nonsense; auth_token={text}",
        lambda text: f"Authorization: Basic QWRhOng=\r\nCookie: auth_token={text}",
        lambda text: f"Authorization: Bearer\r\nCookie: auth_token={text}",
    ],
)
async def test_a_token_is_taken_from_the_header_or_the_cookie(
    show: Callable[[str], str], autojump_clock: MockClock
) -> None:
    async with house() as it:
        token = it.login(it.database.person("Ada"))
        visitor = await it.knock(headers=(show(token.text),)).enter()
        assert (await visitor.hear("join"))["username"] == "Ada"


@pytest.mark.parametrize(
    "headers",
    [
        (),
        ("Authorization: Bearer nonsense",),
        (f"Authorization: Bearer {'A' * 43}",),
        ("Authorization: Bearer",),
        ("Authorization: Basic QWRhOng=",),
        ("Cookie: auth_token=",),
        ("Cookie: auth_token",),
        (f"Cookie: xauth_token={'A' * 43}",),
        ("Cookie: auth_token=\xff\xfe",),
    ],
)
async def test_without_a_valid_token_nobody_enters(
    headers: tuple[str, ...], autojump_clock: MockClock
) -> None:
    async with house() as it:
        status, answer = await it.knock(headers=headers).refusal()
        assert status == 401
        assert answer[b"www-authenticate"] == b"Bearer"
        assert it.counters.rooms_opened == 0


async def test_a_bot_is_let_in_by_both_scopes_and_goes_with_its_token(
    autojump_clock: MockClock,
) -> None:
    async with house() as it:
        ada = it.database.person("Ada")
        identity = Identity(ada, it.login(ada).digest)
        bots = BotTokens(it.database, it.accounts.revocations, most=9, clock=lambda: NOW)
        make = partial(bots.make, identity, name="bot", seconds=None)
        _, reader = await make(scopes=[Scope.CHAT_READ])
        made, talker = await make(scopes=[Scope.CHAT_READ, Scope.CHAT_WRITE])
        status, headers = await it.knock(token=reader).refusal()
        assert status == 403
        assert headers[b"www-authenticate"].endswith(b'scope="chat:write"')
        visitor = await it.knock(token=talker).enter()
        assert await bots.revoke(identity, made.id)
        _, close = await visitor.rest()
        assert (close.code, close.reason) == (CloseCode.POLICY, "logged out")


async def test_a_token_in_the_header_counts_more_than_the_cookie(
    autojump_clock: MockClock,
) -> None:
    async with house() as it:
        ada, bob = it.database.person("Ada"), it.database.person("Bob")
        visitor = await it.knock(token=it.login(ada), cookie=it.login(bob)).enter()
        assert (await visitor.hear("join"))["username"] == "Ada"
        assert await it.knock(token="bad", cookie=it.login(bob)).status() == 401


async def test_a_token_that_has_expired_is_none(autojump_clock: MockClock) -> None:
    async with house() as it:
        ada = it.database.person("Ada")
        assert await it.knock(token=it.login(ada, expires_at=NOW)).status() == 401
        await it.knock(token=it.login(ada, expires_at=NOW + 1)).enter()


async def test_a_token_that_was_revoked_is_none(autojump_clock: MockClock) -> None:
    async with house() as it:
        ada = it.database.person("Ada")
        token = it.login(ada)
        await it.logout(ada, token)
        assert await it.knock(token=token).status() == 401


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("Origin: https://evil.example", 403),
        ("Origin: null", 403),
        ("Origin: http://parley.test:81", 403),
        ("Origin: http://parley.test.evil.example", 403),
        ("Sec-Fetch-Site: cross-site", 403),
        ("Origin: http://parley.test", 101),
        ("Origin: https://parley.test", 101),
        ("Sec-Fetch-Site: same-origin", 101),
    ],
)
@pytest.mark.parametrize("by_cookie", [True, False])
async def test_pages_of_other_sites_are_turned_away(
    header: str, status: int, by_cookie: bool, autojump_clock: MockClock
) -> None:
    async with house() as it:
        token = it.login(it.database.person("Ada"))
        show: dict[str, Any] = {"cookie": token} if by_cookie else {"token": token}
        visitor = it.knock(headers=(header,), **show)
        if status == 101:
            await visitor.enter()
        else:
            assert await visitor.status() == status
            assert it.counters.rooms_opened == 0


async def test_who_somebody_is_comes_from_the_account_alone(autojump_clock: MockClock) -> None:
    async with house() as it:
        ada, bob = it.database.person("Ada"), it.database.person("Bob")
        query = f"?userId={bob.id}&username=Bob&name=Bob&action=CREATE_ROOM"
        visitor = await it.knock(JOIN + query, token=it.login(ada)).enter()
        assert (await visitor.hear("join"))["username"] == "Ada"
        await visitor.say("hello")
        found = await visitor.hear("message")
        assert (found["username"], found["userid"]) == ("Ada", ada.id)


# --- which room -----------------------------------------------------------------------------


@pytest.mark.parametrize("odd", ["l%6Fbby", "%6c%6f%62%62%79"])
async def test_an_id_may_be_percent_encoded(odd: str, autojump_clock: MockClock) -> None:
    async with house() as it:
        visitor = await it.enter(it.login(it.database.person("Ada")), f"/ws/joinRoom/{odd}")
        assert (await visitor.hear("join"))["roomid"] == "lobby"


async def test_an_encoded_slash_belongs_to_the_id(autojump_clock: MockClock) -> None:
    async with house() as it:
        it.database.now(
            lambda conn: chat.create_room(conn, id="a/b é", name="Odd", creator_id=None, now=1.0)
        )
        visitor = await it.enter(it.login(it.database.person("Ada")), "/ws/joinRoom/a%2Fb%20%C3%A9")
        assert (await visitor.hear("join"))["roomid"] == "a/b é"


@pytest.mark.parametrize(
    "target",
    [
        "/ws/joinRoom/cellar",
        "/ws/joinRoom/LOBBY",
        "/ws/joinRoom/lobby%20",
        "/ws/joinRoom/%00",
        "/ws/joinRoom/%FF%FE",
        "/ws/joinRoom/%ED%A0%80",
        "/ws/joinRoom/%2e%2e",
        "/ws/joinRoom/",
        "/ws/joinRoom/lobby/",
        "/ws/joinRoom/lobby/more",
        "/ws/joinRoom",
        f"/ws/joinRoom/{'x' * 3000}",
    ],
)
async def test_there_is_no_such_room(target: str, autojump_clock: MockClock) -> None:
    async with house() as it:
        token = it.login(it.database.person("Ada"))
        assert await it.knock(target, token=token).status() == 404


# --- what may be in the way -----------------------------------------------------------------


async def test_without_a_database_nobody_enters_for_now(autojump_clock: MockClock) -> None:
    async with house() as it:
        token = it.login(it.database.person("Ada"))
        inside = await it.enter(token)
        it.database.gone = True
        status, headers = await it.knock(token=token).refusal()
        assert status == 503
        assert int(headers[b"retry-after"]) > 0
        await inside.say("still here")
        assert (await inside.hear("message"))["context"] == "still here"
        it.database.gone = False
        await it.enter(token)


async def test_a_database_that_goes_before_the_room_is_read_is_an_excuse_too(
    autojump_clock: MockClock,
) -> None:
    statuses = set()
    for turns in range(15):
        async with house() as it:
            token = it.login(it.database.person("Ada"))
            visitor = it.knock(token=token)
            for _ in range(turns):
                await trio.lowlevel.checkpoint()
            it.database.gone = True
            await settled()
            head = await visitor.client.head()
            statuses.add((it.database.reads, head.split()[1]))
    # At the token, at the room, and too late.
    assert statuses == {(0, b"503"), (1, b"503"), (1, b"101")}


async def test_too_many_rooms_are_a_reason_to_come_again(autojump_clock: MockClock) -> None:
    async with house(limits=Limits(rooms=1)) as it:
        token = it.login(it.database.person("Ada"))
        await it.enter(token)
        status, headers = await it.knock("/ws/joinRoom/attic", token=token).refusal()
        assert status == 503
        assert b"retry-after" in headers


async def test_while_draining_nobody_enters(autojump_clock: MockClock) -> None:
    async with house() as it:
        token = it.login(it.database.person("Ada"))
        inside = await it.enter(token)
        it.rooms.drain("the server is shutting down")
        status, headers = await it.knock(token=token).refusal()
        assert status == 503
        assert b"retry-after" in headers
        heard, close = await inside.rest()
        assert heard[-1]["type"] == "closed"
        assert close.code == CloseCode.GOING_AWAY


async def test_a_drain_may_come_at_any_moment_of_entering(autojump_clock: MockClock) -> None:
    outcomes = set()
    for turns in range(30):
        async with house() as it:
            visitor = it.knock(token=it.login(it.database.person("Ada")))
            for _ in range(turns):
                await trio.lowlevel.checkpoint()
            it.rooms.drain("the server is shutting down")
            await settled()
            status = (await visitor.client.head()).split()[1]
            outcomes.add(status)
            if status == b"101":
                assert (await visitor.rest())[1].code == CloseCode.GOING_AWAY
            await visitor.client.stream.aclose()
            await settled()
            it.check_empty()
    assert outcomes == {b"503", b"101"}


async def test_a_full_room_says_so(autojump_clock: MockClock) -> None:
    async with house(limits=Limits(room_capacity=1)) as it:
        token = it.login(it.database.person("Ada"))
        await it.enter(token)
        late = await it.enter(token)
        heard, close = await late.rest()
        assert [each["type"] for each in heard] == ["refusal"]
        assert "full" in heard[0]["context"]
        assert close.code == CloseCode.POLICY
        assert [person.name for person in it.rooms.people(LOBBY)] == ["Ada"]


async def test_a_room_full_of_long_messages_can_be_entered(autojump_clock: MockClock) -> None:
    talkative = Limits(chat_bytes_rate=1e9, chat_bytes_burst=10**9)
    async with house("socket", limits=talkative) as it:
        token = it.login(it.database.person("Ada"))
        first = await it.enter(token)
        await first.hear("join")
        # Nothing becomes longer as JSON than control characters.
        text = "\x01" * it.limits.message_bytes
        for seq in range(1, 51):
            await first.say(text)
            assert (await first.hear("message"))["seq"] == seq
            await trio.sleep(1)
        late = await it.enter(token)  # which does not read at once
        seqs = [(await late.hear("message"))["seq"] for _ in range(8)]
        assert seqs == [*range(43, 51)]
        await late.say("short")
        assert (await late.hear("message"))["context"] == "short"
        assert "too_slow" not in it.counters.closed


@pytest.mark.parametrize("deaf", [False, True])
async def test_nobody_who_reads_is_too_slow_for_a_burst_of_long_messages(
    deaf: bool, autojump_clock: MockClock
) -> None:
    """Ten say 40 messages of 6 KiB at once; all read 10 Mbit/s, but one perhaps nothing."""
    async with house("socket") as it:
        people = [it.database.person(f"Person {number}") for number in range(11)]
        visitors = [await it.enter(it.login(person)) for person in people]
        speakers, sleeper = visitors[1:], visitors[0]
        listeners = speakers if deaf else visitors
        heard = dict.fromkeys(range(len(listeners)), 0)
        ten_mbit = 10_000_000 // 8

        async def listen(number: int) -> None:
            data = bytearray()
            while b"the end" not in data[-1000:]:
                more = await listeners[number].client.stream.receive_some(ten_mbit // 100)
                assert more, "closed"
                data += more
                await trio.sleep(0.01)
            heard[number] = data.count(b'"message"')

        async def speak(visitor: Visitor) -> None:
            await visitor.say(*["x" * 6 * KIB] * 40)

        async with trio.open_nursery() as nursery:
            for number in heard:
                nursery.start_soon(listen, number)
            async with trio.open_nursery() as speaking:
                for visitor in speakers:
                    speaking.start_soon(speak, visitor)
            await trio.sleep(5)
            await speakers[0].say("the end")
        assert list(heard.values()) == [401] * len(listeners)
        if deaf:
            await trio.sleep(it.limits.write_seconds)
        assert it.counters.closed == ({Cause.TOO_SLOW: 1} if deaf else {})
        assert sleeper.released.count == deaf


async def test_who_does_not_wait_for_the_answer_is_heard(autojump_clock: MockClock) -> None:
    async with house() as it:
        visitor = it.knock(token=it.login(it.database.person("Ada")), behind=masked("hasty"))
        await visitor.enter()
        assert (await visitor.hear("message"))["context"] == "hasty"


# --- who is sent away -----------------------------------------------------------------------


@pytest.mark.parametrize("wire", WIRES)
async def test_logging_out_ends_the_connections_of_that_token_and_no_others(
    wire: Wire, autojump_clock: MockClock
) -> None:
    async with house(wire) as it:
        ada, bob = it.database.person("Ada"), it.database.person("Bob")
        ending, staying, others = it.login(ada), it.login(ada), it.login(bob)
        gone = [await it.enter(ending), await it.enter(ending, "/ws/joinRoom/attic")]
        here = [await it.enter(staying), await it.enter(others)]
        await it.logout(ada, ending)
        for visitor in gone:
            _, close = await visitor.rest()
            assert close.code == CloseCode.POLICY
            assert close.reason == "logged out"
        await settled()
        assert it.counters.closed == {Cause.LOGGED_OUT: 2}
        assert [person.name for person in it.rooms.people(LOBBY)] == ["Ada", "Bob"]
        assert it.rooms.people(ATTIC) == ()
        await here[0].say("still here")
        for visitor in here:
            assert (await visitor.hear("message"))["context"] == "still here"


async def test_what_is_said_after_logging_out_is_not_heard(autojump_clock: MockClock) -> None:
    async with house() as it:
        ada, bob = it.database.person("Ada"), it.database.person("Bob")
        token = it.login(ada)
        leaving = await it.enter(token)
        listening = await it.enter(it.login(bob))
        await it.logout(ada, token)
        await leaving.say("too late")
        await leaving.client.send(masked_close(1008))
        assert (await listening.hear("leave"))["username"] == "Ada"
        it.rooms.drain("that is all")
        heard, _ = await listening.rest()
        assert [each["type"] for each in heard] == ["closed"]
        assert await it.rooms.archive.history(LOBBY, before_seq=None, limit=5) == []


async def test_the_end_of_an_account_ends_all_its_connections(autojump_clock: MockClock) -> None:
    async with house() as it:
        ada, bob = it.database.person("Ada"), it.database.person("Bob")
        tokens = [it.login(ada), it.login(ada)]
        gone = [await it.enter(token) for token in tokens]
        staying = await it.enter(it.login(bob))
        await it.accounts.delete(Identity(ada, tokens[0].digest))
        for visitor in gone:
            assert (await visitor.rest())[1].code == CloseCode.POLICY
        await staying.say("alone")
        assert (await staying.hear("message"))["context"] == "alone"


async def test_another_password_spares_the_connections_of_the_token_that_was_shown(
    autojump_clock: MockClock,
) -> None:
    async with house() as it:
        ada = it.database.person("Ada")
        shown, other = it.login(ada), it.login(ada)
        staying, gone = await it.enter(shown), await it.enter(other)
        it.accounts.revocations.publish(Revoked(ada.id, spared=shown.digest))
        assert (await gone.rest())[1].code == CloseCode.POLICY
        await staying.say("still here")
        assert (await staying.hear("message"))["context"] == "still here"


async def test_one_with_several_tabs_is_one(autojump_clock: MockClock) -> None:
    async with house() as it:
        ada, bob = it.database.person("Ada"), it.database.person("Bob")
        watching = await it.enter(it.login(bob))
        tokens = [it.login(ada), it.login(ada)]
        tabs = [await it.enter(token) for token in (*tokens, tokens[0])]
        assert [person.user_id for person in it.rooms.people(LOBBY)] == [bob.id, ada.id]
        await it.logout(ada, tokens[0])
        await settled()
        await tabs[1].say("still here")
        await settled()
        await it.logout(ada, tokens[1])
        for tab in tabs:
            assert (await tab.rest())[1].code == CloseCode.POLICY
        await settled()
        it.rooms.drain("that is all")
        heard, _ = await watching.rest()
        assert [(each["type"], each["username"]) for each in heard] == [
            ("join", "Bob"),
            ("join", "Ada"),
            ("message", "Ada"),
            ("leave", "Ada"),
            ("closed", ""),
        ]


@pytest.mark.parametrize("renewed", [True, False])
@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("wire", WIRES)
async def test_a_token_may_end_at_any_moment_of_entering(
    wire: Wire, whole: bool, renewed: bool, autojump_clock: MockClock
) -> None:
    outcomes = set()
    for turns in range(30):
        async with house(wire) as it:
            ada = it.database.person("Ada")
            left = LIFETIME / 3 if renewed else LIFETIME
            token = it.login(ada, expires_at=NOW + left)
            visitor = it.knock(token=token, behind=masked("let me in"))
            for _ in range(turns):
                await trio.lowlevel.checkpoint()
            if whole:
                it.database.now(partial(users.delete, id=ada.id))
                it.accounts.revocations.publish(Revoked(ada.id))
            else:
                it.database.now(partial(access_tokens.revoke, digest=token.digest))
                it.accounts.revocations.publish(Revoked(ada.id, token.digest))
            await settled()
            status = (await visitor.client.head()).split()[1]
            outcomes.add(status)
            if status == b"101":
                assert (await visitor.rest())[1].code == CloseCode.POLICY
            else:
                assert status == b"401"
            await visitor.client.stream.aclose()
            await settled()
            it.check_empty()
    assert outcomes == {b"401", b"101"}


async def test_a_token_may_end_while_its_room_is_read(autojump_clock: MockClock) -> None:
    async with house() as it:
        ada = it.database.person("Ada")
        token = it.login(ada)
        it.rooms.let_sleep(await it.rooms.wake(LOBBY))
        await settled()
        visitor = it.knock(token=token)
        await until(lambda: it.database.reads == 1)
        with it.database.held(write=False):
            await settled()
            await it.logout(ada, token)
        assert await visitor.status() == 401
        await settled()
        assert it.counters.rooms_opened == 2
        it.check_empty()


def alive(*kinds: type) -> int:
    """Count the objects of these types that something still refers to."""
    gc.collect()
    return sum(type(each) in kinds for each in gc.get_objects())


async def test_nothing_is_remembered_of_who_has_left_or_was_turned_away(
    autojump_clock: MockClock,
) -> None:
    before = alive(Identity, Session)
    async with house() as it:
        token = it.login(it.database.person("Ada"))
        for _ in range(3):
            assert await it.knock("/ws/joinRoom/cellar", token=token).status() == 404
            visitor = await it.enter(token)
            await visitor.client.send(masked_close())
            await visitor.rest()
        await settled()
        assert alive(Identity, Session) == before
        await it.enter(token)
        assert alive(Identity, Session) == before + 2


# --- cancelling -----------------------------------------------------------------------------


@pytest.mark.parametrize("wire", WIRES)
def test_entering_may_be_cancelled_at_every_step(wire: Wire) -> None:
    async def scenario(cutter: Cutter) -> None:
        with trio.CancelScope() as scope:
            async with house(wire) as it:
                token = it.login(it.database.person("Ada"))
                cutter.arm(it.handlers.cancel_scope)
                it.knock(token=token)
                await settled()
                cutter.disarm()
                scope.cancel()
        cutter.disarm()

    sweep(scenario, least=5)


def test_everything_may_be_cancelled_at_every_step() -> None:
    async def scenario(cutter: Cutter) -> None:
        with trio.CancelScope() as scope:
            async with house() as it:
                token = it.login(it.database.person("Ada"))
                cutter.arm(scope)
                visitor = await it.enter(token)
                await visitor.say("hello")
                await visitor.hear("message")
                await visitor.client.send(masked_close())
                await visitor.rest()
                await settled()
                cutter.disarm()

    sweep(scenario, least=20)


# --- bounds for each address and account ----------------------------------------------------


async def test_one_account_has_only_so_many_connections_in_all_rooms(
    autojump_clock: MockClock,
) -> None:
    async with house(limits=Limits(account_seats=2)) as it:
        ada, bob = it.database.person("Ada"), it.database.person("Bob")
        token = it.login(ada)
        first = await it.enter(token)
        await it.enter(token, "/ws/joinRoom/attic")
        status, headers = await it.knock(token=it.login(ada)).refusal()
        assert status == 429
        assert headers[b"retry-after"]
        await it.enter(it.login(bob))

        await first.client.stream.aclose()
        await settled()
        await it.enter(token)


async def test_one_address_takes_only_so_many_seats_in_chat_rooms(
    autojump_clock: MockClock,
) -> None:
    async with house(limits=Limits(address_seats=1)) as it:
        await it.enter(it.login(it.database.person("Ada")))
        token = it.login(it.database.person("Bob"))
        assert await it.knock("/ws/joinRoom/attic", token=token).status() == 429
        await settled()
        assert it.counters.rooms_current == 1


async def test_chat_rooms_cannot_be_guessed_fast(autojump_clock: MockClock) -> None:
    async with house(limits=Limits(lookup_limit=2)) as it:
        token = it.login(it.database.person("Eve"))
        asked = [await it.knock(f"/ws/joinRoom/{n}", token=token).status() for n in range(3)]
        assert asked == [404, 404, 429]
        assert await it.knock(token=token).status() == 429
        await trio.sleep(60)
        await it.enter(token)
