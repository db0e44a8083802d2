"""Opening a room over HTTP."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import attrs
import h11
import trio

from protocol import codec
from protocol.errors import Refused
from server.client.errors import CannotCreate
from server.client.streams import Address, Dial, dial, parse_address

CREATE_SECONDS: Final = 30.0

_LARGEST_ANSWER: Final = 64 * 1024


@attrs.frozen(kw_only=True)
class Opened:
    """A room that has been opened."""

    id: str
    link: str
    """For people."""
    owner_key: str
    """Makes a member the owner; the server does not tell it again."""
    socket: str = ""
    """The path of its WebSocket."""
    results: str | None = None
    """The path of its results."""


async def create_room(
    url: str,
    *,
    capacity: int,
    name: str | None = None,
    deck: str | Sequence[str | Mapping[str, str | float]] | None = None,
    grace_seconds: int | None = None,
    passcode: str | None = None,
    dial: Dial = dial,
) -> Opened:
    """Open an estimation room, in which nobody is yet.

    Args:
        url: where the server is, such as ``https://parley.example``.
        capacity: the number of seats.
        name: what people call it.
        deck: the id of a deck, or the cards in order, each a label or its ``label`` and ``value``.
        grace_seconds: for which a member without a connection keeps its seat.
        passcode: which whoever comes must say.
        dial: opens streams.

    Raises:
        ValueError: if ``url`` is no address.
        CannotCreate: if the server does not do it, or is not there.
    """
    address = parse_address(url)
    asked = {
        "name": name,
        "capacity": capacity,
        "deck": deck if deck is None or isinstance(deck, str) else list(deck),
        "grace_seconds": grace_seconds,
        "passcode": passcode,
    }
    body = codec.dumps({key: value for key, value in asked.items() if value is not None})
    try:
        with trio.fail_after(CREATE_SECONDS):
            status, answer = await _post(dial, address, "/v1/rooms", body)
    except trio.TooSlowError:
        raise CannotCreate(None, f"{address.authority} does not answer") from None
    except (OSError, trio.BrokenResourceError, h11.RemoteProtocolError) as error:
        raise CannotCreate(None, f"cannot reach {address.authority}: {error}") from error
    return _read(status, answer)


def _read(status: int, answer: bytes) -> Opened:
    text = answer.decode("utf-8", "replace")
    try:
        read: Any = codec.loads(text)
    except Refused:
        read = None
    if status != HTTPStatus.CREATED:
        said = read.get("error") if isinstance(read, dict) else None
        raise CannotCreate(status, f"the server answers {status}: {said or text[:200]}")
    try:
        return codec.LENIENT.structure(read, Opened)
    except Exception as error:
        raise CannotCreate(status, f"the server's answer is not understood: {error!r}") from error


async def _post(dial: Dial, address: Address, path: str, body: bytes) -> tuple[int, bytes]:
    parser = h11.Connection(h11.CLIENT)
    request = h11.Request(
        method="POST",
        target=address.path + path,
        headers=[
            ("Host", address.authority),
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            ("Connection", "close"),
        ],
    )
    stream = await dial(address)
    async with stream:
        for event in (request, h11.Data(data=body), h11.EndOfMessage()):
            await stream.send_all(parser.send(event) or b"")
        answer, heard = bytearray(), parser.next_event()
        status = 0
        while not isinstance(heard, h11.EndOfMessage):
            if heard is h11.NEED_DATA:
                parser.receive_data(bytes(await stream.receive_some()))
            elif isinstance(heard, h11.Response):
                status = heard.status_code
            elif isinstance(heard, h11.Data):
                answer += heard.data
            if len(answer) > _LARGEST_ANSWER or isinstance(heard, h11.ConnectionClosed):
                raise CannotCreate(None, f"{address.authority} gives no whole answer")
            heard = parser.next_event()
    return status, bytes(answer)
