"""The rules of a chat room, as a state machine without I/O.

A *person* is an account; it is in the room as long as one connection of it at the least is. The
others are told when a person comes and goes, not when a connection does.

Every message gets the room's next sequence number. Who enters is told the last messages (fewer
if they are long) before anything else, in the same turn in which it joins the audience, so that
nothing is lost or doubled between what was and what comes.
"""

from collections import deque
from collections.abc import Iterable
from typing import Final

import attrs

from protocol.effects import Disconnect, Effect, Record, Sleep, Subscribe, Tell, TellAll
from protocol.errors import CloseCode, ErrorCode, Problem
from protocol.ids import MemberId, RoomId
from protocol.limits import CHAT_HISTORY, KIB
from protocol.messages import (
    AnonymiseAuthor,
    ChatMessage,
    Command,
    EnterChat,
    Leave,
    PersonJoined,
    PersonLeft,
    Refusal,
    Reject,
    Say,
)

DELETED_USER: Final = "deleted user"
"""Shown as the author of messages whose author's account is gone."""

HISTORY_BYTES: Final = 128 * KIB
"""Of text that is told on entering. As JSON it is six times as much at the worst, which still
fits an outbox; else nobody could enter any more after a few long messages."""


@attrs.frozen
class Person:
    """Who is in a chat room."""

    user_id: int
    name: str


class Chat:
    """One chat room; every command goes through :meth:`apply`."""

    def __init__(
        self,
        room_id: RoomId,
        capacity: int,
        *,
        last_seq: int = 0,
        recent: Iterable[ChatMessage] = (),
        epoch: float = 0.0,
    ) -> None:
        """Wake a room.

        Args:
            room_id: of the room.
            capacity: connections at the most.
            last_seq: sequence number of its last message.
            recent: its last messages, ascending.
            epoch: what to add to monotonic times for Unix time, in seconds.
        """
        self.room_id = room_id
        self._capacity = capacity
        self._epoch = epoch
        self._last_seq = last_seq
        self._recent: deque[ChatMessage] = deque()
        self._recent_bytes = 0
        for message in recent:
            self._remember(message)
        self._members: dict[MemberId, Person] = {}
        self._connections: dict[int, int] = {}  # how many each person has

    @property
    def last_seq(self) -> int:
        """Sequence number of the last message."""
        return self._last_seq

    @property
    def recent(self) -> tuple[ChatMessage, ...]:
        """The last messages, ascending."""
        return tuple(self._recent)

    @property
    def people(self) -> tuple[Person, ...]:
        """Who is here, each person once, in order of arrival."""
        return tuple({person.user_id: person for person in self._members.values()}.values())

    def apply(self, command: Command, member: MemberId, now: float) -> list[Effect]:
        """Apply one command.

        Args:
            command: what is asked for; those of other kinds of rooms do nothing.
            member: by whom.
            now: monotonic time in seconds.

        Returns:
            What is to be done, in order.
        """
        match command:  # the most frequent first
            case Say(text):
                return self._say(text, member, now)
            case EnterChat(user_id, name):
                return self._enter(Person(user_id, name), member)
            case Leave():
                return self._leave(member)
            case Reject(problem, final):
                return _refuse(member, problem, final=final)
            case AnonymiseAuthor(user_id):
                self._recent = deque(disown(self._recent, user_id))
                return []
            case _:
                return []

    def _say(self, text: str, member: MemberId, now: float) -> list[Effect]:
        person = self._members.get(member)
        if person is None:
            return []
        if not text.strip():
            return _refuse(member, Problem(ErrorCode.MALFORMED, "a message must not be empty"))
        if "\0" in text:  # which no database keeps in a text
            message = "a message must not contain a null character"
            return _refuse(member, Problem(ErrorCode.MALFORMED, message))
        self._last_seq += 1
        said = ChatMessage(
            self.room_id, self._last_seq, person.user_id, person.name, text, self._epoch + now
        )
        self._remember(said)
        return [Record(said), TellAll(said)]

    def _remember(self, message: ChatMessage) -> None:
        """Keep a message for those who enter, in place of the oldest ones."""
        recent = self._recent
        recent.append(message)
        self._recent_bytes += _size(message)
        while len(recent) > CHAT_HISTORY or (
            self._recent_bytes > HISTORY_BYTES and len(recent) > 1
        ):
            self._recent_bytes -= _size(recent.popleft())

    def _enter(self, person: Person, member: MemberId) -> list[Effect]:
        if len(self._members) >= self._capacity:
            message = f"room {self.room_id} is full"
            return _refuse(member, Problem(ErrorCode.ROOM_FULL, message), final=True)
        self._members[member] = person
        connections = self._connections.get(person.user_id, 0) + 1
        self._connections[person.user_id] = connections
        effects: list[Effect] = [Tell(member, message) for message in self._recent]
        effects.append(Subscribe(member))
        if connections == 1:
            effects.append(TellAll(PersonJoined(self.room_id, person.name)))
        return effects

    def _leave(self, member: MemberId) -> list[Effect]:
        effects: list[Effect] = []
        person = self._members.pop(member, None)
        if person is not None:
            connections = self._connections[person.user_id] - 1
            if connections:
                self._connections[person.user_id] = connections
            else:
                del self._connections[person.user_id]
                effects.append(TellAll(PersonLeft(self.room_id, person.name)))
        if not self._members:
            effects.append(Sleep())
        return effects


def disown(messages: Iterable[ChatMessage], user_id: int) -> list[ChatMessage]:
    """Show the messages of a deleted account as by a deleted user."""
    return [
        attrs.evolve(message, author_id=None, author=DELETED_USER)
        if message.author_id == user_id
        else message
        for message in messages
    ]


def _size(message: ChatMessage) -> int:
    return len(message.text.encode())


def _refuse(member: MemberId, problem: Problem, *, final: bool = False) -> list[Effect]:
    effects: list[Effect] = [Tell(member, Refusal(problem))]
    if final:
        effects.append(Disconnect(member, CloseCode.POLICY, problem.message))
    return effects
