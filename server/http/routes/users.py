"""Routes of other users: who they are, and who follows whom."""

import time
from typing import Annotated

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.spec import Example
from litestar.params import QueryParameter
from litestar.status_codes import (
    HTTP_200_OK,
    HTTP_401_UNAUTHORIZED,
    HTTP_404_NOT_FOUND,
    HTTP_409_CONFLICT,
)
from sqlalchemy import Connection

from server.auth.scopes import Scope
from server.http.access import Asking, reached_by
from server.http.errors import RequestFailed, not_here, responses
from server.http.outputs import Done, PublicUser
from server.http.paging import LARGEST_ID, USUAL, Before, Id, Limit, cut, page
from server.store import follows, users
from server.store.database import Database
from server.store.records import Contact, User
from server.support.errors import Missing

_TAGS = ["users"]
_RESPONSES = responses(HTTP_401_UNAUTHORIZED, HTTP_404_NOT_FOUND)
_CHANGING = responses(HTTP_401_UNAUTHORIZED, HTTP_404_NOT_FOUND, changing=True)

_ID = QueryParameter(
    description="Id of a user", ge=1, le=LARGEST_ID, examples=[Example(value=1)], required=True
)


def follow_handlers(database: Database) -> list[HTTPRouteHandler]:
    """Make the handlers that change who follows whom."""

    @post(
        "/follow",
        status_code=HTTP_200_OK,
        operation_id="followUser",
        **reached_by(Scope.POSTS_WRITE),
        summary="Follow a user",
        tags=_TAGS,
        responses=responses(
            HTTP_401_UNAUTHORIZED, HTTP_404_NOT_FOUND, HTTP_409_CONFLICT, changing=True
        ),
    )
    async def follow(request: Asking, toFollowId: Annotated[int, _ID]) -> Done:  # noqa: N803
        """Add a user's posts to your timeline; repeating it changes nothing."""
        own_id = request.user.id
        if toFollowId == own_id:
            raise RequestFailed(HTTP_409_CONFLICT, "must be somebody else", field="toFollowId")
        try:
            await database.run(
                lambda conn: follows.follow(conn, own_id, toFollowId, time.time()), write=True
            )
        except Missing as missing:
            raise not_here(missing.what) from None
        return Done("you follow this user")

    @post(
        "/unfollow",
        status_code=HTTP_200_OK,
        operation_id="unfollowUser",
        **reached_by(Scope.POSTS_WRITE),
        summary="Unfollow a user",
        tags=_TAGS,
        responses=_CHANGING,
    )
    async def unfollow(
        request: Asking,
        toUnfollowId: Annotated[int, _ID],  # noqa: N803
    ) -> Done:
        """Remove a user's posts from your timeline; repeating it changes nothing."""
        own_id = request.user.id
        try:
            await database.run(
                lambda conn: follows.unfollow(conn, own_id, toUnfollowId), write=True
            )
        except Missing as missing:
            raise not_here(missing.what) from None
        return Done("you no longer follow this user")

    return [follow, unfollow]


def user_handlers(database: Database) -> list[HTTPRouteHandler]:
    """Make the handlers that tell of users."""

    @get(
        "/users/{user_id:int}",
        operation_id="getUser",
        **reached_by(Scope.POSTS_READ),
        summary="Get a user",
        tags=_TAGS,
        responses=_RESPONSES,
    )
    async def one_user(user_id: Id) -> Response[PublicUser]:
        """A user as everybody sees them, without the e-mail address."""
        user = await database.run(lambda conn: users.by_id(conn, user_id))
        return Response(PublicUser.of(_known(user)), headers={"Cache-Control": "no-store"})

    @get(
        "/users/{user_id:int}/followers",
        operation_id="listFollowers",
        **reached_by(Scope.POSTS_READ),
        summary="List a user's followers",
        tags=_TAGS,
        responses=_RESPONSES,
    )
    async def followers(
        request: Asking, user_id: Id, limit: Limit = USUAL, before: Before = None
    ) -> Response[list[PublicUser]]:
        """Users, the latest to follow first; ``Link`` leads to the next page."""
        asked = page(limit, before)

        def work(conn: Connection) -> list[Contact]:
            _known(users.by_id(conn, user_id))
            return follows.followers(conn, user_id, before=asked.before, limit=asked.fetch)

        shown, headers = cut(request, asked, await database.run(work))
        return Response([PublicUser.of(each) for each in shown], headers=headers)

    @get(
        "/users/{user_id:int}/following",
        operation_id="listFollowing",
        **reached_by(Scope.POSTS_READ),
        summary="List whom a user follows",
        tags=_TAGS,
        responses=_RESPONSES,
    )
    async def following(
        request: Asking, user_id: Id, limit: Limit = USUAL, before: Before = None
    ) -> Response[list[PublicUser]]:
        """Users, the latest to be followed first; ``Link`` leads to the next page."""
        asked = page(limit, before)

        def work(conn: Connection) -> list[Contact]:
            _known(users.by_id(conn, user_id))
            return follows.following(conn, user_id, before=asked.before, limit=asked.fetch)

        shown, headers = cut(request, asked, await database.run(work))
        return Response([PublicUser.of(each) for each in shown], headers=headers)

    return [one_user, followers, following]


def _known(user: User | None) -> User:
    if user is None:
        raise not_here("user")
    return user
