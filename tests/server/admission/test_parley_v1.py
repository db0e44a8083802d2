"""The way of a ``parley.v1`` connection into a room and back, and every way to be refused."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import orjson
import pytest
import trio
import trio.testing
from trio.testing import MockClock

from protocol.dialects.parley_v1 import PARLEY_V1, SUBPROTOCOL
from protocol.ids import RoomId
from server.admission.parley_v1 import ParleyAdmission
from server.admission.passcodes import Passcodes
from server.admission.routes import Upgrade
from server.auth.accounts import Identity
from server.auth.scopes import Scope
from server.auth.tokens import Revoked
from server.rooms.hub import Hub
from server.rooms.journal import Logbook
from server.rooms.lasting import LastingRooms
from server.rooms.making import RoomMaker
from server.store.logbook import RoomSettings
from server.store.results import DatabaseResults
from server.support.errors import HttpRejection
from server.support.limits import Limits
from server.webhooks.reports import Reports
from tests.server.admission import parley_site
from tests.server.admission.parley_site import Talker, hello_frame, opened
from tests.server.chat_harness import MemoryDatabase
from tests.server.harness import (
    BINARY,
    RESPONSE,
    WIRES,
    Cutter,
    Wire,
    make_peer,
    masked,
    masked_close,
    sweep,
)
from tests.server.lasting_harness import TELLING

BOTH = pytest.mark.parametrize("wire", WIRES)

settled = trio.testing.wait_all_tasks_blocked


@attrs.define(kw_only=True)
class Site(parley_site.Site):
    """A site with a room that lasts."""

    hub: Hub = attrs.field(init=False)
    lasting: LastingRooms = attrs.field(init=False)
    admission: ParleyAdmission = attrs.field(init=False)
    room_id: RoomId = attrs.field(init=False)
    session: int = attrs.field(init=False)

    @property
    def owner_key(self) -> str:
        return self.keys.owner_key(self.session)

    def make_rooms(self) -> None:
        """Begin with no live room, as after a start."""
        results = DatabaseResults(self.database, self.writer)
        self.hub = Hub(self.nursery, limits=self.limits, results=results, counters=self.counters)
        self.lasting = LastingRooms(
            self.hub,
            database=self.database,
            book=Logbook(
                self.writer,
                counters=self.counters,
                reports=Reports(TELLING, counters=self.counters),
            ),
            results=results,
            limits=self.limits,
            make_room=RoomMaker(limits=self.limits, counters=self.counters, dialect=PARLEY_V1),
        )
        self.make_lobby(self.hub)
        self.admission = ParleyAdmission(
            self.lobby,
            rooms=self.lasting,
            allowances=self.entrance.allowances,
            keys=self.keys,
            passcodes=Passcodes(self.keys, self.limits),
        )

    def knock(self, *, room_id: str | None = None, leftover: bytes = b"") -> Talker:
        """Ask for a WebSocket."""
        path = f"/v1/rooms/{room_id or self.room_id}"
        handler, upgrade, client = self.ask(self.admission.routes(), path, leftover=leftover)
        self.handlers.start_soon(self.serve, handler, upgrade)
        return Talker(client)

    async def hello(
        self, *, room_id: str | None = None, behind: bytes = b"", **hello: Any
    ) -> Talker:
        """Say hello, and wait for the answer to the request."""
        talker = self.knock(room_id=room_id)
        await talker.client.head()
        await talker.client.send(hello_frame(**hello) + behind)
        return talker

    async def enter(self, **hello: Any) -> Talker:
        """Say hello, and be welcomed."""
        talker = await self.hello(**hello)
        talker.welcome = await talker.hear("welcome")
        if talker.welcome["resumed"] != "replayed":
            talker.seq = (await talker.hear("snapshot"))["picture"]["seq"]
        return talker


@asynccontextmanager
async def site(
    wire: Wire = "memory", *, limits: Limits | None = None, grace: float = 60.0
) -> AsyncIterator[Site]:
    """A server with a room that lasts; afterwards nothing is left."""
    database = MemoryDatabase()
    try:
        async with opened(Site, wire, limits, database) as it:
            it.make_rooms()
            room = await it.lasting.open(RoomSettings(capacity=4, grace_seconds=grace))
            it.room_id, it.session = room.room_id, room.session.id
            yield it
    finally:
        database.engine.dispose()


# --- in -------------------------------------------------------------------------------------


@BOTH
async def test_a_round_is_played_from_the_first_hello_to_the_end(
    wire: Wire, autojump_clock: MockClock
) -> None:
    async with site(wire) as it:
        ada = await it.enter(name="Ada", owner_key=it.owner_key)
        bob = await it.enter(name="Bob", role="voter")
        assert ada.welcome["lasting"] is True
        assert ada.welcome["release"] == "1.2.3"
        assert ada.welcome["resumed"] == "no"
        assert ada.welcome["epoch"] == f"{it.session}.0"
        await ada.say("begin", ref=1, ticket="T-1")
        number = (await bob.hear("begun"))["number"]
        await bob.say("vote", ref=1, round=number, card="5")
        await bob.hear("ack")
        await ada.say("reveal", ref=2, round=number)
        assert (await bob.hear("revealed"))["shown"]["votes"][0]["card"] == "5"
        await ada.say("close", ref=3)
        for talker in (ada, bob):
            heard, code = await talker.rest()
            assert heard[-1]["reason"] == "room_ended"
            assert code == 4500
        assert it.lasting.find(it.room_id) is None


@BOTH
async def test_people_talk_and_react_and_what_is_wrong_is_named(
    wire: Wire, autojump_clock: MockClock
) -> None:
    async with site(wire) as it:
        ada = await it.enter(name="Ada", owner_key=it.owner_key)
        bob = await it.enter(name="Bob", role="spectator")
        await bob.say("say", ref=1, text="Hello\nAda")
        said = await ada.hear("said")
        assert (said["id"], said["name"], said["text"]) == (1, "Bob", "Hello\nAda")
        await bob.say("react", emoji="heart")
        (told,) = (await ada.hear("reactions"))["reactions"]
        assert told == {"emoji": "heart", "count": 1, "members": [bob.welcome["member"]]}

        await bob.say("react", emoji="bomb")
        error = await bob.hear("error")
        assert (error["code"], error["field"], error["ref"]) == ("malformed", "emoji", None)
        await bob.say("say", ref=2, text="\u200b")
        error = await bob.hear("error")
        assert (error["code"], error["field"], error["ref"]) == ("malformed", "text", 2)
        await ada.say("configure", ref=1, talk_by="nobody")
        await bob.hear("configured")
        await bob.say("react", emoji="heart")
        error = await bob.hear("error")
        assert (error["code"], error["ref"]) == ("no_talk", None)
        await ada.say("unsay", ref=2, id=1)
        assert (await bob.hear("unsaid"))["id"] == 1


@BOTH
async def test_requests_may_come_right_behind_the_hello_and_with_the_request(
    wire: Wire, autojump_clock: MockClock
) -> None:
    async with site(wire) as it:
        behind = b"".join(
            masked(orjson.dumps({"type": "begin", "ref": ref, "ticket": f"T-{ref}"}))
            for ref in (1, 2)
        )
        everything = hello_frame(name="Ada", owner_key=it.owner_key) + behind
        apart = await it.hello(name="Ada", owner_key=it.owner_key, behind=behind)
        together = it.knock(leftover=everything)
        await together.client.head()
        for ada in (apart, together):
            await ada.hear("welcome")
            assert [(await ada.hear("ack"))["ref"] for _ in range(2)] == [1, 2]


@BOTH
@pytest.mark.parametrize(
    ("said", "code", "field"),
    [
        ({}, "malformed", "name"),
        ({"name": "Ada", "resume": {"token": "x"}}, "malformed", "name"),
        ({"name": "Ada", "token": "x"}, "malformed", "name"),
        ({"role": "spectator", "resume": {"token": "x"}}, "malformed", "role"),
        ({"owner_key": "x", "resume": {"token": "x"}}, "malformed", "owner_key"),
        ({"nonce": "x" * 16, "resume": {"token": "x"}}, "malformed", "nonce"),
        ({"name": ""}, "malformed", "name"),
        ({"name": "x" * 1000}, "malformed", "name"),
        ({"name": 5}, "malformed", "name"),
        ({"name": "Ada", "role": "king"}, "malformed", "role"),
        ({"name": "Ada", "colour": "red"}, "malformed", "colour"),
        ({"resume": {}}, "malformed", "resume.token"),
        ({"resume": {"token": "x", "seq": "1"}}, "malformed", "resume.seq"),
        ({"resume": {"token": "x", "seq": 1.5}}, "malformed", "resume.seq"),
        ({"resume": "x"}, "malformed", "resume"),
    ],
)
async def test_a_hello_that_is_none_is_refused_by_field(
    wire: Wire, said: dict[str, object], code: str, field: str, autojump_clock: MockClock
) -> None:
    async with site(wire) as it:
        assert await it.refused(**said) == (code, field, "refused", 4507)
        assert it.counters.connections_refused == 1


@pytest.mark.parametrize(
    "frame",
    [
        masked(b'{"type":"hello","name":"Ada"}', BINARY),
        masked('{"type":"vote","ref":1}'),
        masked("[]"),
        masked("{"),
        masked(b"\xff"),
        masked("x" * 100_000),
        b"\x81\x01x",
        masked("a", fin=False),
    ],
)
@BOTH
async def test_a_first_message_of_another_kind_is_refused(
    wire: Wire, frame: bytes, autojump_clock: MockClock
) -> None:
    async with site(wire) as it:
        talker = it.knock()
        await talker.client.head()
        it.handlers.start_soon(talker.client.send, frame)
        error, goodbye, code = await talker.refusal()
        assert (error["code"], goodbye["reason"], code) == ("malformed", "refused", 4507)


@BOTH
async def test_who_says_nothing_is_sent_away_in_time(wire: Wire, autojump_clock: MockClock) -> None:
    async with site(wire) as it:
        talker = it.knock()
        await talker.client.head()
        begin = trio.current_time()
        error = await talker.hear("error")
        assert trio.current_time() - begin == pytest.approx(10, abs=0.1)
        _, code = await talker.rest()
        assert (error["code"], error["field"], code) == ("malformed", "type", 4507)


async def test_without_the_subprotocol_there_is_no_websocket(autojump_clock: MockClock) -> None:
    async with site() as it:
        peer, client, released = make_peer("memory")
        it.peers.append((peer, client, released))
        upgrade = Upgrade(peer, "/v1/rooms/x", "", RESPONSE, b"", [], {"room_id": "x"}, None)
        with pytest.raises(HttpRejection, match=r"parley\.v1") as caught:
            await it.admission.enter_room(upgrade)
        assert caught.value.status == 400
        assert released.count == 0
        await peer.aclose()


@BOTH
@pytest.mark.parametrize("say", [b"", masked_close(1000), masked("", 0x9)])
async def test_who_goes_before_the_hello_leaves_nothing(
    wire: Wire, say: bytes, autojump_clock: MockClock
) -> None:
    async with site(wire) as it:
        talker = it.knock()
        await talker.client.head()
        await talker.client.send(say)
        await settled()
        await talker.client.stream.send_eof()
        await settled()
        assert it.peers[0][2].count == 1


@BOTH
async def test_each_refusal_of_the_room_says_whether_to_come_back(
    wire: Wire, autojump_clock: MockClock
) -> None:
    async with site(wire) as it:
        assert await it.refused(name="Ada", room_id="nobody") == (
            "no_such_room", None, "no_such_room", 4504,
        )  # fmt: skip
        for key in ("wrong", "ä", it.keys.owner_key(it.session + 1)):
            assert await it.refused(name="Ada", owner_key=key) == (
                "wrong_key", "owner_key", "wrong_key", 4506,
            )  # fmt: skip
        assert await it.refused(token="nobody's") == ("wrong_key", "token", "wrong_key", 4506)
        talkers = [await it.enter(name=f"M{number}") for number in range(4)]
        assert await it.refused(name="Late") == ("room_full", None, "room_full", 4505)
        await settled()
        assert it.seats() == len(talkers)


async def test_seats_are_counted_and_returned(autojump_clock: MockClock) -> None:
    async with site(limits=Limits(address_seats=2), grace=5.0) as it:
        ada, bob = await it.enter(name="Ada", owner_key=it.owner_key), await it.enter(name="Bob")
        assert await it.refused(name="Kim") == ("too_many", None, "busy", 4004)
        await bob.client.stream.aclose()
        await settled()
        assert it.seats() == 2  # it is away
        bob.client = (await it.enter(resume=bob.resume)).client
        assert it.seats() == 2  # coming back takes none
        await bob.client.stream.aclose()
        await ada.hear("left")
        await settled()
        assert it.seats() == 1
        bob = await it.enter(name="Bob")
        await bob.say("leave", ref=1)
        await bob.rest()
        await bob.client.stream.aclose()
        await settled()
        assert it.seats() == 1


async def test_guesses_at_rooms_are_counted(autojump_clock: MockClock) -> None:
    async with site(limits=Limits(lookup_limit=3)) as it:
        for number in range(3):
            assert (await it.refused(name="Eve", room_id=f"guess{number}"))[0] == "no_such_room"
        assert (await it.refused(name="Eve", room_id="guess")) == ("too_many", None, "busy", 4004)
        assert (await it.refused(name="Eve")) == ("too_many", None, "busy", 4004)
        await trio.sleep(60)
        await it.enter(name="Eve")


# --- back in --------------------------------------------------------------------------------


@BOTH
async def test_who_comes_back_gets_what_it_has_missed(
    wire: Wire, autojump_clock: MockClock
) -> None:
    async with site(wire) as it:
        ada = await it.enter(name="Ada", owner_key=it.owner_key)
        bob = await it.enter(name="Bob")
        await bob.client.stream.aclose()
        await ada.hear("away")
        await ada.say("begin", ref=1, ticket="T-1")
        await ada.hear("begun")
        again = await it.enter(resume=bob.resume)
        assert again.welcome["resumed"] == "replayed"
        assert again.welcome["member"] == bob.welcome["member"]
        assert again.welcome["token"] == bob.welcome["token"]
        seqs = [(await again.hear(kind))["seq"] for kind in ("away", "begun", "back")]
        assert seqs == [bob.seq + 1, bob.seq + 2, bob.seq + 3]


@pytest.mark.parametrize(
    ("change", "resumed"),
    [
        ({}, "replayed"),
        ({"seq": None}, "snapshot"),
        ({"seq": 10**6}, "snapshot"),
        ({"seq": -1}, "snapshot"),
        ({"epoch": ""}, "snapshot"),
        ({"epoch": "1"}, "snapshot"),
        ({"epoch": "999.0"}, "snapshot"),
        ({"epoch": "1.x"}, "snapshot"),
        ({"epoch": "1.7"}, "snapshot"),
        ({"epoch": "1.-1"}, "snapshot"),
        ({"epoch": "1." + "9" * 5000}, "snapshot"),
        ({"epoch": "1.²"}, "snapshot"),
    ],
)
async def test_who_knows_another_history_gets_the_whole(
    change: dict[str, object], resumed: str, autojump_clock: MockClock
) -> None:
    async with site() as it:
        bob = await it.enter(name="Bob")
        wanted = {
            key: value for key, value in {**bob.resume, **change}.items() if value is not None
        }
        again = await it.enter(resume=wanted)
        assert again.welcome["resumed"] == resumed


@BOTH
async def test_a_token_of_nobody_opens_nothing(wire: Wire, autojump_clock: MockClock) -> None:
    async with site(wire) as it:
        bob = await it.enter(name="Bob")
        member = bob.welcome["member"]
        forged = [
            "", ".", member, f"{member}.", f"{member}.{'A' * 24}", bob.welcome["token"] + "A",
            it.keys.token(it.session + 1, member), it.owner_key, f"{member}.{it.owner_key}",
            "ä.ä", "x" * 10_000,
        ]  # fmt: skip
        for token in forged:
            assert await it.refused(resume={"token": token}) == (
                "wrong_key", "resume.token", "wrong_key", 4506,
            )  # fmt: skip
        await bob.say("ping")
        await bob.hear("pong")


@BOTH
async def test_a_token_of_somebody_who_has_left_is_outdated(
    wire: Wire, autojump_clock: MockClock
) -> None:
    async with site(wire) as it:
        await it.enter(name="Ada", owner_key=it.owner_key)
        bob = await it.enter(name="Bob")
        await bob.say("leave", ref=1)
        await bob.rest()
        assert await it.refused(resume=bob.resume) == (
            "wrong_key", "resume.token", "wrong_key", 4506,
        )  # fmt: skip


@BOTH
async def test_a_second_connection_of_a_member_takes_the_place_of_the_first(
    wire: Wire, autojump_clock: MockClock
) -> None:
    async with site(wire) as it:
        ada = await it.enter(name="Ada", owner_key=it.owner_key)
        bob = await it.enter(name="Bob")
        again = await it.enter(resume=bob.resume)
        heard, code = await bob.rest()
        assert (heard[-1]["reason"], code) == ("replaced", 4503)
        assert heard[-1]["back_in"] is None
        await ada.say("begin", ref=1, ticket="T-1")
        await again.hear("begun")
        assert it.counters.members_current == 2
        assert it.seats() == 2


async def test_a_half_open_connection_holds_up_nobody(autojump_clock: MockClock) -> None:
    async with site("socket", limits=Limits(close_seconds=5)) as it:
        bob = await it.enter(name="Bob")  # who reads nothing from here on
        begin = trio.current_time()
        for _ in range(3):
            again = await it.enter(resume=bob.resume)
            assert again.welcome["resumed"] == "replayed"
        assert trio.current_time() == begin
        assert it.counters.members_current == 1


# --- accounts -------------------------------------------------------------------------------


@BOTH
async def test_who_is_signed_in_has_its_accounts_name_and_goes_with_its_token(
    wire: Wire, autojump_clock: MockClock
) -> None:
    async with site(wire) as it:
        user = it.database.person("Ada")
        token, other = it.login(user), it.login(user)
        guest = await it.enter(name="Guest", owner_key=it.owner_key)
        ada = await it.enter(token=token.text)
        again = await it.enter(token=other.text)
        assert (await guest.hear("joined"))["member"]["name"] == "Ada"
        await it.accounts.logout(Identity(user, token.digest))
        late = await it.refused(resume=ada.resume)  # before the old one has answered
        assert late == ("wrong_key", "resume.token", "wrong_key", 4506)
        heard, code = await ada.rest()
        assert (heard[-1]["reason"], code) == ("signed_out", 4509)
        await again.say("ping")
        await again.hear("pong")
        assert await it.refused(token=token.text) == ("wrong_key", "token", "wrong_key", 4506)


async def test_a_bot_is_let_in_by_its_scope_and_goes_with_its_token(
    autojump_clock: MockClock,
) -> None:
    async with site() as it:
        user = it.database.person("Ada")
        fit = await it.bot(user, Scope.ROOMS_JOIN)
        unfit = await it.bot(user, Scope.CHAT_READ, Scope.ROOMS_OPEN)
        owner = await it.enter(name="Guest", owner_key=it.owner_key)
        talker = await it.hello(token=unfit.text)
        error, goodbye, code = await talker.refusal()
        assert (error["code"], error["field"], code) == ("missing_scope", "token", 4506)
        assert "rooms:join" in error["text"]
        assert goodbye["reason"] == "wrong_key"
        bot = await it.enter(token=fit.text)
        assert (await owner.hear("joined"))["member"]["name"] == "Ada"
        await back_from_the_log(it, owner, bot)
        bot = await it.enter(resume=bot.resume)
        await it.revoke_bots(user)
        heard, code = await bot.rest()
        assert (heard[-1]["reason"], code) == ("signed_out", 4509)
        assert await it.refused(token=fit.text) == ("wrong_key", "token", "wrong_key", 4506)


async def test_a_bot_whose_token_has_ended_does_not_come_back_after_a_restart(
    autojump_clock: MockClock,
) -> None:
    async with site() as it:
        user = it.database.person("Ada")
        bot = await it.enter(token=(await it.bot(user, Scope.ROOMS_JOIN)).text)
        owner = await it.enter(name="Guest", owner_key=it.owner_key)
        await back_from_the_log(it, owner, bot)
        await it.revoke_bots(user)
        refusal = ("wrong_key", "resume.token", "wrong_key", 4506)
        assert await it.refused(resume=bot.resume) == refusal


async def back_from_the_log(it: Site, *cut: Talker) -> None:
    """Let the room rest in the store, and be rebuilt from there when somebody asks for it."""
    for talker in cut:
        await talker.client.stream.aclose()
    await settled()
    it.lasting.park_all("for a restart")
    await it.writer.drain(1.0)
    await settled()
    it.make_rooms()
    await it.lasting.load()


async def test_who_was_signed_in_before_a_restart_goes_with_its_token_too(
    autojump_clock: MockClock,
) -> None:
    async with site() as it:
        user = it.database.person("Ada")
        token, other = it.login(user), it.login(user)
        owner = await it.enter(name="Guest", owner_key=it.owner_key)
        ada, again = await it.enter(token=token.text), await it.enter(token=other.text)
        await back_from_the_log(it, owner, ada, again)
        back = await it.enter(resume=ada.resume)
        stays = await it.enter(resume=again.resume)
        await it.accounts.logout(Identity(user, token.digest))
        heard, code = await back.rest()
        assert (heard[-1]["reason"], code) == ("signed_out", 4509)
        await stays.say("ping")
        await stays.hear("pong")


async def test_whose_token_has_ended_does_not_come_back_after_a_restart(
    autojump_clock: MockClock,
) -> None:
    async with site() as it:
        user = it.database.person("Ada")
        token, other = it.login(user), it.login(user)
        owner = await it.enter(name="Guest", owner_key=it.owner_key)
        ada, again = await it.enter(token=token.text), await it.enter(token=other.text)
        await back_from_the_log(it, owner, ada, again)
        await it.accounts.logout(Identity(user, token.digest))
        refusal = ("wrong_key", "resume.token", "wrong_key", 4506)
        assert await it.refused(resume=ada.resume) == refusal
        stays = await it.enter(resume=again.resume)
        assert stays.welcome["resumed"] != "no"
        # Also if it ends while it is looked up.
        await back_from_the_log(it, stays)
        talker = await it.hello(resume=stays.resume)
        with it.database.held(write=False):
            await settled()
            it.accounts.revocations.publish(Revoked(user.id, other.digest))
        _, _, code = await talker.refusal()
        assert code == 4506


async def test_a_token_may_end_while_it_is_looked_up(autojump_clock: MockClock) -> None:
    async with site() as it:
        user = it.database.person("Ada")
        token = it.login(user)
        talker = await it.hello(token=token.text)
        with it.database.held(write=False):
            await settled()
            it.accounts.revocations.publish(Revoked(user.id, token.digest))
        error, _, code = await talker.refusal()
        assert (error["field"], code) == ("token", 4506)
        assert it.seats() == 0


async def test_a_token_may_end_while_the_room_is_looked_up(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site() as it:
        user = it.database.person("Ada")
        token = it.login(user)
        wake = it.lasting.wake
        waking, go_on = trio.Event(), trio.Event()

        async def slow(room_id: RoomId) -> Any:
            waking.set()
            await go_on.wait()
            return await wake(room_id)

        monkeypatch.setattr(it.lasting, "wake", slow)
        talker = await it.hello(token=token.text)
        await waking.wait()
        await it.accounts.logout(Identity(user, token.digest))
        go_on.set()
        error, _, code = await talker.refusal()
        assert (error["field"], code) == ("token", 4506)
        assert it.seats() == 0


async def test_a_database_that_does_not_answer_is_worth_another_try(
    autojump_clock: MockClock,
) -> None:
    async with site() as it:
        token = it.login(it.database.person("Ada"))
        it.database.gone = True
        assert await it.refused(token=token.text) == ("not_now", None, "busy", 4004)
        it.database.gone = False


# --- the end --------------------------------------------------------------------------------


@BOTH
async def test_draining_sends_away_who_has_not_said_hello(
    wire: Wire, autojump_clock: MockClock
) -> None:
    async with site(wire) as it:
        member = await it.enter(name="Ada", owner_key=it.owner_key)
        waiting = it.knock()
        await waiting.client.head()
        await settled()
        it.hub.drain("over")
        it.lasting.park_all("over")
        it.lobby.drain()
        late = it.knock()
        await late.client.head()
        for talker in (waiting, late):
            error, goodbye, code = await talker.refusal()
            assert (error["code"], goodbye["reason"], code) == ("shutting_down", "going_away", 4000)
        heard, code = await member.rest()
        assert code == 4000
        assert heard[-1]["room_survives"] is True


async def test_who_is_about_to_come_back_when_the_server_drains_is_asked_to_come_later(
    autojump_clock: MockClock,
) -> None:
    async with site() as it:
        token = it.login(it.database.person("Ada"))
        with it.database.held(write=False):
            talker = await it.hello(token=token.text)
            await settled()
            it.hub.drain("over")
            it.lasting.park_all("over")
            it.lobby.drain()
        error, _, code = await talker.refusal()
        assert (error["code"], code) == ("shutting_down", 4000)


@BOTH
async def test_a_connection_may_be_cut_at_every_byte_of_the_hello(
    wire: Wire, autojump_clock: MockClock
) -> None:
    async with site(wire) as it:
        data = hello_frame(name="Ada")
        for length in range(len(data)):
            talker = it.knock()
            await talker.client.head()
            await talker.client.send(data[:length])
            await settled()
            await talker.client.stream.send_eof()
            await talker.client.all()
            await talker.client.stream.aclose()
            await settled()
            assert it.peers[-1][2].count == 1
        assert it.counters.members_current == 0


async def test_who_has_lost_its_place_takes_no_seat(autojump_clock: MockClock) -> None:
    async with site() as it:
        token = it.login(it.database.person("Ada"))
        with it.database.held(write=False):
            await it.hello(token=token.text)
            await settled()
            it.peers[-1][0].displace()
        await settled()
        assert it.seats() == 0
        assert it.peers[-1][2].count == 1
        assert it.counters.members_current == 0


@BOTH
@pytest.mark.parametrize("way", ["join", "resume", "refused"])
def test_it_may_be_cancelled_at_any_step(wire: Wire, way: str) -> None:
    async def scenario(cutter: Cutter) -> None:
        async with site(wire, limits=Limits(close_seconds=1)) as it:
            bob = await it.enter(name="Bob")
            scope = trio.CancelScope()

            async def hello() -> None:
                with scope:
                    peer, client, released = make_peer(wire)
                    it.peers.append((peer, client, released))
                    hellos: dict[str, dict[str, object]] = {
                        "join": {"name": "Ada", "owner_key": it.owner_key},
                        "resume": {"resume": bob.resume},
                        "refused": {"name": "Ada", "owner_key": "wrong"},
                    }
                    upgrade = Upgrade(
                        peer, "", "", RESPONSE, hello_frame(**hellos[way]), [],
                        {"room_id": it.room_id}, SUBPROTOCOL,
                    )  # fmt: skip
                    cutter.arm(scope)
                    await it.admission.enter_room(upgrade)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(hello)
                await trio.sleep(1.5)
            cutter.disarm()
            if it.counters.members_current < (2 if way == "join" else 1):
                assert it.peers[-1][2].count == 1

    assert sweep(scenario, least=2)
