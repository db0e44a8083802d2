"""A small HTTP client for bots: connections that are kept alive, and answers as they are."""

import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Final, Self, TypeAlias
from urllib.parse import SplitResult

import attrs
import h11
import trio

_READ: Final = 64 * 1024
_LARGEST: Final = 4 * 1024 * 1024  # of an answer's body, arbitrary
_IDLE_SECONDS: Final = 1.0
"""A connection that was idle for longer is not used again: the server may just be closing it."""

Dial: TypeAlias = Callable[[], Awaitable[trio.abc.Stream]]


class NoAnswer(Exception):
    """A request without a whole answer."""


@attrs.frozen
class Answer:
    """What a server has answered."""

    method: str
    path: str
    """Of the request, query included."""
    status: int
    headers: Sequence[tuple[str, str]]
    """With names in lower case."""
    body: bytes

    @property
    def text(self) -> str:
        """The body."""
        return self.body.decode(errors="replace")

    def header(self, name: str) -> str | None:
        """Find a header; ``None`` if there is none, the first of several."""
        return next((value for known, value in self.headers if known == name), None)


@attrs.define(eq=False)
class _Line:
    """One connection."""

    stream: trio.abc.Stream
    state: h11.Connection
    used: float = 0.0


class Client:
    """Sends requests to one server, some at a time; entering and leaving it opens and closes."""

    def __init__(
        self, url: SplitResult, timeout: float, connections: int, dial: Dial | None = None
    ) -> None:
        """Talk to the server at ``url``.

        Args:
            url: with the beginning of all paths.
            timeout: seconds for one answer.
            connections: at the most.
            dial: connects to it; by TCP if not given.
        """
        self._url = url
        self._timeout = timeout
        self._dial = dial or self._connect
        self._free: list[_Line] = []
        self._gate = trio.CapacityLimiter(connections)

    async def __aenter__(self) -> Self:
        """Begin."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close all connections; an answer that is still awaited is lost."""
        while self._free:
            await trio.aclose_forcefully(self._free.pop().stream)

    async def request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes = b""
    ) -> Answer:
        """Send a request and wait for the whole answer.

        Raises:
            NoAnswer: if it does not come, or is no HTTP.
        """
        async with self._gate:
            try:
                with trio.fail_after(self._timeout):
                    line = await self._line()
                    return await self._exchange(line, method, path, headers, body)
            except trio.TooSlowError:
                raise NoAnswer(f"{method} {path}: no answer in {self._timeout:g} s") from None
            except h11.RemoteProtocolError as error:
                raise NoAnswer(f"{method} {path}: no HTTP: {error}") from None
            except trio.BrokenResourceError:
                raise NoAnswer(f"{method} {path}: the connection broke") from None
            except OSError as error:
                raise NoAnswer(f"no connection: {error}") from None

    async def _exchange(
        self, line: _Line, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> Answer:
        reusable = False
        try:
            every = {"Host": self._url.netloc, "Content-Length": str(len(body)), **headers}
            head = h11.Request(
                method=method, target=self._url.path + path, headers=list(every.items())
            )
            pieces = [line.state.send(head), line.state.send(h11.Data(data=body))]
            pieces.append(line.state.send(h11.EndOfMessage()))
            await line.stream.send_all(b"".join(piece for piece in pieces if piece))
            answer = await self._receive(line, method, path)
            reusable = line.state.our_state is line.state.their_state is h11.DONE
        finally:
            if not reusable:
                await trio.aclose_forcefully(line.stream)
        if reusable:
            line.state.start_next_cycle()
            line.used = trio.current_time()
            self._free.append(line)
        return answer

    async def _receive(self, line: _Line, method: str, path: str) -> Answer:
        body = bytearray()
        head: h11.Response | None = None
        while True:
            line.state.receive_data(bytes(await line.stream.receive_some(_READ)))
            while (event := line.state.next_event()) is not h11.NEED_DATA:
                if isinstance(event, h11.Response):
                    head = event
                elif isinstance(event, h11.Data):
                    body += event.data
                    if len(body) > _LARGEST:
                        raise NoAnswer(f"{method} {path}: more than {_LARGEST} bytes")
                elif isinstance(event, h11.EndOfMessage) and head is not None:
                    headers = [
                        (key.decode(), value.decode("latin-1")) for key, value in head.headers
                    ]
                    return Answer(method, path, head.status_code, headers, bytes(body))
                elif not isinstance(event, h11.InformationalResponse):
                    raise NoAnswer(f"{method} {path}: the server closed the connection")

    async def _line(self) -> _Line:
        now = trio.current_time()
        while self._free:
            line = self._free.pop()
            if now - line.used < _IDLE_SECONDS:
                return line
            await trio.aclose_forcefully(line.stream)
        return _Line(await self._dial(), h11.Connection(h11.CLIENT))

    async def _connect(self) -> trio.abc.Stream:
        host, secure = self._url.hostname or "", self._url.scheme == "https"
        tcp = await trio.open_tcp_stream(host, self._url.port or (443 if secure else 80))
        if not secure:
            return tcp
        return trio.SSLStream(
            tcp, ssl.create_default_context(), server_hostname=host, https_compatible=True
        )
