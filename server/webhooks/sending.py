"""One request to a receiver, by h11 on a connection of its own.

A library for HTTP clients would resolve the name again, follow redirects, keep connections and read
whatever comes: all that must not be here.
"""

import math
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final, Protocol

import attrs
import h11
import trio

from server.support import threads
from server.support.errors import AddressRefused, NotDelivered
from server.webhooks.addresses import Judge, Place

MOST_HEAD: Final = 16 * 1024
"""Bytes of an answer's head."""

MOST_BODY: Final = 16 * 1024
"""Bytes of an answer's body that are taken, so that the receiver can say them; none is used."""

_MOST_ADDRESSES: Final = 3
_CONNECT_SECONDS: Final = 3.0  # for each of them
_REST_SECONDS: Final = 1.0  # for what comes after the head


@attrs.frozen
class Answer:
    """What a receiver has said."""

    status: int
    retry_after: float | None = None
    """For so many seconds it wants to hear nothing."""


class Send(Protocol):
    """How a body gets to a receiver."""

    async def __call__(self, place: Place, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send a body.

        Raises:
            NotDelivered: if there is no answer.
        """


class Sender:
    """Sends bodies to receivers that may be reached."""

    def __init__(
        self,
        judge: Judge,
        *,
        seconds: float,
        version: str,
        clock: Callable[[], float] = time.time,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        """Begin.

        Args:
            judge: says where receivers may be.
            seconds: for one request, from the look-up of the name to the head of the answer.
            version: the server's, for receivers.
            clock: Unix time in seconds.
            trust: whose certificates count; by default those that the system trusts.
        """
        self._judge = judge
        self._seconds = seconds
        self._agent = f"Parley/{version}"
        self._clock = clock
        self._trust = trust

    async def __call__(self, place: Place, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send a body; redirects are answers like any other.

        Raises:
            NotDelivered: if there is no answer in time, or it is none of HTTP, or the receiver may
                not be reached.
        """
        with trio.move_on_after(self._seconds):
            try:
                return await self._send(place, headers, body)
            except AddressRefused as refused:
                raise NotDelivered(f"the address {refused}") from None
            except h11.ProtocolError:
                raise NotDelivered("what answers does not speak HTTP") from None
            except ssl.SSLError:
                raise NotDelivered("no trusted connection could be made") from None
            except (OSError, trio.BrokenResourceError) as error:
                why = error.__cause__
                trusted = not isinstance(why, ssl.SSLError)
                raise NotDelivered(
                    "the connection failed" if trusted else "no trusted connection could be made"
                ) from None
        raise NotDelivered(f"no answer within {self._seconds:g} s")

    async def _send(self, place: Place, headers: Mapping[str, str], body: bytes) -> Answer:
        addresses = await self._judge.addresses(place)
        secure = place.scheme == "https"
        if secure and self._trust is None:  # it takes some milliseconds, and a MiB
            self._trust = await threads.run(ssl.create_default_context)
        stream: trio.abc.Stream = await _connect(addresses[:_MOST_ADDRESSES], place.port)
        if secure and self._trust is not None:
            stream = trio.SSLStream(
                stream, self._trust, server_hostname=place.host, https_compatible=True
            )
        try:
            return await self._ask(stream, place, headers, body)
        finally:
            await trio.aclose_forcefully(stream)

    async def _ask(
        self, stream: trio.abc.Stream, place: Place, headers: Mapping[str, str], body: bytes
    ) -> Answer:
        connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MOST_HEAD)
        fields = {
            "Host": place.shown_host,
            "User-Agent": self._agent,
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Connection": "close",
            **headers,
        }
        request = h11.Request(method="POST", target=place.target, headers=list(fields.items()))
        parts = (request, h11.Data(data=body), h11.EndOfMessage())
        await stream.send_all(b"".join(connection.send(part) or b"" for part in parts))
        taken = 0
        answer: Answer | None = None
        with trio.CancelScope() as rest:  # noqa: ASYNC912 - nothing has come yet, so it reads
            try:
                while taken <= MOST_HEAD + MOST_BODY:
                    event = connection.next_event()
                    if event is h11.NEED_DATA:
                        data = await stream.receive_some(MOST_BODY)
                        taken += len(data)
                        connection.receive_data(bytes(data))
                    elif isinstance(event, h11.Response):
                        answer = Answer(event.status_code, self._retry_after(event))
                        rest.deadline = trio.current_time() + _REST_SECONDS
                    elif isinstance(event, (h11.EndOfMessage, h11.ConnectionClosed)):
                        break
            except (trio.BrokenResourceError, h11.RemoteProtocolError):
                if answer is None:  # what is wrong with its body does not matter
                    raise
        if answer is None:
            raise NotDelivered("the answer is too long, or there is none")
        return answer

    def _retry_after(self, answer: h11.Response) -> float | None:
        """Read how long a receiver wants to be left alone; what cannot be read counts as absent."""
        for name, value in answer.headers:
            if name == b"retry-after":
                return seconds_until(value.decode("latin-1").strip(), self._clock())
        return None


def seconds_until(text: str, now: float) -> float | None:
    """Read a number of seconds, or a date of HTTP."""
    if text.isascii() and text.isdigit():
        return float(text) if len(text) < 10 else math.inf
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, date.replace(tzinfo=date.tzinfo or UTC).timestamp() - now)


async def _connect(addresses: Sequence[str], port: int) -> trio.SocketStream:
    """Connect to the first of these addresses that answers, one after the other.

    Raises:
        OSError: if none does.
    """
    for address in addresses:
        with trio.move_on_after(_CONNECT_SECONDS), suppress(OSError):
            return await trio.open_tcp_stream(address, port)
    raise OSError("none of the addresses answers")
