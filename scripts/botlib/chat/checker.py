"""The rules of a chat room as one connection sees it; without I/O.

What comes first is history: the last 50 messages, or all if there are fewer. The notice that one
has joined oneself ends it; a second connection of the same person gets no such notice.
"""

from collections import deque
from typing import Final

from scripts.botlib.chat.record import Record
from scripts.botlib.chat.wire import Notice, Said, parse
from scripts.botlib.frames import Malformed, shown
from scripts.botlib.moves import Violation

HISTORY: Final = 50


class Checker:
    """Judges what one connection receives.

    The driver makes it right before connecting, calls :meth:`feed` for every message and
    :meth:`sending` right before sending one.
    """

    def __init__(self, record: Record, name: str, *, second: bool = False) -> None:
        """Prepare to enter.

        Args:
            record: of the room.
            name: of the person.
            second: whether the person is there already.
        """
        self.record = record
        self.name = name
        self.second = second
        self.violations: list[Violation] = []
        self.seen: list[Said | Notice] = []
        self.entered = False
        self.history = 0
        """What came before one's own joining."""
        self.last_seq = 0
        self.heard = 0
        """Own messages that came back."""
        self.floor = record.highest
        """The history goes at the least so far."""
        self._waiting: deque[str] = deque()
        self._present: dict[str, bool] = {}

    @property
    def pending(self) -> int:
        """Own messages that have not come back yet."""
        return len(self._waiting)

    def sending(self, text: str) -> None:
        """Note that this is about to be sent."""
        self._waiting.append(text)
        self.record.sending(text, self.name)

    def feed(self, raw: str | bytes) -> None:
        """Judge one message."""
        if isinstance(raw, bytes):
            self._break("binary", f"a binary message of {len(raw)} bytes")
            return
        try:
            read = parse(raw)
        except Malformed as error:
            self._break("malformed", str(error))
            return
        if not isinstance(read, Said | Notice):
            self._break(read.kind, shown(read.text))
            return
        if read.room_id != self.record.room_id:
            self._break("room", f"a message of {read.room_id!r} in {self.record.room_id!r}")
            return
        if isinstance(read, Said):
            self._said(read)
        else:
            self._noticed(read)
        self.seen.append(read)

    def _said(self, said: Said) -> None:
        if not self.last_seq:
            self._begin(said.seq)
        elif said.seq <= self.last_seq:
            self._break("seq-repeated", f"number {said.seq} after {self.last_seq}")
        elif said.seq > self.last_seq + 1:
            self._break("seq-gap", f"number {said.seq} after {self.last_seq}")
        self.last_seq = max(self.last_seq, said.seq)
        for rule, detail in self.record.note(said):
            self._break(rule, detail)
        if said.username == self.name and self.entered:
            self._back(said)

    def _begin(self, first: int) -> None:
        if self.entered and first != 1:
            self._break("history", f"no history, and then number {first}")
        # Of what was sent, not all need have been said yet.
        latest = max(1, len(self.record.sent) - HISTORY + 1)
        earliest = max(1, self.floor - HISTORY + 1)
        if not earliest <= first <= latest:
            self._break("history", f"begins at {first}, not in {earliest} to {latest}")

    def _back(self, said: Said) -> None:
        if self._waiting and self._waiting[0] == said.text:
            self._waiting.popleft()
            self.heard += 1
        else:
            wanted = shown(self._waiting[0]) if self._waiting else "nothing"
            self._break("own-order", f"{shown(said.text)} came back instead of {wanted}")

    def _noticed(self, notice: Notice) -> None:
        who, joined = notice.username, notice.kind == "join"
        if who not in self.record.accounts:
            self._break("stranger", f"{notice.kind} of {who!r}, who is none of us")
            return
        if who == self.name and not self.second and not self.entered:
            if joined:
                self._enter()
            else:
                self._break("left-while-there", "has left before it has joined")
            return
        if not self.entered and not self.second:
            self._break("notice-in-history", f"{notice.kind} of {who} before one's own joining")
        if who == self.name:
            kind = "joined-twice" if joined else "left-while-there"
            self._break(kind, f"{notice.kind} of oneself, who is there")
            return
        if self._present.get(who) is joined:
            self._break(f"{'joined' if joined else 'left'}-twice", f"{notice.kind} of {who}, again")
        self._present[who] = joined

    def _enter(self) -> None:
        self.entered = True
        self.history = len(self.seen)
        told = sum(isinstance(event, Said) for event in self.seen)
        if told != min(HISTORY, self.last_seq):
            self._break("history", f"{told} messages, the last of them {self.last_seq}")
        if self.last_seq < self.floor:
            self._break("history", f"ends at {self.last_seq}, but {self.floor} had been said")

    def fault(self, rule: str, detail: str) -> None:
        """Note a broken rule that only the driver can see."""
        self._break(rule, detail)

    def _break(self, rule: str, detail: str) -> None:
        self.violations.append(Violation(rule, self.name, detail))
