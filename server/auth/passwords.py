"""Passwords: which are acceptable, and their hashes by Argon2id, made and judged in threads."""

import os
import secrets
from typing import Any, Final, Protocol

import argon2
import attrs
import trio
from argon2.exceptions import InvalidHashError, VerificationError

from protocol.text import clean_secret
from server.support import threads
from server.support.errors import TooManyPasswords, UnfitPassword

PARAMETERS: Final = argon2.Parameters(
    type=argon2.Type.ID,
    version=argon2.low_level.ARGON2_VERSION,
    salt_len=16,
    hash_len=32,
    time_cost=2,
    memory_cost=19 * 1024,  # KiB
    parallelism=1,
)
"""The OWASP Password Storage Cheat Sheet's second choice of equal strength: 19 MiB, two passes.

Of its choices the one that disturbs the event loop's cache least. One lane, because a second is a
second thread for each hash; salt and tag as RFC 9106 section 4 has them.
"""

SHORTEST: Final = 8
LONGEST: Final = 128
"""Characters as they came; NIST SP 800-63B section 5.1.1.2 asks for 8, and to allow 64 or more."""

AT_ONCE: Final = 8
"""The most hashes made at the same time, however many cores there are: 19 MiB each."""

WAITING: Final = 100
"""Passwords that may wait for a thread: some 3 s of work for one core."""

RETRY_SECONDS: Final = 5


class Hasher(Protocol):
    """What is asked of ``argon2.PasswordHasher``."""

    def hash(self, password: str, /) -> str:
        """Make a hash with a new salt."""

    def verify(self, hash: str, password: str, /) -> Any:  # noqa: A002 - as named there
        """Return if the password is the right one, or else raise ``VerificationError``."""

    def check_needs_rehash(self, hash: str, /) -> bool:  # noqa: A002 - as named there
        """Tell whether a hash was made with other parameters."""


@attrs.frozen
class Verdict:
    """Whether a password is the right one."""

    right: bool
    new_hash: str | None = attrs.field(default=None, repr=False)
    """To be kept in place of the old one, which was made with other parameters."""


def prepare(password: str) -> str:
    """Bring a password into the one form that is hashed; see ``protocol.text.clean_secret``.

    Raises:
        UnfitPassword: if it contains control characters, or is too short or too long.
    """
    try:
        return clean_secret(password, SHORTEST, LONGEST)
    except ValueError as error:
        raise UnfitPassword(str(error)) from None


class Passwords:
    """Makes and judges hashes, few at once, with a bounded queue.

    *Rate*: as many threads as there are cores but one, so that the event loop keeps one; Argon2
    runs without the GIL. *Memory*: ``AT_ONCE`` times that of one hash. *Policy*: who comes when
    the queue is full is refused at once.
    """

    def __init__(
        self,
        hasher: Hasher | None = None,
        *,
        threads: int | None = None,
        waiting: int = WAITING,
    ) -> None:
        """Make one hash, which takes some 30 ms.

        Args:
            hasher: makes the hashes; by default with ``PARAMETERS``.
            threads: the number of threads that hash at the same time.
            waiting: the number of passwords that may wait for one of them.
        """
        self._hasher = hasher or argon2.PasswordHasher.from_parameters(PARAMETERS)
        most = threads or max(1, min(AT_ONCE, (os.cpu_count() or 1) - 1))
        self._limiter = trio.CapacityLimiter(most)
        self._waiting = waiting
        # Made now: the first to ask for an unknown address must not wait for it.
        self._decoy = self._hasher.hash(secrets.token_urlsafe())

    async def hash(self, password: str) -> str:
        """Make the hash to be kept.

        Raises:
            UnfitPassword: see :func:`prepare`.
            TooManyPasswords: if the queue is full.
        """
        prepared = prepare(password)
        self._admit()
        return await threads.run(self._hasher.hash, prepared, limiter=self._limiter)

    async def judge(self, kept: str | None, password: str) -> Verdict:
        """Tell whether ``password`` is the one that ``kept`` was made of.

        Without a hash, or with a password that cannot be right, the same work is done in vain:
        how long the answer takes tells nothing.

        Raises:
            TooManyPasswords: if the queue is full.
        """
        self._admit()
        return await threads.run(self._judge, kept, password, limiter=self._limiter)

    def _admit(self) -> None:
        if self._limiter.statistics().tasks_waiting >= self._waiting:
            raise TooManyPasswords

    def _judge(self, kept: str | None, password: str) -> Verdict:
        try:
            prepared = prepare(password)
        except UnfitPassword:
            # Cut, or a body full of text would take longer to hash than a wrong password.
            prepared, kept = password[:LONGEST].encode(errors="replace").decode(), None
        try:
            self._hasher.verify(kept or self._decoy, prepared)
        except (VerificationError, InvalidHashError):
            return Verdict(right=False)
        if kept is None:  # pragma: no cover - somebody has guessed 32 random bytes
            return Verdict(right=False)
        renew = self._hasher.check_needs_rehash(kept)
        return Verdict(right=True, new_hash=self._hasher.hash(prepared) if renew else None)
