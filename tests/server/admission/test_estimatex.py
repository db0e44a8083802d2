"""Rooms with real connections, in memory and over local sockets: from the request to the end."""

import contextlib
import gc
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote

import attrs
import pytest
import trio
import trio.testing
from structlog.testing import capture_logs
from trio.testing import MockClock

from protocol.effects import Effect
from protocol.errors import CloseCode, ErrorCode, Refused
from protocol.estimation import Estimation
from protocol.ids import MemberId, RoomId, is_room_id
from protocol.limits import KIB
from protocol.messages import Command, TicketResult
from server.admission.estimatex import Admission
from server.admission.routes import RouteTable, Upgrade
from server.edge.accepted import AcceptedConnection
from server.edge.closing import Cause
from server.edge.heartbeat import Heartbeat
from server.rooms.hub import Hub
from server.support.counters import Counters
from server.support.limits import Limits
from tests.server.admission.entrance import make_entrance
from tests.server.harness import (
    BINARY,
    CLOSE,
    RESPONSE,
    TEXT,
    WIRES,
    Client,
    Cutter,
    Released,
    WatchedPoller,
    Wire,
    make_peer,
    masked,
    masked_close,
    said,
    sweep,
    tasks,
    until,
)
from tests.server.memory_results import MemoryResults

BOTH = pytest.mark.parametrize("wire", WIRES)

settled = trio.testing.wait_all_tasks_blocked


@attrs.define
class Site:
    """Everything between the door and the rooms."""

    wire: Wire
    hub: Hub
    admission: Admission
    counters: Counters
    results: MemoryResults
    rooms: trio.Nursery
    handlers: trio.Nursery
    peers: list[tuple[AcceptedConnection, Client, Released]] = attrs.field(factory=list)

    async def dial(self, query: str, *, path: str = "/ws", leftover: bytes = b"") -> Client:
        """Connect and wait for the answer to the request."""
        client = self.knock(query, path=path, leftover=leftover)
        assert (await client.head()).startswith(b"HTTP/1.1 101 ")
        return client

    def knock(self, query: str, *, path: str = "/ws", leftover: bytes = b"") -> Client:
        peer, client, released = make_peer(self.wire)
        self.peers.append((peer, client, released))
        upgrade = Upgrade(peer, path, query, RESPONSE, leftover)
        found = RouteTable(self.admission.routes(echo=True)).find(path)
        assert found is not None
        self.handlers.start_soon(found[0].handler, upgrade)
        return client

    async def create(self, name: str = "Ada", capacity: int = 10) -> tuple[Client, RoomId]:
        """Create a room and announce oneself in it."""
        client = await self.dial(f"action=CREATE_ROOM&name={name}&max_room_capacity={capacity}")
        room_id = RoomId((await client.until("CREATE_ROOM")).data["room_id"])
        await client.send(said("JOIN_ROOM", room_id=room_id))
        for _ in range(2):
            await client.until("ROOM_JOIN_UPDATES")
        return client, room_id

    async def join(self, room_id: RoomId, name: str) -> Client:
        client = await self.dial(f"action=join_room&name={quote(name)}&room_id={room_id}")
        await client.send(said("JOIN_ROOM", room_id=room_id))
        while (
            f"{name} has joined" not in ((await client.until("ROOM_JOIN_UPDATES")).data["message"])
        ):
            pass
        return client

    async def all_gone(self, every: float = 0.01) -> None:
        """Wait for the last connection and room to go, and look for what they left."""
        await until(
            lambda: not (self.counters.rooms_current or any(not r.count for _, _, r in self.peers)),
            every=every,
        )
        self.check()

    def check(self) -> None:
        counters = self.counters
        assert counters.rooms_current == counters.members_current == 0
        assert counters.websockets_current == 0
        assert counters.rooms_opened == counters.rooms_closed
        for peer, _, released in self.peers:
            assert released.count == 1
            if peer.sock is not None:
                assert peer.sock.fileno() == -1


@asynccontextmanager
async def site(wire: Wire = "socket", *, limits: Limits | None = None) -> AsyncIterator[Site]:
    limits = limits or Limits()
    counters = Counters()
    results = MemoryResults()
    heartbeat = Heartbeat(limits.heartbeat_seconds, limits.heartbeat_timeout_seconds)
    before = tasks()
    with WatchedPoller() as poller:
        async with trio.open_nursery() as services:
            services.start_soon(poller.run)  # noqa: ASYNC113
            services.start_soon(heartbeat.run)  # noqa: ASYNC113
            it = None
            try:
                async with trio.open_nursery() as rooms, trio.open_nursery() as handlers:
                    hub = Hub(rooms, limits=limits, results=results, counters=counters)
                    entrance = make_entrance(
                        limits=limits,
                        counters=counters,
                        poller=poller,
                        heartbeat=heartbeat,
                        hub=hub,
                    )
                    admission = Admission(
                        hub=hub,
                        members=entrance.members,
                        allowances=entrance.allowances,
                        limits=limits,
                        counters=counters,
                    )
                    it = Site(wire, hub, admission, counters, results, rooms, handlers)
                    yield it
                    handlers.cancel_scope.cancel()
                    rooms.cancel_scope.cancel()
            finally:
                with trio.CancelScope(shield=True):
                    for _, client, _ in it.peers if it is not None else []:
                        await trio.aclose_forcefully(client.stream)
                services.cancel_scope.cancel()
        assert len(poller) == 0
    it.check()
    assert tasks() == before


# --- a room's life --------------------------------------------------------------------------


@BOTH
async def test_a_round_is_played_and_ends_with_the_admin(
    wire: Wire, autojump_clock: MockClock
) -> None:
    async with site(wire) as it:
        ada, room_id = await it.create(capacity=2)
        bob = await it.join(room_id, "Bob")
        await ada.until("BEGIN_VOTING_PROMPT")
        await ada.send(said("BEGIN_VOTING", ticket_id="T-1"))
        for client, vote in ((ada, "3"), (bob, "5")):
            await client.until("ASK_FOR_VOTE")
            await client.send(said("MEMBER_VOTED", ticket_id="T-1", vote=vote))
        await ada.until("REVEAL_VOTES_PROMPT")
        await ada.send(said("REVEAL_VOTES", ticket_id="T-1"))
        revealed = await bob.until("VOTES_REVEALED")
        votes = revealed.data["client_vote_choice_map"].values()
        assert {(vote["MemberName"], vote["Value"]) for vote in votes} == {
            ("Ada", "3"),
            ("Bob", "5"),
        }
        assert it.counters.rooms_current == 1
        assert it.counters.members_current == 2

        await ada.send(masked_close(1000))
        assert (await ada.rest())[-1].code == 1000
        *_, last, close = await bob.rest()
        assert "closed" in last.data["message"]
        assert close.code == 1001
        await it.all_gone()
        [kept] = it.results.records
        assert kept.session.room_id == room_id
        assert kept.closed_at is not None
        assert [ticket.ticket_id for ticket in kept.rounds] == ["T-1"]
        assert it.hub.find(room_id) is None


@BOTH
async def test_a_dropped_admin_ends_the_room_for_all_under_one_deadline(
    wire: Wire, autojump_clock: MockClock
) -> None:
    async with site(wire, limits=Limits(close_seconds=2)) as it:
        ada, room_id = await it.create(capacity=50)
        others = [await it.join(room_id, f"M{n}") for n in range(30)]
        start = trio.current_time()
        await ada.stream.send_eof()
        await settled()
        assert it.hub.find(room_id) is None
        for client in others[:10]:
            await client.send(masked_close(1001))
        await it.all_gone()
        assert trio.current_time() - start == pytest.approx(2, abs=0.02)
        for client in others:
            assert (await client.rest())[-1].code == 1001


@BOTH
async def test_those_who_do_not_answer_the_end_of_a_room_are_counted(
    wire: Wire, autojump_clock: MockClock
) -> None:
    async with site(wire) as it:
        ada, room_id = await it.create(capacity=50)
        others = [await it.join(room_id, f"M{n}") for n in range(9)]
        await ada.stream.send_eof()
        await settled()
        for client in others[:4]:
            await client.send(masked_close(1001))
        await it.all_gone()
        assert it.counters.closed_unanswered == 5


async def test_a_hard_stop_still_sends_close_frames(autojump_clock: MockClock) -> None:
    async with site() as it:
        ada, room_id = await it.create()
        bob = await it.join(room_id, "Bob")
        echo = await it.dial("", path="/ws/echo")
        await settled()
        it.rooms.cancel_scope.cancel()
        it.handlers.cancel_scope.cancel()
        for client in (ada, bob, echo):
            *_, close = await client.rest()
            assert close.code == 1001
        await it.all_gone()


async def test_a_hard_stop_with_members_that_do_not_read_leaves_nothing(
    autojump_clock: MockClock,
) -> None:
    async with site() as it:
        _, room_id = await it.create()
        await it.join(room_id, "Bob")
        for peer, _, _ in it.peers:
            assert peer.sock is not None
            while True:
                try:
                    peer.sock.send(b"\x89\x00" * 50_000)
                except BlockingIOError:
                    break
        await settled()
        it.rooms.cancel_scope.cancel()
        it.handlers.cancel_scope.cancel()
        await it.all_gone()


@BOTH
async def test_a_defect_in_one_room_closes_that_room_only(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    cursed: RoomId | None = None
    apply = Estimation.apply

    def crash(
        self: Estimation, command: Command, member: MemberId, now: float
    ) -> list[Effect[TicketResult]]:
        if self.room_id == cursed:
            raise ZeroDivisionError
        return apply(self, command, member, now)

    monkeypatch.setattr(Estimation, "apply", crash)
    with capture_logs() as logs:
        async with site(wire) as it:
            ada, cursed = await it.create("Ada")
            eve, _ = await it.create("Eve")
            await ada.send(said("BEGIN_VOTING", ticket_id="T-1"))
            assert (await ada.rest())[-1].code == CloseCode.INTERNAL
            await eve.send(said("BEGIN_VOTING", ticket_id="T-1"))
            await eve.until("ASK_FOR_VOTE")
            assert it.counters.rooms_current == 1
            assert it.counters.rooms_crashed == 1
    assert [entry["component"] for entry in logs if entry["log_level"] == "error"] == ["room"]


@BOTH
async def test_draining_ends_every_room_and_opens_no_other(
    wire: Wire, autojump_clock: MockClock
) -> None:
    async with site(wire) as it:
        (ada, first), (eve, second) = await it.create("Ada"), await it.create("Eve")
        echo = await it.dial("", path="/ws/echo")
        it.hub.drain("the server is shutting down")
        it.admission.drain("the server is shutting down")
        assert it.hub.find(first) is it.hub.find(second) is None
        for client in (ada, eve, echo):
            *_, close = await client.rest()
            assert (close.code, close.reason) == (1001, "the server is shutting down")
            await client.stream.aclose()
        late = await it.dial("action=CREATE_ROOM&name=Late&max_room_capacity=5")
        text, close = await late.rest()
        assert "shutting down" in text.text
        assert close.code == 1000
        with pytest.raises(Refused, match="shutting down"):
            await it.hub.open(5)


@BOTH
async def test_a_member_that_has_just_been_admitted_is_parted_from_as_well(
    wire: Wire, autojump_clock: MockClock
) -> None:
    async with site(wire) as it:
        _, room_id = await it.create()
        late = it.knock(f"action=JOIN_ROOM&name=Late&room_id={room_id}")
        await until(lambda: it.counters.members_current >= 2)
        it.hub.drain("over")
        assert (await late.head()).startswith(b"HTTP/1.1 101 ")
        *_, close = await late.rest()
        assert (close.code, close.reason) == (1001, "over")


@BOTH
async def test_too_many_refused_messages_end_with_1008(
    wire: Wire, autojump_clock: MockClock
) -> None:
    async with site(wire) as it:
        _, room_id = await it.create()
        bob = await it.join(room_id, "Bob")
        await bob.send(masked("nonsense") * 5, masked(b"x", BINARY) * 5, masked("more") * 3)
        frames = await bob.rest()
        assert [frame.opcode for frame in frames] == [TEXT] * 10 + [CLOSE]
        assert frames[-1].code == CloseCode.POLICY
        assert frames[-2].text == "! Binary messages are not understood, send text."
        assert it.counters.messages_refused == 10
        assert it.counters.rooms_current == 1


@BOTH
async def test_the_log_says_of_everybody_why_and_when_they_were_gone(
    wire: Wire, autojump_clock: MockClock
) -> None:
    """An admin that is struck out, who ends the room for another."""
    with capture_logs() as logs:
        async with site(wire) as it:
            ada, room_id = await it.create()
            bob = await it.join(room_id, "Bob")
            await trio.sleep(7)
            await ada.send(masked("nonsense") * 10)
            await ada.rest()
            await bob.rest()
            await it.all_gone()

    found = [
        (entry["room"], entry["address"], entry["cause"], entry["code"], entry["seconds"])
        for entry in logs
        if entry["component"] == "connection"
    ]
    assert found == [  # nobody answers a close frame, for 2 s
        (room_id, "192.0.2.1", "struck_out", 1008, pytest.approx(9)),
        (room_id, "192.0.2.1", "room_ended", 1001, pytest.approx(11)),
    ]
    members = {entry["member"] for entry in logs if entry["component"] == "connection"}
    assert len(members) == 2
    assert it.counters.closed == {Cause.STRUCK_OUT: 1, Cause.ROOM_ENDED: 1}


@BOTH
async def test_messages_with_the_request_are_heard_after_the_seat_is_taken(
    wire: Wire, autojump_clock: MockClock
) -> None:
    async with site(wire) as it:
        _, room_id = await it.create()
        bob = await it.dial(
            f"action=JOIN_ROOM&name=Bob&room_id={room_id}",
            leftover=said("JOIN_ROOM", room_id=room_id),
        )
        assert room_id in (await bob.until("ROOM_JOIN_UPDATES")).data["message"]


# --- refusals -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("", "Action"),
        ("action=DANCE&name=Ada", "Action"),
        ("action=CREATE_ROOM&max_room_capacity=5", "Name"),
        ("action=CREATE_ROOM&name=%20&max_room_capacity=5", "Name"),
        ("action=CREATE_ROOM&name=Ada", "Max_room_capacity"),
        ("action=CREATE_ROOM&name=Ada&max_room_capacity=1", "Max_room_capacity"),
        ("action=CREATE_ROOM&name=Ada&max_room_capacity=501", "Max_room_capacity"),
        ("action=JOIN_ROOM&name=Ada", "Room_id"),
        ("action=JOIN_ROOM&name=Ada&room_id=zzzzzz", "no room zzzzzz"),
        ("action=JOIN_ROOM&name=Ada&room_id=%3Cscript%3E", "no room"),
        ("action=%ff", "UTF-8"),
    ],
)
@BOTH
async def test_a_refusal_is_told_in_words_and_closed_with_1000(
    wire: Wire, query: str, word: str, autojump_clock: MockClock
) -> None:
    async with site(wire) as it:
        client = await it.dial(query)
        text = await client.frame()
        close = await client.frame()
        await client.send(masked_close(1000))
        assert await client.all() == b""
        await it.all_gone()

        assert text.text.startswith("! ")
        assert word.lower() in text.text.lower()
        assert close.code == CloseCode.NORMAL
        assert it.counters.connections_refused == 1
        assert it.counters.rooms_opened == 0


@BOTH
async def test_there_are_only_so_many_rooms(wire: Wire, autojump_clock: MockClock) -> None:
    async with site(wire, limits=Limits(rooms=1)) as it:
        ada, _ = await it.create("Ada")
        eve = await it.dial("action=CREATE_ROOM&name=Eve&max_room_capacity=5")
        assert "no room left" in (await eve.rest())[0].text
        await ada.send(masked_close())
        await ada.all()
        await until(lambda: not it.counters.rooms_current)
        await it.create("Eve")
        with pytest.raises(Refused) as refused:
            await it.hub.open(5)
        assert refused.value.problem.code is ErrorCode.TOO_MANY_ROOMS


@BOTH
async def test_a_room_that_has_just_ended_is_not_joined(
    wire: Wire, autojump_clock: MockClock
) -> None:
    async with site(wire) as it:
        _, room_id = await it.create()
        room = it.hub.find(room_id)
        assert room is not None
        room.end("over")
        late = await it.dial(f"action=JOIN_ROOM&name=Late&room_id={room_id}")
        text, close = await late.rest()
        assert room_id in text.text
        assert close.code == 1000


async def test_a_room_that_ends_while_it_opens_refuses_its_creator(
    autojump_clock: MockClock,
) -> None:
    async with site() as it:
        client = it.knock("action=CREATE_ROOM&name=Ada&max_room_capacity=5")
        await until(lambda: bool(it.counters.rooms_current))
        it.hub.drain("over")
        assert (await client.head()).startswith(b"HTTP/1.1 101 ")
        assert (await client.rest())[-1].code in {1000, 1001}
        await it.all_gone()


@BOTH
async def test_a_full_room_refuses_with_1000(wire: Wire, autojump_clock: MockClock) -> None:
    async with site(wire) as it:
        _, room_id = await it.create(capacity=2)
        await it.join(room_id, "Bob")
        eve = await it.dial(f"action=JOIN_ROOM&name=Eve&room_id={room_id}")
        text, close = await eve.rest()
        assert "full" in text.text
        assert close.code == 1000


async def test_room_ids_are_random_and_never_those_of_live_rooms(autojump_clock: MockClock) -> None:
    async with site() as it:
        rooms = [await it.hub.open(5) for _ in range(50)]
        assert len({room.id for room in rooms}) == 50
        assert all(is_room_id(room.id) and it.hub.find(room.id) is room for room in rooms)


async def test_an_id_that_is_taken_is_drawn_again(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    drawn = iter("aaaaaa" + "aaaaaa" + "bbbbbb")
    async with site() as it:
        monkeypatch.setattr("secrets.choice", lambda _: next(drawn))
        assert (await it.hub.open(5)).id == "aaaaaa"
        assert (await it.hub.open(5)).id == "bbbbbb"


# --- the echo -------------------------------------------------------------------------------


@BOTH
async def test_the_echo_sends_back_whatever_comes(wire: Wire, autojump_clock: MockClock) -> None:
    async with site(wire) as it:
        client = await it.dial("", path="/ws/echo", leftover=masked("0"))
        big = b"x" * (100 * KIB)
        await client.send(masked("1"), masked(b"2", BINARY), masked("3", fin=False))
        await client.send(masked("4", 0), masked("ü"))
        sent = trio.Event()

        async def send() -> None:
            await client.send(masked(big, BINARY))
            sent.set()

        it.handlers.start_soon(send)
        payloads = [(await client.frame()).payload for _ in range(6)]
        assert payloads == [b"0", b"1", b"2", b"34", "ü".encode(), big]
        await client.send(masked_close(4000))
        assert (await client.frame()).code == 4000
        await it.all_gone()


async def test_the_echo_is_only_there_if_asked_for(autojump_clock: MockClock) -> None:
    async with site() as it:
        assert [each.path for each in it.admission.routes(echo=False)] == ["/ws"]
        assert [each.path for each in it.admission.routes(echo=True)] == ["/ws", "/ws/echo"]


# --- bursts ---------------------------------------------------------------------------------


@pytest.mark.parametrize("deaf", [False, True])
async def test_nobody_who_reads_is_too_slow_for_a_burst_of_votes(
    deaf: bool, autojump_clock: MockClock
) -> None:
    """Everybody votes as often as is allowed at once; one perhaps does not read."""
    names = ["\U0001f600" * 48 + f"{number:02}" for number in range(30)]
    ticket = "T" * 100
    async with site("socket") as it:
        ada, room_id = await it.create("Ada", capacity=31)
        members = [await it.join(room_id, name) for name in names]
        sleeper = members[0] if deaf else None
        listeners = [client for client in (ada, *members) if client is not sleeper]
        await ada.send(said("BEGIN_VOTING", ticket_id=ticket))
        for client in (ada, *members):
            await client.until("ASK_FOR_VOTE")
        vote = said("MEMBER_VOTED", ticket_id=ticket, vote="coffee")
        for client in members:
            await client.send(*[vote] * 39)
        start = trio.current_time()
        heard = dict.fromkeys(range(len(listeners)), 0)

        async def listen(number: int) -> None:
            while heard[number] < 30 * 39:
                frame = await listeners[number].frame()
                assert frame.opcode == TEXT, frame
                heard[number] += frame.payload.startswith(b"* ")

        async with trio.open_nursery() as nursery:
            for number in heard:
                nursery.start_soon(listen, number)
        assert trio.current_time() - start < 1
        assert it.counters.closed == {}
        if sleeper is not None:
            await trio.sleep(Limits().write_seconds)
            assert it.counters.closed == {Cause.TOO_SLOW: 1}


# --- what is left ---------------------------------------------------------------------------


@BOTH
async def test_nothing_keeps_a_connection_that_has_ended_alive(
    wire: Wire, autojump_clock: MockClock
) -> None:
    references: list[weakref.ref[object]] = []
    async with site(wire) as it:

        async def live() -> None:
            ada, room_id = await it.create()
            bob = await it.join(room_id, "Bob")
            await bob.send(masked(b"?", 9), masked_close())
            await bob.rest()
            room = it.hub.find(room_id)
            assert room is not None
            references.append(weakref.ref(room))
            references.extend(weakref.ref(peer.stream) for peer, _, _ in it.peers)
            await ada.send(masked_close())
            await ada.rest()
            await it.all_gone()
            for _, client, _ in it.peers:
                await trio.aclose_forcefully(client.stream)
            it.peers.clear()

        await live()
        for _ in range(5):
            await settled()
        gc.collect()
        assert [reference() for reference in references] == [None] * 3


@pytest.mark.parametrize("what", ["rooms", "handlers", "both"])
@BOTH
def test_cancelled_at_any_step_nothing_is_left(wire: Wire, what: str) -> None:
    async def scenario(cutter: Cutter) -> None:
        with trio.CancelScope() as scope:
            async with site(wire, limits=Limits(close_seconds=1)) as it:
                if what == "both":
                    cutter.arm(scope)
                else:
                    nursery = it.rooms if what == "rooms" else it.handlers
                    cutter.arm(nursery.cancel_scope)
                with trio.CancelScope(shield=True), trio.move_on_after(5):
                    ada = it.knock("action=CREATE_ROOM&name=Ada&max_room_capacity=2")
                    refused = it.knock("action=DANCE")
                    echo = it.knock("", path="/ws/echo", leftover=masked("x"))
                    try:
                        for client in (ada, refused, echo):
                            await client.head()
                        room_id = (await ada.until("CREATE_ROOM")).data["room_id"]
                        await ada.send(said("JOIN_ROOM", room_id=room_id))
                        bob = it.knock(f"action=JOIN_ROOM&name=Bob&room_id={room_id}")
                        await bob.head()
                        await bob.send(said("JOIN_ROOM", room_id=room_id), masked(b"", 9))
                        await ada.until("BEGIN_VOTING_PROMPT")
                        await ada.send(masked_close())
                        await bob.rest()
                    except (AssertionError, trio.BrokenResourceError):
                        assert cutter.cut
                    await it.all_gone(every=0.4)

    sweep(scenario, least=30)


# --- bounds for each address ----------------------------------------------------------------


async def refused(it: Site, query: str) -> str:
    """Be refused; gives the words."""
    client = await it.dial(query)
    text, close = await client.rest()
    assert (text.opcode, close.code) == (TEXT, 1000)
    return text.payload.decode()


async def test_one_address_opens_only_so_many_rooms(autojump_clock: MockClock) -> None:
    async with site("memory", limits=Limits(address_rooms=2)) as it:
        ada, _ = await it.create()
        await it.create()
        words = await refused(it, "action=CREATE_ROOM&name=Eve&max_room_capacity=2")
        assert "from this address" in words
        assert it.counters.rooms_current == 2

        await ada.send(masked_close())
        await ada.rest()
        await settled()
        await it.create()


async def test_one_address_takes_only_so_many_seats_and_leaves_no_empty_room(
    autojump_clock: MockClock,
) -> None:
    async with site("memory", limits=Limits(address_seats=2)) as it:
        _, room_id = await it.create()
        bob = await it.join(room_id, "Bob")
        for query in (
            f"action=JOIN_ROOM&name=Eve&room_id={room_id}",
            "action=CREATE_ROOM&name=Eve&max_room_capacity=2",
        ):
            assert "from this address" in await refused(it, query)
        await settled()
        assert it.counters.rooms_current == 1

        await bob.send(masked_close())
        await bob.rest()
        await settled()
        await it.join(room_id, "Eve")


async def test_room_ids_cannot_be_guessed_fast(autojump_clock: MockClock) -> None:
    async with site("memory", limits=Limits(lookup_limit=3)) as it:
        _, room_id = await it.create()
        for number in range(3):
            words = await refused(it, f"action=JOIN_ROOM&name=Eve&room_id=guess{number}")
            assert "no room guess" in words
        words = await refused(it, f"action=JOIN_ROOM&name=Eve&room_id={room_id}")
        assert "come again" in words

        await trio.sleep(21)
        await it.join(room_id, "Bob")


async def test_an_echo_gives_way_to_somebody_who_needs_its_place(
    autojump_clock: MockClock,
) -> None:
    async with site() as it:
        client = await it.dial("", path="/ws/echo")
        await settled()
        it.peers[0][0].displace()
        assert [frame.code for frame in await client.rest()] == [1001]
        await it.all_gone()


@pytest.mark.parametrize("query", ["action=CREATE_ROOM&name=Ada&max_room_capacity=2", "nonsense"])
async def test_whose_place_is_gone_already_gets_no_seat(
    query: str, autojump_clock: MockClock
) -> None:
    async with site() as it:
        peer, client, released = make_peer("socket")
        it.peers.append((peer, client, released))
        peer.displace()
        with contextlib.suppress(trio.ClosedResourceError):
            await it.admission.estimatex(Upgrade(peer, "/ws", query, RESPONSE, b""))
        assert await client.all() == b""
        await settled()
        assert released.count == 1
        assert it.counters.rooms_current == 0
