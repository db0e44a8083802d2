"""Who asks, from where and how often: what stands before the handlers of accounts."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import attrs
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.status_codes import HTTP_400_BAD_REQUEST, HTTP_401_UNAUTHORIZED, HTTP_403_FORBIDDEN
from litestar.types import Scope as AsgiScope

from server.auth.accounts import Accounts, Identity
from server.auth.attempts import Attempts
from server.auth.origin import OTHER_SITE, same_origin
from server.auth.proxies import Proxies, Secure
from server.auth.scopes import Scope
from server.auth.tokens import CHALLENGE, COOKIE, LOG_IN_AGAIN, LOG_IN_FIRST, Token, bearer
from server.http.errors import RequestFailed, out_of_scope, too_many, unauthorized
from server.http.parameters import unknown_parameter
from server.store.records import User
from server.support.errors import (
    MissingScope,
    NotAuthenticated,
    StoreUnavailable,
    TooManyAttempts,
    TooManyPasswords,
)

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_RENEWED: Final = "parley_renewed_cookie"
_SCOPE: Final = "scope"

Connection = ASGIConnection[Any, Any, Any, Any]
Asking = Request[User, Identity, Any]
"""A request that :meth:`Access.authenticate` has let through."""


@attrs.frozen(kw_only=True)
class AccessRules:
    """What an operator decides about access."""

    proxies: Proxies
    secure_cookies: Secure
    """``auto``: where a trusted proxy says that the browser asks by HTTPS."""
    login_limit: int
    """Wrong passwords a minute, for one address and account; 0 for no limit."""
    register_limit: int
    """Registrations in half an hour, for one address; 0 for no limit."""


class Access:
    """Guards for handlers, limits on attempts, and the cookie that carries a token."""

    def __init__(self, accounts: Accounts, rules: AccessRules) -> None:
        """Ask ``accounts`` who somebody is."""
        self._accounts = accounts
        self._rules = rules
        self._attempts = Attempts(rules.login_limit, rules.register_limit)

    async def authenticate(self, connection: Connection, handler: BaseRouteHandler) -> None:
        """Let those through who show a valid token, in ``Authorization`` or in the cookie.

        A token for bots must have the scope by which the handler is :func:`reached_by` bots.

        Raises:
            RequestFailed: 401, or 403 if the token does not reach so far.
            StoreUnavailable: if nobody can be known now.
        """
        text = _shown(connection) or connection.cookies.get(COOKIE)
        if not text:
            raise unauthorized(LOG_IN_FIRST)
        await self._identify(connection, handler, text)

    async def recognise(self, connection: Connection, handler: BaseRouteHandler) -> None:
        """Let everybody through; know those who show a token, as :meth:`authenticate` does.

        A token in ``Authorization`` must be valid. A cookie that is not any more is as good as
        none: nobody can take it out of a browser but a login.

        Raises:
            RequestFailed: 401, or 403 if the token does not reach so far.
            StoreUnavailable: if nobody can be known now.
        """
        text, cookie = _shown(connection), connection.cookies.get(COOKIE)
        if text:
            await self._identify(connection, handler, text)
        elif cookie:
            with suppress(_Unknown):
                await self._identify(connection, handler, cookie)

    async def _identify(self, connection: Connection, handler: BaseRouteHandler, text: str) -> None:
        try:
            identity = await self._accounts.identify(text)
        except NotAuthenticated:
            raise _Unknown from None
        try:
            identity.check(handler.opt.get(_SCOPE))
        except MissingScope as missing:
            raise out_of_scope(missing) from None
        connection.scope["user"] = identity.user
        connection.scope["auth"] = identity
        if identity.renewed and text == connection.cookies.get(COOKIE):
            # Or the browser would forget it when it would have expired at first.
            connection.scope["state"][_RENEWED] = self.cookie(connection, text)

    def count_request(self, request: Connection) -> None:
        """Count a request to log in, before its body is decoded.

        Raises:
            RequestFailed: 429.
        """
        with _told():
            self._attempts.count_request(self.address(request))

    def count_registration(self, request: Connection) -> None:
        """Count a request to register, before its body is decoded.

        Raises:
            RequestFailed: 429.
        """
        with _told():
            self._attempts.count_registration(self.address(request))

    @contextmanager
    def login(self, request: Connection, email: str) -> Iterator[None]:
        """Count an attempt to log in, which fails if ``NotAuthenticated`` is raised inside.

        Raises:
            RequestFailed: 429, if too many have failed; 401.
        """
        with _told():
            attempt = self._attempts.begin(self.address(request), email)
        try:
            yield
        except NotAuthenticated as wrong:
            attempt.failed(wrong.user_id)
            raise unauthorized("there is no account with this e-mail and password") from None
        except (StoreUnavailable, TooManyPasswords):
            attempt.undone()
            raise
        attempt.succeeded()

    @contextmanager
    def old_password(self, user: User) -> Iterator[None]:
        """Count an attempt to change a password, unless the old one turns out to be right.

        Raises:
            RequestFailed: 429, if too many have failed.
        """
        with _told():
            take_back = self._attempts.begin_old_password(user.id)
        try:
            yield
        except (StoreUnavailable, TooManyPasswords):
            take_back()
            raise
        take_back()

    def registered(self, request: Connection, email: str) -> None:
        """Remember that the owner of a new account has been at the address of this request."""
        self._attempts.remember(self.address(request), email)

    def address(self, connection: Connection) -> str:
        """Say where a request comes from, in the form in which requests are counted."""
        return self._rules.proxies.client(_peer(connection), connection.scope["headers"])

    def cookie(self, connection: Connection, text: str) -> str:
        """Make the header that lets a browser keep a token for its lifetime."""
        return self._cookie(connection, text, int(self._accounts.life.seconds))

    def no_cookie(self, connection: Connection) -> str:
        """Make the header that lets a browser forget it."""
        return self._cookie(connection, "", 0)

    def _cookie(self, connection: Connection, text: str, seconds: int) -> str:
        # Lax: sent when a link elsewhere leads here, but with no request from a page elsewhere.
        cookie = f"{COOKIE}={text}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax"
        return cookie + "; Secure" if self._is_secure(connection) else cookie

    def _is_secure(self, connection: Connection) -> bool:
        if self._rules.secure_cookies != "auto":
            return self._rules.secure_cookies == "on"
        return self._rules.proxies.secure(_peer(connection), connection.scope["headers"])


class _Unknown(RequestFailed):
    """A token that is worth nothing."""

    def __init__(self) -> None:
        super().__init__(HTTP_401_UNAUTHORIZED, LOG_IN_AGAIN, headers=CHALLENGE)


def _shown(connection: Connection) -> str | None:
    return bearer(connection.headers.get("authorization", ""))


def reached_by(scope: Scope) -> dict[str, Any]:
    """Make the part of a handler by which tokens for bots with this scope reach it.

    Without it, none does.
    """
    return {"opt": {_SCOPE: scope}, "security": [{"botToken": [scope]}]}


@contextmanager
def _told() -> Iterator[None]:
    """Answer 429 for what is tried too often."""
    try:
        yield
    except TooManyAttempts as refused:
        raise too_many(refused.seconds) from None


def set_cookie(access: Access, request: Connection, token: Token) -> dict[str, str]:
    """Make the headers of an answer that hands out a token."""
    return {"Set-Cookie": access.cookie(request, token.text), "Cache-Control": "no-store"}


def renewed_cookie(scope: AsgiScope) -> str | None:
    """Find the cookie that any answer to this request must set."""
    found: str | None = scope.get("state", {}).get(_RENEWED)
    return found


async def refuse_other_origins(connection: Connection, handler: BaseRouteHandler) -> None:
    """Let nobody change anything in the name of a browser whose page is not ours.

    Also where no cookie comes along but one is set: else a page of another site could log
    its reader in as somebody else.

    Raises:
        RequestFailed: 403.
    """
    if connection.scope.get("method") in _SAFE:
        return
    if COOKIE not in connection.cookies and not handler.opt.get("sets_cookie"):
        return
    if not same_origin(connection.scope["headers"]):
        raise RequestFailed(HTTP_403_FORBIDDEN, OTHER_SITE)


async def refuse_unknown_parameters(connection: Connection, handler: BaseRouteHandler) -> None:
    """Refuse query parameters that a handler does not have, as they would change nothing.

    Raises:
        RequestFailed: 400.
    """
    name = unknown_parameter(connection, handler)
    if name is not None:
        raise RequestFailed(HTTP_400_BAD_REQUEST, "is not a parameter of this path", field=name)


def _peer(connection: Connection) -> str | None:
    client = connection.scope["client"]
    return client[0] if client else None
