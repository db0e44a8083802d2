"""A client of a chat room, as a state machine.

A member is one of an account, which it shows on each connection. The server knows it again for as
long as the room exists, so it never has to come as somebody else.
"""

from collections.abc import Callable, Iterator
from typing import ClassVar

import attrs

from protocol.chat_changes import ChatChange, ChatSnapshot, History
from protocol.chat_picture import ChatPicture
from protocol.client import Client
from protocol.client_happenings import Answered, Happening
from protocol.client_view import ChatView
from protocol.dialects.parley_v1 import CHAT_CHANGES, CHAT_NOTICES, Unknown, write_hello
from protocol.greeting import ChatHello, Resume
from protocol.talking import ReadHistory, Typing


class ChatClient(Client[ChatPicture]):
    """One member of a chat room, over as many connections as it takes."""

    _events: ClassVar = {**CHAT_CHANGES, **CHAT_NOTICES}
    _fleeting: ClassVar = (Typing, ReadHistory)

    def __init__(self, hello: ChatHello, random: Callable[[], float], *, last_ref: int = 0) -> None:
        """Begin without a connection.

        Args:
            hello: which account comes; with ``resume``, a member that has been here before.
            random: as for any client.
            last_ref: the same.
        """
        self._view = ChatView()
        super().__init__(self._view, random, last_ref=last_ref)
        if hello.resume is not None:  # there is no picture yet from which to go on
            hello = attrs.evolve(hello, resume=attrs.evolve(hello.resume, seq=None))
        self._hello = hello

    def _introduce(self) -> str:
        if self.welcome is None:
            return write_hello(self._hello)
        resume = Resume(token=self.welcome.token, seq=self._view.seq, epoch=self.welcome.epoch)
        return write_hello(attrs.evolve(self._hello, resume=resume))

    def _follow(self, said: object) -> Iterator[Happening]:
        match said:
            case ChatSnapshot():
                yield from self._view.load(said)
            case History():
                entry = self._outbox.conclude(said.ref)
                if entry is not None:
                    yield Answered(said.ref, entry.request, said)
            case Unknown(seq=int(seq)):
                yield from self._view.count(seq)
            case _ if isinstance(said, ChatChange):
                yield from self._view.follow(said)
