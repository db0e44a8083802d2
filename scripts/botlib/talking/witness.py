"""What the connections of one chat room have carried: numbers, answers, promises; without I/O."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from scripts.botlib.lasting.line import Line
from scripts.botlib.lasting.wire import Frame
from scripts.botlib.moves import Violation


class TalkWitness:
    """Sees what is sent to the members of one room, even if it never arrives."""

    def __init__(self, report: Callable[[Violation], None]) -> None:
        """Begin before the first connection; ``report`` is told what must not be."""
        self.acked: dict[tuple[str, int], int] = {}
        """By member and request: the number with which it was acknowledged last."""
        self.changed: dict[tuple[str, int], str] = {}
        """By the same: what was answered differently by one history of the room."""
        self._report = report
        self._messages: dict[int, tuple[int | None, float]] = {}
        self._told: defaultdict[str, set[int]] = defaultdict(set)
        self._saved: defaultdict[str, int] = defaultdict(int)
        self._answers: dict[tuple[str, str, int], int] = {}

    def hear(self, line: Line, frame: Frame) -> None:
        """Judge a whole frame of a server."""
        try:
            said = orjson.loads(frame.text or b"")
        except orjson.JSONDecodeError:
            return
        match said:
            case {"type": "welcome", "epoch": epoch}:
                line.epoch = str(epoch)
            case {"type": "said", "seq": int(seq)}:
                self._told[line.epoch].add(seq)
                self._hear_message(line, said)
            case {"type": "snapshot", "picture": {"messages": [*messages]}}:
                for message in messages:
                    self._hear_message(line, message)
            case {"type": "history", "messages": [*messages]}:
                for message in messages:
                    self._hear_message(line, message)
            case {"type": "ack", "ref": int(ref), "seq": int(seq)}:
                self._hear_ack(line, ref, seq)
            case {"type": "saved", "seq": int(seq)}:
                self._saved[line.epoch] = max(self._saved[line.epoch], seq)

    def hear_rest(self, line: Line, rest: bytes) -> None:
        """Take note of a frame that never became whole: nobody can have read it."""

    def promised(self) -> Iterator[int]:
        """Give the numbers of messages that were told and then said to be saved."""
        for epoch, told in self._told.items():
            yield from (seq for seq in told if seq <= self._saved[epoch])

    def _hear_message(self, line: Line, message: dict[str, Any]) -> None:
        seq = message["seq"]
        what = message["author_id"], message["at"]
        known = self._messages.setdefault(seq, what)
        if known != what:
            self._fault("number-twice", line, f"{seq} was {known}, and is {what} now")

    def _hear_ack(self, line: Line, ref: int, seq: int) -> None:
        at = (line.name, line.epoch, ref)
        known = self._answers.setdefault(at, seq)
        if known != seq:
            self.changed[line.name, ref] = f"{at} was answered by {known}, then by {seq}"
        self.acked[line.name, ref] = seq

    def _fault(self, rule: str, line: Line, detail: str) -> None:
        self._report(Violation(rule, line.name, detail))
