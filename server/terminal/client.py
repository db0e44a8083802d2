"""The terminal client itself: connects, and carries messages and lines to and fro until the end."""

import signal
import ssl
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Protocol
from urllib.parse import urlsplit

import attrs
import trio
from trio_websocket import (
    ConnectionClosed,
    ConnectionRejected,
    HandshakeError,
    WebSocketConnection,
    wrap_client_stream,
)

from server.support.errors import first_of
from server.support.stopping import SIGNALS, exit_code
from server.terminal.arguments import Plan, parse
from server.terminal.dialogue import Dialogue, Turn
from server.terminal.lines import Lines

GOOD: Final = 0
FAILED: Final = 1

_QUEUE: Final = 256  # messages read while a line is being shown
_NOT_SENT: Final = frozenset({None, 1005, 1006})  # RFC 6455 section 7.4.1: no close frame came
_NORMAL: Final = frozenset({1000, 1001})


@attrs.frozen(kw_only=True)
class Patience:
    """How long a server is waited for, in seconds."""

    connect: float = 10.0
    ping: float = 20.0
    """Between pings: a network that has gone says nothing by itself."""
    pong: float = 10.0
    goodbye: float = 2.0


_PATIENCE: Final = Patience()
_Stream = trio.SocketStream | trio.SSLStream[trio.SocketStream]


class Terminal(Protocol):
    """Where a person sits."""

    patient: bool
    """Lines wait until something is asked: they come from a file or a pipe."""

    async def next(self) -> str | None:
        """Wait for a line; ``None`` at the end."""

    def show(self, line: str) -> None:
        """Show a line, or raise ``OSError`` if nobody reads any more."""

    def complain(self, line: str) -> None:
        """Say what went wrong."""


def main(argv: Sequence[str]) -> int:
    """Take a seat as arguments (without the program's name) say, and stay until the end.

    Returns:
        The exit code: 0 after a session, 1 if there was none or it broke, 128 plus the number of
        a signal.

    Raises:
        SystemExit: from reading the arguments.
    """
    plan = parse(argv)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a card such as ½ is not in every character set
            stream.reconfigure(errors="replace")
    return trio.run(take_part, plan, Console())


class Console:
    """The terminal that this process was started from."""

    def __init__(self) -> None:
        """Use standard input, output and error."""
        self._lines = Lines(0)
        self.patient = sys.stdin is None or not sys.stdin.isatty()

    async def next(self) -> str | None:
        """Wait for a line; ``None`` at the end."""
        return await self._lines.next()

    def show(self, line: str) -> None:
        """Print a line."""
        print(line, flush=True)  # noqa: T201 - this is its interface

    def complain(self, line: str) -> None:
        """Say on standard error what went wrong."""
        print(f"parley: {line}", file=sys.stderr)  # noqa: T201


async def take_part(plan: Plan, terminal: Terminal, patience: Patience = _PATIENCE) -> int:
    """Take a seat, and stay until somebody ends it.

    Args:
        plan: which seat.
        terminal: who sits there.
        patience: how long to wait for the server.

    Returns:
        The exit code.
    """
    code, why = FAILED, ""
    # trio-websocket raises some in its own task, hence in a group.
    try:
        code = await _visit(plan, terminal, patience)
    except* ConnectionRejected as group:
        why = f"{plan.server} takes nobody: {_rejection(group)}"
    except* HandshakeError as group:
        why = f"{plan.server} is no Parley: {first_of(group).__cause__ or 'no valid answer'}"
    except* trio.TooSlowError:
        why = f"{plan.server} does not answer within {patience.connect:g} seconds"
    except* OSError as group:
        why = f"cannot reach {plan.server}: {first_of(group)}"
    except* trio.BrokenResourceError as group:
        why = f"cannot talk to {plan.server}: {first_of(group).__cause__ or 'the connection broke'}"
    if why:
        terminal.complain(" ".join(why.split()))
    return code


async def _visit(plan: Plan, terminal: Terminal, patience: Patience) -> int:
    async with trio.open_nursery() as nursery:
        with trio.fail_after(patience.connect):
            stream = await _open_stream(plan)
        try:
            host, target = urlsplit(plan.url).netloc, plan.url.partition("://")[2]
            with trio.fail_after(patience.connect):
                connection = await wrap_client_stream(
                    nursery,
                    stream,
                    host,
                    target.removeprefix(host),
                    message_queue_size=_QUEUE,
                )
            code = await _Session(plan, terminal, connection, patience).run()
            with trio.move_on_after(patience.goodbye):
                await connection.aclose()
        finally:
            await trio.aclose_forcefully(stream)
        nursery.cancel_scope.cancel()
    return code


def _rejection(group: BaseExceptionGroup[BaseException]) -> str:
    error = first_of(group)
    if not isinstance(error, ConnectionRejected):  # pragma: no cover - it was caught as one
        return str(error)
    return f"status {error.status_code} {(error.body or b'')[:200].decode('utf-8', 'replace')}"


async def _open_stream(plan: Plan) -> _Stream:
    url = urlsplit(plan.server)
    host = url.hostname or ""
    secure = url.scheme == "wss"
    stream = await trio.open_tcp_stream(host, url.port or (443 if secure else 80))
    if not secure:
        return stream
    # https_compatible: servers close TCP without closing TLS first.
    return trio.SSLStream(
        stream, ssl.create_default_context(), server_hostname=host, https_compatible=True
    )


class _Session:
    """One connection from the first message to the last."""

    def __init__(
        self,
        plan: Plan,
        terminal: Terminal,
        connection: WebSocketConnection,
        patience: Patience,
    ) -> None:
        self._patience = patience
        self._dialogue = Dialogue(plan.room_id, invitation=plan.invitation)
        self._terminal = terminal
        self._connection = connection
        self._leaving = trio.CancelScope()
        self._something_asked = trio.Event()
        self._last_shown = ""
        self._code: int | None = None

    async def run(self) -> int:
        """Take part until the end; give the exit code."""
        with self._leaving:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._heed_signals)
                nursery.start_soon(self._ping)
                nursery.start_soon(self._listen)
                nursery.start_soon(self._read)
                await self._follow(self._dialogue.begin())
        return GOOD if self._code is None else self._code

    def _leave(self, code: int) -> None:
        if self._code is None:
            self._code = code
        self._leaving.cancel()

    async def _listen(self) -> None:
        try:
            while True:
                message = await self._connection.get_message()
                await self._follow(self._dialogue.hear(message))
        except ConnectionClosed as closed:
            self._end(closed)

    def _end(self, closed: ConnectionClosed) -> None:
        code = closed.reason.code if closed.reason is not None else None
        why = closed.reason.reason if closed.reason is not None else None
        if code in _NORMAL and self._dialogue.inside:
            self._show(f"The session is over: {why or 'the server says goodbye'}.")
            self._leave(GOOD)
            return
        if code in _NORMAL:
            self._terminal.complain(f"refused: {self._last_shown.lstrip('! ') or why or code}")
        else:
            shown = "without a word" if code in _NOT_SENT else f"{code} {why or ''}".rstrip()
            self._terminal.complain(f"the server has ended the connection: {shown}")
        self._leave(FAILED)

    async def _read(self) -> None:
        while True:
            while self._terminal.patient and self._dialogue.asked is None:
                await self._something_asked.wait()
            line = await self._terminal.next()
            if line is None:
                self._leave(GOOD)
                return
            await self._follow(self._dialogue.type(line))

    async def _follow(self, turn: Turn) -> None:
        for line in turn.show:
            if self._dialogue.inside:
                self._show(line)
            self._last_shown = line
        if self._dialogue.asked is not None:
            self._something_asked.set()
        elif self._something_asked.is_set():
            self._something_asked = trio.Event()
        # What it was closed for is about to be heard.
        with suppress(ConnectionClosed):
            for message in turn.send:
                await self._connection.send_message(message)
        if turn.leave:
            self._leave(GOOD)

    def _show(self, line: str) -> None:
        try:
            self._terminal.show(line)
        except OSError as error:
            self._terminal.complain(f"nobody reads what is said here: {error.strerror or error}")
            self._leave(FAILED)

    async def _ping(self) -> None:
        with suppress(ConnectionClosed):
            pong = True
            while pong:
                await trio.sleep(self._patience.ping)
                with trio.move_on_after(self._patience.pong) as waiting:
                    await self._connection.ping()
                pong = not waiting.cancelled_caught
            self._terminal.complain("the server does not answer any more")
            self._leave(FAILED)

    async def _heed_signals(self) -> None:
        with trio.open_signal_receiver(*SIGNALS) as signals:
            async for number in signals:
                self._leave(exit_code(signal.Signals(number)))
