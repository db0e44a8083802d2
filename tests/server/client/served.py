"""The real rules behind real WebSockets on memory streams, in a server that does as it is told."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
import trio.testing
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_server_stream

from protocol.dialects.parley_v1 import SUBPROTOCOL
from server.client.streams import Address
from tests.protocol.lossy_server import Link, LossyServer


class Served:
    """A server that clients dial, in a nursery of its test."""

    def __init__(self, nursery: trio.Nursery) -> None:
        """Serve in ``nursery``."""
        self.rules = LossyServer()
        self.reachable = True
        self.saves = True
        """It saves at once whatever it hears."""
        self.deaf = False
        """Its network takes everything, and carries nothing."""
        self.status: int | None = None
        """With which it answers every upgrade, if it does not upgrade."""
        self.subprotocol: str | None = SUBPROTOCOL
        self.dialled = 0
        self._nursery = nursery
        self._streams: list[trio.abc.Stream] = []
        self._changed = trio.Event()

    async def dial(self, address: Address) -> trio.abc.Stream:
        """Open a stream, as clients do."""
        await trio.lowlevel.checkpoint()
        self.dialled += 1
        if not self.reachable:
            raise ConnectionRefusedError(111, "Connection refused")
        ours, theirs = trio.testing.memory_stream_pair()
        self._streams.append(ours)
        self._nursery.start_soon(self._serve, ours)
        return theirs

    async def cut(self) -> None:
        """Cut every connection."""
        streams, self._streams = self._streams, []
        for stream in streams:
            await trio.aclose_forcefully(stream)

    def change(self) -> None:
        """Send what there is to send, after something was done to the rules."""
        self._changed.set()
        self._changed = trio.Event()

    async def _serve(self, stream: trio.abc.Stream) -> None:
        async with trio.open_nursery() as nursery:
            request = await wrap_server_stream(nursery, stream)
            if self.status is None:
                await self._converse(await request.accept(subprotocol=self.subprotocol))
            else:
                await request.reject(self.status, body=b"no\n")
            nursery.cancel_scope.cancel()

    async def _converse(self, socket: WebSocketConnection) -> None:
        link = self.rules.connect()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._send, socket, link)
            try:
                while True:
                    message = await socket.get_message()
                    assert isinstance(message, str)
                    if self.deaf:
                        continue
                    link.up.append(message)
                    self.rules.hear(link)
                    if self.saves:
                        self.rules.save()
                    self.change()
            except ConnectionClosed:
                pass
            self.rules.lose(link)
            self.change()
            nursery.cancel_scope.cancel()

    async def _send(self, socket: WebSocketConnection, link: Link) -> None:
        try:
            while True:
                changed = self._changed
                while link.down and not self.deaf:
                    await socket.send_message(link.down.popleft())
                if link.closed:
                    await socket.aclose(link.closed, "because")
                    return
                await changed.wait()
        except ConnectionClosed:
            pass


@asynccontextmanager
async def serving() -> AsyncIterator[Served]:
    """Serve as long as the block lasts."""
    async with trio.open_nursery() as nursery:
        yield Served(nursery)
        nursery.cancel_scope.cancel()
