"""The fake world behind real sockets: HTTP by h11, chat rooms by trio-websocket."""

import json
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import attrs
import h11
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_server_stream

from tests.scripts.fake_world import Reply, Request, World

HISTORY = 50


@attrs.frozen
class Delivery:
    """Something that the server is about to send to one connection."""

    event: dict[str, Any]
    to: str
    """Name of the person."""
    second: bool
    """The person has been there by another connection already."""
    history: bool


Fault = Callable[[Delivery], Sequence[Any] | None]
"""Gives what is sent instead, if anything: events, texts or bytes, or ``CLOSE``."""

CLOSE = None
"""Closes the connection."""


class Replayed(trio.abc.Stream):
    """A stream of which something was read already."""

    def __init__(self, stream: trio.SocketStream, start: bytes) -> None:
        self.stream = stream
        self._start = start

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        start, self._start = self._start, b""
        return start or await self.stream.receive_some(max_bytes)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self.stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self.stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self.stream.aclose()


@attrs.define(eq=False)
class Connection:
    socket: WebSocketConnection
    user: int
    name: str
    second: bool


@attrs.define(eq=False)
class FakeParley:
    """Serves one world."""

    world: World = attrs.field(factory=World)
    fault: Fault = lambda delivery: None
    drop: Callable[[str], bool] = lambda text: False
    """Messages that the server loses."""
    keep: Callable[[dict[str, Any]], dict[str, Any] | None] = lambda entry: entry
    """What is kept of a message."""
    port: int = 0
    _rooms: dict[str, list[Connection]] = attrs.field(factory=dict)
    _turns: dict[str, trio.StrictFIFOLock] = attrs.field(factory=dict)
    """One room takes one step after the other."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        async with trio.open_nursery() as nursery:
            [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
            self.port = listener.socket.getsockname()[1]
            task_status.started()
            await trio.serve_listeners(self._serve, [listener], handler_nursery=nursery)

    async def _serve(self, stream: trio.SocketStream) -> None:
        start = await stream.receive_some()
        try:
            if b"Upgrade" in start or b"upgrade" in start:
                await self._talk(Replayed(stream, bytes(start)))
            else:
                await answer(self.world, Replayed(stream, bytes(start)))
        except trio.BrokenResourceError:
            pass

    async def _talk(self, stream: Replayed) -> None:
        async with trio.open_nursery() as nursery:
            request = await wrap_server_stream(nursery, stream)
            headers = {key.decode().lower(): value.decode() for key, value in request.headers}
            user = self.world.whose(Request("GET", request.path, headers))
            room_id = urlsplit(request.path).path.rpartition("/")[2]
            members = self._rooms.setdefault(room_id, [])
            turns = self._turns.setdefault(room_id, trio.StrictFIFOLock())
            socket = await request.accept()
            async with turns:
                second = user in self.world.present[room_id]
                name = self.world.users[user]["username"]
                own = Connection(socket, user, name, second)
                for entry in reversed(self.world.kept[room_id][:HISTORY]):
                    await self._deliver([own], as_message(room_id, entry), history=True)
                members.append(own)
                self.world.present[room_id].append(user)
                if not second:
                    await self._deliver(members, notice("join", room_id, name))
            try:
                while True:
                    text = await socket.get_message()
                    async with turns:
                        await self._say(room_id, members, own, text)
            except ConnectionClosed:
                pass
            async with turns:
                members.remove(own)
                self.world.present[room_id].remove(user)
                if user not in self.world.present[room_id]:
                    await self._deliver(members, notice("leave", room_id, name))
            nursery.cancel_scope.cancel()

    async def _say(
        self, room_id: str, members: list[Connection], own: Connection, text: str | bytes
    ) -> None:
        assert isinstance(text, str)
        if self.drop(text):
            return
        kept = self.world.kept[room_id]
        entry = {
            "seq": kept[0]["seq"] + 1 if kept else 1,
            "author": own.name,
            "author_id": own.user,
            "text": text,
            "at": self.world.now(),
        }
        kept.insert(0, entry)
        await self._deliver(members, as_message(room_id, entry))

    async def _deliver(
        self, members: list[Connection], event: dict[str, Any], *, history: bool = False
    ) -> None:
        for member in list(members):
            delivery = Delivery(event, member.name, member.second, history)
            instead = self.fault(delivery)
            for message in [event] if instead is None else instead:
                raw = json.dumps(message) if isinstance(message, dict) else message
                try:
                    if raw is CLOSE:
                        await member.socket.aclose(1011, "sorry")
                    else:
                        await member.socket.send_message(raw)
                except ConnectionClosed:
                    await trio.lowlevel.checkpoint()


def as_message(room_id: str, entry: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "message",
        "context": entry["text"],
        "roomid": room_id,
        "username": entry["author"],
        "userid": entry["author_id"],
        "seq": entry["seq"],
        "at": entry["at"],
    }


def notice(kind: str, room_id: str, name: str) -> dict[str, Any]:
    return {"type": kind, "context": f"{kind}: {name}", "roomid": room_id, "username": name}


async def answer(world: World, stream: trio.abc.Stream) -> None:
    """Answer the requests of one connection."""
    state = h11.Connection(h11.SERVER)
    request = Request("", "")
    body = b""
    while state.their_state not in {h11.CLOSED, h11.MUST_CLOSE}:
        state.receive_data(bytes(await stream.receive_some()))
        while (event := state.next_event()) is not h11.NEED_DATA:
            if isinstance(event, h11.Request):
                headers = {key.decode(): value.decode() for key, value in event.headers}
                request = Request(event.method.decode(), event.target.decode(), headers)
                body = b""
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                request.body = json.loads(body) if body else None
                await send(stream, state, world.answer(request))
                state.start_next_cycle()
            else:
                return


async def send(stream: trio.abc.Stream, state: h11.Connection, reply: Reply) -> None:
    content = reply.content
    headers = [*reply.headers, ("Content-Length", str(len(content)))]
    if reply.status == 204:
        headers.pop()
    pieces = [
        state.send(h11.Response(status_code=reply.status, headers=headers)),
        state.send(h11.Data(data=content)) if content else b"",
        state.send(h11.EndOfMessage()),
    ]
    await stream.send_all(b"".join(piece or b"" for piece in pieces))
