"""Routes of posts: write, read and remove them, and the timeline."""

import time
from typing import Annotated

from litestar import Response, delete, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.spec import Example
from litestar.params import HeaderParameter, JSONBody
from litestar.status_codes import (
    HTTP_401_UNAUTHORIZED,
    HTTP_403_FORBIDDEN,
    HTTP_404_NOT_FOUND,
    HTTP_409_CONFLICT,
)
from sqlalchemy import Connection

from server.auth.scopes import Scope
from server.http.access import Asking, reached_by
from server.http.bodies import Json
from server.http.errors import RequestFailed, not_here, responses, unauthorized
from server.http.inputs import NewPost
from server.http.outputs import PublicPost
from server.http.paging import USUAL, Before, Id, Limit, cut, page
from server.store import posts, users
from server.store.database import Database
from server.store.records import Post
from server.support.errors import Missing

_TAGS = ["posts"]
_KEY_LENGTH = 255

IdempotencyKey = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        description="A text of your choice. Sending it again within 24 hours does not create "
        "a second post; the answer is the first post",
        min_length=1,
        max_length=_KEY_LENGTH,
        pattern="^[!-~]+$",
        examples=[Example(value="7f0c5a1e")],
    ),
]


def writing_handlers(database: Database) -> list[HTTPRouteHandler]:
    """Make the handlers that write and remove posts."""

    @post(
        "/posts",
        dto=Json[NewPost],
        return_dto=None,
        operation_id="writePost",
        **reached_by(Scope.POSTS_WRITE),
        summary="Write a post",
        tags=_TAGS,
        responses=responses(HTTP_401_UNAUTHORIZED, HTTP_409_CONFLICT, changing=True, body=True),
    )
    async def write_post(
        request: Asking, data: JSONBody[NewPost], idempotency_key: IdempotencyKey = None
    ) -> Response[PublicPost]:
        """Tell all who follow."""
        author_id = request.user.id

        def work(conn: Connection) -> tuple[Post, bool]:
            return posts.create(
                conn,
                author_id=author_id,
                text=data.text,
                now=time.time(),
                idempotency_key=idempotency_key,
            )

        try:
            written, _ = await database.run(work, write=True)
        except Missing:
            raise unauthorized("the account is gone") from None
        if written.text != data.text:
            raise RequestFailed(
                HTTP_409_CONFLICT,
                "was used for another post within 24 hours",
                field="Idempotency-Key",
            )
        return Response(PublicPost.of(written), headers={"Location": f"/posts/{written.id}"})

    @delete(
        "/posts/{post_id:int}",
        operation_id="deletePost",
        **reached_by(Scope.POSTS_WRITE),
        summary="Delete a post",
        tags=_TAGS,
        responses=responses(HTTP_401_UNAUTHORIZED, HTTP_404_NOT_FOUND, changing=True),
    )
    async def remove_post(request: Asking, post_id: Id) -> None:
        """Delete one of your posts."""
        own_id = request.user.id

        def work(conn: Connection) -> None:
            found = posts.get(conn, post_id)
            if found is None:
                raise not_here("post")
            if found.author_id != own_id:
                raise RequestFailed(HTTP_403_FORBIDDEN, "this post is somebody else's")
            posts.delete(conn, post_id)

        await database.run(work, write=True)

    return [write_post, remove_post]


def reading_handlers(database: Database) -> list[HTTPRouteHandler]:
    """Make the handlers that show posts."""

    @get(
        "/posts/{post_id:int}",
        operation_id="getPost",
        **reached_by(Scope.POSTS_READ),
        summary="Get a post",
        tags=_TAGS,
        responses=responses(HTTP_401_UNAUTHORIZED, HTTP_404_NOT_FOUND),
    )
    async def one_post(post_id: Id) -> Response[PublicPost]:
        """One post with its author."""
        found = await database.run(lambda conn: posts.get(conn, post_id))
        if found is None:
            raise not_here("post")
        return Response(PublicPost.of(found), headers={"Cache-Control": "no-store"})

    @get(
        "/users/{user_id:int}/posts",
        operation_id="listPostsOfUser",
        **reached_by(Scope.POSTS_READ),
        summary="List a user's posts",
        tags=_TAGS,
        responses=responses(HTTP_401_UNAUTHORIZED, HTTP_404_NOT_FOUND),
    )
    async def posts_of_user(
        request: Asking, user_id: Id, limit: Limit = USUAL, before: Before = None
    ) -> Response[list[PublicPost]]:
        """Posts, the latest first; ``Link`` leads to the next page."""
        asked = page(limit, before)

        def work(conn: Connection) -> list[Post]:
            if users.by_id(conn, user_id) is None:
                raise not_here("user")
            return posts.by_user(conn, user_id, before=asked.before, limit=asked.fetch)

        shown, headers = cut(request, asked, await database.run(work))
        return Response([PublicPost.of(each) for each in shown], headers=headers)

    @get(
        "/timeline",
        operation_id="getTimeline",
        **reached_by(Scope.POSTS_READ),
        summary="List your posts and those of the people you follow",
        tags=_TAGS,
        responses=responses(HTTP_401_UNAUTHORIZED),
    )
    async def timeline(
        request: Asking, limit: Limit = USUAL, before: Before = None
    ) -> Response[list[PublicPost]]:
        """Your posts and those of the people you follow, latest first; see ``Link``."""
        asked, own_id = page(limit, before), request.user.id
        found = await database.run(
            lambda conn: posts.timeline(conn, own_id, before=asked.before, limit=asked.fetch)
        )
        shown, headers = cut(request, asked, found)
        return Response([PublicPost.of(each) for each in shown], headers=headers)

    return [one_post, posts_of_user, timeline]
