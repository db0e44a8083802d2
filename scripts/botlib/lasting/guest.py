"""A member that speaks the older dialect, in a room of those that do not."""

import json
import random
from typing import Final
from urllib.parse import urlencode

import trio
from trio_websocket import ConnectionClosed, HandshakeError, wrap_client_stream

from scripts.botlib.failures import Broken
from scripts.botlib.lasting.proxy import Wires
from scripts.botlib.lasting.session import Session
from server.client.streams import parse_address

_CONNECT_SECONDS: Final = 10.0
_BACK_SECONDS: Final = (0.1, 1.0)


class Guest:
    """Joins, votes whenever it is asked, and comes again as somebody new if it is cut off."""

    def __init__(self, session: Session, name: str) -> None:
        """Take a seat as ``name``."""
        seed = f"{session.plan.seed} {session.label}"
        self._session = session
        self._name = name
        self._dice = random.Random(f"{seed} {name}")
        # Restarts and the others' troubles are enough: one that is cut is another member.
        self._wires = Wires(name, session.witness, seed=seed, chaos=False)

    async def run(self) -> None:
        """Play until the room is over.

        Raises:
            Broken: if the connection ends before that, and nobody breaks connections here.
        """
        session = self._session
        why = "closed"
        while True:
            # trio-websocket raises some in its own task, hence in a group.
            try:
                await self._visit()
            except* (OSError, trio.TooSlowError, trio.BrokenResourceError, HandshakeError) as group:
                why = repr(group.exceptions[0])
            if session.closing:
                return
            if not session.plan.chaos:
                raise Broken(f"{self._name}: {why}")
            await trio.sleep(self._dice.uniform(*_BACK_SECONDS))

    async def _visit(self) -> None:
        session, room_id = self._session, self._session.opened.id
        address = parse_address(session.stage.url)
        asked = {"name": self._name, "action": "JOIN_ROOM", "room_id": room_id}
        with trio.fail_after(_CONNECT_SECONDS):
            stream = await session.stage.proxy.dial_for(self._wires)(address)
        try:
            async with trio.open_nursery() as nursery:
                with trio.fail_after(_CONNECT_SECONDS):
                    connection = await wrap_client_stream(
                        nursery,
                        stream,  # type: ignore[arg-type]  # any stream will do
                        address.authority,
                        f"{address.path}/ws?{urlencode(asked)}",
                        message_queue_size=1000,
                    )
                try:
                    await connection.send_message(_worded("JOIN_ROOM", room_id=room_id))
                    while True:
                        answer = self._answer(await connection.get_message())
                        if answer:
                            await connection.send_message(answer)
                except ConnectionClosed:
                    nursery.cancel_scope.cancel()
        finally:
            await trio.aclose_forcefully(stream)

    def _answer(self, raw: str | bytes) -> str:
        try:
            told = json.loads(raw)
        except ValueError:
            return ""
        if told.get("type") != "ASK_FOR_VOTE":
            return ""
        card = self._dice.choice(self._session.cards[self._name])
        return _worded("MEMBER_VOTED", ticket_id=told["data"]["ticket_id"], vote=card)


def _worded(kind: str, **data: str) -> str:
    return json.dumps({"type": kind, "data": data}, ensure_ascii=False)
