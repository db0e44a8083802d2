"""Message handlers that are no members: the echo, and the deaf ear of a refused connection."""

from collections.abc import Callable
from typing import Protocol

import trio

from protocol.frames import encode_binary, encode_text


class EchoConnection(Protocol):
    """What an echo needs of its connection."""

    def push(self, frames: bytes) -> None:
        """Send whole frames, without waiting."""

    async def flushed(self) -> None:
        """Wait until the socket has taken all that was pushed, or never will."""


class Deaf:
    """Hears nothing; for a connection that is told something and closed."""

    full = False

    def on_space(self, callback: Callable[[], None]) -> None:
        """Call at once: there is always space."""
        callback()

    async def wait_for_space(self) -> None:
        """Return at once."""
        await trio.lowlevel.checkpoint()

    def opened(self) -> None:
        """Do nothing."""

    def receive(self, text: str, now: float) -> None:
        """Ignore a message."""

    def end_batch(self) -> None:
        """Do nothing."""

    async def receive_slow(self, message: str | bytes, now: float) -> None:
        """Ignore a message."""
        await trio.lowlevel.checkpoint()


class Echo(Deaf):
    """Sends every message back as it came: diagnostic, for conformance tests."""

    def __init__(self, connection: EchoConnection) -> None:
        """Echo on ``connection``."""
        self._connection = connection

    def receive(self, text: str, now: float) -> None:
        """Send a text back."""
        self._connection.push(encode_text(text.encode()))

    async def receive_slow(self, message: str | bytes, now: float) -> None:
        """Send a message back, and take no further one before the socket has it."""
        if isinstance(message, str):
            self._connection.push(encode_text(message.encode()))
        else:
            self._connection.push(encode_binary(message))
        await self._connection.flushed()
