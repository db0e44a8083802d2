"""Taking a seat in a room for as long as a block lasts."""

import random
import secrets
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Final, TypeVar
from urllib.parse import quote

import trio

from protocol.client_chat import ChatClient
from protocol.client_estimation import EstimationClient
from protocol.codec import clean_passcode
from protocol.greeting import ChatHello, Hello, Resume
from protocol.lasting import Role
from server.client.chat import Chat
from server.client.errors import NotReached, RoomOver
from server.client.room import Room
from server.client.seat import Seat
from server.client.streams import Dial, dial, parse_address

PATIENCE_SECONDS: Final = 30.0
"""For which a server is tried at first; once inside, for as long as the block lasts."""


NONCE_BYTES: Final = 16
"""Of the secret by which a hello can be repeated."""


def open_room(
    url: str,
    room_id: str,
    *,
    name: str | None = None,
    role: Role = Role.VOTER,
    owner_key: str | None = None,
    passcode: str | None = None,
    account_token: str | None = None,
    seat_token: str | None = None,
    last_ref: int = 0,
    patience: float = PATIENCE_SECONDS,
    dial: Dial = dial,
) -> AbstractAsyncContextManager[Room]:
    """Take a seat in a room, and hold it over as many connections as it takes.

    The end of the block closes the connection only; the seat waits for its grace. To give it up,
    ``await room.leave()``.

    Args:
        url: where the server is, such as ``wss://parley.example``.
        room_id: the room.
        name: who comes. One of ``name``, ``account_token`` and ``seat_token`` is needed.
        role: what for.
        owner_key: makes this member the owner.
        passcode: the room's, if it has one.
        account_token: of an account, whose name is taken.
        seat_token: as an earlier welcome gave it: opens the same seat again.
        last_ref: with it, the highest number that a request from this seat has had.
        patience: seconds for which a server is tried before there is a seat.
        dial: opens streams.

    Raises:
        ValueError: if ``url`` is no address, if it is not said who comes, or if ``passcode`` can
            be none.
    """
    if sum(each is not None for each in (name, account_token, seat_token)) != 1:
        raise ValueError("one of name, account_token and seat_token is needed")
    hello = Hello(
        name=name,
        role=role,
        owner_key=owner_key,
        passcode=None if passcode is None else clean_passcode(passcode),
        token=account_token,
        nonce=secrets.token_urlsafe(NONCE_BYTES) if seat_token is None else None,
        resume=Resume(token=seat_token) if seat_token is not None else None,
    )
    client = EstimationClient(hello, random.SystemRandom().random, last_ref=last_ref)
    path = f"/v1/rooms/{quote(room_id, safe='')}"
    return _Opening(Room(client, dial, parse_address(url), path), patience)


def open_chat(
    url: str,
    room_id: str,
    *,
    account_token: str,
    seat_token: str | None = None,
    last_ref: int = 0,
    patience: float = PATIENCE_SECONDS,
    dial: Dial = dial,
) -> AbstractAsyncContextManager[Chat]:
    """Take a seat in a chat room, and hold it over as many connections as it takes.

    The end of the block closes the connection only. To give the seat up, ``await chat.leave()``.

    Args:
        url: where the server is, such as ``wss://parley.example``.
        room_id: the room.
        account_token: whose seat it is.
        seat_token: as an earlier welcome gave it: opens the same seat again.
        last_ref: with it, the highest number that a request from this seat has had.
        patience: seconds for which a server is tried before there is a seat.
        dial: opens streams.

    Raises:
        ValueError: if ``url`` is no address.
    """
    resume = Resume(token=seat_token) if seat_token is not None else None
    hello = ChatHello(token=account_token, resume=resume)
    client = ChatClient(hello, random.SystemRandom().random, last_ref=last_ref)
    path = f"/v1/chats/{quote(room_id, safe='')}"
    return _Opening(Chat(client, dial, parse_address(url), path), patience)


Held = TypeVar("Held", bound=Seat[Any])


class _Opening(AbstractAsyncContextManager[Held]):
    """A block in which a room is open; what its body raises comes out as it is, in no group."""

    def __init__(self, room: Held, patience: float) -> None:
        self._room = room
        self._patience = patience
        self._manager = trio.open_nursery()
        self._nursery: trio.Nursery | None = None

    async def __aenter__(self) -> Held:
        """Wait for the seat.

        Raises:
            RoomOver: if the server refuses it.
            NotReached: if no server has let this member in.
        """
        room, inside = self._room, False
        self._nursery = await self._manager.__aenter__()
        self._nursery.start_soon(room.run)  # noqa: ASYNC113 - its seat is waited for
        try:
            with trio.move_on_after(self._patience):
                await room.entered.wait()
            inside = room.entered.is_set() and room.over is None
        finally:
            if not inside:
                await self.__aexit__(None, None, None)  # noqa: ASYNC102 - as there
        if room.over is not None:
            raise RoomOver(room.over)
        if not inside:
            raise NotReached(room.trouble or "the server does not answer")
        return room

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connection."""
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()
        # What is cancelled ends at once, but for a goodbye under a deadline of its own.
        await self._manager.__aexit__(None, None, None)  # noqa: ASYNC102
