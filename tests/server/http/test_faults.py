"""Errors below the application: each has the form of all others, and says what was wrong."""

import pytest
import trio
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, Scope
from trio.testing import MockClock

from server.http.serve import HttpServer
from server.support.limits import Limits
from tests.server.http_client import connect, make_server


@pytest.mark.parametrize("before", [True, False], ids=["on a later request", "on the first"])
@pytest.mark.parametrize(
    ("bad", "status", "why"),
    [
        (b"\x00\xff garbage\r\n\r\n", 400, "illegal request line"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "Host"),
        (b"GET / HTTP/1.1\r\nHost: t\r\nHost: t\r\n\r\n", 400, "Host"),
        (b"GET / HTTP/1.1\r\nHost: t\r\nno colon\r\n\r\n", 400, "header"),
        (b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: -1\r\n\r\n", 400, "Content-Length"),
        (b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: gzip\r\n\r\n", 501, "chunked"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000, 431, "large"),
        (b"GET / HTTP/2.0\r\nHost: t\r\n\r\n", 505, "only HTTP/1"),
        (b"CONNECT a:80 HTTP/1.1\r\nHost: t\r\n\r\n", 501, "CONNECT"),
    ],
)
async def test_what_is_no_acceptable_http_is_answered_in_json(
    autojump_clock: MockClock, before: bool, bad: bytes, status: int, why: str
) -> None:
    async with trio.open_nursery() as nursery:
        client = connect(nursery, make_server())
        if before:
            await client.ask("/health")
        await client.send(bad)
        answer = await client.answer()
        assert await client.ended() == b""

    assert answer.status == status
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["connection"] == "close"
    assert set(answer.json) == {"error"}
    assert why in answer.json["error"]
    assert "bytearray" not in answer.json["error"]


async def test_after_a_head_what_is_no_http_is_answered_with_a_body(
    autojump_clock: MockClock,
) -> None:
    async with trio.open_nursery() as nursery:
        client = connect(nursery, make_server())
        assert (await client.ask("/health", "HEAD")).status == 200
        await client.send(b"GET / HTTP/1.1\r\n\r\n")
        answer = await client.answer()
        assert await client.ended() == b""

    assert "Host" in answer.json["error"]


async def silent(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_request_that_the_application_leaves_alone_is_500(
    autojump_clock: MockClock, method: str
) -> None:
    async with trio.open_nursery() as nursery:
        client = connect(nursery, HttpServer(silent, Limits()))
        answer = await client.ask("/", method)
        assert await client.ended() == b""

    assert answer.status == 500
    assert answer.headers["cache-control"] == "no-store"
    assert answer.body == (b"" if method == "HEAD" else b'{"error":"internal server error"}')


async def test_a_body_that_is_refused_unread_is_answered_with_the_same_headers(
    autojump_clock: MockClock,
) -> None:
    async with trio.open_nursery() as nursery:
        client = connect(nursery, make_server(limits=Limits(body_bytes=10)))
        answer = await client.ask("/", "POST", head="Content-Length: 11\r\n")
        await client.stream.aclose()

    assert answer.status == 413
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
