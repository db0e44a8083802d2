"""The first request of a connection: where it leads, and every way to be turned away."""

import contextlib
import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import orjson
import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from trio.testing import MockClock

from server.admission.door import Door
from server.admission.routes import RouteTable, Upgrade, WebSocketRoute
from server.auth.proxies import Proxies
from server.auth.sources import Source, Sources
from server.edge.places import TOO_FAST, Places
from server.edge.prefixed import PrefixedStream
from server.support.counters import Counters
from server.support.limits import Limits
from tests.server.admission.entrance import make_entrance
from tests.server.harness import (
    ACCEPT,
    REQUEST,
    WIRES,
    Client,
    Cutter,
    Released,
    Wire,
    make_peer,
    sweep,
    tasks,
)

BOTH = pytest.mark.parametrize("wire", WIRES)
GET = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="

settled = trio.testing.wait_all_tasks_blocked


class FakeHttp:
    """Reads until nothing more comes at once, and answers."""

    def __init__(self) -> None:
        self.heard = b""
        self.wait = False

    async def serve_connection(self, stream: PrefixedStream) -> None:
        while not self.heard.endswith(b"\r\n\r\n"):
            self.heard += await stream.receive_some(7)
        if self.wait:
            await trio.sleep_forever()
        await stream.send_all(b"served")


@attrs.define
class Standing:
    """A door, and somebody before it."""

    door: Door
    client: Client
    http: FakeHttp
    upgrades: list[Upgrade]
    counters: Counters
    released: Released
    done: trio.Event
    places: Places
    nursery: trio.Nursery

    async def answer(self) -> tuple[int, dict[bytes, bytes], str]:
        """Read a refusal, which must be the last that there is."""
        await self.client.stream.send_eof()
        data = await self.client.all()
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        headers = {k.lower(): v for k, _, v in (line.partition(b": ") for line in lines)}
        assert headers[b"connection"] == b"close"
        assert headers[b"content-type"] == b"application/json"
        assert headers[b"cache-control"] == b"no-store"
        assert headers[b"x-content-type-options"] == b"nosniff"
        await self.done.wait()
        if body:
            assert int(headers[b"content-length"]) == len(body)
        return int(first.split()[1]), headers, orjson.loads(body)["error"] if body else ""


@asynccontextmanager
async def standing(
    wire: Wire = "memory", *, limits: Limits | None = None, proxy: str = "", first: bytes = b""
) -> AsyncIterator[Standing]:
    peer, client, released = make_peer(wire)
    peer.first = first
    counters = Counters()
    http = FakeHttp()
    upgrades: list[Upgrade] = []

    async def route(upgrade: Upgrade) -> None:
        upgrades.append(upgrade)
        try:
            await upgrade.peer.stream.send_all(b"upgraded")
        finally:
            await upgrade.peer.aclose()

    limits = limits or Limits()
    proxies = Proxies([ipaddress.ip_network(proxy)] if proxy else [])
    entrance = make_entrance(limits=limits, counters=counters, sources=Sources(proxies))
    peer.source = entrance.sources.direct(peer.address)
    entrance.places.enter(peer)
    door = Door(
        limits=limits,
        routes=RouteTable(
            [
                WebSocketRoute(path="/ws", handler=route, how="/ws"),
                WebSocketRoute(path="/spoken", handler=route, how="/", subprotocols=("b", "a")),
                WebSocketRoute(path="/of/{name}", handler=route, how="/"),
            ]
        ),
        http=http,
        places=entrance.places,
        sources=entrance.sources,
        counters=counters,
    )
    done = trio.Event()

    async def serve() -> None:
        try:
            await door.serve(peer)
        finally:
            done.set()

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)  # noqa: ASYNC113
            yield Standing(
                door, client, http, upgrades, counters, released, done, entrance.places, nursery
            )
            nursery.cancel_scope.cancel()
    finally:
        await trio.aclose_forcefully(client.stream)
    assert released.count == 1
    if peer.sock is not None:
        assert peer.sock.fileno() == -1


# --- through the door -----------------------------------------------------------------------


@BOTH
async def test_a_request_for_a_page_is_served_from_its_first_byte(
    wire: Wire, autojump_clock: MockClock
) -> None:
    async with standing(wire) as it:
        await it.client.send(GET)
        assert await it.client.all() == b"served"
        await it.done.wait()
        assert it.http.heard == GET
        assert it.counters.connections_refused == 0


@BOTH
async def test_a_request_for_a_websocket_goes_to_its_route(
    wire: Wire, autojump_clock: MockClock
) -> None:
    async with standing(wire) as it:
        request = REQUEST.replace(b"/ws ", b"/ws?action=CREATE_ROOM&name=%20A ")
        await it.client.send(request + b"\x81\x80left over")
        assert await it.client.all() == b"upgraded"
        await it.done.wait()

        [upgrade] = it.upgrades
        assert (upgrade.path, upgrade.query) == ("/ws", "action=CREATE_ROOM&name=%20A")
        assert upgrade.leftover == b"\x81\x80left over"
        assert ACCEPT in upgrade.response
        assert upgrade.response.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    "change",
    [
        (b"Connection: Upgrade", b"Connection: keep-alive, UPGRADE"),
        (b"Connection: Upgrade", b"connection: Upgrade\r\nConnection: keep-alive"),
        (b"Upgrade: websocket", b"UPGRADE: WebSocket"),
        (b"Upgrade: websocket", b"Upgrade: websocket, h2c"),
        (b"Upgrade: websocket", b"Upgrade: websocket\r\nUpgrade: h2c"),
        (b"Host: localhost", b"Host: localhost\r\nSec-WebSocket-Protocol: \xff"),
        (b"Host: localhost", b"Host: localhost\r\nSec-WebSocket-Extensions: \xff"),
        (b"Host: localhost", b"Host: localhost:8080"),
        (b"Host: localhost", b"Host: [::1]:8080"),
        (b"/ws ", b"http://localhost/ws "),
        (b"Host: localhost", b"Host: localhost\r\nOrigin: http://localhost"),
        (b"Host: localhost", b"Host: a:1\r\nOrigin: https://a:1\r\nSec-Fetch-Site: same-origin"),
    ],
)
async def test_a_request_may_be_worded_as_the_standard_permits(
    change: tuple[bytes, bytes], autojump_clock: MockClock
) -> None:
    async with standing() as it:
        await it.client.send(REQUEST.replace(*change))
        assert await it.client.all() == b"upgraded"


@pytest.mark.parametrize(
    "change",
    [
        (b"Upgrade: websocket\r\n", b""),
        (b"Upgrade: websocket", b"Upgrade: h2c"),
        (b"Connection: Upgrade", b"Connection: close"),
    ],
)
async def test_what_does_not_ask_for_a_websocket_is_served_as_a_page(
    change: tuple[bytes, bytes], autojump_clock: MockClock
) -> None:
    async with standing() as it:
        await it.client.send(REQUEST.replace(*change))
        assert await it.client.all() == b"served"


@settings(max_examples=60)
@given(
    st.lists(st.integers(1, 400), max_size=30), st.sampled_from([GET, REQUEST + b"\x81\x80rest"])
)
def test_a_head_may_come_in_any_pieces(sizes: list[int], request: bytes) -> None:
    async def main() -> None:
        async with standing() as it:
            at = 0
            for size in [*sizes, len(request)]:
                with contextlib.suppress(trio.BrokenResourceError):  # answered already
                    await it.client.send(request[at : at + size])
                at += size
                await settled()
            assert await it.client.all() == (b"served" if request == GET else b"upgraded")

    trio.run(main)


# --- turned away ----------------------------------------------------------------------------


def changed(old: bytes, new: bytes) -> bytes:
    assert old in REQUEST
    return REQUEST.replace(old, new)


@pytest.mark.parametrize(
    ("request_", "status", "word"),
    [
        (b"nonsense\r\n\r\n", 400, ""),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, ""),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "Host"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "Host"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: zip\r\n\r\n", 501, ""),
        (changed(b"Host: localhost\r\n", b""), 400, "Host"),
        (changed(b"Host: localhost", b"Host:"), 400, "Host"),
        (changed(b"Host: localhost", b"Host: \xff"), 400, "Host"),
        (changed(b"Host: localhost", b"Host: xn--\xff"), 400, "Host"),
        (changed(b"GET", b"POST"), 405, "GET"),
        (changed(b"GET", b"HEAD"), 405, ""),
        (changed(b"HTTP/1.1", b"HTTP/1.0"), 400, "HTTP/1.1"),
        (changed(b"Host: localhost", b"Host: a\r\nContent-Length: 0"), 400, "body"),
        (changed(b"Host: localhost", b"Host: a\r\nTransfer-Encoding: chunked"), 400, "body"),
        (changed(b"Sec-WebSocket-Key: " + KEY + b"\r\n", b""), 400, "Key"),
        (changed(KEY, KEY + b"\r\nSec-WebSocket-Key: " + KEY), 400, "Key"),
        (changed(KEY, b"dGhlIHNhbXBsZQ=="), 400, "Key"),
        (changed(KEY, b"!!!!!!!!!!!!!!!!!!!!!!=="), 400, "Key"),
        (changed(KEY, b"\xff"), 400, "Key"),
        (changed(b"Sec-WebSocket-Version: 13\r\n", b""), 400, "Version"),
        (changed(b"Version: 13", b"Version: 12"), 426, "13"),
        (changed(b"Version: 13", b"Version: 13\r\nSec-WebSocket-Version: 8"), 426, "13"),
        (changed(b"/ws ", b"/nowhere?a=b "), 404, "/nowhere"),
        (changed(b"/ws ", b"/ws/ "), 404, "/ws/"),
        (changed(b"/ws ", b"//[ "), 400, ""),
        (changed(b"/ws ", b"* "), 404, "*"),
        (changed(b"Host: localhost", b"Host: xn--" + b"a" * 15_000), 400, "Host"),
        (changed(b"Host: localhost", b"Host: a\r\nOrigin: http://b"), 403, "another site"),
        (changed(b"Host: localhost", b"Host: a\r\nOrigin: http://\xff"), 403, "another site"),
        (changed(b"Host: localhost", b"Host: a\r\nOrigin: null"), 403, "another site"),
        (changed(b"Host: localhost", b"Host: a\r\nSec-Fetch-Site: cross-site"), 403, "another"),
        (b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n" + GET, 501, "CONNECT"),
        (b"\x00\xff garbage\r\n\r\n", 400, "not valid HTTP: illegal request line"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "not valid HTTP: missing mandatory Host"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x\r\n\r\n", 501, "chunked"),
    ],
)
async def test_a_bad_request_is_answered_with_what_is_wrong(
    request_: bytes, status: int, word: str, autojump_clock: MockClock
) -> None:
    with capture_logs() as logs:
        async with standing() as it:
            await it.client.send(request_)
            found, headers, error = await it.answer()
            assert found == status
            assert word in error
            assert "bytearray" not in error
            assert it.counters.connections_refused == 1
            assert it.upgrades == []
            if status == 405:
                assert headers[b"allow"] == b"GET"
            if status == 426:
                assert headers[b"sec-websocket-version"] == b"13"
                assert headers[b"upgrade"] == b"websocket"
    assert [entry["status"] for entry in logs] == [status]


@pytest.mark.parametrize(
    ("path", "offered", "selected"),
    [
        ("/ws", "a, b", None),
        ("/spoken", "c", None),
        ("/spoken", "a, b", "b"),
        ("/spoken", "c\r\nSec-WebSocket-Protocol: a", "a"),
    ],
)
async def test_a_subprotocol_is_selected_if_the_route_speaks_it(
    path: str, offered: str, selected: str | None, autojump_clock: MockClock
) -> None:
    async with standing() as it:
        request = changed(b"/ws ", f"{path} ".encode())
        await it.client.send(
            request.replace(b"\r\n\r\n", f"\r\nSec-WebSocket-Protocol: {offered}\r\n\r\n".encode())
        )
        await it.done.wait()
        [upgrade] = it.upgrades
        assert upgrade.subprotocol == selected
        assert (b"Sec-WebSocket-Protocol" in upgrade.response) is (selected is not None)


async def test_what_stands_in_the_path_is_handed_on(autojump_clock: MockClock) -> None:
    async with standing() as it:
        await it.client.send(changed(b"/ws ", b"/of/a%20b "))
        await it.done.wait()
        assert it.upgrades[0].parameters == {"name": "a b"}


@pytest.mark.parametrize("request_", [GET, REQUEST])
async def test_what_was_read_already_is_read_first(
    request_: bytes, autojump_clock: MockClock
) -> None:
    for size in (1, 30, len(request_)):
        async with standing(first=request_[:size]) as it:
            with contextlib.suppress(trio.BrokenResourceError):
                await it.client.send(request_[size:])
            assert await it.client.all() == (b"served" if request_ is GET else b"upgraded")


async def test_by_way_of_a_proxy_each_client_has_its_own_bounds(
    autojump_clock: MockClock,
) -> None:
    limits = Limits(address_burst=1, address_rate=0.001)
    forwarded = REQUEST.replace(b"\r\n\r\n", b"\r\nX-Forwarded-For: 198.51.100.7\r\n\r\n")
    async with standing(limits=limits, proxy="192.0.2.0/24") as it:
        await it.client.send(forwarded)
        await it.done.wait()
        [upgrade] = it.upgrades
        assert upgrade.peer.source == Source("198.51.100.7")
        assert it.places.move(make_peer("memory")[0], Source("198.51.100.7")) == TOO_FAST


async def test_a_long_path_is_neither_answered_nor_logged_whole(
    autojump_clock: MockClock,
) -> None:
    with capture_logs() as logs:
        async with standing() as it:
            await it.client.send(changed(b"/ws ", b"/" + b"x" * 15_000 + b" "))
            status, _, error = await it.answer()
    assert status == 404
    assert len(error) < 300
    assert len(str(logs)) < 1000


@pytest.mark.parametrize("size", [1, 1000, 5000])
async def test_a_head_that_is_too_large_is_431(size: int, autojump_clock: MockClock) -> None:
    async with standing(limits=Limits(head_bytes=2000)) as it:
        with contextlib.suppress(trio.BrokenResourceError):
            await it.client.send(b"GET / HTTP/1.1\r\n")
            for _ in range(6000 // size):
                await it.client.send(b"X" * size)
        status, _, error = await it.answer()
        assert status == 431
        assert error


async def test_half_a_request_and_then_silence_is_408(autojump_clock: MockClock) -> None:
    async with standing(limits=Limits(first_request_seconds=5)) as it:
        await it.client.send(GET[:20])
        await it.client.head()
        assert trio.current_time() == 5
        await it.client.stream.send_eof()
        await it.done.wait()
        assert it.counters.connections_refused == 1


async def test_a_request_that_drips_gets_no_more_time(autojump_clock: MockClock) -> None:
    async with standing(limits=Limits(first_request_seconds=5)) as it:
        with contextlib.suppress(trio.BrokenResourceError):
            for byte in GET:
                await it.client.send(bytes((byte,)))
                await trio.sleep(1)
        assert (await it.answer())[0] == 408


async def test_whoever_says_nothing_is_hung_up_on(autojump_clock: MockClock) -> None:
    async with standing() as it:
        assert await it.client.all() == b""
        assert trio.current_time() == Limits().first_request_seconds
        assert it.counters.connections_refused == 0


@pytest.mark.parametrize("sent", [b"", GET[:20]])
@BOTH
async def test_whoever_goes_before_asking_is_forgotten(
    wire: Wire, sent: bytes, autojump_clock: MockClock
) -> None:
    async with standing(wire) as it:
        await it.client.send(sent)
        await it.client.stream.send_eof()
        await it.done.wait()
        assert await it.client.all() == b""


async def test_whoever_resets_is_forgotten_without_a_word(autojump_clock: MockClock) -> None:
    with capture_logs() as logs:
        async with standing("socket") as it:
            await it.client.send(b"half")
            await settled()
            it.client.reset()
            await it.done.wait()
    assert logs == []


async def test_whoever_breaks_off_while_it_is_refused_is_forgotten(
    autojump_clock: MockClock,
) -> None:
    with capture_logs() as logs:
        async with standing("socket") as it:
            await it.client.send(b"nonsense\r\n\r\n")
            await settled()
            it.client.reset()
            await it.done.wait()
            assert trio.current_time() == 0
    assert [entry["event"] for entry in logs] == ["refused"]


async def test_whoever_does_not_go_after_a_refusal_is_cut(autojump_clock: MockClock) -> None:
    async with standing("socket", limits=Limits(close_seconds=2)) as it:
        await it.client.send(b"nonsense\r\n\r\n")
        assert b"400" in await it.client.all()
        await it.done.wait()
        assert trio.current_time() == 2


async def test_whoever_goes_on_sending_gets_the_answer_nevertheless(
    autojump_clock: MockClock,
) -> None:
    async with standing("socket") as it:
        await it.client.send(b"nonsense\r\n\r\n")
        await it.client.send(b"more " * 10_000)
        assert (await it.answer())[0] == 400


@pytest.mark.parametrize("request_", [GET, REQUEST, GET.replace(b"GET", b"HEAD")])
async def test_while_draining_everybody_is_turned_away(
    request_: bytes, autojump_clock: MockClock
) -> None:
    async with standing() as it:
        it.door.drain()
        await it.client.send(request_)
        status, headers, _ = await it.answer()
        assert status == 503
        assert headers[b"retry-after"] == b"5"


@pytest.mark.parametrize("sent", [b"", GET[:10]])
async def test_draining_hangs_up_on_whoever_has_not_asked_yet(
    sent: bytes, autojump_clock: MockClock
) -> None:
    async with standing() as it:
        await it.client.send(sent)
        await settled()
        it.door.drain()
        assert await it.client.all() == b""
        await it.done.wait()


@pytest.mark.parametrize("request_", [GET, REQUEST, b"nonsense\r\n\r\n"])
@BOTH
def test_cancelled_at_any_step_the_connection_is_closed(wire: Wire, request_: bytes) -> None:
    async def scenario(cutter: Cutter) -> None:
        before = tasks()
        async with standing(wire) as it:
            cutter.arm(it.nursery.cancel_scope)

            async def talk() -> None:
                for start in range(0, len(request_), 50):
                    with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                        await it.client.send(request_[start : start + 50])
                await it.client.all()

            with trio.CancelScope(shield=True):
                await talk()
                await it.done.wait()
            cutter.disarm()
            assert it.released.count == 1
        assert tasks() == before

    sweep(scenario, least=5)
