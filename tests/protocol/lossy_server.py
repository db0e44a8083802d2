"""The real rules behind connections that break, duplicate and lag, in a server that may crash.

Nothing moves by itself: a test says which message arrives, what is cut, and what is saved.
"""

from collections import Counter, deque
from typing import Any, Final

import attrs
import orjson

from protocol.changes import PAGE_TURNING, Change, Reactions, Saved
from protocol.dialects.parley_v1 import PARLEY_V1, read_hello, write
from protocol.effects import Disconnect, Effect, End, Greet, Subscribe, Tell, TellAll
from protocol.errors import CloseCode, ErrorCode, Problem
from protocol.estimation import Estimation
from protocol.farewell import Ending, Farewell
from protocol.fold import digest, fold
from protocol.greeting import ClientLimits, Greeting, Resume, Resumed
from protocol.ids import MemberId, RoomId
from protocol.lasting import NOBODY, Detach, Join, Numbered, React, Restart, Return
from protocol.messages import Event, Leave, Refusal, TicketResult
from protocol.talk import Emoji

KEY: Final = "key"
LIMITS: Final = ClientLimits(message_bytes=16_384, rate=20.0, burst=40, window=64)
PING_SECONDS: Final = 25.0

_TOKEN: Final = "token of "


def text_of(frame: bytes) -> str:
    """Take the text out of an unmasked frame."""
    short = frame[1]
    return frame[{126: 4, 127: 10}.get(short, 2) :].decode()


@attrs.define(eq=False)
class Link:
    """A connection: two queues, and what the server knows of it."""

    up: deque[str] = attrs.Factory(deque)
    down: deque[str] = attrs.Factory(deque)
    member: MemberId | None = None
    heard_of: bool = False
    """It belongs to the audience."""
    held: list[Change] = attrs.Factory(list)
    """What is told once it is saved, and what comes after that."""
    closed: int | None = None
    """The server has closed it, with this code."""


@attrs.frozen
class Record:
    """A room as the log has it."""

    room: bytes
    history: tuple[Change, ...]
    effects: Counter[tuple[MemberId, int]]

    @property
    def seq(self) -> int:
        return len(self.history)


class LossyServer:
    """A server with one room."""

    def __init__(self, capacity: int = 8) -> None:
        """Open the room."""
        self.rules = Estimation(
            RoomId("Room42"), capacity, keyed=True, grace_seconds=60.0, opened_at=1000.0
        )
        self.now = 1000.0
        self.links: list[Link] = []
        self.history: list[Change] = []
        """Of the room as it is now, from number 1 on."""
        self._picture = self.rules.picture()
        self.digests: dict[int, str] = {0: digest(self._picture)}
        self.effects: Counter[tuple[MemberId, int]] = Counter()
        """How often each request took effect, in the history as it is now."""
        self.refuse_next: Problem | None = None
        self.comers = 0
        self.reactions: list[Emoji] = []
        """All that were ever asked for."""
        self._greeted: set[MemberId] = set()
        self._on_record = self._record()

    # --- what a test makes happen -----------------------------------------------------------

    def connect(self) -> Link:
        link = Link()
        self.links.append(link)
        return link

    def hear(self, link: Link) -> None:
        """Take the next message of a connection."""
        text = link.up.popleft()
        self.now += 0.125
        if link.closed is not None:
            return
        if link.member is None:
            self._greet(link, text)
            return
        command = PARLEY_V1.decode(text)
        if isinstance(command, React):
            self.reactions.append(command.emoji)
            self._do(self.rules.apply(command, link.member, self.now))
            return
        assert isinstance(command, Numbered)
        if self.refuse_next is not None:
            problem, self.refuse_next = self.refuse_next, None
            if problem.values:
                problem = attrs.evolve(problem, values={"ref": command.ref})
            self._send(link, Refusal(problem))
            return
        before = self.rules.seq
        member = link.member
        self._do(self.rules.apply(command, member, self.now))
        if self.rules.seq > before:
            self.effects[member, command.ref] += 1

    def lose(self, link: Link) -> None:
        """Notice that a connection has ended."""
        if link in self.links:
            self.links.remove(link)
            if link.member is not None and link.closed is None:
                self._do(self.rules.apply(Detach(), link.member, self.now))
            link.closed = link.closed or 0

    def save(self, *, tell: bool = True) -> None:
        """Write everything into the log; say so, unless the server stops just before."""
        self._on_record = self._record()
        if not tell:
            return
        for link in self.links:
            if link.heard_of:
                held, link.held = link.held, []
                for change in held:
                    self._send(link, change)
                self._send(link, Saved(self.rules.seq))

    def crash(self) -> None:
        """Stop in the middle of it, and start again with what the log has."""
        for link in self.links:
            link.closed = 0
        self.links.clear()
        record = self._on_record
        self.rules = Estimation.restore(orjson.loads(record.room))
        self.history = list(record.history)
        self.effects = Counter(record.effects)
        self._picture = self.rules.picture()
        for seq in [each for each in self.digests if each > len(self.history)]:
            del self.digests[seq]
        self._do(self.rules.apply(Restart(), NOBODY, self.now))
        self._on_record = self._record()

    def leave(self, member: MemberId) -> None:
        """Hear a member say that it leaves; its answer gets lost."""
        self._do(self.rules.apply(Leave(), member, self.now))
        self.save()

    def stop(self, back_in: float) -> None:
        """Stop as planned, with a goodbye, and start again."""
        self.save()
        for link in self.links:
            self._part(link, Ending.GOING_AWAY, back_in=back_in)
        self.crash()

    # --- inside -----------------------------------------------------------------------------

    def _greet(self, link: Link, text: str) -> None:
        hello = read_hello(text)
        if hello.resume is None:
            self.comers += 1
            member = MemberId(f"m{self.comers}")
            join = Join(name=hello.name or "", role=hello.role, owner=hello.owner_key == KEY)
            link.member = member
            self._do(self.rules.apply(join, member, self.now))
            return
        member = MemberId(hello.resume.token.removeprefix(_TOKEN))
        for other in self.links:
            if other.member == member and other.closed is None:
                self._part(other, Ending.REPLACED)
        link.member = member
        self._do(self.rules.apply(self._return(hello.resume), member, self.now))

    def _return(self, resume: Resume) -> Return:
        generation = resume.epoch.rpartition(".")[2]
        return Return(resume.seq, int(generation) if generation else 0)

    def _welcome(self, link: Link, member: MemberId, seq: int | None) -> None:
        resumed = Resumed.SNAPSHOT if member in self._greeted else Resumed.NO
        self._greeted.add(member)
        welcome = Greeting(
            member=member,
            token=_TOKEN + member,
            epoch=f"7.{self.rules.generation}",
            lasting=True,
            resumed=resumed if seq is None else Resumed.REPLAYED,
            at=self.now,
            ping_seconds=PING_SECONDS,
            limits=LIMITS,
            release="1",
        )
        link.down.append(text_of(write(welcome)))
        link.held.clear()
        if seq is None:
            self._send(link, self.rules.snapshot_for(member))
        else:
            for change in self.history[seq:]:
                self._send(link, change)
        self._send(link, Saved(self._on_record.seq))

    def _do(self, effects: list[Effect[TicketResult]]) -> None:
        for effect in effects:
            match effect:
                case Tell(member, event):
                    for link in self._links_of(member):
                        self._send(link, event)
                case TellAll(event) if isinstance(event, Change):
                    self._tell_all(event)
                case TellAll(Reactions() as event):
                    for link in self.links:
                        if link.heard_of:
                            self._send(link, event)
                case Greet(member, seq):
                    for link in self._links_of(member):
                        self._welcome(link, member, seq)
                case Subscribe(member):
                    for link in self._links_of(member):
                        link.heard_of = True
                case Disconnect(member, _, problem):
                    left = problem.code is ErrorCode.LEFT
                    for link in self._links_of(member):
                        self._part(link, Ending.LEFT if left else Ending.WRONG_KEY)
                case End():
                    for link in self.links:
                        self._part(link, Ending.ROOM_ENDED)
        assert self._picture == self.rules.picture()

    def _tell_all(self, change: Change) -> None:
        self.history.append(change)
        assert change.seq == len(self.history)
        self._picture = fold(self._picture, change)
        self.digests[change.seq] = digest(self._picture)
        for link in self.links:
            if not link.heard_of or link.closed is not None:
                continue
            if link.held or isinstance(change, PAGE_TURNING):
                link.held.append(change)
            else:
                self._send(link, change)

    def _links_of(self, member: MemberId) -> list[Link]:
        return [each for each in self.links if each.member == member and each.closed is None]

    def _send(self, link: Link, event: Event) -> None:
        frame = PARLEY_V1.encode(event)
        if frame is not None and link.closed is None:
            link.down.append(text_of(frame))

    def _part(self, link: Link, ending: Ending, back_in: float | None = None) -> None:
        if link.closed is not None:
            return
        farewell = Farewell(
            ending=ending, code=CloseCode.NORMAL, reason="because", back_in=back_in, survives=True
        )
        parting = PARLEY_V1.part(farewell)
        link.down.append(text_of(parting.last))
        link.closed = parting.code

    def _record(self) -> Record:
        plain: dict[str, Any] = self.rules.snapshot()
        return Record(orjson.dumps(plain), tuple(self.history), Counter(self.effects))
