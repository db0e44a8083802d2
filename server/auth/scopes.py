"""How far a token for a bot reaches: its scopes, and what each of them is for."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Scope(StrEnum):
    """What a token for a bot may be used for; a login may be used for everything."""

    ROOMS_OPEN = "rooms:open"
    ROOMS_JOIN = "rooms:join"
    CHAT_READ = "chat:read"
    CHAT_WRITE = "chat:write"
    POSTS_READ = "posts:read"
    POSTS_WRITE = "posts:write"
    RESULTS_READ = "results:read"


PURPOSES: Final[Mapping[Scope, str]] = {
    Scope.ROOMS_OPEN: "open estimation rooms, which the account owns then",
    Scope.ROOMS_JOIN: "be in estimation rooms under the account's name, over `parley.v1`",
    Scope.CHAT_READ: "list chat rooms, their messages and who is in them",
    Scope.CHAT_WRITE: "create and delete chat rooms; with `chat:read`, also be in them",
    Scope.POSTS_READ: "read posts and the timeline, users, and who follows whom",
    Scope.POSTS_WRITE: "write and delete posts, follow and unfollow",
    Scope.RESULTS_READ: "list the estimation rooms of the account with the paths of their results",
}
"""What whoever holds a token with this scope can do, in the words of the documentation."""


def known_scopes(names: tuple[str, ...]) -> frozenset[Scope]:
    """Give the scopes of a stored token; of one of a later version, those that are known here."""
    return frozenset(each for each in Scope if each in names)
