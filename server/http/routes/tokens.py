"""``/v1/tokens``: tokens for bots, which reach no further than their scopes."""

from datetime import datetime
from typing import Annotated, Any, Final

import attrs
from litestar import Response, delete, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.spec import Example
from litestar.params import JSONBody, Parameter
from litestar.status_codes import (
    HTTP_401_UNAUTHORIZED,
    HTTP_404_NOT_FOUND,
    HTTP_409_CONFLICT,
    HTTP_422_UNPROCESSABLE_ENTITY,
)

from protocol.codec import clean_name
from protocol.limits import NAME_LENGTH
from protocol.text import LINE_PATTERN
from server.auth.bots import BotTokens
from server.auth.scopes import Scope
from server.http.access import Asking
from server.http.bodies import Json, Strict, cleaned
from server.http.errors import RequestFailed, not_here, responses, unauthorized
from server.http.outputs import time_of
from server.http.paging import Id
from server.store.records import BotToken
from server.support.errors import NotAuthenticated, TooMany
from server.support.limits import DAY

LONGEST_DAYS: Final = 3650
"""The latest end that a token may be given; one without an end lives until it is revoked."""

_TAGS: Final = ["tokens"]


@attrs.frozen(kw_only=True)
class NewToken(Strict):
    """What a token is for."""

    name: Annotated[
        str,
        Parameter(
            description="What you call it; need not be unique",
            min_length=1,
            max_length=NAME_LENGTH,
            pattern=LINE_PATTERN,
            examples=[Example(value="standup bot")],
        ),
    ] = attrs.field(metadata=cleaned(clean_name))
    scopes: Annotated[
        list[Scope],
        Parameter(
            description="How far it reaches",
            min_items=1,
            max_items=len(Scope),
            schema_extra={"unique_items": True},
            examples=[Example(value=["rooms:open", "results:read"])],
        ),
    ]
    expires_in_days: Annotated[
        int | None,
        Parameter(
            description="When it ends by itself; null or absent: never",
            ge=1,
            le=LONGEST_DAYS,
            examples=[Example(value=90)],
        ),
    ] = None


@attrs.frozen(kw_only=True)
class ListedToken:
    """A token for a bot, without its secret."""

    id: Annotated[int, Parameter(description="The token's id; never reused")]
    name: Annotated[str, Parameter(description="What you call it")]
    scopes: Annotated[list[str], Parameter(description="How far it reaches")]
    created_at: Annotated[datetime, Parameter(description="When it was made (UTC)")]
    last_used_at: Annotated[
        datetime | None,
        Parameter(
            description="The beginning of the hour in which it was last used (UTC); null: never"
        ),
    ]
    expires_at: Annotated[
        datetime | None, Parameter(description="When it ends by itself (UTC); null: never")
    ]


@attrs.frozen(kw_only=True)
class MadeToken(ListedToken):
    """A token for a bot that has just been made."""

    token: Annotated[
        str,
        Parameter(description="The secret, for `Authorization: Bearer`; never shown again"),
    ]


def token_handlers(bots: BotTokens) -> list[HTTPRouteHandler]:
    """Make the handlers; a login reaches them, and no token for bots."""

    @post(
        "/v1/tokens",
        dto=Json[NewToken],
        return_dto=None,
        operation_id="createToken",
        summary="Make a token for a bot",
        tags=_TAGS,
        responses=responses(HTTP_401_UNAUTHORIZED, HTTP_409_CONFLICT, changing=True, body=True),
    )
    async def create_token(request: Asking, data: JSONBody[NewToken]) -> Response[MadeToken]:
        """Get a token that acts in your name, as far as its scopes reach, until it is revoked.

        This answer alone has the secret. A new password ends all tokens for bots, too.
        """
        _check(data)
        days = data.expires_in_days
        try:
            made, token = await bots.make(
                request.auth,
                name=data.name,
                scopes=data.scopes,
                seconds=None if days is None else days * DAY,
            )
        except NotAuthenticated:
            raise unauthorized("the login has ended") from None
        except TooMany as too_many:
            message = f"{too_many}; revoke one of yours first"
            raise RequestFailed(HTTP_409_CONFLICT, message) from None
        return Response(MadeToken(token=token.text, **_told(made)))

    @get(
        "/v1/tokens",
        operation_id="listTokens",
        summary="List your tokens for bots",
        tags=_TAGS,
        responses=responses(HTTP_401_UNAUTHORIZED),
    )
    async def list_tokens(request: Asking) -> Response[list[ListedToken]]:
        """All that are valid, the latest first; the secrets are not known here either."""
        return Response([ListedToken(**_told(each)) for each in await bots.of(request.auth)])

    @delete(
        "/v1/tokens/{token_id:int}",
        operation_id="deleteToken",
        summary="Revoke a token for a bot",
        tags=_TAGS,
        responses=responses(HTTP_401_UNAUTHORIZED, HTTP_404_NOT_FOUND, changing=True),
    )
    async def delete_token(request: Asking, token_id: Id) -> None:
        """End one of your tokens at once; WebSockets that were opened with it are closed."""
        if not await bots.revoke(request.auth, token_id):
            raise not_here("token")

    return [create_token, list_tokens, delete_token]


def _check(wish: NewToken) -> None:
    problem = None
    if not wish.scopes:
        problem = "scopes", "must have one at least"
    elif len(set(wish.scopes)) < len(wish.scopes):
        problem = "scopes", "must not have one twice"
    elif wish.expires_in_days is not None and not 1 <= wish.expires_in_days <= LONGEST_DAYS:
        problem = "expires_in_days", f"must be from 1 to {LONGEST_DAYS}"
    if problem is not None:
        field, message = problem
        raise RequestFailed(HTTP_422_UNPROCESSABLE_ENTITY, message, field=field)


def _told(token: BotToken) -> dict[str, Any]:
    return {
        "id": token.id,
        "name": token.name,
        "scopes": list(token.scopes),
        "created_at": time_of(token.created_at),
        "last_used_at": None if token.used_at is None else time_of(token.used_at),
        "expires_at": None if token.expires_at is None else time_of(token.expires_at),
    }
