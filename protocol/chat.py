"""The rules of a chat room, as a state machine without I/O.

A *person* is an account; it is in the room as long as it has a seat there. The others are told when
a person comes and goes, not when a connection does.

There are two kinds of members. Those that :class:`~protocol.messages.EnterChat` have a seat as long
as their connection. Those that :class:`~protocol.talking.JoinChat` outlive it: without one they are
*away*, for the room's grace, and their person stays listed. Only for these are there changes
(``protocol.chat_changes``), from the first of them on; only they can change what they have said.

Every message, and every change of one, gets the room's next sequence number, as far as numbers have
been *granted*: those up to a mark that is on record, so that whoever wakes the room after a crash
goes on above it. Without a granted number nothing can be said. Who enters is told the last messages
(fewer if they are long) before anything else, in the same turn in which it joins the audience, so
that nothing is lost or doubled between what was and what comes.

A message is charged to whoever says it, by what the others receive of it; the others cannot help
what they are sent.

Older messages are in the store alone. What needs one of them waits for it, and is judged by what
has happened meanwhile.
"""

from collections.abc import Iterable

import attrs

from protocol.answers import answer_to
from protocol.changes import Ack, Failure
from protocol.chat_changes import (
    AuthorGone,
    ChatSnapshot,
    Deleted,
    Edited,
    History,
    IsTyping,
    PersonAway,
    PersonGone,
    PersonHere,
    Present,
    ReadUpTo,
    Said,
)
from protocol.chat_picture import Attendee, ChatPicture, line
from protocol.chat_records import (
    Amended,
    Asked,
    ChatMessage,
    ChatRecord,
    CountUnread,
    FindMessage,
    FindPage,
    Inquiry,
    PeoplePresent,
    Person,
    Question,
    ReadMark,
)
from protocol.chat_seats import Former, Seat, Visitor
from protocol.chat_window import DELETED_USER as DELETED_USER
from protocol.chat_window import HISTORY_BYTES as HISTORY_BYTES
from protocol.chat_window import Window
from protocol.chat_window import disown as disown
from protocol.codec import dumps
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
from protocol.errors import CloseCode, ErrorCode, Problem
from protocol.greeting import Pong
from protocol.ids import MemberId, RoomId
from protocol.lasting import Depart, Detach, Ping, Return
from protocol.limits import (
    CHAT_BYTES_BURST,
    CHAT_BYTES_RATE,
    CHAT_PAGE,
    GRACE_SECONDS,
    SEATS_PER_ACCOUNT,
    TYPING_SECONDS,
)
from protocol.messages import (
    AnonymiseAuthor,
    Command,
    EnterChat,
    GrantNumbers,
    Leave,
    PersonJoined,
    PersonLeft,
    Refusal,
    Reject,
    Say,
    TimeUp,
)
from protocol.talking import (
    DeleteMessage,
    EditMessage,
    Found,
    JoinChat,
    Keeping,
    MarkRead,
    NumberedTalk,
    Page,
    ReadHistory,
    SayOnce,
    TalkRequest,
    Target,
    Typing,
    Unavailable,
    Unread,
)

_MOST_PENDING = 4
"""Requests of one member that may wait for the store."""

_MOMENTARY = {ErrorCode.TOO_MUCH, ErrorCode.NOT_NOW, ErrorCode.TOO_FAST}
"""Refusals that depend on the moment alone: the same request is judged anew when it comes again."""

_RECOUNT = 0
"""The number of an inquiry that no request has caused: requests begin at 1."""

_Effects = list[Effect[ChatRecord]]


class Chat:
    """One chat room; every command goes through :meth:`apply`."""

    def __init__(
        self,
        room_id: RoomId,
        capacity: int,
        *,
        name: str = "",
        grace_seconds: float = GRACE_SECONDS,
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
            capacity: the number of seats that it holds.
            name: what people call the room.
            grace_seconds: the seconds for which a member that joins keeps its seat without a
                connection.
            last_seq: the last sequence number that anybody may have been told.
            granted: the highest sequence number that may be given out.
            recent: its last messages, ascending.
            seats_per_account: the number of counted seats that one account may have.
            bytes_rate: the bytes a second that a member may make each of the others receive.
            bytes_burst: the same in bytes at once, for a member that was quiet.
        """
        self.room_id = room_id
        self._capacity = capacity
        self._name = name
        self._grace_seconds = grace_seconds
        self._seats_per_account = seats_per_account
        self._bytes_rate = bytes_rate
        self._bytes_burst = bytes_burst
        self._seq = self._generation = last_seq
        self._granted = granted
        self._window = Window(recent)
        self._seats: dict[MemberId, Seat] = {}
        self._visitors: dict[int, Visitor] = {}
        self._former = Former()
        self._said = 0  # messages since the room was woken
        self._changes_since: int | None = None  # from here on changes are told
        self._inquiries = 0
        self._amended: dict[int, ChatMessage] = {}  # while there are inquiries

    @property
    def seq(self) -> int:
        """The number of the last message, or of the last change of one."""
        return self._seq

    @property
    def generation(self) -> int:
        """Tells the room's lives apart between which something that was told may have been lost."""
        return self._generation

    @property
    def recent(self) -> tuple[ChatMessage, ...]:
        """The last messages, ascending."""
        return self._window.messages

    @property
    def people(self) -> tuple[Person, ...]:
        """The people who are in the room, each once, in order of arrival."""
        return tuple(visitor.person for visitor in self._visitors.values())

    def snapshot_for(self, member: MemberId) -> ChatSnapshot:
        """Show the room as a member that has a seat may see it."""
        picture = ChatPicture(
            self.room_id,
            self._name,
            self._seq,
            self._attendees(),
            tuple(line(message) for message in self._window.messages),
            self._seats[member].visitor.marker(self._said),
        )
        return ChatSnapshot(picture)

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
            case NumberedTalk(ref, request):
                return self._answer(ref, request, member, now)
            case EnterChat(user_id, name, counted):
                return self._enter(Person(user_id, name), member, now, counted=counted)
            case JoinChat():
                return self._join(command, member, now)
            case Detach():
                return self._detach(member, now)
            case Return(seq, generation):
                return self._return(seq, generation, member, now)
            case Leave():
                return self._leave(member, now)
            case TimeUp():
                return self._time_up(member, now)
            case Found():
                return self._go_on(command, member, now)
            case Ping():
                return [Tell(member, Pong(now))]
            case GrantNumbers(up_to):
                self._granted = max(self._granted, up_to)
                return []
            case Reject(problem, final):
                struck_out = Problem(ErrorCode.STRUCK_OUT) if final else None
                return _refuse(member, problem, struck_out)
            case AnonymiseAuthor(user_id):
                return self._anonymise(user_id, now)
            case _:
                return []

    # --- coming and going -------------------------------------------------------------------

    def _enter(self, person: Person, member: MemberId, now: float, *, counted: bool) -> _Effects:
        problem = self._refuse_entry(person.user_id, counted=counted)
        if problem is not None:
            return _refuse(member, problem, problem)
        visitor, arrival = self._arrive(person, now, counted=counted)
        self._seats[member] = Seat(person, visitor, counted, self._bytes_burst, now)
        return [
            *(Tell(member, message) for message in self._window.messages),
            Subscribe(member),
            *arrival,
        ]

    def _join(self, command: JoinChat, member: MemberId, now: float) -> _Effects:
        if member in self._seats:
            return self._return(command.seq, command.generation, member, now)
        counted = command.counted
        problem = self._refuse_entry(command.user_id, counted=counted)
        if problem is not None:
            return _refuse(member, problem, problem)
        if self._changes_since is None:
            self._changes_since = self._seq
        standing = command.standing
        person = Person(command.user_id, command.name)
        visitor, effects = self._arrive(person, now, counted=counted)
        seat = Seat(person, visitor, counted, self._bytes_burst, now, lasting=True)
        seat.answers = self._former.recall(member, standing.answers)
        self._seats[member] = seat
        if not visitor.marked:
            above = standing.counted_to
            later = self._window.count_others(person.user_id, above)
            visitor.mark(standing.read, standing.unread + later, self._said)
            if above < self._window.floor:
                effects += self._count_unread(_RECOUNT, MarkRead(standing.read), member, seat)
        return effects + self._greet(command.seq, command.generation, member, visitor)

    def _refuse_entry(self, user_id: int, *, counted: bool) -> Problem | None:
        if len(self._seats) >= self._capacity:
            values: dict[str, str | int | float] = {"room_id": self.room_id}
            return Problem(ErrorCode.ROOM_FULL, values=values | {"capacity": self._capacity})
        visitor = self._visitors.get(user_id)
        if counted and visitor is not None and visitor.counted >= self._seats_per_account:
            values = {"seats": self._seats_per_account}
            return Problem(ErrorCode.TOO_MANY_SEATS, values=values)
        return None

    def _arrive(self, person: Person, now: float, *, counted: bool) -> tuple[Visitor, _Effects]:
        """Let a person have one seat more, and say so where that makes a difference."""
        visitor = self._visitors.get(person.user_id)
        first = visitor is None
        if visitor is None:
            visitor = self._visitors[person.user_id] = Visitor(person, now)
        renamed, visitor.person = visitor.person != person, person
        visitor.connections += 1
        visitor.counted += counted
        effects: _Effects = []
        if first or renamed:
            effects.append(Record(PeoplePresent(self.people)))
        if first:
            effects.append(TellAll(PersonJoined(self.room_id, person.name)))
        return visitor, effects + self._appear(visitor, now, renamed=renamed)

    def _appear(self, visitor: Visitor, now: float, *, renamed: bool = False) -> _Effects:
        """Let one seat more of a person have a connection."""
        visitor.here += 1
        if visitor.here == 1:
            visitor.since = now
        elif not renamed:
            return []
        return self._tell_lasting(PersonHere(visitor.attendee()))

    def _disappear(self, visitor: Visitor, now: float) -> _Effects:
        """Let one seat less of a person have a connection."""
        visitor.here -= 1
        if visitor.here:
            return []
        visitor.since = now
        return self._tell_lasting(PersonAway(visitor.person.user_id, now))

    def _greet(
        self, seq: int | None, generation: int, member: MemberId, visitor: Visitor
    ) -> _Effects:
        known = self._known(seq, generation)
        effects: _Effects = [Greet(member, known)]
        if known is not None:
            mine = visitor.marker(self._said)
            present = Present(self._seq, self._attendees(), mine.seq, mine.unread)
            effects.append(Tell(member, present))
        return [*effects, Subscribe(member)]

    def _known(self, seq: int | None, generation: int) -> int | None:
        """Give the number up to which somebody knows this room; ``None`` if it does not."""
        since = self._changes_since
        if seq is None or since is None or generation != self._generation:
            return None
        return seq if since <= seq <= self._seq else None

    def _return(self, seq: int | None, generation: int, member: MemberId, now: float) -> _Effects:
        seat = self._seats.get(member)
        if seat is None or not seat.lasting:
            return [Disconnect(member, CloseCode.NORMAL, Problem(ErrorCode.WRONG_KEY))]
        effects: _Effects = []
        if not seat.here:
            seat.here = True
            effects = [ClearTimer(member), *self._appear(seat.visitor, now)]
        return effects + self._greet(seq, generation, member, seat.visitor)

    def _detach(self, member: MemberId, now: float) -> _Effects:
        seat = self._seats.get(member)
        if seat is None or not seat.lasting or not seat.here:
            return []
        if not self._grace_seconds:
            return self._dismiss(member, seat, now)
        seat.here = False
        return [SetTimer(member, self._grace_seconds), *self._disappear(seat.visitor, now)]

    def _time_up(self, member: MemberId, now: float) -> _Effects:
        seat = self._seats.get(member)
        return [] if seat is None or seat.here else self._dismiss(member, seat, now)

    def _dismiss(self, member: MemberId, seat: Seat, now: float) -> _Effects:
        """Let a member be gone for good; its ``Leave`` follows, which may send the room asleep."""
        goodbye = Disconnect(member, CloseCode.NORMAL, Problem(ErrorCode.LEFT))
        return [ClearTimer(member), *self._vacate(member, seat, now), goodbye]

    def _vacate(self, member: MemberId, seat: Seat, now: float) -> _Effects:
        del self._seats[member]
        self._former.remember(member, seat.answers)
        visitor, person = seat.visitor, seat.person
        visitor.connections -= 1
        visitor.counted -= seat.counted
        if visitor.connections:
            return self._disappear(visitor, now) if seat.here else []
        del self._visitors[person.user_id]
        return [
            Record(PeoplePresent(self.people)),
            TellAll(PersonLeft(self.room_id, person.name)),
            *self._tell_lasting(PersonGone(person.user_id)),
        ]

    def _leave(self, member: MemberId, now: float) -> _Effects:
        seat = self._seats.get(member)
        effects: _Effects = []
        if seat is not None:
            effects = self._vacate(member, seat, now)
            if seat.lasting:
                effects.append(ClearTimer(member))
        if not self._seats:
            effects.append(Sleep())
        return effects

    def _anonymise(self, user_id: int, now: float) -> _Effects:
        self._window.disown(user_id)
        if self._changes_since is None:
            return []
        self._amended = {each.seq: each for each in disown(self._amended.values(), user_id)}
        # Who is away knows the name from before, and must be told everything anew.
        self._changes_since = self._seq + 1
        effects: _Effects = [TellAll(AuthorGone(user_id))]
        for member, seat in list(self._seats.items()):
            if seat.lasting and seat.person.user_id == user_id:
                effects += self._dismiss(member, seat, now)
        return effects

    # --- talking ----------------------------------------------------------------------------

    def _say(self, text: str, member: MemberId, now: float) -> _Effects:
        seat = self._seats.get(member)
        if seat is None:
            return []
        problem = _misfit(text) or self._charge(text, seat, now)
        return _refuse(member, problem) if problem else self._utter(text, seat, now, None)

    def _utter(self, text: str, seat: Seat, now: float, asked: Asked | None) -> _Effects:
        self._seq += 1
        self._said += 1
        seat.visitor.said += 1
        author_id, author = seat.person.user_id, seat.person.name
        said = ChatMessage(self.room_id, self._seq, author_id, author, text, now, asked=asked)
        self._window.add(said)
        effects: _Effects = [Record(said), TellAll(said)]
        if self._changes_since is not None:
            effects.append(TellAll(Said(self._seq, author_id, author, text, now)))
        return effects

    def _charge(self, text: str, seat: Seat, now: float) -> Problem | None:
        """Take what a text costs, and make sure that there is a number for it."""
        if self._seq >= self._granted:
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

    # --- numbered requests ------------------------------------------------------------------

    def _answer(self, ref: int, request: TalkRequest, member: MemberId, now: float) -> _Effects:
        """Carry out a request once, and answer it, whenever it is asked."""
        seat = self._seats.get(member)
        if seat is None or not seat.lasting or ref in seat.pending:
            return []
        match request:
            case SayOnce() | EditMessage() | DeleteMessage():
                answer = seat.answers.find(ref)
                if answer is not None:
                    if isinstance(answer, Ack) or answer.problem.code not in _MOMENTARY:
                        return [Tell(member, answer)]
                    seat.answers.drop(answer)
                return self._keep(ref, request, member, seat, now)
            case MarkRead():
                return self._mark_read(ref, request, member, seat)
            case Typing():
                return [*self._type(member, seat.visitor, now), self._ack(ref, member)]
            case ReadHistory(before, limit):
                most = max(1, min(limit, CHAT_PAGE))
                below = None if before is None or before > self._seq else max(1, before)
                return self._ask(FindPage(below, most), ref, request, member, seat)
            case Depart():
                return [self._ack(ref, member), *self._dismiss(member, seat, now)]

    def _ack(self, ref: int, member: MemberId) -> Tell:
        return Tell(member, Ack(ref, self._seq))

    def _keep(
        self, ref: int, request: Keeping, member: MemberId, seat: Seat, now: float
    ) -> _Effects:
        if isinstance(request, SayOnce):
            problem = _misfit(request.text) or self._charge(request.text, seat, now)
            asked = Asked(member, ref)
            effects = [] if problem else self._utter(request.text, seat, now, asked)
            return self._conclude(effects, ref, member, seat, problem)
        problem = _misfit(request.text) if isinstance(request, EditMessage) else None
        if problem is not None:
            return self._conclude([], ref, member, seat, problem)
        if 0 < request.seq <= self._window.floor:
            return self._ask(FindMessage(request.seq), ref, request, member, seat)
        return self._amend(self._window.find(request.seq), ref, request, member, seat, now)

    def _conclude(
        self,
        effects: _Effects,
        ref: int,
        member: MemberId,
        seat: Seat,
        problem: Problem | None = None,
    ) -> _Effects:
        """Answer a request that must not be carried out twice."""
        answer = answer_to(ref, self._seq, problem)
        seat.answers.remember(answer)
        return [*effects, Tell(member, answer)]

    def _amend(
        self,
        message: ChatMessage | None,
        ref: int,
        request: EditMessage | DeleteMessage,
        member: MemberId,
        seat: Seat,
        now: float,
    ) -> _Effects:
        text = request.text if isinstance(request, EditMessage) else ""
        user_id, target = seat.person.user_id, request.seq
        problem: Problem | None
        if message is None or not message.text:
            problem = Problem(ErrorCode.NO_SUCH_MESSAGE, field="seq", values={"seq": target})
        elif message.author_id != user_id:
            problem = Problem(ErrorCode.NOT_YOURS, field="seq", values={"seq": target})
        else:
            problem = self._charge(text, seat, now)
        if message is None or problem is not None:
            return self._conclude([], ref, member, seat, problem)
        self._seq += 1
        after = attrs.evolve(message, text=text, changed_at=now)
        self._window.replace(after)
        if self._inquiries:
            self._amended[target] = after
        asked = Asked(member, ref)
        change = Edited(self._seq, target, text, now) if text else Deleted(self._seq, target, now)
        effects: _Effects = [
            Record(Amended(self.room_id, self._seq, target, user_id, text, now, asked)),
            TellAll(change),
        ]
        return self._conclude(effects, ref, member, seat)

    def _mark_read(self, ref: int, request: MarkRead, member: MemberId, seat: Seat) -> _Effects:
        seq, visitor = min(request.seq, self._seq), seat.visitor
        if seq <= visitor.read:
            return [self._ack(ref, member)]
        user_id = visitor.person.user_id
        effects: _Effects = [self._ack(ref, member), Record(ReadMark(user_id, seq))]
        if seq >= self._window.floor:
            visitor.mark(seq, self._window.count_others(user_id, seq), self._said)
            return self._tell_read(visitor) + effects
        if len(seat.pending) >= _MOST_PENDING:
            return self._give_up(ref, request, ErrorCode.TOO_FAST, member, seat)
        return effects + self._count_unread(ref, MarkRead(seq), member, seat)

    def _tell_read(self, visitor: Visitor) -> _Effects:
        """Tell all members of an account how far it has read."""
        told = ReadUpTo(visitor.read, visitor.unread(self._said))
        return [
            Tell(member, told)
            for member, seat in self._seats.items()
            if seat.lasting and seat.visitor is visitor
        ]

    def _type(self, member: MemberId, visitor: Visitor, now: float) -> _Effects:
        if 0 <= now - visitor.typed < TYPING_SECONDS:
            return []
        visitor.typed = now
        return [TellOthers(member, IsTyping(visitor.person.user_id))]

    # --- what the store must be asked -------------------------------------------------------

    def _count_unread(self, ref: int, request: MarkRead, member: MemberId, seat: Seat) -> _Effects:
        user_id = seat.person.user_id
        return self._inquire(CountUnread(user_id, request.seq), ref, request, member, seat)

    def _ask(
        self, question: Question, ref: int, request: TalkRequest, member: MemberId, seat: Seat
    ) -> _Effects:
        """Let a request wait for the store, unless too many of this member do."""
        if len(seat.pending) >= _MOST_PENDING:
            return self._give_up(ref, request, ErrorCode.TOO_FAST, member, seat)
        return self._inquire(question, ref, request, member, seat)

    def _inquire(
        self, question: Question, ref: int, request: TalkRequest, member: MemberId, seat: Seat
    ) -> _Effects:
        seat.pending[ref] = request
        self._inquiries += 1
        return [Record(Inquiry(member, ref, question))]

    def _go_on(self, command: Found, member: MemberId, now: float) -> _Effects:
        """Carry out what has waited for the store."""
        seat, ref = self._seats.get(member), command.ref
        request = seat.pending.pop(ref, None) if seat is not None else None
        effects: _Effects = []
        if seat is not None and request is not None:
            match command.finding, request:
                case Page(messages, more), ReadHistory():
                    shown = tuple(line(self._amended.get(each.seq, each)) for each in messages)
                    effects = [Tell(member, History(ref, shown, more))]
                case Target(found), EditMessage() | DeleteMessage():
                    target = self._amended.get(request.seq, found)
                    effects = self._amend(target, ref, request, member, seat, now)
                case Unread(count, counted_to), MarkRead(seq):
                    effects = self._set_unread(count, counted_to, seq, member, seat, ref)
                case Unavailable(), MarkRead():
                    pass  # it has been answered, and is on its way into the store
                case Unavailable(), _:
                    effects = self._give_up(ref, request, ErrorCode.NOT_NOW, member, seat)
                case _:
                    pass
        self._inquiries -= 1
        if not self._inquiries:
            self._amended.clear()
        return effects

    def _give_up(
        self, ref: int, request: TalkRequest, code: ErrorCode, member: MemberId, seat: Seat
    ) -> _Effects:
        """Refuse what the store would have to be asked for."""
        problem = Problem(code)
        if isinstance(request, EditMessage | DeleteMessage):
            return self._conclude([], ref, member, seat, problem)
        return [Tell(member, Failure(ref, problem))]

    def _set_unread(
        self, count: int, counted_to: int, seq: int, member: MemberId, seat: Seat, ref: int
    ) -> _Effects:
        visitor = seat.visitor
        if seq < visitor.read:
            return []
        if counted_to < self._window.floor:  # so much has been said meanwhile
            return self._count_unread(ref, MarkRead(seq), member, seat)
        later = self._window.count_others(visitor.person.user_id, counted_to)
        visitor.mark(seq, count + later, self._said)
        return self._tell_read(visitor)

    # --- small change -----------------------------------------------------------------------

    def _attendees(self) -> tuple[Attendee, ...]:
        return tuple(visitor.attendee() for visitor in self._visitors.values())

    def _tell_lasting(self, event: PersonHere | PersonAway | PersonGone) -> _Effects:
        return [] if self._changes_since is None else [TellAll(event)]


def _misfit(text: str) -> Problem | None:
    """Say what is wrong with a text."""
    if not text.strip():
        return Problem(ErrorCode.EMPTY_MESSAGE, field="text")
    if "\0" in text:
        return Problem(ErrorCode.NULL_CHARACTER, field="text")
    return None


def _refuse(member: MemberId, problem: Problem, goodbye: Problem | None = None) -> _Effects:
    effects: _Effects = [Tell(member, Refusal(problem))]
    if goodbye is not None:
        effects.append(Disconnect(member, CloseCode.POLICY, goodbye))
    return effects
