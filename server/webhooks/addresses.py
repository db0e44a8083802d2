"""Addresses of receivers: which ones are understood, and which networks they may be in.

A name is resolved here, and the connection is made to the very addresses that were judged: a name
that is another's a moment later leads nowhere else.
"""

import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final
from urllib.parse import urlsplit

import attrs
import trio

from server.support.errors import AddressRefused, BadValue
from server.support.limits import Network

LONGEST_URL: Final = 2_000
LOOKUP_SECONDS: Final = 5.0

_LOOKUPS_AT_ONCE: Final = 8
_PORTS: Final = {"http": 80, "https": 443}
_NAME: Final = re.compile(r"[0-9A-Za-z_]([0-9A-Za-z_.-]{0,251}[0-9A-Za-z_.])?")
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Lookup = Callable[[str, int], Awaitable[Sequence[str]]]
"""Gives the addresses of a host, or raises ``OSError``."""


@attrs.frozen
class Place:
    """Where a receiver is."""

    scheme: str
    host: str
    port: int
    target: str = attrs.field(repr=False)
    """Path and query, which may hold a secret."""

    @property
    def shown_host(self) -> str:
        """As in the header ``Host``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def receiver(self) -> str:
        """Scheme, host and port."""
        return f"{self.scheme}://{self.shown_host}"


def place_of(url: str) -> Place:
    """Understand the address of a receiver.

    Raises:
        BadValue: if it is none; what was given is not in the message.
    """
    if len(url) > LONGEST_URL:
        raise BadValue(f"must be at most {LONGEST_URL} characters")
    if not re.fullmatch(r"[!-~]+", url) or "\\" in url:
        raise BadValue("must be an address of ASCII characters, without blanks")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise BadValue("must be an address such as https://example.org/hook") from None
    if parts.scheme not in _PORTS or not host:
        raise BadValue("must begin with https:// or http:// and a host")
    if "@" in parts.netloc:
        raise BadValue("must not have a user or a password in it")
    if parts.fragment:
        raise BadValue("must not have a fragment")
    if port == 0 or not (_NAME.fullmatch(host) or _literal(host)):
        raise BadValue("must be an address such as https://example.org/hook")
    path = parts.path or "/"
    target = f"{path}?{parts.query}" if parts.query else path
    return Place(parts.scheme, host, port or _PORTS[parts.scheme], target)


class Resolver:
    """Asks the system for addresses, in a few threads of its own, which may take long."""

    def __init__(self) -> None:
        """Ask for a few at once."""
        self._threads = trio.CapacityLimiter(_LOOKUPS_AT_ONCE)

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """Give the addresses of a host; a look-up that is cancelled ends by itself.

        Raises:
            OSError: if there are none.
        """
        found = await trio.to_thread.run_sync(
            partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM),
            limiter=self._threads,
            abandon_on_cancel=True,
        )
        return list(dict.fromkeys(str(address[0]) for *_, address in found))


class Judge:
    """Says which addresses a receiver may have."""

    def __init__(self, allowed: Sequence[Network] = (), lookup: Lookup | None = None) -> None:
        """Refuse what is not public, but for the ``allowed`` networks.

        Without a ``lookup``, the system is asked.
        """
        self._allowed = tuple(allowed)
        self._lookup = lookup or Resolver()

    async def addresses(self, place: Place) -> Sequence[str]:
        """Find the addresses of a receiver, all of which it may have.

        Raises:
            AddressRefused: if there are none, or it may not have one of them.
        """
        found: Sequence[str] = ()
        with trio.move_on_after(LOOKUP_SECONDS) as patience:
            try:
                found = await self._lookup(place.host, place.port)
            except (OSError, UnicodeError):
                raise AddressRefused("has a host that is not known") from None
        if patience.cancelled_caught:
            raise AddressRefused("has a host that could not be looked up in time")
        if not found:
            raise AddressRefused("has a host that is not known")
        if not all(self.may(each) for each in found):
            raise AddressRefused("leads into a network that webhooks may not reach")
        return found

    def may(self, address: str) -> bool:
        """Tell whether a receiver may have an address."""
        found = _literal(address)
        if found is None:
            return False
        inner = _inner(found)
        return any(
            inner.version == network.version and inner in network for network in self._allowed
        ) or _public(inner)


def _public(address: Address) -> bool:
    """Tell whether an address is one of the internet's, for a single host."""
    site = isinstance(address, ipaddress.IPv6Address) and address.is_site_local
    return address.is_global and not (address.is_multicast or address.is_reserved or site)


def _inner(address: Address) -> Address:
    """Give the IPv4 address that one of IPv6 leads to, or else the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _literal(text: str) -> Address | None:
    """Read an address; of one within a zone, which no receiver may have, make none."""
    if "%" in text:
        return None
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
