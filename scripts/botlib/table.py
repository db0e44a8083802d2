"""What the bots of one room know together: who they are, and what each has sent; no I/O."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import attrs

DECKS: Final[Mapping[str, tuple[str, ...]]] = {
    # Written out, not taken from the server's code: a card lost there must be noticed here.
    "default": (
        *("0", "½", "1", "2", "3", "5", "8", "13", "20", "21", "34", "40", "55", "100"),
        *("?", "coffee"),
    ),
    "client": ("1", "2", "3", "5", "8", "13", "21"),
}

# Stands for a name or a ticket: no part of a word, so that "Ann:5" still shows the 5.
_BLANK: Final = "\0"

# A question mark that ends a sentence is no card.
_LONE_QUESTION_MARK: Final = re.compile(r"(?:^|[\s\"'(=:])\?(?:$|[\s\"')\].,;])")

_TEXTS_KEPT: Final = 4096  # every text comes once per member; those of a round or two fit


@attrs.define
class Round:
    """One ticket, and what was sent about it."""

    ticket: str
    begun: bool = False
    votes: dict[str, str] = attrs.field(factory=dict)
    """The card of everybody who has voted."""
    reveal_asked: bool = False


@attrs.frozen
class _Reading:
    names: tuple[str, ...]
    words: frozenset[str]


class Table:
    """One room.

    Names and tickets must not be part of each other, or texts cannot be told apart.
    """

    def __init__(self, names: Sequence[str], tickets: Sequence[str]) -> None:
        """Seat ``names``, the admin first, to estimate ``tickets``."""
        self.names = tuple(names)
        self.admin = self.names[0]
        self.rounds = tuple(Round(ticket) for ticket in tickets)
        self.room_id = ""
        self.announced: set[str] = set()
        """Who has sent JOIN_ROOM."""
        self.settled: set[str] = set()
        """Who has been told that it is in the room."""
        self.admin_left = False
        self._member_ids: dict[str, str] = {}
        self._readings: dict[tuple[str, str], _Reading] = {}

    def names_in(self, text: str, current: Round) -> tuple[str, ...]:
        """Find the members whom ``text``, sent in this round or before the first, names."""
        return self._read(text, current.ticket).names

    def card_in(self, text: str, current: Round) -> str | None:
        """Find a card of the round that stands in ``text`` as a word of its own."""
        words = self._read(text, current.ticket).words
        return next((card for card in current.votes.values() if card in words), None)

    def judge(
        self, current: Round, revealed: Mapping[str, Mapping[str, Any]]
    ) -> Iterator[tuple[str, str]]:
        """Compare what was revealed with what was sent; yields rule and detail."""
        votes = current.votes
        names = Counter(entry["MemberName"] for entry in revealed.values())
        if names != Counter(votes.keys()):
            missing, extra = sorted(votes.keys() - names), sorted(names.keys() - votes)
            twice = sorted(name for name, times in names.items() if times > 1)
            yield "reveal-members", f"missing {missing}, without a vote {extra}, twice {twice}"
        for entry in revealed.values():
            name, value, member_id = entry["MemberName"], entry["Value"], entry["MemberID"]
            if name in votes and value != votes[name]:
                yield "reveal-value", f"{name} voted {votes[name]!r}, revealed is {value!r}"
            known = self._member_ids.setdefault(name, member_id)
            if known != member_id:
                yield "member-id", f"{name} had the id {known!r}, now {member_id!r}"

    def _read(self, text: str, ticket: str) -> _Reading:
        reading = self._readings.get((text, ticket))
        if reading is None:
            if len(self._readings) >= _TEXTS_KEPT:
                self._readings.clear()
            reading = self._readings[text, ticket] = self._take_apart(text, ticket)
        return reading

    def _take_apart(self, text: str, ticket: str) -> _Reading:
        names = tuple(name for name in self.names if name in text)
        for known in (*names, ticket, self.room_id):
            if known:
                text = text.replace(known, _BLANK)
        words = set(re.findall(r"\w+", text.casefold()))
        if _LONE_QUESTION_MARK.search(text):
            words.add("?")
        return _Reading(names, frozenset(words))
