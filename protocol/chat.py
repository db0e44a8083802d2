"""The rules of a chat room, as a state machine without I/O.

A *person* is an account; it is in the room as long as it has a connection there. The others are
told when a person comes and goes, not when a connection does.

Every message gets the room's next sequence number, as far as numbers have been *granted*: those
up to a mark that is on record, so that whoever wakes the room after a crash goes on above it.
Without a granted number nothing can be said. Who enters is told the last messages (fewer if they
are long) before anything else, in the same turn in which it joins the audience, so that nothing is
lost or doubled between what was and what comes.

A message is charged to whoever says it, by what the others receive of it; the others cannot help
what they are sent.
"""

from collections import deque
from collections.abc import Iterable
from typing import Final

import attrs

from protocol.codec import dumps
from protocol.effects import Disconnect, Effect, Record, Sleep, Subscribe, Tell, TellAll
from protocol.errors import CloseCode, ErrorCode, Problem
from protocol.ids import MemberId, RoomId
from protocol.limits import (
    CHAT_BYTES_BURST,
    CHAT_BYTES_RATE,
    CHAT_HISTORY,
    KIB,
    SEATS_PER_ACCOUNT,
)
from protocol.messages import (
    AnonymiseAuthor,
    ChatMessage,
    ChatRecord,
    Command,
    EnterChat,
    GrantNumbers,
    Leave,
    PeoplePresent,
    Person,
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

_Effects = list[Effect[ChatRecord]]


@attrs.define
class _Seat:
    """One connection in the room."""

    person: Person
    counted: bool
    budget: float
    """Bytes that it may make others receive at once."""
    since: float
    """When that was so, in Unix time."""


@attrs.define
class _Visitor:
    """A person, and how it is here."""

    person: Person
    connections: int = 0
    counted: int = 0


class Chat:
    """One chat room; every command goes through :meth:`apply`."""

    def __init__(
        self,
        room_id: RoomId,
        capacity: int,
        *,
        last_seq: int = 0,
        granted: int = 0,
        recent: Iterable[ChatMessage] = (),
        seats_per_account: int = SEATS_PER_ACCOUNT,
        bytes_rate: float = CHAT_BYTES_RATE,
        bytes_burst: float = CHAT_BYTES_BURST,
    ) -> None:
        """Wake a room.

        Args:
            room_id: the room's id, which its messages carry.
            capacity: the number of connections that it holds.
            last_seq: the sequence number of its last message.
            granted: the highest sequence number that may be given out.
            recent: its last messages, ascending.
            seats_per_account: the number of counted connections that one account may have.
            bytes_rate: the bytes a second that a member may make each of the others receive.
            bytes_burst: the same in bytes at once, for a member that was quiet.
        """
        self.room_id = room_id
        self._capacity = capacity
        self._seats_per_account = seats_per_account
        self._bytes_rate = bytes_rate
        self._bytes_burst = bytes_burst
        self._last_seq = last_seq
        self._granted = granted
        self._recent: deque[ChatMessage] = deque()
        self._recent_bytes = 0
        for message in recent:
            self._remember(message)
        self._seats: dict[MemberId, _Seat] = {}
        self._visitors: dict[int, _Visitor] = {}

    @property
    def last_seq(self) -> int:
        """The sequence number of the last message."""
        return self._last_seq

    @property
    def recent(self) -> tuple[ChatMessage, ...]:
        """The last messages, ascending."""
        return tuple(self._recent)

    @property
    def people(self) -> tuple[Person, ...]:
        """The people who are here, each once, in order of arrival."""
        return tuple(visitor.person for visitor in self._visitors.values())

    def apply(self, command: Command, member: MemberId, now: float) -> _Effects:
        """Apply one command.

        Args:
            command: the thing asked for; commands of other kinds of rooms do nothing.
            member: the one who asks.
            now: the Unix time in seconds; it may jump, as clocks on walls do.

        Returns:
            What is to be done, in order.
        """
        match command:  # the most frequent first
            case Say(text):
                return self._say(text, member, now)
            case EnterChat(user_id, name, counted):
                return self._enter(Person(user_id, name), member, now, counted=counted)
            case Leave():
                return self._leave(member)
            case GrantNumbers(up_to):
                self._granted = max(self._granted, up_to)
                return []
            case Reject(problem, final):
                struck_out = Problem(ErrorCode.STRUCK_OUT) if final else None
                return _refuse(member, problem, struck_out)
            case AnonymiseAuthor(user_id):
                self._recent = deque(disown(self._recent, user_id))
                return []
            case _:
                return []

    def _say(self, text: str, member: MemberId, now: float) -> _Effects:
        seat = self._seats.get(member)
        if seat is None:
            return []
        problem = self._judge(text, seat, now)
        if problem is not None:
            return _refuse(member, problem)
        self._last_seq += 1
        person = seat.person
        said = ChatMessage(self.room_id, self._last_seq, person.user_id, person.name, text, now)
        self._remember(said)
        return [Record(said), TellAll(said)]

    def _judge(self, text: str, seat: _Seat, now: float) -> Problem | None:
        """Say what is wrong with a message, or take what it costs."""
        if not text.strip():
            return Problem(ErrorCode.EMPTY_MESSAGE, field="text")
        if "\0" in text:
            return Problem(ErrorCode.NULL_CHARACTER, field="text")
        if self._last_seq >= self._granted:
            return Problem(ErrorCode.NOT_NOW)
        burst = self._bytes_burst
        elapsed = max(0.0, now - seat.since)
        seat.budget = min(burst, seat.budget + elapsed * self._bytes_rate)
        seat.since = now
        # A message above the burst could never be said: it costs all there is.
        cost = min(burst, len(dumps(text)))
        if cost > seat.budget:
            return Problem(ErrorCode.TOO_MUCH, values={"rate": self._bytes_rate})
        seat.budget -= cost
        return None

    def _remember(self, message: ChatMessage) -> None:
        """Keep a message for those who enter, in place of the oldest ones."""
        recent = self._recent
        recent.append(message)
        self._recent_bytes += _size(message)
        while len(recent) > CHAT_HISTORY or (
            self._recent_bytes > HISTORY_BYTES and len(recent) > 1
        ):
            self._recent_bytes -= _size(recent.popleft())

    def _enter(self, person: Person, member: MemberId, now: float, *, counted: bool) -> _Effects:
        problem = self._refuse_entry(person, counted=counted)
        if problem is not None:
            return _refuse(member, problem, problem)
        self._seats[member] = _Seat(person, counted, self._bytes_burst, now)
        visitor = self._visitors.setdefault(person.user_id, _Visitor(person))
        first, renamed = not visitor.connections, visitor.person != person
        visitor.person = person
        visitor.connections += 1
        visitor.counted += counted
        effects: _Effects = [Tell(member, message) for message in self._recent]
        effects.append(Subscribe(member))
        if first or renamed:
            effects.append(Record(PeoplePresent(self.people)))
        if first:
            effects.append(TellAll(PersonJoined(self.room_id, person.name)))
        return effects

    def _refuse_entry(self, person: Person, *, counted: bool) -> Problem | None:
        if len(self._seats) >= self._capacity:
            values: dict[str, str | int | float] = {"room_id": self.room_id}
            return Problem(ErrorCode.ROOM_FULL, values=values | {"capacity": self._capacity})
        visitor = self._visitors.get(person.user_id)
        if counted and visitor is not None and visitor.counted >= self._seats_per_account:
            values = {"seats": self._seats_per_account}
            return Problem(ErrorCode.TOO_MANY_SEATS, values=values)
        return None

    def _leave(self, member: MemberId) -> _Effects:
        effects: _Effects = []
        seat = self._seats.pop(member, None)
        if seat is not None:
            visitor = self._visitors[seat.person.user_id]
            visitor.connections -= 1
            visitor.counted -= seat.counted
            if not visitor.connections:
                del self._visitors[seat.person.user_id]
                effects.append(Record(PeoplePresent(self.people)))
                effects.append(TellAll(PersonLeft(self.room_id, seat.person.name)))
        if not self._seats:
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


def _refuse(member: MemberId, problem: Problem, goodbye: Problem | None = None) -> _Effects:
    effects: _Effects = [Tell(member, Refusal(problem))]
    if goodbye is not None:
        effects.append(Disconnect(member, CloseCode.POLICY, goodbye))
    return effects
