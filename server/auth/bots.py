"""Tokens for bots: an account makes them, sees them in a list, and revokes them."""

import time
from collections.abc import Callable, Iterable

from sqlalchemy import Connection

from server.auth.accounts import Identity
from server.auth.scopes import Scope
from server.auth.tokens import Revocations, Revoked, Token, make_bot_token
from server.store import access_tokens, bot_tokens
from server.store.database import Database
from server.store.records import BotToken
from server.support.errors import Missing, NotAuthenticated


class BotTokens:
    """The tokens for bots of all accounts; :class:`~server.auth.accounts.Accounts` judges them."""

    def __init__(
        self,
        database: Database,
        revocations: Revocations,
        *,
        most: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Keep them in ``database``.

        Args:
            database: the database in which they are kept.
            revocations: the listeners to be told of tokens that are revoked.
            most: tokens that one account may have.
            clock: gives Unix time in seconds.
        """
        self._database = database
        self._revocations = revocations
        self._most = most
        self._clock = clock

    async def make(
        self, identity: Identity, *, name: str, scopes: Iterable[Scope], seconds: float | None
    ) -> tuple[BotToken, Token]:
        """Make a token, whose text nobody can find out any more later.

        Args:
            identity: the login of whose it is to be.
            name: for people.
            scopes: how far it reaches.
            seconds: after which it ends by itself; ``None`` for never.

        Raises:
            NotAuthenticated: if the account is gone, or the login has ended.
            TooMany: if the account has as many as it may have.
            StoreUnavailable: if the database is gone.
        """
        token = make_bot_token()
        wanted = frozenset(scopes)

        def work(conn: Connection) -> BotToken:
            now = self._clock()
            made = bot_tokens.create(
                conn,
                digest=token.digest,
                user_id=identity.user.id,
                name=name,
                scopes=[each for each in Scope if each in wanted],
                now=now,
                expires_at=None if seconds is None else now + seconds,
                most=self._most,
            )
            # A new password may have ended the login meanwhile, and all tokens with it.
            if access_tokens.find(conn, identity.digest, now) is None:
                raise NotAuthenticated
            return made

        try:
            return await self._database.run(work, write=True), token
        except Missing:
            raise NotAuthenticated from None

    async def of(self, identity: Identity) -> list[BotToken]:
        """List the tokens of an account that are valid, the latest first.

        Raises:
            StoreUnavailable: if the database is gone.
        """
        return await self._database.run(
            lambda conn: bot_tokens.of_user(conn, identity.user.id, self._clock())
        )

    async def revoke(self, identity: Identity, id: int) -> bool:  # noqa: A002
        """End a token at once, and what is open by it; tell whether the account had it.

        Raises:
            StoreUnavailable: if the database is gone.
        """
        digest = await self._database.run(
            lambda conn: bot_tokens.revoke(conn, identity.user.id, id), write=True
        )
        if digest is None:
            return False
        self._revocations.publish(Revoked(identity.user.id, digest))
        return True
