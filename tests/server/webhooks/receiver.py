"""A receiver of webhooks as a real HTTP server, and all that tells it of rooms."""

import base64
import hashlib
import hmac
import ipaddress
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

import attrs
import h11
import orjson
import trio

from server.store.webhooks import Webhook
from server.webhooks.addresses import Judge
from server.webhooks.deliveries import Deliveries
from server.webhooks.events import EVERY
from server.webhooks.sending import Sender
from tests.server.chat_harness import MemoryDatabase
from tests.server.lasting_harness import House, now

SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
LOOPBACK: Final = ipaddress.ip_network("127.0.0.0/8")

OK: Final = b"HTTP/1.1 204 No Content\r\n\r\n"
BROKEN: Final = b"HTTP/1.1 500 Oh\r\nContent-Length: 5\r\n\r\nsorry"


@attrs.frozen
class Heard:
    """One request to a receiver."""

    at: float
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def told(self) -> Any:
        return orjson.loads(self.body)

    @property
    def kind(self) -> str:
        return str(self.told["type"])

    def is_signed(self, secret: str = SECRET) -> bool:
        """Verify the signature as a receiver does, by the words of the specification."""
        key = base64.b64decode(secret.removeprefix("whsec_"))
        content = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode()
        digest = hmac.new(key, content + self.body, hashlib.sha256).digest()
        return f"v1,{base64.b64encode(digest).decode()}" == self.headers["webhook-signature"]


class Receiver:
    """Answers what a test says, and else that all is well."""

    def __init__(self) -> None:
        self.port = 0
        self.heard: list[Heard] = []
        self.answers: list[bytes] = []
        self.always: bytes = OK
        self.silent = False
        self.called = trio.Event()
        self.open = 0
        self.most_open = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?token=hush"

    @property
    def kinds(self) -> list[str]:
        return [each.kind for each in self.heard]

    async def serve(self, *, task_status: trio.TaskStatus[None]) -> None:
        async with trio.open_nursery() as nursery:
            [listener] = await nursery.start(
                partial(trio.serve_tcp, self._talk, 0, host="127.0.0.1")
            )
            self.port = listener.socket.getsockname()[1]
            task_status.started()

    async def _talk(self, stream: trio.SocketStream) -> None:
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            await self._answer(stream)
        except trio.BrokenResourceError:
            pass  # it was cut off
        finally:
            self.open -= 1

    async def _answer(self, stream: trio.SocketStream) -> None:
        connection = h11.Connection(h11.SERVER)
        body = b""
        request: h11.Request | None = None
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(bytes(await stream.receive_some()))
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += event.data
            else:
                break
        assert request is not None
        headers = {name.decode(): value.decode() for name, value in request.headers}
        self.heard.append(Heard(now(), request.target.decode(), headers, body))
        self.called.set()
        if self.silent:
            await stream.receive_some()  # until the other side has had enough
            return
        await stream.send_all(self.answers.pop(0) if self.answers else self.always)


class Post:
    """A server that tells receivers, until the end of its block."""

    def __init__(self, home: House, deliveries: Deliveries) -> None:
        self.home = home
        self.deliveries = deliveries

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """What was delivered, tried again, given up and dropped."""
        counters = self.home.counters
        return (
            counters.webhooks_delivered,
            counters.webhooks_retried,
            counters.webhooks_failed,
            counters.webhooks_dropped,
        )


@asynccontextmanager
async def post(
    database: MemoryDatabase,
    everywhere: str | None = None,
    *,
    allowed: Sequence[Any] = (LOOPBACK,),
    draw: Callable[[], float] = lambda: 1.0,
    **limits: Any,
) -> AsyncIterator[Post]:
    """Run a server; its end comes like a kill."""
    webhook = None if everywhere is None else webhook_to(everywhere)
    async with trio.open_nursery() as nursery:
        home = House(nursery, database, webhook, **limits)
        await home.lasting.load()
        await nursery.start(home.writer.run)
        judge = Judge(allowed, lookup=_themselves)
        deliveries = Deliveries(
            database,
            home.reports,
            Sender(judge, seconds=10.0, version="1.2.3", clock=now),
            judge=judge,
            counters=home.counters,
            clock=now,
            draw=draw,
        )
        nursery.start_soon(deliveries.run)  # noqa: ASYNC113
        try:
            yield Post(home, deliveries)
        finally:
            nursery.cancel_scope.cancel()
            for kept in home.kept.values():  # what dies does not say goodbye
                kept.journal.park()


def webhook_to(url: str, secret: str = SECRET, events: Sequence[str] = EVERY) -> Webhook:
    return Webhook(url=url, secret=secret, events=tuple(events))


async def _themselves(host: str, port: int) -> list[str]:
    await trio.lowlevel.checkpoint()
    return [host]
