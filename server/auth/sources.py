"""Whom a connection counts for: an address, or the client whom a trusted proxy names."""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

import attrs

from server.auth.proxies import Address, Network, Proxies

_REMEMBERED: Final = 4096
"""Addresses whose source is not worked out anew; some 300 bytes each."""


@attrs.frozen
class Source:
    """Somebody whom connections, seats and the like are counted for."""

    key: str
    """An IPv4 address, the first 64 bits of an IPv6 address, or ``unknown``."""
    unlimited: bool = False
    """The caps for each address do not hold here."""


class Sources:
    """Tells sources by the addresses and headers of connections."""

    def __init__(self, proxies: Proxies, unlimited: Iterable[Network] = ()) -> None:
        """Believe ``proxies``, and cap nobody in the networks ``unlimited``."""
        self._proxies = proxies
        self._unlimited = tuple(unlimited)
        self._find = lru_cache(_REMEMBERED)(self._direct)

    def direct(self, address: str) -> Source:
        """Say whom a connection from ``address`` counts for, before anything was read from it.

        A trusted proxy is unlimited: whoever is behind it is counted by itself later on.
        """
        return self._find(address)

    def of_request(self, address: str, headers: Iterable[tuple[bytes, bytes]]) -> Source:
        """Say whom a request counts for.

        Args:
            address: the address of the other side of the socket.
            headers: the request's headers, names in lower case.
        """
        if not self._proxies.trusts(address):
            return self._find(address)
        key = self._proxies.client(address, headers)
        return Source(key, self._is_unlimited(key))

    def _direct(self, address: str) -> Source:
        key = self._proxies.client(address, ())
        return Source(key, self._proxies.trusts(address) or self._is_unlimited(address))

    def _is_unlimited(self, text: str) -> bool:
        try:
            network = ipaddress.ip_network(text)
        except ValueError:
            return False
        return any(_within(network, each) for each in self._unlimited)


def _within(inner: Network, outer: Network) -> bool:
    """Tell whether all of a network, or one address, is in another network."""
    first: Address = inner.network_address
    return first in outer and inner.broadcast_address in outer
