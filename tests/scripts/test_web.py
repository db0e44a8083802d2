"""The HTTP client of the bots, against whatever a server may send."""

import contextlib
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import pytest
import trio
import trio.testing

from scripts.botlib.api import Unexpected, next_link
from scripts.botlib.web import Answer, Client, NoAnswer

URL = urlsplit("http://parley.example/base")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: b\r\n\r\nhi"

Serve = Callable[[trio.abc.Stream], Awaitable[None]]


class Server:
    """Serves memory streams."""

    def __init__(self, nursery: trio.Nursery, serve: Serve) -> None:
        self.dialled = 0
        self.heard: list[bytes] = []
        self._nursery = nursery
        self._serve = serve

    async def dial(self) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        self.dialled += 1
        ours, theirs = trio.testing.memory_stream_pair()
        self._nursery.start_soon(self._serve, theirs)
        return ours


async def always(stream: trio.abc.Stream, reply: bytes = OK) -> None:
    while await stream.receive_some():
        await stream.send_all(reply)


def client(server: Server, connections: int = 2) -> Client:
    return Client(URL, 1.0, connections, server.dial)


async def test_a_connection_is_used_again(nursery: trio.Nursery) -> None:
    server = Server(nursery, always)
    async with client(server) as asking:
        for _ in range(3):
            answer = await asking.request("GET", "/x", {})
            assert (answer.status, answer.text, answer.header("x-a")) == (200, "hi", "b")
            assert answer.header("x-b") is None

    assert server.dialled == 1


async def test_a_connection_that_was_idle_is_not_used_again(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    server = Server(nursery, always)
    async with client(server) as asking:
        await asking.request("GET", "/x", {})
        await trio.sleep(5)
        await asking.request("GET", "/x", {})

    assert server.dialled == 2


async def test_a_connection_that_the_server_closes_is_not_used_again(
    nursery: trio.Nursery,
) -> None:
    async def serve(stream: trio.abc.Stream) -> None:
        await always(stream, OK.replace(b"X-A: b", b"Connection: close"))

    server = Server(nursery, serve)
    async with client(server) as asking:
        for _ in range(2):
            await asking.request("GET", "/x", {})

    assert server.dialled == 2


async def test_no_more_connections_than_allowed(nursery: trio.Nursery) -> None:
    server = Server(nursery, always)
    async with client(server) as asking, trio.open_nursery() as requests:
        for _ in range(10):
            requests.start_soon(asking.request, "GET", "/x", {})

    assert server.dialled == 2


async def test_what_is_sent(nursery: trio.Nursery) -> None:
    heard = b""

    async def serve(stream: trio.abc.Stream) -> None:
        nonlocal heard
        heard += await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 100 Continue\r\n\r\n" + OK)

    server = Server(nursery, serve)
    async with client(server) as asking:
        await asking.request("POST", "/x?y=z", {"Authorization": "Bearer t"}, b"body")

    head, _, body = heard.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    assert lines[0] == b"post /base/x?y=z http/1.1"
    assert {b"host: parley.example", b"content-length: 4", b"authorization: bearer t"} < set(lines)
    assert body == b"body"


async def test_an_answer_in_pieces(nursery: trio.Nursery) -> None:
    async def serve(stream: trio.abc.Stream) -> None:
        await stream.receive_some()
        for byte in OK:
            await stream.send_all(bytes([byte]))

    async with client(Server(nursery, serve)) as asking:
        assert (await asking.request("GET", "/x", {})).text == "hi"


@pytest.mark.parametrize(
    "reply", [b"", b"hello\r\n\r\n", OK[:10], OK[:-1], b"HTTP/1.1 101 X\r\n\r\n"]
)
async def test_no_answer(nursery: trio.Nursery, reply: bytes) -> None:
    async def serve(stream: trio.abc.Stream) -> None:
        await stream.receive_some()
        if reply:
            await stream.send_all(reply)
        await stream.aclose()

    async with client(Server(nursery, serve)) as asking:
        with pytest.raises(NoAnswer):
            await asking.request("GET", "/x", {})


async def test_an_answer_without_end(nursery: trio.Nursery) -> None:
    async def serve(stream: trio.abc.Stream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        with trio.move_on_after(5):
            while True:
                await stream.send_all(b"100000\r\n" + b"x" * 0x100000 + b"\r\n")

    async def quiet(stream: trio.abc.Stream) -> None:
        with contextlib.suppress(trio.BrokenResourceError):
            await serve(stream)

    async with client(Server(nursery, quiet)) as asking:
        with pytest.raises(NoAnswer):
            await asking.request("GET", "/x", {})


async def test_an_answer_that_does_not_come(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    async def serve(stream: trio.abc.Stream) -> None:
        await stream.receive_some()
        await trio.sleep(100)

    async with client(Server(nursery, serve)) as asking:
        with pytest.raises(NoAnswer, match="in 1 s"):
            await asking.request("GET", "/x", {})


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ('</x?limit=1&before=a_-b>; rel="next"', "/x?limit=1&before=a_-b"),
        ("</x>; rel=next", "/x"),
        (None, None),
    ],
)
def test_where_the_next_page_is(link: str | None, target: str | None) -> None:
    headers = [] if link is None else [("link", link)]

    assert next_link(Answer("GET", "/x", 200, headers, b"")) == target


@pytest.mark.parametrize("link", ["", "/x", "<x>; rel=next", "</x>", '</x>; rel="prev"'])
def test_a_link_to_nowhere_breaks_a_rule(link: str) -> None:
    with pytest.raises(Unexpected):
        next_link(Answer("GET", "/x", 200, [("link", link)], b""))
