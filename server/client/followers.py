"""Whoever follows what happens in a room, each at its own pace."""

from collections import deque
from typing import Final

import trio

from protocol.client_happenings import Happening, Over
from server.client.errors import Lagging

MOST_BEHIND: Final = 1024
"""Happenings that are kept for somebody who does not ask for them."""


class Follower:
    """Gives what happens from its making on, until the room is over."""

    def __init__(self) -> None:
        """Begin with what happens next."""
        self._waiting: deque[Happening] = deque()
        self._arrived = trio.Event()
        self._lost = self._over = False

    def add(self, happening: Happening) -> None:
        """Take what has happened, without waiting for anybody."""
        if len(self._waiting) == MOST_BEHIND:
            self._lost = True
        else:
            self._waiting.append(happening)
        self._arrived.set()

    def __aiter__(self) -> "Follower":
        return self

    async def __anext__(self) -> Happening:
        """Wait for the next one.

        Raises:
            StopAsyncIteration: after :class:`~protocol.client_happenings.Over`.
            Lagging: if some of it is forgotten.
        """
        while not self._waiting:
            if self._over:
                raise StopAsyncIteration
            if self._lost:
                raise Lagging(f"more than {MOST_BEHIND} happenings were not asked for")
            self._arrived = trio.Event()
            await self._arrived.wait()
        happening = self._waiting.popleft()
        self._over = isinstance(happening, Over)
        return happening
