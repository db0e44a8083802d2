"""Accounts and posts as plain records for JSON."""

from datetime import UTC, datetime
from typing import Annotated, Self

import attrs
from litestar.params import Parameter

from server.store.records import Post, User


@attrs.frozen(kw_only=True)
class PublicUser:
    """A user, as everybody sees them."""

    id: Annotated[int, Parameter(description="The user's id; never reused")]
    username: Annotated[str, Parameter(description="The user's present name")]
    created_at: Annotated[datetime, Parameter(description="When the account was registered (UTC)")]

    @classmethod
    def of(cls, user: User) -> Self:
        """Describe a user to others."""
        return cls(id=user.id, username=user.username, created_at=time_of(user.created_at))


@attrs.frozen(kw_only=True)
class OwnUser:
    """Your own account; nobody else sees the e-mail address."""

    id: Annotated[int, Parameter(description="The user's id; never reused")]
    username: Annotated[str, Parameter(description="The name that others see")]
    email: Annotated[str, Parameter(description="The e-mail address, as given at registration")]
    created_at: Annotated[datetime, Parameter(description="When the account was registered (UTC)")]

    @classmethod
    def of(cls, user: User) -> Self:
        """Describe a user to themselves."""
        return cls(
            id=user.id,
            username=user.username,
            email=user.email,
            created_at=time_of(user.created_at),
        )


@attrs.frozen(kw_only=True)
class PublicPost:
    """A post with its author."""

    id: Annotated[int, Parameter(description="The post's id; never reused")]
    author: Annotated["PostAuthor", Parameter(description="The post's author")]
    text: Annotated[str, Parameter(description="The post's text")]
    created_at: Annotated[datetime, Parameter(description="When the post was written (UTC)")]

    @classmethod
    def of(cls, post: Post) -> Self:
        """Describe a post."""
        return cls(
            id=post.id,
            author=PostAuthor(id=post.author_id, username=post.author),
            text=post.text,
            created_at=time_of(post.created_at),
        )


@attrs.frozen(kw_only=True)
class PostAuthor:
    """The author of a post."""

    id: Annotated[int, Parameter(description="The author's id")]
    username: Annotated[str, Parameter(description="The user's present name")]


@attrs.frozen
class Done:
    """The answer to a request that has no other result."""

    message: Annotated[str, Parameter(description="One sentence for people")]


def time_of(seconds: float) -> datetime:
    """Turn Unix time into a date, to the millisecond."""
    return datetime.fromtimestamp(round(seconds, 3), UTC)
