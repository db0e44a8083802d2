"""What one member has asked for and been told about its votes, and what must follow; no I/O."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

import attrs

from protocol.changes import Ack
from protocol.client_happenings import Answered, Changed, Happening, Stored, Undone
from protocol.lasting import CastCard


@attrs.define
class Vote:
    """A vote that was acknowledged."""

    ref: int
    card: str
    stored: bool = False


class Record:
    """The votes of one member."""

    def __init__(self) -> None:
        """Begin before the first one."""
        self.votes: defaultdict[int, list[Vote]] = defaultdict(list)
        """Those that are acknowledged, by round."""
        self._asked: defaultdict[int, list[str]] = defaultdict(list)

    def ask(self, number: int, card: str) -> None:
        """Note that a card is about to be put down."""
        self._asked[number].append(card)

    def last(self, number: int) -> str | None:
        """Give the card that counts in a round, if one was acknowledged."""
        votes = self.votes.get(number)
        return votes[-1].card if votes else None

    def hear(self, happening: Happening) -> Iterator[tuple[str, str]]:
        """Take what happens; yields rule and detail of what must not."""
        match happening:
            case Answered(ref, CastCard(number, card), Ack()):
                self.votes[number].append(Vote(ref, card))
            case Undone(ref, CastCard(number), _):
                self.votes[number] = [vote for vote in self.votes[number] if vote.ref != ref]
            case Stored(refs):
                for vote in (vote for votes in self.votes.values() for vote in votes):
                    vote.stored = vote.stored or vote.ref in refs
            case Changed():
                yield from self._judge(happening)

    def _judge(self, changed: Changed) -> Iterator[tuple[str, str]]:
        running, mine = changed.picture.round, changed.mine
        votes = self.votes.get(running.number) if running is not None else None
        if running is None or not votes or not votes[0].stored:
            return
        # What is acknowledged and not stored may be lost, until the client has sent it again.
        stored = max(place for place, vote in enumerate(votes) if vote.stored)
        allowed = {vote.card for vote in votes[stored:]}
        asked = self._asked[running.number]
        if votes[-1].card in asked:  # what is not answered yet may have been done
            allowed.update(asked[asked.index(votes[-1].card) :])
        if mine.card not in allowed:
            told = "by a snapshot" if changed.change is None else f"after {changed.change}"
            yield (
                "asked-twice",
                f"round {running.number}: the own card is {mine.card!r} {told}, "
                f"and {sorted(allowed)} is stored",
            )
        member = next((each for each in changed.picture.members if each.id == mine.member), None)
        if member is not None and (not member.voted or mine.member in running.waiting_for):
            yield "asked-twice", f"round {running.number}: is waited for, with {votes[-1]} stored"


def judge_results(
    told: Iterable[tuple[str, list[tuple[str, str, str]]]],
    tickets: list[str],
    votes: dict[str, dict[int, str]],
    others: frozenset[str] = frozenset(),
) -> Iterator[tuple[str, str]]:
    """Compare the results with what was acknowledged; yields rule and detail.

    Args:
        told: each ticket with the ids, names and cards of its votes.
        tickets: that were revealed, in order; the first is round 1.
        votes: the card of each member that counts, by round.
        others: members whose votes are acknowledged by nobody. Cut off, they come again under
            another id, and may have voted under both.
    """
    rounds = list(told)
    if [ticket for ticket, _ in rounds] != tickets:
        yield "results-rounds", f"has {[ticket for ticket, _ in rounds]}, revealed are {tickets}"
        return
    for number, (ticket, listed) in enumerate(rounds, 1):
        wanted = sorted((name, each[number]) for name, each in votes.items() if number in each)
        got = sorted((name, card) for _, name, card in listed if name not in others)
        if got != wanted:
            lost, extra = sorted(set(wanted) - set(got)), sorted(set(got) - set(wanted))
            twice = sorted({pair for pair in got if got.count(pair) > 1})
            yield "results-votes", f"{ticket}: lost {lost}, not voted {extra}, twice {twice}"
        ids = [member for member, _, _ in listed]
        if len(ids) != len(set(ids)):
            yield "results-votes", f"{ticket}: a member twice in {listed}"
