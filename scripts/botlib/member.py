"""One member of a room: its connection, its timing, and the checker that judges and answers."""

import random
from typing import Final
from urllib.parse import urlencode

import attrs
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection

from scripts.botlib.checker import Checker
from scripts.botlib.failures import Broken
from scripts.botlib.link import Tap, connect
from scripts.botlib.moves import Act, Reply
from scripts.botlib.pace import Pace
from scripts.botlib.plan import LONGEST_THOUGHT, Plan
from scripts.botlib.stats import Tally
from scripts.botlib.table import DECKS, Table

ENOUGH: Final = 20  # violations of one member after which its session tells nothing new

SETTLE_SECONDS: Final = 0.05
"""How long the admin listens for something superfluous before it leaves."""


@attrs.define(eq=False)
class Session:
    """What the members of one room share."""

    plan: Plan
    tally: Tally
    gate: trio.CapacityLimiter
    """Bounds the connections that are being opened."""
    label: str
    table: Table
    opened: trio.Event = attrs.field(factory=trio.Event)
    """Set once the room's id is known; until then nobody can join."""
    complete: trio.Event = attrs.field(factory=trio.Event)
    """Set once everybody is connected."""
    connected: int = 0


class Member:
    """One bot: plays its session from connecting to the end."""

    def __init__(self, session: Session, name: str) -> None:
        """Take the seat called ``name``."""
        plan = session.plan
        self._session = session
        self._plan = plan
        self._tally = session.tally
        self._name = name
        self._dice = random.Random(f"{plan.seed} {name}")
        self._checker = Checker(session.table, name, self._dice, DECKS[plan.deck])
        self._pace = Pace(plan.send_rate, plan.send_burst)
        self._began_at = 0.0
        self._voted_at = 0.0

    async def run(self) -> None:
        """Play from connecting to the end; cancelling it cuts the connection.

        Raises:
            ExceptionGroup: of what made it impossible to go on.
        """
        if not self._checker.admin:
            await self._session.opened.wait()
        to_send, replies = trio.open_memory_channel[Reply](4)  # one at a time is outstanding
        try:
            async with trio.open_nursery() as nursery:
                connection, tap = await self._connect(nursery)
                nursery.start_soon(self._run_speaker, connection, replies)
                with to_send:
                    await self._listen(connection, to_send)
                await self._part(connection, tap)
                nursery.cancel_scope.cancel()
        finally:
            for violation in self._checker.violations:
                self._tally.violation(self._session.label, violation)

    async def _connect(self, nursery: trio.Nursery) -> tuple[WebSocketConnection, Tap]:
        parameters = {"name": self._name}
        if self._checker.admin:
            parameters["action"] = "CREATE_ROOM"
            parameters["max_room_capacity"] = str(self._plan.members)
        else:
            parameters["action"] = "JOIN_ROOM"
            parameters["room_id"] = self._session.table.room_id
        resource = f"{self._plan.url.path}?{urlencode(parameters)}"
        queue = 64 + 4 * self._plan.members  # two rounds of "who voted" and more
        async with self._session.gate:
            try:
                with trio.fail_after(self._plan.timeout):
                    opened = await connect(nursery, self._plan.url, resource, queue)
            except trio.TooSlowError:
                raise Broken(f"{self._name}: no connection in {self._plan.timeout:g} s") from None
        self._tally.connections += 1
        self._session.connected += 1
        if self._session.connected == self._plan.members:
            self._session.complete.set()
        return opened

    async def _listen(
        self, connection: WebSocketConnection, to_send: trio.MemorySendChannel[Reply]
    ) -> None:
        """Take messages until the connection is closed or, for the admin, all is done."""
        checker, session = self._checker, self._session
        for reply in checker.start():
            await to_send.send(reply)
        while True:
            leaving = checker.admin and checker.ended
            raw = await self._receive(connection, SETTLE_SECONDS if leaving else None)
            if raw is None:
                return
            for reply in self._judge(raw):
                await to_send.send(reply)
            if session.table.room_id:
                session.opened.set()
            if len(checker.violations) >= ENOUGH:
                raise Broken(f"{self._name}: given up after {ENOUGH} violations")

    async def _receive(
        self, connection: WebSocketConnection, settle: float | None
    ) -> str | bytes | None:
        """Take the next message; ``None`` at the end of the session."""
        if self._checker.waits_for_company:
            # Others may still queue for their connections; each of those has its own deadline.
            await self._session.complete.wait()
        try:
            with trio.fail_after(self._plan.patience if settle is None else settle):
                return await connection.get_message()
        except ConnectionClosed:
            return None
        except trio.TooSlowError:
            if settle is not None:
                return None
            waited = f"{self._plan.patience:g} s in vain for {self._checker.phase.value}"
            raise Broken(f"{self._name}: waited {waited}") from None

    def _judge(self, raw: str | bytes) -> list[Reply]:
        now = trio.current_time()
        checker, tally = self._checker, self._tally
        heard, reveals = checker.votes_heard, checker.reveals
        tally.messages_in += 1
        replies = checker.feed(raw)
        if checker.votes_heard > heard:
            tally.vote_seconds.append(now - self._voted_at)
        if checker.admin and checker.reveals > reveals:
            tally.round_done(self._began_at, now)
        return replies

    async def _run_speaker(
        self, connection: WebSocketConnection, replies: trio.MemoryReceiveChannel[Reply]
    ) -> None:
        with replies:
            async for reply in replies:
                if reply.act is not Act.JOIN and self._plan.think_time:
                    thought = self._dice.expovariate(1 / self._plan.think_time)
                    await trio.sleep(min(thought, LONGEST_THOUGHT * self._plan.think_time))
                await self._pace.wait()
                self._checker.sending(reply)
                if reply.act is Act.BEGIN:
                    self._began_at = trio.current_time()
                elif reply.act is Act.VOTE:
                    self._voted_at = trio.current_time()
                try:
                    with trio.fail_after(self._plan.timeout):
                        await connection.send_message(reply.text)
                except trio.TooSlowError:
                    raise Broken(f"{self._name}: the server does not read") from None
                except ConnectionClosed:
                    return  # the listener reports how it was closed
                self._tally.messages_out += 1

    async def _part(self, connection: WebSocketConnection, tap: Tap) -> None:
        """End the connection, or see how the server has ended it, and have that judged."""
        checker, timeout = self._checker, self._plan.timeout
        if connection.closed is None:
            checker.leave()
            with trio.move_on_after(timeout):
                await connection.aclose(1000, "the session is over")
        else:
            with trio.move_on_after(timeout):
                await tap.ended.wait()
            if not tap.ended.is_set():
                checker.fault(
                    "left-open", f"the socket is open {timeout:g} s after the close frame"
                )
            with trio.move_on_after(timeout):
                await connection.aclose()
        end = connection.closed if tap.watch.closes else None
        checker.closed(end.code if end else None, end.reason if end else None)
        if tap.watch.bytes_after_close:
            checker.fault(
                "after-close", f"{tap.watch.bytes_after_close} bytes after the close frame"
            )
        if not checker.ended:
            how = "without a close frame" if end is None else f"with {end.code} ({end.reason})"
            raise Broken(f"{self._name}: closed {how}, instead of {checker.phase.value}")
