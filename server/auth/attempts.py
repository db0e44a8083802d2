"""How often somebody may try to log in: wrong passwords for one person keep nobody else out.

Only wrong passwords are limited, in a minute, ``limit`` being what the operator set:

===========================================  ==========  ==========================================
counted for                                  at most     against
===========================================  ==========  ==========================================
one address and one account                  limit       guessing
one account, from all new addresses          3 x limit   guessing from many addresses
one address, for all accounts                10 x limit  trying one password on many accounts
one address, requests of whatever outcome    30 x limit  work: each may cost a hash of Argon2
===========================================  ==========  ==========================================

An address from which somebody has logged in to an account before is limited, for this account, by
the last line alone: nobody else can keep its owner out from there. That is forgotten when the
server stops; from then on, until the next login, such an address counts as a new one.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import blake2b
from typing import Final

import attrs
import trio

from server.auth.emails import email_key
from server.auth.throttle import Throttle
from server.support.errors import TooManyAttempts
from server.support.observe import get_logger

LOGIN_SECONDS: Final = 60.0
REGISTRATION_SECONDS: Final = 1800.0

ACCOUNT_TIMES: Final = 3
ADDRESS_TIMES: Final = 10
REQUEST_TIMES: Final = 30

KNOWN_ACCOUNTS: Final = 10_000
KNOWN_ADDRESSES: Final = 8
"""Addresses remembered for each of the accounts, as digests: 700 bytes for one, 7 MB in all.

Only who logs in makes an entry, and no account pushes out the addresses of another.
"""

_LINES: Final = 5
_ALL_LINES: Final = 60
"""Lines in the log a minute about one address, and about all together."""

_NO_ACCOUNT: Final = "\0"  # stands for every text that is longer than any address


class Attempts:
    """Counts what is tried, remembers where people have logged in, and logs what fails."""

    def __init__(
        self,
        login_limit: int,
        register_limit: int,
        *,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        """Begin with nothing counted.

        Args:
            login_limit: the wrong passwords a minute for one address and account; 0 for no limit.
            register_limit: the registrations in half an hour for one address; 0 for no limit.
            clock: gives seconds, and never goes back.
        """

        def a_minute(times: int) -> Throttle:
            return Throttle(login_limit * times, LOGIN_SECONDS, clock=clock)

        self._requests = a_minute(REQUEST_TIMES)
        self._by_pair = a_minute(1)
        self._by_account = a_minute(ACCOUNT_TIMES)
        self._by_address = a_minute(ADDRESS_TIMES)
        self._old_passwords = a_minute(1)
        self._registrations = Throttle(register_limit, REGISTRATION_SECONDS, clock=clock)
        self._known: OrderedDict[bytes, tuple[bytes, ...]] = OrderedDict()
        self._lines = _Lines(clock)
        self._lockouts = Throttle(1, LOGIN_SECONDS, clock=clock)
        self._log = get_logger("auth")

    def count_request(self, address: str) -> None:
        """Count a request to log in before anything of it is read.

        Raises:
            TooManyAttempts: if more come from this address than can mean well.
        """
        _refuse(self._requests.take(address))

    def count_registration(self, address: str) -> None:
        """Count a request to register before anything of it is read.

        Raises:
            TooManyAttempts: if there were too many from this address.
        """
        _refuse(self._registrations.take(address))

    def begin(self, address: str, email: str) -> "Attempt":
        """Count an attempt to log in, as if it failed.

        Args:
            address: where it comes from, in the form in which requests are counted.
            email: the address of the account, as it came and however long.

        Raises:
            TooManyAttempts: if there were too many failures; then nothing was counted.
        """
        try:
            account = email_key(email)
        except ValueError:
            account = _NO_ACCOUNT
        remember = partial(self._remember, address, account)
        report = partial(self._failed, address, account)
        if self._knows(address, account):
            return Attempt((), remember, report)
        taken: list[tuple[Throttle, str]] = []
        for throttle, key in (
            (self._by_pair, _pair(address, account)),
            (self._by_account, account),
            (self._by_address, address),
        ):
            seconds = throttle.take(key)
            if seconds:
                _give_back(taken)
                raise TooManyAttempts(seconds)
            taken.append((throttle, key))
        return Attempt(tuple(taken), remember, report)

    def begin_old_password(self, user_id: int) -> Callable[[], None]:
        """Count an attempt to change a password: the old one can be guessed here as well.

        Returns:
            A function that takes it back, for when the password was right.

        Raises:
            TooManyAttempts: if too many were wrong.
        """
        key = str(user_id)
        _refuse(self._old_passwords.take(key))
        return lambda: self._old_passwords.give_back(key)

    def remember(self, address: str, email: str) -> None:
        """Remember that the owner of an account has been at this address."""
        self._remember(address, email_key(email))

    def _remember(self, address: str, account: str) -> None:
        name, place = _digest(account), _digest(_pair(address, account))
        others = tuple(each for each in self._known.get(name, ()) if each != place)
        self._known[name] = (*others[1 - KNOWN_ADDRESSES :], place)
        self._known.move_to_end(name)
        if len(self._known) > KNOWN_ACCOUNTS:
            self._known.popitem(last=False)

    def _knows(self, address: str, account: str) -> bool:
        return _digest(_pair(address, account)) in self._known.get(_digest(account), ())

    def _failed(self, address: str, account: str, user_id: int | None) -> None:
        held_back = self._lines.admit(address)
        if held_back is not None:
            self._log.info("login failed", address=address, user=user_id, held_back=held_back)
        if self._by_account.wait(account) and not self._lockouts.take(account):
            self._log.warning(
                "too many failed logins: the account is closed to addresses that are new to it",
                address=address,
                user=user_id,
                seconds=round(self._by_account.wait(account), 1),
            )


@attrs.frozen
class Attempt:
    """One attempt to log in, counted as a failure until it is known to be none."""

    _taken: tuple[tuple[Throttle, str], ...]
    _remember: Callable[[], None]
    _report: Callable[[int | None], None]

    def succeeded(self) -> None:
        """Take the count back, and remember the address as one of the account's owner."""
        self.undone()
        self._remember()

    def failed(self, user_id: int | None) -> None:
        """Let it count, and log it with the account, if there is one."""
        self._report(user_id)

    def undone(self) -> None:
        """Take the count back: no password was judged."""
        _give_back(self._taken)


class _Lines:
    """Lets few lines a minute into the log, and counts those that it holds back."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._by_address = Throttle(_LINES, 60.0, clock=clock)
        self._all = Throttle(_ALL_LINES, 60.0, clock=clock)
        self._held_back = 0

    def admit(self, address: str) -> int | None:
        """Say how many lines about whatever address were held back, or hold this one back too."""
        if self._by_address.take(address) or self._all.take(""):
            self._held_back += 1
            return None
        held_back, self._held_back = self._held_back, 0
        return held_back


def _refuse(seconds: float) -> None:
    if seconds:
        raise TooManyAttempts(seconds)


def _give_back(taken: Sequence[tuple[Throttle, str]]) -> None:
    for throttle, key in taken:
        throttle.give_back(key)


def _pair(address: str, account: str) -> str:
    return f"{address} {account}"  # no address has a blank in it


def _digest(text: str) -> bytes:
    return blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()
