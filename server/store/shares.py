"""Shares: who gives way when more waits for the database than there is room for."""

from collections import deque
from collections.abc import Hashable
from enum import IntEnum
from typing import Generic, TypeVar

import attrs


class Kind(IntEnum):
    """What a write is worth: a lower kind gives way to a higher one."""

    CHATTER = 0
    """What was said; the conversation goes on without it."""
    RESULT = 1
    """What a meeting was held for."""


@attrs.define(eq=False)
class Claim:
    """Something that waits, as far as shares are concerned."""

    payer: Hashable
    """On whose account it waits: a room, or a user."""
    kind: Kind
    load: int
    """In rows, or what takes as much memory."""


Each = TypeVar("Each", bound=Claim)


class Shares(Generic[Each]):
    """Everything that waits, by who caused it.

    Whoever causes the most gives way first, the newest first, and within a kind alone; nothing of
    a kind gives way while there is something of a lower one. "The most" is exact to a factor of
    two: payers are kept in classes by the binary logarithm of their load, so that all of this
    takes the same time for any number of payers.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self._kinds = {kind: _Payers[Each]() for kind in Kind}

    def add(self, claim: Each) -> None:
        """Add what is newer than all that is here."""
        self._kinds[claim.kind].add(claim)

    def remove_oldest(self, claim: Each) -> None:
        """Remove what is the oldest of its payer and kind."""
        self._kinds[claim.kind].remove(claim, oldest=True)

    def give_way(self, claim: Claim) -> Each | None:
        """Remove and give what a new claim is to be preferred to.

        Returns:
            ``None`` if the new claim itself has to give way.
        """
        for kind in Kind:
            payers = self._kinds[kind]
            if kind < claim.kind:
                found = payers.heaviest()
            elif kind == claim.kind:
                found = payers.heavier_than(claim)
            else:
                break
            if found is not None:
                payers.remove(found, oldest=False)
                return found
        return None


class _Payers(Generic[Each]):
    """The payers of one kind."""

    def __init__(self) -> None:
        self._claims: dict[Hashable, deque[Each]] = {}  # each oldest first
        self._loads: dict[Hashable, int] = {}
        self._classes: list[dict[Hashable, None]] = []

    def add(self, claim: Each) -> None:
        self._claims.setdefault(claim.payer, deque()).append(claim)
        self._change(claim.payer, claim.load)

    def remove(self, claim: Each, *, oldest: bool) -> None:
        claims = self._claims[claim.payer]
        removed = claims.popleft() if oldest else claims.pop()
        assert removed is claim  # noqa: S101 - or the books are wrong from here on
        self._change(claim.payer, -claim.load)
        if not claims:
            del self._claims[claim.payer]

    def heaviest(self) -> Each | None:
        """Find the newest claim of a payer that has the most."""
        for payers in reversed(self._classes):
            for payer in payers:
                return self._claims[payer][-1]
        return None

    def heavier_than(self, claim: Claim) -> Each | None:
        """Find the same, if that payer has more than a new claim's payer would have."""
        found = self.heaviest()
        if found is None:
            return None
        would_be = self._loads.get(claim.payer, 0) + claim.load
        return found if self._loads[found.payer].bit_length() > would_be.bit_length() else None

    def _change(self, payer: Hashable, by: int) -> None:
        before = self._loads.get(payer, 0)
        after = before + by
        if after:
            self._loads[payer] = after
        else:
            self._loads.pop(payer, None)
        old, new = before.bit_length(), after.bit_length()
        if old == new:
            return
        while len(self._classes) <= new:
            self._classes.append({})
        if before:
            del self._classes[old][payer]
        if after:
            self._classes[new][payer] = None
