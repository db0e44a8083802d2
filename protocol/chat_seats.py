"""Who is in a chat room: people, and the seats of their connections."""

from typing import Final

import attrs

from protocol.answers import Answers
from protocol.changes import Ack
from protocol.chat_picture import Attendee, ReadMarker
from protocol.chat_records import Person
from protocol.ids import MemberId
from protocol.limits import UNREAD_MOST
from protocol.talking import TalkRequest

MOST_FORMER: Final = 64
"""Members that have left and whose answers are known without asking the store."""


@attrs.define
class Visitor:
    """A person, and how it is here."""

    person: Person
    since: float
    """Since when it is here, or away."""
    connections: int = 0
    """Seats, those of members that are away included."""
    here: int = 0
    """Seats with a connection."""
    counted: int = 0
    said: int = 0
    """Messages of its own, while it was in the room."""
    marked: bool = False
    """Whether it is known how far it has read."""
    read: int = 0
    typed: float = float("-inf")
    """When the others were last told that it is writing."""
    _unread: int = 0
    _others: int = 0  # messages of others that had been said in the room then

    def mark(self, seq: int, unread: int, said: int) -> None:
        """Take note of how far it has read.

        Args:
            seq: up to this number.
            unread: messages of others above it.
            said: messages that have been said in the room since it was woken.
        """
        self.marked = True
        self.read = seq
        self._unread = unread
        self._others = said - self.said

    def unread(self, said: int) -> int:
        """Count what it has not read, when so many messages have been said in the room."""
        return min(self._unread + said - self.said - self._others, UNREAD_MOST)

    def attendee(self) -> Attendee:
        """Show it to the others."""
        person = self.person
        return Attendee(person.user_id, person.name, here=self.here > 0, since=self.since)

    def marker(self, said: int) -> ReadMarker:
        """Show it how far it has read."""
        return ReadMarker(self.person.user_id, self.read, self.unread(said))


@attrs.define
class Seat:
    """A connection in the room, or a member that outlives its connections."""

    person: Person
    visitor: Visitor
    counted: bool
    budget: float
    """Bytes that it may make others receive at once."""
    since: float
    """When that was so, in Unix time."""
    lasting: bool = False
    here: bool = True
    answers: Answers = attrs.Factory(Answers)
    pending: dict[int, TalkRequest] = attrs.Factory(dict)
    """Requests that wait for the store, by their numbers."""


class Former:
    """The answers of members that have left last.

    Who comes back at the very moment of leaving may have been read from the store before its last
    request was carried out.
    """

    __slots__ = ("_answers",)

    def __init__(self) -> None:
        """Begin with nobody."""
        self._answers: dict[MemberId, Answers] = {}

    def remember(self, member: MemberId, answers: Answers) -> None:
        """Keep the answers of a member that leaves."""
        if answers.given:
            self._answers[member] = answers
            if len(self._answers) > MOST_FORMER:
                del self._answers[next(iter(self._answers))]

    def recall(self, member: MemberId, known: tuple[Ack, ...]) -> Answers:
        """Give the answers of a member that comes, those from the store if it has not just left."""
        return self._answers.pop(member, None) or Answers(list(known))
