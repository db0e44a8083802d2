"""The fake room behind real sockets."""

import itertools
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import attrs
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_server_stream

from tests.scripts.fake_room import FakeRoom, Fault, Message


@attrs.define
class Ending:
    """What the others get when the admin leaves."""

    code: int | None = 1001
    reason: str | None = "the admin has left"
    linger: bool = False
    """Keep the socket open after the close frame."""


@attrs.define(eq=False)
class Stuck(trio.abc.Stream):
    """A stream that cannot be closed but by closing the one inside."""

    inside: trio.SocketStream

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        return bytes(await self.inside.receive_some(max_bytes))

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self.inside.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self.inside.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await trio.sleep_forever()


@attrs.define(eq=False)
class FakeServer:
    """Serves rooms; ``fault`` makes the one of each new room."""

    fault: Callable[[], Fault]
    ending: Ending = attrs.field(factory=Ending)
    cut_at: str = ""
    """A type on whose arrival the socket of its sender is cut."""
    port: int = 0
    expected: int = 0
    all_there: trio.Event = attrs.field(factory=trio.Event)
    """Set when as many members as expected have said something: they know by then that they are
    connected, which is not so when only the server does."""
    _members: int = 0
    _rooms: dict[str, tuple[FakeRoom, dict[int, WebSocketConnection]]] = attrs.field(factory=dict)
    _streams: dict[WebSocketConnection, trio.abc.Stream] = attrs.field(factory=dict)
    _turns: dict[str, trio.StrictFIFOLock] = attrs.field(factory=dict)
    """One room takes one step after the other."""
    _ids: "itertools.count[int]" = attrs.field(factory=lambda: itertools.count(100000))

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        async with trio.open_nursery() as nursery:
            [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
            self.port = listener.socket.getsockname()[1]
            task_status.started()
            await trio.serve_listeners(self._serve, [listener], handler_nursery=nursery)

    async def _serve(self, stream: trio.SocketStream) -> None:
        async with trio.open_nursery() as nursery:
            wrapped = Stuck(stream) if self.ending.linger else stream
            request = await wrap_server_stream(nursery, wrapped)
            query = {key: value[0] for key, value in parse_qs(urlsplit(request.path).query).items()}
            connection = await request.accept()
            self._streams[connection] = stream
            await self._converse(connection, query)
            nursery.cancel_scope.cancel()

    async def _converse(self, connection: WebSocketConnection, query: dict[str, str]) -> None:
        if query["action"] == "CREATE_ROOM":
            room_id = str(next(self._ids))
            room = FakeRoom(int(query["max_room_capacity"]), self.fault(), room_id)
            members: dict[int, WebSocketConnection] = {}
            self._rooms[room_id] = room, members
            self._turns[room_id] = trio.StrictFIFOLock()
        else:
            room, members = self._rooms[query["room_id"]]
        number = len(members)
        members[number] = connection
        await self._deliver(members, list(room.enter(query["name"])))
        spoken = False
        try:
            while True:
                raw = await connection.get_message()
                assert isinstance(raw, str)
                if not spoken:
                    spoken = True
                    self._spoke()
                if self.cut_at and self.cut_at in raw:
                    await trio.aclose_forcefully(self._streams[connection])
                    return
                async with self._turns[room.room_id]:
                    await self._deliver(members, list(room.take(number, raw)))
        except ConnectionClosed:
            pass
        if number == 0:
            async with trio.open_nursery() as nursery:
                for other in list(members.values())[1:]:
                    nursery.start_soon(self._end, other)
        elif self.ending.linger:
            await trio.sleep_forever()

    def _spoke(self) -> None:
        self._members += 1
        if self._members == self.expected:
            self.all_there.set()

    async def _deliver(
        self, members: dict[int, WebSocketConnection], messages: list[tuple[int, Message]]
    ) -> None:
        for to, message in messages:
            try:
                await members[to].send_message(message)
            except ConnectionClosed:
                await trio.lowlevel.checkpoint()

    async def _end(self, connection: WebSocketConnection) -> None:
        if self.ending.code is None:
            await trio.aclose_forcefully(self._streams[connection])
        else:
            await connection.aclose(self.ending.code, self.ending.reason)
