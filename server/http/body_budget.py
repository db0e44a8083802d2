"""How many bytes of request bodies are in memory at one moment, in all and for each client."""

from collections.abc import Callable
from enum import Enum
from types import TracebackType
from typing import Self


class Full(Enum):
    """Whose part of the budget is spent."""

    CLIENT = "client"
    SERVER = "server"


class BodyBudget:
    """Bytes of bodies that are being read, or whose request is not yet answered.

    What has come counts, not what a request announces: who announces much and sends nothing
    takes nobody's place. Beside the bytes themselves, a client with a body in flight costs some
    200 bytes.
    """

    def __init__(self, in_all: int, per_client: int) -> None:
        """Begin with nothing in flight.

        Args:
            in_all: the most bytes, of all clients together.
            per_client: the most bytes of one client.
        """
        self._in_all = in_all
        self._per_client = per_client
        self._held = 0
        self._by_client: dict[str, int] = {}

    @property
    def held(self) -> int:
        """The bytes in flight now."""
        return self._held

    def take(self, client: str, count: int) -> Full | None:
        """Count bytes that have come from ``client``, or say whose part does not allow it."""
        mine = self._by_client.get(client, 0) + count
        if mine > self._per_client:
            return Full.CLIENT
        if self._held + count > self._in_all:
            return Full.SERVER
        self._held += count
        self._by_client[client] = mine
        return None

    def give_back(self, client: str, count: int) -> None:
        """Take back what was counted."""
        self._held -= count
        left = self._by_client[client] - count
        if left:
            self._by_client[client] = left
        else:
            del self._by_client[client]


class Share:
    """The part of one request in the budget; ends with its ``with`` block."""

    __slots__ = ("_budget", "_client", "_find_client", "_taken")

    def __init__(self, budget: BodyBudget, find_client: Callable[[], str]) -> None:
        """Take part, with nothing so far.

        Args:
            budget: the budget of all requests.
            find_client: says whose request it is; called once, when there is a body.
        """
        self._budget = budget
        self._find_client = find_client
        self._client = ""
        self._taken = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._taken:
            self._budget.give_back(self._client, self._taken)

    def take(self, count: int) -> Full | None:
        """Count ``count`` bytes more, or say whose part of the budget does not allow it."""
        if not count:
            return None
        self._client = self._client or self._find_client()
        full = self._budget.take(self._client, count)
        if full is None:
            self._taken += count
        return full
