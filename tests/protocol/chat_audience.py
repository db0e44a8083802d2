"""Carries out what the rules of a chat room ask for, as a room would, and remembers who heard what.

What holds for every effect in whatever situation is asserted here, so that each test of the
rules checks it as well.
"""

from collections.abc import Iterable
from typing import Final

from protocol.chat import Chat
from protocol.effects import Disconnect, Effect, Record, Sleep, Subscribe, Tell, TellAll
from protocol.errors import CloseCode, ErrorCode
from protocol.ids import MemberId, RoomId
from protocol.messages import (
    ChatMessage,
    ChatRecord,
    Command,
    EnterChat,
    Event,
    Leave,
    PeoplePresent,
    Person,
    Refusal,
    Say,
)

ROOM: Final = RoomId("lobby")
EPOCH: Final = 1_700_000_000.0


class ChatAudience:
    """A chat room with people in it, but without connections and without time."""

    def __init__(
        self,
        capacity: int = 500,
        *,
        last_seq: int = 0,
        granted: int = 1_000_000,
        recent: Iterable[ChatMessage] = (),
        seats_per_account: int = 500,
        bytes_rate: float = 1e9,
        bytes_burst: float = 1e9,
    ) -> None:
        """Wake a room; ``now`` stands still unless a test moves it."""
        self.rules = Chat(
            ROOM,
            capacity,
            last_seq=last_seq,
            granted=granted,
            recent=recent,
            seats_per_account=seats_per_account,
            bytes_rate=bytes_rate,
            bytes_burst=bytes_burst,
        )
        self.now = EPOCH + 1000.0
        self.connected: set[str] = set()
        self.present: list[str] = []
        self.heard: dict[str, list[Event]] = {}
        self.dismissed: dict[str, tuple[CloseCode, ErrorCode]] = {}
        self.recorded: list[ChatMessage] = []
        self.published: tuple[Person, ...] = ()
        """Who is here, by what the rules have said of it last."""
        self.sleepy = False
        """The last command has left nobody in the room."""

    # --- what people do ---------------------------------------------------------------------

    def do(self, member: str, command: Command) -> list[Effect[ChatRecord]]:
        """Give ``member``'s command to the rules and carry out what they ask for."""
        if isinstance(command, EnterChat):
            self.connected.add(member)
            self.heard.setdefault(member, [])
        if isinstance(command, Leave):
            self.connected.discard(member)
            if member in self.present:
                self.present.remove(member)
        self.sleepy = False
        effects = self.rules.apply(command, MemberId(member), self.now)
        for effect in effects:
            assert not self.sleepy, "something follows the sleep"
            self._carry_out(effect, member)
        return effects

    def enter(self, member: str, user_id: int | None = None, name: str | None = None) -> None:
        """Come; the name and the number of the account follow from the letter of the member."""
        letter = member[0]
        self.do(member, EnterChat(user_id or ord(letter), name or letter.upper()))

    def say(self, member: str, *texts: str) -> None:
        """Speak."""
        for text in texts:
            self.do(member, Say(text))

    def leave(self, *members: str) -> None:
        """Lose connections."""
        for member in members:
            self.do(member, Leave())

    # --- what they hear ---------------------------------------------------------------------

    def hear(self) -> dict[str, list[Event]]:
        """Return what was heard since the last time, by those who heard anything."""
        heard = {member: events for member, events in self.heard.items() if events}
        for member in heard:
            self.heard[member] = []
        return heard

    def texts(self, member: str) -> list[str]:
        """Give the texts of all messages that a member has heard since the last time."""
        return [each.text for each in self.heard[member] if isinstance(each, ChatMessage)]

    def _carry_out(self, effect: Effect[ChatRecord], subject: str) -> None:
        match effect:
            case Tell(member, event):
                assert member == subject, "somebody else is told something alone"
                self.heard.setdefault(member, []).append(event)
            case TellAll(event):
                assert not isinstance(event, Refusal), "everybody hears of a refusal"
                for key in self.present:
                    self.heard[key].append(event)
            case Subscribe(member):
                assert member == subject
                assert member in self.connected
                assert member not in self.present, "attends twice"
                self.present.append(member)
            case Disconnect(member, code, problem):
                assert member == subject, "somebody else is dismissed"
                self.dismissed[member] = (code, problem.code)
            case Record(PeoplePresent(people)):
                self.published = people
            case Record(ChatMessage() as message):
                self.recorded.append(message)
            case Sleep():
                assert not self.present
                self.sleepy = True
            case _:
                raise AssertionError(effect)
