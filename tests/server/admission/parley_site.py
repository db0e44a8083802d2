"""What lies between the door and rooms of either kind for ``parley.v1``, and who comes in by it."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import attrs
import orjson
import trio

from protocol.dialects.parley_v1 import SUBPROTOCOL
from server.admission.allowances import Allowances
from server.admission.lobby import Lobby
from server.admission.routes import Handler, RouteTable, Upgrade, WebSocketRoute
from server.auth.accounts import Accounts, Identity
from server.auth.bots import BotTokens
from server.auth.passwords import Passwords
from server.auth.scopes import Scope
from server.auth.seats import SECRET_BYTES, SeatKeys
from server.auth.sources import Source
from server.auth.tokens import LIFETIME, Token, make_token
from server.edge.accepted import AcceptedConnection
from server.edge.heartbeat import Heartbeat
from server.edge.poller import Poller
from server.rooms.hub import Hub
from server.store import access_tokens
from server.store.records import User
from server.store.writer import Writer
from server.support.counters import Counters
from server.support.limits import Limits
from tests.server.admission.entrance import Entrance, make_entrance
from tests.server.chat_harness import MemoryDatabase
from tests.server.harness import (
    CLOSE,
    RESPONSE,
    TEXT,
    Client,
    Released,
    WatchedPoller,
    Wire,
    make_peer,
    masked,
    tasks,
)

NOW = 1_700_000_000.0


class UselessHasher:
    """Hashes that nobody asks for here."""

    def hash(self, password: str, /) -> str:
        return "-"

    def verify(self, hash: str, password: str, /) -> Any:  # noqa: A002 - as named there
        raise AssertionError

    def check_needs_rehash(self, hash: str, /) -> bool:  # noqa: A002 - as named there
        raise AssertionError


@attrs.define
class Talker:
    """A client that reads what it is told."""

    client: Client
    welcome: dict[str, Any] = attrs.Factory(dict)
    seq: int = 0

    async def hear(self, kind: str) -> dict[str, Any]:
        """Read up to a message of this type."""
        found: dict[str, Any] = orjson.loads((await self.client.until(kind)).payload)
        self.seq = max(self.seq, found.get("seq", 0))
        return found

    async def say(self, kind: str, **fields: object) -> None:
        await self.client.send(masked(orjson.dumps({"type": kind, **fields})))

    async def rest(self) -> tuple[list[dict[str, Any]], int]:
        """Read all there is, which must end with a goodbye and a close frame."""
        *frames, last = await self.client.rest()
        assert last.opcode == CLOSE
        heard = [orjson.loads(frame.payload) for frame in frames if frame.opcode == TEXT]
        assert heard[-1]["type"] == "goodbye"
        return heard, last.code

    async def refusal(self) -> tuple[dict[str, Any], dict[str, Any], int]:
        """Read an error and a goodbye, and nothing else."""
        (error, goodbye), code = await self.rest()
        assert error["type"] == "error"
        assert error["text"] == goodbye["text"]
        assert (goodbye["back_in"] is None) == (code >= 4500)
        return error, goodbye, code

    @property
    def resume(self) -> dict[str, Any]:
        """What shows who it is."""
        return {"token": self.welcome["token"], "seq": self.seq, "epoch": self.welcome["epoch"]}


@attrs.define(kw_only=True)
class Site:
    """Everything between the door and the rooms."""

    wire: Wire
    limits: Limits
    counters: Counters
    database: MemoryDatabase
    accounts: Accounts
    writer: Writer
    poller: Poller
    heartbeat: Heartbeat
    services: trio.Nursery
    nursery: trio.Nursery
    """Of the rooms."""
    handlers: trio.Nursery
    source: Source | None = None
    """From where whoever comes now does so; ``None`` for the one that all have by themselves."""
    keys: SeatKeys = attrs.field(factory=lambda: SeatKeys(b"s" * SECRET_BYTES))
    entrance: Entrance = attrs.field(init=False)
    lobby: Lobby = attrs.field(init=False)
    taken: Counter[Source] = attrs.field(factory=Counter)
    peers: list[tuple[AcceptedConnection, Client, Released]] = attrs.field(factory=list)

    def make_lobby(self, hub: Hub | None = None) -> None:
        """Let people in, whose seats are counted."""
        self.entrance = make_entrance(
            limits=self.limits,
            counters=self.counters,
            poller=self.poller,
            heartbeat=self.heartbeat,
            hub=hub,
        )
        self.lobby = Lobby(
            members=self.entrance.members,
            allowances=self.entrance.allowances,
            accounts=self.accounts,
            limits=self.limits,
            counters=self.counters,
            release="1.2.3",
        )
        count_seats(self.entrance.allowances, self.taken)

    def ask(
        self,
        routes: list[WebSocketRoute],
        path: str,
        *,
        leftover: bytes = b"",
        small: bool = False,
    ) -> tuple[Handler, Upgrade, Client]:
        """Make a request for a WebSocket, whose answer has yet to be sent."""
        peer, client, released = make_peer(self.wire, small=small)
        self.peers.append((peer, client, released))
        if self.source is not None:
            peer.source = self.source
        found = RouteTable(routes).find(path)
        assert found is not None
        route, parameters = found
        upgrade = Upgrade(peer, path, "", RESPONSE, leftover, [], parameters, SUBPROTOCOL)
        return route.handler, upgrade, client

    async def serve(self, handler: Handler, upgrade: Upgrade) -> None:
        """Be the door: it does not mind peers that have gone."""
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await handler(upgrade)

    async def hello(self, **hello: Any) -> Talker:
        """Say hello, and wait for the answer to the request."""
        raise NotImplementedError

    async def refused(self, **hello: Any) -> tuple[str, str | None, str, int]:
        """Say hello, and be refused: the code, the field, the reason and the close code."""
        talker = await self.hello(**hello)
        error, goodbye, code = await talker.refusal()
        await talker.client.stream.aclose()
        return error["code"], error["field"], goodbye["reason"], code

    def login(self, user: User) -> Token:
        token = make_token()
        self.database.now(
            lambda conn: access_tokens.insert(
                conn, digest=token.digest, user_id=user.id, now=NOW, expires_at=NOW + LIFETIME
            )
        )
        return token

    async def bot(self, user: User, *scopes: Scope) -> Token:
        """Make a token for a bot."""
        identity = Identity(user, self.login(user).digest)
        _, token = await self._bots().make(identity, name="bot", scopes=scopes, seconds=None)
        return token

    async def revoke_bots(self, user: User) -> None:
        """Revoke all tokens for bots."""
        identity = Identity(user, b"")
        for each in await self._bots().of(identity):
            assert await self._bots().revoke(identity, each.id)

    def _bots(self) -> BotTokens:
        revocations = self.accounts.revocations
        return BotTokens(self.database, revocations, most=9, clock=lambda: NOW)

    def seats(self) -> int:
        """How many seats this address has."""
        return self.taken.total()

    def check(self) -> None:
        counters = self.counters
        assert counters.rooms_current == counters.members_current == 0
        assert counters.websockets_current == 0
        assert self.seats() == 0
        for peer, _, released in self.peers:
            assert released.count == 1
            if peer.sock is not None:
                assert peer.sock.fileno() == -1


def count_seats(allowances: Allowances, taken: Counter[Source]) -> None:
    """Count the seats that are taken and returned."""
    take, give_back = allowances.take_seat, allowances.return_seat

    def taking(source: Source) -> None:
        take(source)
        taken[source] += 1

    def returning(source: Source) -> None:
        give_back(source)
        taken[source] -= 1

    vars(allowances).update(take_seat=taking, return_seat=returning)


def hello_frame(**hello: object) -> bytes:
    return masked(orjson.dumps({"type": "hello", **hello}))


S = TypeVar("S", bound=Site)


@asynccontextmanager
async def opened(
    kind: type[S], wire: Wire, limits: Limits | None, database: MemoryDatabase
) -> AsyncIterator[S]:
    """A site yet without rooms; afterwards nothing is left, as if the process had been killed."""
    limits = limits or Limits()
    counters = Counters()
    before = tasks()
    it = None
    try:
        with WatchedPoller() as poller:
            async with trio.open_nursery() as services:
                heartbeat = Heartbeat(limits.heartbeat_seconds, limits.heartbeat_timeout_seconds)
                writer = Writer(database, counters=counters)
                services.start_soon(poller.run)  # noqa: ASYNC113
                services.start_soon(heartbeat.run)  # noqa: ASYNC113
                services.start_soon(writer.run)  # noqa: ASYNC113
                async with trio.open_nursery() as nursery, trio.open_nursery() as handlers:
                    it = kind(
                        wire=wire,
                        limits=limits,
                        counters=counters,
                        database=database,
                        accounts=Accounts(database, Passwords(UselessHasher()), clock=lambda: NOW),
                        writer=writer,
                        poller=poller,
                        heartbeat=heartbeat,
                        services=services,
                        nursery=nursery,
                        handlers=handlers,
                    )
                    yield it
                    handlers.cancel_scope.cancel()
                    nursery.cancel_scope.cancel()
                services.cancel_scope.cancel()
            assert len(poller) == 0
    finally:
        with trio.CancelScope(shield=True):
            for _, client, _ in it.peers if it is not None else []:
                await trio.aclose_forcefully(client.stream)
    it.check()
    assert tasks() == before
