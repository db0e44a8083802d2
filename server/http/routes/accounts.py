"""Routes of accounts: register, log in and out, and one's own account."""

from contextlib import nullcontext
from typing import Any

from litestar import Request, Response, delete, get, patch, post
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.params import JSONBody
from litestar.status_codes import (
    HTTP_200_OK,
    HTTP_202_ACCEPTED,
    HTTP_401_UNAUTHORIZED,
    HTTP_403_FORBIDDEN,
    HTTP_409_CONFLICT,
    HTTP_429_TOO_MANY_REQUESTS,
)

from server.auth.accounts import Accounts
from server.http.access import Access, Asking, Connection, set_cookie
from server.http.bodies import Json
from server.http.errors import RequestFailed, responses, unauthorized
from server.http.inputs import Change, Login, Registration
from server.http.outputs import Done, OwnUser
from server.support.errors import NotAuthenticated, Taken, WrongPassword

_TAGS = ["accounts"]
_PRIVATE = {"Cache-Control": "no-store"}


def entry_handlers(accounts: Accounts, access: Access) -> list[HTTPRouteHandler]:
    """Make the handlers that need no token."""

    # Guards come before the body is decoded: who asks too often costs no more than that.
    async def count_registration(connection: Connection, _: BaseRouteHandler) -> None:
        access.count_registration(connection)

    async def count_login(connection: Connection, _: BaseRouteHandler) -> None:
        access.count_request(connection)

    @post(
        "/register",
        guards=[count_registration],
        dto=Json[Registration],
        return_dto=None,
        opt={"sets_cookie": True},
        operation_id="registerAccount",
        summary="Register an account",
        tags=_TAGS,
        security=[],
        responses=responses(
            HTTP_409_CONFLICT, HTTP_429_TOO_MANY_REQUESTS, changing=True, body=True
        ),
    )
    async def register(
        request: Request[Any, Any, Any], data: JSONBody[Registration]
    ) -> Response[OwnUser]:
        """Log in to a new account at once: the answer sets the cookie ``auth_token``.

        The token in it may be sent as ``Authorization: Bearer`` as well.
        """
        try:
            user, token = await accounts.register(
                username=data.username, email=data.email, password=data.password
            )
        except Taken as taken:
            raise RequestFailed(
                HTTP_409_CONFLICT, "has an account already", field=taken.field
            ) from None
        access.registered(request, data.email)
        return Response(OwnUser.of(user), headers=set_cookie(access, request, token))

    @post(
        "/login",
        guards=[count_login],
        dto=Json[Login],
        return_dto=None,
        opt={"sets_cookie": True},
        status_code=HTTP_200_OK,
        operation_id="logIn",
        summary="Log in",
        tags=_TAGS,
        security=[],
        responses=responses(
            HTTP_401_UNAUTHORIZED, HTTP_429_TOO_MANY_REQUESTS, changing=True, body=True
        ),
    )
    async def login(request: Request[Any, Any, Any], data: JSONBody[Login]) -> Response[OwnUser]:
        """Get a token, in the cookie ``auth_token``, for an address and its password."""
        with access.login(request, data.email):
            user, token = await accounts.login(email=data.email, password=data.password)
        return Response(OwnUser.of(user), headers=set_cookie(access, request, token))

    return [register, login]


def own_handlers(accounts: Accounts, access: Access) -> list[HTTPRouteHandler]:
    """Make the handlers for one's own account."""

    @post(
        "/logout",
        status_code=HTTP_202_ACCEPTED,
        operation_id="logOut",
        summary="Log out",
        tags=_TAGS,
        responses=responses(HTTP_401_UNAUTHORIZED, changing=True),
    )
    async def logout(request: Asking) -> Response[Done]:
        """End the token that was shown; others of the account stay valid."""
        await accounts.logout(request.auth)
        headers = {"Set-Cookie": access.no_cookie(request), **_PRIVATE}
        return Response(Done("you are logged out"), headers=headers)

    @delete(
        "/delete",
        operation_id="deleteAccount",
        summary="Delete your account",
        tags=_TAGS,
        responses=responses(HTTP_401_UNAUTHORIZED, changing=True),
    )
    async def delete_account(request: Asking) -> Response[None]:
        """Remove the account with its posts, follows and tokens, at once and for ever."""
        await accounts.delete(request.auth)
        return Response(None, headers={"Set-Cookie": access.no_cookie(request)})

    @get(
        "/users/me",
        operation_id="getOwnAccount",
        summary="Get your account",
        tags=_TAGS,
        responses=responses(HTTP_401_UNAUTHORIZED),
    )
    async def own_account(request: Asking) -> Response[OwnUser]:
        """Who the token belongs to, e-mail address included."""
        return Response(OwnUser.of(request.user), headers=_PRIVATE)

    @patch(
        "/users/me",
        dto=Json[Change],
        return_dto=None,
        operation_id="changeOwnAccount",
        summary="Change your name or password",
        tags=_TAGS,
        responses=responses(
            HTTP_401_UNAUTHORIZED, HTTP_429_TOO_MANY_REQUESTS, changing=True, body=True
        ),
    )
    async def change_account(request: Asking, data: JSONBody[Change]) -> Response[OwnUser]:
        """Change what is given; a new password ends all tokens but the one shown."""
        if data.password is not None and data.old_password is None:
            # No 422, as the schema cannot tell one from the other: null stands for absent.
            raise RequestFailed(
                HTTP_403_FORBIDDEN,
                "is missing; it is needed with a new password",
                field="old_password",
            )
        guessing = nullcontext() if data.password is None else access.old_password(request.user)
        try:
            with guessing:
                user = await accounts.change(
                    request.auth,
                    username=data.username,
                    password=data.password,
                    old_password=data.old_password,
                )
        except WrongPassword:
            raise RequestFailed(
                HTTP_403_FORBIDDEN, "is not the password of this account", field="old_password"
            ) from None
        except NotAuthenticated:
            raise unauthorized("the account is gone") from None
        return Response(OwnUser.of(user), headers=_PRIVATE)

    return [logout, delete_account, own_account, change_account]
