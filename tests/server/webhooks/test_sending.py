"""One request to a receiver, on real sockets: what is sent, and what is made of what comes back."""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from server.support.errors import NotDelivered
from server.webhooks.addresses import Judge, place_of
from server.webhooks.sending import MOST_BODY, MOST_HEAD, Answer, Sender, seconds_until
from tests.server.webhooks.receiver import LOOPBACK

Talk = Callable[[trio.SocketStream], Awaitable[None]]
LATE = 1_000.0


@asynccontextmanager
async def serving(talk: Talk) -> AsyncIterator[int]:
    """Listen on this machine; whoever is cut off does not complain."""

    async def serve(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            await talk(stream)

    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        yield listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()


def says(answer: bytes) -> Talk:
    async def talk(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(answer)

    return talk


async def send(
    port: int,
    *,
    scheme: str = "http",
    addresses: Sequence[str] = ("127.0.0.1",),
    seconds: float = 10.0,
) -> Answer:
    async def look_up(host: str, port: int) -> Sequence[str]:
        await trio.lowlevel.checkpoint()
        assert host == "receiver.example"
        return addresses

    judge = Judge([LOOPBACK], lookup=look_up)
    sender = Sender(judge, seconds=seconds, version="1", clock=lambda: LATE)
    place = place_of(f"{scheme}://receiver.example:{port}/hook")
    return await sender(place, {"webhook-id": "msg_1"}, b"{}")


async def failure(answer: bytes) -> str:
    async with serving(says(answer)) as port:
        with pytest.raises(NotDelivered) as failed:
            await send(port)
    return str(failed.value)


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Answer(200)),
        (b"HTTP/1.0 204 No Content\r\n\r\n", Answer(204)),
        (b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 202 Accepted\r\n\r\nto the end", Answer(202)),
        (b"HTTP/1.1 301 Moved\r\nLocation: http://10.0.0.1/\r\n\r\n", Answer(301)),
        (b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\n\r\n", Answer(503, 7.0)),
        (b"HTTP/1.1 503 Busy\r\nRetry-After: soon\r\n\r\n", Answer(503)),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut", Answer(200)),
    ],
)
async def test_answers_are_understood(said: bytes, answer: Answer) -> None:
    async with serving(says(said)) as port:
        assert await send(port) == answer


async def test_what_is_no_answer_is_a_failure() -> None:
    assert await failure(b"SSH-2.0-OpenSSH\r\n\r\n") == "what answers does not speak HTTP"
    assert await failure(b"") == "what answers does not speak HTTP"
    endless = b"HTTP/1.1 200 OK\r\nX: " + b"x" * (MOST_HEAD + MOST_BODY)
    assert await failure(endless) == "what answers does not speak HTTP"
    early = b"HTTP/1.1 100 Continue\r\n\r\n" * 4_000
    assert await failure(early) == "the answer is too long, or there is none"


async def test_a_body_without_end_is_left_alone() -> None:
    async def talk(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await stream.send_all(b"x" * 65_536)

    async with serving(talk) as port:
        assert await send(port) == Answer(200)


async def test_a_body_that_does_not_come_is_not_waited_for(autojump_clock: MockClock) -> None:
    autojump_clock.autojump_threshold = 0.02

    async def talk(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
        await trio.sleep_forever()

    async with serving(talk) as port:
        assert await send(port) == Answer(200)
    assert trio.current_time() < 2


async def test_a_receiver_that_hangs_is_left(autojump_clock: MockClock) -> None:
    autojump_clock.autojump_threshold = 0.02

    async def talk(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    async with serving(talk) as port:
        with pytest.raises(NotDelivered, match="no answer within 3 s"):
            await send(port, seconds=3.0)


async def test_an_address_that_does_not_answer_gives_way_to_the_next() -> None:
    async with serving(says(b"HTTP/1.1 200 OK\r\n\r\n")) as port:
        assert await send(port, addresses=["127.7.7.7", "127.0.0.1"]) == Answer(200)
    with pytest.raises(NotDelivered, match="the connection failed"):
        await send(port)


async def test_where_it_may_not_go_it_does_not_connect() -> None:
    called = False

    async def talk(stream: trio.SocketStream) -> None:
        nonlocal called
        called = True
        await trio.lowlevel.checkpoint()

    async with serving(talk) as port:
        with pytest.raises(NotDelivered, match="the address leads into a network"):
            await send(port, addresses=["127.0.0.1", "192.168.0.1"])
        await trio.testing.wait_all_tasks_blocked()
    assert not called


async def test_https_needs_a_certificate_that_is_trusted() -> None:
    async with serving(says(b"HTTP/1.1 200 OK\r\n\r\n")) as port:
        with pytest.raises(NotDelivered, match="no trusted connection could be made"):
            await send(port, scheme="https")
    assert ssl.create_default_context().check_hostname


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        ("0", 0.0),
        ("9" * 400, float("inf")),
        ("-5", None),
        ("1.5", None),
        ("", None),
        ("soon", None),
        ("Thu, 01 Jan 1970 00:20:00 GMT", 200.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Thu, 99 Jan 1970 00:00:00 GMT", None),
    ],
)
def test_when_to_come_again_is_a_number_or_a_date(text: str, seconds: float | None) -> None:
    assert seconds_until(text, LATE) == seconds
