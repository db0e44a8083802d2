"""What tests of routes hold in their hands: an application, a clock, and people who use it."""

import json
from typing import Any

import argon2
import attrs
import pytest
import trio

from server.auth.accounts import Accounts
from server.auth.passwords import Passwords
from server.auth.proxies import Proxies
from server.auth.tokens import COOKIE, TokenLifetime
from server.http.access import AccessRules
from server.http.application import make_application
from server.http.serve import HttpServer
from server.http.social import Social
from server.store.database import Database
from server.support.counters import Counters
from server.support.limits import Limits
from tests.server.http_client import UP, Answer, connect, endpoints
from tests.server.memory_results import MemoryResults

PASSWORD = "correct horse battery"
UNLIMITED = AccessRules(proxies=Proxies(), secure_cookies="auto", login_limit=0, register_limit=0)
ON_SQLITE = pytest.mark.parametrize("url", ["sqlite"], indirect=True)
"""For what has nothing to do with the kind of database."""
START = 1_700_000_000.0


class CountingHasher:
    """Real hashes with the least of work, counted."""

    def __init__(self, parameters: argon2.Parameters = argon2.profiles.CHEAPEST) -> None:
        self._hasher = argon2.PasswordHasher.from_parameters(parameters)
        self.hashed = self.verified = 0

    def hash(self, password: str, /) -> str:
        self.hashed += 1
        return self._hasher.hash(password)

    def verify(self, hash: str, password: str, /) -> Any:  # noqa: A002
        self.verified += 1
        return self._hasher.verify(hash, password)

    def check_needs_rehash(self, hash: str, /) -> bool:  # noqa: A002
        return self._hasher.check_needs_rehash(hash)


@attrs.frozen
class Person:
    """Somebody with an account."""

    id: int
    email: str
    token: str


class World:
    """An application with a database."""

    def __init__(
        self,
        database: Database,
        *,
        rules: AccessRules = UNLIMITED,
        hasher: CountingHasher | None = None,
        passwords: Passwords | None = None,
        life: TokenLifetime | None = None,
    ) -> None:
        self.database = database
        self.now = START
        self.hasher = hasher or CountingHasher()
        self.accounts = Accounts(
            database, passwords or Passwords(self.hasher), life=life, clock=lambda: self.now
        )
        limits = Limits()
        self.application = make_application(
            store=MemoryResults(),
            counters=Counters(),
            limits=limits,
            version="1.2.3",
            health=lambda: UP,
            websockets=endpoints(),
            social=Social(accounts=self.accounts, database=database, rules=rules),
        )
        self.server = HttpServer(self.application, limits)

    async def ask(
        self,
        method: str,
        target: str,
        body: object = None,
        *,
        token: str | None = None,
        cookie: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Make a request on a connection of its own; ``body`` is sent as JSON unless bytes."""
        fields = {"Connection": "close"}
        raw = b""
        if body is not None:
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            fields["Content-Type"] = "application/json"
        fields["Content-Length"] = str(len(raw))
        if token is not None:
            fields["Authorization"] = f"Bearer {token}"
        if cookie is not None:
            fields["Cookie"] = f"{COOKIE}={cookie}"
        fields |= headers or {}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value)
        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:
                client = connect(nursery, self.server)
                await client.send(f"{method} {target} HTTP/1.1\r\nHost: t\r\n{head}\r\n", raw)
                answer = await client.answer(method)
        return answer

    async def register(self, name: str) -> Person:
        """Make an account."""
        email = f"{name}@example.com"
        body = {"username": name, "email": email, "password": PASSWORD}
        answer = await self.ask("POST", "/register", body)
        assert answer.status == 201, answer
        return Person(answer.json["id"], email, token_of(answer))

    async def login(self, email: str, password: str = PASSWORD, **options: Any) -> Answer:
        """Try to log in."""
        return await self.ask("POST", "/login", {"email": email, "password": password}, **options)

    async def post(self, by: Person, text: str) -> int:
        """Write a post."""
        answer = await self.ask("POST", "/posts", {"text": text}, token=by.token)
        assert answer.status == 201, answer
        id_: int = answer.json["id"]
        return id_


def token_of(answer: Answer) -> str:
    """Find the token in an answer that sets the cookie."""
    name, _, value = answer.headers["set-cookie"].partition("; ")[0].partition("=")
    assert name == COOKIE
    return value
