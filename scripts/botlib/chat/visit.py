"""One connection of a chat bot: it listens all the time, and says what it is given."""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final
from urllib.parse import quote

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection

from scripts.botlib.api import Account
from scripts.botlib.chat.checker import Checker
from scripts.botlib.chat.plan import Plan, Tally
from scripts.botlib.failures import Broken
from scripts.botlib.link import Tap, connect
from scripts.botlib.pace import Pace

ENOUGH: Final = 20  # violations of one connection after which it tells nothing new

_QUEUE: Final = 1024  # messages that may wait; nobody needs that long to take one


class Visit:
    """One stay in a room."""

    def __init__(
        self,
        plan: Plan,
        tally: Tally,
        gate: trio.CapacityLimiter,
        account: Account,
        checker: Checker,
    ) -> None:
        """Prepare to go there.

        Args:
            plan: how patiently and fast.
            tally: is kept up to date.
            gate: bounds the connections that are being opened.
            account: whose connection it is.
            checker: judges what is received.
        """
        self.checker = checker
        self._plan = plan
        self._tally = tally
        self._gate = gate
        self._account = account
        self._connection: WebSocketConnection | None = None
        self._pace = Pace(plan.rate, 1)
        self._sent_at: deque[float] = deque()
        self._beat = trio.Event()
        self._parting = False

    async def attend(self, act: Callable[[], Awaitable[None]]) -> None:
        """Be there for as long as ``act`` takes; cancelling it cuts the connection.

        Raises:
            ExceptionGroup: of what made it impossible to go on.
        """
        async with trio.open_nursery() as nursery:
            self._connection, tap = await self._connect(nursery)
            try:
                nursery.start_soon(self._listen, self._connection)
                if not self.checker.second:
                    await self.until(lambda: self.checker.entered, "the notice of its own joining")
                await act()
                self._parting = True
                with trio.move_on_after(self._plan.timeout):
                    await self._connection.aclose(1000, "good bye")
            finally:
                self._parting = True
                await trio.aclose_forcefully(tap)
            nursery.cancel_scope.cancel()

    async def say(self, texts: Sequence[str]) -> None:
        """Send ``texts``, no faster than planned.

        Raises:
            Broken: if the server does not read.
        """
        assert self._connection is not None  # noqa: S101 - for the type checker
        for text in texts:
            await self._pace.wait()
            self._sent_at.append(trio.current_time())
            self.checker.sending(text)
            try:
                with trio.fail_after(self._plan.timeout):
                    await self._connection.send_message(text)
            except trio.TooSlowError:
                raise Broken(f"{self._account.name}: the server does not read") from None
            except ConnectionClosed:
                return  # the listener reports how it was closed
            self._tally.messages_out += 1

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for something that messages bring about.

        Raises:
            Broken: if nothing is heard for too long.
        """
        if not await self.heard(condition):
            waited = f"{self._plan.patience:g} s in vain for {what}"
            raise Broken(f"{self._account.name}: waited {waited}")

    async def heard(self, condition: Callable[[], bool]) -> bool:
        """Wait for something that messages bring about; tell whether it has come."""
        while not condition():
            with trio.move_on_after(self._plan.patience) as patience:
                await self._beat.wait()
            if patience.cancelled_caught:
                return False
        return True

    async def _connect(self, nursery: trio.Nursery) -> tuple[WebSocketConnection, Tap]:
        url = self._plan.url._replace(scheme=self._plan.url.scheme.replace("http", "ws"))
        resource = f"{url.path}/ws/joinRoom/{quote(self.checker.record.room_id, safe='')}"
        bearer = [("Authorization", f"Bearer {self._account.token}")]
        async with self._gate:
            try:
                with trio.fail_after(self._plan.timeout):
                    opened = await connect(nursery, url, resource, _QUEUE, bearer)
            except trio.TooSlowError:
                waited = f"no connection in {self._plan.timeout:g} s"
                raise Broken(f"{self._account.name}: {waited}") from None
        self._tally.connections += 1
        return opened

    async def _listen(self, connection: WebSocketConnection) -> None:
        checker = self.checker
        while True:
            try:
                raw = await connection.get_message()
            except ConnectionClosed as closed:
                if self._parting:
                    return
                how = f"{closed.reason.code} {closed.reason.reason}" if closed.reason else "nothing"
                raise Broken(f"{self._account.name}: closed by the server with {how}") from None
            now = trio.current_time()
            self._tally.messages_in += 1
            before = checker.heard
            checker.feed(raw)
            if checker.heard > before:
                self._tally.back_seconds.append(now - self._sent_at.popleft())
            if len(checker.violations) >= ENOUGH:
                raise Broken(f"{self._account.name}: given up after {ENOUGH} violations")
            beat, self._beat = self._beat, trio.Event()
            beat.set()
