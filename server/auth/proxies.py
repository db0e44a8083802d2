"""Who is behind a reverse proxy: forwarded headers are believed of the operator's own alone."""

import ipaddress
import time
from collections.abc import Callable, Iterable
from typing import Final, Literal

from server.auth.throttle import Throttle
from server.support.observe import get_logger

Secure = Literal["on", "off", "auto"]
"""Whether cookies are marked as for HTTPS alone; ``auto`` asks :meth:`Proxies.secure`."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

UNKNOWN: Final = "unknown"

HOPS: Final = 16
"""The most addresses of ``X-Forwarded-For`` that are looked at, from the last one back."""

_ADDRESS_LENGTH: Final = 64  # characters; one of IPv6 with brackets, zone and port has less
_WARNING_SECONDS: Final = 3600.0
_WARNINGS: Final = 10  # in that time, about all networks together

_IPV6_PREFIX: Final = 64  # what one line is given: its owner has all the addresses in it


class Proxies:
    """The proxies in front of this server, by their addresses."""

    def __init__(
        self, networks: Iterable[Network] = (), *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Trust who connects from ``networks``.

        Args:
            networks: the networks of the operator's proxies.
            clock: gives seconds, and never goes back; for how often a warning is given.
        """
        self._networks = tuple(networks)
        self._warned = Throttle(1, _WARNING_SECONDS, kept=1000, clock=clock)
        self._warnings = Throttle(_WARNINGS, _WARNING_SECONDS, clock=clock)

    def client(self, peer: str | None, headers: Iterable[tuple[bytes, bytes]]) -> str:
        """Say whose request this is, in the form in which requests are counted.

        Args:
            peer: the address of the other side of the socket.
            headers: the headers of the request, names in lower case.

        Returns:
            An IPv4 address, the first 64 bits of an IPv6 address, or ``UNKNOWN``. Behind a proxy
            it is the last address in ``X-Forwarded-For`` that is not a trusted proxy: whatever
            stands before that one is hearsay.
        """
        address = _parse(peer)
        if not self._trusts(address):
            if address is not None and any(name == b"x-forwarded-for" for name, _ in headers):
                self._warn(address)
            return _counted(address)
        for hop in _values(headers, b"x-forwarded-for")[: -HOPS - 1 : -1]:
            if (before := _parse(hop)) is None:
                break
            address = before
            if not self._trusts(address):
                break
        return _counted(address)

    def secure(self, peer: str | None, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Tell whether the browser has asked by HTTPS; what is next to us speaks plain HTTP."""
        if not self._trusts(_parse(peer)):
            return False
        # Of several the first is what the browser spoke; all are of proxies, or one lets it pass.
        return _values(headers, b"x-forwarded-proto")[:1] == ["https"]

    def trusts(self, peer: str | None) -> bool:
        """Tell whether ``peer``, the address of the other side of a socket, is a proxy of ours."""
        return bool(self._networks) and self._trusts(_parse(peer))

    def _warn(self, address: Address) -> None:
        """Tell the operator that a proxy may be missing from the settings.

        Once for each network: whoever likes can send such a header.
        """
        network = _network(address, 24 if address.version == 4 else _IPV6_PREFIX)
        if self._warned.take(network) or self._warnings.take(""):
            return
        get_logger("proxies").warning(
            "X-Forwarded-For is ignored, as it does not come from a trusted proxy",
            peer=str(address),
            remedy="if this is a proxy of yours, name its address with --trusted-proxy",
        )

    def _trusts(self, address: Address | None) -> bool:
        return address is not None and any(address in network for network in self._networks)


def _values(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> list[str]:
    joined = b",".join(value for key, value in headers if key == name).decode("latin-1")
    return [each.strip().lower() for each in joined.split(",") if each.strip()]


def _parse(text: str | None) -> Address | None:
    """Read an address with or without port, IPv6 with or without brackets or zone."""
    text = (text or "").strip('"')
    if len(text) > _ADDRESS_LENGTH:
        return None
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _counted(address: Address | None) -> str:
    if isinstance(address, ipaddress.IPv6Address):
        return _network(address, _IPV6_PREFIX)
    return UNKNOWN if address is None else str(address)


def _network(address: Address, prefix: int) -> str:
    return str(ipaddress.ip_network((address, prefix), strict=False))
