"""A member's seat in a room of any kind, held over as many connections as it takes."""

from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar, cast
from weakref import WeakSet

import attrs
import trio

from protocol.changes import Ack, Described
from protocol.chat_changes import History
from protocol.client import Client
from protocol.client_happenings import (
    Again,
    Answered,
    AnyRequest,
    Changed,
    ChatChanged,
    Happening,
    Over,
    Undone,
    Visible,
)
from protocol.client_outbox import Pending
from protocol.client_view import Shown
from protocol.dialects.parley_v1 import Error
from protocol.farewell import Ending
from protocol.greeting import Greeting
from protocol.lasting import CloseRoom, Depart
from server.client.connection import Peer, converse
from server.client.errors import Declined, RoomOver
from server.client.followers import Follower
from server.client.streams import Address, Dial

Given = TypeVar("Given", Ack, History, Described)

_LAST = Depart | CloseRoom
_DONE = frozenset({Ending.LEFT, Ending.ROOM_ENDED, Ending.WRONG_KEY, Ending.NO_SUCH_ROOM})
"""What whoever wanted to leave, or to end the room, has reached: also if only a cut connection kept
the answer back, and the seat, or the room, is not there any more."""


@attrs.define(eq=False)
class _Waiter:
    """Somebody who waits for what becomes of a request."""

    request: AnyRequest
    done: trio.Event = attrs.Factory(trio.Event)
    answer: Ack | History | Described | None = None
    error: Error | None = None


class Seat(Generic[Shown]):
    """What a member sees of its room, and what becomes of what it asks for.

    A request waits for its answer, over as many connections as it takes, and until the picture
    shows what it has done. If the waiting is cancelled, the request stands all the same.
    """

    def __init__(self, client: Client[Shown], dial: Dial, address: Address, path: str) -> None:
        """Take a seat as soon as :meth:`run` runs.

        Args:
            client: decides everything.
            dial: opens streams.
            address: where the server is.
            path: which of its WebSockets.
        """
        self._client = client
        self._dial = dial
        self._address = address
        self._path = path
        self._wake = trio.Event()
        self._waiters: dict[int, _Waiter] = {}
        self._followers: WeakSet[Follower] = WeakSet()
        self.entered = trio.Event()
        """There is a picture, or it is over."""
        self.trouble = ""
        """Why there is no connection, if that is so; for people."""

    # --- what is seen -----------------------------------------------------------------------

    @property
    def picture(self) -> Shown:
        """The room, as this client has last heard of it."""
        if self._client.picture is None:
            raise AssertionError("nobody has a room before it has entered")
        return self._client.picture

    @property
    def welcome(self) -> Greeting | None:
        """The latest one."""
        return self._client.welcome

    @property
    def over(self) -> Over | None:
        """Why nothing more comes, if that is so."""
        return self._client.over

    @property
    def pending(self) -> tuple[Pending, ...]:
        """The requests that have no answer yet; also those that wait for a connection."""
        return self._client.pending

    def __aiter__(self) -> Follower:
        """Follow what happens from now on, until it is over."""
        follower = Follower()
        self._followers.add(follower)
        if self.over is not None:
            follower.add(self.over)
        return follower

    async def wait_for(self, holds: Callable[[Shown], object]) -> Shown:
        """Wait until something holds of the picture; give that picture.

        Raises:
            RoomOver: if it is over before that.
        """
        follower = aiter(self)
        if self.over is None and holds(self.picture):
            return self.picture
        async for happening in follower:
            if isinstance(happening, Changed | ChatChanged):
                picture: Any = happening.picture  # of this room's kind
                if holds(picture):
                    return cast("Shown", picture)
        raise self._ended()

    async def settled(self) -> None:
        """Wait until all that was asked for is answered, and outlives the server if it can.

        Raises:
            RoomOver: if it is over before that.
        """
        follower = aiter(self)
        while not self._client.settled:
            if self.over is not None:
                raise self._ended()
            await anext(follower)

    # --- what is asked for ------------------------------------------------------------------

    async def leave(self) -> None:
        """Give up the seat for good, and not only the connection.

        Raises:
            Declined: if the room refuses it.
            RoomOver: if it is over before there is an answer.
        """
        await self._ask(Depart(), Ack)

    async def _ask(self, request: AnyRequest, wanted: type[Given]) -> Given:
        """Ask for something; give the answer, of the kind that such a request has."""
        if self.over is not None:
            raise self._ended()
        ref = self._client.request(request)
        waiter = self._waiters[ref] = _Waiter(request)
        self._wake.set()
        try:
            await waiter.done.wait()
        finally:
            del self._waiters[ref]
        if waiter.error is not None:
            raise Declined(waiter.error)
        if not isinstance(waiter.answer, wanted):
            raise self._ended()
        return waiter.answer

    def _ended(self) -> RoomOver:
        return RoomOver(self.over or Over(None, "it is over"))

    # --- the connections --------------------------------------------------------------------

    async def run(self) -> None:
        """Hold the seat until it is over."""
        client = self._client
        while client.over is None:
            if client.due is not None:
                await trio.sleep_until(client.due)
            ended = await converse(self._dial, self._address, self._path, self._talk)
            end: Again | Over
            if ended.final:
                end = client.finish(None, ended.why)
            else:
                end = client.closed(ended.code, trio.current_time())
            self.trouble = ended.why or end.text
            self._publish([end])

    async def _talk(self, peer: Peer) -> None:
        self._client.opened(trio.current_time())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write, peer, nursery.cancel_scope)
            while not self._client.hang_up:
                message = await peer.receive()
                if message is None:
                    break
                self._publish(self._client.receive(message, trio.current_time()))
                self._wake.set()
            nursery.cancel_scope.cancel()

    async def _write(self, peer: Peer, conversation: trio.CancelScope) -> None:
        client = self._client
        while True:
            self._wake = trio.Event()
            for message in client.to_send(trio.current_time()):
                if not await peer.send(message):
                    return  # whoever listens hears why
            if client.hang_up:
                conversation.cancel()
                return
            with trio.move_on_at(client.due or trio.current_time()):
                await self._wake.wait()

    def _publish(self, happenings: Iterable[Happening]) -> None:
        for happening in happenings:
            match happening:
                case Changed() | ChatChanged():
                    self.trouble = ""
                    self.entered.set()
                case Answered(ref, request, Ack() as ack):
                    self._settle(ref, answer=ack, done=isinstance(request, _LAST))
                case Answered(ref, _, (History() | Described()) as page):
                    self._settle(ref, answer=page)
                case Answered(ref, _, Error() as error) | Undone(ref, _, error):
                    self._settle(ref, error=error)
                case Visible(ref):
                    self._settle(ref)
                case Over(reason):
                    self.entered.set()
                    for ref, waiter in self._waiters.items():
                        said = isinstance(waiter.request, _LAST) and reason in _DONE
                        self._settle(ref, answer=Ack(ref, 0) if said else None)
            for follower in self._followers:
                follower.add(happening)

    def _settle(
        self,
        ref: int,
        *,
        answer: Ack | History | Described | None = None,
        error: Error | None = None,
        done: bool = True,
    ) -> None:
        waiter = self._waiters.get(ref)
        if waiter is not None:
            waiter.answer, waiter.error = answer or waiter.answer, error
            if done:
                waiter.done.set()
