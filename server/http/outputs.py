"""What is told of accounts and posts, as plain records for JSON."""

from datetime import datetime
from typing import Annotated, Self

import attrs
from litestar.params import Parameter

from server.http.report import time_of
from server.store.records import Post, User


@attrs.frozen(kw_only=True)
class PublicUser:
    """Somebody, as everybody sees them."""

    id: Annotated[int, Parameter(description="Never given to anybody else")]
    username: Annotated[str, Parameter(description="As they are called now")]
    created_at: Annotated[datetime, Parameter(description="When the account was made")]

    @classmethod
    def of(cls, user: User) -> Self:
        """Tell of one user."""
        return cls(id=user.id, username=user.username, created_at=time_of(user.created_at))


@attrs.frozen(kw_only=True)
class OwnUser:
    """Oneself; nobody else sees the address."""

    id: Annotated[int, Parameter(description="Never given to anybody else")]
    username: Annotated[str, Parameter(description="As others see it")]
    email: Annotated[str, Parameter(description="As given at registration")]
    created_at: Annotated[datetime, Parameter(description="When the account was made")]

    @classmethod
    def of(cls, user: User) -> Self:
        """Tell of who asks."""
        return cls(
            id=user.id,
            username=user.username,
            email=user.email,
            created_at=time_of(user.created_at),
        )


@attrs.frozen(kw_only=True)
class PublicPost:
    """A post, with its author."""

    id: Annotated[int, Parameter(description="Never given to another post")]
    author: Annotated["PostAuthor", Parameter(description="Who has written it")]
    text: Annotated[str, Parameter(description="As it was written")]
    created_at: Annotated[datetime, Parameter(description="When it was written")]

    @classmethod
    def of(cls, post: Post) -> Self:
        """Tell of one post."""
        return cls(
            id=post.id,
            author=PostAuthor(id=post.author_id, username=post.author),
            text=post.text,
            created_at=time_of(post.created_at),
        )


@attrs.frozen(kw_only=True)
class PostAuthor:
    """Who has written a post."""

    id: Annotated[int, Parameter(description="Of the user")]
    username: Annotated[str, Parameter(description="As they are called now")]


@attrs.frozen
class Done:
    """That something was done which has no other answer."""

    message: Annotated[str, Parameter(description="For people: one sentence")]
