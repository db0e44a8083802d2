"""Every error that the server raises by itself, on one page.

::

    ParleyError (protocol.errors)
    ├── Refused (protocol.errors)    a client may not do what it asked for; carries the problem
    ├── IllegalMove (protocol.errors)  a state machine was moved as its table does not say: a defect
    ├── HttpRejection                a connection's first request is answered at the door
    ├── RequestFailed (http.errors)  a later request is answered with an error status
    ├── AuthError
    │   ├── NotAuthenticated         nobody is known by this token, or by this address and password
    │   ├── MissingScope             a token for bots does not reach so far
    │   ├── WrongPassword            the account is known, its password is another one
    │   ├── UnfitPassword            nobody can have this password; also a ValueError
    │   ├── TooManyPasswords         more are waiting than can be judged within seconds
    │   └── TooManyAttempts          something was tried too often; carries when to come again
    ├── StoreError
    │   ├── StoreUnavailable         the database does not answer; the same may work in a moment
    │   │   └── Ousted               another server owns the database now: nothing more is written
    │   ├── DatabaseUnusable         without the operator this will never work
    │   ├── WriteConflict            the key of what must be written holds something else
    │   ├── Taken                    somebody else has what must be unique
    │   ├── TooMany                  an account has as many of these as it may have
    │   └── Missing                  what this would refer to does not exist
    ├── WebhookError
    │   ├── AddressRefused           a receiver has no address, or one that webhooks may not reach
    │   └── NotDelivered             a receiver could not be told something; carries why
    ├── CannotListen                 the server's address is taken, not ours, or not known
    └── BadValue                     a setting cannot be meant; also a ValueError
"""

from collections.abc import Mapping
from http import HTTPStatus

from protocol.errors import ParleyError


class HttpRejection(ParleyError):
    """The first request of a connection is answered at the door, with an error."""

    def __init__(
        self, status: HTTPStatus, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        """Answer with ``status``, these headers and ``{"error": message}``."""
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})


class AuthError(ParleyError):
    """Somebody is not known, or may not have what they ask for."""


class NotAuthenticated(AuthError):
    """Nobody is known by this token, or by this address and password."""

    def __init__(self, user_id: int | None = None) -> None:
        """Name the account whose password was wrong, if there is one: for the log alone."""
        super().__init__()
        self.user_id = user_id


class MissingScope(AuthError):
    """A token for bots does not reach so far; the message says so, for people."""

    def __init__(self, scope: str | None) -> None:
        """Name the scope that it lacks; ``None``: none reaches so far, only a login does."""
        super().__init__(
            "this needs a login, which no token for bots can take the place of"
            if scope is None
            else f"the token does not have the scope {scope}"
        )
        self.scope = scope


class WrongPassword(AuthError):
    """The account is known, but this is not its password."""


class UnfitPassword(AuthError, ValueError):
    """A password that nobody can have; the message says what is wrong with it."""


class TooManyPasswords(AuthError):
    """More passwords are waiting than can be judged within seconds."""


class TooManyAttempts(AuthError):
    """Something was tried too often."""

    def __init__(self, seconds: float) -> None:
        """Say after how many seconds it may be tried again."""
        super().__init__(f"too many attempts, for {seconds:.0f} s")
        self.seconds = seconds


class StoreError(ParleyError):
    """Something is wrong in the store, in words that say nothing of any database."""


class StoreUnavailable(StoreError):
    """The database does not answer, or cannot write; the same may work in a moment."""


class Ousted(StoreUnavailable):
    """Another server owns the database now; this one writes nothing any more."""

    def __init__(self) -> None:
        """Say so."""
        super().__init__("another server has taken over the database")


class DatabaseUnusable(StoreError):
    """Without the operator this will never work; the message is one line that says why."""


class WriteConflict(StoreError):
    """Something else is stored under the key of what was to be written."""


class Taken(StoreError):
    """Somebody else has what must be unique."""

    def __init__(self, field: str) -> None:
        """Name the field whose value is taken."""
        super().__init__(f"{field} is taken")
        self.field = field


class TooMany(StoreError):
    """An account has as many of these as it may have."""

    def __init__(self, what: str, most: int) -> None:
        """Name the kind of thing, and how many of it an account may have."""
        super().__init__(f"{most} {what} are the most that one account may have")


class Missing(StoreError):
    """What this would refer to does not exist, or no longer."""

    def __init__(self, what: str) -> None:
        """Name the kind of thing that is missing."""
        super().__init__(f"no such {what}")
        self.what = what


class WebhookError(ParleyError):
    """Something is wrong with a receiver; the message has neither its path nor a secret."""


class AddressRefused(WebhookError):
    """A receiver has no address, or one that webhooks may not reach; goes on from "the address"."""


class NotDelivered(WebhookError):
    """A receiver could not be told something, for this reason."""


class CannotListen(ParleyError):
    """The address of the server is taken, not ours, or not known; one line that says which."""


class BadValue(ParleyError, ValueError):
    """A setting that cannot be meant; the message says, in one line, what can."""


def first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Find the first error in a group that is no group itself."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
