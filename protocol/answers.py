"""What one member's numbered requests were answered, so that none takes effect twice."""

from typing import Final

import attrs

from protocol.changes import Ack, Failure
from protocol.errors import ErrorCode, Problem

REMEMBERED: Final = 64
"""The latest answers of a member that can be given again; no client may wait for more at once."""


Answer = Ack | Failure
"""How a request was answered, as its member was told."""


def answer_to(ref: int, seq: int, problem: Problem | None = None) -> Answer:
    """Make the answer to a request.

    Args:
        ref: its number.
        seq: the room's number at which it took effect.
        problem: why it was refused, if it was.
    """
    return Ack(ref, seq) if problem is None else Failure(ref, problem)


@attrs.define
class Answers:
    """The latest answers to one member, by growing numbers."""

    given: list[Answer] = attrs.Factory(list)
    """Ascending; the last one tells which number was the highest."""

    def find(self, ref: int) -> Answer | None:
        """Give the answer to a request that has been answered; ``None`` if it is a new one.

        One that is so old that its answer is forgotten gets a refusal which says so.
        """
        given = self.given
        if not given or ref > given[-1].ref:
            return None
        for answer in reversed(given):
            if answer.ref == ref:
                return answer
        return Failure(ref, Problem(ErrorCode.FORGOTTEN, values={"ref": ref}))

    def remember(self, answer: Answer) -> None:
        """Take note of an answer, in place of the oldest one."""
        given = self.given
        given.append(answer)
        if len(given) > 1 and given[-2].ref > answer.ref:  # it has waited for the store
            given.sort(key=lambda each: each.ref)
        if len(given) > REMEMBERED:
            del given[0]

    def drop(self, answer: Answer) -> None:
        """Forget an answer, after which the request may be judged again."""
        self.given.remove(answer)
