"""What the connections of one room have carried: secrets, digests, answers; without I/O.

The witness stands between servers and members, and sees what was sent even if it never arrived.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import orjson

from protocol.fold import digest
from protocol.picture import Picture, Shown
from scripts.botlib.lasting.figures import judge_figures
from scripts.botlib.lasting.line import Line
from scripts.botlib.lasting.wire import Frame
from scripts.botlib.moves import Violation

_REVEALING: Final = ("VOTES_REVEALED", "revealed")
_PARTIAL: Final = (
    *(b'{"type":"snapshot"', b'{"type":"revealed"', b'{"type":"VOTES_REVEALED"'),
    b'{"type":"ROOM_JOIN_UPDATES"',
)
_SHOWN: Final = 160  # characters of a message in a report


class Witness:
    """Sees what is sent to the members of one room."""

    def __init__(
        self, cards: Mapping[str, Sequence[str]], report: Callable[[Violation], None]
    ) -> None:
        """Begin before the first connection.

        Args:
            cards: of each member.
            report: is told what must not be.
        """
        self.revealing: set[int] = set()
        """The rounds whose reveal the owner has asked for."""
        self.searched = 0
        self.compared = 0
        self._report = report
        self._secrets = {
            name: tuple(
                card.encode() for other, own in cards.items() if other != name for card in own
            )
            for name in cards
        }
        self._cards = cards
        self._pictures: dict[tuple[str, int], tuple[Picture, str]] = {}
        self._digests: dict[tuple[str, int], str] = {}
        self._judged: Shown | None = None
        self._answers: dict[tuple[str, str, int], int] = {}

    # --- what a server sends ------------------------------------------------------------------

    def hear(self, line: Line, frame: Frame) -> None:
        """Judge a whole frame of a server."""
        self.searched += len(frame.raw)
        if frame.text is None:
            self._search(line, frame.raw)
            return
        try:
            said = orjson.loads(frame.text)
        except orjson.JSONDecodeError:
            said = None
        if not isinstance(said, dict):
            self._search(line, frame.text)
            return
        match said.get("type"):
            case "snapshot":
                self._hear_snapshot(line, said)
            case "revealed":
                self._hear_shown(line, said.pop("shown", None))
                self._search(line, orjson.dumps(said))
            case "ROOM_JOIN_UPDATES":
                self._search(line, _without_deck(said))
            case "VOTES_REVEALED":
                if not self.revealing:
                    self._fault("leak", line, f"before any reveal: {said}")
            case "welcome":
                line.epoch = str(said.get("epoch"))
                self._search(line, frame.text)
            case _:
                self._search(line, frame.text)
                self._hear_answer(line, said)

    def hear_rest(self, line: Line, rest: bytes) -> None:
        """Judge what a server sent of a frame that never became whole."""
        self.searched += len(rest)
        if not any(kind in rest for kind in _PARTIAL):
            self._search(line, rest)

    # --- what members know --------------------------------------------------------------------

    def see(self, name: str, epoch: str, picture: Picture) -> None:
        """Compare a member's picture with the others' at the same number."""
        at = (epoch, picture.seq)
        known = self._pictures.get(at)
        if known is None:
            self._pictures[at] = (picture, digest(picture))
            if picture.shown is not None and picture.shown != self._judged:
                self._judged = picture.shown
                for rule, detail in judge_figures(picture.shown, picture.cards):
                    self._report(Violation(rule, name, detail))
        elif known[0] != picture:
            self._report(Violation("pictures-differ", name, f"at {at}: {picture}, not {known[0]}"))

    def compare(self) -> None:
        """Compare what was folded with what servers have told of their own pictures."""
        for at, told in self._digests.items():
            known = self._pictures.get(at)
            if known is not None:
                self.compared += 1
                if known[1] != told:
                    self._report(Violation("digest", "the server", f"differs at {at}: {known[0]}"))

    # ------------------------------------------------------------------------------------------

    def _hear_snapshot(self, line: Line, said: dict[str, Any]) -> None:
        picture, mine = said.get("picture"), said.get("mine")
        if isinstance(picture, dict):
            picture.pop("cards", None)  # the deck has everybody's
            self._hear_shown(line, picture.pop("shown", None))
        card = mine.get("card") if isinstance(mine, dict) else None
        if card is not None and card not in self._cards[line.name]:
            self._fault("leak", line, f"is told to have put down {card!r}")
        self._search(line, orjson.dumps(said))

    def _hear_shown(self, line: Line, shown: Any) -> None:
        if shown is not None and shown.get("number") not in self.revealing:
            self._fault("leak", line, f"round {shown.get('number')} is shown before its reveal")

    def _hear_answer(self, line: Line, said: dict[str, Any]) -> None:
        if said.get("type") == "ack":
            at = (line.name, line.epoch, said["ref"])
            known = self._answers.setdefault(at, said["seq"])
            if known != said["seq"]:
                self._fault("answer", line, f"{at} was answered by {known}, now {said['seq']}")
        elif said.get("type") == "digest":
            key = (line.epoch, said["seq"])
            first = self._digests.setdefault(key, said["digest"])
            if first != said["digest"]:
                self._fault("digest", line, f"two different ones at {key}")

    def _search(self, line: Line, data: bytes) -> None:
        for card in self._secrets[line.name]:
            if card in data:
                shown = data.decode(errors="replace")[:_SHOWN]
                self._fault("leak", line, f"shows {card.decode()}: {shown}")

    def _fault(self, rule: str, line: Line, detail: str) -> None:
        self._report(Violation(rule, line.name, detail))


def _without_deck(said: dict[str, Any]) -> bytes:
    """Leave out what a guest is told of the deck, which has everybody's cards."""
    data = said.get("data")
    if isinstance(data, dict) and isinstance(data.get("cards"), list):
        labels = [each if isinstance(each, str) else each[0] for each in data.pop("cards")]
        data["message"] = str(data.get("message")).replace(" ".join(labels), "")
    return orjson.dumps(said)
