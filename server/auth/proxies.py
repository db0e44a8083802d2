"""Who is behind a reverse proxy: forwarded headers count from the operator's own proxies only."""

import ipaddress
from collections.abc import Iterable
from typing import Final, Literal

Secure = Literal["on", "off", "auto"]
"""Whether cookies are marked as for HTTPS alone; ``auto`` asks :meth:`Proxies.secure`."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

UNKNOWN: Final = "unknown"

_IPV6_PREFIX: Final = 64  # what one line is given: its owner has all the addresses in it


class Proxies:
    """The proxies in front of this server, by their addresses."""

    def __init__(self, networks: Iterable[Network] = ()) -> None:
        """Trust who connects from ``networks``."""
        self._networks = tuple(networks)

    def client(self, peer: str | None, headers: Iterable[tuple[bytes, bytes]]) -> str:
        """Say whose request this is, in the form in which requests are counted.

        Args:
            peer: the address of the other side of the socket.
            headers: of the request, names in lower case.

        Returns:
            An IPv4 address, the first 64 bits of an IPv6 address, or ``UNKNOWN``. From a proxy,
            the last in ``X-Forwarded-For`` that is no proxy of ours: those before it are hearsay.
        """
        address = _parse(peer)
        if not self._trusts(address):
            return _counted(address)
        for hop in reversed(_values(headers, b"x-forwarded-for")):
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
        return self._trusts(_parse(peer))

    def _trusts(self, address: Address | None) -> bool:
        return address is not None and any(address in network for network in self._networks)


def _values(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> list[str]:
    joined = b",".join(value for key, value in headers if key == name).decode("latin-1")
    return [each.strip().lower() for each in joined.split(",") if each.strip()]


def _parse(text: str | None) -> Address | None:
    """Read an address with or without port, IPv6 with or without brackets or zone."""
    text = (text or "").strip('"')
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
        return str(ipaddress.ip_network((address, _IPV6_PREFIX), strict=False))
    return UNKNOWN if address is None else str(address)
