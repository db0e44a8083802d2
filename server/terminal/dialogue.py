"""One seat in a session, without any I/O: what to show and to send for what is heard and typed."""

import json
from collections.abc import Mapping
from contextlib import suppress
from enum import Enum
from typing import Any, Final

import attrs

from protocol.deck import DEFAULT_DECK, HALF, Deck
from protocol.statistics import summarize

LEAVE: Final = "/quit"
REVEAL: Final = "/reveal"

_SAME_CARD: Final = {"1/2": HALF, "0.5": HALF, "c": "coffee"}


class Asked(Enum):
    """What the next line that is typed is taken for."""

    TICKET = "ticket"
    VOTE = "vote"
    REVEAL = "reveal"


@attrs.frozen
class Turn:
    """What follows from one message or one line."""

    show: tuple[str, ...] = ()
    """Lines for people."""
    send: tuple[str, ...] = ()
    """Messages for the server."""
    leave: bool = False
    """End the session."""


class Dialogue:
    """What a person at a terminal is told and asked, from the room's first message to its last.

    Everything that others have chosen (names, tickets, refusals) is shown without control
    characters and such, which a terminal could take for commands.
    """

    def __init__(self, room_id: str | None, *, invitation: str = "") -> None:
        """Join ``room_id``, or lead a room of one's own if there is none.

        Args:
            room_id: the room to join.
            invitation: what others have to add to ``parley join ROOM``.
        """
        self.inside = False
        """The room has let us in; until then all that is heard is a refusal."""
        self.asked: Asked | None = None
        self._room_id = room_id
        self._leads = room_id is None
        self._invitation = invitation
        self._ticket: str | None = None
        self._deck = DEFAULT_DECK
        self._answered: Asked | None = None  # what is asked again if the answer is refused

    def begin(self) -> Turn:
        """Say what is due as soon as there is a connection."""
        if self._room_id is None:
            return Turn()
        return Turn(send=(_event("JOIN_ROOM", room_id=self._room_id),))

    def hear(self, message: str | bytes) -> Turn:
        """Take a message of the server."""
        try:
            read = json.loads(message)
        except (ValueError, RecursionError):
            read = None
        if not isinstance(read, dict):
            return self._hear_text(message if isinstance(message, str) else "(binary data)")
        data = read.get("data")
        return self._hear_event(read.get("type"), data if isinstance(data, dict) else {})

    def type(self, line: str) -> Turn:
        """Take a line that was typed."""
        text = line.strip()
        if text == LEAVE:
            return Turn(leave=True)
        if text == REVEAL or (self.asked is Asked.REVEAL and not text):
            return self._reveal()
        if self.asked is Asked.TICKET:
            if not text:
                return Turn(show=("A ticket needs a name:",))
            return self._answer(Asked.TICKET, "BEGIN_VOTING", ticket_id=text)
        if self._ticket is None:
            return Turn(show=(f"Nothing is asked right now. {LEAVE} leaves.",) if text else ())
        if not text:
            return Turn(show=(f"Your vote on {_plain(self._ticket)}?",))
        vote = text if text in self._deck else _SAME_CARD.get(text, text)
        still = self.asked if self.asked is Asked.REVEAL else Asked.VOTE
        return self._answer(still, "MEMBER_VOTED", ticket_id=self._ticket, vote=vote)

    def _hear_text(self, text: str) -> Turn:
        if text.startswith("!") and self.asked is None:
            self.asked, self._answered = self._answered, None
        return Turn(show=(_plain(text),))

    def _hear_event(self, kind: object, data: Mapping[str, Any]) -> Turn:
        message = _plain(str(data.get("message", "")))
        ticket = str(data.get("ticket_id", ""))
        match kind:
            case "CREATE_ROOM":
                return self._created(str(data.get("room_id", "")))
            case "ROOM_JOIN_UPDATES":
                self.inside = True
                self._learn_cards(data.get("cards"))
            case "BEGIN_VOTING_PROMPT":
                self._ask(Asked.TICKET)
                return Turn(show=("What do you estimate? Its ticket:",))
            case "ASK_FOR_VOTE":
                self._ticket = ticket
                self._ask(Asked.VOTE)
                cards = _plain(self._deck.spelled)
                return Turn(show=(f"Your vote on {_plain(ticket)}? ({cards})",))
            case "VOTING_COMPLETED":
                if self.asked is Asked.VOTE:
                    self.asked = None
            case "REVEAL_VOTES_PROMPT":
                self._ask(Asked.REVEAL)
                return Turn(show=("Press Enter to reveal the votes, or change your vote.",))
            case "VOTES_REVEALED":
                self._ticket = self.asked = None
                return Turn(show=_result(ticket, data.get("client_vote_choice_map"), self._deck))
        return Turn(show=(message,) if message else ())

    def _learn_cards(self, cards: object) -> None:
        """Take the room's cards, which are told if they are not those that everybody knows."""
        if cards is not None:
            with suppress(ValueError):  # by a newer server
                self._deck = Deck.of_plain(cards)

    def _created(self, room_id: str) -> Turn:
        self.inside, self._room_id = True, room_id
        how = f"parley join {_plain(room_id)} --name NAME{self._invitation}"
        return Turn(
            show=(f"The room is {_plain(room_id)}. The others join with: {how}",),
            send=(_event("JOIN_ROOM", room_id=room_id),),
        )

    def _reveal(self) -> Turn:
        if self._ticket is None:
            return Turn(show=("There is nothing to reveal.",))
        return self._answer(Asked.REVEAL, "REVEAL_VOTES", ticket_id=self._ticket)

    def _ask(self, what: Asked) -> None:
        self.asked, self._answered = what, None

    def _answer(self, what: Asked, kind: str, **data: str) -> Turn:
        self.asked, self._answered = None, what
        return Turn(send=(_event(kind, **data),))


def _event(kind: str, **data: str) -> str:
    return json.dumps({"type": kind, "data": data}, ensure_ascii=False)


def _result(ticket: str, votes: object, deck: Deck) -> tuple[str, ...]:
    """Show who has voted what, and what the team thinks."""
    listed = votes.values() if isinstance(votes, dict) else ()
    rows = [
        (str(vote.get("MemberName", "")), str(vote.get("Value", "")))
        for vote in listed
        if isinstance(vote, dict)
    ]
    lines = [f"The votes on {_plain(ticket)}:"]
    width = max((len(_plain(name)) for name, _ in rows), default=0)
    lines += [f"  {_plain(name):{width}}  {_plain(vote)}" for name, vote in sorted(rows)]
    summary = summarize((vote for _, vote in rows), deck)
    if summary.consensus:
        lines.append("All agree.")
    elif summary.suggestion is not None:
        suggested = f"suggested: {_plain(summary.suggestion.card)}."
        if summary.mean is None or summary.median is None:
            lines.append(f"Median {_plain(summary.median_card or '')}, {suggested}")
        else:
            lines.append(f"Mean {summary.mean:.3g}, median {summary.median:g}, {suggested}")
    return tuple(lines)


def _plain(text: str) -> str:
    """Escape whatever a terminal might not just print."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
