"""Whom a connection counts for: its address, or the client whom a trusted proxy names."""

import ipaddress

import pytest

from server.auth.proxies import Proxies
from server.auth.sources import Source, Sources

PROXY = ipaddress.ip_network("10.0.0.0/8")
HERE = (ipaddress.ip_network("127.0.0.1"), ipaddress.ip_network("::1"))
FORWARDED = b"x-forwarded-for"


def sources() -> Sources:
    return Sources(Proxies([PROXY]), HERE)


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.1", Source("192.0.2.1")),
        ("2001:db8:1:2:3:4:5:6", Source("2001:db8:1:2::/64")),
        ("fe80::1%eth0", Source("fe80::/64")),
        ("127.0.0.1", Source("127.0.0.1", unlimited=True)),
        ("127.0.0.2", Source("127.0.0.2")),
        ("::1", Source("::/64", unlimited=True)),
        ("::2", Source("::/64")),
        ("10.1.2.3", Source("10.1.2.3", unlimited=True)),
        ("", Source("unknown")),
    ],
)
def test_a_connection_counts_for_its_address(address: str, source: Source) -> None:
    assert sources().direct(address) == source


@pytest.mark.parametrize(
    ("address", "forwarded", "source"),
    [
        ("192.0.2.1", b"198.51.100.7", Source("192.0.2.1")),
        ("10.1.2.3", b"198.51.100.7", Source("198.51.100.7")),
        ("10.1.2.3", b"127.0.0.1, 198.51.100.7", Source("198.51.100.7")),
        ("10.1.2.3", b"2001:db8::1", Source("2001:db8::/64")),
        ("10.1.2.3", b"127.0.0.1", Source("127.0.0.1", unlimited=True)),
        # Of the /64 nobody knows whether it was this very address.
        ("10.1.2.3", b"::1", Source("::/64")),
        ("127.0.0.1", b"198.51.100.7", Source("127.0.0.1", unlimited=True)),
    ],
)
def test_a_request_by_way_of_a_trusted_proxy_counts_for_the_client(
    address: str, forwarded: bytes, source: Source
) -> None:
    assert sources().of_request(address, [(FORWARDED, forwarded)]) == source


def test_a_network_may_be_unlimited() -> None:
    found = Sources(Proxies([PROXY]), [ipaddress.ip_network("2001:db8::/32")])

    assert found.direct("2001:db8:5::1").unlimited
    assert found.of_request("10.0.0.1", [(FORWARDED, b"2001:db8:5::1")]).unlimited
    assert not found.direct("2001:db9::1").unlimited
