"""A client of an estimation room, as a state machine.

A server that crashes within the moment between a welcome and its being saved has lost the member.
Then it comes again as somebody new, with all that it has asked for.
"""

from collections.abc import Callable, Iterator
from typing import ClassVar

import attrs

from protocol import changes
from protocol.client import Client
from protocol.client_happenings import Happening, Reacted, Reminded
from protocol.client_outbox import Entry
from protocol.client_states import Standing
from protocol.client_view import RoomView
from protocol.dialects.parley_v1 import CHANGES, NOTICES, Unknown, write_hello, write_signal
from protocol.greeting import Greeting, Hello, Resume
from protocol.lasting import CastCard, React, Retract
from protocol.picture import Mine, Picture
from protocol.talk import Emoji


class EstimationClient(Client[Picture]):
    """One member of an estimation room, over as many connections as it takes."""

    _events: ClassVar = {**CHANGES, **NOTICES}

    def __init__(self, hello: Hello, random: Callable[[], float], *, last_ref: int = 0) -> None:
        """Begin without a connection.

        Args:
            hello: who comes; with ``resume``, a member that has been here before.
            random: as for any client.
            last_ref: the same.
        """
        self._view = RoomView()
        super().__init__(self._view, random, last_ref=last_ref)
        if hello.resume is not None:  # there is no picture yet from which to go on
            hello = attrs.evolve(hello, resume=attrs.evolve(hello.resume, seq=None))
        self._hello = hello
        self._unsaved = False
        """It has come as somebody new, and that is not known to be saved."""
        self._signals: dict[str, None] = {}
        self._joined: int | None = None
        """The number up to which everything must be saved for that, once it is known."""

    @property
    def mine(self) -> Mine | None:
        """What only this member knows, and what it may do."""
        return self._view.mine

    def react(self, emoji: Emoji) -> bool:
        """Show something now; tell whether there is a connection, without which it is forgotten."""
        if self.standing is not Standing.INSIDE:
            return False
        self._signals[write_signal(React(emoji))] = None
        return True

    def to_send(self, now: float) -> list[str]:
        """Give the messages that are to be sent now, in order."""
        requests = super().to_send(now)
        if self.hang_up or self.standing is not Standing.INSIDE:
            return requests
        signals, self._signals = self._signals, {}
        return [*requests, *signals]

    def opened(self, now: float) -> None:
        """There is a connection."""
        self._signals.clear()
        super().opened(now)
        self._view.check(None)

    def _introduce(self) -> str:
        if self.welcome is None:
            return write_hello(self._hello)
        welcome, seq = self.welcome, self._view.seq
        return write_hello(Hello(resume=Resume(token=welcome.token, seq=seq, epoch=welcome.epoch)))

    def _follow(self, said: object) -> Iterator[Happening]:
        match said:
            case changes.Snapshot():
                if self._unsaved and self._joined is None:
                    self._joined = said.picture.seq
                yield from self._view.load(said)
            case changes.Saved(seq):
                if self._joined is not None and self._joined <= seq:
                    self._unsaved, self._joined = False, None
            case changes.Digest():
                self._view.check(said)
            case changes.Nudged():
                yield Reminded(said)
            case changes.Reactions(reactions):
                yield Reacted(reactions)
            case Unknown(seq=int(seq)):
                yield from self._view.count(seq)
            case _ if isinstance(said, changes.Change):
                yield from self._view.follow(said)

    def _note_welcome(self, welcome: Greeting) -> None:
        # Whatever follows: a hello that is repeated may find the seat that the first one took.
        if self.welcome is None and self._hello.resume is None:
            self._unsaved, self._joined = True, None

    def _note_ack(self, before: Entry, seq: int) -> None:
        request = before.request
        if isinstance(request, CastCard | Retract) and not self._outbox.superseded(
            before, (CastCard, Retract)
        ):
            self._view.hold(request, seq)

    def _is_lost(self, now: float) -> bool:
        """Tell whether the server has forgotten this member, and not given its seat up."""
        if self.standing is not Standing.GREETING or not self._unsaved or self.welcome is None:
            return False
        # Of a room that was never shown, nobody knows what was missed by coming late.
        known = self.picture
        return known is None or now - self._left_at < known.grace_seconds
