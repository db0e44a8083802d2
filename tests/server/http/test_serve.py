"""What a connection may suffer: every wait ends, nothing a peer sends raises, nobody is cut short.

On Trio memory streams with a virtual clock that jumps whenever everything waits, but for the one
test that says otherwise; it runs on loopback sockets, because resetting a connection is theirs.
"""

import socket

import pytest
import trio
import trio.testing
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, Scope
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from trio.testing import MockClock

from server.http.guard import (
    BODY_PIECES,
    BODY_SECONDS,
    LINGER_BYTES,
    LINGER_SECONDS,
)
from server.http.serve import KEEP_ALIVE_SECONDS, HttpServer
from server.http.stream import BoundedStream
from server.support.limits import Limits
from tests.server.http_client import Client, FakeSocket, connect, make_server

GET = "GET /health HTTP/1.1\r\nHost: t\r\n\r\n"
POST = "POST / HTTP/1.1\r\nHost: t\r\n"
H2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"


async def test_pipelined_requests_are_answered_in_order(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        client = connect(nursery, make_server())
        await client.send(GET, "GET / HTTP/1.1\r\nHost: t\r\n\r\n", GET)
        first, second, third = [await client.answer() for _ in range(3)]
        await client.stream.aclose()

    assert first.json == third.json
    assert second.json["name"] == "Parley"


async def test_an_idle_connection_ends_after_the_keep_alive_time(
    autojump_clock: MockClock,
) -> None:
    async with trio.open_nursery() as nursery:
        client = connect(nursery, make_server())
        await client.ask("/health")
        start = trio.current_time()
        assert await client.ended() == b""

    assert trio.current_time() - start == pytest.approx(KEEP_ALIVE_SECONDS)


async def test_half_a_head_gets_no_more_time_than_silence(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        client = connect(nursery, make_server())
        await client.ask("/health")
        start = trio.current_time()
        await client.send("GET / HTT")
        assert await client.ended() == b""

    assert trio.current_time() - start == pytest.approx(KEEP_ALIVE_SECONDS)


@pytest.mark.parametrize("sent", ["", GET, GET + "GET / HT", POST + "Content-Length: 9\r\n\r\nx"])
async def test_a_peer_that_leaves_is_forgotten_at_once(
    autojump_clock: MockClock, sent: str
) -> None:
    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        client = connect(nursery, make_server())
        await client.send(sent)
        await client.stream.aclose()

    assert trio.current_time() == start


async def test_half_a_body_is_408(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        client = connect(nursery, make_server())
        start = trio.current_time()
        await client.send(POST, "Content-Length: 5\r\n\r\nab")
        answer = await client.answer()
        assert await client.ended() == b""

    assert answer.status == 408
    assert set(answer.json) == {"error"}
    assert trio.current_time() - start == pytest.approx(BODY_SECONDS)


async def test_a_chunked_body_is_bounded_in_bytes(autojump_clock: MockClock) -> None:
    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        client = connect(nursery, make_server(limits=Limits(body_bytes=1024)))
        chunk = b"200\r\n" + b"x" * 0x200 + b"\r\n"
        await client.send(POST, "Transfer-Encoding: chunked\r\n\r\n", chunk * 3, "0\r\n\r\n")
        answer = await client.answer()
        assert await client.ended() == b""

    assert answer.status == 413
    assert trio.current_time() == start


async def test_a_chunked_body_is_bounded_in_pieces(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        client = connect(nursery, make_server())
        chunks = b"1\r\nx\r\n" * (BODY_PIECES + 1)
        await client.send(POST, "Transfer-Encoding: chunked\r\n\r\n", chunks, "0\r\n\r\n")
        answer = await client.answer()

    assert answer.status == 413


async def test_a_chunked_body_within_the_bounds_is_read_to_its_end(
    autojump_clock: MockClock,
) -> None:
    async with trio.open_nursery() as nursery:
        client = connect(nursery, make_server())
        await client.send(POST, "Transfer-Encoding: chunked\r\n\r\n")
        await client.send(b"1\r\nx\r\n" * (BODY_PIECES - 1), "0\r\n\r\n", GET)
        first, second = await client.answer(), await client.answer()
        await client.stream.aclose()

    assert (first.status, second.status) == (405, 200)


async def test_a_refused_body_that_stalls_is_cut_off(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        client = connect(nursery, make_server())
        start = trio.current_time()
        await client.send(POST, "Content-Length: 1000000\r\n\r\n", b"x" * 100)
        answer = await client.answer()
        await client.ended()

    assert answer.status == 413
    assert trio.current_time() - start == pytest.approx(LINGER_SECONDS)


async def test_a_refused_body_without_end_is_cut_off(autojump_clock: MockClock) -> None:
    size = LINGER_BYTES * 2
    async with trio.open_nursery() as nursery:
        client = connect(nursery, make_server())
        start = trio.current_time()
        await client.send(POST, f"Content-Length: {size}\r\n\r\n", b"x" * size)
        answer = await client.answer()
        await client.ended()

    assert answer.status == 413
    assert trio.current_time() == start


async def test_a_peer_that_is_told_to_go_on_with_its_body_may_do_so(
    autojump_clock: MockClock,
) -> None:
    async with trio.open_nursery() as nursery:
        client = connect(nursery, make_server())
        await client.send(POST, "Content-Length: 1\r\nExpect: 100-continue\r\n\r\n")
        assert (await client.stream.receive_some()).startswith(b"HTTP/1.1 100 ")
        await client.send("x")
        answer = await client.answer()
        await client.stream.aclose()

    assert answer.status == 405


async def test_a_wish_for_http_2_is_ignored(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        client = connect(nursery, make_server())
        upgrade = (
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
        )
        first = await client.ask("/health", head=upgrade)
        second = await client.ask("/health")
        await client.stream.aclose()

    assert (first.status, second.status) == (200, 200)


@pytest.mark.parametrize("before", [b"", GET.encode()])
async def test_http_2_without_asking_is_505(autojump_clock: MockClock, before: bytes) -> None:
    async with trio.open_nursery() as nursery:
        client = connect(nursery, make_server())
        await client.send(before, H2_PREFACE)
        if before:
            await client.answer()
        answer = await client.answer()
        assert await client.ended() == b""

    assert answer.status == 505


async def test_a_websocket_on_a_later_request_is_refused_like_no_upgrade(
    autojump_clock: MockClock,
) -> None:
    with capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            client = connect(nursery, make_server())
            await client.ask("/health")
            answer = await client.ask(
                "/ws?action=CREATE_ROOM&name=Ada",
                head="Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
            )
            after = await client.ask("/health")
            await client.stream.aclose()

    assert (answer.status, after.status) == (426, 200)
    assert {entry["log_level"] for entry in logs} == {"debug"}


@pytest.mark.parametrize("before", ["", GET])
async def test_connect_is_501_and_the_end(autojump_clock: MockClock, before: str) -> None:
    """Whatever comes behind it would be the tunnel's, and must not be answered."""
    async with trio.open_nursery() as nursery:
        client = connect(nursery, make_server())
        await client.send(before, "CONNECT example.com:80 HTTP/1.1\r\nHost: t\r\n\r\n", GET)
        answers = [await client.answer() for _ in range(2 if before else 1)]
        assert await client.ended() == b""

    assert answers[-1].status == 501
    assert answers[-1].headers["connection"] == "close"
    assert "CONNECT" in answers[-1].json["error"]


@pytest.mark.parametrize("before", ["", GET])
async def test_two_lengths_of_one_body_are_answered_and_the_end(
    autojump_clock: MockClock, before: str
) -> None:
    """RFC 9112 section 6.1: what comes behind it may have been smuggled."""
    smuggling = POST + "Content-Length: 100\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    async with trio.open_nursery() as nursery:
        client = connect(nursery, make_server())
        await client.send(before, smuggling, GET)
        answers = [await client.answer() for _ in range(2 if before else 1)]
        assert await client.ended() == b""

    assert answers[-1].status == 405
    assert answers[-1].headers["connection"] == "close"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_what_is_refused_before_it_is_a_request_is_said_in_words(
    autojump_clock: MockClock, method: str
) -> None:
    async with trio.open_nursery() as nursery:
        client = connect(nursery, make_server())
        await client.send(f"{method} / HTTP/3.0\r\nHost: t\r\n\r\n")
        rest = await client.ended()

    head, _, body = rest.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 505 ")
    assert body == (
        b"" if method == "HEAD" else b'{"error":"only HTTP/1.0 and HTTP/1.1 are supported"}'
    )


@pytest.mark.parametrize(
    "bad",
    [
        b"\x00\xff garbage\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",  # no Host
        b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_nonsense_after_a_request_is_400_and_the_end(
    autojump_clock: MockClock, bad: bytes
) -> None:
    async with trio.open_nursery() as nursery:
        client = connect(nursery, make_server())
        await client.ask("/health")
        start = trio.current_time()
        await client.send(bad)
        answer = await client.answer()
        assert await client.ended() == b""

    assert answer.status == 400
    assert trio.current_time() == start


async def test_an_endless_head_is_431(autojump_clock: MockClock) -> None:
    limits = Limits()
    async with trio.open_nursery() as nursery:
        client = connect(nursery, make_server(limits=limits))
        await client.send(b"GET / HTTP/1.1\r\nX: " + b"x" * (limits.head_bytes + 1))
        answer = await client.answer()

    assert answer.status == 431


async def test_a_peer_that_does_not_read_is_cut_off(autojump_clock: MockClock) -> None:
    limits = Limits()
    async with trio.open_nursery() as nursery:
        client = connect(nursery, make_server(limits=limits), lockstep=True)
        start = trio.current_time()
        await client.send(GET)

    assert trio.current_time() - start == pytest.approx(limits.write_seconds)
    await client.stream.aclose()


async def test_a_peer_that_leaves_before_its_answer_is_forgotten_at_once(
    autojump_clock: MockClock,
) -> None:
    async with trio.open_nursery() as nursery:
        client = connect(nursery, make_server(), lockstep=True)
        start = trio.current_time()
        await client.send(GET)
        await trio.testing.wait_all_tasks_blocked()
        await client.stream.aclose()

    assert trio.current_time() == start


async def test_draining_ends_an_idle_connection(autojump_clock: MockClock) -> None:
    server = make_server()
    async with trio.open_nursery() as nursery:
        client = connect(nursery, server)
        await client.ask("/health")
        start = trio.current_time()
        await server.begin_drain()
        assert await client.ended() == b""

    assert trio.current_time() == start


async def test_while_draining_a_new_connection_gets_one_answer(
    autojump_clock: MockClock,
) -> None:
    server = make_server()
    async with trio.open_nursery() as nursery:
        waiting = connect(nursery, server)
        await trio.testing.wait_all_tasks_blocked()
        await server.begin_drain()
        new = connect(nursery, server)
        start = trio.current_time()
        for client in (waiting, new):
            answer = await client.ask("/health")
            assert answer.status == 200
            assert answer.headers["connection"] == "close"
            assert await client.ended() == b""

    assert trio.current_time() == start


async def test_draining_lets_a_request_come_to_its_end(autojump_clock: MockClock) -> None:
    server = make_server()
    async with trio.open_nursery() as nursery:
        client = connect(nursery, server)
        await client.send(POST, "Content-Length: 1\r\n\r\n")
        await trio.testing.wait_all_tasks_blocked()
        await server.begin_drain()
        await client.send("x")
        answer = await client.answer()
        assert await client.ended() == b""

    assert answer.status == 405


async def test_cancelling_ends_the_service_of_a_connection(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        client = connect(nursery, make_server())
        await client.ask("/health")
        nursery.cancel_scope.cancel()


async def test_an_application_may_wait_for_the_peer_to_leave(autojump_clock: MockClock) -> None:
    seen: list[str] = []

    async def waiting(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        seen.extend([(await receive())["type"], (await receive())["type"]])

    async with trio.open_nursery() as nursery:
        client = connect(nursery, HttpServer(waiting, Limits()))
        await client.send(GET)
        await trio.testing.wait_all_tasks_blocked()
        await client.stream.aclose()

    assert seen == ["http.request", "http.disconnect"]


PIECES = st.sampled_from(
    [
        GET.encode(),
        POST.encode(),
        H2_PREFACE,
        b"GET ",
        b"/ws HTTP/1.1\r\n",
        b"Host: t\r\n",
        b"Upgrade: websocket\r\nConnection: Upgrade\r\n",
        b"Upgrade: h2c\r\nHTTP2-Settings: \r\n",
        b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Expect: 100-continue\r\n",
        b"Connection: close\r\n",
        b"\r\n",
        b"3\r\nabc\r\n",
        b"0\r\n\r\n",
        b"abc",
    ]
)


@given(st.lists(PIECES | st.binary(max_size=20), max_size=12), st.booleans())
@settings(deadline=None)
def test_nothing_that_a_peer_sends_raises(pieces: list[bytes], leaves: bool) -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            client = connect(nursery, server)
            try:
                await client.send(*pieces)
                if leaves:
                    await client.stream.aclose()
                else:
                    await client.ended()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass

    server = make_server()
    with capture_logs() as logs:
        trio.run(main, clock=MockClock(autojump_threshold=0))

    assert {entry["log_level"] for entry in logs} <= {"debug"}


async def test_a_bounded_stream_passes_everything_on() -> None:
    left, right = trio.testing.memory_stream_pair()
    left.socket = FakeSocket()  # type: ignore[attr-defined]
    ends = 0

    async def count() -> None:
        nonlocal ends
        await trio.lowlevel.checkpoint()
        ends += 1

    stream = BoundedStream(left, 1.0, lambda: None)
    stream.on_end = count
    await stream.wait_send_all_might_not_block()
    await stream.send_all(b"x" * 200_000)
    await stream.send_eof()
    received = b"".join([bytes(piece) async for piece in right])
    assert len(received) == 200_000
    await right.aclose()
    assert await stream.receive_some() == b""
    assert ends == 1
    await stream.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await stream.receive_some()
    assert ends == 3


async def test_a_refused_body_does_not_reset_a_real_connection() -> None:
    """On loopback sockets and the real clock."""
    server = make_server()
    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, server.serve_connection, [listener])
        port = listener.socket.getsockname()[1]
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
        client = Client(stream)
        await client.send(POST, "Content-Length: 1048576\r\n\r\n", b"x" * (1 << 20))
        answer = await client.answer()
        assert await client.ended() == b""
        await stream.aclose()
        nursery.cancel_scope.cancel()

    assert answer.status == 413
