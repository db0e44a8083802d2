"""Accounts: registering, logging in and out, and who a token belongs to."""

import time
from collections.abc import Callable
from typing import Final

import attrs
from sqlalchemy import Connection

from server.auth.emails import email_key
from server.auth.passwords import Passwords
from server.auth.scopes import Scope, known_scopes
from server.auth.tokens import (
    Revocations,
    Revoked,
    Token,
    TokenLifetime,
    digest_of,
    is_for_bots,
    looks_like_token,
    make_token,
)
from server.store import access_tokens, bot_tokens, users
from server.store.database import Database
from server.store.records import User
from server.support.errors import Missing, MissingScope, NotAuthenticated, WrongPassword


@attrs.frozen
class Identity:
    """Somebody who has shown a token."""

    user: User = attrs.field(repr=False)
    digest: bytes = attrs.field(repr=False)
    """The digest of the token."""
    renewed: bool = False
    """Whether this very use has made the token live longer."""
    scopes: frozenset[Scope] | None = None
    """How far a token for bots reaches; ``None``: this is a login, which reaches everywhere."""

    def check(self, *needed: Scope | None) -> None:
        """Make sure that the token reaches so far; ``None``: as far as a login alone does.

        Raises:
            MissingScope: naming the first scope that is missing.
        """
        for each in needed:
            if self.scopes is not None and each not in self.scopes:
                raise MissingScope(each)


@attrs.frozen
class Login:
    """By which token somebody is signed in, and to which account."""

    user_id: int
    digest: bytes = attrs.field(repr=False)

    @classmethod
    def of(cls, identity: Identity) -> "Login":
        """Remember who somebody was."""
        return cls(identity.user.id, identity.digest)


_USE_SECONDS: Final = 3600.0
"""How exactly it is kept when a token for bots was last used: each time is a write."""


class Accounts:
    """Who is who; knows nothing of HTTP, as WebSockets are opened with the same tokens."""

    def __init__(
        self,
        database: Database,
        passwords: Passwords,
        *,
        life: TokenLifetime | None = None,
        revocations: Revocations | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Keep accounts in ``database``.

        Args:
            database: the database in which they are kept.
            passwords: the maker and judge of hashes.
            life: the lifetime of tokens.
            revocations: the listeners to be told of tokens that end before their time.
            clock: gives Unix time in seconds.
        """
        self.life = life or TokenLifetime()
        self.revocations = revocations or Revocations()
        self._database = database
        self._passwords = passwords
        self._clock = clock

    async def register(self, *, username: str, email: str, password: str) -> tuple[User, Token]:
        """Make an account, and a token for it.

        Raises:
            Taken: if somebody has this ``email``, whatever its case.
            UnfitPassword: if the password cannot be one.
            ValueError: if ``email`` is longer than any address.
            TooManyPasswords: if too many are waiting.
            StoreUnavailable: if the database is gone.
        """
        kept = await self._passwords.hash(password)
        token = make_token()

        def work(conn: Connection) -> User:
            now = self._clock()
            user = users.create(
                conn,
                email=email,
                email_key=email_key(email),
                username=username,
                password_hash=kept,
                now=now,
            )
            self._insert(conn, token, user.id, now)
            return user

        return await self._database.run(work, write=True), token

    async def login(self, *, email: str, password: str) -> tuple[User, Token]:
        """Make a token for who knows the password; takes as long for an address nobody has.

        Both texts may be as they came and of any length.

        Raises:
            NotAuthenticated: if there is no such account, or the password is wrong.
            TooManyPasswords: if too many are waiting.
            StoreUnavailable: if the database is gone.
        """
        found = await self._find(email)
        verdict = await self._passwords.judge(found and found[1], password)
        if found is None or not verdict.right:
            raise NotAuthenticated(found and found[0].id)
        user, kept = found
        token = make_token()

        def work(conn: Connection) -> None:
            # Judging took a while: the password may be another one now, with which all tokens
            # of the old one have ended.
            if users.password_hash(conn, user.id) != kept:
                raise NotAuthenticated
            if verdict.new_hash is not None:
                users.set_password(conn, user.id, verdict.new_hash)
            self._insert(conn, token, user.id, self._clock())

        try:
            await self._database.run(work, write=True)
        except Missing:  # pragma: no cover - PostgreSQL alone, deleted between two statements
            raise NotAuthenticated from None
        return user, token

    async def identify(self, text: str) -> Identity:
        """Tell whose token this is; one that is used goes on living.

        Raises:
            NotAuthenticated: if it is nobody's, has expired or was revoked.
            StoreUnavailable: if the database is gone.
        """
        if not looks_like_token(text):
            raise NotAuthenticated
        digest, now = digest_of(text), self._clock()
        if is_for_bots(text):
            return await self._identify_bot(digest, now)
        found = await self._database.run(lambda conn: access_tokens.find(conn, digest, now))
        if found is None:
            raise NotAuthenticated
        user, expires_at = found
        later = self.life.renewed(expires_at, now)
        if later is not None:
            end = later
            await self._database.run(
                lambda conn: access_tokens.extend(conn, digest, end), write=True
            )
        return Identity(user, digest, renewed=later is not None)

    async def _identify_bot(self, digest: bytes, now: float) -> Identity:
        found = await self._database.run(lambda conn: bot_tokens.find(conn, digest, now))
        if found is None:
            raise NotAuthenticated
        user, token = found
        hour = now - now % _USE_SECONDS
        if token.used_at != hour:
            await self._database.run(
                lambda conn: bot_tokens.note_use(conn, digest, hour), write=True
            )
        return Identity(user, digest, scopes=known_scopes(token.scopes))

    async def is_signed_in(self, login: Login) -> bool:
        """Tell whether a token is still valid that was shown some time ago.

        Raises:
            StoreUnavailable: if the database is gone.
        """
        now = self._clock()

        def work(conn: Connection) -> bool:
            found = access_tokens.find(conn, login.digest, now) or bot_tokens.find(
                conn, login.digest, now
            )
            return found is not None and found[0].id == login.user_id

        return await self._database.run(work)

    async def logout(self, identity: Identity) -> None:
        """End the token; the others of the account stay.

        Raises:
            StoreUnavailable: if the database is gone.
        """
        await self._database.run(
            lambda conn: access_tokens.revoke(conn, identity.digest), write=True
        )
        self.revocations.publish(Revoked(identity.user.id, identity.digest))

    async def delete(self, identity: Identity) -> None:
        """Remove the account and all that is its own.

        Raises:
            StoreUnavailable: if the database is gone.
        """
        await self._database.run(lambda conn: users.delete(conn, identity.user.id), write=True)
        self.revocations.publish(Revoked(identity.user.id))

    async def change(
        self,
        identity: Identity,
        *,
        username: str | None = None,
        password: str | None = None,
        old_password: str | None = None,
    ) -> User:
        """Change the name, the password, or both at once; what is ``None`` stays.

        With the password all tokens of the account end but the one shown, those for bots included:
        whoever knew the old one may have made some.

        Raises:
            WrongPassword: if there is a new password and the old one is not right.
            NotAuthenticated: if the account is gone.
            UnfitPassword: if the new password cannot be one.
            TooManyPasswords: if too many are waiting.
            StoreUnavailable: if the database is gone.
        """
        user_id = identity.user.id
        kept = new = None
        if password is not None:
            if old_password is None:
                raise WrongPassword
            kept = await self._database.run(lambda conn: users.password_hash(conn, user_id))
            if not (await self._passwords.judge(kept, old_password)).right:
                raise WrongPassword
            new = await self._passwords.hash(password)

        def work(conn: Connection) -> User:
            if new is not None:
                if users.password_hash(conn, user_id) != kept:
                    raise WrongPassword
                users.set_password(conn, user_id, new)
                access_tokens.revoke_others(conn, user_id, identity.digest)
                bot_tokens.revoke_all(conn, user_id)
            if username is not None:
                changed = users.rename(conn, user_id, username)
            else:
                changed = users.by_id(conn, user_id)
            if changed is None:
                raise NotAuthenticated
            return changed

        changed = await self._database.run(work, write=True)
        if new is not None:
            self.revocations.publish(Revoked(user_id, spared=identity.digest))
        return changed

    async def _find(self, email: str) -> tuple[User, str] | None:
        """Find the account of an address with its hash."""
        try:
            key = email_key(email)
        except ValueError:
            key = ""  # which nobody has; the store is asked all the same, as that takes its time
        return await self._database.run(lambda conn: users.by_email(conn, key))

    def _insert(self, conn: Connection, token: Token, user_id: int, now: float) -> None:
        access_tokens.insert(
            conn, digest=token.digest, user_id=user_id, now=now, expires_at=self.life.end(now)
        )
