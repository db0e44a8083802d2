"""Bodies in flight: bounded in all and for each client, and nothing of them is left behind."""

import pytest
import trio
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, Scope
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from protocol.limits import KIB
from server.auth.proxies import Proxies
from server.http.body_budget import BodyBudget, Full, Share
from server.http.guard import LINGER_SECONDS, RETRY_SECONDS
from server.http.serve import HttpServer
from server.settings.readers import networks
from server.support.limits import Limits
from tests.server.http_client import Client, connect

PROXIES = Proxies(networks("192.0.2.0/24"))  # the client of these tests is 192.0.2.1
LIMITS = Limits(body_bytes=10 * KIB, client_bodies_bytes=20 * KIB, bodies_bytes=50 * KIB)


class Waiting:
    """An application that answers when it is told to."""

    def __init__(self) -> None:
        self.go_on = trio.Event()
        self.bodies: list[int] = []

    async def __call__(
        self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        event = await receive()
        assert event["type"] == "http.request"
        self.bodies.append(len(event["body"]))
        await self.go_on.wait()
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]}
        )
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class House:
    """A server whose application waits, and clients at addresses of their own."""

    def __init__(self, nursery: trio.Nursery, limits: Limits = LIMITS) -> None:
        self.application = Waiting()
        self._server = HttpServer(self.application, limits, proxies=PROXIES)
        self._nursery = nursery

    async def send(self, address: str, announced: int, sent: int | None = None) -> Client:
        """Begin a request with a body, of which ``sent`` bytes come."""
        client = connect(self._nursery, self._server)
        head = (
            f"POST / HTTP/1.1\r\nHost: t\r\nConnection: close\r\nX-Forwarded-For: {address}\r\n"
            f"Content-Length: {announced}\r\n\r\n"
        )
        await client.send(head, b"x" * (announced if sent is None else sent))
        await wait_all_tasks_blocked()
        return client

    async def fails(self, address: str, size: int) -> tuple[int, str]:
        """Send a body and give the status and the header of a refusal."""
        client = await self.send(address, size)
        answer = await client.answer()
        assert "at once" in answer.json["error"]
        assert await client.ended() == b""
        return answer.status, answer.headers["retry-after"]


async def test_the_bodies_of_one_client_are_bounded(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        house = House(nursery)
        waiting = [await house.send("203.0.113.1", 10 * KIB) for _ in range(2)]

        assert await house.fails("203.0.113.1", 1) == (429, str(RETRY_SECONDS))
        other = await house.send("203.0.113.2", 10 * KIB)

        house.application.go_on.set()
        for client in (*waiting, other):
            assert (await client.answer()).status == 200
        assert (await (await house.send("203.0.113.1", 10 * KIB)).answer()).status == 200


async def test_addresses_of_one_ipv6_network_are_one_client(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        house = House(nursery)
        for number in range(2):
            await house.send(f"2001:db8::{number}", 10 * KIB)

        assert (await house.fails("2001:db8::9", 1))[0] == 429
        house.application.go_on.set()


async def test_all_bodies_together_are_bounded(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        house = House(nursery)
        for number in range(5):
            await house.send(f"203.0.113.{number}", 10 * KIB)

        assert await house.fails("203.0.113.99", 1) == (503, str(RETRY_SECONDS))
        empty = await house.send("203.0.113.99", 0)
        house.application.go_on.set()
        assert (await empty.answer()).status == 200


async def test_a_body_counts_by_what_has_come_of_it(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        house = House(nursery)
        halves = [await house.send("203.0.113.1", 10 * KIB, 4 * KIB) for _ in range(5)]

        await halves[0].send(b"x")
        assert (await halves[0].answer()).status == 429
        for client in halves[1:]:
            await client.stream.aclose()
        await halves[0].stream.aclose()
        await wait_all_tasks_blocked()

        whole = [await house.send("203.0.113.1", 10 * KIB) for _ in range(2)]
        house.application.go_on.set()
        assert [(await client.answer()).status for client in whole] == [200, 200]


async def test_a_refused_body_that_never_comes_to_its_end_is_cut_off(
    autojump_clock: MockClock,
) -> None:
    async with trio.open_nursery() as nursery:
        house = House(nursery)
        for _ in range(2):
            await house.send("203.0.113.1", 10 * KIB)

        start = trio.current_time()
        client = await house.send("203.0.113.1", 10 * KIB, 1)
        assert (await client.answer()).status == 429
        assert await client.ended() == b""

        assert trio.current_time() - start == pytest.approx(LINGER_SECONDS)
        house.application.go_on.set()


async def test_a_body_of_the_largest_size_always_has_its_place(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        house = House(nursery, Limits(body_bytes=9, bodies_bytes=0, client_bodies_bytes=0))
        house.application.go_on.set()

        assert (await (await house.send("203.0.113.1", 9)).answer()).status == 200


async def test_a_cancelled_request_leaves_nothing_in_the_budget() -> None:
    budget = BodyBudget(10, 10)
    with trio.CancelScope() as scope, Share(budget, lambda: "a") as share:
        assert share.take(10) is None
        scope.cancel()
        await trio.sleep_forever()

    assert budget.held == 0
    assert budget.take("a", 10) is None


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 8)), max_size=30))
def test_the_bounds_hold_whatever_comes_and_all_is_given_back(steps: list[tuple[str, int]]) -> None:
    budget = BodyBudget(20, 10)
    taken = {"a": 0, "b": 0, "c": 0}
    for client, count in steps:
        full = budget.take(client, count)
        mine, every = taken[client] + count, sum(taken.values()) + count
        assert full is (Full.CLIENT if mine > 10 else Full.SERVER if every > 20 else None)
        taken[client] += count if full is None else 0
    for client, count in taken.items():
        if count:
            budget.give_back(client, count)

    assert budget.held == 0
    assert [budget.take(client, 6) for client in "abc"] == [None] * 3
