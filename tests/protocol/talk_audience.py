"""A chat room of members who come back, as a room and a store would carry its rules out.

It keeps what each member hears by the connection that it has, and folds it. What holds in every
situation is asserted here: the folded picture is the server's own, after each command.
"""

from collections import deque
from typing import Final

import attrs

from protocol.changes import Ack, Failure
from protocol.chat import Chat
from protocol.chat_changes import (
    NUMBERED_CHAT,
    ChatChange,
    Deleted,
    Edited,
    History,
    Said,
)
from protocol.chat_fold import fold_chat
from protocol.chat_picture import ChatPicture
from protocol.chat_records import (
    Amended,
    ChatMessage,
    ChatRecord,
    CountUnread,
    FindMessage,
    FindPage,
    Inquiry,
    PeoplePresent,
    Question,
    ReadMark,
)
from protocol.chat_window import disown
from protocol.effects import (
    ClearTimer,
    Disconnect,
    Effect,
    Greet,
    Record,
    SetTimer,
    Sleep,
    Subscribe,
    Tell,
    TellAll,
    TellOthers,
)
from protocol.errors import ErrorCode
from protocol.ids import MemberId, RoomId
from protocol.lasting import Detach, Return
from protocol.limits import CHAT_HISTORY
from protocol.messages import (
    AnonymiseAuthor,
    Command,
    EnterChat,
    Event,
    Leave,
    Refusal,
    Say,
    TimeUp,
)
from protocol.talking import (
    Finding,
    Found,
    JoinChat,
    NumberedTalk,
    Page,
    SayOnce,
    Standing,
    TalkRequest,
    Target,
    Unread,
)

ROOM: Final = RoomId("lobby")
EPOCH: Final = 1_700_000_000.0
CHANGES: Final = (
    *NUMBERED_CHAT,
    *(kind for kind in ChatChange.__args__ if kind not in NUMBERED_CHAT),
)

Kept = ChatMessage | Amended


def account(member: str) -> int:
    """Whose a member is: its first letter tells."""
    return ord(member[0])


@attrs.define
class Store:
    """What is kept, and what of it a crash would leave."""

    rows: list[Kept] = attrs.Factory(list)
    marks: dict[int, int] = attrs.Factory(dict)
    gone: set[int] = attrs.Factory(set)
    """Accounts."""

    def messages(self) -> list[ChatMessage]:
        """Give all messages as they are now."""
        found: dict[int, ChatMessage] = {}
        for row in self.rows:
            if isinstance(row, ChatMessage):
                found[row.seq] = row
            else:
                before = found[row.target]
                found[row.target] = attrs.evolve(before, text=row.text, changed_at=row.at)
        messages = list(found.values())
        for user_id in self.gone:
            messages = disown(messages, user_id)
        return messages

    def missed(self, seq: int) -> list[Said | Edited | Deleted]:
        """Tell what came after a number, messages as they are now."""
        now = {each.seq: each for each in self.messages()}
        changes: list[Said | Edited | Deleted] = []
        for row in self.rows:
            if row.seq <= seq:
                continue
            if isinstance(row, ChatMessage):
                each = now[row.seq]
                changes.append(Said(row.seq, each.author_id, each.author, each.text, each.at))
            elif now[row.target].text:
                changes.append(Edited(row.seq, row.target, now[row.target].text, row.at))
            else:
                changes.append(Deleted(row.seq, row.target, row.at))
        return changes

    def standing(self, member: str) -> Standing:
        """Tell what is known of somebody who is about to join."""
        asked = [(row.asked.ref, row.seq) for row in self.rows if _by(row, member) and row.asked]
        read = self.marks.get(account(member), 0)
        return Standing(
            answers=tuple(Ack(ref, seq) for ref, seq in sorted(asked)),
            read=read,
            unread=self.count(account(member), read),
            counted_to=self.rows[-1].seq if self.rows else 0,
        )

    def count(self, user_id: int, above: int) -> int:
        """Count the messages of others."""
        return sum(each.seq > above and each.author_id != user_id for each in self.messages())

    def find(self, question: Question) -> Finding:
        """Answer a question of the rules."""
        messages = self.messages()
        match question:
            case FindPage(before, limit):
                below = [each for each in messages if before is None or each.seq < before]
                return Page(tuple(below[-limit:]), more=len(below) > limit)
            case FindMessage(seq):
                return Target(next((each for each in messages if each.seq == seq), None))
            case CountUnread(user_id, seq):
                return Unread(self.count(user_id, seq), self.rows[-1].seq)


def _by(row: Kept, member: str) -> bool:
    return row.asked is not None and row.asked.member == member


@attrs.define
class Guest:
    """A member, and what it knows."""

    lasting: bool
    connected: bool = True
    attends: bool = False
    picture: ChatPicture | None = None
    heard: list[Event] = attrs.Factory(list)
    answers: dict[int, int | ErrorCode] = attrs.Factory(dict)
    """By the numbers of the requests: where they took effect, or why not."""
    generation: int = 0


class TalkAudience:
    """A chat room without connections and without time."""

    def __init__(
        self,
        *,
        capacity: int = 500,
        grace: float = 60.0,
        granted: int = 1_000_000,
        seats_per_account: int = 500,
        bytes_rate: float = 1e9,
        bytes_burst: float = 1e9,
        store: Store | None = None,
        last_seq: int = 0,
    ) -> None:
        """Wake a room; ``now`` stands still unless a test moves it."""
        self.store = Store() if store is None else store
        self.rules = Chat(
            ROOM,
            capacity,
            name="Lobby",
            grace_seconds=grace,
            granted=granted,
            last_seq=last_seq,
            recent=self.store.messages()[-CHAT_HISTORY:],
            seats_per_account=seats_per_account,
            bytes_rate=bytes_rate,
            bytes_burst=bytes_burst,
        )
        self.now = EPOCH
        self.guests: dict[str, Guest] = {}
        self.timers: dict[str, float] = {}
        self.inquiries: deque[tuple[Inquiry, Finding]] = deque()
        """With what the store says at the moment of the asking; the room hears of it later."""
        self.leaving: list[str] = []
        self.asleep = False
        self._ring: dict[int, Said | Edited | Deleted] = {}
        self._ring_from = last_seq

    # --- what members do --------------------------------------------------------------------

    def do(self, member: str, command: Command) -> list[Effect[ChatRecord]]:
        """Give a command to the rules, carry out what they ask for, and compare all pictures."""
        effects = self.rules.apply(command, MemberId(member), self.now)
        for effect in effects:
            assert not self.asleep, "something follows the sleep"
            self._carry_out(effect)
        while self.leaving:
            self.do(self.leaving.pop(), Leave())
        for key, guest in self.guests.items():
            if guest.attends and guest.connected and guest.lasting:
                assert guest.picture == self.rules.snapshot_for(MemberId(key)).picture, key
        return effects

    def join(
        self, member: str, seq: int | None = None, generation: int = 0, *, counted: bool = True
    ) -> Guest:
        """Come as a member that outlives its connections; the store knows what it was before."""
        guest = self.guests.setdefault(member, Guest(lasting=True))
        guest.connected = guest.attends = False  # until it is greeted
        command = JoinChat(
            user_id=account(member),
            name=member[0].upper(),
            counted=counted,
            seq=seq,
            generation=generation,
            standing=self.store.standing(member),
        )
        self.do(member, command)
        return guest

    def enter(self, member: str) -> Guest:
        """Come as a member that is one with its connection."""
        guest = self.guests[member] = Guest(lasting=False)
        self.do(member, EnterChat(account(member), member[0].upper()))
        return guest

    def detach(self, member: str) -> None:
        """Lose the connection."""
        self.guests[member].connected = False
        self.do(member, Detach())

    def come_back(self, member: str, *, forgetful: bool = False) -> None:
        """Have a connection again."""
        guest = self.guests[member]
        picture = guest.picture
        seq = None if picture is None or forgetful else picture.seq
        self.do(member, Return(seq, guest.generation))

    def ask(self, member: str, ref: int, request: TalkRequest) -> None:
        """Ask for something by number."""
        self.do(member, NumberedTalk(ref, request))

    def say(self, member: str, *texts: str) -> None:
        """Speak, as whatever kind of member."""
        for text in texts:
            guest = self.guests[member]
            if guest.lasting:
                self.ask(member, max(guest.answers, default=0) + 1, SayOnce(text))
            else:
                self.do(member, Say(text))

    def let_grace_pass(self, member: str) -> None:
        """Ring the timer of a member."""
        del self.timers[member]
        self.do(member, TimeUp())

    def leave(self, member: str) -> None:
        """Be gone, connection and all."""
        self.guests.pop(member)
        self.do(member, Leave())

    def delete_account(self, letter: str) -> None:
        """Let an account be nobody's."""
        self.store.gone.add(account(letter))
        self.do("", AnonymiseAuthor(account(letter)))

    def answer(self, finding: Finding | None = None) -> None:
        """Let the room hear of the oldest thing that it wanted to know."""
        inquiry, found = self.inquiries.popleft()
        self.do(inquiry.member, Found(inquiry.ref, finding or found))

    def hear(self, member: str) -> list[Event]:
        """Give what a member has heard since the last time."""
        guest = self.guests[member]
        heard, guest.heard = guest.heard, []
        return heard

    # --- as a room does ---------------------------------------------------------------------

    def _carry_out(self, effect: Effect[ChatRecord]) -> None:
        match effect:
            case Tell(member, event):
                self._tell(self.guests[member], event)
            case TellAll(event):
                self._tell_all(event)
            case TellOthers(member, event):
                self._tell_all(event, but=member)
            case Greet(member, seq):
                self._greet(member, seq)
            case Subscribe(member):
                self.guests[member].attends = True
            case Disconnect(member, _, _):
                self.guests.pop(member, None)
                self.leaving.append(member)
            case SetTimer(member, seconds):
                self.timers[member] = seconds
            case ClearTimer(member):
                self.timers.pop(member, None)
            case Record(record):
                self._keep(record)
            case Sleep():
                # A room that still has members to part from does not end; their leaving follows.
                self.asleep = not self.guests and not self.leaving
            case _:
                raise AssertionError(effect)

    def _tell_all(self, event: Event, but: str | None = None) -> None:
        for key, guest in self.guests.items():
            if guest.attends and key != but:
                self._tell(guest, event)
        if isinstance(event, Said | Edited | Deleted):
            if event.seq != max(self._ring, default=self._ring_from) + 1:
                self._ring.clear()
                self._ring_from = event.seq - 1
            self._ring[event.seq] = event

    def _tell(self, guest: Guest, event: Event) -> None:
        if not guest.connected and not isinstance(event, Refusal):
            return
        guest.heard.append(event)
        match event:
            case Ack(ref, seq):
                guest.answers[ref] = seq
            case Failure(ref, problem):
                guest.answers[ref] = problem.code
            case History(ref):
                guest.answers[ref] = 0
            case _ if guest.picture is not None and isinstance(event, CHANGES):
                guest.picture = fold_chat(guest.picture, event)

    def _greet(self, member: str, seq: int | None) -> None:
        guest = self.guests[member]
        guest.connected = True
        if seq is not None and guest.picture is not None and seq >= self._ring_from:
            for number in sorted(self._ring):
                if number > seq:
                    self._tell(guest, self._ring[number])
        else:
            shown = self.rules.snapshot_for(MemberId(member))
            guest.heard.append(shown)
            guest.picture = shown.picture
        guest.generation = self.rules.generation

    def _keep(self, record: ChatRecord) -> None:
        match record:
            case ChatMessage() | Amended():
                self.store.rows.append(record)
            case ReadMark(user_id, seq):
                self.store.marks[user_id] = max(seq, self.store.marks.get(user_id, 0))
            case Inquiry(_, _, question):
                self.inquiries.append((record, self.store.find(question)))
            case PeoplePresent():
                pass
