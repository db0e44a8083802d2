"""Where receivers may be: what is understood of an address, and the networks that are refused."""

import ipaddress
import socket

import pytest
import trio
from trio.testing import MockClock

from server.support.errors import AddressRefused, BadValue
from server.webhooks.addresses import LOOKUP_SECONDS, Judge, Place, Resolver, place_of


@pytest.mark.parametrize(
    ("url", "place", "host", "receiver"),
    [
        (
            "https://example.org",
            Place("https", "example.org", 443, "/"),
            "example.org",
            "https://example.org",
        ),
        (
            "http://Example.org:8080/a/b?c=d&e",
            Place("http", "example.org", 8080, "/a/b?c=d&e"),
            "example.org:8080",
            "http://example.org:8080",
        ),
        (
            "https://[2001:db8::1]:443/",
            Place("https", "2001:db8::1", 443, "/"),
            "[2001:db8::1]",
            "https://[2001:db8::1]",
        ),
    ],
)
def test_an_address_is_understood(url: str, place: Place, host: str, receiver: str) -> None:
    found = place_of(url)

    assert (found, found.shown_host, found.receiver) == (place, host, receiver)
    assert "/a/b" not in repr(found)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org/hook",
        "//example.org/hook",
        "ftp://example.org/",
        "file:///etc/passwd",
        "https://",
        "https:///hook",
        "https://user@example.org/",
        "https://user:word@example.org/",
        "https://@example.org/",
        "https://example.org/#part",
        "https://example.org:0/",
        "https://example.org:99999/",
        "https://example.org:x/",
        "https://exa mple.org/",
        "https://example.org/\r\nX: y",
        "https://example.org\\@10.0.0.1/",
        "https://exämple.org/",
        "https://[::1/",
        "https://[fe80::1%25eth0]/",
        "https://-x-/",
        "https://a/" + "x" * 2_000,
    ],
)
def test_what_is_no_address_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(BadValue, match=r"^must ") as refused:
        place_of(url)

    assert len(url) < 10 or url not in str(refused.value)


@pytest.mark.parametrize(
    "address",
    ["93.184.215.14", "1.1.1.1", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1"],
)
def test_public_addresses_may_be_reached(address: str) -> None:
    assert Judge().may(address)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.1.2.3", "::1"),
        *("0.0.0.0", "0.1.2.3", "::"),  # noqa: S104
        *("10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fd00::1", "fc00::1"),
        *("169.254.169.254", "fe80::1", "fec0::1"),
        *("100.64.0.1", "100.127.255.255"),
        *("192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1"),
        *("198.18.0.1", "192.0.0.1"),
        *("224.0.0.1", "239.1.1.1", "ff02::1", "ff0e::1"),
        *("240.0.0.1", "255.255.255.255"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:100.64.0.1"),
        *("64:ff9b::7f00:1", "64:ff9b::10.0.0.1", "64:ff9b:1::1"),
        *("2002:7f00:1::", "2002:0a00:0001::1", "2001:0:1::1", "::127.0.0.1", "::ffff:0:7f00:1"),
        *("fe80::1%eth0", "nonsense", ""),
    ],
)
def test_all_other_addresses_may_not(address: str) -> None:
    assert not Judge().may(address)


def test_an_operator_may_allow_networks() -> None:
    judge = Judge([ipaddress.ip_network("10.1.0.0/16"), ipaddress.ip_network("fd00::/8")])

    assert judge.may("10.1.2.3")
    assert judge.may("::ffff:10.1.2.3")
    assert judge.may("fd00::7")
    assert not judge.may("10.2.0.1")
    assert not judge.may("127.0.0.1")
    assert judge.may("1.1.1.1")


async def judged(*addresses: str) -> list[str]:
    async def look_up(host: str, port: int) -> list[str]:
        await trio.lowlevel.checkpoint()
        assert (host, port) == ("example.org", 443)
        return list(addresses)

    return list(await Judge(lookup=look_up).addresses(place_of("https://example.org/")))


async def test_a_name_is_refused_if_one_of_its_addresses_is() -> None:
    assert await judged("1.1.1.1", "2606:4700:4700::1111") == ["1.1.1.1", "2606:4700:4700::1111"]
    with pytest.raises(AddressRefused, match="may not reach") as refused:
        await judged("1.1.1.1", "10.0.0.7")
    assert "10.0" not in str(refused.value)
    with pytest.raises(AddressRefused, match="not known"):
        await judged()


async def test_a_name_that_nobody_knows_is_refused() -> None:
    async def fail(host: str, port: int) -> list[str]:
        await trio.lowlevel.checkpoint()
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    with pytest.raises(AddressRefused, match="not known"):
        await Judge(lookup=fail).addresses(place_of("https://example.org/"))


async def test_a_look_up_may_not_take_for_ever(autojump_clock: MockClock) -> None:
    async def hang(host: str, port: int) -> list[str]:
        await trio.sleep_forever()
        raise AssertionError

    with pytest.raises(AddressRefused, match="in time"):
        await Judge(lookup=hang).addresses(place_of("https://example.org/"))
    assert trio.current_time() == pytest.approx(LOOKUP_SECONDS)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "2130706433", "0x7f.1", "127.1", "[::ffff:127.0.0.1]"]
)
async def test_every_spelling_of_this_machine_is_refused(host: str) -> None:
    with pytest.raises(AddressRefused, match="may not reach"):
        await Judge().addresses(place_of(f"http://{host}/"))


async def test_the_system_is_asked_once_for_each_address() -> None:
    assert list(await Resolver()("127.0.0.1", 80)) == ["127.0.0.1"]
