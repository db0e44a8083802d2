"""Who asks, from where and how often: what stands before the handlers of accounts."""

from typing import Any, Final

import attrs
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.status_codes import HTTP_403_FORBIDDEN
from litestar.types import Scope

from server.auth.accounts import (
    Accounts,
    Identity,
)
from server.auth.emails import email_key
from server.auth.origin import same_origin
from server.auth.proxies import Proxies, Secure
from server.auth.throttle import Throttle
from server.auth.tokens import COOKIE, Token, bearer
from server.http.errors import RequestFailed, too_many, unauthorized
from server.store.records import User
from server.support.errors import NotAuthenticated

ATTEMPTS_SECONDS: Final = 60.0
REGISTRATIONS_SECONDS: Final = 1800.0

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_RENEWED: Final = "parley_renewed_cookie"

Connection = ASGIConnection[Any, Any, Any, Any]
Asking = Request[User, Identity, Any]
"""A request that :meth:`Access.authenticate` has let through."""


@attrs.frozen(kw_only=True)
class AccessRules:
    """What an operator decides about it; the defaults are those of the settings."""

    proxies: Proxies
    secure_cookies: Secure
    """``auto``: where a trusted proxy says that the browser asks by HTTPS."""
    login_limit: int
    """Attempts a minute, for each address and for each account; 0 for no limit."""
    register_limit: int
    """Registrations in half an hour, for each address; 0 for no limit."""


class Access:
    """Guards for handlers, limits on attempts, and the cookie that carries a token."""

    def __init__(self, accounts: Accounts, rules: AccessRules) -> None:
        """Ask ``accounts`` who somebody is."""
        self._accounts = accounts
        self._rules = rules
        self._by_address = Throttle(rules.login_limit, ATTEMPTS_SECONDS)
        self._by_account = Throttle(rules.login_limit, ATTEMPTS_SECONDS)
        self._registrations = Throttle(rules.register_limit, REGISTRATIONS_SECONDS)

    async def authenticate(self, connection: Connection) -> None:
        """Let those through who show a valid token, in ``Authorization`` or in the cookie.

        Raises:
            RequestFailed: 401.
            StoreUnavailable: if nobody can be known now.
        """
        cookie = connection.cookies.get(COOKIE)
        text = bearer(connection.headers.get("authorization", "")) or cookie
        if not text:
            raise unauthorized("log in first: this needs a token")
        try:
            identity = await self._accounts.identify(text)
        except NotAuthenticated:
            raise unauthorized("log in again: the token is not valid, or no longer") from None
        connection.scope["user"] = identity.user
        connection.scope["auth"] = identity
        if identity.renewed and text == cookie:
            # Or the browser would forget it when it would have expired at first.
            connection.scope["state"][_RENEWED] = self.cookie(connection, text)

    def count_login(self, request: Connection, email: str) -> None:
        """Count an attempt to log in.

        Raises:
            RequestFailed: 429, if there were too many from there, or for this account.
        """
        self._take(self._by_address, self.address(request))
        self._take(self._by_account, email_key(email))

    def count_old_password(self, user: User) -> None:
        """Count an attempt to change a password: the old one can be guessed here as well.

        Raises:
            RequestFailed: 429.
        """
        self._take(self._by_account, email_key(user.email))

    def count_registration(self, request: Connection) -> None:
        """Count a registration.

        Raises:
            RequestFailed: 429.
        """
        self._take(self._registrations, self.address(request))

    def address(self, connection: Connection) -> str:
        """Say where a request comes from."""
        return self._rules.proxies.client(_peer(connection), connection.scope["headers"])

    def cookie(self, connection: Connection, text: str) -> str:
        """Make the header that lets a browser keep a token."""
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

    def _take(self, throttle: Throttle, key: str) -> None:
        seconds = throttle.take(key)
        if seconds:
            raise too_many(seconds)


def set_cookie(access: Access, request: Connection, token: Token) -> dict[str, str]:
    """Make the headers of an answer that hands out a token."""
    return {"Set-Cookie": access.cookie(request, token.text), "Cache-Control": "no-store"}


def renewed_cookie(scope: Scope) -> str | None:
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
        raise RequestFailed(HTTP_403_FORBIDDEN, "a page of another site may not do this")


def _peer(connection: Connection) -> str | None:
    client = connection.scope["client"]
    return client[0] if client else None
