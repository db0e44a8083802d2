"""The routes for people with accounts, put together behind their guards."""

from collections.abc import Sequence
from typing import Final

import attrs
from litestar import Router
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.openapi.spec import Components, SecurityScheme

from server.auth.accounts import Accounts
from server.auth.scopes import PURPOSES, Scope
from server.auth.tokens import COOKIE
from server.http.access import Access, AccessRules, Connection
from server.http.routes.accounts import entry_handlers, own_handlers
from server.http.routes.posts import reading_handlers, writing_handlers
from server.http.routes.users import follow_handlers, user_handlers
from server.store.database import Database

SECURITY: Final = Components(
    security_schemes={
        "cookie": SecurityScheme(
            type="apiKey",
            name=COOKIE,
            security_scheme_in="cookie",
            description="The cookie that `/register` and `/login` set",
        ),
        "bearer": SecurityScheme(
            type="http",
            scheme="bearer",
            description="The same token in the header `Authorization: Bearer`",
        ),
        "botToken": SecurityScheme(
            type="http",
            scheme="bearer",
            description="A token for bots, in `Authorization: Bearer`. Beside it stands the scope "
            "that it must have:\n\n" + "\n".join(f"- `{each}`: {PURPOSES[each]}" for each in Scope),
        ),
        "resumeToken": SecurityScheme(
            type="http",
            scheme="bearer",
            description="The `token` of a member's `welcome`, in `Authorization: Bearer`",
        ),
        "ownerKey": SecurityScheme(
            type="http",
            scheme="bearer",
            description="The key that opening a room gave, in `Authorization: Bearer`",
        ),
    }
)


@attrs.frozen(kw_only=True)
class Social:
    """What the routes of accounts, follows and posts need."""

    accounts: Accounts
    database: Database
    rules: AccessRules
    more: Sequence[HTTPRouteHandler] = ()
    """Further handlers that need a token; see :data:`~server.http.access.Asking`."""


def social_handlers(social: Social, access: Access) -> list[HTTPRouteHandler | Router]:
    """Make the routes; all except registering and logging in need a token."""

    # Litestar deep-copies guards, which a bound method of ``access`` would not survive.
    async def authenticate(connection: Connection, handler: BaseRouteHandler) -> None:
        if connection.scope.get("method") != "OPTIONS":  # answered by Litestar itself
            await access.authenticate(connection, handler)

    behind = Router(
        "/",
        route_handlers=[
            *own_handlers(social.accounts, access),
            *user_handlers(social.database),
            *follow_handlers(social.database),
            *writing_handlers(social.database),
            *reading_handlers(social.database),
            *social.more,
        ],
        guards=[authenticate],
        security=[{"cookie": []}, {"bearer": []}],
    )
    return [*entry_handlers(social.accounts, access), behind]
