"""What the bots of one chat room know together: who said what, and under which number; no I/O."""

from collections.abc import Iterator, Mapping

from scripts.botlib.chat.wire import Said
from scripts.botlib.frames import shown


class Record:
    """One room. All texts must be different."""

    def __init__(self, room_id: str, accounts: Mapping[str, int]) -> None:
        """Take note of a new room.

        Args:
            room_id: of the room.
            accounts: the ids of all who may come, by name.
        """
        self.room_id = room_id
        self.accounts = accounts
        self.sent: dict[str, str] = {}
        """Who has sent each text."""
        self.said: dict[int, Said] = {}
        """What was heard first under each number."""
        self.highest = 0
        """The highest number that anybody has heard."""
        self._numbers: dict[str, int] = {}  # under which each text was heard first

    def sending(self, text: str, author: str) -> None:
        """Note that this is about to be sent."""
        self.sent[text] = author

    def note(self, said: Said) -> Iterator[tuple[str, str]]:
        """Compare with what was sent and with what others heard; yields rule and detail."""
        self.highest = max(self.highest, said.seq)
        author = self.sent.get(said.text)
        if author is None:
            yield "unsent", f"nobody has sent {shown(said.text)}"
            return
        if said.username != author:
            yield "author", f"{shown(said.text)} is by {author}, not by {said.username!r}"
        elif said.user_id != self.accounts[author]:
            yield "author-id", f"{author} has the id {self.accounts[author]}, not {said.user_id}"
        number = self._numbers.setdefault(said.text, said.seq)
        if number != said.seq:
            yield "doubled", f"{shown(said.text)} is number {said.seq}, and was number {number}"
            return
        known = self.said.setdefault(said.seq, said)
        if known != said:
            yield "disagreement", f"number {said.seq} was {known} for another, here it is {said}"
