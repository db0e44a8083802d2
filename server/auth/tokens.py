"""Tokens that say who somebody is: how they are made, how long they live, how they end."""

import hashlib
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import attrs

from server.support.limits import DAY

COOKIE: Final = "auth_token"
"""The name of the cookie in which browsers keep a token."""

LOG_IN_FIRST: Final = "log in first: this needs a token"
LOG_IN_AGAIN: Final = "log in again: the token is not valid, or no longer"
"""What is said to whoever shows no token, or none that is worth anything."""

CHALLENGE: Final = {"WWW-Authenticate": "Bearer"}
"""The header of such a refusal (RFC 6750 section 3)."""


def scope_challenge(scope: str | None) -> dict[str, str]:
    """Make the header of the refusal of a token for bots that lacks a scope."""
    lacking = "" if scope is None else f', scope="{scope}"'
    return {"WWW-Authenticate": f'Bearer error="insufficient_scope"{lacking}'}


TOKEN_BYTES: Final = 32
"""256 bits: nobody guesses one, so a plain digest of it is enough, without salt or stretching."""

BOT_PREFIX: Final = "parley_"
"""Begins the tokens for bots, so that programs which look for lost secrets know them."""

_TOKEN: Final = re.compile(rf"(?:{BOT_PREFIX})?[A-Za-z0-9_-]{{43}}")
_BOT_LENGTH: Final = len(BOT_PREFIX) + 43

LIFETIME: Final = 30 * DAY
RENEWED_BEFORE: Final = 0.5
"""The share of its lifetime below which the use of a token renews it."""
RENEWED_EVERY: Final = 60.0
"""The least seconds between two renewals of one token, as each is a write."""


@attrs.frozen
class Token:
    """A token on its way to its owner; kept is the digest alone."""

    text: str = attrs.field(repr=False)
    digest: bytes = attrs.field(repr=False)


def make_token() -> Token:
    """Make a token from the system's secure random source."""
    text = secrets.token_urlsafe(TOKEN_BYTES)
    return Token(text, digest_of(text))


def make_bot_token() -> Token:
    """Make a token for a bot, as random as any."""
    text = BOT_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
    return Token(text, digest_of(text))


def is_for_bots(text: str) -> bool:
    """Tell which kind a text is that looks like a token."""
    return len(text) == _BOT_LENGTH


def looks_like_token(text: str) -> bool:
    """Tell whether this can be a token at all; if not, nobody need be asked."""
    return _TOKEN.fullmatch(text) is not None


def bearer(header: str) -> str | None:
    """Read the token out of ``Authorization`` (RFC 6750 section 2.1), if that is what it holds."""
    scheme, _, token = header.strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def digest_of(text: str) -> bytes:
    """Make the digest that is kept of a token: whoever reads the database cannot log in with it."""
    return hashlib.sha256(text.encode()).digest()


@attrs.frozen
class TokenLifetime:
    """How long tokens live, counted roughly from their last use."""

    seconds: float = LIFETIME
    """The lifetime in seconds."""

    def end(self, now: float) -> float:
        """Say when a token that is made now expires, in Unix time."""
        return now + self.seconds

    def renewed(self, expires_at: float, now: float) -> float | None:
        """Say until when a token that is used now shall live; ``None`` if nothing changes."""
        left = expires_at - now
        if left >= self.seconds * RENEWED_BEFORE or self.seconds - left < RENEWED_EVERY:
            return None
        return self.end(now)


@attrs.frozen
class Revoked:
    """The news that tokens are no longer valid."""

    user_id: int
    digest: bytes | None = attrs.field(default=None, repr=False)
    """The digest of the token that has ended; ``None`` for all tokens of the user."""
    spared: bytes | None = attrs.field(default=None, repr=False)
    """The digest of the one token that stays valid, if ``digest`` is ``None``."""

    @property
    def everything(self) -> bool:
        """Whether no token is left, because the account is gone."""
        return self.digest is None and self.spared is None

    def covers(self, user_id: int, digest: bytes) -> bool:
        """Tell whether a token of this user has ended."""
        if user_id != self.user_id:
            return False
        return digest != self.spared if self.digest is None else digest == self.digest


Listener = Callable[[Revoked], None]


class Revocations:
    """Tells whoever serves somebody that tokens have ended before their time.

    All is synchronous: when :meth:`publish` returns, every listener knows.
    """

    def __init__(self) -> None:
        """Begin without listeners."""
        self._listeners: dict[object, Listener] = {}

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Tell ``listener``, which must not raise, from now on.

        Returns:
            A function that ends that; calling it again is harmless.
        """
        key = object()
        self._listeners[key] = listener

        def unsubscribe() -> None:
            self._listeners.pop(key, None)

        return unsubscribe

    @contextmanager
    def collected(self) -> Iterator[list[Revoked]]:
        """Collect what is revoked meanwhile: a look-up may not see that any more."""
        revoked: list[Revoked] = []
        unsubscribe = self.subscribe(revoked.append)
        try:
            yield revoked
        finally:
            unsubscribe()

    def publish(self, revoked: Revoked) -> None:
        """Tell every listener, those included that end their subscription at it."""
        for listener in tuple(self._listeners.values()):
            listener(revoked)
