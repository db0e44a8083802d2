"""The rules of an estimation session as one of its members sees it; without I/O.

A member goes through these phases, in each of which exactly one type (named in brackets) takes
it further, and nearly everything else is a violation:

    creator  CREATING [CREATE_ROOM] > ENTERING
    all      ENTERING [welcome] > GREETED [its own line] > GATHERING [ROOM_CAPACITY_REACHED]
    admin    PROMPTED_SOON [BEGIN_VOTING_PROMPT] > READY
    all      READY [ASK_FOR_VOTE] > VOTING [VOTING_COMPLETED]
    admin    COMPLETED [REVEAL_VOTES_PROMPT] > REVEALING
    all      REVEALING [VOTES_REVEALED]
    admin    PROMPTED_SOON [BEGIN_VOTING_PROMPT] > READY, or ENDING after the last ticket
    others   REVEALED [AWAITING_ADMIN_VOTE_START] > READY, or ENDING after the last ticket

How a text for people is worded is the server's business: only names, room and ticket are looked
for. Before the reveal it must not show a card as a word of its own; a server that counts in
digits there ("3 of 5 have voted") is taken for one that leaks.
"""

import random
from collections.abc import Callable, Sequence
from typing import Final

from scripts.botlib.frames import Event, Malformed, parse, shown
from scripts.botlib.lobby import Lobby
from scripts.botlib.moves import Act, Phase, Reply, Violation, reply
from scripts.botlib.table import Round, Table

GOING_AWAY: Final = 1001
NORMAL: Final = 1000


class Checker:
    """One member: judges what it receives and says what it answers.

    The driver calls :meth:`start` once connected, :meth:`feed` for every message,
    :meth:`sending` right before a reply goes out, and :meth:`closed` at the end.
    """

    def __init__(self, table: Table, name: str, dice: random.Random, deck: Sequence[str]) -> None:
        """Take the seat called ``name`` at ``table``."""
        self.name = name
        self.admin = name == table.admin
        self.violations: list[Violation] = []
        self.votes_heard = 0
        """Times that this member's own vote was announced to it."""
        self.reveals = 0
        self.phase = Phase.CREATING if self.admin else Phase.ENTERING
        self._table = table
        self._dice = dice
        self._deck = tuple(deck)
        self._lobby = Lobby(table, name)
        self._handlers: dict[str, Callable[[Event], list[Reply]]] = {
            "CREATE_ROOM": self._created,
            "ROOM_JOIN_UPDATES": self._update,
            "ROOM_CAPACITY_REACHED": self._full,
            "BEGIN_VOTING_PROMPT": self._prompted,
            "ASK_FOR_VOTE": self._asked,
            "VOTING_COMPLETED": self._completed,
            "REVEAL_VOTES_PROMPT": self._reveal_prompted,
            "VOTES_REVEALED": self._revealed,
            "AWAITING_ADMIN_VOTE_START": self._awaiting,
        }
        self._voted: set[str] = set()  # whose vote was announced in this round
        self._saw_off = 0  # farewells once the admin has left

    @property
    def waits_for_company(self) -> bool:
        """Whether the next message may depend on members who are not connected yet."""
        return self.phase is Phase.GATHERING

    @property
    def ended(self) -> bool:
        """Whether every ticket is done; the admin may leave, the others are to be closed."""
        return self.phase is Phase.ENDING

    @property
    def _round(self) -> Round:
        # Others may be a round ahead, so each member keeps to the one it has seen revealed.
        return self._table.rounds[min(self.reveals, len(self._table.rounds) - 1)]

    def start(self) -> list[Reply]:
        """Say what to send at once."""
        return [] if self.admin else [self._join()]

    def feed(self, raw: str | bytes) -> list[Reply]:
        """Judge one message.

        Returns:
            What to answer; nothing if the message broke a rule beyond repair.
        """
        if isinstance(raw, bytes):
            return self._break("binary", f"a binary message of {len(raw)} bytes")
        try:
            read = parse(raw)
        except Malformed as error:
            return self._break("malformed", str(error))
        if isinstance(read, str):
            return self._plain(read)
        if "message" in read.data and not read.message.strip():
            self._break("blank", f"{read.type} says nothing")
        self._look_for_cards(read.message)
        return self._handlers[read.type](read)

    def sending(self, going: Reply) -> None:
        """Note for the whole table that ``going`` is about to be sent."""
        if going.act is Act.JOIN:
            self._lobby.announce()
        elif going.act is Act.BEGIN:
            self._round.begun = True
        elif going.act is Act.VOTE:
            self._round.votes[self.name] = going.card
        else:
            self._round.reveal_asked = True

    def leave(self) -> None:
        """Note for the whole table that the admin is about to go."""
        self._table.admin_left = True

    def closed(self, code: int | None, reason: str | None) -> None:
        """Judge the close frame; ``None`` if the connection ended without one."""
        allowed = (NORMAL, GOING_AWAY) if self.admin else (GOING_AWAY,)
        if code is None:
            self._break("no-close-frame", "the connection ended without a close frame")
        elif not self._table.admin_left:
            self._break("closed-early", f"close code {code} ({reason}) while the admin is there")
        elif code not in allowed:
            self._break("close-code", f"close code {code}, not {' or '.join(map(str, allowed))}")
        elif not self.admin and not (reason or "").strip():
            self._break("close-reason", f"close code {code} without a reason")

    def fault(self, rule: str, detail: str) -> None:
        """Note a broken rule that only the driver can see."""
        self._break(rule, detail)

    # --- coming together --------------------------------------------------------------------

    def _created(self, event: Event) -> list[Reply]:
        if self.phase is not Phase.CREATING:
            return self._out_of_order(event.type)
        room_id = event.data["room_id"]
        if not (len(room_id) == 6 and room_id.isascii() and room_id.isalnum()):
            self._break("room-id", f"{room_id!r} is not 6 characters of A-Z, a-z, 0-9")
        self._table.room_id = room_id
        self.phase = Phase.ENTERING
        return [self._join()]

    def _update(self, event: Event) -> list[Reply]:
        line = event.message
        if self.phase is Phase.ENTERING:
            if self._table.room_id not in line:
                return self._break("welcome", f"no welcome that names the room: {shown(line)}")
            self.phase = Phase.GREETED
            return []
        if self.phase is Phase.ENDING and self._table.admin_left:
            return self._farewell(line)
        if self.phase not in {Phase.GREETED, Phase.GATHERING}:
            return self._out_of_order(f"ROOM_JOIN_UPDATES {shown(line)}")
        who = self._named_in(line)
        if who is None:
            return []
        for rule, detail in self._lobby.meet(who, line):
            self._break(rule, detail)
        if who == self.name:
            self.phase = Phase.GATHERING
        return []

    def _full(self, event: Event) -> list[Reply]:
        if self.phase is not Phase.GATHERING:
            return self._out_of_order(event.type)
        for rule, detail in self._lobby.full():
            self._break(rule, detail)
        self.phase = Phase.PROMPTED_SOON if self.admin else Phase.READY
        return []

    # --- rounds -----------------------------------------------------------------------------

    def _prompted(self, event: Event) -> list[Reply]:
        if self.phase is not Phase.PROMPTED_SOON:
            return self._out_of_order(event.type)
        if self.reveals == len(self._table.rounds):
            self.phase = Phase.ENDING
            return []
        self.phase = Phase.READY
        return [reply(Act.BEGIN, ticket_id=self._round.ticket)]

    def _asked(self, event: Event) -> list[Reply]:
        if self.phase is not Phase.READY:
            return self._out_of_order(event.type)
        if not self._round.begun:
            return self._break("vote-unasked", f"{event.data['ticket_id']!r} was not begun")
        self._judge_ticket(event)
        self._voted = set()
        self.phase = Phase.VOTING
        card = self._dice.choice(self._deck)
        return [reply(Act.VOTE, card, ticket_id=self._round.ticket, vote=card)]

    def _plain(self, text: str) -> list[Reply]:
        self._look_for_cards(text)
        if self.phase is Phase.ENDING and self._table.admin_left:
            return self._farewell(text)
        if self.phase is not Phase.VOTING:
            return self._break("unexpected-text", f"{shown(text)} before {self.phase.value}")
        if self._round.ticket not in text:
            return self._break("unexpected-text", f"not about {self._round.ticket}: {shown(text)}")
        who = self._named_in(text)
        if who is None:
            return []
        if who in self._voted:
            return self._break("vote-twice", f"the vote of {who} was announced before")
        self._voted.add(who)
        self.votes_heard += who == self.name
        if who not in self._round.votes:
            self._break("vote-unsent", f"{who} has not voted yet: {shown(text)}")
        return []

    def _completed(self, event: Event) -> list[Reply]:
        if self.phase is not Phase.VOTING:
            return self._out_of_order(event.type)
        self._judge_ticket(event)
        missing = sorted(set(self._table.names) - self._voted)
        if missing:
            self._break("completed-too-early", f"no vote of {', '.join(missing)} was announced")
        self.phase = Phase.COMPLETED if self.admin else Phase.REVEALING
        return []

    def _reveal_prompted(self, event: Event) -> list[Reply]:
        if self.phase is not Phase.COMPLETED:
            return self._out_of_order(event.type)
        self._judge_ticket(event)
        self.phase = Phase.REVEALING
        return [reply(Act.REVEAL, ticket_id=self._round.ticket)]

    def _revealed(self, event: Event) -> list[Reply]:
        if self.phase is not Phase.REVEALING:
            return self._out_of_order(event.type)
        if not self._round.reveal_asked:
            self._break("reveal-unasked", "the admin has not asked for the votes yet")
        self._judge_ticket(event)
        for rule, detail in self._table.judge(self._round, event.data["client_vote_choice_map"]):
            self._break(rule, detail)
        self.reveals += 1
        self.phase = Phase.PROMPTED_SOON if self.admin else Phase.REVEALED
        return []

    def _awaiting(self, event: Event) -> list[Reply]:
        if self.phase is not Phase.REVEALED:
            return self._out_of_order(event.type)
        last = self.reveals == len(self._table.rounds)
        self.phase = Phase.ENDING if last else Phase.READY
        return []

    # --- small change -----------------------------------------------------------------------

    def _farewell(self, text: str) -> list[Reply]:
        self._saw_off += 1
        # One may say that the admin has left, one that the room is closed.
        if self._saw_off > 2:
            return self._break("farewell", f"more than two farewells: {shown(text)}")
        return []

    def _named_in(self, text: str) -> str | None:
        named = self._table.names_in(text, self._round)
        if len(named) == 1:
            return named[0]
        self._break("who", f"must name one member, names {named or 'nobody'}: {shown(text)}")
        return None

    def _judge_ticket(self, event: Event) -> None:
        got, wanted = event.data["ticket_id"], self._round.ticket
        if got != wanted:
            self._break("ticket", f"{event.type} is about {got!r}, not {wanted!r}")

    def _look_for_cards(self, text: str) -> None:
        if self.phase in {Phase.VOTING, Phase.COMPLETED, Phase.REVEALING}:
            card = self._table.card_in(text, self._round)
            if card is not None:
                self._break("leak", f"shows the card {card!r} before the reveal: {shown(text)}")

    def _join(self) -> Reply:
        return reply(Act.JOIN, room_id=self._table.room_id)

    def _out_of_order(self, what: str) -> list[Reply]:
        return self._break("out-of-order", f"{what} instead of {self.phase.value}")

    def _break(self, rule: str, detail: str) -> list[Reply]:
        self.violations.append(Violation(rule, self.name, detail))
        return []
