"""The terminal client against a server that does as it is told, and without one."""

import json
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import attrs
import pytest
import trio
import trio.testing
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_server_stream

from server.terminal.arguments import Plan
from server.terminal.client import FAILED, GOOD, Patience, take_part

Play = Callable[[WebSocketConnection, trio.SocketStream], Awaitable[None]]


@attrs.define(eq=False)
class Person:
    """Sits at a terminal; types what a test lets it type."""

    patient: bool = False
    shown: list[str] = attrs.field(factory=list)
    complaints: list[str] = attrs.field(factory=list)
    deaf: bool = False
    _typed: Any = attrs.field(factory=lambda: trio.open_memory_channel[str](100))

    def type(self, *lines: str) -> "Person":
        for line in lines:
            self._typed[0].send_nowait(line)
        return self

    def end(self) -> "Person":
        self._typed[0].close()
        return self

    async def next(self) -> str | None:
        try:
            return str(await self._typed[1].receive())
        except trio.EndOfChannel:
            return None

    def show(self, line: str) -> None:
        if self.deaf:
            raise BrokenPipeError(32, "Broken pipe")
        self.shown.append(line)

    def complain(self, line: str) -> None:
        self.complaints.append(line)


@asynccontextmanager
async def playing(play: Play) -> AsyncIterator[Plan]:
    """Serve connections as ``play`` does; give the way to a seat."""

    async def handle(stream: trio.SocketStream) -> None:
        async with trio.open_nursery() as nursery:
            connection = await (await wrap_server_stream(nursery, stream)).accept()
            await play(connection, stream)
            nursery.cancel_scope.cancel()

    async with served(handle) as plan:
        yield plan


@asynccontextmanager
async def served(handle: Callable[[trio.SocketStream], Awaitable[object]]) -> AsyncIterator[Plan]:
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, handle, [listener])  # noqa: ASYNC113
        port = listener.socket.getsockname()[1]
        yield Plan(server=f"ws://127.0.0.1:{port}", name="Ann", room_id="R")
        nursery.cancel_scope.cancel()


async def tell(connection: WebSocketConnection, kind: str, **data: str) -> None:
    await connection.send_message(json.dumps({"type": kind, "data": data}))


async def let_in(connection: WebSocketConnection) -> None:
    await connection.get_message()
    await tell(connection, "ROOM_JOIN_UPDATES", message="You are in")


async def hear_all(connection: WebSocketConnection) -> list[str]:
    """Read what comes until the client closes, normally."""
    heard = []
    with suppress(ConnectionClosed):
        while True:
            heard.append(str(await connection.get_message()))
    assert connection.closed is not None
    assert connection.closed.code == 1000
    return heard


@pytest.mark.parametrize("code", [1000, 1001])
async def test_a_session_that_ends_is_a_success(code: int) -> None:
    async def play(connection: WebSocketConnection, _: trio.SocketStream) -> None:
        await let_in(connection)
        await connection.aclose(code, "the admin has left")

    person = Person()
    async with playing(play) as plan:
        assert await take_part(plan, person) == GOOD
    assert person.shown == ["You are in", "The session is over: the admin has left."]
    assert person.complaints == []


async def test_a_refusal_is_one_complaint_in_the_words_of_the_server() -> None:
    async def play(connection: WebSocketConnection, _: trio.SocketStream) -> None:
        await connection.send_message("There is no room R.")
        await connection.aclose(1000)

    person = Person()
    async with playing(play) as plan:
        assert await take_part(plan, person) == FAILED
    assert person.shown == []
    assert person.complaints == ["refused: There is no room R."]


@pytest.mark.parametrize(
    ("code", "words"), [(1008, "1008 too slow"), (1011, "1011 too slow"), (None, "without a word")]
)
async def test_a_connection_that_breaks_is_one_complaint(code: int | None, words: str) -> None:
    async def play(connection: WebSocketConnection, stream: trio.SocketStream) -> None:
        await let_in(connection)
        if code is None:
            await trio.aclose_forcefully(stream)
        else:
            await connection.aclose(code, "too slow")

    person = Person()
    async with playing(play) as plan:
        assert await take_part(plan, person) == FAILED
    (complaint,) = person.complaints
    assert words in complaint


async def complaint_about(plan: Plan, patience: Patience | None = None) -> str:
    person = Person()
    assert await take_part(plan, person, patience or Patience()) == FAILED
    (complaint,) = person.complaints
    assert complaint.isprintable()
    return complaint


async def test_a_server_that_takes_nobody_is_one_complaint() -> None:
    async def handle(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\nfull")
        await trio.sleep_forever()

    async with served(handle) as plan:
        assert await complaint_about(plan) == f"{plan.server} takes nobody: status 503 full"


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH\r\n", b""])
async def test_what_is_no_parley_is_one_complaint(answer: bytes) -> None:
    async def handle(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        if answer:
            await stream.send_all(answer)

    async with served(handle) as plan:
        assert plan.server in await complaint_about(plan, Patience(connect=0.2))


async def test_nobody_there_is_one_complaint() -> None:
    async with served(trio.aclose_forcefully) as plan:
        pass
    assert (await complaint_about(plan)).startswith(f"cannot reach {plan.server}: ")


async def test_a_server_that_says_nothing_is_given_up() -> None:
    async def handle(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    async with served(handle) as plan:
        complaint = await complaint_about(plan, Patience(connect=0.1))
    assert "does not answer within 0.1 seconds" in complaint


async def test_a_server_that_has_gone_silently_is_noticed() -> None:
    async def handle(stream: trio.SocketStream) -> None:
        async with trio.open_nursery() as nursery:
            connection = await (await wrap_server_stream(nursery, stream)).accept()
            await let_in(connection)
            nursery.cancel_scope.cancel()
        await trio.sleep_forever()  # the socket is open, and nobody reads it

    async with served(handle) as plan:
        complaint = await complaint_about(plan, Patience(ping=0.1, pong=0.1, goodbye=0.1))
    assert complaint == "the server does not answer any more"


@pytest.mark.parametrize("lines", [["/quit"], []])
async def test_whoever_leaves_says_goodbye(lines: list[str]) -> None:
    heard: list[str] = []

    async def play(connection: WebSocketConnection, _: trio.SocketStream) -> None:
        await let_in(connection)
        heard.extend(await hear_all(connection))

    person = Person().type(*lines).end()
    async with playing(play) as plan:
        assert await take_part(plan, person) == GOOD
    assert heard == []
    assert person.complaints == []


async def test_lines_from_a_file_wait_until_they_are_asked_for() -> None:
    heard: list[str] = []

    async def play(connection: WebSocketConnection, _: trio.SocketStream) -> None:
        await let_in(connection)
        await tell(connection, "ASK_FOR_VOTE", ticket_id="T1")
        heard.append(str(await connection.get_message()))
        await trio.testing.wait_all_tasks_blocked()
        await tell(connection, "ASK_FOR_VOTE", ticket_id="T2")
        heard.append(str(await connection.get_message()))
        await tell(connection, "ASK_FOR_VOTE", ticket_id="T3")
        heard.extend(await hear_all(connection))

    person = Person(patient=True).type("5", "8").end()
    async with playing(play) as plan:
        with trio.fail_after(20):
            assert await take_part(plan, person) == GOOD
    votes = [json.loads(each)["data"] for each in heard]
    assert votes == [{"ticket_id": "T1", "vote": "5"}, {"ticket_id": "T2", "vote": "8"}]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_says_goodbye_too(number: signal.Signals) -> None:
    async def play(connection: WebSocketConnection, _: trio.SocketStream) -> None:
        await let_in(connection)
        signal.raise_signal(number)
        await hear_all(connection)

    person = Person()
    async with playing(play) as plan:
        assert await take_part(plan, person) == 128 + number
    assert person.complaints == []


async def test_nobody_reading_is_one_complaint() -> None:
    async def play(connection: WebSocketConnection, _: trio.SocketStream) -> None:
        await let_in(connection)
        await hear_all(connection)

    person = Person(deaf=True)
    async with playing(play) as plan:
        assert await take_part(plan, person) == FAILED
    (complaint,) = person.complaints
    assert "Broken pipe" in complaint
