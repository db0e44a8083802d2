"""The proxy between members and their server, in this process: it carries, watches and breaks.

Every connection has its own fate, drawn from the seed, the member and how many it has had before.
"""

import random
import socket
import struct
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import attrs
import orjson
import trio

from scripts.botlib.lasting.fate import PEACE, Blow, Fate, draw
from scripts.botlib.lasting.line import Line, Listener
from scripts.botlib.lasting.troubles import Troubles
from scripts.botlib.lasting.wire import Frame, Reader
from server.client.streams import Address, Dial
from server.client.streams import dial as dial_server

_HERE: Final = "127.0.0.1"
_PARTING_SECONDS: Final = 2.0
"""For which a member may go on talking when its server has closed."""
_IN_THE_MIDDLE_SECONDS: Final = 0.5
"""For which a cut waits for something that it can be in the middle of."""
_REPEATED: Final = 8
"""Latest requests of which one may be repeated: the server remembers the answers of so many."""
_REQUESTS: Final = frozenset({"begin", "vote", "reveal", "say", "edit", "delete"})
_RESET: Final = struct.pack("ii", 1, 0)


class Wires:
    """All connections that one member has, one after the other."""

    def __init__(self, name: str, witness: Listener, *, seed: str, chaos: bool) -> None:
        """Begin before the first."""
        self.name = name
        self.witness = witness
        self.chaos = chaos
        """Whether the next connection is in danger, and this one still."""
        self.requests: deque[tuple[int, bytes]] = deque(maxlen=_REPEATED)
        """The latest ones, as they stood on the wire."""
        self.dice = random.Random(f"{seed} {name} wires")

    def fate(self) -> Fate:
        """Draw what happens to the next one."""
        return draw(self.dice) if self.chaos else PEACE


class Proxy:
    """Listens on this machine, for the members of this process alone."""

    def __init__(self, tally: Troubles, port: int) -> None:
        """Listen at ``port``; :func:`open_proxy` does."""
        self._tally = tally
        self._port = port
        self._expected: dict[int, tuple[Wires, trio.abc.Stream]] = {}

    def dial_for(self, wires: Wires) -> Dial:
        """Make what opens the connections of one member."""

        async def dial(address: Address) -> trio.abc.Stream:
            # First the server's half: a server that is not there is not there through a proxy.
            server = await dial_server(address)
            connected = False
            half = trio.socket.socket()
            try:
                await half.bind((_HERE, 0))
                port = half.getsockname()[1]
                self._expected[port] = (wires, server)
                await half.connect((_HERE, self._port))
                connected = True
            finally:
                if not connected:
                    half.close()
                    _close(server, reset=True)
            return trio.SocketStream(half)

        return dial

    async def carry(self, client: trio.SocketStream) -> None:
        """Carry a connection from its beginning to its end."""
        try:
            port = client.socket.getpeername()[1]
        except OSError:  # gone already
            port = 0
        known = self._expected.pop(port, None)
        if known is None:
            _close(client, reset=True)
            return
        wires, server = known
        self._tally.connections += 1
        await _Carriage(wires, self._tally, client, server).run()


@asynccontextmanager
async def open_proxy(tally: Troubles) -> AsyncIterator[Proxy]:
    """Run a proxy as long as the block lasts."""
    listeners = await trio.open_tcp_listeners(0, host=_HERE)
    proxy = Proxy(tally, listeners[0].socket.getsockname()[1])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, proxy.carry, listeners)  # noqa: ASYNC113
        yield proxy
        nursery.cancel_scope.cancel()


@attrs.define(eq=False)
class _Carriage:
    """One connection through the proxy."""

    wires: Wires
    tally: Troubles
    client: trio.SocketStream
    server: trio.abc.Stream
    fate: Fate = PEACE
    line: Line = attrs.Factory(lambda self: Line(self.wires.name), takes_self=True)
    asked: Reader = attrs.Factory(Reader)
    told: Reader = attrs.Factory(Reader)
    hello_at: float | None = None
    """When the client had said its first message, which is its hello."""
    welcomed: bool = False
    silent: bool = False
    aiming: bool = False
    """The next bytes, in whichever direction, are cut."""
    scope: trio.CancelScope = attrs.Factory(trio.CancelScope)

    async def run(self) -> None:
        """Carry until one of the two has closed, or it is cut."""
        self.fate = self.wires.fate()
        reset_client = reset_server = False
        try:
            with self.scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._carry_up)
                    nursery.start_soon(self._carry_down)
                    if self.fate.blow in {Blow.TALKING, Blow.STALL}:
                        nursery.start_soon(self._strike)
            if self.scope.cancelled_caught:
                reset_client, reset_server = self.fate.reset_client, self.fate.reset_server
        finally:
            self.wires.witness.hear_rest(self.line, self.told.rest if self.told.opened else b"")
            _close(self.client, reset=reset_client)
            _close(self.server, reset=reset_server)

    # --- the two directions -------------------------------------------------------------------

    async def _carry_up(self) -> None:
        try:
            while data := bytes(await self.client.receive_some()):
                frames = self.asked.feed(data)
                if self.silent:
                    continue
                if frames and self.hello_at is None:
                    self.hello_at = trio.current_time()
                data, cut = self._clip(data, Blow.ASKING)
                await self.server.send_all(data)
                if cut:
                    self._cut()
                for frame in frames:
                    await self._repeat(frame)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        if not self.silent:
            self.scope.cancel()
            self.fate = PEACE

    async def _carry_down(self) -> None:
        try:
            while data := bytes(await self.server.receive_some()):
                for frame in self.told.feed(data):
                    self.wires.witness.hear(self.line, frame)
                if self.hello_at is not None and self.line.epoch and not self.welcomed:
                    self.welcomed = True
                    self.tally.welcomed(trio.current_time() - self.hello_at)
                if self.silent:
                    continue
                data, cut = self._clip(data, Blow.ANSWERING)
                await self.client.send_all(data)
                if cut:
                    self._cut()
            if not self.silent:
                await self.client.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self.scope.cancel()
            return
        await trio.sleep(_PARTING_SECONDS)
        self.scope.cancel()
        self.fate = PEACE

    def _clip(self, data: bytes, blow: Blow) -> tuple[bytes, bool]:
        """Take off what comes after a cut; tell whether there is one."""
        fate = self.fate
        if not self.wires.chaos:
            return data, False
        if self.aiming:
            return data[: fate.bytes % len(data)], True
        if fate.blow is not blow:
            return data, False
        left = fate.bytes
        self.fate = attrs.evolve(fate, bytes=max(0, left - len(data)))
        return data[:left], left <= len(data)

    async def _repeat(self, frame: Frame) -> None:
        """Note a request; perhaps send one again that this member has made by now."""
        said = orjson.loads(frame.text) if frame.text is not None else {}
        if said.get("type") not in _REQUESTS:
            return
        requests, ref = self.wires.requests, said["ref"]
        if all(ref != known for known, _ in requests):
            requests.append((ref, frame.raw))
        if not self.wires.chaos or self.asked.rest or self.silent:
            return
        if self.wires.dice.random() < self.fate.repeating:
            # A higher number than the latest would take effect before those between them.
            earlier = [each for each in requests if each[0] <= ref]
            _, raw = self.wires.dice.choice(earlier)
            self.tally.repeats += 1
            await self.server.send_all(raw)

    # --- what hits it -------------------------------------------------------------------------

    async def _strike(self) -> None:
        await trio.sleep(self.fate.seconds)
        if not self.wires.chaos:
            return
        if self.fate.blow is Blow.TALKING:
            self.aiming = True
            await trio.sleep(_IN_THE_MIDDLE_SECONDS)
            self._cut()
            return
        self.silent = True
        self.tally.stalls += 1
        await trio.sleep(self.fate.silence)
        _close(self.client, reset=self.fate.reset_client)
        await trio.sleep(self.fate.half_open)
        self.scope.cancel()

    def _cut(self) -> None:
        if not self.scope.cancel_called:
            place = self.fate.blow.value
            if self.asked.opened and not self.line.epoch:
                place = "hello"
            elif not self.asked.opened:
                place = "handshake"
            self.tally.cuts[place] += 1
            self.scope.cancel()


def _close(stream: trio.abc.Stream, *, reset: bool) -> None:
    """Close a stream at once, by RST or by FIN."""
    while isinstance(stream, trio.SSLStream):
        stream = stream.transport_stream
    if not isinstance(stream, trio.SocketStream) or stream.socket.fileno() < 0:
        return
    if reset:
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    stream.socket.close()
