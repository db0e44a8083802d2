"""The session to read in ``protocol/README.md``: played by the rules and the dialect, and compared.

What a room does beside the rules is done here in the plainest way: whoever is to be greeted gets
a welcome and what it has missed, answers go before a change that turns the page, and ``saved``
comes when the play says so.
"""

import json
import textwrap
from pathlib import Path
from typing import Any, Final

from protocol import fold as folding
from protocol.changes import PAGE_TURNING, Ack, Change, Failure, Saved, Snapshot
from protocol.deck import Deck
from protocol.dialects.parley_v1 import (
    CHANGES,
    PARLEY_V1,
    read,
    read_hello,
    write,
    write_hello,
    write_request,
)
from protocol.effects import Disconnect, Effect, End, Greet, Subscribe, Tell, TellAll
from protocol.errors import CloseCode
from protocol.estimation import Estimation
from protocol.farewell import Ending, Farewell
from protocol.greeting import ClientLimits, Greeting, Hello, Resume, Resumed
from protocol.ids import MemberId, RoomId
from protocol.lasting import (
    BeginRound,
    CastCard,
    CloseRoom,
    Depart,
    Detach,
    Join,
    LastingCommand,
    Request,
    Return,
    RevealRound,
)
from protocol.messages import TicketId, TicketResult
from protocol.picture import Picture

README: Final = Path(__file__).parents[2] / "protocol" / "README.md"
HEADING: Final = "## A session to read"

WIDTH: Final = 112
SESSION: Final = 17
LIMITS: Final = ClientLimits(message_bytes=16384, rate=20.0, burst=40, window=64)
KEYS: Final = {"4d7e": "4d7e.w1Z8kQ", "b2c9": "b2c9.Jx0uVt"}


class Client:
    """What a member knows: the picture that it has folded."""

    def __init__(self, name: str, member: str) -> None:
        """Know nothing."""
        self.name = name
        self.member = MemberId(member)
        self.picture: Picture | None = None
        self.welcome: Greeting | None = None

    def hear(self, text: str) -> None:
        """Take note of what the server says."""
        said = read(text)
        if isinstance(said, Greeting):
            self.welcome = said
        elif isinstance(said, Snapshot):
            self.picture = said.picture
        elif type(said) in CHANGES.values():
            assert self.picture is not None
            self.picture = folding.fold(self.picture, said)


class Play:
    """A room, its members, and a transcript of all that is said."""

    def __init__(self) -> None:
        """Open the room."""
        self.rules = Estimation(
            RoomId("Qx3v9A"),
            5,
            deck=Deck(("2", "3", "?")),
            name="Sprint 12",
            grace_seconds=60.0,
            opened_at=1_800_000_000.0,
            keyed=True,
        )
        self.now = 1_800_000_000.0
        self.lines: list[str] = []
        self._clients: dict[MemberId, Client] = {}
        self._audience: set[MemberId] = set()
        self._here: set[MemberId] = set()
        self._changes: dict[int, Change] = {}

    # --- what happens -----------------------------------------------------------------------

    def note(self, text: str) -> None:
        """Say what cannot be seen on the wire."""
        self.lines += ["", *textwrap.wrap(text, WIDTH, initial_indent="# ", subsequent_indent="# ")]

    def hello(self, client: Client, hello: Hello) -> None:
        """Let somebody come, or come back."""
        self.now += 5
        text = write_hello(hello)
        self._write(f"{client.name} ──>", text)
        said = read_hello(text)
        self._clients[client.member] = client
        self._here.add(client.member)
        if said.resume is None:
            assert said.name is not None
            owner = said.owner_key is not None
            self._apply(client, Join(name=said.name, role=said.role, owner=owner))
        else:
            session, _, generation = said.resume.epoch.partition(".")
            assert session == str(SESSION)
            self._apply(client, Return(said.resume.seq, int(generation)))

    def ask(self, client: Client, ref: int, request: Request, *, lost: bool = False) -> None:
        """Let a member ask for something; ``lost`` if the server never hears of it."""
        self.now += 5
        text = write_request(ref, request)
        self._write(f"{client.name} ──>", text)
        if not lost:
            command: Any = PARLEY_V1.decode(text)
            self._apply(client, command)

    def cut(self, client: Client) -> None:
        """End a member's connection."""
        self.now += 1
        self._here.discard(client.member)
        self._audience.discard(client.member)
        self._apply(client, Detach())

    def save(self) -> None:
        """Have all that has happened on record."""
        self._tell(self._audience, PARLEY_V1.encode(Saved(self.rules.seq)))

    # --- what comes of it -------------------------------------------------------------------

    def _apply(self, client: Client, command: LastingCommand) -> None:
        effects = self.rules.apply(command, client.member, self.now)
        turning = [
            each
            for each in effects
            if isinstance(each, TellAll) and isinstance(each.event, PAGE_TURNING)
        ]
        # Answers go past what waits for the log.
        answers = [each for each in effects if is_answer(each)] if turning else []
        for effect in [*answers, *(each for each in effects if each not in answers)]:
            self._carry_out(effect)
        if turning:
            self.save()

    def _carry_out(self, effect: Effect[TicketResult]) -> None:
        match effect:
            case TellAll(event):
                if type(event) in CHANGES.values():
                    self._changes[event.seq] = event  # type: ignore[union-attr, assignment]
                self._tell(self._audience, PARLEY_V1.encode(event))
            case Tell(member, event):
                self._tell({member}, PARLEY_V1.encode(event))
            case Subscribe(member):
                self._audience.add(member)
            case Greet(member, seq):
                self._greet(self._clients[member], seq)
            case Disconnect(member, code, problem):
                self._part({member}, Ending.LEFT, code, PARLEY_V1.word(problem))
            case End(reason):
                self._part(set(self._here), Ending.ROOM_ENDED, CloseCode.GOING_AWAY, reason)

    def _greet(self, client: Client, seq: int | None) -> None:
        welcome = Greeting(
            member=client.member,
            token=KEYS[client.member],
            epoch=f"{SESSION}.{self.rules.generation}",
            resumed=Resumed.NO if seq is None else Resumed.REPLAYED,
            lasting=True,
            at=self.now,
            ping_seconds=25.0,
            limits=LIMITS,
            release="1.2.3",
            results="/rooms/Qx3v9A/results?key=h7dT",
        )
        self._tell({client.member}, write(welcome))
        if seq is None:
            self._tell({client.member}, write(self.rules.snapshot_for(client.member)))
        else:
            for number in range(seq + 1, self.rules.seq + 1):
                self._tell({client.member}, PARLEY_V1.encode(self._changes[number]))

    def _part(self, members: set[MemberId], ending: Ending, code: CloseCode, why: str) -> None:
        parting = PARLEY_V1.part(Farewell(ending=ending, code=code, reason=why))
        self._tell(members, parting.last)
        self._audience -= members
        self._here -= members
        self._write(f"{self._names(members)} <──", f"close frame, code {parting.code}")

    def _tell(self, members: set[MemberId], frame: bytes | None) -> None:
        """Send one frame to those who are here."""
        members = members & self._here
        if frame is None or not members:
            return
        text = payload(frame)
        for member in members:
            self._clients[member].hear(text)
        self._write(f"{self._names(members)} <──", text)

    def _names(self, members: set[MemberId]) -> str:
        names = [self._clients[member].name for member in sorted(members)]
        return names[0] if len(names) == 1 else "both"

    def _write(self, who: str, text: str) -> None:
        if text.startswith("{"):
            text = json.dumps(json.loads(text), ensure_ascii=False)
        self.lines += textwrap.wrap(
            f"{who.ljust(8)} {text}",
            WIDTH,
            subsequent_indent=" " * 9,
            break_long_words=False,
            break_on_hyphens=False,
        )


def is_answer(effect: Effect[TicketResult]) -> bool:
    return isinstance(effect, Tell) and isinstance(effect.event, Ack | Failure)


def payload(frame: bytes) -> str:
    """Take the text out of one short, unmasked frame (RFC 6455 section 5.2)."""
    size, start = frame[1], 2
    if size == 126:
        size, start = int.from_bytes(frame[2:4]), 4
    assert len(frame) == start + size
    return frame[start:].decode()


def play() -> Play:
    """Play the session."""
    it = Play()
    ann, bob = Client("Ann", "4d7e"), Client("Bob", "b2c9")
    it.note("Ann has opened the room over HTTP, and has its owner key from there.")
    it.hello(ann, Hello(name="Ann", owner_key="vN2k"))
    it.note("Bob has the link.")
    it.hello(bob, Hello(name="Bob"))
    it.note("The answer may come before the change of the same number, which waits for the log.")
    it.ask(ann, 1, BeginRound(TicketId("T-1")))
    it.ask(bob, 1, CastCard(1, "2"))
    it.ask(ann, 2, CastCard(1, "3"))
    it.save()
    it.note("Bob changes his mind, but his connection is cut before the server hears of it.")
    it.ask(bob, 2, CastCard(1, "3"), lost=True)
    it.cut(bob)
    it.note("He comes back: he gets what he has missed, and asks again with the same ref.")
    assert bob.picture is not None
    assert bob.welcome is not None
    known = Resume(token=bob.welcome.token, seq=bob.picture.seq, epoch=bob.welcome.epoch)
    it.hello(bob, Hello(resume=known))
    it.ask(bob, 2, CastCard(1, "3"))
    it.note("Had he been heard the first time, this would have had no effect but the same answer.")
    it.ask(bob, 2, CastCard(1, "3"))
    it.save()
    it.note("Only facilitators reveal, as the owner is one.")
    it.ask(bob, 3, RevealRound(1))
    it.ask(ann, 3, RevealRound(1))
    it.note("Bob leaves for good; then Ann ends the room.")
    it.ask(bob, 4, Depart())
    it.ask(ann, 4, CloseRoom())
    assert it.rules.picture() == ann.picture
    return it


def test_the_session_in_the_readme_is_what_the_rules_and_the_dialect_say() -> None:
    text = README.read_text("utf-8")
    block = text.partition(f"\n{HEADING}\n")[2].partition("```\n")[2].partition("```")[0]

    assert block == "\n".join(play().lines).strip("\n") + "\n"
